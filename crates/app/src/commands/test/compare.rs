//! Rows that a node gave against those that were expected.

use crate::output::{Colour, Output};
use arrow::array::RecordBatch;
use model::pipeline::PortRef;
use model::test::Row;
use model::{Problem, Result, codes};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Rows of each sort that are shown.
const ROWS_SHOWN_MAX: usize = 10;

/// How the rows of a port differ from the expected ones.
#[derive(Debug, Serialize)]
pub(super) struct Difference {
    /// `node`, or `node.port`.
    pub(super) port: String,
    /// Expected, not there.
    pub(super) missing: Vec<Row>,
    /// There, not expected.
    pub(super) unexpected: Vec<Row>,
    /// Rows that are nearly as expected.
    pub(super) changed: Vec<Changed>,
    /// The rows are right, their order is not.
    pub(super) out_of_order: bool,
}

/// A row that is nearly as expected.
#[derive(Debug, Serialize)]
pub(super) struct Changed {
    /// As it should be.
    pub(super) expected: Row,
    /// As it is, in the columns that matter.
    pub(super) got: Row,
    /// The columns that differ.
    pub(super) columns: Vec<String>,
}

/// Compares; None when all is as expected. A row of `expected` matches a row that has the same
/// values in the columns it names.
pub(super) fn compare(
    port: &PortRef,
    expected: &[Row],
    batches: &[RecordBatch],
    ordered: bool,
) -> Result<Option<Difference>> {
    let got = rows(batches)?;
    if let (Some(batch), false) = (batches.first(), expected.is_empty()) {
        known_columns(expected, batch)?;
    }
    let mut used = vec![false; got.len()];
    // Rows that name many columns choose first: those that name few can match more rows.
    let mut order: Vec<usize> = (0..expected.len()).collect();
    if !ordered {
        order.sort_by_key(|at| std::cmp::Reverse(expected[*at].len()));
    }
    let mut places = vec![None; expected.len()];
    for at in order {
        let found = (0..got.len()).find(|row| !used[*row] && matches(&expected[at], &got[*row]));
        if let Some(row) = found {
            used[row] = true;
            places[at] = Some(row);
        }
    }
    let mut missing: Vec<Row> = (0..expected.len())
        .filter(|at| places[*at].is_none())
        .map(|at| expected[at].clone())
        .collect();
    let columns: BTreeSet<&String> = expected.iter().flat_map(Map::keys).collect();
    let shown = |row: &Row| -> Row {
        let is_shown = |name: &String| match columns.is_empty() {
            true => !name.starts_with('_'),
            false => columns.contains(name),
        };
        row.iter().filter(|(name, _)| is_shown(name)).map(|(n, v)| (n.clone(), v.clone())).collect()
    };
    let mut unexpected: Vec<Row> =
        got.iter().zip(&used).filter(|(_, used)| !**used).map(|(row, _)| shown(row)).collect();
    let changed = pair_up(&mut missing, &mut unexpected);
    let in_order = places.iter().flatten().is_sorted();
    let out_of_order = ordered && !in_order;
    if missing.is_empty() && unexpected.is_empty() && changed.is_empty() && !out_of_order {
        return Ok(None);
    }
    let port = String::from(port.clone());
    Ok(Some(Difference { port, missing, unexpected, changed, out_of_order }))
}

fn rows(batches: &[RecordBatch]) -> Result<Vec<Row>> {
    let text = contracts::rows::write(batches)?;
    let read = |line: &str| {
        serde_json::from_str(line)
            .map_err(|error| Problem::new(&codes::INTERNAL, "rows cannot be read").detail(error))
    };
    text.lines().map(read).collect()
}

/// A misspelt column would make every row differ: it is said once.
fn known_columns(expected: &[Row], batch: &RecordBatch) -> Result<()> {
    let schema = batch.schema();
    for column in expected.iter().flat_map(Map::keys) {
        if schema.field_with_name(column).is_ok() {
            continue;
        }
        let known = schema.fields().iter().map(|field| field.name().as_str());
        let hint = match stdx::text::nearest(column, known.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("columns are {}", known.collect::<Vec<_>>().join(", ")),
        };
        return Err(Problem::new(
            &codes::COLUMN_UNKNOWN,
            format!("the test expects a column `{column}` that is not there"),
        )
        .arg("column", column)
        .hint(hint));
    }
    Ok(())
}

fn matches(expected: &Row, got: &Row) -> bool {
    expected.iter().all(|(column, value)| equal(value, got.get(column).unwrap_or(&Value::Null)))
}

