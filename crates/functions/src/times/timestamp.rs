//! `try_timestamp`: instants, stored in UTC.

use super::calendar::MICROS;
use super::pattern::{Pattern, offset_at_start};
use super::quick::{DATE_BYTES, DateShape, ISO_DATE, local_seconds, micros_of_day, seconds_of_day};
use super::zone::Zone;
use crate::arguments::{Want, coerce, constant_text, literal_text, result, text_column};
use crate::kernel::{Parser, parse_column, trim};
use arrow::array::ArrayRef;
use arrow::datatypes::TimestampMicrosecondType;
use contracts::arrow_types::{UTC, timestamp};
use contracts::function::{Argument, ScalarFunction};
use model::Result;
use std::sync::Arc;

const NAME: &str = "try_timestamp";

pub(crate) const TRY_TIMESTAMP: ScalarFunction = ScalarFunction {
    name: NAME,
    summary: "The instant that a text names, or null; times without an offset are of the zone.",
    syntax: "try_timestamp(text [, format [, zone]])",
    examples: &[
        ("try_timestamp('2026-01-31T08:30:00Z')", "2026-01-31T08:30:00Z"),
        ("try_timestamp('2026-01-31 08:30+01:00')", "2026-01-31T07:30:00Z"),
        ("try_timestamp('2026-01-31')", "2026-01-31T00:00:00Z"),
        (
            "try_timestamp('31/07/2026 08:30', '%d/%m/%Y %H:%M', 'Europe/Paris')",
            "2026-07-31T06:30:00Z",
        ),
        ("try_timestamp('2024-03-31 02:30', NULL, 'Europe/Paris')", "NULL"),
        ("try_timestamp('2024-10-27 02:30', NULL, 'Europe/Paris')", "2024-10-27T00:30:00Z"),
        ("try_timestamp('1767225600', '%s')", "2026-01-01T00:00:00Z"),
        ("try_timestamp('tomorrow')", "NULL"),
    ],
    coerce: |types| coerce(NAME, types, &[Want::Text], &[Want::Text, Want::Text]),
    returns: |info| {
        literal_text(info, 1).map(Pattern::with_date).transpose()?;
        Zone::new(literal_text(info, 2))?;
        result(NAME, timestamp())
    },
    invoke,
};

fn invoke(arguments: &[Argument], rows: usize) -> Result<ArrayRef> {
    let format = constant_text(NAME, arguments, 1)?;
    let zone = constant_text(NAME, arguments, 2)?;
    let texts = text_column(&arguments[0], rows)?;
    let mut parser = Timestamps::new(format.as_deref(), zone.as_deref())?;
    let array = parse_column::<TimestampMicrosecondType>(&texts, &mut parser);
    Ok(Arc::new(array.with_timezone(UTC)))
}

/// A parser of instants, as µs since the epoch.
pub(crate) struct Timestamps {
    pattern: Option<Pattern>,
    quick: Option<(DateShape, u8, usize)>,
    zone: Zone,
}

impl Timestamps {
    /// Without a format: ISO 8601. Without a zone: UTC.
    pub(crate) fn new(format: Option<&str>, zone: Option<&str>) -> Result<Self> {
        let pattern = format.map(Pattern::with_date).transpose()?;
        let quick = pattern.as_ref().and_then(Pattern::quick_timestamp);
        Ok(Self { pattern, quick, zone: Zone::new(zone)? })
    }

    /// A usual shape, read without looking at each character.
    #[inline]
    fn quick(&self, text: &[u8]) -> Option<i64> {
        let (shape, middle, length) = self.quick?;
        if text.len() != length || text[DATE_BYTES] != middle {
            return None;
        }
        let second_of_day = seconds_of_day(&text[DATE_BYTES + 1..])?;
        let seconds = self.zone.instant(local_seconds(shape.day_of(text)?, second_of_day))?;
        Some(seconds * MICROS)
    }
}

impl Parser<i64> for Timestamps {
    fn bytes(&mut self, text: &[u8]) -> Option<i64> {
        if let Some(micros) = self.quick(text) {
            return Some(micros);
        }
        let text = trim(text);
        match &self.pattern {
            Some(pattern) => pattern.read(text)?.instant(self.zone),
            None => iso_instant(text, self.zone),
        }
    }
}

