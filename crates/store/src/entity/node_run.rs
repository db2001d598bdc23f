//! Rows of `node_runs`.

use crate::ids::WorkspaceId;
use crate::values::{RunIdText, Stored};
use sea_orm::prelude::*;

/// What a node has done in a run.
#[derive(Debug, Clone, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "node_runs")]
pub struct Model {
    /// The run.
    #[sea_orm(primary_key, auto_increment = false)]
    pub run_id: RunIdText,
    /// The node.
    #[sea_orm(primary_key, auto_increment = false)]
    pub node: String,
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// Rows read.
    pub rows_in: i64,
    /// Rows given on.
    pub rows_out: i64,
    /// Rows rejected.
    pub rows_rejected: i64,
    /// From the first to the last row.
    pub elapsed_ms: i64,
    /// All that is known.
    pub report: Stored<model::run::NodeReport>,
}

without_relations!();
