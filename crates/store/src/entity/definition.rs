//! Rows of `definitions`.

use crate::ids::{DefinitionId, WorkspaceId};
use crate::words::DefinitionKind;
use sea_orm::prelude::*;

/// A document, by name.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "definitions")]
pub struct Model {
    /// The document's id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: DefinitionId,
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// What kind of document it is.
    pub kind: DefinitionKind,
    /// Its name among those of its kind.
    pub name: String,
    /// The number of its newest version.
    pub current_version: i64,
    /// µs since the epoch.
    pub created_at_us: i64,
    /// µs since the epoch. The versions stay.
    pub deleted_at_us: Option<i64>,
}

without_relations!();
