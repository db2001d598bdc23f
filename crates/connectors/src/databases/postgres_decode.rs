//! PostgreSQL's binary values to columns: what `COPY … TO STDOUT (FORMAT binary)` sends.

use super::cells::{Cells, ListCells, RowBatcher};
use bytes::Bytes;
use model::{DataType, Problem, Result, codes};
use tokio_postgres::types::{Kind, Type};

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// Signature, flags, length of the extension.
const HEADER_BYTES: usize = SIGNATURE.len() + 8;
/// Days and µs from 1970-01-01 to 2000-01-01.
pub(super) const EPOCH_DAYS: i32 = 10_957;
pub(super) const EPOCH_US: i64 = 946_684_800_000_000;
/// Precision and scale of a `numeric` that has none.
const FREE_NUMERIC: (u8, i8) = (38, 9);

/// How a value comes over the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wire {
    Boolean,
    Int2,
    Int4,
    Int8,
    Oid,
    Float4,
    Float8,
    Numeric(u8, i8),
    Text,
    Jsonb,
    Uuid,
    Bytes,
    Date,
    Time,
    Timestamp,
    List(Box<Wire>),
}

/// How a column is asked for, how it comes, and what it becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// Put behind the column's name in the query, such as `::text`.
    pub cast: &'static str,
    /// How values come.
    pub wire: Wire,
    /// Our type.
    pub data_type: DataType,
}

fn plan(wire: Wire, data_type: DataType) -> Plan {
    Plan { cast: "", wire, data_type }
}

/// Whatever has no type of ours comes as the text that PostgreSQL prints.
fn as_text() -> Plan {
    Plan { cast: "::text", wire: Wire::Text, data_type: DataType::String }
}

impl Plan {
    /// The plan for a column of a type; `modifier` holds precision and scale of a `numeric`.
    pub(super) fn new(pg_type: &Type, modifier: i32) -> Self {
        if let Kind::Array(item) = pg_type.kind() {
            let item = Self::new(item, modifier);
            let is_list = matches!(item.wire, Wire::List(_));
            return match item.cast.is_empty() && !is_list {
                true => {
                    plan(Wire::List(Box::new(item.wire)), DataType::List(item.data_type.into()))
                }
                false => as_text(),
            };
        }
        match *pg_type {
            Type::BOOL => plan(Wire::Boolean, DataType::Boolean),
            Type::INT2 => plan(Wire::Int2, DataType::Integer),
            Type::INT4 => plan(Wire::Int4, DataType::Integer),
            Type::INT8 => plan(Wire::Int8, DataType::Integer),
            Type::OID => plan(Wire::Oid, DataType::Integer),
            Type::FLOAT4 => plan(Wire::Float4, DataType::Float),
            Type::FLOAT8 => plan(Wire::Float8, DataType::Float),
            Type::NUMERIC => numeric(modifier),
            Type::MONEY => {
                let (precision, scale) = FREE_NUMERIC;
                let data_type = DataType::Decimal(precision, scale);
                Plan { cast: "::numeric", ..plan(Wire::Numeric(precision, scale), data_type) }
            }
            Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME => {
                plan(Wire::Text, DataType::String)
            }
            Type::JSON => plan(Wire::Text, DataType::Json),
            Type::JSONB => plan(Wire::Jsonb, DataType::Json),
            Type::UUID => plan(Wire::Uuid, DataType::Uuid),
            Type::BYTEA => plan(Wire::Bytes, DataType::Binary),
            Type::DATE => plan(Wire::Date, DataType::Date),
            Type::TIME => plan(Wire::Time, DataType::Time),
            Type::TIMESTAMP | Type::TIMESTAMPTZ => plan(Wire::Timestamp, DataType::Timestamp),
            _ if matches!(pg_type.kind(), Kind::Enum(_)) => plan(Wire::Text, DataType::String),
            _ => as_text(),
        }
    }

