//! Rows of `lineage_edges`.

use crate::ids::WorkspaceId;
use sea_orm::prelude::*;

/// That a column comes from another one.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "lineage_edges")]
pub struct Model {
    /// The workspace.
    #[sea_orm(primary_key, auto_increment = false)]
    pub workspace_id: WorkspaceId,
    /// The pipeline that makes it so.
    #[sea_orm(primary_key, auto_increment = false)]
    pub pipeline: String,
    /// `zone.table`, or the connection's words for it.
    #[sea_orm(primary_key, auto_increment = false)]
    pub source_table: String,
    /// Empty when it is the table as a whole.
    #[sea_orm(primary_key, auto_increment = false)]
    pub source_column: String,
    /// `zone.table`, or the connection's words for it.
    #[sea_orm(primary_key, auto_increment = false)]
    pub target_table: String,
    /// Empty when it is the table as a whole.
    #[sea_orm(primary_key, auto_increment = false)]
    pub target_column: String,
    /// The node that makes it so.
    pub node: String,
}

without_relations!();
