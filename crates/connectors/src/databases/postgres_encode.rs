//! Columns to PostgreSQL's binary values: what `COPY … FROM STDIN (FORMAT binary)` takes.

use super::postgres_decode::{EPOCH_DAYS, EPOCH_US};
use super::postgres_numeric::put_numeric;
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array,
    Float64Array, Int64Array, ListArray, RecordBatch, StringViewArray, StringViewBuilder,
    Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{
    DataType as ArrowType, Date32Type, Decimal128Type, Field, Float64Type, Int64Type,
    Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow::json::writer::{EncoderOptions, make_encoder};
use bytes::Bytes;
use contracts::arrow_types::from_field;
use model::{DataType, Problem, Result, codes};
use std::sync::Arc;
use tokio_postgres::types::{Oid, Type};

/// What every COPY begins with.
pub(super) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What every COPY ends with.
pub(super) const TRAILER: &[u8] = &[0xff, 0xff];
/// A value may have one byte less than 1 GiB, its own header included.
const VALUE_BYTES_MAX: usize = (1 << 30) - 1024;
/// Rows are handed over in pieces of about this size.
const CHUNK_BYTES: usize = 256 * 1024;
const SHOWN_BYTES_MAX: usize = 100;

/// A type of PostgreSQL that we write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Store {
    Boolean,
    Int2,
    Int4,
    Int8,
    Float8,
    Numeric(u8, i8),
    Text,
    Json,
    Jsonb,
    Uuid,
    Bytes,
    Date,
    Time,
    Timestamp,
    TimestampTz,
    List(Box<Store>),
}

impl Store {
    /// The type that a new table has for a column.
    pub(super) fn natural(field: &Field) -> Self {
        Self::natural_type(&from_field(field))
    }

    fn natural_type(data_type: &DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::Boolean,
            DataType::Integer => Self::Int8,
            DataType::Decimal(precision, scale) => Self::Numeric(*precision, *scale),
            DataType::Float => Self::Float8,
            DataType::String => Self::Text,
            DataType::Date => Self::Date,
            DataType::Time => Self::Time,
            DataType::Timestamp => Self::TimestampTz,
            DataType::Uuid => Self::Uuid,
            DataType::Json | DataType::Struct(_) => Self::Jsonb,
            DataType::Binary | DataType::Geometry => Self::Bytes,
            DataType::List(item) => match Self::natural_type(item) {
                Self::List(_) | Self::Jsonb => Self::Jsonb,
                item => Self::List(Box::new(item)),
            },
        }
    }

    /// The type as which a column can go straight into an existing column of type `oid`.
    pub(super) fn direct(field: &Field, oid: Oid) -> Option<Self> {
        let natural = Self::natural(field);
        let existing = Type::from_oid(oid)?;
        let same = match (&natural, existing) {
            (Self::Int8, Type::INT2) => Self::Int2,
            (Self::Int8, Type::INT4) => Self::Int4,
            (Self::Text, Type::VARCHAR | Type::BPCHAR | Type::NAME) => Self::Text,
            (Self::Text | Self::Jsonb, Type::JSON) => Self::Json,
            (Self::Text, Type::JSONB) => Self::Jsonb,
            (Self::Text, Type::UUID) => Self::Uuid,
            (Self::Uuid, Type::TEXT | Type::VARCHAR) => Self::Text,
            (Self::TimestampTz, Type::TIMESTAMP) => Self::Timestamp,
            (_, existing) if natural.pg_type() == Some(existing.clone()) => natural,
            _ => return None,
        };
        Some(same)
    }

    /// The type as SQL.
    pub(super) fn sql(&self) -> String {
        match self {
            Self::Numeric(precision, scale) => format!("numeric({precision},{scale})"),
            Self::List(item) => format!("{}[]", item.sql()),
            _ => self.pg_type().map(|pg_type| pg_type.name().to_owned()).unwrap_or_default(),
        }
    }

    fn pg_type(&self) -> Option<Type> {
        Some(match self {
            Self::Boolean => Type::BOOL,
            Self::Int2 => Type::INT2,
            Self::Int4 => Type::INT4,
            Self::Int8 => Type::INT8,
            Self::Float8 => Type::FLOAT8,
            Self::Numeric(_, _) => Type::NUMERIC,
            Self::Text => Type::TEXT,
            Self::Json => Type::JSON,
            Self::Jsonb => Type::JSONB,
            Self::Uuid => Type::UUID,
            Self::Bytes => Type::BYTEA,
            Self::Date => Type::DATE,
            Self::Time => Type::TIME,
            Self::Timestamp => Type::TIMESTAMP,
            Self::TimestampTz => Type::TIMESTAMPTZ,
            Self::List(item) => match **item {
                Self::Boolean => Type::BOOL_ARRAY,
                Self::Int8 => Type::INT8_ARRAY,
                Self::Float8 => Type::FLOAT8_ARRAY,
                Self::Numeric(_, _) => Type::NUMERIC_ARRAY,
                Self::Text => Type::TEXT_ARRAY,
                Self::Uuid => Type::UUID_ARRAY,
                Self::Bytes => Type::BYTEA_ARRAY,
                Self::Date => Type::DATE_ARRAY,
                Self::Time => Type::TIME_ARRAY,
                Self::TimestampTz => Type::TIMESTAMPTZ_ARRAY,
                _ => return None,
            },
        })
    }
}

