//! The run record: what a run will read, fixed before the first row, and what it has done.

use crate::name::{Name, TableName};
use crate::problem::StoredProblem;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::{self, Display};

/// A run's id: a ULID, so that ids sort by time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(String);

impl RunId {
    /// A new id for a run that begins at `now_us` (µs since the epoch).
    pub fn generate(now_us: i64) -> Self {
        let millis = u64::try_from(now_us / 1000).unwrap_or(0);
        let random = ulid::Ulid::new().random();
        Self(ulid::Ulid::from_parts(millis, random).to_string())
    }

    /// Reads an id; nothing else than a ULID passes, so an id can be part of a path.
    pub fn parse(text: &str) -> Option<Self> {
        ulid::Ulid::from_string(text).ok().map(|id| Self(id.to_string()))
    }

    /// The instant at which the run was begun, µs since the epoch, to the millisecond.
    pub fn time_us(&self) -> i64 {
        let id = ulid::Ulid::from_string(&self.0).unwrap_or_default();
        i64::try_from(id.timestamp_ms()).unwrap_or(0) * 1000
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Written and synced before a row is read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunRecord {
    /// The run.
    pub run: RunId,
    /// Its pipeline.
    pub pipeline: Name,
    /// Hash of the pipeline's text and of everything it refers to.
    pub documents: String,
    /// Parameters, defaults filled in.
    pub params: BTreeMap<String, Value>,
    /// The instant that `$run_time` means, µs since the epoch, UTC.
    pub time_us: i64,
    /// What `$interval_start` and `$interval_end` mean, µs since the epoch, UTC; without an
    /// interval both are `time_us`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_us: Option<(i64, i64)>,
    /// What kind of run it is.
    pub kind: RunKind,
    /// What each source node will read, by node.
    pub inputs: BTreeMap<Name, Vec<Input>>,
    /// Versions of the lake tables that queries of this run read.
    #[serde(default)]
    pub tables: BTreeMap<TableName, u64>,
    /// Results of small first queries, by node (`pivot` without values, `fill_missing` …).
    #[serde(default)]
    pub facts: BTreeMap<String, Value>,
    /// Environment, if one was chosen.
    #[serde(default)]
    pub environment: Option<Name>,
    /// Runs whose appended rows the sinks of this one take out in the commit that adds their own,
    /// by sink.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub replaces: BTreeMap<Name, Vec<RunId>>,
}

/// What kind of run it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum RunKind {
    /// Reads what no run has read before.
    Normal,
    /// Reads everything again; each sink is one overwrite.
    FullRefresh,
    /// Repeats nodes of another run on that run's inputs.
    Repeat {
        /// The run whose inputs are read.
        of: RunId,
        /// The nodes whose sinks are written.
        nodes: Vec<Name>,
    },
}

/// One thing that a source node reads in a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Input {
    /// A file as it was when the run was planned.
    File(Arrival),
    /// Rows whose cursor lies between two values.
    Range(Range),
    /// A lake table at a version.
    Table {
        /// The table.
        table: TableName,
        /// The version.
        version: u64,
    },
    /// Something that is always there in full, known by a hash of its definition or content.
    Whole {
        /// Hash of the definition or content.
        sha256: String,
    },
}

/// A received file or page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// Path below the project, or URL, as the source names it; goes to `_file`.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// Time of modification (µs since the epoch) or etag.
    pub version: String,
    /// Hash of the content, when it has been read.
    #[serde(default)]
    pub sha256: Option<String>,
    /// Where the copy lies, below the landing folder, when the bytes were landed.
    #[serde(default)]
    pub landed: Option<String>,
}

/// A range of cursor values; both ends are fixed when the run is planned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// The cursor column.
    pub cursor: String,
    /// Lower end; none means from the beginning. It is the last value that was read before, and
    /// exclusive; with a lag, that value less the lag, and inclusive.
    pub low: Option<Value>,
    /// Inclusive upper end.
    pub high: Value,
}

/// What is added to a run's journal as it goes on, one line each.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum RunEvent {
    /// An attempt began.
    Started {
        /// µs since the epoch.
        time_us: i64,
        /// Process id of the attempt.
        process: u32,
    },
    /// A small first query was answered; its result holds for the whole run.
    Fact {
        /// Node and name, such as `wide/values`.
        key: String,
        /// The answer.
        value: Value,
    },
    /// A sink committed.
    Committed {
        /// The sink node.
        node: Name,
        /// What the target says about the commit.
        commit: Committed,
    },
    /// A table that the run reads and that another stage wrote, at the version it is read.
    Pinned {
        /// The table.
        table: TableName,
        /// The version.
        version: u64,
    },
    /// The attempt ended.
    Finished {
        /// µs since the epoch.
        time_us: i64,
        /// How it ended.
        outcome: Outcome,
        /// What each node did.
        #[serde(default)]
        nodes: BTreeMap<Name, NodeReport>,
        /// Why it failed.
        #[serde(default)]
        problems: Vec<StoredProblem>,
    },
}

/// How an attempt of a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every sink committed.
    Succeeded,
    /// Something went wrong; the run can be resumed.
    Failed,
    /// Given up for good: its inputs are free for another run.
    Abandoned,
}

/// What a commit did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// The target in the user's words: a table name, a path.
    pub target: String,
    /// Version of the target after the commit, where there are versions.
    #[serde(default)]
    pub version: Option<u64>,
    /// Rows written, or for a merge inserted and updated.
    pub rows: u64,
    /// Rows inserted, updated, deleted … where the sink tells them apart.
    #[serde(default)]
    pub detail: BTreeMap<String, u64>,
    /// Whether an earlier attempt had done it already.
    #[serde(default)]
    pub already: bool,
}

/// What a node did in an attempt.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeReport {
    /// Rows read.
    pub rows_in: u64,
    /// Rows given on, all ports but `rejects`.
    pub rows_out: u64,
    /// Rows rejected.
    pub rejects: u64,
    /// Time from first to last row, in ms.
    pub elapsed_ms: u64,
    /// Offending rows per check and reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub findings: BTreeMap<String, u64>,
    /// Why most rows were rejected, the most frequent reason first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<RejectReason>,
}

/// A reason for which rows were rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectReason {
    /// The column, or empty when it is the record as a whole.
    pub column: String,
    /// A lowercase fact, such as `is not an integer`.
    pub reason: String,
    /// How often.
    pub count: u64,
}

/// What makes a commit unique: found at the target, it has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitKey {
    /// The workspace.
    pub workspace: Name,
    /// The pipeline.
    pub pipeline: Name,
    /// The sink node.
    pub node: Name,
    /// The run.
    pub run: RunId,
}

impl Display for CommitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "affluent/{}/{}/{}/{}", self.workspace, self.pipeline, self.node, self.run)
    }
}
