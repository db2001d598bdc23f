//! Holding the rules of a workspace against its news.

use super::Wording;
use crate::entity::{
    alert_channel, alert_delivery, alert_notice, alert_rule, alert_window, failing_pipeline,
    membership, notification,
};
use crate::failure::Attempt;
use crate::ids::{AlertChannelId, AlertId, AlertRuleId, NotificationId, WorkspaceId};
use crate::transactions::Tx;
use crate::values::Stored;
use crate::{alert_rules, rows};
use model::Name;
use model::notice::{Notice, NoticeKind};
use sea_orm::prelude::*;
use sea_orm::{QueryOrder, QuerySelect};

/// Messages that may wait for a channel. What comes on top of them is in the inboxes alone.
const WAITING_MAX: u64 = 1_000;
const SECOND_US: i64 = 1_000_000;

/// Whether there are news, or windows whose time is over.
pub(super) async fn is_needed(db: &impl ConnectionTrait, now_us: i64) -> Attempt<bool> {
    let news = alert_notice::Entity::find().limit(1).one(db).await?;
    Ok(news.is_some() || !over(db, 1, now_us).await?.is_empty())
}

/// Handles up to `limit` news and as many windows, and says how many.
pub(super) async fn expand(tx: &Tx, limit: u64, wording: Wording, now_us: i64) -> Attempt<u64> {
    let windows = over(tx, limit, now_us).await?;
    let news = alert_notice::Entity::find()
        .order_by_asc(alert_notice::Column::CreatedAtUs)
        .order_by_asc(alert_notice::Column::Id)
        .limit(limit)
        .all(tx)
        .await?;
    let done = windows.len().max(news.len()) as u64;
    for window in windows {
        close(tx, window, now_us).await?;
    }
    for row in news {
        alert_notice::Entity::delete_by_id(row.id.clone()).exec(tx).await?;
        tell(tx, row, wording, now_us).await?;
    }
    Ok(done)
}

async fn tell(tx: &Tx, row: alert_notice::Model, wording: Wording, now_us: i64) -> Attempt<()> {
    let workspace = &row.workspace_id;
    let notice = with_history(tx, workspace, row.notice.0, row.created_at_us).await?;
    let mut rules = alert_rules::list(tx, workspace).await?;
    rules.retain(|rule| applies(rule, &notice));
    if notice.kind() != NoticeKind::RunSucceeded || !rules.is_empty() {
        fill_inboxes(tx, workspace, &notice, wording, row.created_at_us).await?;
    }
    for rule in rules {
        follow(tx, &rule, &notice, now_us).await?;
    }
    Ok(())
}

fn applies(rule: &alert_rule::Model, notice: &Notice) -> bool {
    let pipelines = &rule.pipelines.0;
    let names = |pipeline: &Name| pipelines.is_empty() || pipelines.contains(pipeline);
    rule.is_active && rule.kinds.0.contains(&notice.kind()) && notice.pipeline().is_some_and(names)
}

/// Remembers failures, so that a success after them is a recovery.
async fn with_history(
    tx: &Tx,
    workspace: &WorkspaceId,
    notice: Notice,
    at_us: i64,
) -> Attempt<Notice> {
    let Some(pipeline) = notice.pipeline().cloned() else { return Ok(notice) };
    let key = (workspace.clone(), pipeline.to_string());
    let failing = failing_pipeline::Entity::find_by_id(key.clone()).one(tx).await?;
    match (notice, failing) {
        (Notice::RunSucceeded { pipeline, run, .. }, Some(failing)) => {
            failing_pipeline::Entity::delete_by_id(key).exec(tx).await?;
            let failures = u64::try_from(failing.failures).unwrap_or(0);
            let failing_since_us = failing.since_us;
            Ok(Notice::RunRecovered { pipeline, run, failures, failing_since_us })
        }
        (notice @ Notice::RunFailed { .. }, failing) => {
            let row = failing_pipeline::Model {
                workspace_id: key.0.clone(),
                pipeline: key.1.clone(),
                since_us: failing.as_ref().map_or(at_us, |failing| failing.since_us),
                failures: failing.map_or(1, |failing| failing.failures + 1),
            };
            failing_pipeline::Entity::delete_by_id(key).exec(tx).await?;
            rows::insert(tx, row).await?;
            Ok(notice)
        }
        (notice, _) => Ok(notice),
    }
}

