//! Rows of `plans`.

use crate::ids::WorkspaceId;
use crate::values::Stored;
use sea_orm::prelude::*;

/// What runs of a pipeline consist of; never changed.
#[derive(Debug, Clone, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "plans")]
pub struct Model {
    /// The workspace.
    #[sea_orm(primary_key, auto_increment = false)]
    pub workspace_id: WorkspaceId,
    /// Its hash.
    #[sea_orm(primary_key, auto_increment = false)]
    pub hash: String,
    /// The plan.
    pub plan: Stored<model::plan::Plan>,
}

without_relations!();