/// Encodes batches of one schema.
#[derive(Debug)]
pub(super) struct Encoder {
    columns: Vec<(String, Store)>,
}

impl Encoder {
    /// An encoder for columns with these names and types.
    pub(super) fn new(columns: Vec<(String, Store)>) -> Self {
        Self { columns }
    }

    /// The rows of a batch, in pieces that end anywhere.
    pub(super) fn encode(&self, batch: &RecordBatch) -> Result<Vec<Bytes>> {
        let arrays: Vec<ArrayRef> = batch
            .columns()
            .iter()
            .zip(batch.schema_ref().fields())
            .zip(&self.columns)
            .map(|((array, field), (_, store))| plain(array, field, store))
            .collect::<Result<_>>()?;
        let columns: Vec<Column<'_>> = arrays
            .iter()
            .zip(&self.columns)
            .map(|(array, (name, store))| Column::new(array, store).ok_or_else(|| odd(name)))
            .collect::<Result<_>>()?;
        let count = i16::try_from(columns.len()).unwrap_or(i16::MAX).to_be_bytes();
        let mut pieces = Vec::new();
        let mut buffer = Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 4);
        for row in 0..batch.num_rows() {
            buffer.extend_from_slice(&count);
            for (column, (name, _)) in columns.iter().zip(&self.columns) {
                column.put(row, &mut buffer).map_err(|unfit| unfit.problem(name))?;
            }
            if buffer.len() >= CHUNK_BYTES {
                let full = std::mem::replace(&mut buffer, Vec::with_capacity(CHUNK_BYTES * 5 / 4));
                cut(full.into(), &mut pieces);
            }
        }
        cut(buffer.into(), &mut pieces);
        Ok(pieces)
    }
}

/// No message to the server may be as long as the longest value.
fn cut(mut bytes: Bytes, pieces: &mut Vec<Bytes>) {
    const PIECE_BYTES_MAX: usize = 16 * 1024 * 1024;
    while bytes.len() > PIECE_BYTES_MAX {
        pieces.push(bytes.split_to(PIECE_BYTES_MAX));
    }
    if !bytes.is_empty() {
        pieces.push(bytes);
    }
}

fn odd(name: &str) -> Problem {
    Problem::new(&codes::INTERNAL, format!("column `{name}` has a type that nobody expected"))
        .arg("column", name)
}

/// Nested values as JSON; everything else as it is.
fn plain(array: &ArrayRef, field: &Arc<Field>, store: &Store) -> Result<ArrayRef> {
    let is_nested = array.data_type().is_nested();
    if !is_nested || matches!(store, Store::List(_)) {
        return Ok(Arc::clone(array));
    }
    let failed = |error: arrow::error::ArrowError| {
        Problem::new(&codes::TYPE_MISMATCH, format!("`{}` cannot become JSON", field.name()))
            .arg("column", field.name())
            .detail(error)
    };
    let options = EncoderOptions::default();
    let mut encoder = make_encoder(field, array.as_ref(), &options).map_err(failed)?;
    let mut texts = StringViewBuilder::with_capacity(array.len());
    let mut json = Vec::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            texts.append_null();
            continue;
        }
        json.clear();
        encoder.encode(row, &mut json);
        texts.append_value(String::from_utf8_lossy(&json));
    }
    Ok(Arc::new(texts.finish()))
}

/// Why a value cannot be written.
struct Unfit {
    value: String,
    reason: &'static str,
    hint: &'static str,
}

impl Unfit {
    fn problem(&self, column: &str) -> Problem {
        let shown = stdx::text::truncate(&self.value, SHOWN_BYTES_MAX);
        let (code, reason) = match self.reason {
            TOO_LONG => (&codes::FILE_TOO_LARGE, TOO_LONG),
            other => (&codes::TYPE_MISMATCH, other),
        };
        Problem::new(code, format!("a value of `{column}` {reason}"))
            .arg("column", column)
            .detail(format!("`{}`", shown.escape_debug()))
            .hint(self.hint)
    }
}

