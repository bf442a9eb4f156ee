//! The rules a case is run by: how long each step may take and how far a remedy may go.
//!
//! Rules are data in versions (`/v1/terms`, kind `case_rules`); a case is run by those in force when the order was made, and
//! keeps them. What a version does not say is as in [`Rules::default`]. It must never look at a clock.

use super::table::Timer;
use super::words::CaseType;
use crate::deadline::calendar::Calendar;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// The rules in force for a case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rules {
    /// days from the payment within which a case is taken up
    pub eligible_days: i64,
    /// minutes until somebody owns the case
    pub acknowledge_minutes: i64,
    /// hours from receipt until a complaint about quality is verified
    pub verify_quality_hours: i64,
    /// hours after which the warning about that goes out
    pub verify_warning_hours: i64,
    /// hours from acceptance until any other complaint is verified
    pub verify_hours: i64,
    /// hours the merchant has to answer; silence goes to mediation
    pub response_hours: i64,
    /// days of mediation before a supervisor owns the case
    pub mediation_days: i64,
    /// days the supervisor has
    pub supervision_days: i64,
    /// hours from a decision until it is being carried out
    pub execution_hours: i64,
    /// days to send goods back
    pub return_days: i64,
    /// days to ship an exchange, a replacement or a repair
    pub exchange_days: i64,
    /// hours until the acquirer has confirmed a refund
    pub confirm_hours: i64,
    /// days until compensation is paid by bank
    pub payout_days: i64,
    /// days until a failed refund is paid by bank
    pub bank_days: i64,
    /// days in which a decision can be appealed, once
    pub appeal_days: i64,
    /// days the appeal's officer has
    pub review_days: i64,
    /// working days to take up or refuse what a regulator hands on
    pub regulator_accept_days: u32,
    /// working days until it is over
    pub regulator_end_days: u32,
    /// years that a sealed case is kept at least
    pub retention_years: i64,
    /// compensation beyond the price, at most so many times what was paid
    pub compensation_multiple: i64,
    /// or this much where that is more, minor units of the payment's currency
    pub compensation_floor: i64,
    /// what the platform advances in one case at most, minor units
    pub advance_max: i64,
    /// days that count as working days
    pub calendar: Calendar,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            eligible_days: 540,
            acknowledge_minutes: 60,
            verify_quality_hours: 24,
            verify_warning_hours: 18,
            verify_hours: 72,
            response_hours: 72,
            mediation_days: 7,
            supervision_days: 2,
            execution_hours: 24,
            return_days: 7,
            exchange_days: 15,
            confirm_hours: 24,
            payout_days: 3,
            bank_days: 2,
            appeal_days: 15,
            review_days: 7,
            regulator_accept_days: 7,
            regulator_end_days: 45,
            retention_years: 3,
            compensation_multiple: 3,
            compensation_floor: 50_000,
            advance_max: 1_000_000,
            calendar: Calendar::default(),
        }
    }
}

impl Rules {
    /// When this timer of a case is due that was received at `received`, if it is set at `now`.
    pub fn due(&self, timer: Timer, r#type: CaseType, received: Timestamp, now: Timestamp) -> Timestamp {
        let quality = r#type == CaseType::Quality;
        let (from, after) = match timer {
            Timer::Acknowledge => (now, SignedDuration::from_mins(self.acknowledge_minutes)),
            Timer::VerifyWarning if quality => (received, hours(self.verify_warning_hours)),
            Timer::Verify if quality => (received, hours(self.verify_quality_hours)),
            // the same share of the longer time
            Timer::VerifyWarning => (now, hours(self.verify_hours.saturating_mul(3) / 4)),
            Timer::Verify => (now, hours(self.verify_hours)),
            Timer::Response => (now, hours(self.response_hours)),
            Timer::Mediation => (now, days(self.mediation_days)),
            Timer::Supervision => (now, days(self.supervision_days)),
            Timer::Execution => (now, hours(self.execution_hours)),
            Timer::GoodsReturn => (now, days(self.return_days)),
            Timer::Exchange => (now, days(self.exchange_days)),
            Timer::Confirmation => (now, hours(self.confirm_hours)),
            Timer::Payout => (now, days(self.payout_days)),
            Timer::BankPayout => (now, days(self.bank_days)),
            Timer::AppealWindow => (now, days(self.appeal_days)),
            Timer::AppealReview => (now, days(self.review_days)),
            Timer::RegulatorAccept => return self.calendar.after_working_days(now, self.regulator_accept_days),
            Timer::RegulatorEnd => return self.calendar.after_working_days(now, self.regulator_end_days),
        };
        from.checked_add(after).unwrap_or(from)
    }

