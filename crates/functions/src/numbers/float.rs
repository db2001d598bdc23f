//! `try_float`: floating point numbers, the nearest to what is written.

use super::notation::{Group, Notation};
use crate::arguments::{Want, coerce, constant_text, literal_text, result, text_column};
use crate::digits::short_number;
use crate::kernel::{Parser, parse_column, trim};
use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Float64Type};
use contracts::function::{Argument, ScalarFunction};
use model::Result;
use std::sync::Arc;

const NAME: &str = "try_float";

pub(crate) const TRY_FLOAT: ScalarFunction = ScalarFunction {
    name: NAME,
    summary: "The floating point number nearest to what a text spells, or null.",
    syntax: "try_float(text [, decimal_char [, group_char]])",
    examples: &[
        ("try_float('2.5')", "2.5"),
        ("try_float('-1,5e3', ',')", "-1500.0"),
        ("try_float('1 234,5', ',', ' ')", "1234.5"),
        ("try_float('1e999')", "NULL"),
        ("try_float('two')", "NULL"),
    ],
    coerce: |types| coerce(NAME, types, &[Want::Text], &[Want::Text, Want::Text]),
    returns: |info| {
        Notation::new(literal_text(info, 1), literal_text(info, 2))?;
        result(NAME, DataType::Float64)
    },
    invoke,
};

fn invoke(arguments: &[Argument], rows: usize) -> Result<ArrayRef> {
    let decimal = constant_text(NAME, arguments, 1)?;
    let group = constant_text(NAME, arguments, 2)?;
    let notation = Notation::new(decimal.as_deref(), group.as_deref())?;
    let texts = text_column(&arguments[0], rows)?;
    let mut parser = Floats { notation, scratch: String::new() };
    Ok(Arc::new(parse_column::<Float64Type>(&texts, &mut parser)))
}

struct Floats {
    notation: Notation,
    scratch: String,
}

/// Powers of ten that a float holds exactly.
const EXACT: [f64; 13] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12];

impl Parser<f64> for Floats {
    #[inline]
    fn inline(&mut self, word: u128, length: usize) -> Option<f64> {
        // Both numbers are exact, so their quotient is the nearest float.
        let number = short_number(word, length, self.notation.decimal)?;
        let value = number.digits as f64 / EXACT[number.decimals];
        Some(if number.negative { -value } else { value })
    }

    fn bytes(&mut self, text: &[u8]) -> Option<f64> {
        let text = std::str::from_utf8(trim(text)).ok()?;
        if self.notation == Notation::PLAIN {
            return nearest(text);
        }
        self.normalize(text.as_bytes())?;
        nearest(&self.scratch)
    }
}

impl Floats {
    /// Rewrites a text with a point and without groups.
    fn normalize(&mut self, text: &[u8]) -> Option<()> {
        self.scratch.clear();
        let exponent_at = text.iter().position(|byte| matches!(byte, b'e' | b'E'));
        let (number, exponent) = text.split_at(exponent_at.unwrap_or(text.len()));
        if self.notation.group == Group::None
            && number.contains(&b'.')
            && self.notation.decimal != b'.'
        {
            return None;
        }
        let Some(parts) = self.notation.split(number).filter(|_| has_digit_first(number)) else {
            // Words such as `NaN` and `Infinity`.
            self.scratch.push_str(std::str::from_utf8(text).ok()?);
            return Some(());
        };
        let Self { notation, scratch } = self;
        scratch.push_str(if parts.negative { "-" } else { "" });
        notation.whole_digits(parts.whole, |digit| {
            scratch.push(char::from(b'0' + digit));
            Some(())
        })?;
        scratch.push('.');
        scratch.push_str(std::str::from_utf8(parts.decimals).ok()?);
        scratch.push_str(std::str::from_utf8(exponent).ok()?);
        Some(())
    }
}

fn has_digit_first(number: &[u8]) -> bool {
    number.iter().find(|byte| byte.is_ascii_alphanumeric()).is_some_and(u8::is_ascii_digit)
}

/// What is too large for a float is not infinite.
fn nearest(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    let spelt = value.is_finite() || !text.bytes().any(|byte| byte.is_ascii_digit());
    spelt.then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::StringViewArray;
    use proptest::prelude::*;

    fn read(text: &str, notation: Notation) -> Option<f64> {
        let texts = StringViewArray::from_iter_values([text]);
        let mut parser = Floats { notation, scratch: String::new() };
        parse_column::<Float64Type>(&texts, &mut parser).iter().next()?
    }

    #[test]
    fn words_and_overflow() {
        assert_eq!(read("Infinity", Notation::PLAIN), Some(f64::INFINITY));
        assert!(read("nan", Notation::PLAIN).is_some_and(f64::is_nan));
        assert_eq!(read("1e309", Notation::PLAIN), None);
        assert!(read("-0", Notation::PLAIN).is_some_and(|zero| zero.is_sign_negative()));
        for bad in ["", "e5", ".", "1,5", "1e", "0x1", "1 000"] {
            assert_eq!(read(bad, Notation::PLAIN), None, "{bad}");
        }
    }

    #[test]
    fn other_notations() {
        let german = Notation::new(Some(","), Some(".")).unwrap();
        assert_eq!(read("1.234.567,5", german), Some(1_234_567.5));
        assert_eq!(read("-1,5E-2", german), Some(-0.015));
        assert_eq!(read("inf", german), Some(f64::INFINITY));
        assert_eq!(read("1.5", german), None);
        assert_eq!(read("1,5x", german), None);
        let comma = Notation::new(Some(","), None).unwrap();
        assert_eq!(read("1.5", comma), None);
    }

    proptest! {
        #[test]
        fn like_the_standard_library(text in "[+-]?[0-9]{0,14}(\\.[0-9]{0,9})?(e-?[0-9]{1,2})?") {
            let expected = text.parse::<f64>().ok();
            prop_assert_eq!(
                read(&text, Notation::PLAIN).map(f64::to_bits),
                expected.map(f64::to_bits),
            );
        }
    }
}
