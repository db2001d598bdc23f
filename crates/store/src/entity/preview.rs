//! Rows of `previews`.

use crate::ids::WorkspaceId;
use crate::values::Stored;
use sea_orm::prelude::*;

/// A few rows of a node, kept for 24 hours.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "previews")]
pub struct Model {
    /// The workspace.
    #[sea_orm(primary_key, auto_increment = false)]
    pub workspace_id: WorkspaceId,
    /// The pipeline.
    #[sea_orm(primary_key, auto_increment = false)]
    pub pipeline: String,
    /// The node.
    #[sea_orm(primary_key, auto_increment = false)]
    pub node: String,
    /// Columns and rows.
    pub data: Stored<serde_json::Value>,
    /// Rows kept.
    pub row_count: i64,
    /// Columns.
    pub column_count: i64,
    /// µs since the epoch.
    pub created_at_us: i64,
}

without_relations!();
