//! Pipelines and runs: starting them, and what they did.

use crate::problem::ProblemBody;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

/// A pipeline.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Pipeline {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Words it is selected by.
    pub tags: Vec<String>,
}

/// The pipelines of a workspace, by name.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Pipelines {
    /// The pipelines.
    pub items: Vec<Pipeline>,
}

/// Starts a run.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StartRun {
    /// Values of parameters.
    #[schema(value_type = Object)]
    pub params: Map<String, Value>,
}

/// A pipeline by name.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct PipelinePath {
    /// Name of the pipeline.
    pub pipeline: String,
}

/// A run by id.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct RunPath {
    /// Id of the run.
    pub run: String,
}

/// Which runs.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RunsQuery {
    /// Only those of this pipeline.
    pub pipeline: Option<String>,
    /// How many items at most: 50 unless given, no more than 500.
    pub limit: Option<u64>,
    /// What the page before gave as `next`.
    pub after: Option<String>,
}

/// Where a log is read from.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LiveQuery {
    /// Number of the last line that one has; 0 unless given. The header `Last-Event-ID` does the
    /// same.
    pub after: Option<u64>,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Accepted; waits for its turn.
    Queued,
    /// At work.
    Running,
    /// All sinks have committed, or there was nothing new to read.
    Succeeded,
    /// A problem stopped it; what is unfinished is resumed by the next run.
    Failed,
    /// A person stopped it; what is unfinished is resumed by the next run.
    Cancelled,
    /// It took its runner down again and again, and is not tried any more.
    Quarantined,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Run {
    /// Id of the run.
    pub id: String,
    /// Its pipeline.
    pub pipeline: String,
    /// How far it is.
    pub status: RunStatus,
    /// Values of parameters.
    #[schema(value_type = Object)]
    pub params: Value,
    /// When it was accepted, µs since 1970, UTC.
    pub created_at_us: i64,
    /// When work began.
    pub started_at_us: Option<i64>,
    /// When it ended.
    pub ended_at_us: Option<i64>,
    /// Rows that all nodes have read.
    pub rows_in: i64,
    /// Rows that all nodes have given on.
    pub rows_out: i64,
    /// Rows that were rejected.
    pub rows_rejected: i64,
    /// Why it failed, or why its last attempt was lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemBody>,
}

/// Runs, the newest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RunPage {
    /// The items of this page.
    pub items: Vec<Run>,
    /// Where the next page begins; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A run with what its nodes have done.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RunDetail {
    /// The run.
    #[serde(flatten)]
    pub run: Run,
    /// What each node has done.
    pub nodes: Vec<NodeRun>,
    /// How often it was tried, and what became of each attempt.
    pub attempts: Vec<Attempt>,
}

/// What a node has done.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NodeRun {
    /// The node.
    pub node: String,
    /// Rows read.
    pub rows_in: u64,
    /// Rows given on.
    pub rows_out: u64,
    /// Rows rejected.
    pub rejects: u64,
    /// Time from the first row to the last, in ms.
    pub elapsed_ms: u64,
}

/// An attempt of a run.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    /// Its number, from 1.
    pub number: i64,
    /// When it began, µs since 1970, UTC.
    pub started_at_us: i64,
    /// When it ended.
    pub ended_at_us: Option<i64>,
    /// Why it ended, if it did not end well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemBody>,
}

/// A line of a run's log.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// The node it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// When it was written, µs since 1970, UTC.
    pub at_us: i64,
    /// `debug`, `info`, `warn` or `error`.
    pub level: String,
    /// What happened.
    pub message: String,
    /// What varies.
    #[schema(value_type = Object)]
    pub fields: Value,
}

/// Lines of a log, the oldest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LogPage {
    /// The items of this page.
    pub items: Vec<LogLine>,
    /// Where the next page begins; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// An event of the live stream of a run.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum LiveEvent {
    /// How far the run is. With a final status it is the last event.
    Run(Run),
    /// A line of its log; its number is the id of the event.
    Log(LogLine),
    /// Rows so far, by node of the stage at work.
    Counts {
        /// The nodes.
        nodes: Vec<NodeCounts>,
    },
}

/// Rows of a node at work.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NodeCounts {
    /// The node.
    pub node: String,
    /// Rows given on.
    pub rows_out: u64,
    /// Rows rejected.
    pub rejects: u64,
}