/// Numbers by value, decimals also as texts; instants however they are written.
fn equal(expected: &Value, got: &Value) -> bool {
    match (expected, got) {
        (Value::Number(_), _) | (_, Value::Number(_)) => match (number(expected), number(got)) {
            (Some(expected), Some(got)) => {
                let size = expected.abs().max(got.abs()).max(1.0);
                expected == got || (expected - got).abs() / size < 1e-12
            }
            _ => false,
        },
        (Value::String(expected), Value::String(got)) => {
            expected == got || same_instant(expected, got) || same_decimal(expected, got)
        }
        (Value::Array(expected), Value::Array(got)) => {
            expected.len() == got.len() && expected.iter().zip(got).all(|(e, g)| equal(e, g))
        }
        (Value::Object(expected), Value::Object(got)) => matches(expected, got),
        (expected, got) => expected == got,
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// `12.5` and `12.50`: decimals come as texts with all of their digits.
fn same_decimal(a: &str, b: &str) -> bool {
    let plain = |text: &str| {
        let (whole, part) = text.split_once('.')?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let signless = whole.strip_prefix('-').unwrap_or(whole);
        (digits(signless) && digits(part))
            .then(|| format!("{whole}.{}", part.trim_end_matches('0')))
    };
    matches!((plain(a), plain(b)), (Some(a), Some(b)) if a == b)
}

fn same_instant(a: &str, b: &str) -> bool {
    let instant = |text: &str| {
        let text = text.replace(' ', "T");
        let zoned = chrono::DateTime::parse_from_rfc3339(&text).map(|i| i.timestamp_micros());
        let plain = |format| {
            chrono::NaiveDateTime::parse_from_str(&text, format)
                .map(|i| i.and_utc().timestamp_micros())
        };
        zoned.or_else(|_| plain("%Y-%m-%dT%H:%M:%S%.f")).or_else(|_| plain("%Y-%m-%dT%H:%M")).ok()
    };
    matches!((instant(a), instant(b)), (Some(a), Some(b)) if a == b)
}

/// Pairs missing rows with unexpected ones that agree in at least half of the columns.
fn pair_up(missing: &mut Vec<Row>, unexpected: &mut Vec<Row>) -> Vec<Changed> {
    let mut changed = Vec::new();
    missing.retain(|expected| {
        let same = |got: &Row| {
            expected
                .iter()
                .filter(|(column, value)| equal(value, got.get(*column).unwrap_or(&Value::Null)))
                .count()
        };
        let best = (0..unexpected.len()).max_by_key(|at| (same(&unexpected[*at]), usize::MAX - at));
        let Some(best) = best.filter(|at| {
            let same = same(&unexpected[*at]);
            same > 0 && same * 2 >= expected.len()
        }) else {
            return true;
        };
        let got = unexpected.remove(best);
        let differ = |(column, value): (&String, &Value)| {
            let got = got.get(column).unwrap_or(&Value::Null);
            (!equal(value, got)).then(|| column.clone())
        };
        let columns = expected.iter().filter_map(differ).collect();
        changed.push(Changed { expected: expected.clone(), got, columns });
        false
    });
    changed
}

/// The difference for people: `-` missing, `+` unexpected, `~` changed.
pub(super) fn text(difference: &Difference, output: Output) -> String {
    let mut text = format!("  rows of `{}`\n", difference.port);
    let mut line = |colour: Colour, line: String| {
        text.push_str(&format!("    {}\n", output.paint(colour, &line)));
    };
    for row in difference.missing.iter().take(ROWS_SHOWN_MAX) {
        line(Colour::Red, format!("- missing     {}", row_text(row)));
    }
    for row in difference.unexpected.iter().take(ROWS_SHOWN_MAX) {
        line(Colour::Green, format!("+ unexpected  {}", row_text(row)));
    }
    for changed in difference.changed.iter().take(ROWS_SHOWN_MAX) {
        let is_same = |(name, _): &(&String, &Value)| !changed.columns.contains(name);
        let same: Row = changed
            .expected
            .iter()
            .filter(is_same)
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        line(Colour::Yellow, format!("~ changed     {}", row_text(&same)));
        for column in &changed.columns {
            let got = changed.got.get(column).unwrap_or(&Value::Null);
            line(Colour::Yellow, format!("      {column}: {} → {got}", changed.expected[column]));
        }
    }
    if difference.out_of_order && difference.missing.is_empty() && difference.unexpected.is_empty()
    {
        line(Colour::Yellow, "the rows are right, their order is not".to_owned());
    }
    let counts = [difference.missing.len(), difference.unexpected.len(), difference.changed.len()];
    if counts.iter().any(|count| *count > ROWS_SHOWN_MAX) {
        let [missing, unexpected, changed] = counts;
        line(
            Colour::Grey,
            format!("in all {missing} missing, {unexpected} unexpected, {changed} changed"),
        );
    }
    text
}

fn row_text(row: &Row) -> String {
    let cells: Vec<String> = row.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    format!("{{{}}}", cells.join(", "))
}