    /// The plan when a person has chosen the type.
    pub(super) fn chosen(pg_type: &Type, name: &str, wanted: &DataType) -> Result<Self> {
        let is_number =
            matches!(*pg_type, Type::INT2 | Type::INT4 | Type::INT8 | Type::NUMERIC | Type::MONEY);
        match wanted {
            DataType::String => Ok(as_text()),
            DataType::Float if is_number => {
                Ok(Plan { cast: "::float8", ..plan(Wire::Float8, DataType::Float) })
            }
            DataType::Decimal(precision, scale) if is_number => Ok(Plan {
                cast: "::numeric",
                ..plan(Wire::Numeric(*precision, *scale), wanted.clone())
            }),
            other => Err(Problem::new(
                &codes::TYPE_MISMATCH,
                format!("`{name}` of type {pg_type} cannot be read as `{other}`"),
            )
            .arg("column", name)
            .hint("read it as it is and use `cast`; `types` takes string, decimal and float")),
        }
    }
}

fn numeric(modifier: i32) -> Plan {
    let (precision, scale) = match modifier {
        // The length of the modifier itself, 4, is added to precision << 16 | scale.
        4.. => {
            let packed = modifier - 4;
            // The scale has 11 bits and a sign.
            let scale = ((packed & 0x7ff) ^ 1024) - 1024;
            let precision = (packed >> 16) & 0xffff;
            // PostgreSQL knows scales below zero and above the precision.
            (precision.max(scale) + (-scale).max(0), scale.max(0))
        }
        _ => (i32::from(FREE_NUMERIC.0), i32::from(FREE_NUMERIC.1)),
    };
    match (u8::try_from(precision), i8::try_from(scale)) {
        (Ok(precision @ 1..=38), Ok(scale)) => {
            plan(Wire::Numeric(precision, scale), DataType::Decimal(precision, scale))
        }
        _ => as_text(),
    }
}

/// Why a value does not fit, and the value.
pub(super) struct Unfit {
    value: Option<String>,
    reason: &'static str,
}

impl Unfit {
    fn new(reason: &'static str) -> Self {
        Self { value: None, reason }
    }
}

/// Turns messages of a COPY into rows.
pub(super) struct Decoder {
    wires: Vec<Wire>,
    header_seen: bool,
}

impl Decoder {
    pub(super) fn new(wires: Vec<Wire>) -> Self {
        Self { wires, header_seen: false }
    }

    /// Adds the rows of one message; the server puts whole rows into each.
    pub(super) fn decode(&mut self, message: &Bytes, rows: &mut RowBatcher) -> Result<()> {
        let mut input = Input { bytes: message };
        if !self.header_seen {
            let header = input.take(HEADER_BYTES).ok_or_else(torn)?;
            if !header.starts_with(SIGNATURE) {
                return Err(torn());
            }
            self.header_seen = true;
        }
        while !input.bytes.is_empty() {
            let fields = input.int2().ok_or_else(torn)?;
            if fields == -1 {
                return Ok(());
            }
            if usize::try_from(fields) != Ok(self.wires.len()) {
                return Err(torn());
            }
            for (at, wire) in self.wires.iter().enumerate() {
                let length = input.int4().ok_or_else(torn)?;
                let Ok(length) = usize::try_from(length) else {
                    rows.cells(at).append_null();
                    continue;
                };
                let value = input.take(length).ok_or_else(torn)?;
                if let Err(unfit) = append(rows.cells(at), wire, value) {
                    rows.fail(at, unfit.value, unfit.reason);
                }
            }
            rows.end_row();
        }
        Ok(())
    }
}

fn torn() -> Problem {
    Problem::new(&codes::RESPONSE_INVALID, "the database sent rows that do not follow its protocol")
        .hint("something between here and the server may have changed them; try again")
}

/// Bytes that are taken from the front.
struct Input<'a> {
    bytes: &'a [u8],
}

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        Some(taken)
    }

    fn int2(&mut self) -> Option<i16> {
        self.take(2).and_then(|bytes| bytes.try_into().ok()).map(i16::from_be_bytes)
    }

    fn int4(&mut self) -> Option<i32> {
        self.take(4).and_then(|bytes| bytes.try_into().ok()).map(i32::from_be_bytes)
    }
}

fn fixed<const N: usize>(value: &[u8]) -> Result<[u8; N], Unfit> {
    value.try_into().map_err(|_| Unfit::new("has an impossible length"))
}