const TOO_LONG: &str = "is longer than the 1 GiB that PostgreSQL takes";

fn check_length(length: usize) -> Result<i32, Unfit> {
    match i32::try_from(length) {
        Ok(short) if length <= VALUE_BYTES_MAX => Ok(short),
        _ => Err(Unfit {
            value: format!("{length} bytes"),
            reason: TOO_LONG,
            hint: "leave the column out, or write it to a lake table or file",
        }),
    }
}

/// A column of a batch, ready to be written row by row.
enum Column<'a> {
    Boolean(&'a BooleanArray),
    Int2(&'a Int64Array),
    Int4(&'a Int64Array),
    Int8(&'a Int64Array),
    Float8(&'a Float64Array),
    Numeric(&'a Decimal128Array, u32),
    Text(&'a StringViewArray),
    Jsonb(&'a StringViewArray),
    Uuid(&'a StringViewArray),
    Bytes(&'a BinaryViewArray),
    Date(&'a Date32Array),
    Time(&'a Time64MicrosecondArray),
    Timestamp(&'a TimestampMicrosecondArray),
    List(&'a ListArray, Box<Column<'a>>, Oid),
}

impl<'a> Column<'a> {
    fn new(array: &'a ArrayRef, store: &Store) -> Option<Self> {
        Some(match store {
            Store::Boolean => Self::Boolean(array.as_boolean_opt()?),
            Store::Int2 => Self::Int2(array.as_primitive_opt::<Int64Type>()?),
            Store::Int4 => Self::Int4(array.as_primitive_opt::<Int64Type>()?),
            Store::Int8 => Self::Int8(array.as_primitive_opt::<Int64Type>()?),
            Store::Float8 => Self::Float8(array.as_primitive_opt::<Float64Type>()?),
            Store::Numeric(_, _) => {
                let ArrowType::Decimal128(_, scale) = array.data_type() else { return None };
                let scale = u32::try_from(*scale).ok()?;
                Self::Numeric(array.as_primitive_opt::<Decimal128Type>()?, scale)
            }
            Store::Text | Store::Json => Self::Text(array.as_string_view_opt()?),
            Store::Jsonb => Self::Jsonb(array.as_string_view_opt()?),
            Store::Uuid => Self::Uuid(array.as_string_view_opt()?),
            Store::Bytes => Self::Bytes(array.as_binary_view_opt()?),
            Store::Date => Self::Date(array.as_primitive_opt::<Date32Type>()?),
            Store::Time => Self::Time(array.as_primitive_opt::<Time64MicrosecondType>()?),
            Store::Timestamp | Store::TimestampTz => {
                Self::Timestamp(array.as_primitive_opt::<TimestampMicrosecondType>()?)
            }
            Store::List(item) => {
                let list = array.as_list_opt::<i32>()?;
                let oid = item.pg_type()?.oid();
                Self::List(list, Box::new(Self::new(list.values(), item)?), oid)
            }
        })
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Boolean(array) => array.is_null(row),
            Self::Int2(array) | Self::Int4(array) | Self::Int8(array) => array.is_null(row),
            Self::Float8(array) => array.is_null(row),
            Self::Numeric(array, _) => array.is_null(row),
            Self::Text(array) | Self::Jsonb(array) | Self::Uuid(array) => array.is_null(row),
            Self::Bytes(array) => array.is_null(row),
            Self::Date(array) => array.is_null(row),
            Self::Time(array) => array.is_null(row),
            Self::Timestamp(array) => array.is_null(row),
            Self::List(array, _, _) => array.is_null(row),
        }
    }

    /// Adds the length and the value.
    fn put(&self, row: usize, buffer: &mut Vec<u8>) -> Result<(), Unfit> {
        if self.is_null(row) {
            buffer.extend_from_slice(&(-1i32).to_be_bytes());
            return Ok(());
        }
        match self {
            Self::Boolean(array) => put_fixed(buffer, [u8::from(array.value(row))]),
            Self::Int2(array) => put_fixed(buffer, narrow::<i16>(array.value(row))?.to_be_bytes()),
            Self::Int4(array) => put_fixed(buffer, narrow::<i32>(array.value(row))?.to_be_bytes()),
            Self::Int8(array) => put_fixed(buffer, array.value(row).to_be_bytes()),
            Self::Float8(array) => put_fixed(buffer, array.value(row).to_be_bytes()),
            Self::Numeric(array, scale) => put_numeric(buffer, array.value(row), *scale),
            Self::Text(array) => put_bytes(buffer, &[], no_nul(array.value(row))?)?,
            Self::Jsonb(array) => put_bytes(buffer, &[1], no_nul(array.value(row))?)?,
            Self::Uuid(array) => put_fixed(buffer, uuid_bytes(array.value(row))?),
            Self::Bytes(array) => put_bytes(buffer, &[], array.value(row))?,
            Self::Date(array) => {
                let days = i64::from(array.value(row)) - i64::from(EPOCH_DAYS);
                put_fixed(buffer, narrow::<i32>(days)?.to_be_bytes());
            }
            Self::Time(array) => put_fixed(buffer, array.value(row).to_be_bytes()),
            Self::Timestamp(array) => {
                let micros = array.value(row).saturating_sub(EPOCH_US);
                put_fixed(buffer, micros.to_be_bytes());
            }
            Self::List(array, items, oid) => {
                let offsets = array.value_offsets();
                put_list(buffer, items, *oid, offsets[row], offsets[row + 1])?;
            }
        }
        Ok(())
    }
}

fn put_fixed<const N: usize>(buffer: &mut Vec<u8>, value: [u8; N]) {
    let length = i32::try_from(N).unwrap_or(0);
    buffer.extend_from_slice(&length.to_be_bytes());
    buffer.extend_from_slice(&value);
}

fn put_bytes(buffer: &mut Vec<u8>, prefix: &[u8], value: &[u8]) -> Result<(), Unfit> {
    let length = check_length(prefix.len() + value.len())?;
    buffer.extend_from_slice(&length.to_be_bytes());
    buffer.extend_from_slice(prefix);
    buffer.extend_from_slice(value);
    Ok(())
}

fn put_list(
    buffer: &mut Vec<u8>,
    items: &Column<'_>,
    oid: Oid,
    start: i32,
    end: i32,
) -> Result<(), Unfit> {
    let length_at = buffer.len();
    let dimensions = i32::from(end > start);
    let has_null = (start..end).any(|item| items.is_null(usize::try_from(item).unwrap_or(0)));
    for number in [0, dimensions, i32::from(has_null)] {
        buffer.extend_from_slice(&number.to_be_bytes());
    }
    buffer.extend_from_slice(&oid.to_be_bytes());
    if end > start {
        buffer.extend_from_slice(&(end - start).to_be_bytes());
        buffer.extend_from_slice(&1i32.to_be_bytes());
        for item in start..end {
            items.put(usize::try_from(item).unwrap_or(0), buffer)?;
        }
    }
    let length = check_length(buffer.len() - length_at - 4)?;
    buffer[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

fn narrow<T: TryFrom<i64>>(value: i64) -> Result<T, Unfit> {
    T::try_from(value).map_err(|_| Unfit {
        value: value.to_string(),
        reason: "does not fit the type of the table's column",
        hint: "give the column of the table a wider type",
    })
}

fn no_nul(value: &str) -> Result<&[u8], Unfit> {
    let bytes = value.as_bytes();
    if bytes.contains(&0) {
        return Err(Unfit {
            value: value.to_owned(),
            reason: "has a character with code 0, which PostgreSQL does not take in texts",
            hint: "remove it with `clean_text`, or reject such rows with `validate`",
        });
    }
    Ok(bytes)
}

fn uuid_bytes(text: &str) -> Result<[u8; 16], Unfit> {
    let unfit = || Unfit {
        value: text.to_owned(),
        reason: "is not a UUID",
        hint: "reject such rows with `validate`, or read the column as `string`",
    };
    let mut value = [0u8; 16];
    let mut digits = 0;
    for byte in text.trim().bytes().filter(|byte| !matches!(byte, b'-' | b'{' | b'}')) {
        let digit = char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let (Some(digit), Some(slot)) = (digit, value.get_mut(digits / 2)) else {
            return Err(unfit());
        };
        *slot = (*slot << 4) | digit;
        digits += 1;
    }
    if digits == 32 { Ok(value) } else { Err(unfit()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_read_in_every_spelling() {
        let bytes = uuid_bytes("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11").ok().unwrap();
        assert_eq!((bytes[0], bytes[15]), (0xa0, 0x11));
        assert!(uuid_bytes("{A0EEBC999C0B4EF8BB6D6BB9BD380A11}").ok() == Some(bytes));
        assert!(uuid_bytes("a0").is_err() && uuid_bytes("not a uuid").is_err());
    }
}
