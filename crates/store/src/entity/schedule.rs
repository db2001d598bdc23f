//! Rows of `schedules`.

use crate::ids::{ScheduleId, UserId, WorkspaceId};
use crate::values::Stored;
use crate::words::ScheduleStatus;
use sea_orm::prelude::*;

/// When a pipeline is started by itself.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "schedules")]
pub struct Model {
    /// The schedule's id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ScheduleId,
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// What people call it; unique in the workspace.
    pub name: String,
    /// The pipeline.
    pub pipeline: String,
    /// Whether it is followed.
    pub status: ScheduleStatus,
    /// The scheduler's words for when.
    pub rule: Stored<serde_json::Value>,
    /// The time zone, such as `Europe/Paris`.
    pub zone: String,
    /// What the runs are given.
    pub params: Stored<serde_json::Value>,
    /// µs since the epoch: not before.
    pub start_at_us: Option<i64>,
    /// µs since the epoch: not after.
    pub end_at_us: Option<i64>,
    /// µs since the epoch: fires up to this instant are done with.
    pub fired_us: i64,
    /// Who made it.
    pub created_by: Option<UserId>,
    /// µs since the epoch.
    pub created_at_us: i64,
    /// µs since the epoch.
    pub updated_at_us: i64,
}

without_relations!();
