//! Rows of `failing_pipelines`.

use crate::ids::WorkspaceId;
use sea_orm::prelude::*;

/// A pipeline whose last run failed.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "failing_pipelines")]
pub struct Model {
    /// The workspace.
    #[sea_orm(primary_key, auto_increment = false)]
    pub workspace_id: WorkspaceId,
    /// The pipeline.
    #[sea_orm(primary_key, auto_increment = false)]
    pub pipeline: String,
    /// µs since the epoch, of the first failure.
    pub since_us: i64,
    /// Failures since then.
    pub failures: i64,
}

without_relations!();
