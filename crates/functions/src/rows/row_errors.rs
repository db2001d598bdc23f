//! `row_errors`: what is wrong with a row, from conditions that say so.

use crate::arguments::{Want, coerce_groups, column, result, text_column};
use crate::values::Printer;
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, ListArray, StringViewArray, new_null_array,
};
use arrow::buffer::NullBuffer;
use contracts::function::{Argument, ScalarFunction};
use contracts::rejects::{append_error, errors_builder, errors_type};
use model::Result;
use std::sync::Arc;

const NAME: &str = "row_errors";
const GROUP: &[Want] = &[Want::Boolean, Want::Text, Want::Any, Want::Text];

pub(crate) const ROW_ERRORS: ScalarFunction = ScalarFunction {
    name: NAME,
    summary: "The list of what is wrong with a row, or null: for each condition that is true, \
              the column, its value and the reason.",
    syntax: "row_errors(failed1, 'column1', value1, 'reason1', …)",
    examples: &[
        (
            "row_errors(true, 'n', -1, 'is less than 0', false, 'd', 'x', 'is late')",
            "[{column: n, value: -1, reason: is less than 0}]",
        ),
        ("row_errors(NULL, 'n', -1, 'is less than 0')", "NULL"),
        ("row_errors()", "NULL"),
    ],
    coerce: |types| coerce_groups(NAME, types, &[], GROUP),
    returns: |_| result(NAME, errors_type()),
    invoke,
};

/// One condition of a call, over all rows.
struct Condition {
    failed: BooleanArray,
    column: StringViewArray,
    value: Printer,
    reason: StringViewArray,
}

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
        conditions.push(Condition {
            failed,
            column: text_column(&group[1], rows)?,
            value: Printer::new(&column(&group[2], rows)?)?,
            reason: text_column(&group[3], rows)?,
        });
    }
    let Some(any) = any else { return Ok(new_null_array(&errors_type(), rows)) };
    let mut scratch = String::new();
    Ok(build_errors(&any, |row, builder| {
        for condition in conditions.iter().filter(|condition| is_true(&condition.failed, row)) {
            scratch.clear();
            condition.value.text(row, &mut scratch);
            let value = (!condition.value.is_null(row)).then_some(scratch.as_str());
            append_error(builder, condition.column.value(row), value, condition.reason.value(row));
        }
    }))
}

/// Rows where a condition holds.
pub(super) fn set_rows(failed: &BooleanArray) -> impl Iterator<Item = usize> {
    let valid = failed.nulls();
    failed.values().set_indices().filter(move |row| valid.is_none_or(|valid| valid.is_valid(*row)))
}

/// Whether a condition holds in a row.
pub(super) fn is_true(failed: &BooleanArray, row: usize) -> bool {
    failed.is_valid(row) && failed.value(row)
}

/// The builder of `_errors`.
pub(super) type ErrorsBuilder = arrow::array::ListBuilder<arrow::array::StructBuilder>;

/// A list for each row that has errors, filled by `fill`; null for the others.
pub(super) fn build_errors(
    any: &[bool],
    mut fill: impl FnMut(usize, &mut ErrorsBuilder),
) -> ArrayRef {
    let mut builder = errors_builder();
    for (row, failed) in any.iter().enumerate() {
        if *failed {
            fill(row, &mut builder);
        }
        builder.append(*failed);
    }
    let list: ListArray = builder.finish();
    debug_assert_eq!(
        list.nulls().map_or(0, NullBuffer::null_count),
        any.iter().filter(|f| !**f).count()
    );
    Arc::new(list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringViewArray};
    use arrow::util::display::array_value_to_string;

    fn text(text: &str) -> Argument {
        Argument::Scalar(Arc::new(StringViewArray::from_iter_values([text])))
    }

    #[test]
    fn only_failing_rows_have_a_list() {
        let failed = BooleanArray::from(vec![Some(false), Some(true), None, Some(true)]);
        let late = BooleanArray::from(vec![Some(false), Some(true), None, None]);
        let values = Int64Array::from(vec![Some(1), Some(-2), None, None]);
        let arguments = [
            Argument::Array(Arc::new(failed)),
            text("n"),
            Argument::Array(Arc::new(values)),
            text("is low"),
            Argument::Array(Arc::new(late)),
            text(""),
            text("x"),
            text("is late"),
        ];
        let list = invoke(&arguments, 4).unwrap();
        assert_eq!(*list.data_type(), errors_type());
        assert_eq!(list.null_count(), 2);
        assert_eq!(
            array_value_to_string(&list, 1).unwrap(),
            "[{column: n, value: -2, reason: is low}, {column: , value: x, reason: is late}]"
        );
        assert_eq!(list.as_list::<i32>().value_length(3), 1);
    }

    #[test]
    fn nothing_failed() {
        let failed = BooleanArray::from(vec![Some(false), None]);
        let arguments = [Argument::Array(Arc::new(failed)), text("n"), text("v"), text("r")];
        let list = invoke(&arguments, 2).unwrap();
        assert_eq!((list.len(), list.null_count()), (2, 2));
        assert_eq!(*list.data_type(), errors_type());
        assert_eq!(invoke(&[], 3).unwrap().len(), 3);
    }
}
