//! Digits eight at a time: arithmetic on a whole word of characters instead of one by one.

/// The character `0` in every byte.
const ZEROS: u128 = u128::from_le_bytes([b'0'; 16]);
const ONES: u128 = u128::from_le_bytes([1; 16]);
const HIGH_BITS: u128 = u128::from_le_bytes([0x80; 16]);
const ABOVE_NINE: u128 = u128::from_le_bytes([0x76; 16]);

/// 10 to the power of the index.
pub(crate) const POWERS: [i128; 39] = {
    let mut powers = [1i128; 39];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// An unsigned number of at most 12 characters: its digits as one integer, and how many of them
/// stand after the decimal character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ShortNumber {
    pub(crate) digits: u64,
    pub(crate) decimals: usize,
    pub(crate) negative: bool,
}

/// Reads `[+-]digits[.digits]` from the first `length` (at most 12) bytes of `word`, whose other
/// bytes are zero. None means: look again without haste.
#[inline]
pub(crate) fn short_number(word: u128, length: usize, decimal: u8) -> Option<ShortNumber> {
    let (word, length, negative) = without_sign(word, length)?;
    let (digits, decimals) = match length {
        0..=8 => number_of_eight(word as u64, length, decimal)?,
        _ => number_of_twelve(word, length, decimal)?,
    };
    Some(ShortNumber { digits, decimals, negative })
}

/// Reads `[+-]digits`, like [`short_number`].
#[inline]
pub(crate) fn short_integer(word: u128, length: usize) -> Option<i64> {
    let (word, length, negative) = without_sign(word, length)?;
    let digits = match length {
        0 => return None,
        1..=8 => eight_digits(word as u64, length)?,
        _ => sixteen_digits(word, length)?,
    };
    let value = i64::try_from(digits).ok()?;
    Some(if negative { -value } else { value })
}

#[inline]
fn without_sign(word: u128, length: usize) -> Option<(u128, usize, bool)> {
    match word as u8 {
        b'-' => Some((word >> 8, length.checked_sub(1)?, true)),
        b'+' => Some((word >> 8, length.checked_sub(1)?, false)),
        _ => Some((word, length, false)),
    }
}

/// Digits and decimals of at most eight characters.
#[inline]
fn number_of_eight(word: u64, length: usize, decimal: u8) -> Option<(u64, usize)> {
    let difference = word ^ ((ONES as u64) * u64::from(decimal));
    let zero_bytes = difference.wrapping_sub(ONES as u64) & !difference & (HIGH_BITS as u64);
    if zero_bytes == 0 {
        return (length > 0).then(|| eight_digits(word, length))?.map(|digits| (digits, 0));
    }
    let at = zero_bytes.trailing_zeros() / 8;
    let before = word & ((1 << (8 * at)) - 1);
    let after = (word >> (8 * at) >> 8) << (8 * at);
    let decimals = length.checked_sub(at as usize + 1)?;
    let digits = (length > 1).then(|| eight_digits(before | after, length - 1))??;
    Some((digits, decimals))
}

/// Digits and decimals of at most twelve characters.
#[inline]
fn number_of_twelve(word: u128, length: usize, decimal: u8) -> Option<(u64, usize)> {
    if length > 12 {
        return None;
    }
    let difference = word ^ (ONES * u128::from(decimal));
    let zero_bytes = difference.wrapping_sub(ONES) & !difference & HIGH_BITS;
    if zero_bytes == 0 {
        return Some((sixteen_digits(word, length)?, 0));
    }
    let at = zero_bytes.trailing_zeros() / 8;
    let before = word & ((1 << (8 * at)) - 1);
    let after = (word >> (8 * at) >> 8) << (8 * at);
    let decimals = length.checked_sub(at as usize + 1)?;
    Some((sixteen_digits(before | after, length - 1)?, decimals))
}

/// The number that the first `length` (1 to 8) bytes of `word` spell, or none.
#[inline]
fn eight_digits(word: u64, length: usize) -> Option<u64> {
    let lanes = (word ^ (ZEROS as u64)) << (8 * (8 - length));
    if (lanes.wrapping_add(ABOVE_NINE as u64) | lanes) & (HIGH_BITS as u64) != 0 {
        return None;
    }
    Some(eight(lanes))
}

