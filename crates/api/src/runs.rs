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
    /// Whether runs by schedules and triggers are held back.
    pub paused: bool,
    /// When it was last changed, µs since 1970, UTC.
    pub updated_at_us: i64,
}

/// What is to change of a pipeline.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PipelineChange {
    /// Whether runs by schedules and triggers are held back.
    pub paused: bool,
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
    /// The interval that the run is for, both ends, µs since 1970, UTC, the second exclusive.
    pub interval_us: Option<(i64, i64)>,
    /// Higher is sooner, between -100 and 100; added to the pipeline's own.
    pub priority: i32,
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

/// A task of a run.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct TaskPath {
    /// Id of the run.
    pub run: String,
    /// Name of the task: that of its node.
    pub task: String,
}

/// What a person answers to a task that asks.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskAnswer {
    /// Yes or no.
    pub approved: bool,
    /// What was filled in.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub fields: Map<String, Value>,
}

/// Which lines of a log.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LogQuery {
    /// Only lines about this node.
    pub node: Option<String>,
    /// The least level: `debug`, `info`, `warn` or `error`; all unless given.
    pub level: Option<String>,
    /// Only lines whose message has this text in it, in any case.
    pub search: Option<String>,
    /// How many items at most: 50 unless given, no more than 500.
    pub limit: Option<u64>,
    /// What the page before gave as `next`.
    pub after: Option<String>,
}

/// Which runs.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RunsQuery {
    /// Only those of this pipeline.
    pub pipeline: Option<String>,
    /// Only those of these statuses, separated by commas.
    pub status: Option<String>,
    /// Only those accepted at this instant or later, µs since 1970, UTC.
    pub since_us: Option<i64>,
    /// Only those accepted before this instant.
    pub until_us: Option<i64>,
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
    /// What has begun comes to its end; nothing new begins.
    Stopping,
    /// All sinks have committed, or there was nothing new to read.
    Succeeded,
    /// A problem stopped it; what is unfinished is resumed by the next run.
    Failed,
    /// A person stopped it; what is unfinished is resumed by the next run.
    Cancelled,
    /// It took longer than it may.
    TimedOut,
    /// It never began, because of another run of its pipeline.
    Skipped,
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
    /// Why there is a run: `manual`, `api`, `schedule`, `event`, `webhook`, `backfill` or `run`.
    pub started_by: String,
    /// The schedule, trigger, back-fill or run that wanted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The interval it is for, both ends, µs since 1970, UTC, the second exclusive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval_us: Option<(i64, i64)>,
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
    /// Hash of what it consists of; runs of the same version of a pipeline have the same.
    pub plan: String,
    /// Its tasks, parents before their children.
    pub tasks: Vec<TaskRun>,
    /// What each data node has done.
    pub nodes: Vec<NodeRun>,
    /// How often it was tried, and what became of each attempt.
    pub attempts: Vec<Attempt>,
}

/// A task of a run: an action, or all data nodes together.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TaskRun {
    /// The node's name; `(data)` for all data nodes together.
    pub name: String,
    /// Its module; absent for data nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// The tasks that it waits for.
    pub after: Vec<String>,
    /// `waiting`, `ready`, `resting`, `leased`, `asking`, `succeeded`, `failed`, `skipped`,
    /// `cancelled` or `quarantined`.
    pub state: String,
    /// When its first attempt began, µs since 1970, UTC.
    pub started_at_us: Option<i64>,
    /// When it ended.
    pub ended_at_us: Option<i64>,
    /// What it gives to later tasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    pub output: Option<Value>,
    /// What a person is asked, as long as it waits for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    pub question: Option<Value>,
    /// Why its last attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemBody>,
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

/// An attempt at a task.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    /// The task.
    pub task: String,
    /// Its number, from 1.
    pub number: i64,
    /// When it began, µs since 1970, UTC.
    pub started_at_us: i64,
    /// When it ended.
    pub ended_at_us: Option<i64>,
    /// `succeeded`, `failed`, `lost` or `returned`; absent while it goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// Why it ended, if it did not end well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemBody>,
}

/// A line of a run's log.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// Its number, from 1.
    pub seq: i64,
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
    Run(Box<Run>),
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