    /// Compensation beyond the price at most, for a payment of this much.
    pub fn compensation_max(&self, paid: i64) -> i64 {
        paid.saturating_mul(self.compensation_multiple)
            .max(self.compensation_floor)
    }

    /// Until when a case sealed at `at` is kept.
    pub fn retained_until(&self, at: Timestamp) -> Timestamp {
        let span =
            SignedDuration::from_hours(24 * 366).saturating_mul(i32::try_from(self.retention_years).unwrap_or(3));
        at.checked_add(span).unwrap_or(Timestamp::MAX)
    }

    /// The first thing that is wrong with them: which field, and why.
    pub fn fault(&self) -> Option<(&'static str, &'static str)> {
        let positive = [
            ("eligible_days", self.eligible_days, 3_650),
            ("acknowledge_minutes", self.acknowledge_minutes, 1_440),
            ("verify_quality_hours", self.verify_quality_hours, 240),
            ("verify_warning_hours", self.verify_warning_hours, 240),
            ("verify_hours", self.verify_hours, 720),
            ("response_hours", self.response_hours, 720),
            ("mediation_days", self.mediation_days, 90),
            ("supervision_days", self.supervision_days, 90),
            ("execution_hours", self.execution_hours, 720),
            ("return_days", self.return_days, 90),
            ("exchange_days", self.exchange_days, 90),
            ("confirm_hours", self.confirm_hours, 720),
            ("payout_days", self.payout_days, 90),
            ("bank_days", self.bank_days, 90),
            ("appeal_days", self.appeal_days, 365),
            ("review_days", self.review_days, 90),
            ("regulator_accept_days", i64::from(self.regulator_accept_days), 90),
            ("regulator_end_days", i64::from(self.regulator_end_days), 365),
            ("compensation_multiple", self.compensation_multiple, 100),
        ];
        if let Some((name, ..)) = positive.iter().find(|(_, value, most)| !(1..=*most).contains(value)) {
            return Some((name, "It is out of bounds."));
        }
        if self.verify_warning_hours >= self.verify_quality_hours {
            return Some(("verify_warning_hours", "The warning comes before the time is up."));
        }
        if !(3..=50).contains(&self.retention_years) {
            return Some(("retention_years", "Cases are kept for 3 to 50 years."));
        }
        if self.compensation_floor < 0 || self.advance_max < 0 {
            return Some(("compensation_floor", "An amount is not negative."));
        }
        (!self.calendar.is_valid()).then_some(("calendar", "This time zone is not known here."))
    }
}

fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(days.saturating_mul(24))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    /// Twenty-four hours are twenty-four hours, on a leap day and on the day the clocks change.
    #[test]
    fn quality_is_verified_within_a_day_of_receipt() {
        let rules = Rules::default();
        for received in ["2028-02-28T23:59:59Z", "2026-03-29T00:30:00Z", "2026-10-25T00:30:00Z"] {
            let received = at(received);
            let accepted = received + hours(2);
            let due = rules.due(Timer::Verify, CaseType::Quality, received, accepted);
            assert_eq!(due.duration_since(received), hours(24));
            let warning = rules.due(Timer::VerifyWarning, CaseType::Quality, received, accepted);
            assert_eq!(warning.duration_since(received), hours(18));
            let other = rules.due(Timer::Verify, CaseType::Service, received, accepted);
            assert_eq!(other.duration_since(accepted), hours(72), "from acceptance");
        }
        assert_eq!(
            rules.due(
                Timer::Verify,
                CaseType::Quality,
                at("2028-02-28T12:00:00Z"),
                at("2028-02-28T12:00:00Z")
            ),
            at("2028-02-29T12:00:00Z")
        );
    }

    #[test]
    fn the_defaults_have_no_fault_and_wrong_rules_are_named() {
        assert_eq!(Rules::default().fault(), None);
        let wrong = Rules {
            verify_warning_hours: 24,
            ..Rules::default()
        };
        assert_eq!(wrong.fault().map(|f| f.0), Some("verify_warning_hours"));
        let short = Rules {
            retention_years: 2,
            ..Rules::default()
        };
        assert_eq!(short.fault().map(|f| f.0), Some("retention_years"));
    }
}
