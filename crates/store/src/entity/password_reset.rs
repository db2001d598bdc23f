//! Rows of `password_resets`.

use crate::ids::{TokenHash, UserId};
use sea_orm::prelude::*;

/// The right to set a forgotten password anew.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "password_resets")]
pub struct Model {
    /// Hash of the token.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: TokenHash,
    /// The person.
    pub user_id: UserId,
    /// µs since the epoch.
    pub created_at_us: i64,
    /// µs since the epoch.
    pub expires_at_us: i64,
    /// µs since the epoch; none as long as it can be used.
    pub used_at_us: Option<i64>,
}

without_relations!();
