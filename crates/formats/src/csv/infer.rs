//! `types: infer`: types from the first rows, and texts turned into them; what does not fit later
//! becomes a reject, never another value.
//!
//! A number is only what a number would be printed as: no `+`, no leading zero, no digit too many.
//! Dates and instants are ISO 8601; an instant without a zone is taken as UTC.

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array,
    StringViewArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Field, Schema, SchemaRef};
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime};
use contracts::arrow_types::{UTC, to_arrow};
use model::DataType;
use std::sync::Arc;

const DIGITS_MAX: usize = 38;
/// Every decimal number of so many digits has a float of its own.
const FLOAT_DIGITS_MAX: usize = 15;
const DAYS_TO_EPOCH: i32 = 719_163;

/// The type of each column, where it is not a text.
#[derive(Debug, Default)]
pub(crate) struct Types(Vec<DataType>);

/// A value that does not fit its column.
pub(crate) struct Misfit {
    pub(crate) row: usize,
    pub(crate) column: usize,
    pub(crate) reason: String,
}

impl Types {
    /// All columns stay texts.
    pub(crate) fn texts() -> Self {
        Self::default()
    }

    /// The narrowest type that takes every value seen, for each column.
    pub(crate) fn of(columns: &[Guess]) -> Self {
        Self(columns.iter().map(Guess::data_type).collect())
    }

    /// Whether there is nothing to convert.
    pub(crate) fn are_texts(&self) -> bool {
        self.0.iter().all(|data_type| *data_type == DataType::String)
    }

    /// The schema of converted batches.
    pub(crate) fn schema(&self, texts: &SchemaRef) -> SchemaRef {
        let fields = texts.fields().iter().enumerate().map(|(at, field)| match self.0.get(at) {
            Some(data_type) => Field::new(field.name(), to_arrow(data_type), true)
                .with_metadata(field.metadata().clone()),
            None => field.as_ref().clone(),
        });
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// Converts the texts of one column. Misfits become null and are reported.
    pub(crate) fn convert(
        &self,
        column: usize,
        texts: &StringViewArray,
        misfits: &mut Vec<Misfit>,
    ) -> Option<ArrayRef> {
        let data_type = self.0.get(column)?;
        let mut report = |row: usize, value: &str| {
            let reason =
                format!("`{}` is not {}", stdx::text::truncate(value, 100), article(data_type));
            misfits.push(Misfit { row, column, reason });
        };
        let array: ArrayRef = match data_type {
            DataType::Boolean => {
                Arc::new(each(texts, boolean, &mut report).collect::<BooleanArray>())
            }
            DataType::Integer => {
                Arc::new(each(texts, integer, &mut report).collect::<Int64Array>())
            }
            DataType::Float => Arc::new(each(texts, float, &mut report).collect::<Float64Array>()),
            DataType::Date => Arc::new(each(texts, date, &mut report).collect::<Date32Array>()),
            DataType::Timestamp => {
                let values = each(texts, timestamp, &mut report);
                Arc::new(values.collect::<TimestampMicrosecondArray>().with_timezone(UTC))
            }
            DataType::Decimal(precision, scale) => {
                let (precision, scale) = (*precision, *scale);
                let parse = |text: &str| decimal(text, precision, scale);
                let values = each(texts, parse, &mut report).collect::<Decimal128Array>();
                Arc::new(values.with_data_type(to_arrow(data_type)))
            }
            _ => return None,
        };
        Some(array)
    }
}

fn article(data_type: &DataType) -> String {
    match data_type {
        DataType::Integer => "an integer".to_owned(),
        other => format!("a {other}"),
    }
}

fn each<'a, T>(
    texts: &'a StringViewArray,
    parse: impl Fn(&str) -> Option<T> + 'a,
    report: &'a mut impl FnMut(usize, &str),
) -> impl Iterator<Item = Option<T>> + 'a {
    texts.iter().enumerate().map(move |(row, text)| {
        let text = text?;
        let value = parse(text);
        if value.is_none() {
            report(row, text);
        }
        value
    })
}

/// What all values of a column have in common so far.
#[derive(Debug, Clone)]
pub(crate) struct Guess {
    has_values: bool,
    boolean: bool,
    integer: bool,
    decimal: bool,
    float: bool,
    date: bool,
    timestamp: bool,
    whole_digits: usize,
    scale: usize,
}

impl Default for Guess {
    fn default() -> Self {
        Self {
            has_values: false,
            boolean: true,
            integer: true,
            decimal: true,
            float: true,
            date: true,
            timestamp: true,
            whole_digits: 1,
            scale: 0,
        }
    }
}

impl Guess {
    /// Takes one more value into account.
    pub(crate) fn add(&mut self, text: &str) {
        self.has_values = true;
        self.boolean &= boolean(text).is_some();
        self.integer = self.integer && integer(text).is_some();
        self.float = self.float && float(text).is_some();
        self.date = self.date && date(text).is_some();
        self.timestamp = self.timestamp && timestamp(text).is_some();
        match digits_of(text) {
            Some((whole, scale)) => {
                self.whole_digits = self.whole_digits.max(whole);
                self.scale = self.scale.max(scale);
                self.decimal &= self.whole_digits + self.scale <= DIGITS_MAX;
            }
            None => self.decimal = false,
        }
    }

