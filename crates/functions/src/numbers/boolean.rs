//! `try_boolean`: the usual words for yes and no, in English and French.

use crate::arguments::{Want, coerce, result, text_column};
use crate::kernel::{parse_each, trim, valid};
use arrow::array::{ArrayRef, BooleanArray, BooleanBufferBuilder};
use arrow::datatypes::DataType;
use contracts::function::{Argument, ScalarFunction};
use model::Result;
use std::sync::Arc;

pub(crate) const TRY_BOOLEAN: ScalarFunction = ScalarFunction {
    name: "try_boolean",
    summary: "Whether a text says yes or no, in English, French or digits; otherwise null.",
    syntax: "try_boolean(text)",
    examples: &[
        ("try_boolean('Oui')", "true"),
        ("try_boolean('faux')", "false"),
        ("try_boolean('1')", "true"),
        ("try_boolean('N')", "false"),
        ("try_boolean('maybe')", "NULL"),
    ],
    coerce: |types| coerce("try_boolean", types, &[Want::Text], &[]),
    returns: |_| result("try_boolean", DataType::Boolean),
    invoke,
};

const WORDS: &[(&[u8], bool)] = &[
    (b"true", true),
    (b"false", false),
    (b"1", true),
    (b"0", false),
    (b"t", true),
    (b"f", false),
    (b"y", true),
    (b"yes", true),
    (b"n", false),
    (b"no", false),
    (b"o", true),
    (b"oui", true),
    (b"non", false),
    (b"v", true),
    (b"vrai", true),
    (b"faux", false),
];

fn invoke(arguments: &[Argument], rows: usize) -> Result<ArrayRef> {
    let texts = text_column(&arguments[0], rows)?;
    let mut values = BooleanBufferBuilder::new(rows);
    let parsed = parse_each(&texts, &mut read, |value| values.append(value.unwrap_or_default()));
    Ok(Arc::new(BooleanArray::new(values.finish(), valid(&texts, parsed))))
}

pub(crate) fn read(text: &[u8]) -> Option<bool> {
    let text = trim(text);
    WORDS.iter().find(|(word, _)| text.eq_ignore_ascii_case(word)).map(|(_, value)| *value)
}
