//! Lines and entries that an exact reference brought together: which match, and what is wrong with the others. Pure.
//!
//! Both sides are claimed: a line has one match and an entry has one match, also when amounts are equal. Equal pairs are taken first,
//! then sums (1:N, N:1, N:M); what is left differs, and is told as what it differs in. Nothing here depends on an order but that of
//! the input.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ledger::Currency;
use uuid::Uuid;

use crate::Kind;

/// Their side: a line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Theirs {
    /// its place in the file, from 0
    pub line: i64,
    /// what it says happened
    pub kind: Kind,
    /// what brought it here, or what it calls itself
    pub reference: String,
    /// minor units, positive in our favour
    pub amount: i64,
    /// of `amount`
    pub currency: Currency,
    /// withheld, positive when it costs us
    pub fee: i64,
    /// when
    pub at: Timestamp,
    /// whether it names anything at all
    pub named: bool,
}

/// Our side: what a journal did to a clearing account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ours {
    /// the book
    pub book: i64,
    /// the journal
    pub journal: Uuid,
    /// the clearing account
    pub account: String,
    /// our object: a charge, a refund, a dispute, a payout
    pub object: String,
    /// what files call it
    pub reference: String,
    /// what happened
    pub kind: Kind,
    /// minor units, positive in our favour
    pub amount: i64,
    /// of `amount`
    pub currency: Currency,
    /// when
    pub at: Timestamp,
    /// a match of another file, or a decision, has it
    pub claimed: bool,
}

/// When is what still right?
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// a line that comes more days after our entry is late
    pub days: i32,
    /// a difference of up to so many minor units is matched, with an adjustment to be booked
    pub tolerance: i64,
}

impl Default for Terms {
    fn default() -> Self {
        Self { days: 3, tolerance: 0 }
    }
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BreakKind {
    /// the amounts differ
    AmountMismatch,
    /// the currencies differ
    CurrencyMismatch,
    /// a line about what another line has settled already
    Duplicate,
    /// a line that we know nothing about
    TheirsOnly,
    /// an entry that no line is about
    OursOnly,
    /// right, but days after it should have come
    Late,
}

impl BreakKind {
    /// Every kind.
    pub const ALL: [BreakKind; 6] = [
        BreakKind::AmountMismatch,
        BreakKind::CurrencyMismatch,
        BreakKind::Duplicate,
        BreakKind::TheirsOnly,
        BreakKind::OursOnly,
        BreakKind::Late,
    ];

    /// Its name in reports and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            BreakKind::AmountMismatch => "amount_mismatch",
            BreakKind::CurrencyMismatch => "currency_mismatch",
            BreakKind::Duplicate => "duplicate",
            BreakKind::TheirsOnly => "theirs_only",
            BreakKind::OursOnly => "ours_only",
            BreakKind::Late => "late",
        }
    }
}

/// Lines and entries that belong together. Indexes are those of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// lines
    pub theirs: Vec<usize>,
    /// entries
    pub ours: Vec<usize>,
    /// theirs less ours, within the tolerance: to be adjusted
    pub difference: i64,
}

/// Something to be explained. A break that has both sides has claimed them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Break {
    /// what
    pub kind: BreakKind,
    /// lines
    pub theirs: Vec<usize>,
    /// entries
    pub ours: Vec<usize>,
}

/// What became of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// right
    pub matches: Vec<Match>,
    /// wrong
    pub breaks: Vec<Break>,
    /// entries that no line of this cluster is about
    pub left: Vec<usize>,
}

/// Compares one cluster.
pub fn compare(theirs: &[Theirs], ours: &[Ours], terms: Terms) -> Outcome {
    let mut cluster = Cluster {
        theirs,
        ours,
        terms,
        outcome: Outcome::default(),
        lines: (0..theirs.len()).collect(),
        entries: free(ours, false),
        fees: free(ours, true),
    };
    cluster.equal_pairs();
    cluster.equal_sums();
    cluster.differences();
    let mut outcome = cluster.outcome;
    for line in cluster.lines {
        outcome.breaks.push(Break {
            kind: BreakKind::Duplicate,
            theirs: vec![line],
            ours: Vec::new(),
        });
    }
    outcome.left = cluster.entries;
    outcome
}

/// Whether a line's date is too late for an entry's.
pub fn is_late(theirs: Timestamp, ours: Timestamp, days: i32) -> bool {
    days_between(ours, theirs) > days
}

