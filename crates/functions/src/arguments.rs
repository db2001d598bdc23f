//! What every function does with its arguments: check them when planned, read them when called.

use arrow::array::{Array, ArrayRef, AsArray, StringViewArray, StringViewBuilder, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use arrow::error::ArrowError;
use contracts::arrow_types::{canonical_type, to_field};
use contracts::function::{Argument, ArgumentInfo};
use model::{Problem, Result, codes};
use std::sync::Arc;

/// What an argument has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// Text; other plain types are printed.
    Text,
    /// A whole number.
    Integer,
    /// Yes or no.
    Boolean,
    /// An instant.
    Timestamp,
    /// Anything.
    Any,
}

/// A call with wrong arguments.
pub(crate) fn bad_call(function: &str, fact: impl std::fmt::Display) -> Problem {
    Problem::new(&codes::SQL_INVALID, format!("`{function}` {fact}"))
        .arg("function", function)
        .hint(format!("look up `{function}` in the reference of functions"))
}

/// Coercion of a call with so many arguments, the last ones optional.
pub(crate) fn coerce(
    function: &str,
    types: &[DataType],
    required: &[Want],
    optional: &[Want],
) -> Result<Vec<DataType>> {
    let most = required.len() + optional.len();
    if types.len() < required.len() || types.len() > most {
        let wanted = match optional.len() {
            0 => format!("{most}"),
            _ => format!("{} to {most}", required.len()),
        };
        return Err(bad_call(function, format!("takes {wanted} arguments, not {}", types.len())));
    }
    let wants = required.iter().chain(optional);
    types.iter().zip(wants).map(|(given, want)| wanted_type(function, given, *want)).collect()
}

/// Coercion of a call whose arguments come in groups, after some leading ones.
pub(crate) fn coerce_groups(
    function: &str,
    types: &[DataType],
    leading: &[Want],
    group: &[Want],
) -> Result<Vec<DataType>> {
    let rest = types.len().checked_sub(leading.len());
    if !rest.is_some_and(|rest| rest.is_multiple_of(group.len())) {
        let start =
            if leading.is_empty() { String::new() } else { format!("{}, then ", leading.len()) };
        let fact = format!("takes {start}groups of {} arguments, not {}", group.len(), types.len());
        return Err(bad_call(function, fact));
    }
    let wants = leading.iter().chain(group.iter().cycle());
    types.iter().zip(wants).map(|(given, want)| wanted_type(function, given, *want)).collect()
}

fn wanted_type(function: &str, given: &DataType, want: Want) -> Result<DataType> {
    let refuse = |wanted: &str| {
        let ours = contracts::arrow_types::from_arrow(given);
        Err(bad_call(function, format!("takes {wanted} where it is given `{ours}`")))
    };
    match want {
        Want::Text if given.is_nested() => refuse("a text"),
        Want::Text => Ok(DataType::Utf8View),
        Want::Integer if given.is_integer() || given.is_null() => Ok(DataType::Int64),
        Want::Integer => refuse("an integer"),
        Want::Boolean if *given == DataType::Boolean || given.is_null() => Ok(DataType::Boolean),
        Want::Boolean => refuse("a boolean"),
        Want::Timestamp if matches!(given, DataType::Timestamp(_, _) | DataType::Null) => {
            Ok(contracts::arrow_types::timestamp())
        }
        Want::Timestamp => refuse("a timestamp"),
        Want::Any => Ok(canonical_type(given)),
    }
}

/// The field of a result that may be null.
pub(crate) fn result(name: &str, data_type: DataType) -> Result<FieldRef> {
    Ok(Arc::new(Field::new(name, data_type, true)))
}

/// The field of a result of one of our types, with its metadata.
pub(crate) fn result_of(name: &str, data_type: &model::DataType) -> Result<FieldRef> {
    Ok(Arc::new(to_field(name, data_type)))
}

/// A literal argument that decides the type of the result.
pub(crate) fn literal_integer(function: &str, info: &[ArgumentInfo], at: usize) -> Result<i64> {
    let literal = info.get(at).and_then(|info| info.literal.as_deref());
    literal.and_then(|text| text.trim().parse().ok()).ok_or_else(|| {
        bad_call(function, format!("takes a number written out as argument {}", at + 1))
    })
}

/// The text of a literal argument, where it is one.
pub(crate) fn literal_text(info: &[ArgumentInfo], at: usize) -> Option<&str> {
    info.get(at).and_then(|info| info.literal.as_deref())
}

