//! Each way in which two sides can agree or differ, and what holds for any two sides.

use super::*;
use proptest::prelude::*;

const DAY: i64 = 86_400;

fn at(day: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + day * DAY).unwrap()
}

fn line(kind: Kind, amount: i64, code: &str, day: i64) -> Theirs {
    Theirs {
        line: 0,
        kind,
        reference: "ch_1".into(),
        amount,
        currency: code.parse().unwrap(),
        fee: 0,
        at: at(day),
        named: true,
    }
}

fn entry(kind: Kind, amount: i64, code: &str, day: i64) -> Ours {
    Ours {
        book: 1,
        journal: Uuid::nil(),
        account: "1110.stripe.usd".into(),
        object: "ch_ours".into(),
        reference: "ch_1".into(),
        kind,
        amount,
        currency: code.parse().unwrap(),
        at: at(day),
        claimed: false,
    }
}

/// `(theirs, ours)` as amounts in dollars on one day, to what became of it.
fn of(theirs: &[i64], ours: &[i64]) -> Outcome {
    let theirs: Vec<_> = theirs.iter().map(|a| line(Kind::Payment, *a, "usd", 0)).collect();
    let ours: Vec<_> = ours.iter().map(|a| entry(Kind::Payment, *a, "usd", 0)).collect();
    compare(&theirs, &ours, Terms::default())
}

fn kinds(outcome: &Outcome) -> Vec<BreakKind> {
    outcome.breaks.iter().map(|b| b.kind).collect()
}

#[test]
fn equal_sides_match_one_by_one_and_by_sums() {
    for (theirs, ours, matches) in [
        (&[100][..], &[100][..], 1),
        (&[100, 100], &[100, 100], 2),
        (&[100], &[60, 40], 1),
        (&[60, 40], &[100], 1),
        (&[70, 30], &[60, 40], 1),
        (&[50, 100], &[100, 30, 20], 2),
    ] {
        let outcome = of(theirs, ours);
        assert_eq!(outcome.matches.len(), matches, "{theirs:?} {ours:?}: {outcome:?}");
        assert!(outcome.breaks.is_empty() && outcome.left.is_empty(), "{outcome:?}");
    }
}

#[test]
fn what_differs_is_told_as_what_it_differs_in() {
    use BreakKind::*;
    for (theirs, ours, breaks, left) in [
        (&[99][..], &[100][..], &[AmountMismatch][..], 0),
        (&[100, 100], &[100], &[Duplicate], 0),
        (&[99, 99], &[100], &[AmountMismatch, Duplicate], 0),
        (&[90], &[60, 40], &[AmountMismatch], 0),
        (&[60, 50], &[100], &[AmountMismatch], 0),
        (&[100], &[100, 7], &[], 1),
        (&[], &[100], &[], 1),
        (&[100], &[], &[Duplicate], 0),
    ] {
        let outcome = of(theirs, ours);
        assert_eq!(kinds(&outcome), breaks, "{theirs:?} {ours:?}");
        assert_eq!(outcome.left.len(), left, "{theirs:?} {ours:?}");
    }
    let euro = compare(
        &[line(Kind::Payment, 100, "eur", 0)],
        &[entry(Kind::Payment, 100, "usd", 0)],
        Terms::default(),
    );
    assert_eq!(kinds(&euro), [CurrencyMismatch]);
}

#[test]
fn a_line_is_late_after_so_many_days_and_early_lines_are_right() {
    for (day, late) in [(-1, false), (0, false), (3, false), (4, true), (40, true)] {
        let outcome = compare(
            &[line(Kind::Payment, 100, "usd", day)],
            &[entry(Kind::Payment, 100, "usd", 0)],
            Terms::default(),
        );
        assert_eq!(
            kinds(&outcome),
            if late { vec![BreakKind::Late] } else { vec![] },
            "{day}"
        );
        assert_eq!(outcome.matches.len(), usize::from(!late));
    }
}

#[test]
fn the_nearest_of_equal_entries_is_taken_and_claimed_ones_are_not() {
    let ours = [
        entry(Kind::Payment, 100, "usd", -30),
        entry(Kind::Payment, 100, "usd", 0),
    ];
    let outcome = compare(&[line(Kind::Payment, 100, "usd", 1)], &ours, Terms::default());
    assert_eq!(outcome.matches[0].ours, [1]);
    assert_eq!(outcome.left, [0]);
    let claimed = Ours {
        claimed: true,
        ..entry(Kind::Payment, 100, "usd", 0)
    };
    let again = compare(&[line(Kind::Payment, 100, "usd", 1)], &[claimed], Terms::default());
    assert_eq!((kinds(&again), again.left.len()), (vec![BreakKind::Duplicate], 0));
}

