//! Values as Delta's log writes them: partition values and statistics.

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType as ArrowType, Date32Type, Decimal128Type, Float64Type, Int64Type,
    TimestampMicrosecondType,
};
use chrono::{DateTime, Utc};
use datafusion::common::ScalarValue;
use std::fmt::Write as _;
use std::sync::Arc;

/// Longest text kept in statistics, in bytes.
pub(crate) const TEXT_BYTES_MAX: usize = 64;

/// The text of a partition value; `None` is null.
pub(crate) fn partition_text(array: &ArrayRef, row: usize) -> Option<String> {
    if array.is_null(row) {
        return None;
    }
    let text = match array.data_type() {
        ArrowType::Utf8View => array.as_string_view().value(row).to_owned(),
        ArrowType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        ArrowType::Boolean => array.as_boolean().value(row).to_string(),
        ArrowType::Float64 => array.as_primitive::<Float64Type>().value(row).to_string(),
        ArrowType::Date32 => date_text(array.as_primitive::<Date32Type>().value(row)),
        ArrowType::Timestamp(_, _) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            instant(micros)?.format("%Y-%m-%d %H:%M:%S%.6f").to_string()
        }
        ArrowType::Decimal128(_, scale) => {
            decimal_text(array.as_primitive::<Decimal128Type>().value(row), *scale)
        }
        _ => return None,
    };
    // Delta reads an empty text as null.
    (!text.is_empty()).then_some(text)
}

/// Whether a column of this type can split a table into folders.
pub(crate) fn can_partition(arrow_type: &ArrowType) -> bool {
    matches!(
        arrow_type,
        ArrowType::Utf8View
            | ArrowType::Int64
            | ArrowType::Boolean
            | ArrowType::Float64
            | ArrowType::Date32
            | ArrowType::Timestamp(_, _)
            | ArrowType::Decimal128(_, _)
    )
}

/// A partition value back from its text.
pub(crate) fn partition_scalar(text: Option<&str>, arrow_type: &ArrowType) -> Option<ScalarValue> {
    let array: ArrayRef = Arc::new(StringArray::from(vec![text.filter(|text| !text.is_empty())]));
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let value = cast_with_options(&array, arrow_type, &options).ok()?;
    ScalarValue::try_from_array(&value, 0).ok()
}

/// The name of a partition's folder: readable, safe in every file system, unique.
pub(crate) fn partition_folder(column: &str, text: Option<&str>) -> String {
    let Some(text) = text else { return format!("{column}=__HIVE_DEFAULT_PARTITION__") };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let safe: String = text.chars().take(80).map(|c| if plain(c) { c } else { '_' }).collect();
    if safe == text && !text.starts_with('.') {
        return format!("{column}={safe}");
    }
    let hash = stdx::hash::stable_hash(text.as_bytes());
    format!("{column}={safe}~{hash:016x}")
}

/// Which end of a range a statistic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    Lowest,
    Highest,
}

/// One value of an array as JSON text for the log's statistics.
pub(crate) fn statistic_json(array: &dyn Array, row: usize, bound: Bound) -> Option<String> {
    if array.is_null(row) {
        return None;
    }
    match array.data_type() {
        ArrowType::Int64 => Some(array.as_primitive::<Int64Type>().value(row).to_string()),
        ArrowType::Boolean => Some(array.as_boolean().value(row).to_string()),
        ArrowType::Float64 => {
            let value = array.as_primitive::<Float64Type>().value(row);
            value.is_finite().then(|| format!("{value:?}"))
        }
        ArrowType::Date32 => {
            let day = array.as_primitive::<Date32Type>().value(row);
            Some(format!("\"{}\"", date_text(day)))
        }
        ArrowType::Timestamp(_, _) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            Some(format!("\"{}\"", instant(micros)?.format("%Y-%m-%dT%H:%M:%S%.6fZ")))
        }
        ArrowType::Decimal128(_, scale) => {
            Some(decimal_text(array.as_primitive::<Decimal128Type>().value(row), *scale))
        }
        ArrowType::Utf8 => text_json(array.as_string::<i32>().value(row), bound),
        ArrowType::Utf8View => text_json(array.as_string_view().value(row), bound),
        _ => None,
    }
}

fn text_json(text: &str, bound: Bound) -> Option<String> {
    let cut = stdx::text::truncate(text, TEXT_BYTES_MAX);
    let bounded = match bound {
        Bound::Highest if cut.len() < text.len() => next_text(cut)?,
        _ => cut.to_owned(),
    };
    serde_json::to_string(&bounded).ok()
}

/// A text that sorts after every text that begins with `prefix`.
fn next_text(prefix: &str) -> Option<String> {
    let mut characters: Vec<char> = prefix.chars().collect();
    while let Some(last) = characters.pop() {
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            other => char::from_u32(u32::from(other) + 1),
        };
        if let Some(next) = next {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}

fn date_text(day: i32) -> String {
    arrow::temporal_conversions::date32_to_datetime(day)
        .map(|date| date.format("%Y-%m-%d").to_string())
        .unwrap_or_default()
}

fn instant(micros: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_micros(micros)
}

/// `12345` with scale 2 is `123.45`.
fn decimal_text(unscaled: i128, scale: i8) -> String {
    let scale = usize::try_from(scale).unwrap_or(0);
    let digits = unscaled.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() + scale + 3);
    if unscaled < 0 {
        text.push('-');
    }
    if scale == 0 {
        text.push_str(&digits);
        return text;
    }
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let _ = write!(text, "{whole}.{fraction}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_have_their_point() {
        assert_eq!(decimal_text(12345, 2), "123.45");
        assert_eq!(decimal_text(-5, 2), "-0.05");
        assert_eq!(decimal_text(7, 0), "7");
    }

    #[test]
    fn folders_are_safe_and_unique() {
        assert_eq!(partition_folder("day", Some("2024-01-01")), "day=2024-01-01");
        assert_eq!(partition_folder("day", None), "day=__HIVE_DEFAULT_PARTITION__");
        let slash = partition_folder("k", Some("a/b"));
        assert!(slash.starts_with("k=a_b~") && slash != partition_folder("k", Some("a b")));
    }

    #[test]
    fn a_cut_text_is_still_a_bound() {
        let long = "é".repeat(100);
        let highest = text_json(&long, Bound::Highest).unwrap();
        let highest: String = serde_json::from_str(&highest).unwrap();
        assert!(highest.as_str() > long.as_str() && highest.len() <= TEXT_BYTES_MAX + 4);
        assert_eq!(next_text("a\u{10ffff}").unwrap(), "b");
    }
}
