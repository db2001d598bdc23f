//! Rows of `pools`.

use crate::ids::WorkspaceId;
use sea_orm::prelude::*;

/// Slots that tasks share.
#[derive(Debug, Clone, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "pools")]
pub struct Model {
    /// The workspace.
    #[sea_orm(primary_key, auto_increment = false)]
    pub workspace_id: WorkspaceId,
    /// Its name.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// How many there are.
    pub slots: i64,
}

without_relations!();
