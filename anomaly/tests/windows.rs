//! Windows against a naive recount of everything that was observed.

use anomaly::{EXACT_MAX, History, Observation, TILES, Totals, Window};
use proptest::prelude::*;
use std::collections::HashSet;

const EUR: [u8; 3] = *b"EUR";
const FLAGS: [u8; 6] = [
    Observation::APPROVED,
    Observation::DECLINED,
    Observation::BAD_NUMBER,
    Observation::BAD_CVC,
    Observation::SMALL,
    Observation::REPEAT,
];

fn recount<'a>(seen: impl Iterator<Item = &'a Observation>, currency: [u8; 3]) -> Totals {
    let (mut counts, mut attempts, mut amount_minor, mut cards) = ([0; 6], 0, 0, HashSet::new());
    for o in seen {
        attempts += 1;
        for (count, flag) in counts.iter_mut().zip(FLAGS) {
            *count += u32::from(o.flags & flag != 0);
        }
        if o.currency == currency {
            amount_minor += o.amount_minor;
        }
        if o.counterpart != 0 {
            cards.insert(o.counterpart);
        }
    }
    let [approved, declined, bad_number, bad_cvc, small, repeats] = counts;
    let distinct = cards.len() as u32;
    Totals {
        attempts,
        approved,
        declined,
        bad_number,
        bad_cvc,
        small,
        repeats,
        distinct,
        amount_minor,
    }
}

fn observation(spread_ms: i64) -> impl Strategy<Value = Observation> {
    let currency = prop_oneof![Just(EUR), Just(*b"JPY")];
    (0..spread_ms, 0..10_000i64, 0..12u64, currency, 0..64u8).prop_map(
        |(at_ms, amount_minor, counterpart, currency, flags)| Observation {
            at_ms,
            amount_minor,
            counterpart,
            currency,
            flags,
        },
    )
}

/// Minutes, hours and days, so that every window has edges inside the stream.
fn stream(len: usize) -> impl Strategy<Value = Vec<Observation>> {
    prop_oneof![Just(90_000i64), Just(1_200_000), Just(7_200_000), Just(200_000_000)]
        .prop_flat_map(move |spread_ms| prop::collection::vec(observation(spread_ms), 1..len))
}

proptest! {
    #[test]
    fn a_log_equals_the_recount_in_any_order(stream in stream(EXACT_MAX), back_ms in 0..3_600_000i64) {
        let mut history = History::default();
        stream.iter().for_each(|o| history.observe(o));
        prop_assert!(history.is_exact());
        let newest_ms = stream.iter().map(|o| o.at_ms).max().unwrap();
        // An entry that came later than 24 hours behind the newest *of its time* was ignored; the newest of all time
        // bounds what any reading at or after it can see, so the recount needs no such rule.
        for at_ms in [newest_ms, newest_ms + back_ms] {
            for (totals, window) in history.totals(at_ms, EUR).iter().zip(Window::ALL) {
                let inside = |o: &&Observation| o.at_ms > at_ms - window.length_ms() && o.at_ms <= at_ms;
                prop_assert_eq!(*totals, recount(stream.iter().filter(inside), EUR));
            }
        }
        // A reading in the past sees what is left of the log.
        let at_ms = newest_ms - back_ms;
        for (totals, window) in history.totals(at_ms, EUR).iter().zip(Window::ALL).take(3) {
            let from_ms = (at_ms - window.length_ms()).max(newest_ms - Window::H24.length_ms());
            let inside = |o: &&Observation| o.at_ms > from_ms && o.at_ms <= at_ms;
            prop_assert_eq!(*totals, recount(stream.iter().filter(inside), EUR));
        }
    }

    #[test]
    fn tiles_see_the_window_and_at_most_a_tile_more(mut stream in stream(6 * EXACT_MAX)) {
        stream.sort_by_key(|o| o.at_ms);
        let mut history = History::default();
        stream.iter().for_each(|o| history.observe(o));
        let at_ms = stream.last().unwrap().at_ms;
        let exact = history.is_exact();
        for (totals, window) in history.totals(at_ms, stream[0].currency).iter().zip(Window::ALL) {
            let slack_ms = window.length_ms() / (TILES as i64 - 1);
            let since = |from_ms: i64| stream.iter().filter(move |o| o.at_ms > from_ms);
            let least = recount(since(at_ms - window.length_ms()), stream[0].currency);
            let most = recount(since(at_ms - window.length_ms() - slack_ms), stream[0].currency);
            prop_assert!(least.attempts <= totals.attempts && totals.attempts <= most.attempts, "{:?} {:?}", window, exact);
            prop_assert!(least.declined <= totals.declined && totals.declined <= most.declined);
            prop_assert!(least.bad_cvc <= totals.bad_cvc && totals.bad_cvc <= most.bad_cvc);
            prop_assert!(least.distinct.saturating_sub(1) <= totals.distinct && totals.distinct <= most.distinct + 1);
        }
    }
}

#[test]
fn distinct_estimates_stay_within_a_sixth_up_to_five_hundred() {
    for distinct in [130u64, 200, 300, 400, 500] {
        let mut history = History::default();
        for card in 1..=distinct {
            let o = Observation {
                at_ms: card as i64,
                amount_minor: 1,
                counterpart: anomaly::key(&card.to_string()),
                currency: EUR,
                flags: 0,
            };
            history.observe(&o);
        }
        let estimate = f64::from(history.totals(distinct as i64, EUR)[0].distinct);
        assert!(
            (estimate / distinct as f64 - 1.0).abs() < 1.0 / 6.0,
            "{distinct}: {estimate}"
        );
    }
}

#[test]
fn a_busy_key_is_exact_again_after_a_quiet_day() {
    let mut history = History::default();
    let o = Observation {
        at_ms: 0,
        amount_minor: 1,
        counterpart: 7,
        currency: EUR,
        flags: 0,
    };
    (0..=EXACT_MAX).for_each(|_| history.observe(&o));
    assert!(!history.is_exact());
    history.observe(&Observation {
        at_ms: 2 * Window::H24.length_ms(),
        ..o
    });
    assert!(history.is_exact());
    assert_eq!(history.totals(2 * Window::H24.length_ms(), EUR)[3].attempts, 1);
}

#[test]
fn an_attempt_leaves_a_window_when_it_is_exactly_as_old() {
    for (place, window) in Window::ALL.into_iter().enumerate() {
        let mut history = History::default();
        history.observe(&Observation {
            at_ms: 0,
            amount_minor: 1,
            counterpart: 7,
            currency: EUR,
            flags: 0,
        });
        let attempts_at = |at_ms: i64| history.totals(at_ms, EUR)[place].attempts;
        assert_eq!(
            [-1, 0, window.length_ms() - 1, window.length_ms()].map(attempts_at),
            [0, 1, 1, 0],
            "{window:?}"
        );
    }
}
