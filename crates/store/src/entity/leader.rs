//! Rows of `leader`.

use sea_orm::prelude::*;

/// Who leads; one row.
#[derive(Debug, Clone, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "leader")]
pub struct Model {
    /// Always 1.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// Who.
    pub holder: String,
    /// How often the lead has changed hands.
    pub epoch: i64,
    /// µs since the epoch, by the clock of the database.
    pub expires_us: i64,
}

without_relations!();
