//! Dates and times as files write them. A date is its midnight; a time without an offset is read in the zone its format names.

use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ToSpan};

use crate::amount::short;

/// `2026-11-23T10:11:12Z`, `2026-11-23 10:11:12`, `2026-11-23`, or seconds since 1970.
pub(crate) fn instant(text: &str, zone: &TimeZone) -> Result<Timestamp, String> {
    let text = text.trim();
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    if text.len() >= 9 && text.bytes().all(|b| b.is_ascii_digit()) {
        let seconds = text.parse().ok().and_then(|s| Timestamp::from_second(s).ok());
        return seconds.ok_or_else(|| wrong(text));
    }
    let civil = text
        .parse::<DateTime>()
        .or_else(|_| text.parse::<Date>().map(|date| date.at(0, 0, 0, 0)));
    at(civil.map_err(|_| wrong(text))?, zone)
}

/// As a format string of strftime says.
pub(crate) fn formatted(text: &str, format: &str, zone: &TimeZone) -> Result<Timestamp, String> {
    let parsed = jiff::fmt::strtime::parse(format, text)
        .map_err(|_| format!("`{}` is not a date like `{format}`", short(text)))?;
    if let Ok(at) = parsed.to_timestamp() {
        return Ok(at);
    }
    let civil = parsed
        .to_datetime()
        .or_else(|_| parsed.to_date().map(|date| date.at(0, 0, 0, 0)));
    at(civil.map_err(|_| wrong(text))?, zone)
}

/// `YYMMDD`, this century.
pub(crate) fn six_digits(text: &str) -> Result<Date, String> {
    let part = |range| text.get(range).and_then(|digits: &str| digits.parse::<i8>().ok());
    let digits = text.len() == 6 && text.bytes().all(|b| b.is_ascii_digit());
    let date = match (digits, part(0..2), part(2..4), part(4..6)) {
        (true, Some(year), Some(month), Some(day)) => Date::new(2000 + i16::from(year), month, day).ok(),
        _ => None,
    };
    date.ok_or_else(|| format!("`{}` is not a date like YYMMDD", short(text)))
}

/// `MMDD` near another date: the year is the one that brings them closest.
pub(crate) fn month_day(text: &str, near: Date) -> Result<Date, String> {
    let wrong = || format!("`{}` is not a date like MMDD", short(text));
    let part = |range| text.get(range).and_then(|digits: &str| digits.parse::<i8>().ok());
    let (Some(month), Some(day)) = (part(0..2), part(2..4)) else {
        return Err(wrong());
    };
    (-1..=1)
        .filter_map(|years| Date::new(near.year() + years, month, day).ok())
        .min_by_key(|date| (*date - near).get_days().abs())
        .ok_or_else(wrong)
}

/// Midnight of a date, UTC.
pub(crate) fn midnight(date: Date) -> Result<Timestamp, String> {
    at(date.at(0, 0, 0, 0), &TimeZone::UTC)
}

/// The zones that acquirers name, as fixed offsets; `+01:00` as it is.
pub(crate) fn zone(name: &str) -> Result<TimeZone, String> {
    let hours = match name.to_ascii_uppercase().as_str() {
        "" | "UTC" | "GMT" | "Z" => 0,
        "CET" | "BST" => 1,
        "CEST" | "EET" => 2,
        "EEST" => 3,
        "SGT" | "HKT" | "CST8" => 8,
        "JST" => 9,
        "AEST" => 10,
        "AEDT" => 11,
        "EDT" => -4,
        "EST" => -5,
        "PDT" => -7,
        "PST" => -8,
        _ => return other_zone(name),
    };
    Ok(TimeZone::fixed(Offset::from_hours(hours).unwrap_or(Offset::UTC)))
}

fn other_zone(name: &str) -> Result<TimeZone, String> {
    if let Ok(at) = format!("2000-01-01T00:00:00{name}").parse::<Timestamp>() {
        let seconds = 946_684_800 - at.as_second(); // midnight of 2000 in UTC
        if let Ok(offset) = Offset::from_seconds(seconds as i32) {
            return Ok(TimeZone::fixed(offset));
        }
    }
    TimeZone::get(name).map_err(|_| format!("`{}` is no time zone", short(name)))
}

fn at(civil: DateTime, zone: &TimeZone) -> Result<Timestamp, String> {
    let timestamp = zone.to_timestamp(civil).map_err(|e| e.to_string())?;
    // What the database can keep, with room for the days around it.
    let known = "1970-01-01T00:00:00Z"
        .parse::<Timestamp>()
        .unwrap_or(Timestamp::UNIX_EPOCH);
    let last = Timestamp::from_second(LAST_SECOND).unwrap_or(Timestamp::MAX);
    if timestamp < known || timestamp > last || timestamp.checked_add(24.hours()).is_err() {
        return Err(format!("{civil} is not a date of this century"));
    }
    Ok(timestamp)
}

fn wrong(text: &str) -> String {
    format!("`{}` is not a date or time", short(text))
}

/// The end of 2199.
const LAST_SECOND: i64 = 7_258_118_399;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_the_forms_that_files_have() {
        let utc = |text| instant(text, &TimeZone::UTC).map(|at| at.to_string()).ok();
        for (text, at) in [
            ("2026-11-23T10:11:12Z", "2026-11-23T10:11:12Z"),
            ("2026-11-23 10:11:12", "2026-11-23T10:11:12Z"),
            ("2026-11-23T10:11:12+01:00", "2026-11-23T09:11:12Z"),
            ("2026-11-23", "2026-11-23T00:00:00Z"),
            ("1795428672", "2026-11-23T10:11:12Z"),
        ] {
            assert_eq!(utc(text), Some(at.into()), "{text}");
        }
        for wrong in [
            "",
            "yesterday",
            "23.11.2026",
            "2026-13-01",
            "0000-01-01",
            "9999-12-31",
            "99999999999999",
        ] {
            assert_eq!(utc(wrong), None, "{wrong}");
        }
        let cet = instant("2026-11-23 00:30:00", &zone("CET").unwrap()).unwrap();
        assert_eq!(cet.to_string(), "2026-11-22T23:30:00Z");
        let german = formatted("23.11.2026", "%d.%m.%Y", &TimeZone::UTC).unwrap();
        assert_eq!(german.to_string(), "2026-11-23T00:00:00Z");
        assert!(zone("Middle Earth").is_err());
        assert!(zone("-03:00").is_ok());
    }

    #[test]
    fn an_entry_date_without_a_year_is_the_one_nearby() {
        let near: Date = "2026-12-31".parse().unwrap();
        assert_eq!(month_day("0102", near).unwrap().to_string(), "2027-01-02");
        assert_eq!(month_day("1230", near).unwrap().to_string(), "2026-12-30");
        assert_eq!(six_digits("261231").unwrap(), near);
        for wrong in ["26123", "261301", "2612é", "abcdef"] {
            assert!(six_digits(wrong).is_err(), "{wrong}");
        }
        assert!(month_day("02", near).is_err());
    }
}
