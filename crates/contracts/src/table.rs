//! Lake tables behind a trait.

use crate::batches::Batches;
use crate::sink::Prepared;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use model::run::{CommitKey, Committed};
use model::{Result, TableName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// How rows come into a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteMode {
    /// Added to what is there.
    Append,
    /// In place of everything that is there.
    Overwrite,
    /// In place of the partitions they belong to.
    ReplacePartitions,
    /// Rows with a known key replace the old row, others are added.
    Merge {
        /// Key columns.
        key: Vec<String>,
        /// A boolean column: true deletes the row with this key. It is not stored.
        delete_flag: Option<String>,
    },
    /// Like merge, but the old row stays with the end of its validity.
    Scd2 {
        /// Key columns.
        key: Vec<String>,
        /// Columns whose change makes a new version; empty means all but the key and the origin.
        compare: Vec<String>,
        /// The instant from which the new version holds, µs since the epoch, UTC.
        valid_from_us: i64,
    },
}

/// What happens when incoming columns differ from the table's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SchemaPolicy {
    /// New columns are added, missing ones are null.
    #[default]
    Evolve,
    /// Any difference is a problem.
    Freeze,
    /// New columns are dropped, missing ones are null.
    Discard,
}

/// Column of a history: from when a version holds.
pub const VALID_FROM: &str = "valid_from";
/// Column of a history: until when it holds; null while it does.
pub const VALID_TO: &str = "valid_to";
/// Column of a history: whether it holds now.
pub const IS_CURRENT: &str = "is_current";

/// Column of rows from which a history is rebuilt: the instant since when they hold. It is not
/// stored under this name.
pub const SINCE: &str = "_since";

/// One write to one table.
#[derive(Debug, Clone)]
pub struct TableWrite {
    /// The table; created when it is not there.
    pub table: TableName,
    /// How rows come in.
    pub mode: WriteMode,
    /// Columns that split the table into folders.
    pub partition_by: Vec<String>,
    /// Columns that rows are sorted by inside of each file.
    pub cluster_by: Vec<String>,
    /// What happens when columns differ.
    pub schema_policy: SchemaPolicy,
    /// Constraints by name: SQL expressions that hold for every row.
    pub constraints: BTreeMap<String, String>,
    /// The rows take the place of everything that is there, as if the table were new; what a
    /// merge refuses is refused.
    pub rebuild: bool,
    /// Earlier appends whose files are taken out in the same commit.
    pub replaces: Vec<CommitKey>,
    /// The commit's key.
    pub key: CommitKey,
    /// Goes into the commit's metadata.
    pub metadata: Map<String, Value>,
}

/// A table at a version.
#[derive(Debug, Clone)]
pub struct TableInfo {
    /// Its name.
    pub name: TableName,
    /// The version.
    pub version: u64,
    /// Columns in canonical types.
    pub schema: SchemaRef,
    /// Columns that split it into folders.
    pub partition_by: Vec<String>,
    /// Rows, when the log knows.
    pub rows: Option<u64>,
    /// Bytes of all data files.
    pub bytes: u64,
    /// Number of data files.
    pub files: u64,
    /// Constraints by name.
    pub constraints: BTreeMap<String, String>,
}

/// One commit in a table's history.
#[derive(Debug, Clone, Serialize)]
pub struct TableCommit {
    /// The version it made.
    pub version: u64,
    /// When, µs since the epoch.
    pub time_us: i64,
    /// What: `WRITE`, `MERGE`, `OPTIMIZE` …
    pub operation: String,
    /// The run that made it, if a run did.
    pub run: Option<String>,
    /// Everything else that was noted with it.
    pub metadata: Map<String, Value>,
}

/// One data file of a table.
#[derive(Debug, Clone, Serialize)]
pub struct TableFile {
    /// Path below the table's folder.
    pub path: String,
    /// Bytes.
    pub bytes: u64,
    /// Rows, when the log knows.
    pub rows: Option<u64>,
    /// Partition values.
    pub partition: BTreeMap<String, Option<String>>,
    /// Statistics as the log has them: `minValues`, `maxValues`, `nullCount`.
    pub stats: Option<Value>,
}

/// What maintenance is to do.
#[derive(Debug, Clone, Copy, Default)]
pub struct Maintenance {
    /// Put small files together.
    pub optimize: bool,
    /// Delete files that no retained version needs, and rubbish of dead runs.
    pub vacuum: bool,
    /// How long files of old versions are kept, in hours.
    pub retention_hours: u64,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// What maintenance did, or would do.
#[derive(Debug, Clone, Default, Serialize)]
pub struct MaintenanceReport {
    /// Files put together.
    pub files_compacted: u64,
    /// Files they became.
    pub files_written: u64,
    /// Files deleted, below the table's folder.
    pub files_deleted: Vec<String>,
}

/// The tables of one workspace.
#[async_trait]
pub trait TableStore: Send + Sync {
    /// All tables.
    async fn list(&self) -> Result<Vec<TableName>>;

    /// The table at a version, or at its newest. None when there is no such table; a missing
    /// version is a problem.
    async fn describe(&self, table: &TableName, version: Option<u64>) -> Result<Option<TableInfo>>;

    /// Rows of the table at a version.
    async fn read(&self, table: &TableName, version: u64, partitions: usize) -> Result<Batches>;

    /// Looks for the commit with this key.
    async fn committed(&self, table: &TableName, key: &CommitKey) -> Result<Option<Committed>>;

    /// Whether the files that a commit has added are all there as it wrote them, so that they
    /// can be taken out again; the problem says what to do when they are not.
    async fn check_replaceable(&self, table: &TableName, key: &CommitKey) -> Result<()>;

    /// Writes rows where nobody sees them.
    async fn prepare(&self, write: TableWrite, input: Batches) -> Result<Box<dyn Prepared>>;

    /// Commits, newest first.
    async fn history(&self, table: &TableName) -> Result<Vec<TableCommit>>;

    /// Data files at a version, or at the newest.
    async fn files(&self, table: &TableName, version: Option<u64>) -> Result<Vec<TableFile>>;

    /// Compacts and cleans up.
    async fn maintain(&self, table: &TableName, what: Maintenance) -> Result<MaintenanceReport>;
}