/// Tells every member. Unread news of the same title give way to the newer ones, so that a pipeline
/// that fails all night is one line in the morning.
async fn fill_inboxes(
    tx: &Tx,
    workspace: &WorkspaceId,
    notice: &Notice,
    wording: Wording,
    at_us: i64,
) -> Attempt<()> {
    let new = wording(notice);
    let filter = membership::Column::WorkspaceId.eq(workspace.clone());
    let members = membership::Entity::find().filter(filter).all(tx).await?;
    notification::Entity::delete_many()
        .filter(notification::Column::WorkspaceId.eq(workspace.clone()))
        .filter(notification::Column::UserId.is_in(members.iter().map(|row| row.user_id.clone())))
        .filter(notification::Column::ReadAtUs.is_null())
        .filter(notification::Column::Kind.eq(new.kind))
        .filter(notification::Column::Title.eq(new.title.clone()))
        .exec(tx)
        .await?;
    let row = |member: membership::Model| notification::Model {
        id: NotificationId::generate(at_us),
        workspace_id: workspace.clone(),
        user_id: member.user_id,
        kind: new.kind,
        title: new.title.clone(),
        message: new.message.clone(),
        resource: new.resource.clone(),
        created_at_us: at_us,
        read_at_us: None,
    };
    rows::insert_all(tx, members.into_iter().map(row).collect()).await
}

/// Sends the news, or holds them back while the rule's window for the pipeline is open.
async fn follow(tx: &Tx, rule: &alert_rule::Model, notice: &Notice, now_us: i64) -> Attempt<()> {
    if rule.window_seconds == 0 {
        return send(tx, rule, notice, 0, now_us).await;
    }
    let pipeline = notice.pipeline().map(Name::to_string).unwrap_or_default();
    let key = (rule.id.clone(), pipeline.clone());
    match alert_window::Entity::find_by_id(key).one(tx).await? {
        Some(window) => {
            let held = (window.held + 1, Some(notice.clone()));
            put_window(tx, &rule.id, &pipeline, window.closes_at_us, held).await
        }
        None => {
            send(tx, rule, notice, 0, now_us).await?;
            let closes_at_us = now_us + rule.window_seconds * SECOND_US;
            put_window(tx, &rule.id, &pipeline, closes_at_us, (0, None)).await
        }
    }
}

async fn over(
    db: &impl ConnectionTrait,
    limit: u64,
    now_us: i64,
) -> Attempt<Vec<alert_window::Model>> {
    Ok(alert_window::Entity::find()
        .filter(alert_window::Column::ClosesAtUs.lte(now_us))
        .order_by_asc(alert_window::Column::ClosesAtUs)
        .limit(limit)
        .all(db)
        .await?)
}

/// Sends the newest of what a window has held back and opens the next one, if it held anything.
async fn close(tx: &Tx, window: alert_window::Model, now_us: i64) -> Attempt<()> {
    let rule = alert_rule::Entity::find_by_id(window.rule_id.clone()).one(tx).await?;
    if let (Some(rule), Some(notice)) = (rule, window.notice)
        && rule.is_active
    {
        send(tx, &rule, &notice.0, window.held - 1, now_us).await?;
        let closes_at_us = now_us + rule.window_seconds * SECOND_US;
        return put_window(tx, &rule.id, &window.pipeline, closes_at_us, (0, None)).await;
    }
    alert_window::Entity::delete_by_id((window.rule_id, window.pipeline)).exec(tx).await?;
    Ok(())
}

async fn put_window(
    tx: &Tx,
    rule: &AlertRuleId,
    pipeline: &str,
    closes_at_us: i64,
    (held, notice): (i64, Option<Notice>),
) -> Attempt<()> {
    let key = (rule.clone(), pipeline.to_owned());
    alert_window::Entity::delete_by_id(key).exec(tx).await?;
    let row = alert_window::Model {
        rule_id: rule.clone(),
        pipeline: pipeline.to_owned(),
        closes_at_us,
        held,
        notice: notice.map(Stored),
    };
    rows::insert(tx, row).await
}

/// A message for each channel of the rule.
async fn send(
    tx: &Tx,
    rule: &alert_rule::Model,
    notice: &Notice,
    more: i64,
    now_us: i64,
) -> Attempt<()> {
    for channel in &rule.channels.0 {
        if !has_room(tx, channel).await? {
            tracing::warn!(channel = %channel, "too many messages wait for a channel: one is lost");
            continue;
        }
        let row = alert_delivery::Model {
            id: AlertId::generate(now_us),
            workspace_id: rule.workspace_id.clone(),
            channel_id: channel.clone(),
            notice: Stored(notice.clone()),
            more,
            attempts: 0,
            next_at_us: now_us,
            created_at_us: now_us,
        };
        rows::insert(tx, row).await?;
    }
    Ok(())
}

async fn has_room(tx: &Tx, channel: &AlertChannelId) -> Attempt<bool> {
    let filter = alert_delivery::Column::ChannelId.eq(channel.clone());
    let waiting = alert_delivery::Entity::find().filter(filter).count(tx).await?;
    let is_there = alert_channel::Entity::find_by_id(channel.clone()).one(tx).await?.is_some();
    Ok(is_there && waiting < WAITING_MAX)
}
