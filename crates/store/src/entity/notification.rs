//! Rows of `notifications`.

use crate::ids::{NotificationId, UserId, WorkspaceId};
use crate::words::NotificationKind;
use sea_orm::prelude::*;

/// Something that a person is told.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "notifications")]
pub struct Model {
    /// The notification's id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: NotificationId,
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// The person.
    pub user_id: UserId,
    /// What kind of news it is.
    pub kind: NotificationKind,
    /// A few words.
    pub title: String,
    /// A sentence or two.
    pub message: String,
    /// What it is about, such as `run/01J…`.
    pub resource: Option<String>,
    /// µs since the epoch.
    pub created_at_us: i64,
    /// µs since the epoch; none as long as it is unread.
    pub read_at_us: Option<i64>,
}

without_relations!();
