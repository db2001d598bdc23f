//! `try_integer`: whole numbers of 64 bits.

use super::notation::{Group, Notation};
use crate::arguments::{Want, coerce, constant_text, literal_text, result, text_column};
use crate::digits::short_integer;
use crate::kernel::{Parser, parse_column, trim};
use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Int64Type};
use contracts::function::{Argument, ScalarFunction};
use model::Result;
use std::sync::Arc;

pub(crate) const TRY_INTEGER: ScalarFunction = ScalarFunction {
    name: "try_integer",
    summary: "The whole number that a text spells, or null.",
    syntax: "try_integer(text [, group_char])",
    examples: &[
        ("try_integer(' 42 ')", "42"),
        ("try_integer('-007')", "-7"),
        ("try_integer('1 234 567', ' ')", "1234567"),
        ("try_integer('12.0')", "NULL"),
        ("try_integer('9223372036854775808')", "NULL"),
    ],
    coerce: |types| coerce("try_integer", types, &[Want::Text], &[Want::Text]),
    returns: |info| {
        Notation::new(None, literal_text(info, 1))?;
        result("try_integer", DataType::Int64)
    },
    invoke,
};

fn invoke(arguments: &[Argument], rows: usize) -> Result<ArrayRef> {
    let group = constant_text("try_integer", arguments, 1)?;
    let notation = Notation::new(None, group.as_deref())?;
    let texts = text_column(&arguments[0], rows)?;
    Ok(Arc::new(parse_column::<Int64Type>(&texts, &mut Integers { group: notation.group })))
}

pub(crate) struct Integers {
    pub(crate) group: Group,
}

impl Parser<i64> for Integers {
    #[inline]
    fn inline(&mut self, word: u128, length: usize) -> Option<i64> {
        short_integer(word, length)
    }

    fn bytes(&mut self, text: &[u8]) -> Option<i64> {
        let text = trim(text);
        let (negative, digits) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        if digits.is_empty() {
            return None;
        }
        let notation = Notation { group: self.group, ..Notation::PLAIN };
        let mut value = 0i64;
        // Towards the negative side, which reaches one further.
        notation.whole_digits(digits, |digit| {
            value = value.checked_mul(10)?.checked_sub(i64::from(digit))?;
            Some(())
        })?;
        if negative { Some(value) } else { value.checked_neg() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::StringViewArray;
    use proptest::prelude::*;

    fn read(text: &str) -> Option<i64> {
        let texts = StringViewArray::from_iter_values([text]);
        parse_column::<Int64Type>(&texts, &mut Integers { group: Group::None }).iter().next()?
    }

    #[test]
    fn the_ends_of_the_range_are_in_it() {
        assert_eq!(read(&i64::MIN.to_string()), Some(i64::MIN));
        assert_eq!(read(&i64::MAX.to_string()), Some(i64::MAX));
        assert_eq!(read("9223372036854775808"), None);
        assert_eq!(read("-9223372036854775809"), None);
        assert_eq!(read("00000000000000000000000000000000012"), Some(12));
    }

    #[test]
    fn what_is_no_integer_is_null() {
        for text in ["", " ", "-", "+", "1.0", "1e3", "0x10", "1_000", "１２", "12\u{ff}", "1 2"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn like_the_standard_library(text in "[ ]{0,2}[+-]?[0-9]{0,22}[ x]{0,1}") {
            prop_assert_eq!(read(&text), text.trim().parse().ok());
        }
    }
}
