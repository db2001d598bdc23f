//! `try_decimal`: exact decimal numbers.

use super::notation::Notation;
use crate::arguments::{
    Want, bad_call, coerce, constant_integer, constant_text, literal_integer, literal_text, result,
    text_column,
};
use crate::digits::{POWERS, short_number};
use crate::kernel::{Parser, parse_column, trim};
use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Decimal128Type};
use contracts::function::{Argument, ScalarFunction};
use model::{Problem, Result};
use std::sync::Arc;

const NAME: &str = "try_decimal";

pub(crate) const TRY_DECIMAL: ScalarFunction = ScalarFunction {
    name: NAME,
    summary: "The decimal number that a text spells, or null where digits would be lost.",
    syntax: "try_decimal(text, precision, scale [, decimal_char [, group_char]])",
    examples: &[
        ("try_decimal('12.5', 12, 2)", "12.50"),
        ("try_decimal('1 234,56', 12, 2, ',', ' ')", "1234.56"),
        ("try_decimal('1.234.567,8', 12, 2, ',', '.')", "1234567.80"),
        ("try_decimal('12.5000', 12, 2)", "12.50"),
        ("try_decimal('12.345', 12, 2)", "NULL"),
        ("try_decimal('12345', 4, 2)", "NULL"),
        ("try_decimal('12 €', 4, 2)", "NULL"),
    ],
    coerce: |types| {
        let required = [Want::Text, Want::Integer, Want::Integer];
        coerce(NAME, types, &required, &[Want::Text, Want::Text])
    },
    returns: |info| {
        let (precision, scale) =
            checked(literal_integer(NAME, info, 1)?, literal_integer(NAME, info, 2)?)?;
        Notation::new(literal_text(info, 3), literal_text(info, 4))?;
        result(NAME, DataType::Decimal128(precision, scale as i8))
    },
    invoke,
};

fn checked(precision: i64, scale: i64) -> Result<(u8, u8)> {
    let wrong = || bad_call(NAME, "takes a precision of 1 to 38 and a scale of 0 to the precision");
    let precision = u8::try_from(precision).map_err(|_| wrong())?;
    let scale = u8::try_from(scale).map_err(|_| wrong())?;
    if precision == 0 || precision > 38 || scale > precision {
        return Err(wrong());
    }
    Ok((precision, scale))
}

fn invoke(arguments: &[Argument], rows: usize) -> Result<ArrayRef> {
    let missing = || -> Problem { bad_call(NAME, "takes a precision and a scale") };
    let precision = constant_integer(NAME, arguments, 1)?.ok_or_else(missing)?;
    let scale = constant_integer(NAME, arguments, 2)?.ok_or_else(missing)?;
    let (precision, scale) = checked(precision, scale)?;
    let decimal = constant_text(NAME, arguments, 3)?;
    let group = constant_text(NAME, arguments, 4)?;
    let notation = Notation::new(decimal.as_deref(), group.as_deref())?;
    let texts = text_column(&arguments[0], rows)?;
    let mut parser = Decimals::new(precision, scale, notation);
    let array = parse_column::<Decimal128Type>(&texts, &mut parser)
        .with_precision_and_scale(precision, scale as i8)
        .map_err(crate::arguments::broken)?;
    Ok(Arc::new(array))
}

pub(crate) struct Decimals {
    /// The first number with too many digits.
    limit: i128,
    /// The same for numbers of 64 bits.
    short_limit: u64,
    scale: usize,
    notation: Notation,
}

impl Decimals {
    pub(crate) fn new(precision: u8, scale: u8, notation: Notation) -> Self {
        let limit = POWERS[usize::from(precision)];
        let short_limit = u64::try_from(limit).unwrap_or(u64::MAX).min(SHORT_LIMIT);
        Self { limit, short_limit, scale: usize::from(scale), notation }
    }
}

/// Above all products of twelve digits and a short power.
const SHORT_LIMIT: u64 = 1_000_000_000_000_000_000;

/// Twelve digits times any of these fit into 64 bits.
const SHORT_POWERS: [u64; 7] = [1, 10, 100, 1000, 10_000, 100_000, 1_000_000];

impl Parser<i128> for Decimals {
    #[inline]
    fn inline(&mut self, word: u128, length: usize) -> Option<i128> {
        let number = short_number(word, length, self.notation.decimal)?;
        let value = number.digits * SHORT_POWERS.get(self.scale.checked_sub(number.decimals)?)?;
        let signed = if number.negative { -(value as i64) } else { value as i64 };
        (value < self.short_limit).then_some(i128::from(signed))
    }

