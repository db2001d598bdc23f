//! UUIDs, JSON and bytes out of text, and any value as text or JSON.

mod binary;
mod json;
mod json_get;
mod print;
pub(crate) mod to_text;
pub(crate) mod uuid;

pub(crate) use print::{Printer, json_text};

use contracts::function::ScalarFunction;

pub(crate) const ALL: &[ScalarFunction] = &[
    uuid::TRY_UUID,
    json::TRY_JSON,
    binary::TRY_BINARY,
    json_get::JSON_GET,
    json_get::JSON_GET_JSON,
    to_text::TO_TEXT,
    to_text::TO_JSON_TEXT,
];
