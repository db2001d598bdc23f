//! Rows of `alert_windows`.

use crate::ids::AlertRuleId;
use crate::values::Stored;
use model::notice::Notice;
use sea_orm::prelude::*;

/// A time in which a rule sends no second message about a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "alert_windows")]
pub struct Model {
    /// The rule.
    #[sea_orm(primary_key, auto_increment = false)]
    pub rule_id: AlertRuleId,
    /// The pipeline.
    #[sea_orm(primary_key, auto_increment = false)]
    pub pipeline: String,
    /// µs since the epoch.
    pub closes_at_us: i64,
    /// News held back so far.
    pub held: i64,
    /// The newest of them.
    pub notice: Option<Stored<Notice>>,
}

without_relations!();
