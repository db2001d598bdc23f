//! Tables of the lake.

use super::rows::{first, page};
use crate::ad_hoc;
use crate::commands::profile;
use crate::commands::tables::{columns, shown, statistics as column_statistics, unknown};
use crate::workbench::Workbench;
use api::query::{Column, RowPage};
use api::tables::{Profile, Table, TableDifference, TableStatistics, TableVersion};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use contracts::table::{TableInfo, TableStore};
use futures::{StreamExt, TryStreamExt, stream};
use model::{Problem, Result, TableName, codes};
use server::{DifferenceQuestion, ProfileQuestion, SampleQuestion, TableQuestion};
use std::collections::BTreeSet;

async fn describe(
    workbench: &Workbench,
    table: &TableName,
    version: Option<u64>,
) -> Result<TableInfo> {
    match workbench.lake.describe(table, version).await? {
        Some(info) => Ok(info),
        None => Err(unknown(workbench, table).await),
    }
}

pub(super) async fn list(
    workbench: &Workbench,
    after: Option<String>,
    limit: u64,
) -> Result<Vec<Table>> {
    let mut names = workbench.lake.list().await?;
    names.sort_by_key(ToString::to_string);
    let mut tables = Vec::new();
    for name in names {
        if tables.len() as u64 >= limit {
            break;
        }
        if after.as_ref().is_none_or(|after| name.to_string() > *after) {
            let found = workbench.lake.describe(&name, None).await?;
            tables.extend(found.as_ref().map(shown));
        }
    }
    Ok(tables)
}

pub(super) async fn one(workbench: &Workbench, wanted: &TableQuestion) -> Result<Table> {
    Ok(shown(&describe(workbench, &wanted.table, wanted.version).await?))
}

pub(super) async fn versions(
    workbench: &Workbench,
    table: &TableName,
) -> Result<Vec<TableVersion>> {
    describe(workbench, table, None).await?;
    let commits = workbench.lake.history(table).await?.into_iter().map(|commit| TableVersion {
        version: commit.version,
        time_us: commit.time_us,
        operation: commit.operation,
        run: commit.run,
        metadata: commit.metadata,
    });
    Ok(commits.collect())
}

pub(super) async fn statistics(
    workbench: &Workbench,
    wanted: &TableQuestion,
) -> Result<TableStatistics> {
    let info = describe(workbench, &wanted.table, wanted.version).await?;
    Ok(TableStatistics {
        table: info.name.to_string(),
        version: info.version,
        rows: info.rows,
        columns: column_statistics(workbench, &info).await?,
    })
}

/// A table at a version, as queries name it.
fn relation(table: &TableName, version: u64) -> String {
    format!("at('{table}', version => {version})")
}

pub(super) async fn sample(workbench: &Workbench, wanted: &SampleQuestion) -> Result<RowPage> {
    let info = describe(workbench, &wanted.table, wanted.version).await?;
    let relation = relation(&info.name, info.version);
    let sql = format!("SELECT * FROM {relation} LIMIT {}", wanted.limit);
    let rows = ad_hoc::run(workbench, &sql).await?.into_batches();
    let (batches, _) = first(rows, wanted.limit).await?;
    page(&info.schema, &batches)
}

pub(super) async fn profile(workbench: &Workbench, wanted: ProfileQuestion) -> Result<Profile> {
    let info = describe(workbench, &wanted.table, wanted.version).await?;
    let arguments = profile::Arguments {
        target: wanted.table.to_string(),
        columns: wanted.columns,
        top: usize::try_from(wanted.top).unwrap_or(usize::MAX),
    };
    let relation = relation(&info.name, info.version);
    let found = profile::of(workbench, &relation, &arguments).await?;
    let columns = found.columns.iter().map(serde_json::to_value).collect::<Result<_, _>>();
    let columns = columns.map_err(super::rows::unwritable)?;
    Ok(Profile { target: found.target, rows: found.rows, columns })
}

/// Names of the columns of what has changed.
const CHANGE: &str = "_change";
const COUNT: &str = "_count";

