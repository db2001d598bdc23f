//! Rows of `runs`.

use crate::ids::{UserId, WorkspaceId};
use crate::values::{RunIdText, Stored};
use crate::words::{RunStatus, RunTrigger};
use sea_orm::prelude::*;

/// A run, as the list of runs shows it.
#[derive(Debug, Clone, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "runs")]
pub struct Model {
    /// The run's id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: RunIdText,
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// The pipeline.
    pub pipeline: String,
    /// The version of the pipeline that was the newest.
    pub definition_version: Option<i64>,
    /// Why there is a run.
    pub started_by: RunTrigger,
    /// Who wanted it.
    pub triggered_by: Option<UserId>,
    /// The schedule or trigger.
    pub source_id: Option<String>,
    /// Parameters as they were given.
    pub params: Stored<serde_json::Value>,
    /// µs since the epoch.
    pub interval_start_us: Option<i64>,
    /// µs since the epoch.
    pub interval_end_us: Option<i64>,
    /// Where it is.
    pub status: RunStatus,
    /// The higher, the sooner.
    pub priority: i64,
    /// µs since the epoch.
    pub created_at_us: i64,
    /// µs since the epoch, of the first attempt.
    pub started_at_us: Option<i64>,
    /// µs since the epoch.
    pub ended_at_us: Option<i64>,
    /// Hash of its plan.
    pub plan: String,
    /// Who wanted it, in the scheduler's words.
    pub origin: Stored<serde_json::Value>,
    /// The scheduler's word for where it is.
    pub state: Stored<serde_json::Value>,
    /// µs since the epoch: it has to end by then.
    pub deadline_us: Option<i64>,
    /// µs since the epoch: people are told then that it is late.
    pub late_us: Option<i64>,
    /// The run and task that started it.
    pub parent: Option<String>,
    /// Rows read by sources.
    pub rows_in: i64,
    /// Rows written by sinks.
    pub rows_out: i64,
    /// Rows rejected.
    pub rows_rejected: i64,
    /// Why it failed.
    pub problem: Option<Stored<model::problem::StoredProblem>>,
    /// A second request with the same key means the same run.
    pub idempotency_key: Option<String>,
}

without_relations!();
