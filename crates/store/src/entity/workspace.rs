//! Rows of `workspaces`.

use crate::ids::WorkspaceId;
use crate::values::Stored;
use sea_orm::prelude::*;

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "workspaces")]
pub struct Model {
    /// The workspace's id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: WorkspaceId,
    /// Its name in addresses and paths; no two workspaces share one.
    pub slug: String,
    /// As people write it.
    pub title: String,
    /// What the server keeps for it.
    pub settings: Stored<serde_json::Value>,
    /// µs since the epoch.
    pub created_at_us: i64,
}

without_relations!();
