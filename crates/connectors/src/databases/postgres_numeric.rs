//! Decimals to PostgreSQL's `numeric`.

/// Adds the length and a `numeric`: digits to the base 10 000, the first one worth 10 000^weight.
pub(super) fn put_numeric(buffer: &mut Vec<u8>, value: i128, scale: u32) {
    let groups = Groups::new(value.unsigned_abs(), scale);
    let mut weight = groups.whole - 1;
    let mut digits = &groups.digits[groups.start..];
    while let Some((0, rest)) = digits.split_first() {
        digits = rest;
        weight -= 1;
    }
    while let Some((0, rest)) = digits.split_last() {
        digits = rest;
    }
    if digits.is_empty() {
        weight = 0;
    }
    let count = u16::try_from(digits.len()).unwrap_or(0);
    let length = 8 + 2 * i32::from(count);
    let sign: u16 = if value < 0 { 0x4000 } else { 0 };
    buffer.extend_from_slice(&length.to_be_bytes());
    buffer.extend_from_slice(&count.to_be_bytes());
    buffer.extend_from_slice(&weight.to_be_bytes());
    buffer.extend_from_slice(&sign.to_be_bytes());
    buffer.extend_from_slice(&u16::try_from(scale).unwrap_or(0).to_be_bytes());
    for digit in digits {
        buffer.extend_from_slice(&digit.to_be_bytes());
    }
}

/// Digits of a number to the base 10 000, in order.
struct Groups {
    /// 39 digits, cut at the decimal point: at most 10 + 10 groups.
    digits: [u16; 24],
    start: usize,
    whole: i16,
}

impl Groups {
    fn put(&mut self, group: u16) {
        self.start -= 1;
        self.digits[self.start] = group;
    }

    /// Cuts a number from the right. In 64 bits where it fits: 128-bit divisions are slow.
    fn new(magnitude: u128, scale: u32) -> Self {
        let mut groups = Self { digits: [0; 24], start: 24, whole: 0 };
        match (u64::try_from(magnitude), 10u64.checked_pow(scale)) {
            (Ok(magnitude), Some(power)) => {
                let (mut whole, mut fraction) = (magnitude / power, magnitude % power);
                groups.cut_fraction(scale, |base| {
                    let group = fraction % u64::from(base);
                    fraction /= u64::from(base);
                    u16::try_from(group).unwrap_or(0)
                });
                while whole > 0 {
                    groups.put(u16::try_from(whole % 10_000).unwrap_or(0));
                    whole /= 10_000;
                    groups.whole += 1;
                }
            }
            _ => {
                let power = 10u128.pow(scale);
                let (mut whole, mut fraction) = (magnitude / power, magnitude % power);
                groups.cut_fraction(scale, |base| {
                    let group = fraction % u128::from(base);
                    fraction /= u128::from(base);
                    u16::try_from(group).unwrap_or(0)
                });
                while whole > 0 {
                    groups.put(u16::try_from(whole % 10_000).unwrap_or(0));
                    whole /= 10_000;
                    groups.whole += 1;
                }
            }
        }
        groups
    }

    /// The last group of a fraction is filled up with zeros on the right.
    fn cut_fraction(&mut self, scale: u32, mut next: impl FnMut(u16) -> u16) {
        let count = scale.div_ceil(4);
        let missing = count * 4 - scale;
        for number in 0..count {
            let filled = if number == 0 { 10u16.pow(missing) } else { 1 };
            let group = next(10_000 / filled);
            self.put(group * filled);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numeric(value: i128, scale: u32) -> (i16, u16, Vec<u16>) {
        let mut buffer = Vec::new();
        put_numeric(&mut buffer, value, scale);
        let numbers: Vec<u16> =
            buffer[4..].chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
        assert_eq!(usize::from(numbers[0]), numbers.len() - 4);
        (numbers[1].cast_signed(), numbers[2], numbers[4..].to_vec())
    }

    #[test]
    fn decimals_become_groups_of_four_digits() {
        assert_eq!(numeric(1_234_567, 2), (1, 0, vec![1, 2345, 6700]));
        assert_eq!(numeric(-525, 2), (0, 0x4000, vec![5, 2500]));
        assert_eq!(numeric(1, 6), (-2, 0, vec![100]));
        assert_eq!(numeric(0, 2), (0, 0, vec![]));
        assert_eq!(numeric(700_000_000, 0), (2, 0, vec![7]));
        let (weight, _, digits) = numeric(10i128.pow(38) - 1, 0);
        assert_eq!((weight, digits.len(), digits[0]), (9, 10, 99));
        let (weight, _, digits) = numeric(10i128.pow(38) - 1, 38);
        assert_eq!((weight, digits.len(), digits[9]), (-1, 10, 9900));
    }
}
