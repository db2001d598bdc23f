//! Statistics of data files: from Parquet's footer into the log, and from the log into plans.

use crate::errors::{from_arrow, from_parquet};
use crate::values::{Bound, TEXT_BYTES_MAX, statistic_json};
use arrow::array::{Array, ArrayRef, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType as ArrowType, Field, Schema, SchemaRef};
use arrow::row::{RowConverter, SortField};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use model::Result;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::file::metadata::ParquetMetaData;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

/// Columns, from the left, that statistics are kept of.
const COLUMNS_MAX: usize = 32;
/// Delta's own precision for instants is a millisecond.
const INSTANT_SLACK_US: i64 = 1000;

/// The statistics of a written file as the log wants them.
pub(crate) fn of_parquet(metadata: &ParquetMetaData, schema: &Schema) -> Result<String> {
    let rows = metadata.file_metadata().num_rows();
    let mut lowest = String::new();
    let mut highest = String::new();
    let mut nulls = String::new();
    for field in schema.fields().iter().take(COLUMNS_MAX) {
        if field.data_type().is_nested() {
            continue;
        }
        let name = serde_json::to_string(field.name()).unwrap_or_default();
        let column = column_statistics(metadata, schema, field)?;
        push(&mut lowest, &name, column.lowest);
        push(&mut highest, &name, column.highest);
        push(&mut nulls, &name, column.nulls.map(|count| count.to_string()));
    }
    Ok([
        &format!(r#"{{"numRecords":{rows},"#),
        &format!(r#""minValues":{{{lowest}}},"#),
        &format!(r#""maxValues":{{{highest}}},"#),
        &format!(r#""nullCount":{{{nulls}}}}}"#),
    ]
    .map(String::as_str)
    .concat())
}

fn push(list: &mut String, name: &str, value: Option<String>) {
    if let Some(value) = value {
        let comma = if list.is_empty() { "" } else { "," };
        let _ = write!(list, "{comma}{name}:{value}");
    }
}

#[derive(Default)]
struct OfColumn {
    lowest: Option<String>,
    highest: Option<String>,
    nulls: Option<u64>,
}

fn column_statistics(
    metadata: &ParquetMetaData,
    schema: &Schema,
    field: &Field,
) -> Result<OfColumn> {
    let groups = metadata.row_groups();
    let parquet_schema = metadata.file_metadata().schema_descr();
    let converter = StatisticsConverter::try_new(field.name(), schema, parquet_schema)
        .map_err(|error| from_parquet(&error))?;
    let nulls = converter.row_group_null_counts(groups).map_err(|error| from_parquet(&error))?;
    let mut column = OfColumn { nulls: arrow::compute::sum(&nulls), ..OfColumn::default() };
    if nulls.null_count() > 0 {
        column.nulls = None;
    }
    if groups.is_empty() {
        column.nulls = Some(0);
        return Ok(column);
    }
    let lowest = converter.row_group_mins(groups).map_err(|error| from_parquet(&error))?;
    let highest = converter.row_group_maxes(groups).map_err(|error| from_parquet(&error))?;
    let all_null = |group: usize| {
        nulls.is_valid(group) && Ok(nulls.value(group)) == u64::try_from(groups[group].num_rows())
    };
    column.lowest = extreme(&lowest, Bound::Lowest, all_null)?;
    column.highest = extreme(&highest, Bound::Highest, all_null)?;
    Ok(column)
}

/// The extreme of the row groups' extremes; none when one of them is unknown.
fn extreme(
    values: &ArrayRef,
    bound: Bound,
    all_null: impl Fn(usize) -> bool,
) -> Result<Option<String>> {
    if (0..values.len()).any(|group| values.is_null(group) && !all_null(group)) {
        return Ok(None);
    }
    let converter = RowConverter::new(vec![SortField::new(values.data_type().clone())]);
    let Ok(converter) = converter else { return Ok(None) };
    let rows =
        converter.convert_columns(&[Arc::clone(values)]).map_err(|error| from_arrow(&error))?;
    let known = (0..values.len()).filter(|group| values.is_valid(*group));
    let chosen = match bound {
        Bound::Lowest => known.min_by(|a, b| rows.row(*a).cmp(&rows.row(*b))),
        Bound::Highest => known.max_by(|a, b| rows.row(*a).cmp(&rows.row(*b))),
    };
    Ok(chosen.and_then(|group| statistic_json(values.as_ref(), group, bound)))
}

/// Statistics as they stand in the log. Values stay text, so that decimals keep their digits.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Logged<'a> {
    #[serde(default)]
    num_records: Option<u64>,
    #[serde(default, borrow)]
    min_values: HashMap<String, &'a RawValue>,
    #[serde(default, borrow)]
    max_values: HashMap<String, &'a RawValue>,
    #[serde(default, borrow)]
    null_count: HashMap<String, &'a RawValue>,
}

/// What a plan may know of one file. Partition columns are constants of the file.
pub(crate) fn of_log(
    stats: Option<&str>,
    bytes: u64,
    schema: &SchemaRef,
    constants: &HashMap<String, ScalarValue>,
) -> Statistics {
    let logged = stats.and_then(|text| serde_json::from_str::<Logged<'_>>(text).ok());
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    let num_rows = logged
        .as_ref()
        .and_then(|logged| usize::try_from(logged.num_records?).ok())
        .map_or(Precision::Absent, Precision::Exact);
    let column_statistics = schema
        .fields()
        .iter()
        .map(|field| match (constants.get(field.name()), &logged) {
            (Some(value), _) => of_constant(value, num_rows),
            (None, Some(logged)) => of_column(logged, field),
            (None, None) => ColumnStatistics::new_unknown(),
        })
        .collect();
    Statistics { num_rows, total_byte_size: Precision::Inexact(bytes), column_statistics }
}

fn of_constant(value: &ScalarValue, num_rows: Precision<usize>) -> ColumnStatistics {
    let mut column = ColumnStatistics::new_unknown();
    if value.is_null() {
        column.null_count = num_rows;
        return column;
    }
    column.null_count = Precision::Exact(0);
    column.distinct_count = Precision::Exact(1);
    column.min_value = Precision::Exact(value.clone());
    column.max_value = Precision::Exact(value.clone());
    column
}

fn of_column(logged: &Logged<'_>, field: &Field) -> ColumnStatistics {
    let mut column = ColumnStatistics::new_unknown();
    let nulls = logged.null_count.get(field.name());
    if let Some(nulls) = nulls.and_then(|nulls| nulls.get().parse::<usize>().ok()) {
        column.null_count = Precision::Exact(nulls);
    }
    let bound = |values: &HashMap<String, &RawValue>, bound| {
        let value = values.get(field.name()).and_then(|raw| scalar(raw, field.data_type()));
        value.map_or(Precision::Absent, |value| widened(value, bound))
    };
    column.min_value = bound(&logged.min_values, Bound::Lowest);
    column.max_value = bound(&logged.max_values, Bound::Highest);
    column
}

fn scalar(raw: &RawValue, arrow_type: &ArrowType) -> Option<ScalarValue> {
    if arrow_type.is_nested() || matches!(arrow_type, ArrowType::Time64(_)) {
        return None;
    }
    let text = match raw.get() {
        "null" => return None,
        quoted if quoted.starts_with('"') => serde_json::from_str::<String>(quoted).ok()?,
        plain => plain.to_owned(),
    };
    let array: ArrayRef = Arc::new(StringArray::from(vec![text]));
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let value = cast_with_options(&array, arrow_type, &options).ok()?;
    ScalarValue::try_from_array(&value, 0).ok()
}

/// A bound that is certain to hold, and exact only where the log cannot have rounded it.
fn widened(value: ScalarValue, bound: Bound) -> Precision<ScalarValue> {
    match value {
        ScalarValue::TimestampMicrosecond(Some(micros), zone) => {
            let micros = match bound {
                Bound::Lowest => micros,
                Bound::Highest => micros.saturating_add(INSTANT_SLACK_US - 1),
            };
            Precision::Inexact(ScalarValue::TimestampMicrosecond(Some(micros), zone))
        }
        ScalarValue::Utf8View(Some(ref text)) | ScalarValue::Utf8(Some(ref text))
            if bound == Bound::Highest && text.len() + 4 > TEXT_BYTES_MAX / 2 =>
        {
            // Other writers cut texts without rounding the upper bound up.
            Precision::Absent
        }
        ScalarValue::Utf8View(_) | ScalarValue::Utf8(_) | ScalarValue::Float64(_) => {
            Precision::Inexact(value)
        }
        exact => Precision::Exact(exact),
    }
}
