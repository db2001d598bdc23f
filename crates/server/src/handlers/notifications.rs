//! The inbox: what a person was told.

use crate::access::Access;
use crate::input::{InPath, InQuery};
use crate::output::{Answer, Done};
use crate::route::Route;
use api::alerts::{InboxPage, InboxQuery, Notification, NotificationPath};
use api::page::PageQuery;
use api::permission::InboxOwn;
use axum::http::Method;
use model::Result;
use serde_json::Value;
use store::{Inbox, NotificationId};

const ALL: &str = "/api/v1/workspaces/{workspace}/notifications";
const READ_ALL: &str = "/api/v1/workspaces/{workspace}/notifications/read";
const READ_ONE: &str = "/api/v1/workspaces/{workspace}/notifications/{notification}/read";
const WHY_UNAUDITED: &str = "what somebody has read is nobody else's business";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, ALL, "What one was told, the newest first.", list),
        Route::new(Method::POST, READ_ALL, "Mark everything as read.", read_all)
            .unaudited(WHY_UNAUDITED),
        Route::new(Method::POST, READ_ONE, "Mark a notification as read.", read_one)
            .unaudited(WHY_UNAUDITED),
    ]
}

async fn list(
    access: Access<InboxOwn>,
    InQuery(query): InQuery<InboxQuery>,
) -> Result<Answer<InboxPage>> {
    let inbox = if query.unread == Some(true) { Inbox::Unread } else { Inbox::All };
    let page = PageQuery { limit: query.limit, after: query.after };
    let notifications = access.workspace.notifications();
    let user = &access.caller.user.id;
    let found = notifications.list(user, inbox, page.after.as_deref(), page.items_max()).await?;
    Ok(Answer(InboxPage {
        items: found.items.into_iter().map(shown).collect(),
        next: found.next,
        unread: notifications.unread(user).await?,
    }))
}

fn shown(row: store::Notification) -> Notification {
    let kind = match serde_json::to_value(row.kind) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    };
    Notification {
        id: row.id.to_string(),
        kind,
        title: row.title,
        message: row.message,
        resource: row.resource,
        created_at_us: row.created_at_us,
        read_at_us: row.read_at_us,
    }
}

async fn read_all(access: Access<InboxOwn>, (): ()) -> Result<Done> {
    mark_read(&access, None).await
}

async fn read_one(
    access: Access<InboxOwn>,
    InPath(path): InPath<NotificationPath>,
) -> Result<Done> {
    mark_read(&access, Some(NotificationId::parse(&path.notification)?)).await
}

async fn mark_read(access: &Access<InboxOwn>, id: Option<NotificationId>) -> Result<Done> {
    let user = &access.caller.user.id;
    let now_us = access.app.now_us();
    access.workspace.notifications().mark_read(user, id.as_ref(), now_us).await?;
    Ok(Done)
}
