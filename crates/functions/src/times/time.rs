//! `try_time`: times of day.

use super::pattern::Pattern;
use super::quick::micros_of_day;
use crate::arguments::{Want, coerce, constant_text, literal_text, result, text_column};
use crate::kernel::{Parser, parse_column, trim};
use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Time64MicrosecondType, TimeUnit};
use contracts::function::{Argument, ScalarFunction};
use model::Result;
use std::sync::Arc;

const NAME: &str = "try_time";

pub(crate) const TRY_TIME: ScalarFunction = ScalarFunction {
    name: NAME,
    summary: "The time of day that a text names, or null; `HH:MM[:SS[.f]]` unless a format is \
    given.",
    syntax: "try_time(text [, format])",
    examples: &[
        ("try_time('08:30')", "08:30:00"),
        ("try_time('08:30:15.25')", "08:30:15.250"),
        ("try_time('8h30', '%Hh%M')", "08:30:00"),
        ("try_time('1:05 PM', '%I:%M %p')", "13:05:00"),
        ("try_time('24:00')", "NULL"),
    ],
    coerce: |types| coerce(NAME, types, &[Want::Text], &[Want::Text]),
    returns: |info| {
        literal_text(info, 1).map(Pattern::with_time).transpose()?;
        result(NAME, DataType::Time64(TimeUnit::Microsecond))
    },
    invoke,
};

fn invoke(arguments: &[Argument], rows: usize) -> Result<ArrayRef> {
    let format = constant_text(NAME, arguments, 1)?;
    let texts = text_column(&arguments[0], rows)?;
    let mut parser = Times::new(format.as_deref())?;
    Ok(Arc::new(parse_column::<Time64MicrosecondType>(&texts, &mut parser)))
}

/// A parser of times, as µs since midnight.
pub(crate) struct Times {
    pattern: Option<Pattern>,
}

impl Times {
    /// Without a format: ISO 8601.
    pub(crate) fn new(format: Option<&str>) -> Result<Self> {
        Ok(Self { pattern: format.map(Pattern::with_time).transpose()? })
    }
}

impl Parser<i64> for Times {
    fn bytes(&mut self, text: &[u8]) -> Option<i64> {
        let text = trim(text);
        match &self.pattern {
            Some(pattern) => Some(pattern.read(text)?.micros_of_day()),
            None => micros_of_day(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_day() {
        let read = |text: &str, format| Times::new(format).unwrap().bytes(text.as_bytes());
        assert_eq!(read(" 23:59:59.999999 ", None), Some(86_399_999_999));
        assert_eq!(read("12:00 am", Some("%I:%M %p")), Some(0));
        assert_eq!(read("123005", Some("%H%M%S")), Some(45_005_000_000));
        assert_eq!(read("12:60", None), None);
        assert!(Times::new(Some("%M")).is_err());
    }
}
