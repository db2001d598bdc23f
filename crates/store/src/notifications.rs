//! What the members of a workspace are told.

use crate::entity::notification;
use crate::failure::Attempt;
use crate::ids::{NotificationId, UserId, WorkspaceId};
use crate::members;
use crate::page::{self, Page};
use crate::rows;
use crate::store::Store;
use crate::transactions::Tx;
use crate::words::NotificationKind;
use model::Result;
use sea_orm::ActiveValue::Set;
use sea_orm::prelude::*;
use sea_orm::{QueryOrder, QuerySelect};

/// The notifications of one workspace.
#[derive(Debug, Clone)]
pub struct Notifications {
    store: Store,
    workspace: WorkspaceId,
}

/// News to be told.
#[derive(Debug, Clone)]
pub struct NewNotification {
    /// What kind of news it is.
    pub kind: NotificationKind,
    /// A few words.
    pub title: String,
    /// A sentence or two.
    pub message: String,
    /// What it is about, such as `run/01J…`.
    pub resource: Option<String>,
}

/// Which notifications are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inbox {
    /// All.
    All,
    /// Those that are not read.
    Unread,
}

impl Notifications {
    pub(crate) fn new(store: Store, workspace: WorkspaceId) -> Self {
        Self { store, workspace }
    }

    /// Tells several people; those who are no members are passed over.
    pub async fn send(&self, to: &[UserId], new: NewNotification, now_us: i64) -> Result<()> {
        let input = (self.workspace.clone(), to.to_vec(), new, now_us);
        self.store
            .write(input, |tx, (workspace, to, new, now_us)| {
                Box::pin(send(tx, workspace, to, new, *now_us))
            })
            .await
    }

    /// What a person was told, the newest first; `after` is a page's `next`.
    pub async fn list(
        &self,
        user: &UserId,
        inbox: Inbox,
        after: Option<&str>,
        limit: u64,
    ) -> Result<Page<notification::Model>> {
        let limit = page::limit(limit);
        let after = after.map(NotificationId::parse).transpose()?;
        Ok(list(self.store.read(), &self.workspace, user, inbox, after, limit).await?)
    }

    /// How much a person has not read.
    pub async fn unread(&self, user: &UserId) -> Result<u64> {
        Ok(unread(self.store.read(), &self.workspace, user).await?)
    }

    /// Marks one notification of a person as read, or all of them, and says how many were unread.
    pub async fn mark_read(
        &self,
        user: &UserId,
        id: Option<&NotificationId>,
        now_us: i64,
    ) -> Result<u64> {
        let input = (self.workspace.clone(), user.clone(), id.cloned(), now_us);
        self.store
            .write(input, |tx, (workspace, user, id, now_us)| {
                Box::pin(mark_read(tx, workspace, user, id.as_ref(), *now_us))
            })
            .await
    }
}

async fn send(
    tx: &Tx,
    workspace: &WorkspaceId,
    to: &[UserId],
    new: &NewNotification,
    now_us: i64,
) -> Attempt<()> {
    for user in to {
        if members::role_of(tx, workspace, user).await?.is_none() {
            continue;
        }
        let row = notification::Model {
            id: NotificationId::generate(now_us),
            workspace_id: workspace.clone(),
            user_id: user.clone(),
            kind: new.kind,
            title: new.title.clone(),
            message: new.message.clone(),
            resource: new.resource.clone(),
            created_at_us: now_us,
            read_at_us: None,
        };
        rows::insert(tx, row).await?;
    }
    Ok(())
}

async fn list(
    db: &impl ConnectionTrait,
    workspace: &WorkspaceId,
    user: &UserId,
    inbox: Inbox,
    after: Option<NotificationId>,
    limit: u64,
) -> Attempt<Page<notification::Model>> {
    let mut select = notification::Entity::find()
        .filter(notification::Column::WorkspaceId.eq(workspace.clone()))
        .filter(notification::Column::UserId.eq(user.clone()))
        .order_by_desc(notification::Column::Id)
        .limit(limit + 1);
    if inbox == Inbox::Unread {
        select = select.filter(notification::Column::ReadAtUs.is_null());
    }
    if let Some(after) = after {
        select = select.filter(notification::Column::Id.lt(after));
    }
    Ok(Page::cut(select.all(db).await?, limit, |row| row.id.to_string()))
}

async fn unread(db: &impl ConnectionTrait, workspace: &WorkspaceId, user: &UserId) -> Attempt<u64> {
    Ok(notification::Entity::find()
        .filter(notification::Column::WorkspaceId.eq(workspace.clone()))
        .filter(notification::Column::UserId.eq(user.clone()))
        .filter(notification::Column::ReadAtUs.is_null())
        .count(db)
        .await?)
}

async fn mark_read(
    tx: &Tx,
    workspace: &WorkspaceId,
    user: &UserId,
    id: Option<&NotificationId>,
    now_us: i64,
) -> Attempt<u64> {
    let read = notification::ActiveModel { read_at_us: Set(Some(now_us)), ..Default::default() };
    let mut update = notification::Entity::update_many()
        .set(read)
        .filter(notification::Column::WorkspaceId.eq(workspace.clone()))
        .filter(notification::Column::UserId.eq(user.clone()))
        .filter(notification::Column::ReadAtUs.is_null());
    if let Some(id) = id {
        update = update.filter(notification::Column::Id.eq(id.clone()));
    }
    Ok(update.exec(tx).await?.rows_affected)
}