/// Adds one value, or says why it does not fit; then nothing has been added.
fn append(cells: &mut Cells, wire: &Wire, value: &[u8]) -> Result<(), Unfit> {
    match (wire, cells) {
        (Wire::Boolean, Cells::Boolean(cells)) => cells.append_value(value == [1]),
        (Wire::Int2, Cells::Integer(cells)) => {
            cells.append_value(i16::from_be_bytes(fixed(value)?).into());
        }
        (Wire::Int4, Cells::Integer(cells)) => {
            cells.append_value(i32::from_be_bytes(fixed(value)?).into());
        }
        (Wire::Int8, Cells::Integer(cells)) => {
            cells.append_value(i64::from_be_bytes(fixed(value)?));
        }
        (Wire::Oid, Cells::Integer(cells)) => {
            cells.append_value(u32::from_be_bytes(fixed(value)?).into());
        }
        (Wire::Float4, Cells::Float(cells)) => {
            cells.append_value(f32::from_be_bytes(fixed(value)?).into());
        }
        (Wire::Float8, Cells::Float(cells)) => {
            cells.append_value(f64::from_be_bytes(fixed(value)?));
        }
        (Wire::Numeric(precision, scale), Cells::Decimal(cells)) => {
            cells.append_value(decimal(value, *precision, *scale)?);
        }
        (Wire::Text, Cells::Text(cells)) => cells.append_value(text(value)?),
        (Wire::Jsonb, Cells::Text(cells)) => match value.split_first() {
            Some((1, json)) => cells.append_value(text(json)?),
            _ => return Err(Unfit::new("is of a JSON version that is not known")),
        },
        (Wire::Uuid, Cells::Text(cells)) => {
            let mut buffer = [0; 36];
            cells.append_value(uuid_text(&fixed(value)?, &mut buffer));
        }
        (Wire::Bytes, Cells::Binary(cells)) => cells.append_value(value),
        (Wire::Date, Cells::Date(cells)) => cells.append_value(date(fixed(value)?)?),
        (Wire::Time, Cells::Time(cells)) => {
            let micros = i64::from_be_bytes(fixed(value)?);
            if micros >= 86_400_000_000 {
                let value = Some("24:00:00".to_owned());
                return Err(Unfit { value, reason: "is not a time of day" });
            }
            cells.append_value(micros);
        }
        (Wire::Timestamp, Cells::Timestamp(cells)) => {
            cells.append_value(timestamp(i64::from_be_bytes(fixed(value)?))?);
        }
        (Wire::List(item), Cells::List(cells)) => append_list(cells, item, value)?,
        _ => return Err(Unfit::new("is of a type that was not expected")),
    }
    Ok(())
}

/// Adds a list; when one item does not fit, the list does not.
fn append_list(cells: &mut ListCells, item: &Wire, value: &[u8]) -> Result<(), Unfit> {
    let mut added = 0;
    let mut unfit = None;
    for value in list_items(value)? {
        match value.map(|value| append(&mut cells.items, item, value)) {
            Some(Ok(())) => {}
            Some(Err(reason)) => {
                cells.items.append_null();
                unfit = Some(reason);
            }
            None => cells.items.append_null(),
        }
        added += 1;
    }
    match unfit {
        // The items stay, so that offsets fit them; the row is rejected.
        Some(unfit) => {
            cells.drop_items(added);
            Err(unfit)
        }
        None => {
            cells.end_list(added, true);
            Ok(())
        }
    }
}

fn text(value: &[u8]) -> Result<&str, Unfit> {
    std::str::from_utf8(value).map_err(|_| Unfit {
        value: Some(String::from_utf8_lossy(value).into_owned()),
        reason: "is not valid UTF-8",
    })
}

fn date(value: [u8; 4]) -> Result<i32, Unfit> {
    let days = i32::from_be_bytes(value);
    match days {
        i32::MAX => Err(Unfit { value: Some("infinity".to_owned()), reason: "is not a date" }),
        i32::MIN => Err(Unfit { value: Some("-infinity".to_owned()), reason: "is not a date" }),
        _ => days.checked_add(EPOCH_DAYS).ok_or(Unfit::new("is too far in the future")),
    }
}

