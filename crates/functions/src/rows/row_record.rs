//! `row_record`: a rejected row as JSON.

use crate::arguments::{Want, coerce_groups, column, result_of, text_column};
use crate::values::Printer;
use arrow::array::{Array, ArrayRef, StringViewBuilder, new_null_array};
use arrow::datatypes::DataType;
use contracts::function::{Argument, ScalarFunction};
use contracts::rejects::RECORD_BYTES_MAX;
use model::Result;
use std::sync::Arc;

const NAME: &str = "row_record";

pub(crate) const ROW_RECORD: ScalarFunction = ScalarFunction {
    name: NAME,
    summary: "The row as JSON where it has errors, cut at 64 KiB; otherwise null.",
    syntax: "row_record(errors, 'name1', value1, …)",
    examples: &[
        (
            "row_record(row_errors(true, 'n', 'x', 'is bad'), 'n', 'x', 'd', NULL, 'i', 3)",
            "{\"n\":\"x\",\"d\":null,\"i\":3}",
        ),
        ("row_record(row_errors(false, 'n', 'x', 'is bad'), 'n', 'x')", "NULL"),
    ],
    coerce: |types| coerce_groups(NAME, types, &[Want::Any], &[Want::Text, Want::Any]),
    returns: |_| result_of(NAME, &model::DataType::String),
    invoke,
};

fn invoke(arguments: &[Argument], rows: usize) -> Result<ArrayRef> {
    let errors = arguments[0].array();
    if errors.null_count() == errors.len() {
        return Ok(new_null_array(&DataType::Utf8View, rows));
    }
    let columns = arguments[1..]
        .chunks_exact(2)
        .map(|pair| Ok((text_column(&pair[0], rows)?, Printer::new(&column(&pair[1], rows)?)?)))
        .collect::<Result<Vec<_>>>()?;
    let mut builder = StringViewBuilder::with_capacity(rows);
    let mut record = String::new();
    for row in 0..rows {
        if errors.is_null(arguments[0].index(row)) {
            builder.append_null();
            continue;
        }
        record.clear();
        record.push('{');
        for (at, (name, printer)) in columns.iter().enumerate() {
            record.push_str(if at == 0 { "" } else { "," });
            crate::values::json_text(name.value(row), &mut record);
            record.push(':');
            printer.json(row, &mut record);
        }
        record.push('}');
        builder.append_value(stdx::text::truncate(&record, RECORD_BYTES_MAX));
    }
    Ok(Arc::new(builder.finish()))
}
