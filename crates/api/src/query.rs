//! Queries that people ask: started, looked at, read in pages, stopped.

use crate::problem::ProblemBody;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

/// A column of rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, as documents write it: `integer`, `decimal(12,2)`, `list<string>` …
    #[serde(rename = "type")]
    pub data_type: String,
    /// Whether values may be missing.
    pub nullable: bool,
    /// Its header as it was received, where that differs from the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
}

/// Asks one SELECT over the tables of the workspace.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartQuery {
    /// One SELECT. Tables are `zone.table`, versions `zone.table@v12`.
    pub sql: String,
    /// For so long the answer waits for the query to end, in ms: 0 unless given, no more than
    /// 30 000. A query that takes longer goes on.
    #[serde(default)]
    pub wait_ms: u64,
}

/// Where a query is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum QueryStatus {
    /// It waits for its turn, or is at work.
    Running,
    /// Its rows can be read.
    Succeeded,
    /// A problem ended it.
    Failed,
    /// A person stopped it.
    Cancelled,
}

/// Which limit has cut a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// There are more rows than a result may have.
    Rows,
    /// The rows take more bytes than a result may have.
    Bytes,
}

/// What a query has given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QueryResult {
    /// The columns.
    pub columns: Vec<Column>,
    /// Rows kept.
    pub rows: u64,
    /// Bytes they take where they are kept.
    pub bytes: u64,
    /// Set when there are more rows than were kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
}

/// A query. It is known to whoever asked it, and to nobody else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Query {
    /// Id of the query.
    pub id: String,
    /// What was asked.
    pub sql: String,
    /// Where it is.
    pub status: QueryStatus,
    /// When it was asked, µs since 1970, UTC.
    pub created_at_us: i64,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at_us: Option<i64>,
    /// Until when its rows are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_until_us: Option<i64>,
    /// What it has given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<QueryResult>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemBody>,
}

/// Queries of one's own, the newest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Queries {
    /// The queries.
    pub items: Vec<Query>,
}

/// A query by id.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct QueryPath {
    /// Id of the query.
    pub query: String,
}

/// The form of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RowFormat {
    /// A page of JSON objects: `application/json`.
    Json,
    /// One JSON object per line: `application/x-ndjson`.
    Ndjson,
    /// Comma-separated values with a header: `text/csv`.
    Csv,
    /// An Arrow IPC stream: `application/vnd.apache.arrow.stream`.
    Arrow,
    /// A Parquet file: `application/vnd.apache.parquet`.
    Parquet,
}

impl RowFormat {
    /// All forms, the one that is taken when nothing is asked for first.
    pub const ALL: [Self; 5] = [Self::Json, Self::Ndjson, Self::Csv, Self::Arrow, Self::Parquet];

    /// What the form is called in `Accept` and `Content-Type`.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv",
            Self::Arrow => "application/vnd.apache.arrow.stream",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }
}

/// Which rows of a result, and in which form.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RowsQuery {
    /// How many rows at most. A page of JSON has 1000 unless given, and no more than 10 000; the
    /// other forms have all rows unless given.
    pub limit: Option<u64>,
    /// What the page before gave as `next`.
    pub after: Option<String>,
    /// The form, where a header `Accept` cannot be sent.
    #[param(inline)]
    pub format: Option<RowFormat>,
}

/// Rows as JSON. Decimals, dates and times are texts, so that nothing of them is lost.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RowPage {
    /// The columns.
    pub columns: Vec<Column>,
    /// The rows: values by column.
    #[schema(value_type = Vec<Object>)]
    pub items: Vec<Map<String, Value>>,
    /// Where the next page begins; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Set when there are more rows than were kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
}

/// Asks for few rows, and waits for them.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AskRows {
    /// One SELECT.
    pub sql: String,
    /// How many rows at most: 100 unless given, no more than 1000.
    #[serde(default)]
    pub limit: Option<u64>,
}
