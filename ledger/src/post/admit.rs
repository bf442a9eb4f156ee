//! The careful way: lock, then judge groups one by one in arrival order on running counters.
//!
//! One round trip: holds are locked, then accounts, both in sorted order, and what is booked, closed or taken already is
//! looked up; the statements are pipelined. Writes nothing.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use tokio_postgres::types::Type;
use tokio_postgres::{GenericClient, Row};
use uuid::Uuid;

use crate::journal::{HoldUse, Journal, LineKind};
use crate::{AccountName, BookId, JournalCode, Refusal};

/// Says for each group, the journals of one unit, whether it may be posted: all of it or nothing. Groups are judged in
/// order, each after the accepted ones before it. The locks stay with the transaction, so that a `post` of the accepted
/// groups in the same transaction cannot be refused for a limit.
pub async fn admit(
    tx: &impl GenericClient,
    groups: &[Vec<&Journal>],
) -> Result<Vec<Result<(), Refusal>>, tokio_postgres::Error> {
    let journals: Vec<&Journal> = groups.iter().flatten().copied().collect();
    let mut state = State::lock(tx, &journals).await?;
    let wanted = journals
        .iter()
        .filter_map(|j| Some((j.book(), reversal_of(j)?)))
        .collect();
    let judge = |group: &Vec<&Journal>| {
        state.judge(group)?;
        state.remember(group, &wanted);
        Ok(())
    };
    Ok(groups.iter().map(judge).collect())
}

#[derive(Clone)]
struct Account {
    open: bool,
    overdraft: bool,
    debit_normal: bool,
    debits_pending: i64,
    debits_posted: i64,
    credits_pending: i64,
    credits_posted: i64,
}

#[derive(Clone)]
struct Hold {
    debit: String,
    credit: String,
    remaining: i64,
    expires_at: Timestamp,
}

/// What the groups may lean on: counters and holds as they will be after what was accepted so far.
#[derive(Default)]
struct State {
    accounts: HashMap<(BookId, String), Account>,
    holds: HashMap<(BookId, Uuid), Hold>,
    journals: HashSet<(BookId, Uuid)>,
    keys: HashSet<(BookId, [u8; 16])>,
    /// First open instant; books with nothing closed are absent.
    closed_until: HashMap<BookId, Timestamp>,
    /// Journals that some journal of the batch reverses.
    originals: HashMap<(BookId, Uuid), Original>,
    /// Ids of manual journals with an approval.
    approved: HashSet<(BookId, Uuid)>,
}

/// A journal to be reversed.
#[derive(Clone)]
struct Original {
    /// Its lines as the reversal must have them, sorted; none when it has no mirror.
    mirror: Option<Vec<(String, char, i64)>>,
    reversed: bool,
}

