//! Rows of `trigger_signals`.

use crate::ids::{TriggerId, WorkspaceId};
use sea_orm::prelude::*;

/// What a trigger has seen of a signal.
#[derive(Debug, Clone, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "trigger_signals")]
pub struct Model {
    /// The trigger.
    #[sea_orm(primary_key, auto_increment = false)]
    pub trigger_id: TriggerId,
    /// The signal: `table:silver.orders`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub signal: String,
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// The highest serial number there was.
    pub latest: i64,
    /// The highest one that a run was started for.
    pub used: i64,
    /// µs since the epoch: when the first one since then came.
    pub first_us: i64,
    /// µs since the epoch: when the latest one came.
    pub latest_us: i64,
}

without_relations!();
