//! `try_json`: texts that are valid JSON.

use crate::arguments::{Want, coerce, result_of, text_column};
use crate::kernel::trim;
use arrow::array::{Array, ArrayRef, StringViewBuilder};
use contracts::function::{Argument, ScalarFunction};
use model::{DataType, Result};
use serde::de::IgnoredAny;
use std::sync::Arc;

pub(crate) const TRY_JSON: ScalarFunction = ScalarFunction {
    name: "try_json",
    summary: "The text without spaces around it, when it is valid JSON; otherwise null.",
    syntax: "try_json(text)",
    examples: &[
        ("try_json(' {\"a\": 1.10} ')", "{\"a\": 1.10}"),
        ("try_json('[1, 2')", "NULL"),
        ("try_json('NaN')", "NULL"),
    ],
    coerce: |types| coerce("try_json", types, &[Want::Text], &[]),
    returns: |_| result_of("try_json", &DataType::Json),
    invoke,
};

fn invoke(arguments: &[Argument], rows: usize) -> Result<ArrayRef> {
    let texts = text_column(&arguments[0], rows)?;
    let mut builder = StringViewBuilder::with_capacity(texts.len());
    for text in &texts {
        let trimmed = text.map(|text| trim(text.as_bytes())).filter(|text| is_json(text));
        builder.append_option(trimmed.and_then(|text| std::str::from_utf8(text).ok()));
    }
    Ok(Arc::new(builder.finish()))
}

/// Whether it is one JSON value, nested at most 127 deep.
fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(text).is_ok()
}
