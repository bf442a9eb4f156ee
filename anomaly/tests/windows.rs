//! Windows against a naive recount of everything that was observed.

use anomaly::{Counts, EXACT_MAX, History, Observation, Totals, Window};
use proptest::prelude::*;
use std::collections::HashSet;

const EUR: [u8; 3] = *b"EUR";
const HOUR_MS: i64 = 3_600_000;

fn recount<'a>(seen: impl Iterator<Item = &'a Observation>, currency: [u8; 3]) -> Totals {
    let mut totals = Totals::default();
    let (counts, mut cards) = (&mut totals.counts, HashSet::new());
    for o in seen {
        let has = |flag: u8| u32::from(o.flags & flag != 0);
        counts.attempts += 1;
        counts.approved += has(Observation::APPROVED);
        counts.declined += has(Observation::DECLINED);
        counts.bad_number += has(Observation::BAD_NUMBER);
        counts.bad_cvc += has(Observation::BAD_CVC);
        counts.small += has(Observation::SMALL);
        counts.repeats += has(Observation::REPEAT);
        counts.probes += has(Observation::PROBE);
        counts.outliers += has(Observation::OUTLIER);
        if o.currency == currency {
            counts.priced += 1;
            counts.amount_minor += o.amount_minor;
        }
        if o.counterpart != 0 {
            cards.insert(o.counterpart);
        }
    }
    totals.distinct = cards.len() as u32;
    totals
}

fn observation(spread_ms: i64) -> impl Strategy<Value = Observation> {
    let currency = prop_oneof![Just(EUR), Just(*b"JPY")];
    (0..spread_ms, 0..10_000i64, 0..12u64, currency, any::<u8>()).prop_map(
        |(at_ms, amount_minor, counterpart, currency, flags)| Observation {
            at_ms: START_MS + at_ms,
            amount_minor,
            counterpart,
            currency,
            flags,
        },
    )
}

fn totals(history: &History, at_ms: i64, currency: [u8; 3]) -> [Totals; 7] {
    let mut totals = Default::default();
    history.totals(at_ms, currency, &mut totals);
    totals
}

const START_MS: i64 = 1_790_000_000_000;

/// Minutes, hours, days and months, so that every window has edges inside the stream.
fn stream(len: usize) -> impl Strategy<Value = Vec<Observation>> {
    prop_oneof![
        Just(90_000i64),
        Just(1_200_000),
        Just(2 * HOUR_MS),
        Just(55 * HOUR_MS),
        Just(2_400 * HOUR_MS)
    ]
    .prop_flat_map(move |spread_ms| prop::collection::vec(observation(spread_ms), 1..len))
}

fn within(stream: &[Observation], from_ms: i64, to_ms: i64, currency: [u8; 3]) -> Totals {
    recount(
        stream.iter().filter(|o| o.at_ms > from_ms && o.at_ms <= to_ms),
        currency,
    )
}

/// What windows beyond 24 hours count.
fn long(counts: Counts) -> Counts {
    Counts {
        approved: 0,
        bad_number: 0,
        bad_cvc: 0,
        small: 0,
        repeats: 0,
        probes: 0,
        ..counts
    }
}

fn at_most(less: &Counts, more: &Counts) -> bool {
    let figures = |c: &Counts| {
        [
            c.attempts,
            c.priced,
            c.approved,
            c.declined,
            c.bad_number,
            c.bad_cvc,
            c.small,
            c.repeats,
            c.probes,
            c.outliers,
        ]
    };
    figures(less)
        .iter()
        .zip(figures(more))
        .all(|(less, more)| *less <= more)
        && less.amount_minor <= more.amount_minor
}

