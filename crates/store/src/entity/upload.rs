//! Rows of `uploads`.

use crate::ids::{UploadId, UserId, WorkspaceId};
use sea_orm::prelude::*;

/// A file that somebody has uploaded.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "uploads")]
pub struct Model {
    /// The upload's id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: UploadId,
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// What the file was called.
    pub name: String,
    /// Where it lies, below the workspace's folder.
    pub path: String,
    /// In bytes.
    pub size: i64,
    /// Hash of the content.
    pub sha256: String,
    /// Who uploaded it.
    pub uploaded_by: Option<UserId>,
    /// µs since the epoch.
    pub created_at_us: i64,
}

without_relations!();
