//! Types and typed values in queries.

use crate::settings::invalid;
use arrow::array::{ArrayRef, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType;
use contracts::arrow_types::from_arrow;
use contracts::expr;
use contracts::sql::{Expr, Text};
use model::{Problem, Result, codes};
use serde_json::Value;
use std::sync::Arc;

const DIGITS_MAX: u8 = 38;
/// Decimal digits before the point that a 64-bit integer can have.
const INTEGER_DIGITS: u8 = 19;

/// The name of a type as documents write it.
pub(crate) fn type_name(data_type: &DataType) -> String {
    from_arrow(data_type).to_string()
}

/// Whether values are texts.
pub(crate) fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8View | DataType::Utf8 | DataType::LargeUtf8)
}

/// Whether values can be added up.
pub(crate) fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric()
}

/// The type that holds the values of both types without loss of meaning, if there is one.
pub(crate) fn common_type(left: &DataType, right: &DataType) -> Option<DataType> {
    use DataType as T;
    match (left, right) {
        (left, right) if left == right => Some(left.clone()),
        (T::Null, other) | (other, T::Null) => Some(other.clone()),
        (T::Int64, T::Float64) | (T::Float64, T::Int64) => Some(T::Float64),
        (T::Decimal128(_, _), T::Float64) | (T::Float64, T::Decimal128(_, _)) => Some(T::Float64),
        (T::Int64, T::Decimal128(p, s)) | (T::Decimal128(p, s), T::Int64) => {
            Some(decimal_of(INTEGER_DIGITS, 0, *p, *s))
        }
        (T::Decimal128(p1, s1), T::Decimal128(p2, s2)) => Some(decimal_of(*p1, *s1, *p2, *s2)),
        (T::Date32, T::Timestamp(_, _)) => Some(right.clone()),
        (T::Timestamp(_, _), T::Date32) => Some(left.clone()),
        _ => None,
    }
}

fn decimal_of(p1: u8, s1: i8, p2: u8, s2: i8) -> DataType {
    let scale = s1.max(s2);
    let before = (i16::from(p1) - i16::from(s1)).max(i16::from(p2) - i16::from(s2));
    let digits = (before + i16::from(scale)).min(i16::from(DIGITS_MAX));
    DataType::Decimal128(u8::try_from(digits).unwrap_or(DIGITS_MAX), scale)
}

/// Refuses to compare columns whose types have nothing in common.
pub(crate) fn check_comparable(
    left: (&str, &DataType),
    right: (&str, &DataType),
    setting: &str,
) -> Result<()> {
    if common_type(left.1, right.1).is_some() {
        return Ok(());
    }
    let (left_type, right_type) = (type_name(left.1), type_name(right.1));
    let fact = format!(
        "`{}` is of type {left_type}, `{}` of type {right_type}: they cannot be compared",
        left.0, right.0
    );
    Err(Problem::new(&codes::TYPE_MISMATCH, fact)
        .arg("column", left.0)
        .arg("other", right.0)
        .in_setting(setting)
        .hint("give both the same type with a `cast` node before this one"))
}

/// The problem of a column whose type does not fit the operation.
pub(crate) fn mismatch(column: &str, data_type: &DataType, needs: &str, path: &str) -> Problem {
    let given = type_name(data_type);
    let fact = format!("`{column}` is of type {given}, but {needs}");
    Problem::new(&codes::TYPE_MISMATCH, fact)
        .arg("column", column)
        .in_setting(path)
        .hint("change its type with a `cast` node before this one")
}

/// A setting's value as a value of a column's type.
pub(crate) fn literal(value: &Value, data_type: &DataType, setting: &str) -> Result<Expr> {
    let text = match value {
        Value::Null => return null(data_type),
        Value::String(text) => text.clone(),
        Value::Array(_) | Value::Object(_) => {
            return Err(invalid(setting, "this must be a single value"));
        }
        other => other.to_string(),
    };
    check_text(&text, data_type, setting)?;
    match data_type {
        DataType::Utf8View | DataType::Utf8 | DataType::LargeUtf8 => expr!("{}", Text(&text)),
        DataType::Boolean if text.eq_ignore_ascii_case("true") => expr!("true"),
        DataType::Boolean if text.eq_ignore_ascii_case("false") => expr!("false"),
        DataType::Int64 => match text.trim().parse::<i64>() {
            Ok(number) => expr!("{}", number),
            Err(_) => cast(&expr!("{}", Text(&text))?, data_type),
        },
        _ => cast(&expr!("{}", Text(&text))?, data_type),
    }
}

/// Tries the conversion here, so that a bad value is a problem and not a failing query.
fn check_text(text: &str, data_type: &DataType, setting: &str) -> Result<()> {
    let array: ArrayRef = Arc::new(StringArray::from(vec![text]));
    let options = CastOptions { safe: false, ..CastOptions::default() };
    match cast_with_options(&array, data_type, &options) {
        Ok(_) => Ok(()),
        Err(_) => {
            let wanted = type_name(data_type);
            Err(invalid(setting, format!("`{text}` is not of type {wanted}"))
                .arg("value", text)
                .arg("type", wanted))
        }
    }
}

/// A null of a type.
pub(crate) fn null(data_type: &DataType) -> Result<Expr> {
    match data_type {
        DataType::Null => expr!("NULL"),
        _ => cast(&expr!("NULL")?, data_type),
    }
}

/// A value as another type.
pub(crate) fn cast(value: &Expr, data_type: &DataType) -> Result<Expr> {
    match data_type {
        DataType::Utf8View | DataType::Utf8 | DataType::LargeUtf8 => {
            expr!("CAST({} AS VARCHAR)", value)
        }
        DataType::Boolean => expr!("CAST({} AS BOOLEAN)", value),
        DataType::Int64 => expr!("CAST({} AS BIGINT)", value),
        DataType::Float64 => expr!("CAST({} AS DOUBLE)", value),
        DataType::Date32 => expr!("CAST({} AS DATE)", value),
        other => expr!("arrow_cast({}, {})", value, Text(&other.to_string())),
    }
}

/// A setting's value as it is written, where no column gives a type.
pub(crate) fn plain(value: &Value, setting: &str) -> Result<Expr> {
    match value {
        Value::Null => expr!("NULL"),
        Value::Bool(value) => expr!("{}", *value),
        Value::String(text) => expr!("{}", Text(text)),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => expr!("{}", integer),
            (None, Some(float)) => expr!("{}", float),
            (None, None) => Err(invalid(setting, format!("`{number}` is not a number"))),
        },
        Value::Array(_) | Value::Object(_) => Err(invalid(setting, "this must be a single value")),
    }
}
