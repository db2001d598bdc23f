//! The query engine behind a trait: plans first, so that readers can be counted, then runs.

use crate::batches::Batches;
use crate::sql::Sql;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use model::{DataType, Result, TableName};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts rows while they pass.
#[derive(Debug, Default)]
pub struct RowCounter {
    rows: AtomicU64,
    streams_opened: AtomicU64,
    streams_ended: AtomicU64,
}

impl RowCounter {
    /// A stream that is counted here has been opened.
    pub fn open(&self) {
        self.streams_opened.fetch_add(1, Ordering::Relaxed);
    }

    /// A stream that is counted here was read to its end.
    pub fn end(&self) {
        self.streams_ended.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether every stream was read to its end, so that the count is final.
    pub fn is_final(&self) -> bool {
        let opened = self.streams_opened.load(Ordering::Relaxed);
        opened > 0 && opened == self.streams_ended.load(Ordering::Relaxed)
    }

    /// Adds rows.
    pub fn add(&self, rows: usize) {
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }
}

/// A stream that queries read by name.
#[derive(Debug, Clone)]
pub struct PlanInput {
    /// The name in SQL.
    pub name: String,
    /// Its columns.
    pub schema: SchemaRef,
    /// Whether each partition is sorted by `_file`, `_row`.
    pub in_origin_order: bool,
    /// Bytes to expect at most, where known; decides how joins are done.
    pub bytes: Option<u64>,
}

/// The value of a `$parameter`.
#[derive(Debug, Clone, PartialEq)]
pub struct ParamValue {
    /// Its type.
    pub data_type: DataType,
    /// Its value: a JSON scalar, dates and instants as ISO texts.
    pub value: Value,
}

/// One named query; later steps read it by its name.
#[derive(Debug, Clone)]
pub struct Step {
    /// The name in SQL of later steps.
    pub name: String,
    /// The query, over inputs, earlier steps and lake tables.
    pub sql: Sql,
    /// Counts the rows it gives, when asked for.
    pub counter: Option<Arc<RowCounter>>,
}

/// A tree of named queries, of which the last is wanted.
#[derive(Debug, Clone)]
pub struct PlanRequest {
    /// Streams.
    pub inputs: Vec<PlanInput>,
    /// Queries in order; each is read by later ones. Not empty.
    pub steps: Vec<Step>,
    /// Values of `$name`.
    pub params: BTreeMap<String, ParamValue>,
    /// Versions of lake tables; a table that is not here is read at its newest.
    pub tables: BTreeMap<TableName, u64>,
    /// Columns of lake tables that are only planned with: they need not be there.
    pub schemas: BTreeMap<TableName, SchemaRef>,
    /// Bytes of the lake tables that are read, as they lie on disk.
    pub table_bytes: u64,
    /// Partitions to aim for.
    pub partitions: usize,
}

/// Where a column comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ColumnOrigin {
    /// An input or a lake table.
    pub relation: String,
    /// Its column.
    pub column: String,
}

/// For each output column, what it is made from.
pub type Lineage = Vec<(String, Vec<ColumnOrigin>)>;

/// A planned query.
#[async_trait]
pub trait Planned: Send {
    /// Columns of the result, in canonical types.
    fn schema(&self) -> SchemaRef;

    /// How often each input is read, in the order of the request. 0 means not at all.
    fn reads(&self) -> Vec<usize>;

    /// Whether each partition of the result is sorted by `_file`, `_row`.
    async fn in_origin_order(&self) -> Result<bool>;

    /// Column lineage, from the plan.
    fn lineage(&self) -> Lineage;

    /// The plan for people: logical, then physical where there is one.
    async fn explain(&self) -> Result<String>;

    /// Starts it: for each input as many readers as [`Planned::reads`] says.
    async fn execute(self: Box<Self>, inputs: Vec<Vec<Batches>>) -> Result<Batches>;
}

/// Plans and runs queries.
#[async_trait]
pub trait QueryEngine: Send + Sync {
    /// Plans a tree of queries: names, types and permissions are checked here.
    async fn plan(&self, request: PlanRequest) -> Result<Box<dyn Planned>>;
}