fn timestamp(micros: i64) -> Result<i64, Unfit> {
    let infinite = |text: &str| Unfit { value: Some(text.to_owned()), reason: "is not an instant" };
    match micros {
        i64::MAX => Err(infinite("infinity")),
        i64::MIN => Err(infinite("-infinity")),
        _ => micros.checked_add(EPOCH_US).ok_or(Unfit::new("is too far in the future")),
    }
}

/// Values of an array of one dimension; none is a null.
fn list_items(value: &[u8]) -> Result<Vec<Option<&[u8]>>, Unfit> {
    let torn = || Unfit::new("is a damaged array");
    let mut input = Input { bytes: value };
    let dimensions = input.int4().ok_or_else(torn)?;
    let (_flags, _type) = (input.int4().ok_or_else(torn)?, input.int4().ok_or_else(torn)?);
    match dimensions {
        0 => return Ok(Vec::new()),
        1 => {}
        _ => return Err(Unfit::new("is an array of more than one dimension")),
    }
    let length = input.int4().ok_or_else(torn)?;
    let _first_index = input.int4().ok_or_else(torn)?;
    // Each item has four bytes at least, so a lying length cannot ask for memory.
    let length = usize::try_from(length).map_err(|_| torn())?;
    let mut items = Vec::with_capacity(length.min(input.bytes.len() / 4));
    for _ in 0..length {
        let length = input.int4().ok_or_else(torn)?;
        items.push(match usize::try_from(length) {
            Ok(length) => Some(input.take(length).ok_or_else(torn)?),
            Err(_) => None,
        });
    }
    Ok(items)
}

fn uuid_text<'a>(value: &[u8; 16], buffer: &'a mut [u8; 36]) -> &'a str {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut at = 0;
    for (number, byte) in value.iter().enumerate() {
        if matches!(number, 4 | 6 | 8 | 10) {
            buffer[at] = b'-';
            at += 1;
        }
        buffer[at] = HEX[usize::from(byte >> 4)];
        buffer[at + 1] = HEX[usize::from(byte & 15)];
        at += 2;
    }
    std::str::from_utf8(buffer).unwrap_or_default()
}

/// A `numeric`: digits to the base 10 000, the first one worth 10 000^weight.
fn decimal(value: &[u8], precision: u8, scale: i8) -> Result<i128, Unfit> {
    let torn = || Unfit::new("is a damaged number");
    let mut input = Input { bytes: value };
    let digits = input.int2().and_then(|count| usize::try_from(count).ok()).ok_or_else(torn)?;
    let weight = i32::from(input.int2().ok_or_else(torn)?);
    let sign = input.int2().ok_or_else(torn)?.cast_unsigned();
    let _display_scale = input.int2().ok_or_else(torn)?;
    match sign {
        0x0000 | 0x4000 => {}
        0xC000 => return Err(special("NaN")),
        0xD000 => return Err(special("Infinity")),
        0xF000 => return Err(special("-Infinity")),
        _ => return Err(torn()),
    }
    let digits = input.take(digits * 2).ok_or_else(torn)?;
    let unscaled = unscaled(digits, weight, scale).filter(|value| fits(*value, precision));
    let Some(unscaled) = unscaled else {
        let value = Some(numeric_text(digits, weight, sign == 0x4000));
        return Err(Unfit { value, reason: "has more digits than the column's type" });
    };
    Ok(if sign == 0x4000 { -unscaled } else { unscaled })
}

fn special(text: &str) -> Unfit {
    Unfit { value: Some(text.to_owned()), reason: "is not a decimal number" }
}

fn fits(value: i128, precision: u8) -> bool {
    value < 10i128.pow(u32::from(precision.min(38)))
}

/// The number times 10^scale, when that is a whole number that fits.
fn unscaled(digits: &[u8], weight: i32, scale: i8) -> Option<i128> {
    let mut value: i128 = 0;
    let mut exponent = 0;
    for (at, digit) in digits.chunks_exact(2).enumerate() {
        let digit = i128::from(u16::from_be_bytes([digit[0], digit[1]]));
        exponent = 4 * (weight - i32::try_from(at).ok()?) + i32::from(scale);
        if exponent >= 0 {
            value = value.checked_mul(10_000)?.checked_add(digit)?;
        } else {
            // Only the front part of this digit counts; the rest must be zeros.
            let cut = 10i128.pow(exponent.unsigned_abs().min(4));
            if digit % cut != 0 {
                return None;
            }
            if exponent > -4 {
                value = value.checked_mul(10_000 / cut)?.checked_add(digit / cut)?;
            }
        }
    }
    match u32::try_from(exponent) {
        Ok(power) if value != 0 => value.checked_mul(10i128.checked_pow(power)?),
        _ => Some(value),
    }
}

