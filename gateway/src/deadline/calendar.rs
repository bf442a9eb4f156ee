//! Working days: what regulators count in. Pure.
//!
//! A day is a day of the calendar's own time zone, so that a change to or from summer time makes it 23 or 25 hours long. The
//! day of the event does not count; the period ends at the end of its last working day. It must never be used for clocks
//! that run in hours.

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Which days are worked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Calendar {
    /// IANA name
    pub time_zone: String,
    /// days off beside Saturdays and Sundays
    pub holidays: BTreeSet<Date>,
    /// Saturdays and Sundays that are worked, to make up for a long holiday
    pub workdays: BTreeSet<Date>,
}

impl Default for Calendar {
    fn default() -> Self {
        Self {
            time_zone: "UTC".to_owned(),
            holidays: BTreeSet::new(),
            workdays: BTreeSet::new(),
        }
    }
}

impl Calendar {
    /// Whether the zone is known here.
    pub fn is_valid(&self) -> bool {
        TimeZone::get(&self.time_zone).is_ok()
    }

    /// Whether this day is worked.
    pub fn works_on(&self, day: Date) -> bool {
        if self.workdays.contains(&day) {
            return true;
        }
        !self.holidays.contains(&day) && !matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday)
    }

    /// The end of the `days`-th working day after the day of `at`. A calendar in which nothing is worked for years falls back
    /// to `at`: what is due at once is looked at by a person.
    pub fn after_working_days(&self, at: Timestamp, days: u32) -> Timestamp {
        let zone = TimeZone::get(&self.time_zone).unwrap_or(TimeZone::UTC);
        let mut day = at.to_zoned(zone.clone()).date();
        let mut left = days;
        for _ in 0..LOOKED_AT_MAX {
            if left == 0 {
                break;
            }
            let Ok(next) = day.tomorrow() else { return at };
            day = next;
            if self.works_on(day) {
                left -= 1;
            }
        }
        if left > 0 {
            return at;
        }
        let end = day.checked_add(1.day()).ok();
        end.and_then(|next| next.to_zoned(zone).ok())
            .map_or(at, |midnight| midnight.timestamp())
    }
}

const LOOKED_AT_MAX: u32 = 3_660;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn shanghai() -> Calendar {
        Calendar {
            time_zone: "Asia/Shanghai".into(),
            // the week of the National Day, and the Saturday that makes up for it
            holidays: (1..=8).map(|day| jiff::civil::date(2026, 10, day)).collect(),
            workdays: [jiff::civil::date(2026, 10, 10)].into(),
        }
    }

    #[test]
    fn weekends_and_holidays_do_not_count_and_made_up_days_do() {
        // Wednesday 30 September, 10:00 in Shanghai: the next worked days are Friday 9, Saturday 10, Monday 12.
        let from = at("2026-09-30T02:00:00Z");
        for (days, end) in [
            (1, "2026-10-09T16:00:00Z"),
            (2, "2026-10-10T16:00:00Z"),
            (3, "2026-10-12T16:00:00Z"),
        ] {
            assert_eq!(shanghai().after_working_days(from, days), at(end), "{days}");
        }
    }

    #[test]
    fn the_day_is_that_of_the_zone_and_the_event_of_its_evening_belongs_to_it() {
        // 23:30 on Monday in Shanghai is still Monday there, and 15:30 in UTC.
        let monday = at("2026-11-02T15:30:00Z");
        assert_eq!(shanghai().after_working_days(monday, 1), at("2026-11-03T16:00:00Z"));
        let tuesday = at("2026-11-02T16:30:00Z");
        assert_eq!(shanghai().after_working_days(tuesday, 1), at("2026-11-04T16:00:00Z"));
    }

    #[test]
    fn leap_days_and_changes_of_the_clock_are_days_like_others() {
        let utc = Calendar::default();
        // Friday 25 February 2028, then Monday 28, Tuesday 29
        assert_eq!(
            utc.after_working_days(at("2028-02-25T12:00:00Z"), 2),
            at("2028-03-01T00:00:00Z")
        );
        let berlin = Calendar {
            time_zone: "Europe/Berlin".into(),
            ..Calendar::default()
        };
        // Summer time ends on Sunday 25 October 2026: Friday's midnight is at 22:00 UTC, Monday's at 23:00.
        assert_eq!(
            berlin.after_working_days(at("2026-10-22T08:00:00Z"), 1),
            at("2026-10-23T22:00:00Z")
        );
        assert_eq!(
            berlin.after_working_days(at("2026-10-23T08:00:00Z"), 1),
            at("2026-10-26T23:00:00Z")
        );
    }

    #[test]
    fn a_calendar_without_work_is_due_at_once() {
        let day = jiff::civil::date(2026, 1, 1);
        let never = Calendar {
            holidays: day.series(1.day()).take(6_000).collect(),
            ..Calendar::default()
        };
        let from = at("2026-01-01T00:00:00Z");
        assert_eq!(never.after_working_days(from, 1), from);
    }
}
