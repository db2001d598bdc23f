//! Rows of `module_templates`.

use crate::ids::{TemplateId, UserId, WorkspaceId};
use crate::values::Stored;
use sea_orm::prelude::*;

/// A module with settings filled in, ready to be put on the canvas.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "module_templates")]
pub struct Model {
    /// The template's id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: TemplateId,
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// What people call it; unique in the workspace.
    pub name: String,
    /// The module.
    pub module: String,
    /// Where it stands in the palette.
    pub category: String,
    /// One sentence.
    pub summary: String,
    /// The settings.
    pub settings: Stored<serde_json::Value>,
    /// Name of a picture.
    pub icon: Option<String>,
    /// Such as `#1b7f5c`.
    pub color: Option<String>,
    /// Who made it.
    pub created_by: Option<UserId>,
    /// µs since the epoch.
    pub created_at_us: i64,
    /// µs since the epoch.
    pub updated_at_us: i64,
    /// How often it was put on a canvas.
    pub uses: i64,
}

without_relations!();
