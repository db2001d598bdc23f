//! Rows of `wishes`.

use crate::values::Stored;
use sea_orm::prelude::*;

/// Something that a server which does not lead asks of the one that does.
#[derive(Debug, Clone, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "wishes")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// What is wished.
    pub body: Stored<serde_json::Value>,
    /// µs since the epoch.
    pub created_at_us: i64,
}

without_relations!();
