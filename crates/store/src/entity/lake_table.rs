//! Rows of `lake_tables`.

use crate::ids::WorkspaceId;
use crate::values::{RunIdText, Stored};
use sea_orm::prelude::*;

/// What is known about a table of the lake.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "lake_tables")]
pub struct Model {
    /// The workspace.
    #[sea_orm(primary_key, auto_increment = false)]
    pub workspace_id: WorkspaceId,
    /// `zone.table`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// Names and types.
    pub columns: Stored<serde_json::Value>,
    /// The newest version.
    pub version: Option<i64>,
    /// Rows of that version.
    pub row_count: Option<i64>,
    /// Bytes of that version.
    pub bytes: Option<i64>,
    /// What people say about it.
    pub description: String,
    /// The pipeline that wrote it last.
    pub pipeline: Option<String>,
    /// The node that wrote it last.
    pub node: Option<String>,
    /// The run that wrote it last.
    pub run_id: Option<RunIdText>,
    /// µs since the epoch.
    pub updated_at_us: i64,
}

without_relations!();
