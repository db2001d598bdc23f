//! SQLite's values, whose type is their own, to columns, whose type is declared.

use super::cells::Cells;
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use model::DataType;
use rusqlite::types::ValueRef;

/// Our type for a declared one. None when the declaration says nothing.
pub(super) fn declared_type(declaration: Option<&str>) -> Option<DataType> {
    let text = declaration?.trim().to_uppercase();
    if text.is_empty() {
        return None;
    }
    let has = |word: &str| text.contains(word);
    let plain = match () {
        () if has("UUID") => DataType::Uuid,
        () if has("JSON") => DataType::Json,
        () if has("BOOL") => DataType::Boolean,
        () if has("DATETIME") || has("TIMESTAMP") => DataType::Timestamp,
        () if has("DATE") => DataType::Date,
        () if text == "TIME" || text.starts_with("TIME(") || text.starts_with("TIME ") => {
            DataType::Time
        }
        () if has("DECIMAL") || has("NUMERIC") || has("MONEY") => decimal_type(&text),
        () if has("CHAR") || has("CLOB") || has("TEXT") || has("STRING") => DataType::String,
        () if has("BLOB") || has("BINARY") => DataType::Binary,
        () if has("REAL") || has("FLOA") || has("DOUB") => DataType::Float,
        () if has("INT") && !has("POINT") && !has("INTERVAL") => DataType::Integer,
        () => DataType::String,
    };
    Some(plain)
}

/// `DECIMAL(12,2)`; without numbers, the widest one.
fn decimal_type(text: &str) -> DataType {
    let arguments = text.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
    let Some((arguments, _)) = arguments else { return DataType::Decimal(38, 9) };
    let (precision, scale) = arguments.split_once(',').unwrap_or((arguments, "0"));
    let numbers = (precision.trim().parse::<u8>(), scale.trim().parse::<i8>());
    match numbers {
        (Ok(precision @ 1..=38), Ok(scale)) if (0..=38).contains(&scale) => {
            DataType::Decimal(precision.max(scale.unsigned_abs()), scale)
        }
        _ => DataType::String,
    }
}

/// The type that holds values of both kinds, for columns without a declared type.
pub(super) fn widen(so_far: Option<DataType>, value: ValueRef<'_>) -> Option<DataType> {
    let next = match value {
        ValueRef::Null => return so_far,
        ValueRef::Integer(_) => DataType::Integer,
        ValueRef::Real(_) => DataType::Float,
        ValueRef::Text(_) => DataType::String,
        ValueRef::Blob(_) => DataType::Binary,
    };
    Some(match (so_far, next) {
        (None, next) => next,
        (Some(old), next) if old == next => old,
        (Some(DataType::Integer | DataType::Float), DataType::Integer | DataType::Float) => {
            DataType::Float
        }
        _ => DataType::String,
    })
}

/// A value as people read it.
pub(super) fn shown(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "null".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => real_text(number),
        ValueRef::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        ValueRef::Blob(bytes) => format!("{} bytes", bytes.len()),
    }
}

/// A real number with a point, so that nobody takes it for an integer.
fn real_text(number: f64) -> String {
    format!("{number:?}")
}

/// Adds one value, or says why it does not fit; then nothing has been added.
pub(super) fn append(
    cells: &mut Cells,
    data_type: &DataType,
    value: ValueRef<'_>,
) -> Result<(), &'static str> {
    if matches!(value, ValueRef::Null) {
        cells.append_null();
        return Ok(());
    }
    match (cells, data_type) {
        (Cells::Boolean(cells), _) => {
            cells.append_value(boolean(value).ok_or("is not true or false")?);
        }
        (Cells::Integer(cells), _) => {
            cells.append_value(integer(value).ok_or("is not an integer")?);
        }
        (Cells::Decimal(cells), DataType::Decimal(precision, scale)) => {
            let number = decimal(value, *precision, *scale);
            cells.append_value(number.ok_or("does not fit the column's decimals")?);
        }
        (Cells::Float(cells), _) => cells.append_value(float(value).ok_or("is not a number")?),
        (Cells::Date(cells), _) => cells.append_value(date(text(value)?).ok_or("is not a date")?),
        (Cells::Time(cells), _) => {
            cells.append_value(time(text(value)?).ok_or("is not a time of day")?);
        }
        (Cells::Timestamp(cells), _) => {
            cells.append_value(timestamp(text(value)?).ok_or("is not a timestamp")?);
        }
        (Cells::Binary(cells), _) => match value {
            ValueRef::Blob(bytes) | ValueRef::Text(bytes) => cells.append_value(bytes),
            _ => return Err("is a number, not bytes"),
        },
        (Cells::Text(cells), _) => match value {
            ValueRef::Text(_) => cells.append_value(text(value)?),
            ValueRef::Blob(_) => return Err("is bytes, not a text"),
            number => cells.append_value(shown(number)),
        },
        _ => return Err("is of a type that was not expected"),
    }
    Ok(())
}

