//! Rows of `tasks`.

use crate::ids::WorkspaceId;
use crate::values::{RunIdText, Stored};
use sea_orm::prelude::*;

/// A task of a run: what is scheduled, leased and retried.
#[derive(Debug, Clone, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "tasks")]
pub struct Model {
    /// The run.
    #[sea_orm(primary_key, auto_increment = false)]
    pub run_id: RunIdText,
    /// Its place in the plan.
    #[sea_orm(primary_key, auto_increment = false)]
    pub number: i64,
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// The node's name, or that of all data nodes together.
    pub name: String,
    /// Where it is, in the scheduler's words.
    pub state: Stored<serde_json::Value>,
    /// How often it was leased.
    pub epoch: i64,
    /// Attempts that have begun.
    pub attempts: i64,
    /// Attempts that failed.
    pub failures: i64,
    /// Attempts whose worker was lost.
    pub losses: i64,
    /// Children that shall not begin.
    pub not_taken: Stored<Vec<u32>>,
    /// µs since the epoch: until then it is its worker's.
    pub lease_until_us: Option<i64>,
    /// µs since the epoch, of the first attempt.
    pub started_at_us: Option<i64>,
    /// µs since the epoch.
    pub ended_at_us: Option<i64>,
    /// What it gives to later tasks.
    pub output: Option<Stored<serde_json::Value>>,
    /// What a person has answered.
    pub answer: Option<Stored<serde_json::Value>>,
    /// What a person is asked, as long as it waits for that.
    pub question: Option<Stored<serde_json::Value>>,
    /// Why its last attempt failed.
    pub problem: Option<Stored<model::problem::StoredProblem>>,
}

without_relations!();
