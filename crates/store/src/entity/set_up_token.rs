//! Rows of `set_up_tokens`.

use crate::ids::TokenHash;
use sea_orm::prelude::*;

/// The right to set the installation up.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "set_up_tokens")]
pub struct Model {
    /// Hash of the token.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: TokenHash,
    /// µs since the epoch.
    pub created_at_us: i64,
    /// µs since the epoch.
    pub expires_at_us: i64,
    /// µs since the epoch; none as long as it can be used.
    pub used_at_us: Option<i64>,
}

without_relations!();
