//! Rows of `alert_channels`.

use crate::ids::{AlertChannelId, UserId, WorkspaceId};
use crate::values::Stored;
use model::problem::StoredProblem;
use sea_orm::prelude::*;

/// A way in which people are told of something.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "alert_channels")]
pub struct Model {
    /// The channel's id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: AlertChannelId,
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// What people call it; unique in the workspace.
    pub name: String,
    /// What may be shown of it.
    pub settings: Stored<serde_json::Value>,
    /// Passwords and addresses that are secret, sealed.
    pub sealed: String,
    /// Who made it.
    pub created_by: Option<UserId>,
    /// µs since the epoch.
    pub created_at_us: i64,
    /// µs since the epoch.
    pub updated_at_us: i64,
    /// µs since the epoch, of the last message that got through.
    pub sent_at_us: Option<i64>,
    /// Why the last message did not; none when it did.
    pub problem: Option<Stored<StoredProblem>>,
}

without_relations!();