    fn data_type(&self) -> DataType {
        if !self.has_values {
            DataType::String
        } else if self.boolean {
            DataType::Boolean
        } else if self.integer {
            DataType::Integer
        } else if self.decimal {
            // Room for larger numbers later on, as long as 64 bits hold them.
            let digits = self.whole_digits + self.scale;
            let precision = if digits <= 18 { 18 } else { DIGITS_MAX };
            DataType::Decimal(
                u8::try_from(precision).unwrap_or(38),
                i8::try_from(self.scale).unwrap_or(0),
            )
        } else if self.float {
            DataType::Float
        } else if self.date {
            DataType::Date
        } else if self.timestamp {
            DataType::Timestamp
        } else {
            DataType::String
        }
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

fn integer(text: &str) -> Option<i64> {
    match digits_of(text) {
        Some((_, 0)) if !text.contains('.') => text.parse().ok(),
        _ => None,
    }
}

/// Digits before and after the point of a number that is written without any excess.
fn digits_of(text: &str) -> Option<(usize, usize)> {
    let magnitude = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = match magnitude.split_once('.') {
        Some((_, "")) => return None,
        Some((whole, fraction)) => (whole, fraction),
        None => (magnitude, ""),
    };
    let are_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let is_minimal = whole == "0" || (!whole.is_empty() && !whole.starts_with('0'));
    if !is_minimal || !are_digits(whole) || !are_digits(fraction) || text == "-0" {
        return None;
    }
    Some((whole.len(), fraction.len()))
}

fn decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let (whole, fraction) = digits_of(text)?;
    let (precision, scale) = (usize::from(precision), usize::try_from(scale).ok()?);
    if fraction > scale || whole + scale > precision {
        return None;
    }
    let mut value: i128 = 0;
    for digit in text.bytes().filter(u8::is_ascii_digit) {
        value = value * 10 + i128::from(digit - b'0');
    }
    for _ in fraction..scale {
        value *= 10;
    }
    Some(if text.starts_with('-') { -value } else { value })
}

fn float(text: &str) -> Option<f64> {
    match text {
        "NaN" | "nan" | "NAN" => return Some(f64::NAN),
        "Inf" | "inf" | "Infinity" | "INF" => return Some(f64::INFINITY),
        "-Inf" | "-inf" | "-Infinity" | "-INF" => return Some(f64::NEG_INFINITY),
        _ => {}
    }
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent),
        None => (text, "0"),
    };
    let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (whole, fraction) = digits_of(mantissa)?;
    let value: f64 = text.parse().ok()?;
    let is_lost = value.is_infinite()
        || (value == 0.0 && mantissa.bytes().any(|byte| (b'1'..=b'9').contains(&byte)))
        || whole + fraction > FLOAT_DIGITS_MAX;
    (!is_lost).then_some(value)
}

fn naive_date(text: &str) -> Option<NaiveDate> {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let number = |range: std::ops::Range<usize>| {
        let part = text.get(range)?;
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse::<u32>().ok()).flatten()
    };
    let year = number(0..4).filter(|year| *year > 0)?;
    NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, number(5..7)?, number(8..10)?)
}

fn date(text: &str) -> Option<i32> {
    naive_date(text).map(|date| date.num_days_from_ce() - DAYS_TO_EPOCH)
}

fn timestamp(text: &str) -> Option<i64> {
    let day = text.get(..10)?;
    naive_date(day)?;
    let rest = text.get(10..)?;
    let time = rest.strip_prefix(['T', ' '])?;
    // A leap second and the hour 24 are no instants here; digits beyond µs would be lost.
    let fraction = time.get(8..).and_then(|rest| rest.strip_prefix('.')).unwrap_or("");
    let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
    if digits > 6 || time.get(6..8) == Some("60") || time.starts_with("24") {
        return None;
    }
    let iso = format!("{day}T{time}");
    if let Ok(instant) = DateTime::parse_from_rfc3339(&iso) {
        return Some(instant.timestamp_micros());
    }
    ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(&iso, format).ok())
        .map(|instant| instant.and_utc().timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn type_of(values: &[&str]) -> String {
        let mut guess = Guess::default();
        values.iter().for_each(|value| guess.add(value));
        guess.data_type().to_string()
    }

    #[test]
    fn types_are_the_narrowest_that_lose_nothing() {
        assert_eq!(type_of(&["1", "-20", "0"]), "integer");
        assert_eq!(type_of(&["1", "2.50"]), "decimal(18,2)");
        assert_eq!(type_of(&["9223372036854775807", "9223372036854775808"]), "decimal(38,0)");
        assert_eq!(type_of(&["1e5", "0.5", "NaN"]), "float");
        assert_eq!(type_of(&["1", "1e309"]), "string");
        assert_eq!(type_of(&["true", "FALSE"]), "boolean");
        assert_eq!(type_of(&["2024-02-29", "0001-01-01"]), "date");
        assert_eq!(type_of(&["2024-02-29T10:00:00Z", "2024-02-29 10:00:00.123456"]), "timestamp");
        assert_eq!(type_of(&[]), "string");
    }

    #[test]
    fn what_looks_like_a_code_is_a_text() {
        for value in ["007", "+5", "1_000", "1,5", ".5", "5.", "-0", "", "00", "0x1F"] {
            assert_eq!(type_of(&[value]), "string", "{value}");
        }
        for value in ["2023-02-29", "0000-00-00", "2024-01-01T24:00:00", "2016-12-31T23:59:60Z"] {
            assert_eq!(type_of(&[value]), "string", "{value}");
        }
    }

    #[test]
    fn decimals_keep_every_digit() {
        assert_eq!(decimal("-12.5", 18, 2), Some(-1250));
        assert_eq!(decimal("12.555", 18, 2), None);
        assert_eq!(decimal("12345678901234567", 18, 2), None);
        assert_eq!(timestamp("1970-01-01T00:00:01+01:00"), Some(-3_599_000_000));
        assert_eq!(date("1970-01-02"), Some(1));
    }
}
