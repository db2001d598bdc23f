//! The columns `_errors`, `_notes` and `_record`: nearly free for a row that is in order.

mod cast_errors;
mod explain;
mod row_errors;
mod row_notes;
mod row_record;

use contracts::function::ScalarFunction;

pub(crate) const ALL: &[ScalarFunction] = &[
    row_errors::ROW_ERRORS,
    cast_errors::CAST_ERRORS,
    row_notes::ROW_NOTES,
    row_record::ROW_RECORD,
];