/// `2026-01-31`, `2026-01-31 08:30[:00[.5]]`, with `T` or a space, and an offset or none.
fn iso_instant(text: &[u8], zone: Zone) -> Option<i64> {
    let day = ISO_DATE.day_of(text)?;
    let clock = match &text[DATE_BYTES..] {
        [] => return Some(zone.instant(local_seconds(day, 0))? * MICROS),
        [b' ' | b'T' | b't', clock @ ..] => clock,
        _ => return None,
    };
    let offset_at = clock.iter().position(|byte| matches!(byte, b'Z' | b'z' | b'+' | b'-'));
    let (clock, offset) = clock.split_at(offset_at.unwrap_or(clock.len()));
    let micros = micros_of_day(clock.strip_suffix(b" ").unwrap_or(clock))?;
    let local = local_seconds(day, micros.div_euclid(MICROS));
    let seconds = match offset {
        [] => zone.instant(local)?,
        _ => {
            let (ahead, length) = offset_at_start(offset)?;
            (length == offset.len()).then_some(local - ahead)?
        }
    };
    Some(seconds * MICROS + micros.rem_euclid(MICROS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::StringViewArray;
    use chrono::{DateTime, NaiveDateTime};
    use proptest::prelude::*;

    fn read(text: &str, format: Option<&str>, zone: Option<&str>) -> Option<i64> {
        let texts = StringViewArray::from_iter_values([text]);
        let mut parser = Timestamps::new(format, zone).unwrap();
        parse_column::<TimestampMicrosecondType>(&texts, &mut parser).iter().next()?
    }

    fn micros(text: &str) -> Option<i64> {
        Some(DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros())
    }

    #[test]
    fn iso_forms() {
        let expected = micros("2026-01-31T08:30:00Z");
        for text in [
            "2026-01-31T08:30:00Z",
            "2026-01-31 08:30",
            " 2026-01-31T08:30:00.000 ",
            "2026-01-31 08:30:00 UTC".trim_end_matches(" UTC"),
            "2026-01-31T10:30:00+02:00",
            "2026-01-31 03:30:00-0500",
            "2026-01-31T09:30+01",
            "2026-01-31 08:30:00,000Z",
            "2026-01-31 08:30:00 +00:00",
        ] {
            assert_eq!(read(text, None, None), expected, "{text}");
        }
        assert_eq!(read("2026-01-31T08:30:00.123456Z", None, None), expected.map(|t| t + 123_456));
        for bad in [
            "2026-01-31T",
            "2026-01-31T8:30",
            "2026-01-31T08:30:00X",
            "2026-01-31T24:00:00",
            "2026-01-31T08:30:00.1234567Z",
            "2026-01-31T08:30:00+25:00",
            "2026-02-30T00:00:00Z",
            "2026-01-31T08:30:00+02:00x",
        ] {
            assert_eq!(read(bad, None, None), None, "{bad}");
        }
    }

    #[test]
    fn formats_and_zones() {
        let format = Some("%d/%m/%Y %H:%M");
        let paris = Some("Europe/Paris");
        assert_eq!(read("31/07/2026 08:30", format, paris), micros("2026-07-31T06:30:00Z"));
        assert_eq!(read("1/7/2026  8:30", format, paris), micros("2026-07-01T06:30:00Z"));
        assert_eq!(read("31/03/2024 02:30", format, paris), None);
        let twelve = Some("%Y-%m-%d %I:%M %p");
        assert_eq!(read("2026-01-31 12:05 AM", twelve, None), micros("2026-01-31T00:05:00Z"));
        assert_eq!(read("2026-01-31 12:05 pm", twelve, None), micros("2026-01-31T12:05:00Z"));
        let named = Some("%Y-%m-%d %H:%M %Z");
        assert_eq!(
            read("2026-07-31 08:30 Europe/Paris", named, None),
            micros("2026-07-31T06:30:00Z")
        );
        assert_eq!(read("2026-07-31 08:30 UTC", named, paris), micros("2026-07-31T08:30:00Z"));
        assert_eq!(read("2026-07-31 08:30 CST", named, paris), None);
        let offset = Some("%Y-%m-%d %H:%M:%S%.f %z");
        assert_eq!(
            read("2026-07-31 08:30:01.5 -0230", offset, paris),
            micros("2026-07-31T11:00:01.5Z")
        );
        assert_eq!(read("-1", Some("%s"), paris), Some(-1_000_000));
        assert_eq!(read("1.5", Some("%s%.f"), None), Some(1_500_000));
    }

    proptest! {
        #[test]
        fn usual_shapes_like_chrono(
            seconds in -62_135_596_800i64..253_402_300_800,
            format in prop::sample::select(vec![
                "%d/%m/%Y %H:%M", "%d/%m/%Y %H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S",
                "%m-%d-%Y %H:%M", "%H:%M %d.%m.%Y", "%Y%m%d%H%M%S", "%j/%Y %I:%M:%S %p", "%s",
            ]),
        ) {
            let time = DateTime::from_timestamp(seconds, 0).unwrap().naive_utc();
            let text = time.format(format).to_string();
            let without_seconds = time.and_utc().timestamp().div_euclid(60) * 60;
            let exact = format.contains("%S") || format == "%s";
            let expected = if exact { seconds } else { without_seconds };
            prop_assert_eq!(read(&text, Some(format), None), Some(expected * MICROS));
            let reread = NaiveDateTime::parse_from_str(&text, format).ok();
            if let Some(reread) = reread.filter(|_| exact) {
                prop_assert_eq!(reread, time);
            }
        }
    }
}