fn text(value: ValueRef<'_>) -> Result<&str, &'static str> {
    match value {
        ValueRef::Text(bytes) => std::str::from_utf8(bytes).map_err(|_| "is not valid UTF-8"),
        ValueRef::Blob(_) => Err("is bytes, not a text"),
        _ => Err("is a number, not a text"),
    }
}

fn boolean(value: ValueRef<'_>) -> Option<bool> {
    match value {
        ValueRef::Integer(0) => Some(false),
        ValueRef::Integer(1) => Some(true),
        ValueRef::Text(_) => match text(value).ok()?.to_lowercase().as_str() {
            "true" | "t" | "1" => Some(true),
            "false" | "f" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn integer(value: ValueRef<'_>) -> Option<i64> {
    match value {
        ValueRef::Integer(number) => Some(number),
        ValueRef::Real(number) => {
            const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
            let is_whole = number.fract() == 0.0 && number.abs() <= EXACT_MAX;
            #[allow(clippy::cast_possible_truncation, reason = "whole, and within 53 bits")]
            is_whole.then_some(number as i64)
        }
        ValueRef::Text(_) => text(value).ok()?.trim().parse().ok(),
        _ => None,
    }
}

fn float(value: ValueRef<'_>) -> Option<f64> {
    match value {
        ValueRef::Real(number) => Some(number),
        // Through text, which rounds to the nearest; a larger one would lose digits.
        ValueRef::Integer(number) if number.unsigned_abs() <= 1 << 53 => {
            number.to_string().parse().ok()
        }
        ValueRef::Text(_) => text(value).ok()?.trim().parse().ok(),
        _ => None,
    }
}

fn decimal(value: ValueRef<'_>, precision: u8, scale: i8) -> Option<i128> {
    let text = match value {
        ValueRef::Integer(number) => number.to_string(),
        // Fifteen digits are what SQLite itself prints of a real number; behind them is noise.
        ValueRef::Real(number) if number.is_finite() => format!("{number:.14e}"),
        ValueRef::Text(_) => text(value).ok()?.trim().to_owned(),
        _ => return None,
    };
    parse_decimal(&text, precision, scale)
}

/// A number as text times 10^scale, when that is a whole number that fits.
fn parse_decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (sign, digits) = match mantissa.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let has_digit = !whole.is_empty() || !fraction.is_empty();
    let fraction = fraction.trim_end_matches('0');
    let mut value: i128 = 0;
    for byte in whole.bytes().chain(fraction.bytes()) {
        let digit = char::from(byte).to_digit(10)?;
        value = value.checked_mul(10)?.checked_add(digit.into())?;
    }
    let shift = exponent + i32::from(scale) - i32::try_from(fraction.len()).ok()?;
    if value != 0 && shift >= 0 {
        value = value.checked_mul(10i128.checked_pow(shift.unsigned_abs())?)?;
    } else if value != 0 {
        let cut = 10i128.checked_pow(shift.unsigned_abs())?;
        if value % cut != 0 {
            return None;
        }
        value /= cut;
    }
    let fits = value < 10i128.pow(u32::from(precision.min(38)));
    (has_digit && fits).then_some(sign * value)
}

const EPOCH: NaiveDate = NaiveDate::from_ymd_opt(1970, 1, 1).expect("the first of January 1970");

/// `2024-02-29`, also with a time of midnight behind it.
fn date(text: &str) -> Option<i32> {
    let text = text.trim();
    let (day, rest) = text.split_at_checked(10)?;
    let rest = rest.trim_start_matches(['T', ' ']).trim_end_matches('Z');
    let is_midnight = rest.bytes().all(|byte| matches!(byte, b'0' | b':' | b'.'));
    let day = NaiveDate::parse_from_str(day, "%Y-%m-%d").ok().filter(|_| is_midnight)?;
    i32::try_from(day.signed_duration_since(EPOCH).num_days()).ok()
}

/// `23:59`, `23:59:59`, `23:59:59.123`.
fn time(text: &str) -> Option<i64> {
    let text = text.trim();
    let time = NaiveTime::parse_from_str(text, "%H:%M:%S%.f")
        .or_else(|_| NaiveTime::parse_from_str(text, "%H:%M"))
        .ok()?;
    let micros = i64::from(time.nanosecond() / 1000);
    Some(i64::from(time.num_seconds_from_midnight()) * 1_000_000 + micros)
}

/// ISO 8601 with `T` or a space, with or without time, with or without zone (then UTC).
pub(super) fn timestamp(text: &str) -> Option<i64> {
    let text = text.trim();
    if text.len() == 10 {
        return Some(i64::from(date(text)?) * 86_400_000_000);
    }
    let local = text.strip_suffix('Z').or_else(|| text.strip_suffix(" UTC")).unwrap_or(text);
    for format in
        ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"]
    {
        if let Ok(instant) = NaiveDateTime::parse_from_str(local, format) {
            return Some(instant.and_utc().timestamp_micros());
        }
    }
    for format in ["%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f %#z"]
    {
        if let Ok(instant) = DateTime::parse_from_str(text, format) {
            return Some(instant.timestamp_micros());
        }
    }
    None
}

/// A stored timestamp or date, so many seconds earlier, in the shape it was stored in.
pub(super) fn earlier(text: &str, seconds: i64) -> Option<String> {
    let micros = timestamp(text)?.checked_sub(seconds.checked_mul(1_000_000)?)?;
    let instant = DateTime::from_timestamp_micros(micros)?.naive_utc();
    if text.len() == 10 {
        // A part of a day goes back to the whole day.
        return Some(instant.format("%Y-%m-%d").to_string());
    }
    let (stem, suffix) = ["Z", " UTC", "+00:00", "+00"]
        .iter()
        .find_map(|suffix| Some((text.strip_suffix(suffix)?, *suffix)))
        .unwrap_or((text, ""));
    let separator = if stem.as_bytes().get(10) == Some(&b'T') { 'T' } else { ' ' };
    let (day, time) = (instant.format("%Y-%m-%d"), instant.format("%H:%M:%S%.6f").to_string());
    let length = stem.len().checked_sub(11)?;
    // Digits as many as were stored; anything else than a time has no shape to keep.
    let time = time.get(..length.min(time.len()))?;
    Some(format!("{day}{separator}{time}{suffix}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_types_become_ours() {
        let of = |text: &str| declared_type(Some(text)).map(|data_type| data_type.to_string());
        for (declared, ours) in [
            ("INTEGER", "integer"),
            ("unsigned big int", "integer"),
            ("NVARCHAR(160)", "string"),
            ("NUMERIC(10,2)", "decimal(10,2)"),
            ("decimal(10, 5)", "decimal(10,5)"),
            ("NUMERIC", "decimal(38,9)"),
            ("TEXT DECIMAL(20,2)", "decimal(20,2)"),
            ("DATETIME", "timestamp"),
            ("date", "date"),
            ("BOOLEAN", "boolean"),
            ("DOUBLE PRECISION", "float"),
            ("BLOB", "binary"),
            ("POINT", "string"),
            ("JSON TEXT", "json"),
        ] {
            assert_eq!(of(declared).as_deref(), Some(ours), "{declared}");
        }
        assert_eq!(of(""), None);
    }

    #[test]
    fn decimals_are_exact_or_refused() {
        assert_eq!(parse_decimal("0.99", 10, 2), Some(99));
        assert_eq!(parse_decimal("-12.5", 10, 2), Some(-1250));
        assert_eq!(parse_decimal("1.23456", 10, 2), None);
        assert_eq!(parse_decimal("1e3", 10, 2), Some(100_000));
        assert_eq!(parse_decimal("12345678901", 10, 2), None);
        assert_eq!(parse_decimal("", 10, 2), None);
        assert_eq!(parse_decimal("1.2.3", 10, 2), None);
        assert_eq!(decimal(ValueRef::Real(0.1 + 0.2), 10, 2), Some(30));
        assert_eq!(decimal(ValueRef::Real(0.125), 10, 2), None);
    }

    #[test]
    fn timestamps_have_many_spellings() {
        let noon = 1_709_208_000_000_000;
        for text in [
            "2024-02-29 12:00:00",
            "2024-02-29T12:00:00.000Z",
            "2024-02-29 12:00",
            "2024-02-29T14:00:00+02:00",
            "2024-02-29 12:00:00.000000+00",
        ] {
            assert_eq!(timestamp(text), Some(noon), "{text}");
        }
        assert_eq!(timestamp("2024-02-30 12:00:00"), None);
        assert_eq!(timestamp("1709208000"), None);
    }

    #[test]
    fn a_lag_keeps_the_shape_of_a_text() {
        for (text, back) in [
            ("2024-03-01 00:30:00", "2024-02-29 23:30:00"),
            ("2024-03-01T00:30:00.500Z", "2024-02-29T23:30:00.500Z"),
            ("2024-03-01", "2024-02-29"),
            ("2024-03-01 00:30", "2024-02-29 23:30"),
        ] {
            assert_eq!(earlier(text, 3600).as_deref(), Some(back));
        }
    }
}
