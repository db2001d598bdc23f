//! Channels and alert rules: who is told what, and how.

use crate::access::Access;
use crate::alerts::{self, channels};
use crate::headers::{Conditional, Versioned};
use crate::identity::people::checked_name;
use crate::input::{Body, InPath};
use crate::output::{Answer, Created, Done};
use crate::route::Route;
use api::alerts::{
    Channel, ChannelPath, Channels, PutChannel, PutRule, Rule, RulePath, Rules, WINDOW_SECONDS_MAX,
};
use api::permission::{AlertManage, AlertRead};
use axum::http::Method;
use model::notice::{Notice, NoticeKind};
use model::{Name, Problem, Result, codes};
use monitor::channels::Message;
use store::{AlertChannelId, AlertRule, AlertRuleId, NewAlertRule};

const CHANNELS: &str = "/api/v1/workspaces/{workspace}/channels";
const CHANNEL: &str = "/api/v1/workspaces/{workspace}/channels/{channel}";
const TEST: &str = "/api/v1/workspaces/{workspace}/channels/{channel}/test";
const RULES: &str = "/api/v1/workspaces/{workspace}/alert-rules";
const RULE: &str = "/api/v1/workspaces/{workspace}/alert-rules/{rule}";
/// Pipelines and channels that one rule may name.
const NAMED_MAX: usize = 1_000;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, CHANNELS, "Ways in which people are told.", list_channels),
        Route::new(Method::POST, CHANNELS, "Make a channel.", create_channel)
            .audited("channel.create"),
        Route::new(Method::GET, CHANNEL, "A channel, without its secrets.", get_channel),
        Route::new(Method::PUT, CHANNEL, "Change a channel.", change_channel)
            .audited("channel.change"),
        Route::new(Method::DELETE, CHANNEL, "Remove a channel.", remove_channel)
            .audited("channel.delete"),
        Route::new(Method::POST, TEST, "Send a message through a channel now.", test_channel)
            .audited("channel.test"),
        Route::new(Method::GET, RULES, "What is told through which channels.", list_rules),
        Route::new(Method::POST, RULES, "Make an alert rule.", create_rule)
            .audited("alert_rule.create"),
        Route::new(Method::GET, RULE, "An alert rule.", get_rule),
        Route::new(Method::PUT, RULE, "Change an alert rule.", change_rule)
            .audited("alert_rule.change"),
        Route::new(Method::DELETE, RULE, "Remove an alert rule.", remove_rule)
            .audited("alert_rule.delete"),
    ]
}

async fn list_channels(access: Access<AlertRead>, (): ()) -> Result<Answer<Channels>> {
    let rows = access.workspace.alert_channels().list().await?;
    let items = rows.iter().map(channels::shown).collect::<Result<_>>()?;
    Ok(Answer(Channels { items }))
}

async fn create_channel(
    access: Access<AlertManage>,
    Body(put): Body<PutChannel>,
) -> Result<Versioned<Created<Channel>>> {
    let now_us = access.app.now_us();
    let id = AlertChannelId::generate(now_us);
    let new = channels::new(&access.app, access.workspace.id(), &id, put)?;
    let created_by = Some(&access.caller.user.id);
    let row = access.workspace.alert_channels().create(id, new, created_by, now_us).await?;
    let channel = channels::shown(&row)?;
    access.trail.subject(&row.id);
    access.trail.after(summary(&channel));
    Ok(Versioned { version: row.updated_at_us, answer: Created(channel) })
}

/// What the audit trail says of a channel: people's addresses are left out.
fn summary(channel: &Channel) -> serde_json::Value {
    serde_json::json!({"name": channel.name, "host": channel.host})
}

async fn get_channel(
    access: Access<AlertRead>,
    InPath(path): InPath<ChannelPath>,
) -> Result<Versioned<Answer<Channel>>> {
    let id = AlertChannelId::parse(&path.channel)?;
    let row = access.workspace.alert_channels().get(&id).await?;
    Ok(Versioned { version: row.updated_at_us, answer: Answer(channels::shown(&row)?) })
}

async fn change_channel(
    access: Access<AlertManage>,
    request: Conditional<(InPath<ChannelPath>, Body<PutChannel>)>,
) -> Result<Versioned<Answer<Channel>>> {
    let (InPath(path), Body(put)) = request.input;
    let id = AlertChannelId::parse(&path.channel)?;
    let old = access.workspace.alert_channels().get(&id).await?;
    let seen_us = request.expected.version()?.unwrap_or_default();
    let new = channels::changed(&access.app, &old, put)?;
    let now_us = access.app.now_us();
    let row = access.workspace.alert_channels().change(&id, new, seen_us, now_us).await?;
    let channel = channels::shown(&row)?;
    access.trail.before(summary(&channels::shown(&old)?));
    access.trail.after(summary(&channel));
    Ok(Versioned { version: row.updated_at_us, answer: Answer(channel) })
}

async fn remove_channel(
    access: Access<AlertManage>,
    InPath(path): InPath<ChannelPath>,
) -> Result<Done> {
    let id = AlertChannelId::parse(&path.channel)?;
    let old = access.workspace.alert_channels().get(&id).await?;
    access.workspace.alert_channels().remove(&id).await?;
    access.trail.before(summary(&channels::shown(&old)?));
    Ok(Done)
}

