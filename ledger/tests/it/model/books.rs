//! The model: two books of four accounts. Knows nothing of SQL or of the crate's own arithmetic.

use std::collections::{HashMap, HashSet};

/// One step of a workload.
#[derive(Clone, Debug)]
pub enum Step {
    Batch(Vec<Op>),
    Account { book: usize, account: Account, open: bool },
    Period { book: usize, closed: bool },
}

/// One journal as it is wished for.
#[derive(Clone, Debug)]
pub struct Op {
    pub kind: Kind,
    pub book: usize,
    /// One of few keys, so that they meet; otherwise one of its own.
    pub key: Option<u8>,
    /// Dated in the period that is sometimes closed.
    pub old: bool,
    pub value_date: bool,
}

#[derive(Clone, Debug)]
pub enum Kind {
    Move {
        debit: Account,
        credit: Account,
        amount: i64,
    },
    /// Three lines: one for the fee.
    Capture { amount: i64 },
    /// Of money to come, or (`reserve`) of money that is there.
    Hold { reserve: bool, amount: i64, lapsed: bool },
    /// Of one of the holds so far, by its index.
    Consume {
        hold: usize,
        amount: i64,
        closing: bool,
        strict: bool,
    },
    /// Of one of the journals wished for so far.
    Reverse { target: usize },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Account {
    Receivable,
    Pending,
    Available,
    Fee,
}

/// A journal, with other journals named by their number.
#[derive(Clone, Debug)]
pub struct Plan {
    pub number: usize,
    pub book: usize,
    pub key: [u8; 16],
    pub value_date: bool,
    pub strict: bool,
    pub content: Content,
}

/// What the books compare under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    pub old: bool,
    pub reverses: Option<usize>,
    pub hold: Hold,
    pub lines: Vec<(Account, char, i64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    None,
    Open { lapsed: bool },
    Consume { hold: usize, closes: bool },
}

/// The number of the journal booked (of a repeat, the first one), or a refusal's code.
pub type Answer = Result<usize, &'static str>;

/// No journal has this number.
pub const NOBODY: usize = usize::MAX;

#[derive(Default)]
pub struct Model {
    /// Debits pending and posted, credits pending and posted.
    pub counters: HashMap<(usize, Account), [i64; 4]>,
    /// What remains, of the hold opened by this journal.
    pub holds: HashMap<usize, OpenHold>,
    pub closed: [bool; 2],
    /// Booked journals per book.
    pub booked: [usize; 2],
    shut: HashSet<(usize, Account)>,
    wished: Vec<Plan>,
    opened: Vec<usize>,
    taken: HashSet<usize>,
    reversed: HashSet<usize>,
    keys: HashMap<(usize, [u8; 16]), (Content, Answer)>,
}

#[derive(Clone, Copy)]
pub struct OpenHold {
    pub book: usize,
    pub remaining: i64,
    reserve: bool,
    lapsed: bool,
}

impl Model {
    /// The journal that an operation means, as the books are now.
    pub fn plan(&mut self, op: &Op) -> Plan {
        let number = self.wished.len();
        let mut plan = Plan {
            number,
            book: op.book,
            key: [0; 16],
            value_date: op.value_date,
            strict: false,
            content: Content {
                old: op.old,
                reverses: None,
                hold: Hold::None,
                lines: Vec::new(),
            },
        };
        plan.key[..8].copy_from_slice(&match op.key {
            Some(key) => u64::from(key).to_le_bytes(),
            None => (1000 + number as u64).to_le_bytes(),
        });
        let content = &mut plan.content;
        match op.kind {
            Kind::Move { debit, credit, amount } => content.lines = vec![(debit, 'D', amount), (credit, 'C', amount)],
            Kind::Capture { amount } => {
                content.lines = vec![
                    (Account::Receivable, 'D', amount),
                    (Account::Pending, 'C', amount - 1),
                    (Account::Fee, 'C', 1),
                ];
            }
            Kind::Hold {
                reserve,
                amount,
                lapsed,
            } => {
                let (debit, credit) = pair(reserve);
                content.hold = Hold::Open { lapsed };
                content.lines = vec![(debit, 'd', amount), (credit, 'c', amount)];
            }
            Kind::Consume {
                hold,
                amount,
                closing,
                strict,
            } => {
                let opened = self
                    .opened
                    .get(hold % self.opened.len().max(1))
                    .copied()
                    .unwrap_or(NOBODY);
                let (reserve, remaining) = match self.holds.get(&opened) {
                    Some(hold) => {
                        plan.book = hold.book;
                        (hold.reserve, hold.remaining)
                    }
                    None => (false, 0),
                };
                // Without anything to give back or to take there is no journal: take one.
                let rest = if closing { (remaining - amount).max(0) } else { 0 };
                let amount = if amount + rest == 0 { 1 } else { amount };
                let (debit, credit) = pair(reserve);
                plan.strict = strict;
                content.hold = Hold::Consume {
                    hold: opened,
                    closes: closing,
                };
                content.lines = vec![(debit, 'x', amount + rest), (credit, 'y', amount + rest)];
                if amount > 0 {
                    content.lines.extend([(debit, 'D', amount), (credit, 'C', amount)]);
                }
            }
            Kind::Reverse { target } => {
                let target = self.wished.get(target % self.wished.len().max(1));
                content.reverses = Some(target.map_or(NOBODY, |t| t.number));
                // What moved a hold has no mirror; this is what somebody might take for one.
                let posted = target
                    .filter(|t| t.content.hold == Hold::None)
                    .map(|t| t.content.lines.clone());
                let lines =
                    posted.unwrap_or_else(|| vec![(Account::Receivable, 'D', 1), (Account::Receivable, 'C', 1)]);
                content.lines = lines
                    .into_iter()
                    .map(|(a, k, n)| (a, if k == 'D' { 'C' } else { 'D' }, n))
                    .collect();
                if let Some(target) = target {
                    plan.book = target.book;
                }
            }
        }
        self.wished.push(plan.clone());
        plan
    }