impl State {
    async fn lock(tx: &impl GenericClient, journals: &[&Journal]) -> Result<State, tokio_postgres::Error> {
        let (mut hold_books, mut holds) = (Vec::new(), Vec::new());
        for j in journals {
            if let Some(HoldUse::Consume { hold_id, .. }) = j.hold() {
                hold_books.push(j.book().0);
                holds.push(hold_id);
            }
        }
        let (account_books, accounts): (Vec<i64>, Vec<&str>) = journals
            .iter()
            .flat_map(|j| j.lines().iter().map(|l| (j.book().0, l.account.as_str())))
            .unzip();
        let books: Vec<i64> = journals.iter().map(|j| j.book().0).collect();
        let ids: Vec<Uuid> = journals.iter().map(|j| j.id()).collect();
        let keys: Vec<Option<Vec<u8>>> = journals.iter().map(|j| j.key().map(|k| k.to_vec())).collect();

        let hold_params: [(&(dyn postgres_types::ToSql + Sync), Type); 2] =
            [(&hold_books, Type::INT8_ARRAY), (&holds, Type::UUID_ARRAY)];
        let account_params: [(&(dyn postgres_types::ToSql + Sync), Type); 2] =
            [(&account_books, Type::INT8_ARRAY), (&accounts, Type::TEXT_ARRAY)];
        let booked_params: [(&(dyn postgres_types::ToSql + Sync), Type); 3] = [
            (&books, Type::INT8_ARRAY),
            (&ids, Type::UUID_ARRAY),
            (&keys, Type::BYTEA_ARRAY),
        ];
        let (reversing, reversed): (Vec<i64>, Vec<Uuid>) = journals
            .iter()
            .filter_map(|j| Some((j.book().0, reversal_of(j)?)))
            .unzip();
        let period_params: [(&(dyn postgres_types::ToSql + Sync), Type); 1] = [(&books, Type::INT8_ARRAY)];
        let original_params: [(&(dyn postgres_types::ToSql + Sync), Type); 2] =
            [(&reversing, Type::INT8_ARRAY), (&reversed, Type::UUID_ARRAY)];
        let approved_params = [booked_params[0].clone(), booked_params[1].clone()];
        // Polled in this order, so sent in this order: periods before holds before accounts. What few journals need is
        // asked for only when one is there.
        let (periods, holds, accounts, booked, originals, approved) = tokio::try_join!(
            biased;
            tx.query_typed("SELECT * FROM ledger.lock_periods($1)", &period_params),
            tx.query_typed("SELECT * FROM ledger.lock_holds($1, $2)", &hold_params),
            tx.query_typed("SELECT * FROM ledger.lock_accounts($1, $2)", &account_params),
            tx.query_typed(BOOKED, &booked_params),
            async {
                match reversed.is_empty() {
                    true => Ok(Vec::new()),
                    false => tx.query_typed(ORIGINALS, &original_params).await,
                }
            },
            async {
                match journals.iter().any(|j| j.code() == JournalCode::J32) {
                    true => tx.query_typed(APPROVED, &approved_params).await,
                    false => Ok(Vec::new()),
                }
            },
        )?;

        let mut state = State::default();
        for row in &holds {
            state.holds.insert(
                (BookId(row.try_get("book_id")?), row.try_get("hold_id")?),
                Hold {
                    debit: row.try_get("debit_account")?,
                    credit: row.try_get("credit_account")?,
                    remaining: row.try_get("remaining")?,
                    expires_at: row.try_get("expires_at")?,
                },
            );
        }
        for row in &periods {
            if let Some(closed_until) = row.try_get("closed_until")? {
                state.closed_until.insert(BookId(row.try_get("book_id")?), closed_until);
            }
        }
        for row in &originals {
            let (accounts, kinds): (Vec<String>, Vec<i8>) = (row.try_get("account")?, row.try_get("kind")?);
            let amounts: Vec<i64> = row.try_get("amount")?;
            let lines = accounts.into_iter().zip(kinds).zip(amounts);
            let lines = lines.map(|((account, kind), amount)| (account, char::from(kind as u8), amount));
            let original = Original {
                mirror: mirror(lines, row.try_get::<_, Option<Uuid>>("hold_id")?.is_some()),
                reversed: row.try_get("reversed")?,
            };
            state
                .originals
                .insert((BookId(row.try_get("book_id")?), row.try_get("journal_id")?), original);
        }
        for row in &approved {
            state
                .approved
                .insert((BookId(row.try_get("book_id")?), row.try_get("journal_id")?));
        }
        for row in &accounts {
            state.accounts.insert(
                (BookId(row.try_get("book_id")?), row.try_get("account")?),
                account(row)?,
            );
        }
        for row in &booked {
            let book = BookId(row.try_get("book_id")?);
            match row.try_get::<_, Option<&[u8]>>("idem_key")? {
                Some(key) => {
                    if let Ok(key) = key.try_into() {
                        state.keys.insert((book, key));
                    }
                }
                None => {
                    state.journals.insert((book, row.try_get("journal_id")?));
                }
            }
        }
        Ok(state)
    }

    /// Judges one group on copies of what it touches; they become the state only when all of it is accepted.
    fn judge(&mut self, group: &[&Journal]) -> Result<(), Refusal> {
        let mut next = Overlay {
            base: self,
            accounts: HashMap::new(),
            holds: HashMap::new(),
        };
        let (mut ids, mut keys) = (HashSet::new(), HashSet::new());
        let mut reversed = HashSet::new();
        for j in group {
            if next.base.journals.contains(&(j.book(), j.id())) || !ids.insert((j.book(), j.id())) {
                return Err(Refusal::DuplicateJournal);
            }
            if let Some(key) = j.key()
                && (next.base.keys.contains(&(j.book(), *key)) || !keys.insert((j.book(), *key)))
            {
                return Err(Refusal::KeyUsed);
            }
            next.base.permit(j, group, &mut reversed)?;
            for line in j.lines() {
                if !next.account(j.book(), &line.account)?.open {
                    return Err(Refusal::AccountClosed(line.account.to_string()));
                }
            }
            next.apply_hold(j)?;
            for line in j.lines() {
                next.account(j.book(), &line.account)?.apply(line.kind, line.amount)?;
            }
        }
        if let Some((_, name)) = next
            .accounts
            .iter()
            .filter(|(_, a)| !a.within_limit())
            .map(|(k, _)| k)
            .min()
        {
            return Err(Refusal::Overdraft(name.clone()));
        }
        let Overlay { accounts, holds, .. } = next;
        self.accounts.extend(accounts);
        self.holds.extend(holds);
        self.journals.extend(ids);
        self.keys.extend(keys);
        for original in reversed {
            if let Some(original) = self.originals.get_mut(&original) {
                original.reversed = true;
            }
        }
        Ok(())
    }

