//! Rows of `installation`.

use crate::ids::UserId;
use sea_orm::prelude::*;

/// That the installation has an owner.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "installation")]
pub struct Model {
    /// Always the same, so that there is one row at most.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// The first owner.
    pub owner_id: UserId,
    /// µs since the epoch.
    pub set_up_at_us: i64,
}

without_relations!();
