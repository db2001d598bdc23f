//! The loop under all parsers: from views of text to a column of numbers and its nulls.

use arrow::array::{Array, ArrowPrimitiveType, PrimitiveArray, StringViewArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};

/// A text of at most so many bytes stands in its view and can be read from a register.
pub(crate) const INLINE_BYTES: usize = 12;

/// A parser of one type.
pub(crate) trait Parser<T> {
    /// Reads a text of 1 to 12 bytes from a word whose other bytes are zero. None means that
    /// [`Parser::bytes`] is to decide.
    #[inline]
    fn inline(&mut self, _word: u128, _length: usize) -> Option<T> {
        None
    }

    /// Reads any text.
    fn bytes(&mut self, text: &[u8]) -> Option<T>;
}

impl<T, F: FnMut(&[u8]) -> Option<T>> Parser<T> for F {
    fn bytes(&mut self, text: &[u8]) -> Option<T> {
        self(text)
    }
}

/// Parses every text; what is null or cannot be parsed becomes null.
pub(crate) fn parse_column<T: ArrowPrimitiveType>(
    texts: &StringViewArray,
    parser: &mut impl Parser<T::Native>,
) -> PrimitiveArray<T> {
    let mut values = vec![T::Native::default(); texts.len()];
    let parsed = {
        let mut slots = values.iter_mut();
        parse_each(texts, parser, |value| {
            if let Some(slot) = slots.next() {
                *slot = value.unwrap_or_default();
            }
        })
    };
    PrimitiveArray::new(values.into(), valid(texts, parsed))
}

/// Parses every text, gives each value away, and says which were there.
pub(crate) fn parse_each<T>(
    texts: &StringViewArray,
    parser: &mut impl Parser<T>,
    mut take: impl FnMut(Option<T>),
) -> BooleanBuffer {
    let buffers = texts.data_buffers();
    let mut views = texts.views().iter();
    BooleanBuffer::collect_bool(texts.len(), |_| {
        let value = views.next().and_then(|view| {
            let length = *view as u32 as usize;
            if length > INLINE_BYTES {
                let block = buffers.get((*view >> 64) as u32 as usize)?;
                let start = (*view >> 96) as usize;
                return parser.bytes(block.get(start..start + length)?);
            }
            if length == 0 {
                return None;
            }
            let word = *view >> 32;
            parser.inline(word, length).or_else(|| decide(parser, word, length))
        });
        let there = value.is_some();
        take(value);
        there
    })
}

#[cold]
fn decide<T>(parser: &mut impl Parser<T>, word: u128, length: usize) -> Option<T> {
    parser.bytes(&word.to_le_bytes()[..length])
}

/// The nulls of a column of which `parsed` says what could be read.
pub(crate) fn valid(texts: &StringViewArray, parsed: BooleanBuffer) -> Option<NullBuffer> {
    let valid = match texts.nulls() {
        Some(nulls) => &parsed & nulls.inner(),
        None => parsed,
    };
    Some(NullBuffer::new(valid)).filter(|nulls| nulls.null_count() > 0)
}

/// Without white space and no-break spaces on both sides.
pub(crate) fn trim(mut text: &[u8]) -> &[u8] {
    while let Some(length) = space_at_start(text) {
        text = &text[length..];
    }
    loop {
        text = match text {
            [rest @ .., last] if is_space(*last) => rest,
            [rest @ .., 0xC2, 0xA0] => rest,
            [rest @ .., 0xE2, 0x80, 0xAF] => rest,
            [rest @ .., 0xEF, 0xBB, 0xBF] => rest,
            _ => return text,
        };
    }
}

/// The bytes of the space that the text begins with: ASCII white space, the no-break spaces
/// U+00A0 and U+202F, the byte order mark.
#[inline]
pub(crate) fn space_at_start(text: &[u8]) -> Option<usize> {
    match text {
        [first, ..] if is_space(*first) => Some(1),
        [0xC2, 0xA0, ..] => Some(2),
        [0xE2, 0x80, 0xAF, ..] | [0xEF, 0xBB, 0xBF, ..] => Some(3),
        _ => None,
    }
}

#[inline]
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Whether there is nothing but space.
pub(crate) fn is_blank(text: &[u8]) -> bool {
    trim(text).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::Int64Type;

    #[test]
    fn spaces_of_all_kinds_are_trimmed() {
        assert_eq!(trim("\u{a0} \tx y\u{202f}\n".as_bytes()), b"x y");
        assert_eq!(trim(b""), b"");
        assert_eq!(trim("\u{a0}\u{a0}".as_bytes()), b"");
        assert_eq!(trim("à\u{a0}".as_bytes()), "à".as_bytes());
    }

    #[test]
    fn nulls_stay_and_slices_are_read_from_their_place() {
        let texts: StringViewArray =
            [Some("1"), None, Some("a text of more than twelve bytes"), Some("22"), Some("")]
                .into_iter()
                .collect();
        let mut length = |text: &[u8]| Some(text.len() as i64);
        let all = parse_column::<Int64Type>(&texts, &mut length);
        assert_eq!(
            all.iter().collect::<Vec<_>>(),
            [Some(1), None, Some(32), Some(2), None],
            "an empty text is never parsed"
        );
        let part = parse_column::<Int64Type>(&texts.slice(2, 2), &mut length);
        assert_eq!(part.iter().collect::<Vec<_>>(), [Some(32), Some(2)]);
        assert_eq!(part.null_count(), 0);
    }
}
