//! Rows of `run_records`.

use crate::ids::WorkspaceId;
use crate::values::RunIdText;
use sea_orm::prelude::*;

/// What a run will read, fixed before the first row.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "run_records")]
pub struct Model {
    /// The run.
    #[sea_orm(primary_key, auto_increment = false)]
    pub run_id: RunIdText,
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// The pipeline.
    pub pipeline: String,
    /// The record as JSON.
    pub record: String,
}

without_relations!();
