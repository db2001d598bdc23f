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
    let (mut word, mut length) = (word, length);
    let first = word as u8;
    let negative = first == b'-';
    if negative || first == b'+' {
        word >>= 8;
        length = length.checked_sub(1)?;
    }
    let difference = word ^ (ONES * u128::from(decimal));
    let zero_bytes = difference.wrapping_sub(ONES) & !difference & HIGH_BITS;
    let at = (zero_bytes.trailing_zeros() / 8) as usize;
    let mut decimals = 0;
    if at < length {
        let before = word & ((1u128 << (8 * at)) - 1);
        let after = (word >> (8 * at)) >> 8;
        word = before | (after << (8 * at));
        decimals = length - at - 1;
        length -= 1;
    }
    if length == 0 || length > 12 {
        return None;
    }
    let digits = word_of_digits(word, length)?;
    Some(ShortNumber { digits, decimals, negative })
}

/// The number that the first `length` (1 to 16) bytes of `word` spell, or none.
#[inline]
fn word_of_digits(word: u128, length: usize) -> Option<u64> {
    let lanes = (word ^ ZEROS) << (8 * (16 - length));
    if (lanes.wrapping_add(ABOVE_NINE) | lanes) & HIGH_BITS != 0 {
        return None;
    }
    let last = eight((lanes >> 64) as u64);
    if length <= 8 {
        return Some(last);
    }
    Some(eight(lanes as u64) * 100_000_000 + last)
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