/// Days from one to another by the calendar of UTC; negative when the second is earlier.
pub fn days_between(first: Timestamp, second: Timestamp) -> i32 {
    let date = |at: Timestamp| at.to_zoned(TimeZone::UTC).date();
    (date(second) - date(first)).get_days()
}

/// Entries that can be claimed: fees of disputes apart, since the line about the dispute carries them.
fn free(ours: &[Ours], fees: bool) -> Vec<usize> {
    let wanted = |entry: &Ours| !entry.claimed && (entry.kind == Kind::Fee) == fees;
    (0..ours.len()).filter(|i| wanted(&ours[*i])).collect()
}

struct Cluster<'a> {
    theirs: &'a [Theirs],
    ours: &'a [Ours],
    terms: Terms,
    outcome: Outcome,
    /// not yet decided
    lines: Vec<usize>,
    entries: Vec<usize>,
    fees: Vec<usize>,
}

impl Cluster<'_> {
    fn equal_pairs(&mut self) {
        let mut undecided = Vec::new();
        for line in std::mem::take(&mut self.lines) {
            let theirs = &self.theirs[line];
            let equal = |i: &usize| {
                let ours = &self.ours[*i];
                (ours.amount, ours.currency) == (theirs.amount, theirs.currency)
            };
            let far = |i: &usize| days_between(self.ours[*i].at, theirs.at).abs();
            match self.entries.iter().copied().filter(equal).min_by_key(far) {
                Some(entry) => {
                    self.entries.retain(|i| *i != entry);
                    self.decide(vec![line], vec![entry], 0);
                }
                None => undecided.push(line),
            }
        }
        self.lines = undecided;
    }

    /// One line for several entries, several lines for one entry, or all for all.
    fn equal_sums(&mut self) {
        for line in self.lines.clone() {
            let theirs = &self.theirs[line];
            if let Some(entries) = subset(&self.entries, |i| self.of_ours(i), theirs.amount, theirs.currency) {
                self.lines.retain(|i| *i != line);
                self.entries.retain(|i| !entries.contains(i));
                self.decide(vec![line], entries, 0);
            }
        }
        for entry in self.entries.clone() {
            let ours = &self.ours[entry];
            if let Some(lines) = subset(&self.lines, |i| self.of_theirs(i), ours.amount, ours.currency) {
                self.entries.retain(|i| *i != entry);
                self.lines.retain(|i| !lines.contains(i));
                self.decide(lines, vec![entry], 0);
            }
        }
        if self.lines.len() > 1 && self.entries.len() > 1 && self.difference() == Some(0) {
            let (lines, entries) = (std::mem::take(&mut self.lines), std::mem::take(&mut self.entries));
            self.decide(lines, entries, 0);
        }
    }

    fn differences(&mut self) {
        let same_lines = |lines: &[usize]| {
            let amounts = lines.iter().map(|i| (self.theirs[*i].amount, self.theirs[*i].currency));
            amounts.collect::<std::collections::HashSet<_>>().len() == 1
        };
        // A single entry with different lines, or a single line with several entries, differs as a whole.
        let whole = self.entries.len() == 1 && self.lines.len() > 1 && !same_lines(&self.lines)
            || self.lines.len() == 1 && self.entries.len() > 1;
        if let (true, Some(difference)) = (whole, self.difference()) {
            let (lines, entries) = (std::mem::take(&mut self.lines), std::mem::take(&mut self.entries));
            self.differ(lines, entries, difference);
            return;
        }
        while let (Some(&line), false) = (self.lines.first(), self.entries.is_empty()) {
            let theirs = &self.theirs[line];
            let near = |i: &usize| {
                let ours = &self.ours[*i];
                let apart = (i128::from(ours.amount) - i128::from(theirs.amount)).abs();
                (ours.currency != theirs.currency, apart, *i)
            };
            let Some(entry) = self.entries.iter().copied().min_by_key(near) else {
                return;
            };
            self.lines.remove(0);
            self.entries.retain(|i| *i != entry);
            if self.ours[entry].currency != theirs.currency {
                self.break_up(BreakKind::CurrencyMismatch, vec![line], vec![entry]);
            } else {
                let difference = theirs.amount.saturating_sub(self.ours[entry].amount);
                self.differ(vec![line], vec![entry], difference);
            }
        }
    }

    fn differ(&mut self, lines: Vec<usize>, entries: Vec<usize>, difference: i64) {
        if difference.unsigned_abs() <= self.terms.tolerance.unsigned_abs() {
            self.decide(lines, entries, difference);
        } else {
            self.break_up(BreakKind::AmountMismatch, lines, entries);
        }
    }

    /// The amounts are right; the fee and the date may not be.
    fn decide(&mut self, lines: Vec<usize>, mut entries: Vec<usize>, difference: i64) {
        let fee: i64 = lines.iter().map(|i| self.theirs[*i].fee).fold(0, i64::saturating_add);
        let dispute = lines.iter().any(|i| self.theirs[*i].kind == Kind::Dispute);
        if dispute && fee > 0 && !self.fees.is_empty() {
            let booked = self
                .fees
                .iter()
                .map(|i| self.ours[*i].amount)
                .fold(0, i64::saturating_add);
            entries.append(&mut self.fees);
            if booked.checked_neg() != Some(fee) {
                self.break_up(BreakKind::AmountMismatch, lines, entries);
                return;
            }
        }
        let last = lines.iter().map(|i| self.theirs[*i].at).max();
        let first = entries.iter().map(|i| self.ours[*i].at).max();
        let late = last
            .zip(first)
            .is_some_and(|(last, first)| is_late(last, first, self.terms.days));
        if late {
            self.break_up(BreakKind::Late, lines, entries);
        } else {
            self.outcome.matches.push(Match {
                theirs: lines,
                ours: entries,
                difference,
            });
        }
    }

    fn break_up(&mut self, kind: BreakKind, theirs: Vec<usize>, ours: Vec<usize>) {
        self.outcome.breaks.push(Break { kind, theirs, ours });
    }

    /// Theirs less ours of all that is undecided, when it is all of one currency.
    fn difference(&self) -> Option<i64> {
        let currency = self.theirs[*self.lines.first()?].currency;
        let theirs = self.lines.iter().map(|i| self.of_theirs(*i));
        let ours = self.entries.iter().map(|i| self.of_ours(*i));
        let mut sum = 0i64;
        for (amount, of) in theirs {
            sum = sum.checked_add(amount).filter(|_| of == currency)?;
        }
        for (amount, of) in ours {
            sum = sum.checked_sub(amount).filter(|_| of == currency)?;
        }
        Some(sum)
    }

    fn of_theirs(&self, i: usize) -> (i64, Currency) {
        (self.theirs[i].amount, self.theirs[i].currency)
    }

    fn of_ours(&self, i: usize) -> (i64, Currency) {
        (self.ours[i].amount, self.ours[i].currency)
    }
}