pub(super) async fn difference(
    workbench: &Workbench,
    wanted: &DifferenceQuestion,
) -> Result<TableDifference> {
    let old = describe(workbench, &wanted.table, Some(wanted.from)).await?;
    let new = describe(workbench, &wanted.table, wanted.to).await?;
    let names = |info: &TableInfo| -> BTreeSet<String> {
        info.schema.fields().iter().map(|field| field.name().clone()).collect()
    };
    let (before, after) = (names(&old), names(&new));
    let mut difference = TableDifference {
        table: wanted.table.to_string(),
        from: old.version,
        to: new.version,
        columns_added: after.difference(&before).cloned().collect(),
        columns_removed: before.difference(&after).cloned().collect(),
        rows_added: 0,
        rows_removed: 0,
        rows: RowPage { columns: Vec::new(), items: Vec::new(), next: None, cut: None },
    };
    let common: Vec<&str> = new.schema.fields().iter().map(|field| field.name().as_str()).collect();
    let common: Vec<&str> = common.into_iter().filter(|name| before.contains(*name)).collect();
    if common.is_empty() {
        let fact = format!("versions {} and {} have no column in common", old.version, new.version);
        return Err(Problem::new(&codes::SCHEMA_CHANGED, fact)
            .hint("compare two versions between which only some columns have changed"));
    }
    if same_files(workbench, &old, &new).await? && before == after {
        difference.rows.columns = change_columns(&new, &common);
        return Ok(difference);
    }
    count(workbench, &sql(&old, &new, &common), wanted.limit, &mut difference).await?;
    Ok(difference)
}

fn change_columns(info: &TableInfo, common: &[&str]) -> Vec<Column> {
    let own = |name: &str, data_type: &str| Column {
        name: name.to_owned(),
        data_type: data_type.to_owned(),
        nullable: false,
        header: None,
    };
    let columns = columns(&info.schema).into_iter();
    let columns = columns.filter(|column| common.contains(&column.name.as_str()));
    [own(CHANGE, "string"), own(COUNT, "integer")].into_iter().chain(columns).collect()
}

/// Versions of the same files have the same rows.
async fn same_files(workbench: &Workbench, old: &TableInfo, new: &TableInfo) -> Result<bool> {
    let (old, new) = (
        workbench.lake.files(&old.name, Some(old.version)).await?,
        workbench.lake.files(&new.name, Some(new.version)).await?,
    );
    let paths = |files: &[contracts::table::TableFile]| -> BTreeSet<String> {
        files.iter().map(|file| file.path.clone()).collect()
    };
    Ok(paths(&old) == paths(&new))
}

/// Rows of which one version has more than the other, with how many more.
fn sql(old: &TableInfo, new: &TableInfo, common: &[&str]) -> String {
    let quoted: Vec<String> =
        common.iter().map(|name| format!("\"{}\"", name.replace('"', "\"\""))).collect();
    let columns = quoted.join(", ");
    let (old, new) = (relation(&old.name, old.version), relation(&new.name, new.version));
    format!(
        "SELECT CASE WHEN sum(\"_n\") > 0 THEN 'added' ELSE 'removed' END AS \"{CHANGE}\", \
         abs(sum(\"_n\")) AS \"{COUNT}\", {columns} FROM (\
         SELECT 1 AS \"_n\", {columns} FROM {new} UNION ALL \
         SELECT -1 AS \"_n\", {columns} FROM {old}) GROUP BY {columns} HAVING sum(\"_n\") <> 0"
    )
}

/// Counts all rows that differ, and keeps the first.
async fn count(
    workbench: &Workbench,
    sql: &str,
    limit: u64,
    difference: &mut TableDifference,
) -> Result<()> {
    let rows = ad_hoc::run(workbench, sql).await?.into_batches();
    let schema = std::sync::Arc::clone(&rows.schema);
    let mut batches = stream::iter(rows.partitions).flatten();
    let (mut kept, mut room) = (Vec::new(), usize::try_from(limit).unwrap_or(usize::MAX));
    while let Some(batch) = batches.try_next().await? {
        let (added, removed) = counts(&batch)?;
        difference.rows_added += added;
        difference.rows_removed += removed;
        let taken = batch.num_rows().min(room);
        room -= taken;
        kept.push(batch.slice(0, taken));
    }
    difference.rows = page(&schema, &kept)?;
    Ok(())
}

fn counts(batch: &RecordBatch) -> Result<(u64, u64)> {
    let (Some(changes), Some(counts)) = (batch.column_by_name(CHANGE), batch.column_by_name(COUNT))
    else {
        return Err(super::rows::unwritable("a difference has no counts"));
    };
    let is_text = arrow::datatypes::DataType::Utf8;
    let changes = arrow::compute::cast(changes, &is_text).map_err(super::rows::unwritable)?;
    let (changes, counts) = (changes.as_string::<i32>(), counts.as_primitive::<Int64Type>());
    let (mut added, mut removed) = (0, 0);
    for row in 0..batch.num_rows() {
        let count = if counts.is_null(row) { 0 } else { counts.value(row).unsigned_abs() };
        match changes.value(row) {
            "added" => added += count,
            _ => removed += count,
        }
    }
    Ok((added, removed))
}
