//! Rows of `sessions`.

use crate::ids::{TokenHash, UserId};
use crate::words::SessionKind;
use sea_orm::prelude::*;

/// That a person is signed in.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sessions")]
pub struct Model {
    /// Hash of the token.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: TokenHash,
    /// The person.
    pub user_id: UserId,
    /// How it is carried.
    pub kind: SessionKind,
    /// What the refresh tokens that replaced one another have in common.
    pub family: Option<String>,
    /// µs since the epoch.
    pub created_at_us: i64,
    /// µs since the epoch, to the minute.
    pub seen_at_us: i64,
    /// µs since the epoch.
    pub expires_at_us: i64,
    /// µs since the epoch: when a refresh token was replaced by the next.
    pub used_at_us: Option<i64>,
    /// Where the person signed in from.
    pub ip: Option<String>,
    /// What the browser called itself.
    pub user_agent: Option<String>,
}

without_relations!();
