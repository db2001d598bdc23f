//! The usual shapes of dates and times, read a word at a time.
//!
//! What has another shape is no error: it gives none, and the general parser decides.

use super::calendar::{DAY_SECONDS, MICROS, day_number};
use crate::digits::{four_pairs, pair};

/// In which order a date of eight digits and two separators has its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// `2026-01-31`
    YearMonthDay,
    /// `31/01/2026`
    DayMonthYear,
    /// `01/31/2026`
    MonthDayYear,
}

/// A shape of dates: order and separator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DateShape {
    pub(crate) order: Order,
    pub(crate) separator: u8,
}

/// `2026-01-31`
pub(crate) const ISO_DATE: DateShape = DateShape { order: Order::YearMonthDay, separator: b'-' };

/// Length of a date in any of the shapes.
pub(crate) const DATE_BYTES: usize = 10;

impl DateShape {
    /// The day number of ten characters in the low bytes of a word; further bytes are ignored.
    #[inline]
    pub(crate) fn day(self, word: u128) -> Option<i32> {
        let byte = |at: u32| (word >> (8 * at)) as u8;
        let low = word as u64;
        match self.order {
            Order::YearMonthDay => {
                if byte(4) != self.separator || byte(7) != self.separator {
                    return None;
                }
                // yyyy-mm-dd → yyyymmdd
                let year = low & 0xFFFF_FFFF;
                let month = (low >> 40) & 0xFFFF;
                let day = (word >> 64) as u64 & 0xFFFF;
                let [century, year, month, day] = four_pairs(year | (month << 32) | (day << 48))?;
                day_number(century * 100 + year, month, day)
            }
            Order::DayMonthYear | Order::MonthDayYear => {
                if byte(2) != self.separator || byte(5) != self.separator {
                    return None;
                }
                // dd/mm/yyyy → ddmmyyyy
                let first = low & 0xFFFF;
                let second = (low >> 24) & 0xFFFF;
                let year = (word >> 48) as u64 & 0xFFFF_FFFF;
                let [first, second, century, year] =
                    four_pairs(first | (second << 16) | (year << 32))?;
                let (day, month) = if self.order == Order::DayMonthYear {
                    (first, second)
                } else {
                    (second, first)
                };
                day_number(century * 100 + year, month, day)
            }
        }
    }

    /// The day number of the first ten bytes of a text.
    #[inline]
    pub(crate) fn day_of(self, text: &[u8]) -> Option<i32> {
        let date: &[u8; DATE_BYTES] = text.first_chunk()?;
        let mut bytes = [0; 16];
        bytes[..DATE_BYTES].copy_from_slice(date);
        self.day(u128::from_le_bytes(bytes))
    }
}

/// Seconds since midnight of `HH:MM` or `HH:MM:SS`.
#[inline]
pub(crate) fn seconds_of_day(text: &[u8]) -> Option<i64> {
    let (hour, minute, second) = match text {
        [a, b, b':', c, d] => (pair(*a, *b)?, pair(*c, *d)?, 0),
        [a, b, b':', c, d, b':', e, f] => (pair(*a, *b)?, pair(*c, *d)?, pair(*e, *f)?),
        _ => return None,
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(i64::from(hour * 3600 + minute * 60 + second))
}

/// µs of the digits after a second's point: one to nine; those beyond the sixth must be zero.
pub(crate) fn micros_of_fraction(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    let (kept, beyond) = digits.split_at(digits.len().min(6));
    if beyond.iter().any(|byte| *byte != b'0') {
        return None;
    }
    let mut micros = 0;
    for at in 0..6 {
        let digit = kept.get(at).copied().unwrap_or(b'0');
        micros = micros * 10 + i64::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    Some(micros)
}

/// A local time of day with an optional fraction: µs since midnight.
pub(crate) fn micros_of_day(text: &[u8]) -> Option<i64> {
    let point = text.iter().position(|byte| matches!(byte, b'.' | b','));
    let (clock, micros) = match point {
        Some(at) if at == 8 => (&text[..at], micros_of_fraction(&text[at + 1..])?),
        Some(_) => return None,
        None => (text, 0),
    };
    Some(seconds_of_day(clock)? * MICROS + micros)
}

/// Seconds since the epoch of a local date and time.
#[inline]
pub(crate) fn local_seconds(day: i32, second_of_day: i64) -> i64 {
    i64::from(day) * DAY_SECONDS + second_of_day
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::NaiveDate;
    use proptest::prelude::*;

    const FRENCH: DateShape = DateShape { order: Order::DayMonthYear, separator: b'/' };
    const AMERICAN: DateShape = DateShape { order: Order::MonthDayYear, separator: b'/' };

    fn slow(text: &str, format: &str) -> Option<i32> {
        let date = NaiveDate::parse_from_str(text, format).ok()?;
        Some((date - NaiveDate::from_ymd_opt(1970, 1, 1)?).num_days() as i32)
    }

    proptest! {
        #[test]
        fn dates_like_chrono(year in 1u32..=9999, month in 0u32..=13, day in 0u32..=32) {
            let text = format!("{year:04}-{month:02}-{day:02}");
            prop_assert_eq!(ISO_DATE.day_of(text.as_bytes()), slow(&text, "%Y-%m-%d"));
            let text = format!("{day:02}/{month:02}/{year:04}");
            prop_assert_eq!(FRENCH.day_of(text.as_bytes()), slow(&text, "%d/%m/%Y"));
            let text = format!("{month:02}/{day:02}/{year:04}");
            prop_assert_eq!(AMERICAN.day_of(text.as_bytes()), slow(&text, "%m/%d/%Y"));
        }

        #[test]
        fn other_shapes_are_left_alone(text in "[0-9/x-]{10}") {
            let iso = text.bytes().enumerate()
                .all(|(at, b)| if at == 4 || at == 7 { b == b'-' } else { b.is_ascii_digit() });
            prop_assert!(iso || ISO_DATE.day_of(text.as_bytes()).is_none());
        }
    }

    #[test]
    fn times_of_day() {
        assert_eq!(seconds_of_day(b"23:59:59"), Some(86_399));
        assert_eq!(seconds_of_day(b"00:01"), Some(60));
        for bad in ["24:00", "12:60", "12:00:60", "1:00", "12-00", "12:00:0", ""] {
            assert_eq!(seconds_of_day(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(micros_of_day(b"00:00:01.5"), Some(1_500_000));
        assert_eq!(micros_of_day(b"00:00:01.123456000"), Some(1_123_456));
        assert_eq!(micros_of_day(b"00:00:01.1234567"), None);
        assert_eq!(micros_of_day(b"00:00.5"), None);
    }
}
