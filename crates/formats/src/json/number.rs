//! Facts about numbers as text: which type keeps all their digits.

/// What a JSON number looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NumberFacts {
    /// Neither fraction nor exponent.
    pub(crate) is_integer: bool,
    /// An integer that fits 64 bits.
    pub(crate) fits_i64: bool,
    /// Written with an exponent.
    pub(crate) has_exponent: bool,
    /// Digits before the point.
    pub(crate) integer_digits: usize,
    /// Digits after the point.
    pub(crate) scale: usize,
    /// A 64-bit float shows the same digits.
    pub(crate) float_keeps: bool,
}

/// Looks at the text of a valid JSON number.
pub(crate) fn facts(text: &str) -> NumberFacts {
    let has_exponent = text.contains(['e', 'E']);
    let mantissa = text.split(['e', 'E']).next().unwrap_or(text).trim_start_matches('-');
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_integer = !has_exponent && !mantissa.contains('.');
    NumberFacts {
        is_integer,
        fits_i64: is_integer && text.parse::<i64>().is_ok(),
        has_exponent,
        integer_digits: integer.trim_start_matches('0').len(),
        scale: fraction.len(),
        float_keeps: float_keeps(text),
    }
}

/// Whether the nearest float, printed as short as possible, has the digits of `text`.
pub(crate) fn float_keeps(text: &str) -> bool {
    let Ok(value) = text.parse::<f64>() else { return false };
    if !value.is_finite() {
        return false;
    }
    let digits = text.bytes().take_while(|byte| !matches!(byte, b'e' | b'E'));
    if digits.filter(u8::is_ascii_digit).count() <= 15 && (value != 0.0 || !has_digits(text)) {
        return true;
    }
    significand(text) == significand(&format!("{value:e}"))
}

/// Digits of a number without the zeros at both ends.
pub(crate) fn number_of_digits(text: &str) -> usize {
    significand(text).1.len()
}

fn has_digits(text: &str) -> bool {
    let mantissa = text.split(['e', 'E']).next().unwrap_or(text);
    mantissa.bytes().any(|byte| (b'1'..=b'9').contains(&byte))
}

/// Sign, digits without zeros at both ends, and the power of ten of the last digit.
fn significand(text: &str) -> (bool, String, i64) {
    let negative = text.starts_with('-');
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    // An exponent beyond 64 bits is no float's: any value that differs will do.
    let exponent: i64 = exponent.trim_start_matches('+').parse().unwrap_or(i64::MAX / 2);
    let (integer, fraction) = mantissa
        .trim_start_matches('-')
        .split_once('.')
        .unwrap_or((mantissa.trim_start_matches('-'), ""));
    let digits = format!("{integer}{fraction}");
    let digits = digits.trim_start_matches('0');
    let trimmed = digits.trim_end_matches('0');
    if trimmed.is_empty() {
        return (false, String::new(), 0);
    }
    let zeros = i64::try_from(digits.len() - trimmed.len()).unwrap_or(0);
    let scale = i64::try_from(fraction.len()).unwrap_or(0);
    (negative, trimmed.to_owned(), exponent.saturating_sub(scale).saturating_add(zeros))
}

/// The number as an integer of units of `10^-scale`; none when a digit would be lost.
pub(crate) fn to_decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let (negative, digits, power) = significand(text);
    let zeros = power.checked_add(i64::from(scale))?;
    if digits.is_empty() {
        return Some(0);
    }
    let zeros = u32::try_from(zeros).ok()?;
    let length = u32::try_from(digits.len()).ok()?.checked_add(zeros)?;
    if length > u32::from(precision) {
        return None;
    }
    let units = digits.parse::<i128>().ok()?.checked_mul(10i128.checked_pow(zeros)?)?;
    Some(if negative { -units } else { units })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_keep_what_they_can() {
        for text in ["1.5", "0.1", "0.30000000000000004", "-1e300", "5e-324", "0", "0.0e5"] {
            assert!(float_keeps(text), "{text}");
        }
        for text in ["0.1234567890123456789", "9007199254740993.0", "1e400", "1e-999"] {
            assert!(!float_keeps(text), "{text}");
        }
    }

    #[test]
    fn decimals_are_exact_or_refused() {
        assert_eq!(to_decimal("12.50", 4, 2), Some(1250));
        assert_eq!(to_decimal("-1.25e1", 4, 2), Some(-1250));
        assert_eq!(to_decimal("12.505", 5, 2), None);
        assert_eq!(to_decimal("123.4", 4, 2), None);
        assert_eq!(to_decimal("0e999999999999999999999", 4, 2), Some(0));
        assert_eq!(to_decimal("1e99999999999", 38, 2), None);
        assert_eq!(to_decimal(&"9".repeat(38), 38, 0), Some(10i128.pow(38) - 1));
        assert_eq!(to_decimal(&"9".repeat(5000), 38, 0), None);
    }
}
