//! The SQL of a profile: one query for facts per batch of columns, one for counted values.

use super::{Column, ColumnProfile, Count, DISTINCT_EXACT_MAX, Lengths};
use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType as ArrowType, Int64Type};
use chrono::DateTime;
use model::{DataType, Problem, Result, codes};
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// Bars of a histogram.
pub(crate) const BARS: usize = 16;
/// Patterns and values longer than this are cut.
const CHARACTERS_MAX: usize = 60;
const QUANTILES: &[(&str, &str)] =
    &[("p05", "0.05"), ("p25", "0.25"), ("p50", "0.5"), ("p75", "0.75"), ("p95", "0.95")];
/// Types that texts are tried as, the narrowest first, with the value that shows it fits.
const READINGS: &[(&str, &str)] = &[
    ("integer", "try_integer({})"),
    ("decimal", "try_decimal({}, 38, 10)"),
    ("decimal with comma", "try_decimal({}, 38, 10, ',')"),
    ("boolean", "try_boolean({})"),
    ("date", "try_date({})"),
    ("date %d/%m/%Y", "try_date({}, '%d/%m/%Y')"),
    ("timestamp", "try_timestamp({})"),
    ("timestamp %d/%m/%Y %H:%M", "try_timestamp({}, '%d/%m/%Y %H:%M')"),
    ("time", "try_time({})"),
    ("uuid", "try_uuid({})"),
    ("json", "CASE WHEN {} LIKE '{{%' OR {} LIKE '[%' THEN try_json({}) END"),
];

/// What can be asked of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Number,
    Text,
    Instant,
    Other,
    Opaque,
}