    fn bytes(&mut self, text: &[u8]) -> Option<i128> {
        let parts = self.notation.split(trim(text))?;
        let mut value = 0i128;
        let mut push = |digit: u8| {
            value = value.checked_mul(10)?.checked_add(i128::from(digit))?;
            Some(())
        };
        self.notation.whole_digits(parts.whole, &mut push)?;
        let (kept, beyond) = parts.decimals.split_at(self.scale.min(parts.decimals.len()));
        for byte in kept {
            push(byte.is_ascii_digit().then(|| byte - b'0')?)?;
        }
        if beyond.iter().any(|byte| *byte != b'0') {
            return None;
        }
        let value = value.checked_mul(POWERS[self.scale - kept.len()])?;
        (value < self.limit).then_some(if parts.negative { -value } else { value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::StringViewArray;
    use proptest::prelude::*;

    fn read(text: &str, precision: u8, scale: u8, notation: Notation) -> Option<i128> {
        let texts = StringViewArray::from_iter_values([text]);
        let mut parser = Decimals::new(precision, scale, notation);
        parse_column::<Decimal128Type>(&texts, &mut parser).iter().next()?
    }

    fn plain(text: &str, precision: u8, scale: u8) -> Option<i128> {
        read(text, precision, scale, Notation::PLAIN)
    }

    #[test]
    fn thirty_eight_digits_are_exact() {
        let digits = "12345678901234567890123456789012345678";
        assert_eq!(plain(digits, 38, 0), digits.parse().ok());
        assert_eq!(plain(&format!("-0.{digits}"), 38, 38), Some(-digits.parse::<i128>().unwrap()));
        assert_eq!(plain(&format!("{digits}9"), 38, 0), None);
        assert_eq!(plain("99999999999999999999999999999999999999", 38, 0), Some(POWERS[38] - 1));
        assert_eq!(plain("1", 38, 38), None);
        assert_eq!(plain("0.1", 38, 38), Some(POWERS[37]));
    }

    #[test]
    fn digits_are_never_lost() {
        assert_eq!(plain("1.005", 9, 2), None);
        assert_eq!(plain("1.0500000000000000000", 9, 2), Some(105));
        assert_eq!(plain("1000.00", 5, 2), None);
        assert_eq!(plain("999.99", 5, 2), Some(99_999));
        assert_eq!(plain("-999.99", 5, 2), Some(-99_999));
    }

    #[test]
    fn groups_have_three_digits() {
        let french = Notation::new(Some(","), Some(" ")).unwrap();
        assert_eq!(read("1 234 567,89", 12, 2, french), Some(123_456_789));
        assert_eq!(read("1\u{202f}234,5", 12, 2, french), Some(123_450));
        assert_eq!(read("1\u{a0}234", 12, 2, french), Some(123_400));
        assert_eq!(read("1234,5", 12, 2, french), Some(123_450));
        for bad in ["12 34", "1 2345", "1234 567", "1 234,5 6", "1.5", "1,234,5", ", 1", " ,"] {
            assert_eq!(read(bad, 12, 2, french), None, "{bad}");
        }
        let english = Notation::new(None, Some(",")).unwrap();
        assert_eq!(read("1,234.50", 12, 2, english), Some(123_450));
        assert_eq!(read("1,23", 12, 2, english), None);
        assert!(Notation::new(Some(","), Some(",")).is_err());
    }

    /// The obvious way: digits as text, padded, parsed as one number.
    fn slow(text: &str, precision: u8, scale: u8) -> Option<i128> {
        let text = text.trim();
        let (sign, digits) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() && decimals.is_empty() {
            return None;
        }
        let decimals = match decimals.trim_end_matches('0') {
            kept if kept.len() > usize::from(scale) => return None,
            _ if decimals.len() > usize::from(scale) => &decimals[..usize::from(scale)],
            _ => decimals,
        };
        let all = format!("0{whole}{decimals:0<width$}", width = usize::from(scale));
        if !all.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let value: i128 = all.parse().ok()?;
        (value < POWERS[usize::from(precision)]).then_some(sign * value)
    }

    proptest! {
        #[test]
        fn like_the_obvious_way(
            text in "[ ]{0,1}[+-]?[0-9]{0,20}(\\.[0-9]{0,6}0{0,3})?[ x]{0,1}",
            precision in 1u8..=38, scale in 0u8..=8,
        ) {
            let scale = scale.min(precision);
            prop_assert_eq!(plain(&text, precision, scale), slow(&text, precision, scale));
        }

        #[test]
        fn printed_numbers_come_back(value in -POWERS[15] + 1..POWERS[15]) {
            let text = format!("{}{}.{:02}", if value < 0 { "-" } else { "" },
                value.abs() / 100, value.abs() % 100);
            prop_assert_eq!(plain(&text, 15, 2), Some(value));
        }
    }
}
