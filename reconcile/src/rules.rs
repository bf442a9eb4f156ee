//! What no reference brought together: by amount, currency and date, and by sums. Pure.
//!
//! A line that names nothing is matched when one entry alone could be meant by it, and it alone by the entry; everything else is
//! suggested, and what is ambiguous not even that. A line that names something we do not know is never matched by its amount: it is
//! about something else, which happens to cost the same.

use std::collections::HashMap;

use ledger::Currency;

use crate::cluster::{Ours, Terms, Theirs, days_between, subset};

/// What the rules make of leftovers. Indexes are those of the input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// lines and their entries, beyond doubt
    pub matches: Vec<(usize, Vec<usize>)>,
    /// lines and the entries they could be about: for a person to decide
    pub suggestions: Vec<(usize, Vec<usize>)>,
}

/// Looks through what is left on both sides.
pub fn search(theirs: &[Theirs], ours: &[Ours], terms: Terms) -> Found {
    let mut by_amount: HashMap<(Currency, i64), Vec<usize>> = HashMap::new();
    for (i, entry) in ours.iter().enumerate().filter(|(_, entry)| !entry.claimed) {
        by_amount.entry((entry.currency, entry.amount)).or_default().push(i);
    }
    let near = |line: &Theirs, i: usize| (EARLY..=terms.days).contains(&days_between(ours[i].at, line.at));
    let candidates = |line: &Theirs| {
        let same = by_amount.get(&(line.currency, line.amount));
        let same = same.into_iter().flatten().copied();
        same.filter(|i| near(line, *i)).take(2).collect::<Vec<_>>()
    };
    // How many lines could be about an entry: an entry that two want is nobody's.
    let mut wanted: HashMap<usize, usize> = HashMap::new();
    let all: Vec<Vec<usize>> = theirs.iter().map(candidates).collect();
    for i in all.iter().flatten() {
        *wanted.entry(*i).or_default() += 1;
    }
    let mut found = Found::default();
    let mut taken = vec![false; ours.len()];
    for (n, candidates) in all.iter().enumerate() {
        if let [entry] = candidates.as_slice()
            && wanted[entry] == 1
        {
            taken[*entry] = true;
            match theirs[n].named {
                false => found.matches.push((n, vec![*entry])),
                true => found.suggestions.push((n, vec![*entry])),
            }
        }
    }
    let free: Vec<usize> = (0..ours.len()).filter(|i| !taken[*i] && !ours[*i].claimed).collect();
    if free.len() > POOL {
        return found; // too many for sums to mean anything
    }
    for (n, line) in theirs.iter().enumerate().filter(|(n, _)| all[*n].is_empty()) {
        let pool: Vec<usize> = free.iter().copied().filter(|i| !taken[*i] && near(line, *i)).collect();
        let amount = |i: usize| (ours[i].amount, ours[i].currency);
        if let Some(entries) = subset(&pool, amount, line.amount, line.currency) {
            entries.iter().for_each(|i| taken[*i] = true);
            found.suggestions.push((n, entries));
        }
    }
    found
}

/// Days by which a line may come before our entry: banks and acquirers keep other hours.
const EARLY: i32 = -1;
/// Entries among which sums are looked for.
const POOL: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;
    use jiff::Timestamp;
    use uuid::Uuid;

    fn line(amount: i64, named: bool, day: i64) -> Theirs {
        Theirs {
            line: 0,
            kind: Kind::Movement,
            reference: String::new(),
            amount,
            currency: Currency::USD,
            fee: 0,
            at: Timestamp::from_second(1_790_000_000 + day * 86_400).unwrap(),
            named,
        }
    }

    fn entry(amount: i64, day: i64) -> Ours {
        Ours {
            book: 1,
            journal: Uuid::nil(),
            account: "1120.stripe.usd".into(),
            object: "po_1".into(),
            reference: "po_1".into(),
            kind: Kind::Movement,
            amount,
            currency: Currency::USD,
            at: line(0, false, day).at,
            claimed: false,
        }
    }

    type Pairs = Vec<(usize, Vec<usize>)>;

    fn of(theirs: &[Theirs], ours: &[Ours]) -> (Pairs, Pairs) {
        let found = search(theirs, ours, Terms::default());
        (found.matches, found.suggestions)
    }

    #[test]
    fn a_line_without_a_name_matches_the_only_entry_it_can_be() {
        let ours = [entry(500, 0), entry(700, 0)];
        assert_eq!(of(&[line(500, false, 2)], &ours), (vec![(0, vec![0])], vec![]));
        assert_eq!(of(&[line(500, false, 4)], &ours), (vec![], vec![]), "out of the window");
        assert_eq!(
            of(&[line(500, false, -2)], &ours),
            (vec![], vec![]),
            "before it happened"
        );
    }

    #[test]
    fn a_line_with_a_name_that_we_do_not_know_is_suggested_at_most() {
        assert_eq!(
            of(&[line(500, true, 0)], &[entry(500, 0)]),
            (vec![], vec![(0, vec![0])])
        );
    }

    #[test]
    fn what_is_ambiguous_is_nobodys() {
        assert_eq!(of(&[line(500, false, 0)], &[entry(500, 0), entry(500, 1)]).0, vec![]);
        assert_eq!(
            of(&[line(500, false, 0), line(500, false, 1)], &[entry(500, 0)]).0,
            vec![]
        );
    }

    #[test]
    fn a_sum_is_suggested_when_it_is_the_only_one() {
        let ours = [entry(500, 0), entry(700, 0), entry(10, 0)];
        assert_eq!(of(&[line(1200, false, 0)], &ours), (vec![], vec![(0, vec![0, 1])]));
        let twice = [entry(500, 0), entry(700, 0), entry(500, 0)];
        assert_eq!(of(&[line(1200, false, 0)], &twice), (vec![], vec![]));
    }
}
