//! Workspaces and who is in them.

use model::Role;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A role, for `openapi.json`.
#[derive(ToSchema)]
#[schema(as = Role, rename_all = "snake_case")]
#[allow(dead_code, reason = "stands for `model::Role`, which does not know OpenAPI")]
pub(crate) enum RoleSchema {
    Viewer,
    Operator,
    Editor,
    Admin,
    Owner,
}

/// A workspace as one of its members sees it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Workspace {
    /// Id of the workspace.
    pub id: String,
    /// Name in paths and SQL.
    pub name: String,
    /// Name to show.
    pub title: String,
    /// One's own role in it.
    #[schema(value_type = RoleSchema)]
    pub role: Role,
}

/// Makes a workspace; whoever asks becomes its owner.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateWorkspace {
    /// Name in paths and SQL: `^[a-z][a-z0-9_]{0,62}$`.
    pub name: String,
    /// Name to show; the name when it is not given.
    #[serde(default)]
    pub title: Option<String>,
}

/// Changes a workspace.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeWorkspace {
    /// Name to show.
    pub title: String,
}
