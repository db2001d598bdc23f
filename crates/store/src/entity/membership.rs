//! Rows of `memberships`.

use crate::ids::{UserId, WorkspaceId};
use crate::values::RoleText;
use sea_orm::prelude::*;

/// That a person belongs to a workspace.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "memberships")]
pub struct Model {
    /// The workspace.
    #[sea_orm(primary_key, auto_increment = false)]
    pub workspace_id: WorkspaceId,
    /// The person.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: UserId,
    /// What the person may do there.
    pub role: RoleText,
    /// µs since the epoch.
    pub joined_at_us: i64,
}

without_relations!();
