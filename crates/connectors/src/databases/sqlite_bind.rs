//! Columns to SQLite's values, in forms that its own functions and our source read back.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType as ArrowType, Date32Type, Decimal128Type, Field, Float64Type, Int64Type,
    Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow::json::writer::{EncoderOptions, NullableEncoder, make_encoder};
use chrono::DateTime;
use contracts::arrow_types::from_field;
use model::{DataType, Problem, Result, codes};
use rusqlite::types::Value as Stored;
use std::sync::{Arc, LazyLock};

static JSON_OPTIONS: LazyLock<EncoderOptions> = LazyLock::new(EncoderOptions::default);

/// The type that a new table declares for a column. Words are chosen so that SQLite leaves texts
/// as they are.
pub(super) fn declaration(field: &Field) -> String {
    match from_field(field) {
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Integer => "INTEGER".to_owned(),
        // SQLite would make a real number of a text with more digits than a real number has.
        DataType::Decimal(precision @ 16.., scale) => format!("TEXT DECIMAL({precision},{scale})"),
        DataType::Decimal(precision, scale) => format!("DECIMAL({precision},{scale})"),
        DataType::Float => "REAL".to_owned(),
        DataType::String => "TEXT".to_owned(),
        DataType::Date => "DATE".to_owned(),
        DataType::Time => "TIME".to_owned(),
        DataType::Timestamp => "TIMESTAMP".to_owned(),
        DataType::Uuid => "UUID TEXT".to_owned(),
        DataType::Json | DataType::List(_) | DataType::Struct(_) => "JSON TEXT".to_owned(),
        DataType::Binary | DataType::Geometry => "BLOB".to_owned(),
    }
}

/// A column of a batch, ready to be bound row by row.
pub(super) struct Column<'a> {
    array: &'a ArrayRef,
    field: &'a Arc<Field>,
    nested: Option<NullableEncoder<'a>>,
}

/// The columns of a batch.
pub(super) fn columns(batch: &RecordBatch) -> Result<Vec<Column<'_>>> {
    batch
        .columns()
        .iter()
        .zip(batch.schema_ref().fields())
        .map(|(array, field)| {
            let nested = match array.data_type().is_nested() {
                true => Some(make_encoder(field, array.as_ref(), &JSON_OPTIONS)),
                false => None,
            };
            let nested = nested.transpose().map_err(|error| odd(field).detail(error))?;
            Ok(Column { array, field, nested })
        })
        .collect()
}

fn odd(field: &Field) -> Problem {
    let (name, data_type) = (field.name(), field.data_type());
    Problem::new(
        &codes::TYPE_MISMATCH,
        format!("`{name}` of type {data_type} has no form in SQLite"),
    )
    .arg("column", name)
    .hint("turn it into another type with `cast`, or leave it out with `select`")
}

impl Column<'_> {
    /// The value of a row.
    pub(super) fn value(&mut self, row: usize) -> Result<Stored> {
        let array = self.array;
        if array.is_null(row) {
            return Ok(Stored::Null);
        }
        if let Some(encoder) = &mut self.nested {
            let mut json = Vec::new();
            encoder.encode(row, &mut json);
            return Ok(Stored::Text(String::from_utf8_lossy(&json).into_owned()));
        }
        Ok(match array.data_type() {
            ArrowType::Boolean => Stored::Integer(i64::from(array.as_boolean().value(row))),
            ArrowType::Int64 => Stored::Integer(array.as_primitive::<Int64Type>().value(row)),
            ArrowType::Float64 => Stored::Real(array.as_primitive::<Float64Type>().value(row)),
            ArrowType::Decimal128(_, _) => {
                Stored::Text(array.as_primitive::<Decimal128Type>().value_as_string(row))
            }
            ArrowType::Utf8View => Stored::Text(array.as_string_view().value(row).to_owned()),
            ArrowType::BinaryView => Stored::Blob(array.as_binary_view().value(row).to_vec()),
            ArrowType::Date32 => {
                let days = i64::from(array.as_primitive::<Date32Type>().value(row));
                let day = DateTime::from_timestamp(days * 86_400, 0).ok_or_else(|| self.far())?;
                Stored::Text(day.format("%Y-%m-%d").to_string())
            }
            ArrowType::Time64(_) => {
                let micros = array.as_primitive::<Time64MicrosecondType>().value(row);
                let time = DateTime::from_timestamp_micros(micros).ok_or_else(|| self.far())?;
                Stored::Text(time.format("%H:%M:%S%.6f").to_string())
            }
            ArrowType::Timestamp(_, _) => {
                let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
                let instant = DateTime::from_timestamp_micros(micros).ok_or_else(|| self.far())?;
                Stored::Text(instant.format("%Y-%m-%d %H:%M:%S%.6f").to_string())
            }
            _ => return Err(odd(self.field)),
        })
    }

    fn far(&self) -> Problem {
        let name = self.field.name();
        Problem::new(&codes::TYPE_MISMATCH, format!("a value of `{name}` is no date of a calendar"))
            .arg("column", name)
            .hint("reject such rows with `validate` and `range`")
    }
}
