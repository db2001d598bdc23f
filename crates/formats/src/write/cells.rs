//! Values of Arrow arrays as text, and as JSON.

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array,
    Float64Array, Int64Array, ListArray, MapArray, StringViewArray, StructArray,
    Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Float64Type, Int64Type, Time64MicrosecondType,
    TimeUnit, TimestampMicrosecondType,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::{DateTime, Datelike, Timelike};
use contracts::arrow_types::TYPE_KEY;
use model::{Problem, Result, codes};
use std::fmt::Write;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// A column whose type has been looked at once.
pub(crate) enum Cells<'a> {
    Boolean(&'a BooleanArray),
    Integer(&'a Int64Array),
    Decimal(&'a Decimal128Array),
    Float(&'a Float64Array),
    Text(&'a StringViewArray),
    Json(&'a StringViewArray),
    Date(&'a Date32Array),
    Time(&'a Time64MicrosecondArray),
    Timestamp(&'a TimestampMicrosecondArray),
    Binary(&'a BinaryViewArray),
    List(&'a ListArray, Box<Cells<'a>>),
    Struct(&'a StructArray, Vec<(&'a str, Cells<'a>)>),
    Map(&'a MapArray, Box<Cells<'a>>, Box<Cells<'a>>),
    /// Types that do not travel between nodes, as Arrow prints them.
    Other(&'a ArrayRef, ArrayFormatter<'a>),
}

impl<'a> Cells<'a> {
    /// Looks at the type of a column.
    pub(crate) fn new(field: &'a Field, array: &'a ArrayRef) -> Result<Self> {
        let is_json = field.metadata().get(TYPE_KEY).is_some_and(|name| name == "json");
        Ok(match array.data_type() {
            DataType::Boolean => Self::Boolean(array.as_boolean()),
            DataType::Int64 => Self::Integer(array.as_primitive::<Int64Type>()),
            DataType::Decimal128(_, _) => Self::Decimal(array.as_primitive::<Decimal128Type>()),
            DataType::Float64 => Self::Float(array.as_primitive::<Float64Type>()),
            DataType::Utf8View if is_json => Self::Json(array.as_string_view()),
            DataType::Utf8View => Self::Text(array.as_string_view()),
            DataType::Date32 => Self::Date(array.as_primitive::<Date32Type>()),
            DataType::Time64(TimeUnit::Microsecond) => {
                Self::Time(array.as_primitive::<Time64MicrosecondType>())
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                Self::Timestamp(array.as_primitive::<TimestampMicrosecondType>())
            }
            DataType::BinaryView => Self::Binary(array.as_binary_view()),
            DataType::List(item) => {
                let list = array.as_list::<i32>();
                Self::List(list, Box::new(Self::new(item, list.values())?))
            }
            DataType::Struct(fields) => {
                let rows = array.as_struct();
                let columns = fields.iter().zip(rows.columns());
                let cells = columns
                    .map(|(field, column)| Ok((field.name().as_str(), Self::new(field, column)?)))
                    .collect::<Result<_>>()?;
                Self::Struct(rows, cells)
            }
            DataType::Map(entry, _) => {
                let map = array.as_map();
                let DataType::Struct(fields) = entry.data_type() else {
                    return Err(unprintable("a map has no entries"));
                };
                let key = Self::new(&fields[0], map.keys())?;
                let value = match fields.get(1) {
                    Some(field) => Self::new(field, map.values())?,
                    None => return Err(unprintable("a map has no values")),
                };
                Self::Map(map, Box::new(key), Box::new(value))
            }
            _ => {
                let formatter = ArrayFormatter::try_new(array, &FORMAT).map_err(unprintable)?;
                Self::Other(array, formatter)
            }
        })
    }

    /// Whether the value is null.
    pub(crate) fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Boolean(array) => array.is_null(row),
            Self::Integer(array) => array.is_null(row),
            Self::Decimal(array) => array.is_null(row),
            Self::Float(array) => array.is_null(row),
            Self::Text(array) | Self::Json(array) => array.is_null(row),
            Self::Date(array) => array.is_null(row),
            Self::Time(array) => array.is_null(row),
            Self::Timestamp(array) => array.is_null(row),
            Self::Binary(array) => array.is_null(row),
            Self::List(array, _) => array.is_null(row),
            Self::Struct(array, _) => array.is_null(row),
            Self::Map(array, ..) => array.is_null(row),
            Self::Other(array, _) => array.is_null(row),
        }
    }

    /// Adds the value that is not null as plain text: dates in ISO form, bytes in hexadecimal,
    /// lists and structs as JSON.
    pub(crate) fn text(&self, row: usize, out: &mut String) {
        match self {
            Self::Boolean(array) => out.push_str(if array.value(row) { "true" } else { "false" }),
            Self::Integer(array) => push(out, format_args!("{}", array.value(row))),
            Self::Decimal(array) => out.push_str(&array.value_as_string(row)),
            Self::Float(array) => push(out, format_args!("{:?}", array.value(row))),
            Self::Text(array) | Self::Json(array) => out.push_str(array.value(row)),
            Self::Date(array) => date(array.value(row), out),
            Self::Time(array) => time(array.value(row), out),
            Self::Timestamp(array) => timestamp(array.value(row), out),
            Self::Binary(array) => hexadecimal(array.value(row), out),
            Self::List(..) | Self::Struct(..) | Self::Map(..) => self.json(row, out),
            Self::Other(_, formatter) => push(out, format_args!("{}", formatter.value(row))),
        }
    }

    /// Adds the value as JSON.
    pub(crate) fn json(&self, row: usize, out: &mut String) {
        if self.is_null(row) {
            return out.push_str("null");
        }
        match self {
            Self::Boolean(_) | Self::Integer(_) | Self::Decimal(_) => self.text(row, out),
            Self::Float(array) if !array.value(row).is_finite() => out.push_str("null"),
            Self::Float(_) => self.text(row, out),
            Self::Json(array) => json_or_text(array.value(row), out),
            Self::Text(array) => quote(array.value(row), out),
            Self::Date(_) | Self::Time(_) | Self::Timestamp(_) | Self::Binary(_) => {
                out.push('"');
                self.text(row, out);
                out.push('"');
            }
            Self::List(array, items) => {
                let offsets = array.value_offsets();
                sequence(out, offsets[row]..offsets[row + 1], |item, out| items.json(item, out));
            }
            Self::Struct(_, columns) => {
                object(out, columns.iter().map(|(name, cells)| (*name, cells, row)));
            }
            Self::Map(array, keys, values) => map(array, keys, values, row, out),
            Self::Other(array, formatter) => {
                let text = formatter.value(row).to_string();
                if array.data_type().is_numeric() { out.push_str(&text) } else { quote(&text, out) }
            }
        }
    }
}

const FORMAT: FormatOptions<'static> = FormatOptions::new();

fn unprintable(detail: impl std::fmt::Display) -> Problem {
    Problem::new(&codes::TYPE_MISMATCH, "a column cannot be written as text").detail(detail)
}

fn push(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    out.write_fmt(arguments).expect("a String takes everything");
}

fn sequence(out: &mut String, range: std::ops::Range<i32>, write: impl Fn(usize, &mut String)) {
    out.push('[');
    for (at, item) in range.enumerate() {
        if at > 0 {
            out.push(',');
        }
        write(usize::try_from(item).expect("offsets are not negative"), out);
    }
    out.push(']');
}

/// Adds an object of named columns, each at its row.
pub(crate) fn object<'a>(
    out: &mut String,
    members: impl Iterator<Item = (&'a str, &'a Cells<'a>, usize)>,
) {
    out.push('{');
    for (at, (name, cells, row)) in members.enumerate() {
        if at > 0 {
            out.push(',');
        }
        quote(name, out);
        out.push(':');
        cells.json(row, out);
    }
    out.push('}');
}

fn map(array: &MapArray, keys: &Cells<'_>, values: &Cells<'_>, row: usize, out: &mut String) {
    let offsets = array.value_offsets();
    out.push('{');
    for (at, entry) in (offsets[row]..offsets[row + 1]).enumerate() {
        let entry = usize::try_from(entry).expect("offsets are not negative");
        if at > 0 {
            out.push(',');
        }
        let mut key = String::new();
        if !keys.is_null(entry) {
            keys.text(entry, &mut key);
        }
        quote(&key, out);
        out.push(':');
        values.json(entry, out);
    }
    out.push('}');
}

/// Adds a text in quotes.
pub(crate) fn quote(text: &str, out: &mut String) {
    out.push('"');
    let mut start = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..=0x1f => "",
            _ => continue,
        };
        out.push_str(&text[start..at]);
        match escape {
            "" => push(out, format_args!("\\u{byte:04x}")),
            escape => out.push_str(escape),
        }
        start = at + 1;
    }
    out.push_str(&text[start..]);
    out.push('"');
}

/// JSON text as it is, if it is JSON, on one line; else as a text.
fn json_or_text(text: &str, out: &mut String) {
    let mut nodes = Vec::new();
    match crate::json::parse::parse(text.as_bytes(), &mut nodes) {
        Ok(_) => out.push_str(&crate::json::parse::minify(text)),
        Err(_) => quote(text, out),
    }
}

fn hexadecimal(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        out.push(char::from(HEX[usize::from(byte >> 4)]));
        out.push(char::from(HEX[usize::from(byte & 15)]));
    }
}

fn date(days: i32, out: &mut String) {
    match DateTime::from_timestamp(i64::from(days) * 86_400, 0) {
        Some(day) => {
            push(out, format_args!("{:04}-{:02}-{:02}", day.year(), day.month(), day.day()));
        }
        None => push(out, format_args!("{days}")),
    }
}

fn time(micros: i64, out: &mut String) {
    match DateTime::from_timestamp_micros(micros) {
        Some(time) => clock(&time, out),
        None => push(out, format_args!("{micros}")),
    }
}

fn timestamp(micros: i64, out: &mut String) {
    let Some(instant) = DateTime::from_timestamp_micros(micros) else {
        return push(out, format_args!("{micros}"));
    };
    let (year, month, day) = (instant.year(), instant.month(), instant.day());
    push(out, format_args!("{year:04}-{month:02}-{day:02}T"));
    clock(&instant, out);
    out.push('Z');
}

fn clock(time: &impl Timelike, out: &mut String) {
    let (hour, minute, second) = (time.hour(), time.minute(), time.second());
    push(out, format_args!("{hour:02}:{minute:02}:{second:02}"));
    let micros = time.nanosecond() / 1000;
    if micros > 0 {
        push(out, format_args!(".{micros:06}"));
    }
}
