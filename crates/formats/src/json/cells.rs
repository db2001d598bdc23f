//! Builders of columns from JSON values: one value in, or a reason why not.

use super::number;
use super::parse::{Kind, Tape, minify};
use crate::geojson;
use crate::scalar;
use arrow::array::{
    ArrayRef, BinaryViewBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder,
    Int64Builder, ListArray, NullBufferBuilder, StringViewBuilder, Time64MicrosecondBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType as ArrowType, Field};
use contracts::arrow_types::{UTC, to_field};
use model::{DataType, Problem, Result, codes};
use std::sync::Arc;

/// How freely values are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// The type was found in a sample: values must be of it, digits are never lost.
    Inferred,
    /// The type was declared: texts are read as values of it.
    Declared,
    /// Everything is wanted as text.
    Text,
}

/// The builder of one column.
pub(crate) enum Cells {
    Boolean(BooleanBuilder),
    Integer(Int64Builder),
    Decimal(Decimal128Builder, u8, i8),
    Float(Float64Builder),
    Text(StringViewBuilder),
    Json(StringViewBuilder),
    Uuid(StringViewBuilder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    Geometry(BinaryViewBuilder),
    List(Box<ListCells>),
}

/// The builder of a list column.
pub(crate) struct ListCells {
    items: Cells,
    field: Arc<Field>,
    offsets: Vec<i32>,
    length: i32,
    nulls: NullBufferBuilder,
}

impl Cells {
    /// A builder for a type, or the problem that JSON has no such values.
    pub(crate) fn new(data_type: &DataType) -> Result<Self> {
        Ok(match data_type {
            DataType::Boolean => Self::Boolean(BooleanBuilder::new()),
            DataType::Integer => Self::Integer(Int64Builder::new()),
            DataType::Decimal(precision, scale) => {
                let builder = Decimal128Builder::new()
                    .with_data_type(ArrowType::Decimal128(*precision, *scale));
                Self::Decimal(builder, *precision, *scale)
            }
            DataType::Float => Self::Float(Float64Builder::new()),
            DataType::String => Self::Text(StringViewBuilder::new()),
            DataType::Json => Self::Json(StringViewBuilder::new()),
            DataType::Uuid => Self::Uuid(StringViewBuilder::new()),
            DataType::Date => Self::Date(Date32Builder::new()),
            DataType::Time => Self::Time(Time64MicrosecondBuilder::new()),
            DataType::Timestamp => {
                Self::Timestamp(TimestampMicrosecondBuilder::new().with_timezone(UTC))
            }
            DataType::Geometry => Self::Geometry(BinaryViewBuilder::new()),
            DataType::List(item) => Self::List(Box::new(ListCells {
                items: Self::new(item)?,
                field: Arc::new(to_field("item", item)),
                offsets: vec![0],
                length: 0,
                nulls: NullBufferBuilder::new(0),
            })),
            DataType::Binary | DataType::Struct(_) => {
                return Err(Problem::new(
                    &codes::SETTING_INVALID,
                    format!("a column of a JSON source cannot have the type `{data_type}`"),
                )
                .arg("type", data_type)
                .hint("declare it as `json` and take it apart later"));
            }
        })
    }

    /// Adds a null.
    pub(crate) fn null(&mut self) {
        match self {
            Self::Boolean(builder) => builder.append_null(),
            Self::Integer(builder) => builder.append_null(),
            Self::Decimal(builder, ..) => builder.append_null(),
            Self::Float(builder) => builder.append_null(),
            Self::Text(builder) | Self::Json(builder) | Self::Uuid(builder) => {
                builder.append_null();
            }
            Self::Date(builder) => builder.append_null(),
            Self::Time(builder) => builder.append_null(),
            Self::Timestamp(builder) => builder.append_null(),
            Self::Geometry(builder) => builder.append_null(),
            Self::List(list) => {
                list.offsets.push(list.length);
                list.nulls.append_null();
            }
        }
    }

    /// Adds a value; when it does not fit, adds a null and says why.
    pub(crate) fn append(
        &mut self,
        tape: Tape<'_>,
        node: u32,
        reading: Reading,
    ) -> Result<(), String> {
        if tape.node(node).kind == Kind::Null {
            self.null();
            return Ok(());
        }
        let appended = self.append_value(tape, node, reading);
        if appended.is_err() {
            self.null();
        }
        appended
    }

    /// Adds a value, or nothing when it does not fit.
    fn append_value(&mut self, tape: Tape<'_>, node: u32, reading: Reading) -> Result<(), String> {
        match self {
            Self::Boolean(builder) => builder.append_value(boolean(tape, node, reading)?),
            Self::Integer(builder) => builder.append_value(integer(tape, node, reading)?),
            Self::Decimal(builder, precision, scale) => {
                let text = number_text(tape, node, reading)?;
                let units = number::to_decimal(text, *precision, *scale);
                let units =
                    units.ok_or_else(|| format!("does not fit decimal({precision},{scale})"))?;
                builder.append_value(units);
            }
            Self::Float(builder) => builder.append_value(float(tape, node, reading)?),
            Self::Text(builder) => append_text(builder, tape, node, reading)?,
            Self::Json(builder) => builder.append_value(minify(tape.json(node))),
            Self::Uuid(builder) => {
                let text = text(tape, node, "a UUID")?;
                builder.append_value(scalar::uuid(&text).ok_or("is not a UUID")?);
            }
            Self::Date(builder) => {
                let text = text(tape, node, "a date")?;
                builder.append_value(scalar::date(&text).ok_or("is not a date like 2026-01-31")?);
            }
            Self::Time(builder) => {
                let text = text(tape, node, "a time")?;
                builder.append_value(scalar::time(&text).ok_or("is not a time like 10:30:00")?);
            }
            Self::Timestamp(builder) => {
                let text = text(tape, node, "a timestamp")?;
                let instant = scalar::timestamp(&text);
                builder
                    .append_value(instant.ok_or("is not a timestamp like 2026-01-31T10:30:00Z")?);
            }
            Self::Geometry(builder) => builder.append_value(geojson::to_wkb(tape, node)?),
            Self::List(list) => list.append(tape, node, reading)?,
        }
        Ok(())
    }