/// An argument as one text per row.
pub(crate) fn text_column(argument: &Argument, rows: usize) -> Result<StringViewArray> {
    let array = column(argument, rows)?;
    match array.as_string_view_opt() {
        Some(texts) => Ok(texts.clone()),
        None => {
            let texts = cast(&array, &DataType::Utf8View).map_err(broken)?;
            Ok(texts.as_string_view().clone())
        }
    }
}

/// An argument as one value per row.
pub(crate) fn column(argument: &Argument, rows: usize) -> Result<ArrayRef> {
    match argument {
        Argument::Array(array) => Ok(Arc::clone(array)),
        Argument::Scalar(array) if rows == 1 => Ok(Arc::clone(array)),
        Argument::Scalar(array) => {
            let indices = UInt32Array::from_value(0, rows);
            take(array, &indices, None).map_err(broken)
        }
    }
}

/// The one text that an argument has for all rows; none when it is absent or null.
pub(crate) fn constant_text(
    function: &str,
    arguments: &[Argument],
    at: usize,
) -> Result<Option<String>> {
    let Some(argument) = arguments.get(at) else { return Ok(None) };
    let array = argument.array();
    if array.is_empty() || array.is_null(0) {
        return Ok(None);
    }
    let texts = cast(array, &DataType::Utf8View).map_err(broken)?;
    let texts = texts.as_string_view();
    let first = texts.value(0);
    if texts.iter().any(|text| text != Some(first)) {
        let fact = format!("takes the same value for every row as argument {}", at + 1);
        return Err(bad_call(function, fact));
    }
    Ok(Some(first.to_owned()))
}

/// The one whole number that an argument has for all rows.
pub(crate) fn constant_integer(
    function: &str,
    arguments: &[Argument],
    at: usize,
) -> Result<Option<i64>> {
    let text = constant_text(function, arguments, at)?;
    text.map(|text| {
        let number = text.parse();
        number.map_err(|_| bad_call(function, format!("takes an integer as argument {}", at + 1)))
    })
    .transpose()
}

/// The whole number of an argument in a row.
pub(crate) fn integer_at(argument: &Argument, row: usize) -> Option<i64> {
    let (array, index) = (argument.array(), argument.index(row));
    let integers = array.as_primitive_opt::<Int64Type>()?;
    integers.is_valid(index).then(|| integers.value(index))
}

/// One text out of one text, row by row; the column as it is when nothing changes.
pub(crate) fn map_text(
    argument: &Argument,
    rows: usize,
    mut map: impl FnMut(&str, &mut String) -> bool,
) -> Result<ArrayRef> {
    let texts = text_column(argument, rows)?;
    let mut scratch = String::new();
    let mut builder: Option<StringViewBuilder> = None;
    for row in 0..texts.len() {
        if texts.is_null(row) {
            if let Some(builder) = &mut builder {
                builder.append_null();
            }
            continue;
        }
        let text = texts.value(row);
        scratch.clear();
        let changed = map(text, &mut scratch);
        if changed && builder.is_none() {
            builder = Some(unchanged_rows(&texts, row));
        }
        if let Some(builder) = &mut builder {
            builder.append_value(if changed { scratch.as_str() } else { text });
        }
    }
    Ok(match builder {
        Some(mut builder) => Arc::new(builder.finish()),
        None => Arc::new(texts),
    })
}

fn unchanged_rows(texts: &StringViewArray, rows: usize) -> StringViewBuilder {
    let mut builder = StringViewBuilder::with_capacity(texts.len());
    for row in 0..rows {
        builder.append_option(texts.is_valid(row).then(|| texts.value(row)));
    }
    builder
}

/// One yes or no out of one text, row by row; null stays null.
pub(crate) fn test_text(
    argument: &Argument,
    rows: usize,
    mut test: impl FnMut(&str) -> bool,
) -> Result<ArrayRef> {
    let texts = text_column(argument, rows)?;
    let values = arrow::buffer::BooleanBuffer::collect_bool(texts.len(), |row| {
        texts.is_valid(row) && test(texts.value(row))
    });
    Ok(Arc::new(arrow::array::BooleanArray::new(values, texts.nulls().cloned())))
}

/// Arrow refused something that cannot fail here.
pub(crate) fn broken(error: ArrowError) -> Problem {
    Problem::new(&codes::INTERNAL, "a function met arrays that do not fit together").detail(error)
}