    /// What the journal is dated, reverses and needs to be approved for, as `ledger.guard_journal` has it.
    fn permit(&self, j: &Journal, group: &[&Journal], reversed: &mut HashSet<(BookId, Uuid)>) -> Result<(), Refusal> {
        if let Some(open_from) = self.closed_until.get(&j.book())
            && j.effective_at() < *open_from
            && !j.or_value_date()
        {
            return Err(Refusal::PeriodClosed(open_from.to_string()));
        }
        if j.code() == JournalCode::J26 {
            let id = j.reverses().ok_or(Refusal::UnknownJournal(Uuid::nil()))?;
            let of_group = group.iter().find(|o| o.book() == j.book() && o.id() == id);
            let original = match of_group {
                Some(o) => Some(Original {
                    mirror: mirror(lines(o), o.hold().is_some()),
                    reversed: false,
                }),
                None => self.originals.get(&(j.book(), id)).cloned(),
            };
            let original = original.ok_or(Refusal::UnknownJournal(id))?;
            let mut own: Vec<_> = lines(j).collect();
            own.sort_unstable();
            if original.mirror.as_ref() != Some(&own) {
                return Err(Refusal::NotAMirror(id));
            }
            if original.reversed || !reversed.insert((j.book(), id)) {
                return Err(Refusal::AlreadyReversed(id));
            }
        }
        if j.code() == JournalCode::J32 && !self.approved.contains(&(j.book(), j.id())) {
            return Err(Refusal::NotApproved(j.id()));
        }
        Ok(())
    }

    /// Journals accepted before in the same batch may be reversed by later ones of it.
    fn remember(&mut self, group: &[&Journal], wanted: &HashSet<(BookId, Uuid)>) {
        for j in group {
            if wanted.contains(&(j.book(), j.id())) {
                let original = Original {
                    mirror: mirror(lines(j), j.hold().is_some()),
                    reversed: false,
                };
                self.originals.entry((j.book(), j.id())).or_insert(original);
            }
        }
    }
}

/// The state as one group sees it.
struct Overlay<'a> {
    base: &'a State,
    accounts: HashMap<(BookId, String), Account>,
    holds: HashMap<(BookId, Uuid), Hold>,
}

impl Overlay<'_> {
    fn account(&mut self, book: BookId, name: &AccountName) -> Result<&mut Account, Refusal> {
        let key = (book, name.as_str().to_owned());
        if !self.accounts.contains_key(&key) {
            let known = self
                .base
                .accounts
                .get(&key)
                .ok_or_else(|| Refusal::UnknownAccount(name.to_string()))?;
            self.accounts.insert(key.clone(), known.clone());
        }
        self.accounts
            .get_mut(&key)
            .ok_or_else(|| Refusal::UnknownAccount(name.to_string()))
    }

    fn apply_hold(&mut self, j: &Journal) -> Result<(), Refusal> {
        let pair = |debit: LineKind| j.lines().iter().find(|l| l.kind == debit);
        match j.hold() {
            None => Ok(()),
            Some(HoldUse::Open { expires_at }) => {
                if let (Some(d), Some(c)) = (pair(LineKind::PendingDebit), pair(LineKind::PendingCredit)) {
                    let hold = Hold {
                        debit: d.account.to_string(),
                        credit: c.account.to_string(),
                        remaining: d.amount,
                        expires_at,
                    };
                    self.holds.insert((j.book(), j.id()), hold);
                }
                Ok(())
            }
            Some(HoldUse::Consume {
                hold_id,
                closes,
                alive_at,
            }) => {
                let key = (j.book(), hold_id);
                let known = self.holds.get(&key).or_else(|| self.base.holds.get(&key)).cloned();
                let mut hold = known.ok_or(Refusal::UnknownHold(hold_id))?;
                let (Some(d), Some(c)) = (pair(LineKind::ReleaseDebit), pair(LineKind::ReleaseCredit)) else {
                    return Err(Refusal::Malformed);
                };
                if hold.remaining == 0 {
                    return Err(Refusal::HoldClosed(hold_id));
                }
                if alive_at.is_some_and(|at| at >= hold.expires_at) {
                    return Err(Refusal::HoldExpired(hold_id));
                }
                if hold.debit != d.account.as_str() || hold.credit != c.account.as_str() {
                    return Err(Refusal::HoldMismatch(hold_id));
                }
                if d.amount > hold.remaining {
                    return Err(Refusal::HoldExceeded(hold_id));
                }
                hold.remaining -= d.amount;
                if closes && hold.remaining != 0 {
                    return Err(Refusal::HoldMismatch(hold_id));
                }
                self.holds.insert(key, hold);
                Ok(())
            }
        }
    }
}