    /// The column.
    pub(crate) fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Boolean(builder) => Arc::new(builder.finish()),
            Self::Integer(builder) => Arc::new(builder.finish()),
            Self::Decimal(builder, ..) => Arc::new(builder.finish()),
            Self::Float(builder) => Arc::new(builder.finish()),
            Self::Text(builder) | Self::Json(builder) | Self::Uuid(builder) => {
                Arc::new(builder.finish())
            }
            Self::Date(builder) => Arc::new(builder.finish()),
            Self::Time(builder) => Arc::new(builder.finish()),
            Self::Timestamp(builder) => Arc::new(builder.finish()),
            Self::Geometry(builder) => Arc::new(builder.finish()),
            Self::List(list) => Arc::new(list.finish()),
        }
    }
}

impl ListCells {
    fn append(&mut self, tape: Tape<'_>, node: u32, reading: Reading) -> Result<(), String> {
        if tape.node(node).kind != Kind::List {
            return Err("is not a list".to_owned());
        }
        let mut failed = None;
        for item in tape.items(node) {
            let appended = self.items.append(tape, item, reading);
            failed = failed.or(appended.err());
            self.length += 1;
        }
        if let Some(reason) = failed {
            return Err(format!("has an element that {reason}"));
        }
        self.offsets.push(self.length);
        self.nulls.append_non_null();
        Ok(())
    }

    fn finish(&mut self) -> ListArray {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        self.length = 0;
        let offsets = OffsetBuffer::new(offsets.into());
        let items = self.items.finish();
        ListArray::new(Arc::clone(&self.field), offsets, items, self.nulls.finish())
    }
}

fn boolean(tape: Tape<'_>, node: u32, reading: Reading) -> Result<bool, String> {
    let is_text = matches!(tape.node(node).kind, Kind::Plain | Kind::Escaped);
    let readable =
        tape.node(node).kind == Kind::Boolean || (is_text && reading == Reading::Declared);
    match tape.raw(node) {
        "true" if readable => Ok(true),
        "false" if readable => Ok(false),
        _ => Err("is not true or false".to_owned()),
    }
}

/// The text of a number; of a text with one in it, where types are declared.
fn number_text<'a>(tape: Tape<'a>, node: u32, reading: Reading) -> Result<&'a str, String> {
    match tape.node(node).kind {
        Kind::Number => Ok(tape.raw(node)),
        Kind::Plain if reading == Reading::Declared && is_number(tape.raw(node).trim()) => {
            Ok(tape.raw(node).trim())
        }
        _ => Err("is not a number".to_owned()),
    }
}

fn is_number(text: &str) -> bool {
    let mut nodes = Vec::new();
    super::parse::parse(text.as_bytes(), &mut nodes)
        .is_ok_and(|tape| tape.node(0).kind == Kind::Number)
}

fn integer(tape: Tape<'_>, node: u32, reading: Reading) -> Result<i64, String> {
    let text = number_text(tape, node, reading).map_err(|_| "is not an integer".to_owned())?;
    match text.parse() {
        Ok(number) => Ok(number),
        Err(_) if number::facts(text).is_integer => Err("does not fit 64 bits".to_owned()),
        Err(_) => Err("is not an integer".to_owned()),
    }
}

fn float(tape: Tape<'_>, node: u32, reading: Reading) -> Result<f64, String> {
    let text = number_text(tape, node, reading)?;
    if reading != Reading::Declared && !number::float_keeps(text) {
        return Err("has more digits than a float keeps".to_owned());
    }
    let value = text.parse::<f64>().map_err(|_| "is not a number".to_owned())?;
    if value.is_finite() { Ok(value) } else { Err("is beyond the range of a float".to_owned()) }
}

fn text<'a>(tape: Tape<'a>, node: u32, what: &str) -> Result<std::borrow::Cow<'a, str>, String> {
    match tape.node(node).kind {
        Kind::Plain | Kind::Escaped => Ok(tape.text(node)),
        _ => Err(format!("is not {what} in a text")),
    }
}

fn append_text(
    builder: &mut StringViewBuilder,
    tape: Tape<'_>,
    node: u32,
    reading: Reading,
) -> Result<(), String> {
    match tape.node(node).kind {
        Kind::List | Kind::Object if reading == Reading::Inferred => {
            return Err("is a list or an object, not a text".to_owned());
        }
        Kind::List | Kind::Object => builder.append_value(minify(tape.json(node))),
        _ => builder.append_value(tape.text(node)),
    }
    Ok(())
}