proptest! {
    /// Short windows of a key that is not busy, whatever the order of arrival.
    #[test]
    fn a_log_equals_the_recount_in_any_order(stream in stream(EXACT_MAX), back_ms in 0..HOUR_MS) {
        let mut history = History::default();
        stream.iter().for_each(|o| history.observe(o));
        prop_assert!(history.is_exact());
        let newest_ms = stream.iter().map(|o| o.at_ms).max().unwrap();
        for at_ms in [newest_ms, newest_ms + back_ms] {
            for (totals, window) in totals(&history, at_ms, EUR).iter().zip(Window::ALL).take(4) {
                let from_ms = at_ms - window.length_ms();
                prop_assert_eq!(totals.counts, within(&stream, from_ms, at_ms, EUR).counts);
                let distinct = |from_ms| within(&stream, from_ms, i64::MAX, EUR).distinct;
                prop_assert!(distinct(from_ms) <= totals.distinct && totals.distinct <= distinct(from_ms - 1_000));
            }
        }
        // a reading in the past sees what is left of the log
        let at_ms = newest_ms - back_ms;
        for (totals, window) in totals(&history, at_ms, EUR).iter().zip(Window::ALL).take(3) {
            let from_ms = (at_ms - window.length_ms()).max(newest_ms - Window::H24.length_ms());
            prop_assert_eq!(totals.counts, within(&stream, from_ms, at_ms, EUR).counts);
        }
    }

    /// Windows of a busy key, and those over days and weeks of any: never less than the window, at most a tile more.
    #[test]
    fn tiles_see_the_window_and_at_most_a_tile_more(mut stream in stream(6 * EXACT_MAX), sorted in any::<bool>()) {
        if sorted {
            stream.sort_by_key(|o| o.at_ms);
        }
        let mut history = History::default();
        stream.iter().for_each(|o| history.observe(o));
        let at_ms = stream.iter().map(|o| o.at_ms).max().unwrap();
        let currency = stream[0].currency;
        let skip = if sorted { 0 } else { 4 }; // out of order, a busy key's short windows drop what is late for them
        for (totals, window) in totals(&history, at_ms, currency).iter().zip(Window::ALL).skip(skip) {
            let from_ms = at_ms - window.length_ms();
            let mut least = within(&stream, from_ms, at_ms, currency);
            let most = within(&stream, from_ms - window.tile_ms(), at_ms, currency);
            if window.length_ms() > Window::H24.length_ms() {
                least.counts = long(least.counts);
            }
            prop_assert!(at_most(&least.counts, &totals.counts), "{:?} {:?} {:?}", window, least, totals);
            prop_assert!(at_most(&totals.counts, &most.counts), "{:?} {:?} {:?}", window, totals, most);
            prop_assert!(least.distinct <= totals.distinct && totals.distinct <= most.distinct);
        }
        prop_assert!(history.heap_bytes() <= History::BYTES_MAX);
    }
}

#[test]
fn distinct_estimates_stay_within_a_sixth_up_to_five_hundred() {
    for distinct in [130u64, 200, 300, 400, 500] {
        let mut history = History::default();
        for card in 1..=distinct {
            let o = Observation {
                at_ms: START_MS + card as i64,
                amount_minor: 1,
                counterpart: anomaly::key(&card.to_string()),
                currency: EUR,
                flags: 0,
            };
            history.observe(&o);
        }
        for totals in totals(&history, START_MS + distinct as i64, EUR) {
            let estimate = f64::from(totals.distinct);
            assert!(
                (estimate / distinct as f64 - 1.0).abs() < 1.0 / 6.0,
                "{distinct}: {estimate}"
            );
        }
        assert!(history.heap_bytes() <= History::BYTES_MAX);
    }
}

#[test]
fn a_busy_key_is_exact_again_after_a_quiet_day_and_forgets_nothing_of_the_week() {
    let mut history = History::default();
    let o = Observation {
        at_ms: START_MS,
        amount_minor: 1,
        counterpart: 7,
        currency: EUR,
        flags: 0,
    };
    (0..=EXACT_MAX).for_each(|_| history.observe(&o));
    assert!(!history.is_exact());
    let at_ms = START_MS + 2 * Window::H24.length_ms();
    history.observe(&Observation { at_ms, ..o });
    assert!(history.is_exact());
    let attempts = totals(&history, at_ms, EUR).map(|totals| totals.counts.attempts);
    let all = EXACT_MAX as u32 + 2;
    assert_eq!(attempts, [1, 1, 1, 1, all, all, all]);
}

#[test]
fn an_attempt_leaves_a_short_window_when_it_is_exactly_as_old() {
    for (place, window) in Window::ALL.into_iter().enumerate().take(4) {
        let mut history = History::default();
        history.observe(&Observation {
            at_ms: START_MS,
            amount_minor: 1,
            counterpart: 7,
            currency: EUR,
            flags: 0,
        });
        let attempts_at = |after_ms: i64| totals(&history, START_MS + after_ms, EUR)[place].counts.attempts;
        assert_eq!(
            [-1, 0, window.length_ms() - 1, window.length_ms()].map(attempts_at),
            [0, 1, 1, 0],
            "{window:?}"
        );
    }
}

#[test]
fn a_label_counts_from_the_day_it_is_known() {
    let mut history = History::default();
    history.label(START_MS, true);
    history.label(START_MS + HOUR_MS, false);
    let known = |after_ms: i64| {
        let seen = totals(&history, START_MS + after_ms, EUR);
        [Window::D7, Window::D30, Window::D90]
            .map(|window| seen[window as usize].counts)
            .map(|counts| (counts.labelled, counts.frauds))
    };
    assert_eq!(known(2 * HOUR_MS), [(2, 1); 3]);
    assert_eq!(known(10 * 24 * HOUR_MS), [(0, 0), (2, 1), (2, 1)]);
    assert_eq!(known(200 * 24 * HOUR_MS), [(0, 0); 3]);
}
