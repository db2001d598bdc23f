//! Texts in ISO form as values: dates, times, instants, UUIDs.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Timelike};

/// Days from 1970-01-01 to a date like `2026-01-31`.
pub(crate) fn date(text: &str) -> Option<i32> {
    let day = NaiveDate::parse_from_str(text.trim(), "%Y-%m-%d").ok()?;
    i32::try_from(day.signed_duration_since(NaiveDate::default()).num_days()).ok()
}

/// Microseconds from midnight to a time like `10:30:00` or `10:30`.
pub(crate) fn time(text: &str) -> Option<i64> {
    let text = text.trim();
    let time = NaiveTime::parse_from_str(text, "%H:%M:%S%.f")
        .or_else(|_| NaiveTime::parse_from_str(text, "%H:%M"))
        .ok()?;
    let seconds = i64::from(time.num_seconds_from_midnight());
    Some(seconds * 1_000_000 + i64::from(time.nanosecond() / 1000))
}

/// Microseconds since 1970 of an instant like `2026-01-31T10:30:00+01:00`; without a zone, UTC.
pub(crate) fn timestamp(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
        return Some(instant.timestamp_micros());
    }
    for format in ["%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z"] {
        if let Ok(instant) = DateTime::parse_from_str(text, format) {
            return Some(instant.timestamp_micros());
        }
    }
    let formats =
        ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"];
    for format in formats {
        if let Ok(instant) = NaiveDateTime::parse_from_str(text, format) {
            return Some(instant.and_utc().timestamp_micros());
        }
    }
    date(text).map(|days| i64::from(days) * 86_400_000_000)
}

/// A UUID in its lower-case form with hyphens.
pub(crate) fn uuid(text: &str) -> Option<String> {
    let text = text.trim();
    let text = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
    let digits: String = match text.len() {
        32 => text.to_ascii_lowercase(),
        36 if [8, 13, 18, 23].iter().all(|at| text.as_bytes()[*at] == b'-') => {
            text.replace('-', "").to_ascii_lowercase()
        }
        _ => return None,
    };
    if digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| &digits[range]);
    Some(parts.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iso_texts_become_values() {
        assert_eq!(date("1970-01-02"), Some(1));
        assert_eq!(date("02/01/1970"), None);
        assert_eq!(time("00:00:01.5"), Some(1_500_000));
        assert_eq!(timestamp("1970-01-01T01:00:00+01:00"), Some(0));
        assert_eq!(timestamp("1970-01-01T01:00:00+0100"), Some(0));
        assert_eq!(timestamp("1970-01-01 00:00:01"), Some(1_000_000));
        assert_eq!(timestamp("1970-01-02"), Some(86_400_000_000));
        assert_eq!(timestamp("yesterday"), None);
    }

    #[test]
    fn uuids_have_one_form() {
        let text = "{6BA7B810-9DAD-11D1-80B4-00C04FD430C8}";
        assert_eq!(uuid(text).as_deref(), Some("6ba7b810-9dad-11d1-80b4-00c04fd430c8"));
        assert_eq!(uuid("6ba7b810-9dad-11d1-80b4"), None);
        assert_eq!(uuid("éé7b810-9dad-11d1-80b4-00c04fd430c8xx"), None);
    }
}
