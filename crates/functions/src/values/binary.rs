//! `try_binary`: bytes written as hexadecimal or base64.

use crate::arguments::{Want, bad_call, coerce, constant_text, literal_text, result, text_column};
use crate::kernel::trim;
use arrow::array::{Array, ArrayRef, BinaryViewBuilder};
use arrow::datatypes::DataType;
use contracts::function::{Argument, ScalarFunction};
use model::Result;
use std::sync::Arc;

const NAME: &str = "try_binary";

pub(crate) const TRY_BINARY: ScalarFunction = ScalarFunction {
    name: NAME,
    summary: "The bytes that a text spells in hexadecimal or base64, or null. Without a format, \
              what can be hexadecimal is.",
    syntax: "try_binary(text [, 'hex' | 'base64'])",
    examples: &[
        ("try_binary('0xCAFE')", "cafe"),
        ("try_binary('\\xcafe01')", "cafe01"),
        ("try_binary('yv4=')", "cafe"),
        ("try_binary('cafe', 'base64')", "71a7de"),
        ("try_binary('abc', 'hex')", "NULL"),
    ],
    coerce: |types| coerce(NAME, types, &[Want::Text], &[Want::Text]),
    returns: |info| {
        Notation::new(literal_text(info, 1))?;
        result(NAME, DataType::BinaryView)
    },
    invoke,
};

/// How bytes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Notation {
    Any,
    Hex,
    Base64,
}

impl Notation {
    fn new(format: Option<&str>) -> Result<Self> {
        match format {
            None => Ok(Self::Any),
            Some("hex") => Ok(Self::Hex),
            Some("base64") => Ok(Self::Base64),
            Some(other) => Err(bad_call(NAME, format!("knows `hex` and `base64`, not `{other}`"))),
        }
    }
}

fn invoke(arguments: &[Argument], rows: usize) -> Result<ArrayRef> {
    let notation = Notation::new(constant_text(NAME, arguments, 1)?.as_deref())?;
    let texts = text_column(&arguments[0], rows)?;
    let mut builder = BinaryViewBuilder::with_capacity(texts.len());
    let mut bytes = Vec::new();
    for text in &texts {
        match text.and_then(|text| read(text.as_bytes(), notation, &mut bytes)) {
            Some(()) => builder.append_value(&bytes),
            None => builder.append_null(),
        }
    }
    Ok(Arc::new(builder.finish()))
}

/// Reads a text into `bytes`.
fn read(text: &[u8], notation: Notation, bytes: &mut Vec<u8>) -> Option<()> {
    let text = trim(text);
    if text.is_empty() {
        return None;
    }
    if notation != Notation::Base64 && read_hex(text, bytes).is_some() {
        return Some(());
    }
    if notation == Notation::Hex { None } else { read_base64(text, bytes) }
}

fn read_hex(text: &[u8], bytes: &mut Vec<u8>) -> Option<()> {
    bytes.clear();
    let digits = match text {
        [b'\\' | b'0', b'x' | b'X', digits @ ..] => digits,
        _ => text,
    };
    if digits.len() % 2 != 0 {
        return None;
    }
    for pair in digits.chunks_exact(2) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        bytes.push((high * 16 + low) as u8);
    }
    Some(())
}

/// Both alphabets; padding may be left out, but bits that no byte takes must be zero.
fn read_base64(text: &[u8], bytes: &mut Vec<u8>) -> Option<()> {
    bytes.clear();
    let unpadded = match text {
        [digits @ .., b'=', b'='] | [digits @ .., b'='] => digits,
        _ => text,
    };
    if unpadded.len() != text.len() && !text.len().is_multiple_of(4) {
        return None;
    }
    for group in unpadded.chunks(4) {
        let mut bits = 0u32;
        for byte in group {
            bits = (bits << 6) | u32::from(base64_digit(*byte)?);
        }
        bits <<= 6 * (4 - group.len());
        let [_, first, second, third] = bits.to_be_bytes();
        match group.len() {
            4 => bytes.extend([first, second, third]),
            3 if third == 0 => bytes.extend([first, second]),
            2 if second == 0 && third == 0 => bytes.push(first),
            _ => return None,
        }
    }
    Some(())
}

fn base64_digit(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base64(text: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        read(text.as_bytes(), Notation::Base64, &mut bytes).map(|()| bytes)
    }

    #[test]
    fn base64_as_the_standard_gives_it() {
        for (text, plain) in [
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg==", "foob"),
            ("Zm9vYmE=", "fooba"),
            ("Zm9vYmFy", "foobar"),
            ("Zm8", "fo"),
        ] {
            assert_eq!(base64(text).as_deref(), Some(plain.as_bytes()), "{text}");
        }
        assert_eq!(base64("-_-_"), base64("+/+/"));
        for bad in ["Z", "Zh==", "Zg=", "Zm9vYg=a", "Zm 9", "====", "é"] {
            assert_eq!(base64(bad), None, "{bad}");
        }
    }
}
