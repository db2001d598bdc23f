//! `row_notes`: the numbers of the checks that a row fails without being rejected.

use super::row_errors::{is_true, set_rows};
use crate::arguments::{Want, broken, coerce_groups, column, integer_at, result};
use arrow::array::{ArrayRef, AsArray, Int64Builder, ListBuilder, new_null_array};
use arrow::compute::cast;
use contracts::function::{Argument, ScalarFunction};
use contracts::rejects::notes_type;
use model::Result;
use std::sync::Arc;

const NAME: &str = "row_notes";
const GROUP: &[Want] = &[Want::Boolean, Want::Integer];

pub(crate) const ROW_NOTES: ScalarFunction = ScalarFunction {
    name: NAME,
    summary: "The list of the numbers whose conditions are true, or null.",
    syntax: "row_notes(failed1, number1, …)",
    examples: &[
        ("row_notes(true, 0, false, 1, true, 2)", "[0, 2]"),
        ("row_notes(NULL, 0, false, 1)", "NULL"),
    ],
    coerce: |types| coerce_groups(NAME, types, &[], GROUP),
    returns: |_| result(NAME, notes_type()),
    invoke,
};

fn invoke(arguments: &[Argument], rows: usize) -> Result<ArrayRef> {
    let mut conditions = Vec::new();
    let mut any: Option<Vec<bool>> = None;
    for group in arguments.chunks_exact(GROUP.len()) {
        if !group[0].array().as_boolean().has_true() {
            continue;
        }
        let failed = column(&group[0], rows)?.as_boolean().clone();
        let any = any.get_or_insert_with(|| vec![false; rows]);
        for row in set_rows(&failed) {
            any[row] = true;
        }
        conditions.push((failed, &group[1]));
    }
    let Some(any) = any else { return Ok(new_null_array(&notes_type(), rows)) };
    let mut builder = ListBuilder::new(Int64Builder::new());
    for (row, noted) in any.into_iter().enumerate() {
        for (_, number) in conditions.iter().filter(|(failed, _)| noted && is_true(failed, row)) {
            builder.values().append_option(integer_at(number, row));
        }
        builder.append(noted);
    }
    let notes: ArrayRef = Arc::new(builder.finish());
    cast(&notes, &notes_type()).map_err(broken)
}
