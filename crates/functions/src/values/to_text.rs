//! `to_text` and `to_json_text`: any value, printed.

use super::print::Printer;
use crate::arguments::{Want, coerce, column, result, result_of};
use arrow::array::{Array, ArrayRef, StringViewBuilder};
use arrow::datatypes::DataType;
use contracts::function::{Argument, ScalarFunction};
use model::Result;
use std::sync::Arc;

pub(crate) const TO_TEXT: ScalarFunction = ScalarFunction {
    name: "to_text",
    summary: "A value as text: dates and instants in ISO 8601, lists and structs as JSON.",
    syntax: "to_text(value)",
    examples: &[
        ("to_text(try_decimal('1.5', 9, 2))", "1.50"),
        ("to_text(try_timestamp('2026-01-31 08:30'))", "2026-01-31T08:30:00Z"),
        ("to_text(12)", "12"),
        ("to_text(NULL)", "NULL"),
    ],
    coerce: |types| coerce("to_text", types, &[Want::Any], &[]),
    returns: |_| result("to_text", DataType::Utf8View),
    invoke: to_text,
};

pub(crate) const TO_JSON_TEXT: ScalarFunction = ScalarFunction {
    name: "to_json_text",
    summary: "A value as JSON, no digit lost; null stays null.",
    syntax: "to_json_text(value)",
    examples: &[
        ("to_json_text('say \"hi\"')", "\"say \\\"hi\\\"\""),
        ("to_json_text(try_decimal('1.5', 9, 2))", "1.50"),
        ("to_json_text(try_date('2026-01-31'))", "\"2026-01-31\""),
        ("to_json_text(NULL)", "NULL"),
    ],
    coerce: |types| coerce("to_json_text", types, &[Want::Any], &[]),
    returns: |_| result_of("to_json_text", &model::DataType::Json),
    invoke: to_json_text,
};

fn to_text(arguments: &[Argument], rows: usize) -> Result<ArrayRef> {
    let array = column(&arguments[0], rows)?;
    if *array.data_type() == DataType::Utf8View {
        return Ok(array);
    }
    print(&array, |printer, row, out| {
        printer.text(row, out);
        !printer.is_null(row)
    })
}

fn to_json_text(arguments: &[Argument], rows: usize) -> Result<ArrayRef> {
    print(&column(&arguments[0], rows)?, |printer, row, out| {
        printer.json(row, out);
        !printer.is_null(row)
    })
}

fn print(
    array: &ArrayRef,
    mut print: impl FnMut(&Printer, usize, &mut String) -> bool,
) -> Result<ArrayRef> {
    let printer = Printer::new(array)?;
    let mut builder = StringViewBuilder::with_capacity(array.len());
    let mut out = String::new();
    for row in 0..array.len() {
        out.clear();
        let there = print(&printer, row, &mut out);
        builder.append_option(there.then_some(out.as_str()));
    }
    Ok(Arc::new(builder.finish()))
}