/// The number as people write it, for a reject.
fn numeric_text(digits: &[u8], weight: i32, negative: bool) -> String {
    const GROUPS_MAX: i32 = 1000;
    let digits: Vec<u16> =
        digits.chunks_exact(2).map(|digit| u16::from_be_bytes([digit[0], digit[1]])).collect();
    let group = |at: i32| usize::try_from(at).ok().and_then(|at| digits.get(at)).copied();
    let mut text = String::from(if negative { "-" } else { "" });
    for at in 0..=weight.clamp(0, GROUPS_MAX) {
        let digit = if weight < 0 { 0 } else { group(at).unwrap_or(0) };
        let padded = if at == 0 { format!("{digit}") } else { format!("{digit:04}") };
        text.push_str(&padded);
    }
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    if weight + 1 < count {
        text.push('.');
        for at in (weight + 1).max(-GROUPS_MAX)..count.min(weight + GROUPS_MAX) {
            text.push_str(&format!("{:04}", group(at).unwrap_or(0)));
        }
        text.truncate(text.trim_end_matches('0').len());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The binary form of a number, made by the book.
    fn numeric_bytes(weight: i16, sign: u16, digits: &[i16]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(i16::try_from(digits.len()).unwrap().to_be_bytes());
        bytes.extend(weight.to_be_bytes());
        bytes.extend(sign.to_be_bytes());
        bytes.extend(0i16.to_be_bytes());
        digits.iter().for_each(|digit| bytes.extend(digit.to_be_bytes()));
        bytes
    }

    #[test]
    fn decimals_keep_every_digit() {
        let read = |weight, digits: &[i16], scale| {
            decimal(&numeric_bytes(weight, 0, digits), 38, scale).ok()
        };
        // 12345.67 is 1, 2345, 6700.
        assert_eq!(read(1, &[1, 2345, 6700], 2), Some(1_234_567));
        assert_eq!(read(1, &[1, 2345, 6700], 4), Some(123_456_700));
        assert_eq!(read(1, &[1, 2345, 6700], 1), None);
        assert_eq!(read(-1, &[1], 4), Some(1));
        assert_eq!(read(-2, &[100], 6), Some(1));
        assert_eq!(read(-2, &[1], 6), None);
        assert_eq!(read(2, &[7], 0), Some(700_000_000));
        assert_eq!(read(0, &[], 9), Some(0));
        let negative = decimal(&numeric_bytes(0, 0x4000, &[5, 2500]), 5, 2).ok();
        assert_eq!(negative, Some(-525));
        assert!(decimal(&numeric_bytes(0, 0xC000, &[]), 5, 2).is_err());
    }

    #[test]
    fn rejected_numbers_are_shown_as_people_write_them() {
        let text = |weight, digits: &[i16]| {
            let bytes: Vec<u8> = digits.iter().flat_map(|digit| digit.to_be_bytes()).collect();
            numeric_text(&bytes, weight, false)
        };
        assert_eq!(text(1, &[1, 2345, 6700]), "12345.67");
        assert_eq!(text(-2, &[100]), "0.000001");
        assert_eq!(text(2, &[7]), "700000000");
    }

    #[test]
    fn precision_and_scale_are_in_the_modifier() {
        let plan = |precision: i32, scale: i32| numeric(((precision << 16) | (scale & 0x7ff)) + 4);
        assert_eq!(plan(12, 2).data_type, DataType::Decimal(12, 2));
        assert_eq!(plan(2, -3).data_type, DataType::Decimal(5, 0));
        assert_eq!(plan(3, 5).data_type, DataType::Decimal(5, 5));
        assert_eq!(plan(60, 2).data_type, DataType::String);
        assert_eq!(numeric(-1).data_type, DataType::Decimal(38, 9));
    }
}
