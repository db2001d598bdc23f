//! Rows of `audit_checkpoints`.

use sea_orm::prelude::*;

/// That a segment of a chain of audit entries was whole when it was closed.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_checkpoints")]
pub struct Model {
    /// The chain.
    #[sea_orm(primary_key, auto_increment = false)]
    pub chain: String,
    /// From 1 in its chain, without a gap.
    #[sea_orm(primary_key, auto_increment = false)]
    pub number: i64,
    /// The first entry of the segment.
    pub first_seq: i64,
    /// The last entry of the segment.
    pub last_seq: i64,
    /// The hash of the last entry.
    pub last_hash: String,
    /// When the newest entry of the segment was made, µs since the epoch.
    pub newest_at_us: i64,
    /// The signature of the checkpoint before; empty for the first.
    pub previous_signature: String,
    /// Which key it is signed with.
    pub key_id: String,
    /// Over all of the above.
    pub signature: String,
}

without_relations!();
