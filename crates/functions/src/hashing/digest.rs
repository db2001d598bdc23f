//! `hash_text`: a digest of one or more values, in hexadecimal.

use super::rows::Rows;
use crate::arguments::{Want, bad_call, coerce_groups, constant_text, literal_text, result};
use crate::values::Printer;
use arrow::array::{ArrayRef, StringViewBuilder};
use arrow::datatypes::DataType;
use contracts::function::{Argument, ScalarFunction};
use model::Result;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::sync::Arc;

const NAME: &str = "hash_text";

pub(crate) const HASH_TEXT: ScalarFunction = ScalarFunction {
    name: NAME,
    summary: "A digest in hexadecimal: of the text alone for one value, of an encoding that no \
              other values share for several. `sha256`, or the shorter and faster `stable64`.",
    syntax: "hash_text('sha256' | 'stable64', value1, …)",
    examples: &[
        (
            "hash_text('sha256', 'abc')",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        ("hash_text('stable64', 'abc')", "33ebaf9927cbc5bd"),
        ("hash_text('sha256', NULL)", "NULL"),
    ],
    coerce: |types| {
        if types.len() < 2 {
            return Err(bad_call(NAME, "takes an algorithm and at least one value"));
        }
        coerce_groups(NAME, types, &[Want::Text], &[Want::Any])
    },
    returns: |info| {
        literal_text(info, 0).map(Algorithm::new).transpose()?;
        result(NAME, DataType::Utf8View)
    },
    invoke,
};

#[derive(Debug, Clone, Copy)]
enum Algorithm {
    Sha256,
    Stable64,
}

impl Algorithm {
    fn new(name: &str) -> Result<Self> {
        match name {
            "sha256" => Ok(Self::Sha256),
            "stable64" => Ok(Self::Stable64),
            _ => Err(bad_call(NAME, format!("knows `sha256` and `stable64`, not `{name}`"))),
        }
    }

    fn write(self, bytes: &[u8], out: &mut String) {
        out.clear();
        let written = match self {
            Self::Sha256 => {
                Sha256::digest(bytes).iter().try_for_each(|byte| write!(out, "{byte:02x}"))
            }
            Self::Stable64 => write!(out, "{:016x}", stdx::hash::stable_hash(bytes)),
        };
        debug_assert!(written.is_ok(), "writing to a text cannot fail");
    }
}

fn invoke(arguments: &[Argument], rows: usize) -> Result<ArrayRef> {
    let missing = || bad_call(NAME, "takes an algorithm as its first argument");
    let algorithm = Algorithm::new(&constant_text(NAME, arguments, 0)?.ok_or_else(missing)?)?;
    let mut builder = StringViewBuilder::with_capacity(rows);
    let mut out = String::new();
    if let [_, only] = arguments {
        let printer = Printer::new(&crate::arguments::column(only, rows)?)?;
        let mut text = String::new();
        for row in 0..rows {
            text.clear();
            printer.text(row, &mut text);
            algorithm.write(text.as_bytes(), &mut out);
            builder.append_option((!printer.is_null(row)).then_some(out.as_str()));
        }
        return Ok(Arc::new(builder.finish()));
    }
    let mut values = Rows::new(&arguments[1..], rows)?;
    let mut bytes = Vec::new();
    for row in 0..rows {
        values.write(row, &mut bytes);
        algorithm.write(&bytes, &mut out);
        builder.append_value(&out);
    }
    Ok(Arc::new(builder.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, AsArray, StringViewArray};

    #[test]
    fn different_rows_have_different_digests() {
        let rows = [
            [Some("a"), Some("bc")],
            [Some("ab"), Some("c")],
            [Some("abc"), Some("")],
            [Some("abc"), None],
            [None, Some("abc")],
            [None, None],
            [Some(""), Some("")],
        ];
        let side = |at: usize| {
            let texts: StringViewArray = rows.iter().map(|row| row[at]).collect();
            Argument::Array(Arc::new(texts))
        };
        for algorithm in ["sha256", "stable64"] {
            let name = Argument::Scalar(Arc::new(StringViewArray::from_iter_values([algorithm])));
            let digests = invoke(&[name, side(0), side(1)], rows.len()).unwrap();
            let mut digests: Vec<&str> = digests.as_string_view().iter().flatten().collect();
            digests.sort_unstable();
            digests.dedup();
            assert_eq!(digests.len(), rows.len());
        }
        assert_eq!(side(0).array().len(), rows.len());
    }
}
