//! Rows as NDJSON, for examples and tests: `{"#types": {"day": "date"}}` may come first.

use crate::arrow_types::{canonical_schema, to_field};
use crate::batches::Batches;
use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType as ArrowType, Field, Schema, SchemaRef};
use arrow::json::reader::infer_json_schema_from_iterator;
use arrow::json::{LineDelimitedWriter, ReaderBuilder};
use model::{DataType, Problem, Result, codes};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

const TYPES_KEY: &str = "#types";

/// Reads rows. Types are inferred where `#types` gives none; dates and the like are texts cast.
pub fn read(text: &str) -> Result<RecordBatch> {
    let mut types: BTreeMap<String, DataType> = BTreeMap::new();
    let mut rows = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut row: Value = serde_json::from_str(line).map_err(invalid)?;
        match row.get_mut(TYPES_KEY) {
            Some(given) => types = serde_json::from_value(given.take()).map_err(invalid)?,
            None => rows.push(row),
        }
    }
    let inferred = infer_json_schema_from_iterator(rows.iter().map(Ok)).map_err(invalid)?;
    let mut columns: Vec<(Field, ArrayRef)> = Vec::new();
    let names = types.keys().filter(|name| inferred.field_with_name(name).is_err());
    let names: Vec<String> =
        inferred.fields().iter().map(|field| field.name().clone()).chain(names.cloned()).collect();
    let canonical = canonical_schema(&inferred);
    for name in names {
        let field = match types.get(&name) {
            Some(data_type) => to_field(&name, data_type),
            None => canonical.field_with_name(&name).map_err(invalid)?.clone(),
        };
        let column = column(&rows, &name, &field)?;
        columns.push((field, column));
    }
    let schema: SchemaRef =
        Arc::new(Schema::new(columns.iter().map(|(field, _)| field.clone()).collect::<Vec<_>>()));
    if columns.is_empty() {
        return Ok(RecordBatch::new_empty(schema));
    }
    RecordBatch::try_new(schema, columns.into_iter().map(|(_, column)| column).collect())
        .map_err(invalid)
}

fn column(rows: &[Value], name: &str, field: &Field) -> Result<ArrayRef> {
    if field.data_type().is_nested() {
        let only = Schema::new(vec![field.clone()]);
        let mut decoder = ReaderBuilder::new(Arc::new(only)).build_decoder().map_err(invalid)?;
        decoder.serialize(rows).map_err(invalid)?;
        let batch = decoder.flush().map_err(invalid)?;
        return Ok(match batch {
            Some(batch) => Arc::clone(batch.column(0)),
            None => arrow::array::new_empty_array(field.data_type()),
        });
    }
    let texts: StringArray = rows
        .iter()
        .map(|row| match row.get(name) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(other) => Some(other.to_string()),
        })
        .collect();
    let texts: ArrayRef = Arc::new(texts);
    cast(&texts, field.data_type()).map_err(invalid)
}

/// Rows as one in-memory partition.
pub fn read_batches(text: &str) -> Result<Batches> {
    let batch = read(text)?;
    Ok(Batches::from_memory(batch.schema(), vec![batch]))
}

/// Writes rows as NDJSON, one line each, nulls written out, columns in the order of the schema.
pub fn write(batches: &[RecordBatch]) -> Result<String> {
    let mut bytes = Vec::new();
    let builder = arrow::json::WriterBuilder::new().with_explicit_nulls(true);
    let mut writer: LineDelimitedWriter<_> = builder.build(&mut bytes);
    for batch in batches {
        writer.write(&printable(batch)?).map_err(invalid)?;
    }
    writer.finish().map_err(invalid)?;
    drop(writer);
    String::from_utf8(bytes).map_err(invalid)
}

/// Decimals as texts, so that no digit is lost; binary as hexadecimal is left to Arrow.
fn printable(batch: &RecordBatch) -> Result<RecordBatch> {
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let is_decimal = matches!(field.data_type(), ArrowType::Decimal128(_, _));
        let column = match is_decimal {
            true => cast(column, &ArrowType::Utf8).map_err(invalid)?,
            false => Arc::clone(column),
        };
        fields.push(Field::new(field.name(), column.data_type().clone(), true));
        columns.push(column);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(invalid)
}

/// Rows as sorted JSON values, for comparing what has no order.
pub fn sorted(batches: &[RecordBatch]) -> Result<Vec<String>> {
    let mut lines: Vec<String> = write(batches)?.lines().map(str::to_owned).collect();
    lines.sort();
    Ok(lines)
}

/// Number of rows in all batches.
pub fn count(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

fn invalid(error: impl std::fmt::Display) -> Problem {
    Problem::new(&codes::FILE_CORRUPT, "these are not rows as NDJSON").detail(error)
}

/// Whether a column has only nulls.
pub fn is_all_null(column: &dyn Array) -> bool {
    column.logical_null_count() == column.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_types_and_digits() {
        let batch = read(
            "{\"#types\": {\"d\": \"date\", \"p\": \"decimal(12,2)\"}}\n\
             {\"d\": \"2026-01-31\", \"p\": \"1234567890.10\", \"n\": 1, \"l\": [1, 2]}\n{\"n\": null}",
        )
        .unwrap();
        assert_eq!(batch.num_rows(), 2);
        let text = write(&[batch]).unwrap();
        assert!(text.contains("\"p\":\"1234567890.10\"") && text.contains("\"d\":\"2026-01-31\""));
    }
}
