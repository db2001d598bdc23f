//! Lengths of time as documents write them: `30s`, `5m`, `1h30m`.

use crate::{Problem, Result, codes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display};

/// A length of time, in whole microseconds, never negative.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = r"^([0-9]+(us|ms|s|m|h|d))+$"))]
pub struct Span {
    us: i64,
}

/// Units, the longest first.
const UNITS: &[(&str, i64)] = &[
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

impl Span {
    /// A length of `us` µs; a negative one counts as none.
    pub const fn from_us(us: i64) -> Self {
        Self { us: if us < 0 { 0 } else { us } }
    }

    /// In µs.
    pub const fn us(self) -> i64 {
        self.us
    }

    /// Reads `1h30m` and the like. Anything else is `setting_invalid`.
    pub fn parse(text: &str) -> Result<Self> {
        let mut rest = text.trim();
        let mut us: i64 = 0;
        let unreadable = || {
            Problem::new(&codes::SETTING_INVALID, format!("`{text}` is not a length of time"))
                .arg("text", text)
                .hint("write a number and a unit: `500ms`, `30s`, `5m`, `2h`, `1d`, `1h30m`")
        };
        if rest.is_empty() {
            return Err(unreadable());
        }
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let number: i64 = rest[..digits].parse().map_err(|_| unreadable())?;
            rest = &rest[digits..];
            let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
            let unit = UNITS.iter().find(|(unit, _)| *unit == &rest[..letters]);
            let (_, unit_us) = unit.ok_or_else(unreadable)?;
            rest = &rest[letters..];
            let part = number.checked_mul(*unit_us).ok_or_else(unreadable)?;
            us = us.checked_add(part).ok_or_else(unreadable)?;
        }
        Ok(Self { us })
    }
}

impl Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.us == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.us;
        for (unit, unit_us) in UNITS {
            let count = rest / unit_us;
            rest %= unit_us;
            if count > 0 {
                write!(f, "{count}{unit}")?;
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for Span {
    type Error = Problem;

    fn try_from(text: String) -> Result<Self> {
        Self::parse(&text)
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn units_add_up() {
        assert_eq!(Span::parse("1h30m").unwrap().us(), 5_400_000_000);
        assert_eq!(Span::parse("500ms").unwrap().us(), 500_000);
        assert_eq!(Span::parse("0s").unwrap().us(), 0);
    }

    #[test]
    fn what_is_no_length_of_time_is_refused() {
        for text in ["", "5", "m", "-5s", "5 s", "5w", "99999999999999d", "1h30"] {
            let problem = Span::parse(text).unwrap_err();
            assert!(problem.hint_text().is_some(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(us in 0..i64::MAX) {
            let span = Span::from_us(us);
            prop_assert_eq!(Span::parse(&span.to_string()).unwrap(), span);
        }
    }
}
