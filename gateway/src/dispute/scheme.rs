//! The networks' clocks: how long each side has, by network, family of reason and stage; and which timer of a dispute is next.
//!
//! An acquirer's own `due_by` always goes before these: they are for acquirers that tell none, and for the windows in which the other
//! side may still go on, which no acquirer tells. Days as acquirers give them to merchants, shorter than the networks' own. It must never
//! look at a clock.

use super::rows::Dispute;
use super::stage::Stage;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// What a dispute waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timer {
    /// seven days are left to answer
    Remind7,
    /// three
    Remind3,
    /// one
    Remind1,
    /// the time to answer is over
    PastDue,
    /// the other side can no longer go on
    Window,
}

/// A line of [`DAYS`].
struct Line {
    /// `None` for every other network
    brand: Option<&'static str>,
    /// beginnings of reason codes; none for all
    codes: &'static [&'static str],
    /// to answer a chargeback
    answer: i64,
    /// until a win can no longer be taken back
    window: i64,
    /// to file pre-arbitration after a loss
    file: i64,
    /// to contest one of the issuer
    contest: i64,
}

/// Visa's allocation flow is for fraud and authorization (10.x, 11.x), its collaboration flow for the rest.
#[rustfmt::skip]
const DAYS: &[Line] = &[
    Line { brand: Some("visa"),       codes: &["10", "11"], answer: 18, window: 45,  file: 30, contest: 30 },
    Line { brand: Some("visa"),       codes: &[],           answer: 18, window: 60,  file: 10, contest: 30 },
    Line { brand: Some("mastercard"), codes: &[],           answer: 40, window: 70,  file: 30, contest: 30 },
    Line { brand: Some("amex"),       codes: &[],           answer: 14, window: 50,  file: 14, contest: 14 },
    Line { brand: Some("unionpay"),   codes: &[],           answer: 30, window: 20,  file: 30, contest: 30 },
    Line { brand: None,               codes: &[],           answer: 14, window: 120, file: 10, contest: 10 },
];

/// How long this stage lasts in this network, from the day it began; `None` where nothing runs.
pub fn lasts(brand: &str, reason_code: Option<&str>, stage: Stage) -> Option<SignedDuration> {
    let line = DAYS.iter().find(|line| {
        let code = reason_code.unwrap_or_default();
        line.brand.is_none_or(|b| b == brand)
            && (line.codes.is_empty() || line.codes.iter().any(|begins| code.starts_with(begins)))
    })?;
    let days = match stage {
        Stage::InquiryOpen | Stage::Notified | Stage::NeedsResponse => line.answer,
        Stage::WonProvisional => line.window,
        Stage::LostProvisional => line.file,
        Stage::PrearbOpen => line.contest,
        _ => return None,
    };
    Some(SignedDuration::from_hours(24 * days))
}

/// The next timer of this dispute after `fired`, as seen at `now`; `since` is when it came to its stage.
///
/// A reminder whose moment has passed already is left out; an end is never left out.
pub fn next(dispute: &Dispute, since: Timestamp, now: Timestamp, fired: Option<Timer>) -> Option<(Timer, Timestamp)> {
    let brand = dispute.details.brand.as_str();
    let code = dispute.network_reason_code.as_deref();
    let open = dispute.stage.round().is_some_and(|round| dispute.answered < round);
    let mut timers = Vec::new();
    if open && let Some(due_by) = dispute.due_by {
        for (timer, days) in [(Timer::Remind7, 7), (Timer::Remind3, 3), (Timer::Remind1, 1)] {
            let at = due_by - SignedDuration::from_hours(24 * days);
            if at > now {
                timers.push((timer, at));
            }
        }
        if dispute.stage != Stage::LostProvisional {
            // the last moment counts
            timers.push((Timer::PastDue, due_by + SignedDuration::from_secs(1)));
        }
    }
    let window = match (dispute.stage, dispute.due_by) {
        (Stage::LostProvisional, Some(due_by)) => Some(due_by + SignedDuration::from_secs(1)),
        (Stage::WonProvisional | Stage::LostProvisional, _) => {
            lasts(brand, code, dispute.stage).map(|lasts| since + lasts)
        }
        _ => None,
    };
    timers.extend(window.map(|at| (Timer::Window, at)));
    timers
        .into_iter()
        .find(|(timer, _)| fired.is_none_or(|fired| *timer > fired))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_network_and_family_has_its_days() {
        let days = |brand, code, stage| lasts(brand, code, stage).map(|d| d.as_hours() / 24);
        for (brand, code, answer, window) in [
            ("visa", Some("10.4"), 18, 45),
            ("visa", Some("13.1"), 18, 60),
            ("visa", None, 18, 60),
            ("mastercard", Some("4853"), 40, 70),
            ("amex", Some("F29"), 14, 50),
            ("unionpay", None, 30, 20),
            ("jcb", None, 14, 120),
        ] {
            assert_eq!(
                days(brand, code, Stage::NeedsResponse),
                Some(answer),
                "{brand} {code:?}"
            );
            assert_eq!(
                days(brand, code, Stage::WonProvisional),
                Some(window),
                "{brand} {code:?}"
            );
        }
        assert_eq!(days("visa", Some("10.4"), Stage::LostProvisional), Some(30));
        assert_eq!(days("visa", Some("13.1"), Stage::LostProvisional), Some(10));
        for stage in [
            Stage::UnderReview,
            Stage::WonFinal,
            Stage::LostFinal,
            Stage::InquiryClosed,
        ] {
            assert_eq!(days("visa", None, stage), None);
        }
    }

    #[test]
    fn reminders_come_in_order_and_the_end_is_never_left_out() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let day = |days: i64| SignedDuration::from_hours(24 * days);
        let mut dispute = super::super::state::tests::open_dispute(now + day(5));
        let (timer, at) = next(&dispute, now, now, None).unwrap();
        assert_eq!(
            (timer, at),
            (Timer::Remind3, now + day(2)),
            "the seventh day is over already"
        );
        let (timer, at) = next(&dispute, now, at, Some(timer)).unwrap();
        assert_eq!((timer, at), (Timer::Remind1, now + day(4)));
        // The process was away for a week: the end comes, late, and no reminder of the past.
        let late = now + day(12);
        let (timer, at) = next(&dispute, now, late, Some(timer)).unwrap();
        assert_eq!(
            (timer, at),
            (Timer::PastDue, now + day(5) + SignedDuration::from_secs(1))
        );
        assert_eq!(next(&dispute, now, late, Some(timer)), None);

        dispute.answered = 2;
        assert_eq!(
            next(&dispute, now, now, None),
            None,
            "an answered dispute waits for the issuer"
        );
        dispute.stage = Stage::WonProvisional;
        dispute.due_by = None;
        assert_eq!(next(&dispute, now, now, None), Some((Timer::Window, now + day(60))));
        assert_eq!(next(&dispute, now, late, Some(Timer::Window)), None);
    }
}