/// The only choice of at least two of these that has this sum: all of them, or the single smaller set there is. None when there is no
/// such set, when there are several, or when there are too many to try.
pub(crate) fn subset(
    items: &[usize],
    amount: impl Fn(usize) -> (i64, Currency),
    wanted: i64,
    currency: Currency,
) -> Option<Vec<usize>> {
    let items: Vec<(usize, i64)> = items
        .iter()
        .map(|i| (*i, amount(*i)))
        .filter(|(_, (_, of))| *of == currency)
        .map(|(i, (amount, _))| (i, amount))
        .collect();
    if items.len() < 2 {
        return None;
    }
    if sum(items.iter()) == Some(wanted) {
        return Some(items.into_iter().map(|(i, _)| i).collect());
    }
    if items.len() > SUBSET {
        return None;
    }
    let mut found = None;
    for set in 1u32..1 << items.len() {
        if set.count_ones() < 2 {
            continue;
        }
        let chosen = || {
            items
                .iter()
                .enumerate()
                .filter(|(bit, _)| set & 1 << bit != 0)
                .map(|(_, item)| item)
        };
        if sum(chosen()) == Some(wanted) {
            if found.is_some() {
                return None; // ambiguous
            }
            found = Some(chosen().map(|(i, _)| *i).collect());
        }
    }
    found
}

fn sum<'a>(mut items: impl Iterator<Item = &'a (usize, i64)>) -> Option<i64> {
    items.try_fold(0i64, |sum, (_, amount)| sum.checked_add(*amount))
}

/// Among so many, every choice is tried.
const SUBSET: usize = 12;

#[cfg(test)]
mod tests;