    /// The answer to a journal, and the books after it.
    pub fn apply(&mut self, plan: &Plan) -> Answer {
        let key = (plan.book, plan.key);
        if let Some((content, answer)) = self.keys.get(&key) {
            return if *content == plan.content {
                *answer
            } else {
                Err("key_reused")
            };
        }
        let answer = self.judge(plan);
        self.keys.insert(key, (plan.content.clone(), answer));
        answer
    }

    /// Closes or opens an account; whether that was possible.
    pub fn set_open(&mut self, book: usize, account: Account, open: bool) -> bool {
        if open {
            self.shut.remove(&(book, account));
            return true;
        }
        let [dp, _, cp, _] = self.counters.get(&(book, account)).copied().unwrap_or_default();
        if (dp, cp) == (0, 0) {
            self.shut.insert((book, account));
        }
        (dp, cp) == (0, 0)
    }

    fn judge(&mut self, plan: &Plan) -> Answer {
        let content = &plan.content;
        if content.old && self.closed[plan.book] && !plan.value_date {
            return Err("period_closed");
        }
        if let Some(target) = content.reverses {
            if !self.taken.contains(&target) {
                return Err("unknown_journal");
            }
            if self.wished[target].content.hold != Hold::None {
                return Err("not_a_mirror");
            }
            if self.reversed.contains(&target) {
                return Err("already_reversed");
            }
        }
        if content
            .lines
            .iter()
            .any(|(account, ..)| self.shut.contains(&(plan.book, *account)))
        {
            return Err("account_closed");
        }
        let mut hold_after = None;
        if let Hold::Consume { hold, .. } = content.hold {
            let known = self.holds.get(&hold).copied().ok_or("unknown_hold")?;
            let amount = content.lines[0].2;
            if known.remaining == 0 {
                return Err("hold_closed");
            }
            if plan.strict && known.lapsed {
                return Err("hold_expired");
            }
            if amount > known.remaining {
                return Err("hold_exceeded");
            }
            hold_after = Some((
                hold,
                OpenHold {
                    remaining: known.remaining - amount,
                    ..known
                },
            ));
        }
        let mut after = self.counters.clone();
        for (account, kind, amount) in &content.lines {
            let counters = after.entry((plan.book, *account)).or_default();
            match kind {
                'd' => counters[0] += amount,
                'D' => counters[1] += amount,
                'c' => counters[2] += amount,
                'C' => counters[3] += amount,
                'x' => counters[0] -= amount,
                _ => counters[2] -= amount,
            }
        }
        let limited = [Account::Pending, Account::Available];
        if limited
            .iter()
            .any(|a| after.get(&(plan.book, *a)).is_some_and(|c| c[3] - c[1] - c[0] < 0))
        {
            return Err("overdraft");
        }

        // From here on it is booked.
        self.counters = after;
        self.booked[plan.book] += 1;
        self.taken.insert(plan.number);
        self.reversed.extend(content.reverses);
        if let Some((hold, after)) = hold_after {
            self.holds.insert(hold, after);
        }
        if let Hold::Open { lapsed } = content.hold {
            self.opened.push(plan.number);
            let hold = OpenHold {
                book: plan.book,
                remaining: content.lines[0].2,
                reserve: content.lines[0].0 == Account::Pending,
                lapsed,
            };
            self.holds.insert(plan.number, hold);
        }
        Ok(plan.number)
    }
}

fn pair(reserve: bool) -> (Account, Account) {
    if reserve {
        (Account::Pending, Account::Available)
    } else {
        (Account::Receivable, Account::Pending)
    }
}
