//! Rows of `triggers`.

use crate::ids::{TokenHash, TriggerId, WorkspaceId};
use crate::values::Stored;
use crate::words::TriggerKind;
use sea_orm::prelude::*;

/// What starts a pipeline from outside.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "triggers")]
pub struct Model {
    /// The trigger's id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: TriggerId,
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// What people call it; unique in the workspace.
    pub name: String,
    /// What kind of trigger it is.
    pub kind: TriggerKind,
    /// The pipeline.
    pub pipeline: String,
    /// What it waits for.
    pub settings: Stored<serde_json::Value>,
    /// Hash of what a request must carry.
    pub token: Option<TokenHash>,
    /// Whether it starts anything.
    pub is_active: bool,
    /// µs since the epoch.
    pub created_at_us: i64,
    /// µs since the epoch.
    pub last_fired_at_us: Option<i64>,
}

without_relations!();
