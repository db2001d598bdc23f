//! `affluent tables`: what is in the lake.

use super::{Outcome, Session};
use crate::output::{ExitCode, Output, bytes, table};
use crate::workbench::Workbench;
use api::tables::ColumnStatistics;
use arrow::datatypes::{FieldRef, SchemaRef};
use chrono::DateTime;
use clap::Args;
use contracts::arrow_types::from_field;
use contracts::table::{TableInfo, TableStore};
use model::{Problem, Result, TableName, codes};
use stdx::text::group_digits;

const EXAMPLES: &str = "\
Examples:\n\
\x20 affluent tables\n\
\x20 affluent tables silver.orders --schema\n\
\x20 affluent tables silver.orders --history";

/// Arguments of `affluent tables`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Table, as `zone.table`; all are listed when none is named
    pub table: Option<String>,
    /// Commits, newest first
    #[arg(long)]
    pub history: bool,
    /// Data files
    #[arg(long)]
    pub files: bool,
    /// Columns and constraints
    #[arg(long)]
    pub schema: bool,
    /// Smallest, largest and missing values, from the log
    #[arg(long)]
    pub stats: bool,
}

pub(crate) async fn execute(session: &Session, arguments: Arguments) -> Outcome {
    let workbench = session.open()?;
    let result = match &arguments.table {
        None => list(session.output, &workbench).await,
        Some(name) => show(session.output, &workbench, name, &arguments).await,
    };
    result.map(|()| ExitCode::Done).map_err(|problem| vec![problem])
}

async fn list(output: Output, workbench: &Workbench) -> Result<()> {
    let mut rows = Vec::new();
    for name in workbench.lake.list().await? {
        let Some(info) = workbench.lake.describe(&name, None).await? else { continue };
        output.value(&shown(&info));
        rows.push(vec![
            name.to_string(),
            info.rows.map(group_digits).unwrap_or_default(),
            bytes(info.bytes),
            info.files.to_string(),
            info.version.to_string(),
        ]);
    }
    if rows.is_empty() {
        output.line("there are no tables yet: `affluent run` makes them");
    } else {
        output.raw_for_people(&table(&["table", "rows", "size", "files", "version"], &rows));
    }
    Ok(())
}

/// A table as the interface shows it.
pub(crate) fn shown(info: &TableInfo) -> api::tables::Table {
    api::tables::Table {
        table: info.name.to_string(),
        version: info.version,
        rows: info.rows,
        bytes: info.bytes,
        files: info.files,
        partition_by: info.partition_by.clone(),
        constraints: info.constraints.clone(),
        columns: columns(&info.schema),
    }
}

/// Columns as the interface shows them.
pub(crate) fn columns(schema: &SchemaRef) -> Vec<api::query::Column> {
    let column = |field: &FieldRef| {
        let header = field.metadata().get(contracts::arrow_types::HEADER_KEY);
        api::query::Column {
            name: field.name().clone(),
            data_type: from_field(field).to_string(),
            nullable: field.is_nullable(),
            header: header.filter(|header| *header != field.name()).cloned(),
        }
    };
    schema.fields().iter().map(column).collect()
}

async fn show(
    output: Output,
    workbench: &Workbench,
    text: &str,
    arguments: &Arguments,
) -> Result<()> {
    let name = TableName::parse(text)?;
    let Some(info) = workbench.lake.describe(&name, None).await? else {
        return Err(unknown(workbench, &name).await);
    };
    if arguments.history {
        return history(output, workbench, &name).await;
    }
    if arguments.files {
        return files(output, workbench, &name).await;
    }
    if arguments.stats {
        return stats(output, workbench, &info).await;
    }
    output.value(&shown(&info));
    let rows = info.rows.map_or_else(|| "?".to_owned(), group_digits);
    output.line(format!(
        "{name}  version {}  {rows} rows  {} in {} files",
        info.version,
        bytes(info.bytes),
        info.files
    ));
    let columns: Vec<Vec<String>> = columns(&info.schema)
        .into_iter()
        .map(|column| {
            let header = column.header.map(|header| format!("as received: {header}"));
            vec![column.name, column.data_type, header.unwrap_or_default()]
        })
        .collect();
    output.raw_for_people(&table(&["column", "type", ""], &columns));
    if !info.partition_by.is_empty() {
        output.line(format!("partitioned by {}", info.partition_by.join(", ")));
    }
    for (constraint, expression) in &info.constraints {
        output.line(format!("constraint {constraint}: {expression}"));
    }
    Ok(())
}