fn family(data_type: &DataType) -> Family {
    match data_type {
        DataType::Integer | DataType::Float | DataType::Decimal(_, _) => Family::Number,
        DataType::Date | DataType::Timestamp => Family::Instant,
        DataType::String => Family::Text,
        DataType::Boolean | DataType::Time | DataType::Uuid => Family::Other,
        DataType::Json
        | DataType::Binary
        | DataType::Geometry
        | DataType::List(_)
        | DataType::Struct(_) => Family::Opaque,
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn is_measured(column: &Column) -> bool {
    matches!(family(&column.data_type), Family::Number | Family::Instant)
}

/// A number for each value: itself, or seconds since the epoch.
fn as_number(column: &Column) -> String {
    let name = quoted(&column.name);
    match family(&column.data_type) {
        Family::Instant => format!("CAST(date_part('epoch', {name}) AS DOUBLE)"),
        _ => format!("CAST({name} AS DOUBLE)"),
    }
}

/// Facts of a batch of columns, in one row: `c0_nulls`, `c0_min` …
pub(crate) fn facts(relation: &str, columns: &[Column]) -> String {
    let mut sql = "SELECT count(*) AS n_rows".to_owned();
    for (at, column) in columns.iter().enumerate() {
        let name = quoted(&column.name);
        let mut fact = |what: &str, expression: String| {
            let _ = write!(sql, ",\n {expression} AS c{at}_{what}");
        };
        fact("present", format!("count({name})"));
        let family = family(&column.data_type);
        if family == Family::Opaque {
            continue;
        }
        fact("distinct", format!("approx_distinct(CAST({name} AS VARCHAR))"));
        if column.data_type != DataType::Boolean {
            fact("min", format!("CAST(min({name}) AS VARCHAR)"));
            fact("max", format!("CAST(max({name}) AS VARCHAR)"));
        }
        if is_measured(column) {
            // A name of its own: to the engine `min(x)` and `min(cast(x))` are called the same.
            let number = format!("_number{at}");
            fact("low", format!("min({number})"));
            fact("high", format!("max({number})"));
            fact("mean", format!("avg({number})"));
            fact("deviation", format!("stddev({number})"));
            for (quantile, share) in QUANTILES {
                fact(quantile, format!("approx_percentile_cont({number}, {share})"));
            }
        }
        if family == Family::Text {
            fact(
                "blank",
                format!("count(*) FILTER (WHERE is_blank({name}) AND {name} IS NOT NULL)"),
            );
            fact("shortest", format!("min(character_length({name}))"));
            fact("longest", format!("max(character_length({name}))"));
            fact("length", format!("avg(CAST(character_length({name}) AS DOUBLE))"));
            for (number, (_, reading)) in READINGS.iter().enumerate() {
                let reading = reading.replace("{}", &name).replace("{{", "{");
                fact(&format!("as{number}"), format!("count({reading})"));
            }
            // A zero in front would be lost: codes and telephone numbers are no numbers.
            fact(
                "codes",
                format!(
                    "count(*) FILTER (WHERE {name} LIKE '0_%' AND {name} NOT LIKE '0.%' AND {name} NOT LIKE '0,%')"
                ),
            );
        }
    }
    let numbers: String = columns
        .iter()
        .enumerate()
        .filter(|(_, column)| is_measured(column))
        .map(|(at, column)| format!(", {} AS _number{at}", as_number(column)))
        .collect();
    let _ = write!(sql, "\nFROM (SELECT *{numbers} FROM {relation})");
    sql
}

/// The number called `name`, if there is one.
pub(crate) fn number(facts: &Map<String, Value>, name: &str) -> Option<f64> {
    match facts.get(name)? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// The part of the facts about one column.
pub(crate) fn read_facts(facts: &Map<String, Value>, at: usize, column: &Column) -> ColumnProfile {
    let number = |what: &str| number(facts, &format!("c{at}_{what}"));
    let whole = |what: &str| number(what).map(|number| number as u64);
    let text = |what: &str| {
        let value = facts.get(&format!("c{at}_{what}"))?.as_str()?;
        Some(shortened(value))
    };
    let rows = self::number(facts, "n_rows").unwrap_or(0.0) as u64;
    let present = whole("present").unwrap_or(0);
    let family = family(&column.data_type);
    let is_instant = family == Family::Instant;
    let mut profile = ColumnProfile {
        name: column.name.clone(),
        data_type: column.data_type.to_string(),
        nulls: rows.saturating_sub(present),
        distinct: whole("distinct").map(|distinct| distinct.min(present)),
        blank: whole("blank"),
        min: text("min"),
        max: text("max"),
        range: number("low").zip(number("high")),
        ..ColumnProfile::default()
    };
    if !is_instant {
        profile.mean = number("mean");
        profile.deviation = number("deviation");
    }
    for (quantile, _) in QUANTILES {
        let Some(value) = number(quantile) else { continue };
        let value =
            if is_instant { json!(instant(value, &column.data_type)) } else { json!(value) };
        profile.quantiles.insert((*quantile).to_owned(), value);
    }
    if let (Some(min), Some(mean), Some(max)) =
        (whole("shortest"), number("length"), whole("longest"))
    {
        profile.lengths = Some(Lengths { min, mean, max });
    }
    if family == Family::Text && present > 0 {
        let has_codes = whole("codes").unwrap_or(0) > 0;
        let filled = present - profile.blank.unwrap_or(0);
        let fits = |number: &usize| filled > 0 && whole(&format!("as{number}")) == Some(filled);
        let reading = (0..READINGS.len()).find(fits).map(|number| READINGS[number].0);
        profile.inferred = reading
            .filter(|name| !(has_codes && (*name == "integer" || name.starts_with("decimal"))))
            .map(ToString::to_string);
    }
    profile
}

fn instant(seconds: f64, data_type: &DataType) -> String {
    let Some(instant) = DateTime::from_timestamp(seconds as i64, 0) else { return String::new() };
    match data_type {
        DataType::Date => instant.format("%Y-%m-%d").to_string(),
        _ => instant.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
    }
}

/// Values, patterns and bars of a batch of columns, counted in one pass: rows become
/// (what, value) pairs, which are grouped. None when there is nothing to count.
pub(crate) fn counts(
    relation: &str,
    columns: &[Column],
    profiles: &[ColumnProfile],
    top: usize,
) -> Option<String> {
    let mut pairs = Vec::new();
    for (at, (column, profile)) in columns.iter().zip(profiles).enumerate() {
        let name = quoted(&column.name);
        let family = family(&column.data_type);
        let is_countable = profile.distinct.is_some_and(|n| n > 0 && n <= DISTINCT_EXACT_MAX);
        if is_countable {
            pairs.push((format!("v{at}"), format!("left(CAST({name} AS VARCHAR), 200)")));
        }
        if family == Family::Text {
            pairs.push((format!("p{at}"), pattern(&name)));
        }
        if let Some((low, high)) = profile.range.filter(|(low, high)| low < high) {
            let number = as_number(column);
            let step = (high - low) / BARS as f64;
            let last = BARS - 1;
            let bar = format!(
                "CAST(least(floor(({number} - CAST('{low:?}' AS DOUBLE)) / \
                 CAST('{step:?}' AS DOUBLE)), {last}) AS VARCHAR)"
            );
            pairs.push((format!("h{at}"), bar));
        }
    }
    if pairs.is_empty() {
        return None;
    }
    let keys: Vec<String> = pairs.iter().map(|(key, _)| format!("'{key}'")).collect();
    let values: Vec<&str> = pairs.iter().map(|(_, value)| value.as_str()).collect();
    let kept = top.max(1);
    Some(format!(
        "WITH pairs AS (SELECT unnest(make_array({})) AS k, unnest(make_array({})) AS v \
         FROM {relation}), \
         counted AS (SELECT k, v, count(*) AS n FROM pairs WHERE v IS NOT NULL GROUP BY k, v), \
         ranked AS (SELECT k, v, n, row_number() OVER (PARTITION BY k ORDER BY n DESC, v) AS r, \
         count(*) OVER (PARTITION BY k) AS d FROM counted) \
         SELECT k, v, n, d FROM ranked WHERE r <= {kept} OR left(k, 1) = 'h' ORDER BY k, n DESC, v",
        keys.join(", "),
        values.join(", ")
    ))
}

/// The shape of a text: `A` for capitals in a row, `a` for small letters, `9` for each digit.
fn pattern(name: &str) -> String {
    let mut shape = format!("left({name}, {CHARACTERS_MAX})");
    for (letters, with) in
        [("\\p{Lu}+", "A"), ("[\\p{Ll}\\p{Lo}\\p{Lt}\\p{Lm}]+", "a"), ("\\d", "9")]
    {
        shape = format!("regexp_replace({shape}, '{letters}', '{with}', 'g')");
    }
    shape
}

/// Puts counted values, patterns and bars where they belong.
pub(crate) fn read_counts(batches: &[RecordBatch], profiles: &mut [ColumnProfile]) -> Result<()> {
    let broken = |error: &dyn std::fmt::Display| {
        Problem::new(&codes::INTERNAL, "counted values cannot be read").detail(error)
    };
    for batch in batches {
        let text = |column: usize| cast(batch.column(column), &ArrowType::Utf8);
        let number = |column: usize| cast(batch.column(column), &ArrowType::Int64);
        let (keys, values) = (text(0).map_err(|e| broken(&e))?, text(1).map_err(|e| broken(&e))?);
        let (counts, different) =
            (number(2).map_err(|e| broken(&e))?, number(3).map_err(|e| broken(&e))?);
        let (keys, values) = (keys.as_string::<i32>(), values.as_string::<i32>());
        let counts = counts.as_primitive::<Int64Type>();
        let different = different.as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let (what, at) = keys.value(row).split_at(1);
            let at: usize = at.parse().map_err(|e| broken(&e))?;
            let rows = counts.value(row).unsigned_abs();
            let value = values.value(row);
            let profile = &mut profiles[at];
            match what {
                "h" => {
                    profile.histogram.resize(BARS, 0);
                    let bar = value.parse::<f64>().map_err(|e| broken(&e))? as usize;
                    profile.histogram[bar.min(BARS - 1)] += rows;
                }
                "p" => profile.patterns.push(Count { value: value.to_owned(), rows }),
                _ => {
                    profile.distinct = Some(different.value(row).unsigned_abs());
                    profile.distinct_is_exact = true;
                    profile.top.push(Count { value: shortened(value), rows });
                }
            }
        }
    }
    Ok(())
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= CHARACTERS_MAX {
        return text.to_owned();
    }
    let kept: String = text.chars().take(CHARACTERS_MAX - 1).collect();
    format!("{kept}…")
}
