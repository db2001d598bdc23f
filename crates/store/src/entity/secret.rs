//! Rows of `secrets`.

use crate::ids::WorkspaceId;
use sea_orm::prelude::*;

/// An encrypted value that a connection needs.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "secrets")]
pub struct Model {
    /// The workspace.
    #[sea_orm(primary_key, auto_increment = false)]
    pub workspace_id: WorkspaceId,
    /// The connection that needs it.
    #[sea_orm(primary_key, auto_increment = false)]
    pub connection: String,
    /// Its name there.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// What only the holder of the key can read.
    pub ciphertext: Vec<u8>,
    /// Used once with the key.
    pub nonce: Vec<u8>,
    /// Which key it is encrypted with.
    pub key_id: String,
    /// The only host that it may be sent to.
    pub bound_host: Option<String>,
    /// µs since the epoch.
    pub updated_at_us: i64,
}

without_relations!();
