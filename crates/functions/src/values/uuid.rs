//! `try_uuid`: identifiers in their usual form.

use crate::arguments::{Want, coerce, result_of, text_column};
use crate::kernel::trim;
use arrow::array::{Array, ArrayRef, StringViewBuilder};
use contracts::function::{Argument, ScalarFunction};
use model::{DataType, Result};
use std::sync::Arc;
use uuid::Uuid;
use uuid::fmt::Hyphenated;

pub(crate) const TRY_UUID: ScalarFunction = ScalarFunction {
    name: "try_uuid",
    summary: "The UUID that a text spells, in lower case with hyphens, or null.",
    syntax: "try_uuid(text)",
    examples: &[
        (
            "try_uuid('A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11')",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        ),
        ("try_uuid('{a0eebc999c0b4ef8bb6d6bb9bd380a11}')", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("try_uuid('a0eebc99')", "NULL"),
    ],
    coerce: |types| coerce("try_uuid", types, &[Want::Text], &[]),
    returns: |_| result_of("try_uuid", &DataType::Uuid),
    invoke,
};

fn invoke(arguments: &[Argument], rows: usize) -> Result<ArrayRef> {
    let texts = text_column(&arguments[0], rows)?;
    let mut builder = StringViewBuilder::with_capacity(texts.len());
    let mut buffer = [0; Hyphenated::LENGTH];
    for text in &texts {
        match text.and_then(|text| read(text.as_bytes())) {
            Some(uuid) => builder.append_value(uuid.hyphenated().encode_lower(&mut buffer)),
            None => builder.append_null(),
        }
    }
    Ok(Arc::new(builder.finish()))
}

/// Reads it with or without hyphens, braces or `urn:uuid:`.
pub(crate) fn read(text: &[u8]) -> Option<Uuid> {
    let text = trim(text);
    let bare = text.strip_prefix(b"{").and_then(|text| text.strip_suffix(b"}"));
    Uuid::try_parse_ascii(bare.unwrap_or(text)).ok()
}
