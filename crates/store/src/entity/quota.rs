//! Rows of `quotas`.

use crate::ids::WorkspaceId;
use crate::words::Quota;
use sea_orm::prelude::*;

/// How much of something a workspace may have.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "quotas")]
pub struct Model {
    /// The workspace.
    #[sea_orm(primary_key, auto_increment = false)]
    pub workspace_id: WorkspaceId,
    /// Of what.
    #[sea_orm(primary_key, auto_increment = false)]
    pub quota: Quota,
    /// How much.
    pub maximum: i64,
}

without_relations!();
