//! Rows of `attempts`.

use crate::ids::WorkspaceId;
use crate::values::{RunIdText, Stored};
use crate::words::AttemptEnd;
use sea_orm::prelude::*;

/// That a worker has tried to do a task.
#[derive(Debug, Clone, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "attempts")]
pub struct Model {
    /// The run.
    #[sea_orm(primary_key, auto_increment = false)]
    pub run_id: RunIdText,
    /// The task's place in the plan.
    #[sea_orm(primary_key, auto_increment = false)]
    pub task: i64,
    /// From 1.
    #[sea_orm(primary_key, auto_increment = false)]
    pub number: i64,
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// Who tried.
    pub worker: String,
    /// µs since the epoch.
    pub started_at_us: i64,
    /// µs since the epoch; none while it goes on.
    pub ended_at_us: Option<i64>,
    /// What became of it.
    pub end: Option<AttemptEnd>,
    /// Why it failed.
    pub problem: Option<Stored<model::problem::StoredProblem>>,
}

without_relations!();
