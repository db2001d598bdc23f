//! Any value of a column as text or as JSON.

use crate::arguments::broken;
use crate::times::calendar::{DAY_SECONDS, MICROS, date_of};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, Time64MicrosecondType,
    TimestampMicrosecondType,
};
use contracts::arrow_types::{canonical_type, to_arrow};
use model::Result;
use std::fmt::{self, Write};

/// Prints values of one column.
pub(crate) struct Printer {
    array: ArrayRef,
    /// Fields of a struct or items of a list.
    inner: Vec<(String, Printer)>,
}

impl Printer {
    /// For a column; one whose type does not travel between nodes is cast first.
    pub(crate) fn new(array: &ArrayRef) -> Result<Self> {
        let canonical = canonical_type(array.data_type());
        let array = match *array.data_type() == canonical || array.data_type().is_nested() {
            true => std::sync::Arc::clone(array),
            false => cast(array, &canonical).map_err(broken)?,
        };
        let inner = match array.data_type() {
            DataType::Struct(fields) => fields
                .iter()
                .zip(array.as_struct().columns())
                .map(|(field, column)| Ok((field.name().clone(), Self::new(column)?)))
                .collect::<Result<_>>()?,
            DataType::List(_) => {
                vec![(String::new(), Self::new(array.as_list::<i32>().values())?)]
            }
            data_type if data_type.is_nested() => {
                let ours = to_arrow(&contracts::arrow_types::from_arrow(data_type));
                return Self::new(&cast(&array, &ours).map_err(broken)?);
            }
            _ => Vec::new(),
        };
        Ok(Self { array, inner })
    }

    /// Whether there is no value.
    pub(crate) fn is_null(&self, row: usize) -> bool {
        self.array.is_null(row)
    }

    /// Adds the value as people write it; null adds nothing.
    pub(crate) fn text(&self, row: usize, out: &mut String) {
        if self.is_null(row) {
            return;
        }
        match self.array.data_type() {
            DataType::Utf8View => out.push_str(self.array.as_string_view().value(row)),
            DataType::Struct(_) | DataType::List(_) => self.json(row, out),
            _ => self.plain(row, out),
        }
    }

    /// Adds the value as JSON.
    pub(crate) fn json(&self, row: usize, out: &mut String) {
        if self.is_null(row) {
            out.push_str("null");
            return;
        }
        match self.array.data_type() {
            DataType::Boolean | DataType::Int64 | DataType::Decimal128(_, _) => {
                self.plain(row, out);
            }
            DataType::Float64 => {
                json_float(self.array.as_primitive::<Float64Type>().value(row), out)
            }
            DataType::Utf8View => json_text(self.array.as_string_view().value(row), out),
            DataType::Struct(_) => self.json_struct(row, out),
            DataType::List(_) => self.json_list(row, out),
            _ => {
                out.push('"');
                self.plain(row, out);
                out.push('"');
            }
        }
    }

    fn json_struct(&self, row: usize, out: &mut String) {
        for (at, (name, printer)) in self.inner.iter().enumerate() {
            out.push(if at == 0 { '{' } else { ',' });
            json_text(name, out);
            out.push(':');
            printer.json(row, out);
        }
        out.push_str(if self.inner.is_empty() { "{}" } else { "}" });
    }

    fn json_list(&self, row: usize, out: &mut String) {
        let offsets = self.array.as_list::<i32>().value_offsets();
        out.push('[');
        for item in offsets[row]..offsets[row + 1] {
            out.push_str(if item == offsets[row] { "" } else { "," });
            self.inner[0].1.json(item as usize, out);
        }
        out.push(']');
    }

    /// A value that needs no escapes. Writing to a text cannot fail.
    fn plain(&self, row: usize, out: &mut String) {
        let _ = match self.array.data_type() {
            DataType::Boolean => write!(out, "{}", self.array.as_boolean().value(row)),
            DataType::Int64 => write!(out, "{}", self.array.as_primitive::<Int64Type>().value(row)),
            DataType::Decimal128(_, _) => {
                let decimals = self.array.as_primitive::<Decimal128Type>();
                write!(out, "{}", decimals.value_as_string(row))
            }
            DataType::Float64 => float(self.array.as_primitive::<Float64Type>().value(row), out),
            DataType::Date32 => date(self.array.as_primitive::<Date32Type>().value(row), out),
            DataType::Time64(_) => {
                time(self.array.as_primitive::<Time64MicrosecondType>().value(row), out)
            }
            DataType::Timestamp(_, _) => {
                instant(self.array.as_primitive::<TimestampMicrosecondType>().value(row), out)
            }
            DataType::BinaryView => self
                .array
                .as_binary_view()
                .value(row)
                .iter()
                .try_for_each(|byte| write!(out, "{byte:02x}")),
            _ => Ok(()),
        };
    }
}

