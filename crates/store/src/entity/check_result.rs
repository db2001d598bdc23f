//! Rows of `check_results`.

use crate::ids::WorkspaceId;
use crate::values::RunIdText;
use sea_orm::prelude::*;

/// What a check has found in a run.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "check_results")]
pub struct Model {
    /// The run.
    #[sea_orm(primary_key, auto_increment = false)]
    pub run_id: RunIdText,
    /// The node.
    #[sea_orm(primary_key, auto_increment = false)]
    pub node: String,
    /// The check and the reason.
    #[sea_orm(primary_key, auto_increment = false)]
    pub check_name: String,
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// Rows that offend.
    pub offending: i64,
    /// µs since the epoch.
    pub at_us: i64,
}

without_relations!();
