//! Lake tables: what there is, what it holds, how it came about.

use crate::query::{Column, RowPage};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

/// A table at one of its versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Table {
    /// `zone.table`.
    pub table: String,
    /// The version.
    pub version: u64,
    /// Rows, where the log knows.
    pub rows: Option<u64>,
    /// Bytes of all data files.
    pub bytes: u64,
    /// Number of data files.
    pub files: u64,
    /// Columns that split it into folders.
    pub partition_by: Vec<String>,
    /// Constraints by name: expressions that hold for every row.
    pub constraints: BTreeMap<String, String>,
    /// The columns.
    pub columns: Vec<Column>,
}

/// Tables by name.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TablePage {
    /// The tables of this page.
    pub items: Vec<Table>,
    /// Where the next page begins; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A commit in the history of a table.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TableVersion {
    /// The version it made.
    pub version: u64,
    /// When, µs since 1970, UTC.
    pub time_us: i64,
    /// What was done: `WRITE`, `MERGE`, `OPTIMIZE` …
    pub operation: String,
    /// The run that did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Everything else that was noted with it.
    #[schema(value_type = Object)]
    pub metadata: Map<String, Value>,
}

/// Versions of a table, the newest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TableVersions {
    /// The versions of this page.
    pub items: Vec<TableVersion>,
    /// Where the next page begins; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What the log of a table knows about a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ColumnStatistics {
    /// The column.
    pub column: String,
    /// Its smallest value.
    #[schema(value_type = Object)]
    pub min: Option<Value>,
    /// Its largest value.
    #[schema(value_type = Object)]
    pub max: Option<Value>,
    /// Rows without a value.
    pub nulls: Option<u64>,
}

/// What the log of a table knows, without reading a row.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TableStatistics {
    /// `zone.table`.
    pub table: String,
    /// The version.
    pub version: u64,
    /// Rows, where the log knows.
    pub rows: Option<u64>,
    /// The columns.
    pub columns: Vec<ColumnStatistics>,
}

/// What differs between two versions of a table.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TableDifference {
    /// `zone.table`.
    pub table: String,
    /// The older version.
    pub from: u64,
    /// The newer version.
    pub to: u64,
    /// Columns that only the newer version has.
    pub columns_added: Vec<String>,
    /// Columns that only the older version has.
    pub columns_removed: Vec<String>,
    /// Rows that only the newer version has. A row that has changed is among these and among those
    /// that were removed.
    pub rows_added: u64,
    /// Rows that only the older version has.
    pub rows_removed: u64,
    /// The first of these rows. Column `_change` is `added` or `removed`; rows are compared by the
    /// columns that both versions have.
    pub rows: RowPage,
}

/// Lineage of a table or column.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Lineage {
    /// Each edge says that one column is made from another.
    pub items: Vec<LineageEdge>,
}

/// A column is made from another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LineageEdge {
    /// What it is made from.
    pub from: LineageColumn,
    /// What is made.
    pub to: LineageColumn,
}

/// A column in a lineage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LineageColumn {
    /// A table, or `pipeline.node` of a source.
    pub relation: String,
    /// The column.
    pub column: String,
}

/// A profile: what is in the columns of a table.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Profile {
    /// The table, as it was named.
    pub target: String,
    /// Rows that were looked at.
    pub rows: u64,
    /// What was found out per column: missing, different, smallest and largest values, quantiles,
    /// lengths, the most frequent values and patterns.
    #[schema(value_type = Vec<Object>)]
    pub columns: Vec<Value>,
}

/// What a check has found in a run.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CheckRecord {
    /// The run.
    pub run: String,
    /// The pipeline.
    pub pipeline: String,
    /// The node.
    pub node: String,
    /// The check and its reason.
    pub check: String,
    /// Rows that offend.
    pub offending: i64,
    /// When, µs since 1970, UTC.
    pub at_us: i64,
}

/// What checks have found, the newest run first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CheckHistory {
    /// What was found.
    pub items: Vec<CheckRecord>,
}

/// A table by name.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct TablePath {
    /// The table, as `zone.table`.
    pub table: String,
}

/// Which version of a table.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct VersionQuery {
    /// The version; the newest unless given.
    pub version: Option<u64>,
}

/// Which rows of a table.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SampleQuery {
    /// The version; the newest unless given.
    pub version: Option<u64>,
    /// How many rows: 100 unless given, no more than 1000.
    pub limit: Option<u64>,
}

/// Which two versions of a table.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DifferenceQuery {
    /// The older version.
    pub from: u64,
    /// The newer version; the newest of all unless given.
    pub to: Option<u64>,
    /// How many rows to show: 100 unless given, no more than 1000.
    pub limit: Option<u64>,
}

/// Which columns to look at.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ProfileQuery {
    /// The version; the newest unless given.
    pub version: Option<u64>,
    /// Only these columns, separated by commas.
    pub columns: Option<String>,
    /// Most frequent values and patterns to give: 5 unless given, no more than 50.
    pub top: Option<u64>,
}

/// Which lineage.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LineageQuery {
    /// Only what this column is made from.
    pub column: Option<String>,
}
