//! Rows of `alert_notices`.

use crate::ids::{AlertId, WorkspaceId};
use crate::values::Stored;
use model::notice::Notice;
use sea_orm::prelude::*;

/// News that no rule has been held against yet.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "alert_notices")]
pub struct Model {
    /// Its id: older news have smaller ones.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: AlertId,
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// The news.
    pub notice: Stored<Notice>,
    /// µs since the epoch.
    pub created_at_us: i64,
}

without_relations!();
