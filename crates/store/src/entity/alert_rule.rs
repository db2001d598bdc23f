//! Rows of `alert_rules`.

use crate::ids::{AlertChannelId, AlertRuleId, WorkspaceId};
use crate::values::Stored;
use model::Name;
use model::notice::NoticeKind;
use sea_orm::prelude::*;

/// What is told through which channels.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "alert_rules")]
pub struct Model {
    /// The rule's id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: AlertRuleId,
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// What people call it; unique in the workspace.
    pub name: String,
    /// Whether it is followed.
    pub is_active: bool,
    /// Of which pipelines; of all when there are none.
    pub pipelines: Stored<Vec<Name>>,
    /// Of which kinds of news.
    pub kinds: Stored<Vec<NoticeKind>>,
    /// Through which channels.
    pub channels: Stored<Vec<AlertChannelId>>,
    /// Of one pipeline at most one message in so many seconds.
    pub window_seconds: i64,
    /// µs since the epoch.
    pub created_at_us: i64,
    /// µs since the epoch.
    pub updated_at_us: i64,
}

without_relations!();