/// A table that is not there, with the name that was probably meant.
pub(crate) async fn unknown(workbench: &Workbench, name: &TableName) -> Problem {
    let known = workbench.lake.list().await.unwrap_or_default();
    let known: Vec<String> = known.iter().map(ToString::to_string).collect();
    let hint = match stdx::text::nearest(&name.to_string(), known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`affluent tables` lists them".to_owned(),
    };
    Problem::new(&codes::TABLE_NOT_FOUND, format!("there is no table `{name}`"))
        .arg("table", name)
        .hint(hint)
}

async fn history(output: Output, workbench: &Workbench, name: &TableName) -> Result<()> {
    let mut rows = Vec::new();
    for commit in workbench.lake.history(name).await? {
        output.value(&commit);
        let node = commit.metadata.get("affluent.node").and_then(serde_json::Value::as_str);
        rows.push(vec![
            commit.version.to_string(),
            instant(commit.time_us),
            commit.operation,
            node.unwrap_or_default().to_owned(),
            commit.run.unwrap_or_default(),
        ]);
    }
    output.raw_for_people(&table(&["version", "time (UTC)", "operation", "node", "run"], &rows));
    Ok(())
}

async fn files(output: Output, workbench: &Workbench, name: &TableName) -> Result<()> {
    let mut rows = Vec::new();
    for file in workbench.lake.files(name, None).await? {
        output.value(&file);
        rows.push(vec![
            file.path,
            bytes(file.bytes),
            file.rows.map(group_digits).unwrap_or_default(),
        ]);
    }
    output.raw_for_people(&table(&["file", "size", "rows"], &rows));
    Ok(())
}

async fn stats(output: Output, workbench: &Workbench, info: &TableInfo) -> Result<()> {
    let mut rows = Vec::new();
    for column in statistics(workbench, info).await? {
        output.value(&column);
        rows.push(vec![
            column.column,
            plain(column.min.as_ref()),
            plain(column.max.as_ref()),
            column.nulls.map(group_digits).unwrap_or_default(),
        ]);
    }
    output.raw_for_people(&table(&["column", "smallest", "largest", "missing"], &rows));
    Ok(())
}

/// What the log of a table knows about its columns.
pub(crate) async fn statistics(
    workbench: &Workbench,
    info: &TableInfo,
) -> Result<Vec<ColumnStatistics>> {
    let files = workbench.lake.files(&info.name, Some(info.version)).await?;
    let of_column = |field: &FieldRef| {
        let of = |kind: &str| {
            let values =
                files.iter().filter_map(|file| file.stats.as_ref()?.get(kind)?.get(field.name()));
            values.cloned().collect::<Vec<_>>()
        };
        ColumnStatistics {
            column: field.name().clone(),
            min: extreme(of("minValues"), std::cmp::Ordering::Less),
            max: extreme(of("maxValues"), std::cmp::Ordering::Greater),
            nulls: Some(of("nullCount").iter().filter_map(serde_json::Value::as_u64).sum()),
        }
    };
    Ok(info.schema.fields().iter().map(of_column).collect())
}

fn extreme(
    values: Vec<serde_json::Value>,
    wanted: std::cmp::Ordering,
) -> Option<serde_json::Value> {
    values.into_iter().reduce(|best, value| {
        let order = match (value.as_f64(), best.as_f64()) {
            (Some(value), Some(best)) => value.total_cmp(&best),
            _ => value.to_string().cmp(&best.to_string()),
        };
        if order == wanted { value } else { best }
    })
}

fn plain(value: Option<&serde_json::Value>) -> String {
    match value {
        None => String::new(),
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// `2026-11-20 10:15:04`.
pub(crate) fn instant(time_us: i64) -> String {
    DateTime::from_timestamp_micros(time_us)
        .map(|time| time.format("%Y-%m-%d %H:%M:%S").to_string())
        .unwrap_or_default()
}