async fn test_channel(
    access: Access<AlertManage>,
    InPath(path): InPath<ChannelPath>,
) -> Result<Done> {
    let id = AlertChannelId::parse(&path.channel)?;
    let row = access.workspace.alert_channels().get(&id).await?;
    let (channel, language) = channels::open(&access.app, &row)?;
    let notice = Notice::Test { by: access.caller.user.email.clone() };
    let place = alerts::place(&access.app, &access.about.slug);
    let message = Message::new(&notice, 0, &place, language);
    let now_us = access.app.now_us();
    let delivery = store::AlertId::generate(now_us).to_string();
    let private = access.app.alerts.settings.private_targets;
    channel.send(&message, &delivery, now_us, private).await?;
    Ok(Done)
}

async fn list_rules(access: Access<AlertRead>, (): ()) -> Result<Answer<Rules>> {
    let rows = access.workspace.alert_rules().list().await?;
    Ok(Answer(Rules { items: rows.into_iter().map(shown_rule).collect() }))
}

fn shown_rule(row: AlertRule) -> Rule {
    let rule = PutRule {
        name: row.name,
        is_active: row.is_active,
        pipelines: row.pipelines.0.iter().map(Name::to_string).collect(),
        events: row.kinds.0,
        channels: row.channels.0.iter().map(AlertChannelId::to_string).collect(),
        window_seconds: u32::try_from(row.window_seconds).unwrap_or(WINDOW_SECONDS_MAX),
    };
    Rule { id: row.id.to_string(), rule }
}

fn checked(put: PutRule) -> Result<NewAlertRule> {
    let invalid = |message: &str, setting: &str, hint: &str| {
        Err(Problem::new(&codes::REQUEST_INVALID, message).in_setting(setting).hint(hint))
    };
    if put.events.is_empty() || put.events.contains(&NoticeKind::Test) {
        let known = NoticeKind::OF_RULES.map(NoticeKind::as_str).join(", ");
        return invalid("the rule names no event of a pipeline", "/events", &known);
    }
    if put.channels.is_empty() || put.channels.len() > NAMED_MAX {
        return invalid("the rule names no channel", "/channels", "name one by its id");
    }
    if put.pipelines.len() > NAMED_MAX {
        let hint = "name none for all of them";
        return invalid("the rule names more than 1000 pipelines", "/pipelines", hint);
    }
    if put.window_seconds > WINDOW_SECONDS_MAX {
        let hint = "give 86400 or less";
        return invalid("the window is longer than a day", "/window_seconds", hint);
    }
    Ok(NewAlertRule {
        name: checked_name(&put.name, "/name")?,
        is_active: put.is_active,
        pipelines: put.pipelines.into_iter().map(Name::new).collect::<Result<_>>()?,
        kinds: put.events,
        channels: put.channels.iter().map(|id| AlertChannelId::parse(id)).collect::<Result<_>>()?,
        window_seconds: i64::from(put.window_seconds),
    })
}

async fn create_rule(
    access: Access<AlertManage>,
    Body(put): Body<PutRule>,
) -> Result<Versioned<Created<Rule>>> {
    let new = checked(put)?;
    let row = access.workspace.alert_rules().create(new, access.app.now_us()).await?;
    let (version, rule) = (row.updated_at_us, shown_rule(row));
    access.trail.subject(&rule.id);
    access.trail.after(serde_json::json!(rule));
    Ok(Versioned { version, answer: Created(rule) })
}

async fn get_rule(
    access: Access<AlertRead>,
    InPath(path): InPath<RulePath>,
) -> Result<Versioned<Answer<Rule>>> {
    let row = access.workspace.alert_rules().get(&AlertRuleId::parse(&path.rule)?).await?;
    Ok(Versioned { version: row.updated_at_us, answer: Answer(shown_rule(row)) })
}

async fn change_rule(
    access: Access<AlertManage>,
    request: Conditional<(InPath<RulePath>, Body<PutRule>)>,
) -> Result<Versioned<Answer<Rule>>> {
    let (InPath(path), Body(put)) = request.input;
    let id = AlertRuleId::parse(&path.rule)?;
    let rules = access.workspace.alert_rules();
    let old = rules.get(&id).await?;
    let seen_us = request.expected.version()?.unwrap_or_default();
    let row = rules.change(&id, checked(put)?, seen_us, access.app.now_us()).await?;
    let (version, rule) = (row.updated_at_us, shown_rule(row));
    access.trail.before(serde_json::json!(shown_rule(old)));
    access.trail.after(serde_json::json!(rule));
    Ok(Versioned { version, answer: Answer(rule) })
}

async fn remove_rule(access: Access<AlertManage>, InPath(path): InPath<RulePath>) -> Result<Done> {
    let id = AlertRuleId::parse(&path.rule)?;
    let rules = access.workspace.alert_rules();
    let old = rules.get(&id).await?;
    rules.remove(&id).await?;
    access.trail.before(serde_json::json!(shown_rule(old)));
    Ok(Done)
}