/// The shortest digits that give the same float; an exponent only far from the point.
fn float(value: f64, out: &mut String) -> fmt::Result {
    match value.abs() {
        size if size == 0.0 || (1e-7..1e21).contains(&size) => write!(out, "{value}"),
        _ if value.is_finite() => write!(out, "{value:e}"),
        _ if value.is_nan() => out.write_str("NaN"),
        _ => out.write_str(if value > 0.0 { "Infinity" } else { "-Infinity" }),
    }
}

/// JSON has no infinity: those become texts.
fn json_float(value: f64, out: &mut String) {
    let quote = if value.is_finite() { "" } else { "\"" };
    out.push_str(quote);
    let _ = float(value, out);
    out.push_str(quote);
}

fn date(day_number: i32, out: &mut String) -> fmt::Result {
    let (year, month, day) = date_of(day_number);
    write!(out, "{year:04}-{month:02}-{day:02}")
}

fn time(micros: i64, out: &mut String) -> fmt::Result {
    let (seconds, micros) = (micros.div_euclid(MICROS), micros.rem_euclid(MICROS));
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    write!(out, "{hour:02}:{minute:02}:{second:02}")?;
    match micros {
        0 => Ok(()),
        _ if micros % 1000 == 0 => write!(out, ".{:03}", micros / 1000),
        _ => write!(out, ".{micros:06}"),
    }
}

fn instant(micros: i64, out: &mut String) -> fmt::Result {
    let day_micros = DAY_SECONDS * MICROS;
    let day = micros.div_euclid(day_micros);
    date(i32::try_from(day).unwrap_or(i32::MAX), out)?;
    out.push('T');
    time(micros.rem_euclid(day_micros), out)?;
    out.write_char('Z')
}

/// A text with quotes, everything escaped that JSON wants escaped.
pub(crate) fn json_text(text: &str, out: &mut String) {
    out.push('"');
    let mut copied = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..0x20 => "",
            _ => continue,
        };
        out.push_str(&text[copied..at]);
        copied = at + 1;
        out.push_str(escape);
        if escape.is_empty() {
            let _ = write!(out, "\\u{byte:04x}");
        }
    }
    out.push_str(&text[copied..]);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Float64Array;
    use contracts::rows;
    use proptest::prelude::*;
    use serde_json::Value;
    use std::sync::Arc;

    #[test]
    fn every_type_has_a_text_and_json() {
        let batch = rows::read(
            "{\"#types\": {\"d\": \"date\", \"p\": \"decimal(30,2)\", \"t\": \"timestamp\", \
             \"c\": \"time\", \"b\": \"binary\"}}\n\
             {\"d\": \"2026-01-31\", \"p\": \"-12345678901234567890.10\", \"c\": \"08:30:00.25\", \
             \"t\": \"1969-12-31T23:59:59.5Z\", \"b\": \"hi\", \"n\": 7, \"f\": 0.1, \"s\": \
             \"é\\\"\", \
             \"l\": [1, null], \"o\": {\"x\": true, \"y\": \"z\"}, \"e\": []}",
        )
        .unwrap();
        let mut json = String::new();
        for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
            let printer = Printer::new(column).unwrap();
            let _ = write!(json, "{}=", field.name());
            printer.json(0, &mut json);
            json.push('|');
            printer.text(0, &mut json);
            json.push('\n');
        }
        let mut lines: Vec<&str> = json.lines().collect();
        lines.sort_unstable();
        assert_eq!(
            lines,
            [
                "b=\"6869\"|6869",
                "c=\"08:30:00.250\"|08:30:00.250",
                "d=\"2026-01-31\"|2026-01-31",
                "e=[]|[]",
                "f=0.1|0.1",
                "l=[1,null]|[1,null]",
                "n=7|7",
                "o={\"x\":true,\"y\":\"z\"}|{\"x\":true,\"y\":\"z\"}",
                "p=-12345678901234567890.10|-12345678901234567890.10",
                "s=\"é\\\"\"|é\"",
                "t=\"1969-12-31T23:59:59.500Z\"|1969-12-31T23:59:59.500Z",
            ]
        );
    }

    #[test]
    fn floats_without_json_form_are_texts() {
        let array: ArrayRef =
            Arc::new(Float64Array::from(vec![f64::NAN, f64::NEG_INFINITY, 1e300]));
        let printer = Printer::new(&array).unwrap();
        let mut out = String::new();
        for row in 0..3 {
            printer.json(row, &mut out);
            out.push(' ');
        }
        assert_eq!(out, "\"NaN\" \"-Infinity\" 1e300 ");
    }

    proptest! {
        #[test]
        fn any_text_survives_json(text in any::<String>()) {
            let mut out = String::new();
            json_text(&text, &mut out);
            prop_assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), Value::String(text));
        }

        #[test]
        fn floats_come_back(value in any::<f64>()) {
            let mut out = String::new();
            let _ = float(value, &mut out);
            prop_assert!(value.is_nan() || out.parse::<f64>().unwrap() == value);
        }
    }
}
