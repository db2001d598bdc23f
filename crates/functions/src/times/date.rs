//! `try_date`: calendar days.

use super::pattern::Pattern;
use super::quick::{DATE_BYTES, DateShape, ISO_DATE, micros_of_day};
use crate::arguments::{Want, coerce, constant_text, literal_text, result, text_column};
use crate::kernel::{Parser, parse_column, trim};
use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Date32Type};
use contracts::function::{Argument, ScalarFunction};
use model::Result;
use std::sync::Arc;

const NAME: &str = "try_date";

pub(crate) const TRY_DATE: ScalarFunction = ScalarFunction {
    name: NAME,
    summary: "The day that a text names, or null; ISO 8601 unless a format is given.",
    syntax: "try_date(text [, format])",
    examples: &[
        ("try_date('2026-01-31')", "2026-01-31"),
        ("try_date('31/01/2026', '%d/%m/%Y')", "2026-01-31"),
        ("try_date('3 févr. 2026', '%d %b %Y')", "2026-02-03"),
        ("try_date('20260131', '%Y%m%d')", "2026-01-31"),
        ("try_date('2026-01-31 00:00:00')", "2026-01-31"),
        ("try_date('2026-01-31 08:00:00')", "NULL"),
        ("try_date('30/02/2026', '%d/%m/%Y')", "NULL"),
    ],
    coerce: |types| coerce(NAME, types, &[Want::Text], &[Want::Text]),
    returns: |info| {
        literal_text(info, 1).map(Pattern::with_date).transpose()?;
        result(NAME, DataType::Date32)
    },
    invoke,
};

fn invoke(arguments: &[Argument], rows: usize) -> Result<ArrayRef> {
    let format = constant_text(NAME, arguments, 1)?;
    let texts = text_column(&arguments[0], rows)?;
    let mut parser = Dates::new(format.as_deref())?;
    Ok(Arc::new(parse_column::<Date32Type>(&texts, &mut parser)))
}

/// A parser of days.
pub(crate) struct Dates {
    pattern: Option<Pattern>,
    quick: Option<DateShape>,
}

impl Dates {
    /// Without a format: ISO 8601.
    pub(crate) fn new(format: Option<&str>) -> Result<Self> {
        let pattern = format.map(Pattern::with_date).transpose()?;
        let quick = match &pattern {
            Some(pattern) => pattern.quick_date(),
            None => Some(ISO_DATE),
        };
        Ok(Self { pattern, quick })
    }
}

impl Parser<i32> for Dates {
    #[inline]
    fn inline(&mut self, word: u128, length: usize) -> Option<i32> {
        if length != DATE_BYTES {
            return None;
        }
        self.quick?.day(word)
    }

    fn bytes(&mut self, text: &[u8]) -> Option<i32> {
        let text = trim(text);
        match &self.pattern {
            Some(pattern) => pattern.read(text)?.day(),
            None => iso_day(text),
        }
    }
}

/// `2026-01-31`; a midnight that follows adds nothing and is let through.
fn iso_day(text: &[u8]) -> Option<i32> {
    let day = ISO_DATE.day_of(text)?;
    match &text[DATE_BYTES..] {
        [] => Some(day),
        [b' ' | b'T', clock @ ..] => {
            let clock = clock.strip_suffix(b"Z").unwrap_or(clock);
            (micros_of_day(clock)? == 0).then_some(day)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::times::calendar::day_number;
    use arrow::array::StringViewArray;
    use chrono::NaiveDate;
    use proptest::prelude::*;

    fn read(text: &str, format: Option<&str>) -> Option<i32> {
        let texts = StringViewArray::from_iter_values([text]);
        let mut parser = Dates::new(format).unwrap();
        parse_column::<Date32Type>(&texts, &mut parser).iter().next()?
    }

    #[test]
    fn formats() {
        let day = day_number(2026, 2, 3);
        for (text, format) in [
            ("3/2/2026", "%d/%m/%Y"),
            (" 03/02/2026\u{a0}", "%d/%m/%Y"),
            ("03.02.26", "%d.%m.%y"),
            ("2026034", "%Y%j"),
            ("mardi 3 Février 2026", "%A %d %B %Y"),
            ("Feb 3, 2026", "%b %d, %Y"),
            ("03/02/2026  23:59", "%d/%m/%Y %H:%M"),
            ("2026-02-03T01:02:03.5+02:00", "%Y-%m-%dT%H:%M:%S%.f%z"),
            ("100%2026-02-03", "100%%%F"),
        ] {
            assert_eq!(read(text, Some(format)), day, "{text} {format}");
        }
        assert_eq!(read("01/2026", Some("%m/%Y")), day_number(2026, 1, 1));
        assert_eq!(read("31/12/69", Some("%d/%m/%y")), day_number(1969, 12, 31));
        assert_eq!(read("31/12/68", Some("%d/%m/%y")), day_number(2068, 12, 31));
        assert_eq!(read("2023366", Some("%Y%j")), None);
        assert_eq!(read("03/02/26", Some("%d/%m/%Y")), None);
        assert_eq!(read("03/02/2026x", Some("%d/%m/%Y")), None);
    }

    #[test]
    fn iso_without_format() {
        assert_eq!(read("2026-02-03T00:00:00Z", None), day_number(2026, 2, 3));
        for bad in
            ["2026-2-3", "2026/02/03", "03/02/2026", "2026-02-03x", "2026-02-03 1", "0000-01-01"]
        {
            assert_eq!(read(bad, None), None, "{bad}");
        }
    }

    #[test]
    fn wrong_formats_are_problems() {
        assert!(Dates::new(Some("%d/%m")).is_err());
        let problem = Dates::new(Some("dd/mm/yyyy")).err().unwrap();
        assert!(problem.message().contains("has no year"), "{problem}");
        let problem = Dates::new(Some("%Q")).err().unwrap();
        assert_eq!(problem.message(), "the format `%Q` has `%Q`, which is not known");
        assert!(Dates::new(Some("")).is_err());
    }

    proptest! {
        #[test]
        fn like_chrono(text in "[0-3]?[0-9]/[01]?[0-9]/(19|20)[0-9]{2}") {
            let epoch = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
            let slow = NaiveDate::parse_from_str(&text, "%d/%m/%Y").ok()
                .map(|date| (date - epoch).num_days() as i32);
            prop_assert_eq!(read(&text, Some("%d/%m/%Y")), slow);
        }

        #[test]
        fn any_text_is_answered(
            text in "\\PC{0,40}", format in "(%[dmYyHMSbBjpIzZs]|[ /:-]){1,8}",
        ) {
            if let Ok(pattern) = Pattern::new(&format) {
                let _ = pattern.read(text.as_bytes());
            }
            let _ = read(&text, None);
        }
    }
}
