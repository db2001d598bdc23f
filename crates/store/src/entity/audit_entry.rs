//! Rows of `audit_entries`.

use crate::ids::UserId;
use crate::values::Stored;
use sea_orm::prelude::*;

/// That somebody has done something.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_entries")]
pub struct Model {
    /// The workspace's id, or `installation`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub chain: String,
    /// From 1 in its chain, without a gap.
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    /// µs since the epoch.
    pub at_us: i64,
    /// The person, if there is one.
    pub user_id: Option<UserId>,
    /// Who it was, in words that stay when the person has gone.
    pub actor: String,
    /// What was done, such as `connection.update`.
    pub action: String,
    /// What it was done to.
    pub resource_kind: String,
    /// Which one.
    pub resource_id: Option<String>,
    /// Where it came from.
    pub ip: Option<String>,
    /// What the program called itself.
    pub user_agent: Option<String>,
    /// What was before and what is after. It names nobody but by id.
    pub changes: Stored<serde_json::Value>,
    /// Goes into `person_hash`; none when the person was erased.
    pub person_salt: Option<String>,
    /// Salted hash of user, actor, address and program: what the chain knows of the person, so
    /// that erasing them leaves it whole.
    pub person_hash: String,
    /// The hash of the entry before; empty for the first.
    pub previous_hash: String,
    /// The hash of this entry: of all but the person, of whom it has `person_hash`.
    pub hash: String,
}

without_relations!();
