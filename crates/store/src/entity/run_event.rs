//! Rows of `run_events`.

use crate::ids::WorkspaceId;
use crate::values::RunIdText;
use sea_orm::prelude::*;

/// Something that has happened to a run.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "run_events")]
pub struct Model {
    /// The run.
    #[sea_orm(primary_key, auto_increment = false)]
    pub run_id: RunIdText,
    /// From 1 in the run.
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// What it was, as JSON.
    pub event: String,
}

without_relations!();
