//! What starts runs by itself: schedules, triggers, back-fills; and pools of slots.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

/// When a schedule fires: one of three.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Times {
    /// A cron pattern of five fields, or six with seconds first, or `@daily` and the like.
    Cron(String),
    /// A length of time, such as `15m`, counted from 1970-01-01 00:00 UTC.
    Every(String),
    /// Once, at this instant, µs since 1970, UTC.
    At(i64),
}

/// What becomes of fires that nobody was there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// Each of them gets its run.
    #[default]
    All,
    /// Only the last one gets its run.
    Last,
    /// None of them does.
    None,
}

/// When a pipeline is started by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleSettings {
    /// What people call it; unique in the workspace.
    pub name: String,
    /// The pipeline.
    pub pipeline: String,
    /// When.
    pub times: Times,
    /// The time zone of a cron pattern, such as `Europe/Paris`; `UTC` unless given.
    #[serde(default)]
    pub zone: Option<String>,
    /// Not before this instant, µs since 1970, UTC.
    #[serde(default)]
    pub start_us: Option<i64>,
    /// Not after this instant.
    #[serde(default)]
    pub end_us: Option<i64>,
    /// Runs start up to so much later, such as `5m`, so that not all begin on the hour.
    #[serde(default)]
    pub jitter: Option<String>,
    /// What becomes of fires that nobody was there for.
    #[serde(default)]
    pub missed: Missed,
    /// Values of parameters of its runs.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub params: Map<String, Value>,
    /// Whether it is held back. What falls into a pause is not made up for.
    #[serde(default)]
    pub paused: bool,
}

/// A schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Schedule {
    /// Its id.
    pub id: String,
    /// What it does.
    #[serde(flatten)]
    pub settings: ScheduleSettings,
    /// The next times, µs since 1970, UTC; empty when it is held back or over.
    pub next_us: Vec<i64>,
    /// Up to this instant its fires are done with.
    pub fired_us: i64,
}

/// The schedules of a workspace, by name.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Schedules {
    /// The schedules.
    pub items: Vec<Schedule>,
}

/// A schedule by id.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct SchedulePath {
    /// Id of the schedule.
    pub schedule: String,
}

/// What a trigger waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Condition {
    /// A new version of a table, such as `silver.orders`.
    Table(String),
    /// A run of a pipeline that has succeeded.
    Pipeline(String),
    /// A new or changed file that matches a pattern, such as `data/orders-*.csv`, in the project.
    File(String),
    /// A request to the trigger's address.
    Webhook,
    /// All of these, each at least once since the last run.
    #[schema(no_recursion)]
    All(Vec<Condition>),
    /// One of these.
    #[schema(no_recursion)]
    Any(Vec<Condition>),
}

/// What starts a pipeline when something has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TriggerSettings {
    /// What people call it; unique in the workspace.
    pub name: String,
    /// The pipeline.
    pub pipeline: String,
    /// What has to happen.
    pub when: Condition,
    /// How long it has to be quiet before, such as `30s`.
    #[serde(default)]
    pub quiet: Option<String>,
    /// Values of parameters of its runs.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub params: Map<String, Value>,
}

/// A trigger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Trigger {
    /// Its id.
    pub id: String,
    /// What it does.
    #[serde(flatten)]
    pub settings: TriggerSettings,
    /// Whether it starts anything.
    pub active: bool,
    /// When it last started a run, µs since 1970, UTC.
    pub last_fired_us: Option<i64>,
    /// The token of its address, in the answer to making it and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// The triggers of a workspace, by name.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Triggers {
    /// The triggers.
    pub items: Vec<Trigger>,
}

/// A trigger by id.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct TriggerPath {
    /// Id of the trigger.
    pub trigger: String,
}

/// Whether a trigger starts anything.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TriggerChange {
    /// Whether it does.
    pub active: bool,
}

/// A trigger's address.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct HookPath {
    /// The token that was given when the trigger was made.
    pub token: String,
}

/// Which intervals are run that have had a run before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reprocess {
    /// None: only those that never had one.
    #[default]
    None,
    /// Those whose last run did not succeed, too.
    Failed,
    /// All of them.
    All,
}

/// Runs a pipeline for each interval of a range.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartBackfill {
    /// How the range is cut into intervals: between two fires.
    pub times: Times,
    /// The time zone of a cron pattern; `UTC` unless given.
    #[serde(default)]
    pub zone: Option<String>,
    /// Intervals that begin at this instant or later, µs since 1970, UTC.
    pub from_us: i64,
    /// Intervals that end at this instant or earlier.
    pub until_us: i64,
    /// Which intervals are run that have had a run before.
    #[serde(default)]
    pub reprocess: Reprocess,
    /// From the present to the past.
    #[serde(default)]
    pub newest_first: bool,
    /// How many of its runs may wait or go on at the same time; 1 unless given.
    #[serde(default)]
    pub at_once: Option<u32>,
    /// Values of parameters of its runs.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub params: Map<String, Value>,
    /// Only say which intervals would be run.
    #[serde(default)]
    pub dry_run: bool,
}

/// A time that a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Interval {
    /// Its begin, µs since 1970, UTC.
    pub from_us: i64,
    /// Its end, exclusive.
    pub until_us: i64,
}

/// A back-fill.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Backfill {
    /// Its id; absent for a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What it runs.
    pub pipeline: String,
    /// Its intervals, in the order in which they are run.
    pub intervals: Vec<Interval>,
    /// How many of them have been started.
    pub started: i64,
    /// `planned`, `running`, `stopping`, `done` or `cancelled`.
    pub status: String,
    /// When it was asked for, µs since 1970, UTC.
    pub created_at_us: i64,
}

/// The latest back-fills of a workspace, the newest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Backfills {
    /// The back-fills.
    pub items: Vec<Backfill>,
}

/// A back-fill by id.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct BackfillPath {
    /// Id of the back-fill.
    pub backfill: String,
}

/// A pool of slots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pool {
    /// Its name, as pipelines and nodes give it.
    pub name: String,
    /// How many slots there are.
    pub slots: u32,
}

/// The pools of a workspace, by name.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Pools {
    /// The pools.
    pub items: Vec<Pool>,
}

/// A pool by name.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct PoolPath {
    /// Name of the pool.
    pub pool: String,
}

/// How large a pool is.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PoolSize {
    /// How many slots there are.
    pub slots: u32,
}
