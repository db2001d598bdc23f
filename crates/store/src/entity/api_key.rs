//! Rows of `api_keys`.

use crate::ids::{ApiKeyId, TokenHash, UserId, WorkspaceId};
use crate::values::{RoleText, Stored};
use sea_orm::prelude::*;

/// A key for programs.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "api_keys")]
pub struct Model {
    /// The key's id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ApiKeyId,
    /// The workspace it opens.
    pub workspace_id: WorkspaceId,
    /// The person in whose name it acts.
    pub user_id: UserId,
    /// What the person calls it.
    pub name: String,
    /// Its first characters, by which people know it again.
    pub prefix: String,
    /// Hash of the key.
    pub hash: TokenHash,
    /// It may do no more than this role, and no more than its person.
    pub role: RoleText,
    /// What it may be used for; empty means everything.
    pub scopes: Stored<Vec<String>>,
    /// µs since the epoch.
    pub created_at_us: i64,
    /// µs since the epoch.
    pub expires_at_us: Option<i64>,
    /// µs since the epoch, to the minute.
    pub last_used_at_us: Option<i64>,
    /// µs since the epoch.
    pub revoked_at_us: Option<i64>,
}

without_relations!();
