//! `affluent profile`: what is in the columns of a table or file.

mod queries;
mod report;

use super::relation::relation;
use super::{Outcome, Session};
use crate::ad_hoc;
use crate::output::ExitCode;
use crate::workbench::Workbench;
use clap::Args;
use contracts::arrow_types::from_field;
use model::{DataType, Problem, Result, codes};
use serde::Serialize;
use serde_json::{Map, Value};

/// Columns that one aggregate query looks at: more would need too much memory at once.
const COLUMNS_PER_QUERY: usize = 12;
/// Different values up to which they are counted one by one; beyond, the number is an estimate.
const DISTINCT_EXACT_MAX: u64 = 200_000;

const EXAMPLES: &str = "\
Examples:\n\
\x20 affluent profile silver.orders\n\
\x20 affluent profile silver.orders@v3 --column amount --column status\n\
\x20 affluent profile data/orders.csv --top 20";

/// Arguments of `affluent profile`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// A lake table as `zone.table`, also `zone.table@v3`, or a file: csv, json, parquet, xlsx
    #[arg(value_name = "TABLE|FILE")]
    pub target: String,
    /// Only this column; may be given more than once
    #[arg(long = "column", value_name = "NAME")]
    pub columns: Vec<String>,
    /// Most frequent values and patterns to show
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub top: usize,
}

/// A column and the type its values have.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) data_type: DataType,
}

/// What was found out.
#[derive(Debug, Serialize)]
pub(crate) struct Profile {
    pub(crate) target: String,
    pub(crate) rows: u64,
    /// Rows of the file that could not be read, and are not among the others.
    pub(crate) unread: u64,
    pub(crate) columns: Vec<ColumnProfile>,
}

/// What was found out about a column. What makes no sense for its type is left out.
#[derive(Debug, Default, Serialize)]
pub(crate) struct ColumnProfile {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) data_type: String,
    /// For texts: the type that every value could be read as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) inferred: Option<String>,
    pub(crate) nulls: u64,
    /// Texts of nothing but spaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) blank: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) distinct: Option<u64>,
    /// Whether `distinct` was counted, not estimated.
    pub(crate) distinct_is_exact: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) min: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mean: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deviation: Option<f64>,
    /// Names and values: `p05`, `p25`, `p50`, `p75`, `p95`.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(crate) quantiles: Map<String, Value>,
    /// Shortest, mean and longest text, in characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lengths: Option<Lengths>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) top: Vec<Count>,
    /// Shapes of texts: `A` and `a` stand for letters, `9` for one digit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) patterns: Vec<Count>,
    /// Rows per equal part of the way from min to max.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) histogram: Vec<u64>,
    /// Numbers behind min and max, for the histogram.
    #[serde(skip)]
    pub(crate) range: Option<(f64, f64)>,
}

/// Lengths of texts, in characters.
#[derive(Debug, Serialize)]
pub(crate) struct Lengths {
    pub(crate) min: u64,
    pub(crate) mean: f64,
    pub(crate) max: u64,
}

/// A value and how often it is there.
#[derive(Debug, Serialize)]
pub(crate) struct Count {
    pub(crate) value: String,
    pub(crate) rows: u64,
}

pub(crate) async fn execute(session: &Session, arguments: Arguments) -> Outcome {
    let workbench = session.open_or_bare()?;
    let profile = profile(&workbench, &arguments).await.map_err(|problem| vec![problem])?;
    session.output.value(&profile);
    session.output.raw_for_people(&report::text(&profile, session.output));
    Ok(ExitCode::Done)
}

async fn profile(workbench: &Workbench, arguments: &Arguments) -> Result<Profile> {
    let relation = relation(workbench, &arguments.target).await?;
    of(workbench, &relation, arguments).await
}

/// The profile of what is called `relation` in SQL.
pub(crate) async fn of(
    workbench: &Workbench,
    relation: &str,
    arguments: &Arguments,
) -> Result<Profile> {
    let columns = columns(workbench, relation, &arguments.columns).await?;
    let target = arguments.target.clone();
    let mut profile = Profile { target, rows: 0, unread: 0, columns: Vec::with_capacity(8) };
    for batch in columns.chunks(COLUMNS_PER_QUERY) {
        let (facts, unread) = first_row(workbench, &queries::facts(relation, batch)).await?;
        profile.unread = unread;
        profile.rows = queries::number(&facts, "n_rows").unwrap_or(0.0) as u64;
        let mut profiles: Vec<ColumnProfile> =
            batch.iter().enumerate().map(|(at, c)| queries::read_facts(&facts, at, c)).collect();
        if let Some(sql) = queries::counts(relation, batch, &profiles, arguments.top) {
            let (rows, _) = ad_hoc::run(workbench, &sql).await?.collect().await?;
            queries::read_counts(&rows, &mut profiles)?;
        }
        profile.columns.append(&mut profiles);
    }
    Ok(profile)
}

/// The columns to look at: those that are asked for, or all but the ones that say where a row
/// came from.
async fn columns(workbench: &Workbench, relation: &str, wanted: &[String]) -> Result<Vec<Column>> {
    let prepared = ad_hoc::prepare(workbench, &format!("SELECT * FROM {relation}")).await?;
    let schema = prepared.planned.schema();
    let known: Vec<Column> = schema
        .fields()
        .iter()
        .map(|field| Column { name: field.name().clone(), data_type: from_field(field) })
        .collect();
    if wanted.is_empty() {
        return Ok(known.into_iter().filter(|c| !is_origin(&c.name)).collect());
    }
    let find = |name: &String| {
        known.iter().find(|column| column.name == *name).cloned().ok_or_else(|| {
            let names = known.iter().map(|column| column.name.as_str());
            let hint = match stdx::text::nearest(name, names.clone()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("columns are {}", names.collect::<Vec<_>>().join(", ")),
            };
            Problem::new(&codes::COLUMN_UNKNOWN, format!("there is no column `{name}`"))
                .arg("column", name)
                .hint(hint)
        })
    };
    wanted.iter().map(find).collect()
}

fn is_origin(name: &str) -> bool {
    matches!(name, "_file" | "_row" | "_offset")
}

async fn first_row(workbench: &Workbench, sql: &str) -> Result<(Map<String, Value>, u64)> {
    let (rows, unread) = ad_hoc::run(workbench, sql).await?.collect().await?;
    let text = contracts::rows::write(&rows)?;
    let line = text.lines().next().unwrap_or("{}");
    let row = serde_json::from_str(line)
        .map_err(|error| Problem::new(&codes::INTERNAL, "a profile has no row").detail(error))?;
    Ok((row, unread))
}
