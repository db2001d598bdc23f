//! Rows of `run_logs`.

use crate::ids::WorkspaceId;
use crate::values::{RunIdText, Stored};
use crate::words::LogLevel;
use sea_orm::prelude::*;

/// A line of a run's log.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "run_logs")]
pub struct Model {
    /// The run.
    #[sea_orm(primary_key, auto_increment = false)]
    pub run_id: RunIdText,
    /// From 1 in the run.
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// The node it is about.
    pub node: Option<String>,
    /// µs since the epoch.
    pub at_us: i64,
    /// How loud it is.
    pub level: LogLevel,
    /// A fixed text.
    pub message: String,
    /// What varies.
    pub fields: Stored<serde_json::Value>,
}

without_relations!();
