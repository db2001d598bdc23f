//! Rows of `invitations`.

use crate::ids::{InvitationId, TokenHash, UserId, WorkspaceId};
use crate::values::RoleText;
use sea_orm::prelude::*;

/// The right to join a workspace.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "invitations")]
pub struct Model {
    /// The invitation's id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: InvitationId,
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// Hash of the token.
    pub hash: TokenHash,
    /// Who is invited, in lower case.
    pub email: String,
    /// What the guest will be.
    pub role: RoleText,
    /// Who invites.
    pub invited_by: Option<UserId>,
    /// µs since the epoch.
    pub created_at_us: i64,
    /// µs since the epoch.
    pub expires_at_us: i64,
    /// µs since the epoch; none as long as it can be used.
    pub used_at_us: Option<i64>,
}

without_relations!();
