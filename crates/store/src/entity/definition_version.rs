//! Rows of `definition_versions`.

use crate::ids::{DefinitionId, UserId, WorkspaceId};
use sea_orm::prelude::*;

/// A version of a document, which never changes.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "definition_versions")]
pub struct Model {
    /// The document.
    #[sea_orm(primary_key, auto_increment = false)]
    pub definition_id: DefinitionId,
    /// From 1, without a gap.
    #[sea_orm(primary_key, auto_increment = false)]
    pub number: i64,
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// As its author wrote it.
    pub text: String,
    /// Hash of the text.
    pub sha256: String,
    /// Who saved it.
    pub author_id: Option<UserId>,
    /// What the author says about it.
    pub message: String,
    /// µs since the epoch.
    pub at_us: i64,
}

without_relations!();
