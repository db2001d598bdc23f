//! Rows of `pipelines`.

use crate::ids::WorkspaceId;
use crate::values::Stored;
use sea_orm::prelude::*;

/// A pipeline, and the plan that new runs get.
#[derive(Debug, Clone, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "pipelines")]
pub struct Model {
    /// The workspace.
    #[sea_orm(primary_key, auto_increment = false)]
    pub workspace_id: WorkspaceId,
    /// Its name.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// Hash of its plan.
    pub plan: String,
    /// What it is for.
    pub description: String,
    /// Words it is selected by.
    pub tags: Stored<Vec<String>>,
    /// Whether runs by schedules and triggers are held back.
    pub is_paused: bool,
    /// µs since the epoch.
    pub updated_at_us: i64,
}

without_relations!();
