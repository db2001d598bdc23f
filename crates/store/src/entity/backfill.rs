//! Rows of `backfills`.

use crate::ids::{BackfillId, UserId, WorkspaceId};
use crate::values::Stored;
use sea_orm::prelude::*;

/// Runs for many intervals.
#[derive(Debug, Clone, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "backfills")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: BackfillId,
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// The pipeline.
    pub pipeline: String,
    /// What it runs, in the scheduler's words.
    pub body: Stored<serde_json::Value>,
    /// How many intervals it has.
    pub length: i64,
    /// How many of them have been started.
    pub started: i64,
    /// Where it is, in the scheduler's word.
    pub status: String,
    /// Who wanted it.
    pub created_by: Option<UserId>,
    /// µs since the epoch.
    pub created_at_us: i64,
}

without_relations!();
