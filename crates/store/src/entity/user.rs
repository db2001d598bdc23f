//! Rows of `users`.

use crate::ids::UserId;
use crate::values::Hidden;
use sea_orm::prelude::*;

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "users")]
pub struct Model {
    /// The person's id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: UserId,
    /// In lower case; no two persons share one.
    pub email: String,
    /// As the person writes it.
    pub name: String,
    /// None as long as no password was set.
    pub(crate) password_hash: Option<Hidden>,
    /// Whether the person may sign in.
    pub is_active: bool,
    /// Whether the person may change what concerns all workspaces.
    pub is_owner_of_installation: bool,
    /// µs since the epoch.
    pub created_at_us: i64,
    /// µs since the epoch.
    pub updated_at_us: i64,
    /// µs since the epoch; none as long as the person has not signed in.
    pub last_login_at_us: Option<i64>,
}

without_relations!();
