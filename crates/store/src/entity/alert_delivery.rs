//! Rows of `alert_deliveries`.

use crate::ids::{AlertChannelId, AlertId, WorkspaceId};
use crate::values::Stored;
use model::notice::Notice;
use sea_orm::prelude::*;

/// A message that has to be sent. Its row goes when it has been.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "alert_deliveries")]
pub struct Model {
    /// Its id, the same in every attempt.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: AlertId,
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// Through which channel.
    pub channel_id: AlertChannelId,
    /// The news.
    pub notice: Stored<Notice>,
    /// Further news that were held back since the message before.
    pub more: i64,
    /// Attempts that were begun.
    pub attempts: i64,
    /// µs since the epoch: not before.
    pub next_at_us: i64,
    /// µs since the epoch.
    pub created_at_us: i64,
}

without_relations!();
