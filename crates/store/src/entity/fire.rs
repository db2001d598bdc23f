//! Rows of `fires`.

use crate::ids::{ScheduleId, WorkspaceId};
use crate::values::RunIdText;
use sea_orm::prelude::*;

/// That a schedule has started a run.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "fires")]
pub struct Model {
    /// The schedule.
    #[sea_orm(primary_key, auto_increment = false)]
    pub schedule_id: ScheduleId,
    /// µs since the epoch: when it was to be.
    #[sea_orm(primary_key, auto_increment = false)]
    pub fire_at_us: i64,
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// The run.
    pub run_id: RunIdText,
    /// µs since the epoch: when it was.
    pub fired_at_us: i64,
}

without_relations!();