impl Account {
    fn apply(&mut self, kind: LineKind, amount: i64) -> Result<(), Refusal> {
        let (counter, delta) = match kind {
            LineKind::Debit => (&mut self.debits_posted, amount),
            LineKind::Credit => (&mut self.credits_posted, amount),
            LineKind::PendingDebit => (&mut self.debits_pending, amount),
            LineKind::PendingCredit => (&mut self.credits_pending, amount),
            LineKind::ReleaseDebit => (&mut self.debits_pending, -amount),
            LineKind::ReleaseCredit => (&mut self.credits_pending, -amount),
        };
        let moved = counter.checked_add(delta).filter(|c| *c >= 0);
        *counter = moved.ok_or(Refusal::CounterOverflow)?;
        Ok(())
    }

    fn within_limit(&self) -> bool {
        let wide = |a: i64, b: i64, c: i64| i128::from(a) - i128::from(b) - i128::from(c);
        self.overdraft
            || if self.debit_normal {
                wide(self.debits_posted, self.credits_posted, self.credits_pending) >= 0
            } else {
                wide(self.credits_posted, self.debits_posted, self.debits_pending) >= 0
            }
    }
}

fn account(row: &Row) -> Result<Account, tokio_postgres::Error> {
    let status: &str = row.try_get("status")?;
    let normal_side: i8 = row.try_get("normal_side")?;
    Ok(Account {
        open: status == "open",
        overdraft: row.try_get("overdraft")?,
        debit_normal: normal_side == b'D' as i8,
        debits_pending: row.try_get("debits_pending")?,
        debits_posted: row.try_get("debits_posted")?,
        credits_pending: row.try_get("credits_pending")?,
        credits_posted: row.try_get("credits_posted")?,
    })
}

/// The journal that this one reverses in full.
fn reversal_of(j: &Journal) -> Option<Uuid> {
    j.reverses().filter(|_| j.code() == JournalCode::J26)
}

fn mirror(lines: impl Iterator<Item = (String, char, i64)>, moves_a_hold: bool) -> Option<Vec<(String, char, i64)>> {
    if moves_a_hold {
        return None;
    }
    let swapped = lines.map(|(account, kind, amount)| (account, if kind == 'D' { 'C' } else { 'D' }, amount));
    let mut swapped: Vec<_> = swapped.collect();
    swapped.sort_unstable();
    Some(swapped)
}

fn lines(j: &Journal) -> impl Iterator<Item = (String, char, i64)> {
    j.lines()
        .iter()
        .map(|l| (l.account.to_string(), l.kind.letter(), l.amount))
}

const BOOKED: &str = "
    SELECT j.book_id, j.journal_id, NULL::bytea AS idem_key FROM unnest($1, $2) AS n(book_id, journal_id)
    JOIN ledger.journal j USING (book_id, journal_id)
    UNION ALL
    SELECT r.book_id, r.journal_id, r.idem_key FROM unnest($1, $3) AS n(book_id, idem_key)
    JOIN ledger.receipt r ON r.book_id = n.book_id AND r.idem_key = n.idem_key";

const ORIGINALS: &str = "
    SELECT j.book_id, j.journal_id, j.hold_id, j.account, j.kind, j.amount, r.journal_id IS NOT NULL AS reversed
    FROM unnest($1, $2) AS n(book_id, journal_id) JOIN ledger.journal j USING (book_id, journal_id)
    LEFT JOIN ledger.reversal r USING (book_id, journal_id)";

const APPROVED: &str = "
    SELECT d.book_id, d.journal_id FROM unnest($1, $2) AS n(book_id, journal_id)
    JOIN ledger.decision d USING (book_id, journal_id) WHERE d.verdict = 'approved'";
