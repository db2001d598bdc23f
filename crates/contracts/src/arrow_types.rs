//! Our types as Arrow types and back.
//!
//! Texts travel as `Utf8View`, bytes as `BinaryView`, instants as `Timestamp(µs, "UTC")`.
//! `uuid`, `json` and `geometry` are texts or bytes whose field says so in its metadata.

use arrow::datatypes::{
    DataType as ArrowType, Field, Fields, IntervalUnit, Schema, SchemaRef, TimeUnit,
};
use model::DataType;
use std::sync::Arc;

/// Field metadata: the name of our type where Arrow has no such type.
pub const TYPE_KEY: &str = "affluent.type";
/// Field metadata: the header as the source wrote it.
pub const HEADER_KEY: &str = "affluent.header";
/// The zone of every timestamp in the lake.
pub const UTC: &str = "UTC";

/// The file a row came from.
pub const FILE: &str = "_file";
/// The line (text files) or row number (sheets, databases) in that file, from 1.
pub const ROW: &str = "_row";

/// The Arrow type of one of ours.
pub fn to_arrow(data_type: &DataType) -> ArrowType {
    match data_type {
        DataType::Boolean => ArrowType::Boolean,
        DataType::Integer => ArrowType::Int64,
        DataType::Decimal(precision, scale) => ArrowType::Decimal128(*precision, *scale),
        DataType::Float => ArrowType::Float64,
        DataType::String | DataType::Uuid | DataType::Json => ArrowType::Utf8View,
        DataType::Date => ArrowType::Date32,
        DataType::Time => ArrowType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp => timestamp(),
        DataType::Binary | DataType::Geometry => ArrowType::BinaryView,
        DataType::List(item) => ArrowType::List(Arc::new(to_field("item", item))),
        DataType::Struct(fields) => ArrowType::Struct(
            fields.iter().map(|(name, data_type)| to_field(name, data_type)).collect::<Fields>(),
        ),
    }
}

/// An instant: µs, UTC.
pub fn timestamp() -> ArrowType {
    ArrowType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()))
}

/// A nullable field of one of our types.
pub fn to_field(name: &str, data_type: &DataType) -> Field {
    let field = Field::new(name, to_arrow(data_type), true);
    match data_type {
        DataType::Uuid | DataType::Json | DataType::Geometry => field
            .with_metadata([(TYPE_KEY.to_owned(), data_type.to_string())].into_iter().collect()),
        _ => field,
    }
}

/// Our type of an Arrow field; types that we do not have become the nearest one.
pub fn from_field(field: &Field) -> DataType {
    match field.metadata().get(TYPE_KEY).map(String::as_str) {
        Some("uuid") => DataType::Uuid,
        Some("json") => DataType::Json,
        Some("geometry") => DataType::Geometry,
        _ => from_arrow(field.data_type()),
    }
}

/// Our type of an Arrow type; types that we do not have become the nearest one.
pub fn from_arrow(arrow_type: &ArrowType) -> DataType {
    use ArrowType as A;
    match arrow_type {
        A::Boolean => DataType::Boolean,
        A::Int8 | A::Int16 | A::Int32 | A::Int64 | A::UInt8 | A::UInt16 | A::UInt32 => {
            DataType::Integer
        }
        A::UInt64 => DataType::Decimal(20, 0),
        A::Float16 | A::Float32 | A::Float64 => DataType::Float,
        A::Decimal32(p, s) | A::Decimal64(p, s) | A::Decimal128(p, s) => DataType::Decimal(*p, *s),
        A::Decimal256(p, s) => DataType::Decimal((*p).min(38), *s),
        A::Date32 | A::Date64 => DataType::Date,
        A::Time32(_) | A::Time64(_) => DataType::Time,
        A::Timestamp(_, _) => DataType::Timestamp,
        A::Binary | A::LargeBinary | A::BinaryView | A::FixedSizeBinary(_) => DataType::Binary,
        A::List(item) | A::LargeList(item) | A::FixedSizeList(item, _) | A::ListView(item) => {
            DataType::List(Box::new(from_field(item)))
        }
        A::Struct(fields) => DataType::Struct(
            fields.iter().map(|field| (field.name().clone(), from_field(field))).collect(),
        ),
        A::Dictionary(_, value) => from_arrow(value),
        A::Interval(IntervalUnit::YearMonth) | A::Duration(_) => DataType::Integer,
        _ => DataType::String,
    }
}

/// The Arrow type that travels between nodes for whatever a library or file gives: no
/// dictionaries, no large or plain texts, no 32-bit numbers, instants in µs and UTC.
pub fn canonical_type(arrow_type: &ArrowType) -> ArrowType {
    match arrow_type {
        ArrowType::Null => ArrowType::Utf8View,
        other => to_arrow(&from_arrow(other)),
    }
}

/// A schema whose every field has its canonical type; names and metadata stay.
pub fn canonical_schema(schema: &Schema) -> SchemaRef {
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| {
            let data_type = canonical_type(field.data_type());
            Field::new(field.name(), data_type, true).with_metadata(field.metadata().clone())
        })
        .collect();
    Arc::new(Schema::new(fields))
}

/// The two columns that say where a row came from.
pub fn origin_fields() -> [Field; 2] {
    [Field::new(FILE, ArrowType::Utf8View, true), Field::new(ROW, ArrowType::Int64, true)]
}