#[test]
fn a_difference_within_the_tolerance_is_matched_with_its_adjustment() {
    let terms = Terms { days: 3, tolerance: 2 };
    let ours = [entry(Kind::Payment, 100, "usd", 0)];
    for (amount, matched) in [(98, true), (102, true), (97, false), (103, false)] {
        let outcome = compare(&[line(Kind::Payment, amount, "usd", 0)], &ours, terms);
        assert_eq!(
            outcome.matches.first().map(|m| m.difference),
            matched.then_some(amount - 100)
        );
    }
}

#[test]
fn the_fee_of_a_dispute_is_part_of_its_line() {
    let ours = [entry(Kind::Dispute, -500, "usd", 0), entry(Kind::Fee, -150, "usd", 0)];
    let with = |fee| {
        let mut theirs = line(Kind::Dispute, -500, "usd", 0);
        theirs.fee = fee;
        compare(&[theirs], &ours, Terms::default())
    };
    assert_eq!(with(150).matches[0].ours, [0, 1]);
    assert_eq!(kinds(&with(140)), [BreakKind::AmountMismatch]);
    // Acquirers that charge it in a line of its own.
    assert_eq!(with(0).matches[0].ours, [0]);
}

#[test]
fn an_ambiguous_sum_is_no_match() {
    let amount = |i: usize| ([10, 20, 20, 30][i], Currency::USD);
    assert_eq!(subset(&[0, 1, 2, 3], amount, 30, Currency::USD), None, "10 + either 20");
    assert_eq!(subset(&[0, 1, 3], amount, 30, Currency::USD), Some(vec![0, 1]));
    assert_eq!(subset(&[0, 1, 2, 3], amount, 80, Currency::USD), Some(vec![0, 1, 2, 3]));
    assert_eq!(subset(&[3], amount, 30, Currency::USD), None, "one is no sum");
}

proptest! {
    /// Whatever is compared: a line is in one match or break, an entry in one match, break or left over, sums of matches are equal.
    #[test]
    fn both_sides_are_claimed_once(
        theirs in prop::collection::vec((-5i64..5, any::<bool>(), 0i64..6), 0..6),
        ours in prop::collection::vec((-5i64..5, any::<bool>(), 0i64..6, any::<bool>()), 0..6),
    ) {
        let code = |usd| if usd { "usd" } else { "eur" };
        let theirs: Vec<_> = theirs.iter().map(|(a, usd, day)| line(Kind::Movement, *a, code(*usd), *day)).collect();
        let ours: Vec<_> = ours.iter().map(|(a, usd, day, claimed)| Ours { claimed: *claimed, ..entry(Kind::Payment, *a, code(*usd), *day) }).collect();
        let outcome = compare(&theirs, &ours, Terms::default());
        prop_assert_eq!(&outcome, &compare(&theirs, &ours, Terms::default()));
        let mut lines: Vec<usize> = outcome.matches.iter().flat_map(|m| m.theirs.clone()).chain(outcome.breaks.iter().flat_map(|b| b.theirs.clone())).collect();
        let mut entries: Vec<usize> = outcome.matches.iter().flat_map(|m| m.ours.clone()).chain(outcome.breaks.iter().flat_map(|b| b.ours.clone())).chain(outcome.left.clone()).collect();
        lines.sort_unstable();
        entries.sort_unstable();
        prop_assert_eq!(lines, (0..theirs.len()).collect::<Vec<_>>());
        prop_assert_eq!(entries, (0..ours.len()).filter(|i| !ours[*i].claimed).collect::<Vec<_>>());
        for m in &outcome.matches {
            let sum = |amounts: Vec<(i64, Currency)>| { let c = amounts[0].1; (amounts.iter().map(|a| a.0).sum::<i64>(), c, amounts.iter().all(|a| a.1 == c)) };
            prop_assert_eq!(
                sum(m.theirs.iter().map(|i| (theirs[*i].amount, theirs[*i].currency)).collect()),
                sum(m.ours.iter().map(|i| (ours[*i].amount, ours[*i].currency)).collect())
            );
        }
    }
}