/// The number that the first `length` (9 to 16; less when a decimal character was taken out)
/// bytes of `word` spell, or none.
#[inline]
fn sixteen_digits(word: u128, length: usize) -> Option<u64> {
    let lanes = (word ^ ZEROS) << (8 * (16 - length));
    if (lanes.wrapping_add(ABOVE_NINE) | lanes) & HIGH_BITS != 0 {
        return None;
    }
    Some(eight(lanes as u64) * 100_000_000 + eight((lanes >> 64) as u64))
}

/// The number of eight digits (values, not characters), the first in the lowest byte.
#[inline]
fn eight(lanes: u64) -> u64 {
    let pairs = (lanes.wrapping_mul(2561) >> 8) & 0x00FF_00FF_00FF_00FF;
    let fours = (pairs.wrapping_mul(6_553_601) >> 16) & 0x0000_FFFF_0000_FFFF;
    fours.wrapping_mul(42_949_672_960_001) >> 32
}

/// Four numbers of two digits from eight characters, or none where one is not a digit.
#[inline]
pub(crate) fn four_pairs(characters: u64) -> Option<[u32; 4]> {
    let lanes = characters ^ (ZEROS as u64);
    if (lanes.wrapping_add(ABOVE_NINE as u64) | lanes) & (HIGH_BITS as u64) != 0 {
        return None;
    }
    let pairs = (lanes.wrapping_mul(2561) >> 8) & 0x00FF_00FF_00FF_00FF;
    let pair = |at: u32| (pairs >> (16 * at)) as u32 & 0xFF;
    Some([pair(0), pair(1), pair(2), pair(3)])
}

/// Two digits, or none.
#[inline]
pub(crate) fn pair(tens: u8, units: u8) -> Option<u32> {
    let (tens, units) = (tens.wrapping_sub(b'0'), units.wrapping_sub(b'0'));
    (tens <= 9 && units <= 9).then(|| u32::from(tens) * 10 + u32::from(units))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn word(text: &str) -> u128 {
        let mut bytes = [0; 16];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        u128::from_le_bytes(bytes)
    }

    #[test]
    fn short_numbers_are_read() {
        let read = |text: &str| short_number(word(text), text.len(), b'.');
        let number = |digits, decimals, negative| Some(ShortNumber { digits, decimals, negative });
        assert_eq!(read("0"), number(0, 0, false));
        assert_eq!(read("-12.50"), number(1250, 2, true));
        assert_eq!(read("+.5"), number(5, 1, false));
        assert_eq!(read("5."), number(5, 0, false));
        assert_eq!(read("123456789012"), number(123_456_789_012, 0, false));
        assert_eq!(read("12345678.901"), number(12_345_678_901, 3, false));
        for bad in ["", "-", ".", "-.", "1.2.3", "1a", "a1", "1 ", "--1", "1\u{e9}", "/", ":", "1:"]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn short_integers_are_read() {
        let read = |text: &str| short_integer(word(text), text.len());
        assert_eq!(read("7"), Some(7));
        assert_eq!(read("-12345678"), Some(-12_345_678));
        assert_eq!(read("+00000000012"), Some(12));
        assert_eq!(read("999999999999"), Some(999_999_999_999));
        for bad in ["", "-", "1.0", "1,0", "12345678x", "1234567 ", "\u{e9}", "--1"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_twelve_characters(text in "[0-9.,+\\-/: ]{0,12}") {
            let fast = short_number(word(&text), text.len(), b'.');
            let digits: String = text.chars().filter(char::is_ascii_digit).collect();
            let valid = !digits.is_empty()
                && text.strip_prefix(['+', '-']).unwrap_or(&text).chars()
                    .all(|c| c.is_ascii_digit() || c == '.')
                && text.matches('.').count() <= 1;
            let slow = valid.then(|| ShortNumber {
                digits: digits.parse().unwrap(),
                decimals: text.find('.').map_or(0, |at| text.len() - at - 1),
                negative: text.starts_with('-'),
            });
            prop_assert_eq!(fast, slow);
        }

        #[test]
        fn pairs_of_digits(number in 0u32..100_000_000) {
            let text = format!("{number:08}");
            let read = four_pairs(u64::from_le_bytes(text.as_bytes().try_into().unwrap())).unwrap();
            let [a, b, c, d] = read;
            prop_assert_eq!(a * 1_000_000 + b * 10_000 + c * 100 + d, number);
        }
    }
}
