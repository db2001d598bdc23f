//! What starts runs by itself: schedules, triggers, back-fills; and pools of slots.

use crate::access::{Access, Anybody};
use crate::identity::people::checked_name;
use crate::identity::token::{fingerprint, random};
use crate::input::{Body, InPath};
use crate::orchestrator::{StoredRule, Told, Wish, calendar, signal, span_us, stays_below};
use crate::output::{Accepted, Answer, Created, Done};
use crate::route::Route;
use api::permission::{DefinitionWrite, RunRead, RunStart};
use api::runs::PipelinePath;
use api::schedules::{
    Backfill, BackfillPath, Backfills, Condition, HookPath, Interval, Pool, PoolPath, PoolSize,
    Pools, Reprocess, Schedule, SchedulePath, ScheduleSettings, Schedules, StartBackfill, Trigger,
    TriggerChange, TriggerPath, TriggerSettings, Triggers,
};
use axum::http::Method;
use model::{Name, Problem, Result, Secret, codes};
use scheduler::{BackfillOptions, Order, RunEnd};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use store::{
    BackfillId, NewSchedule, NewTrigger, RunStatus, ScheduleId, ScheduleStatus, TriggerId,
    TriggerKind,
};

const SCHEDULES: &str = "/api/v1/workspaces/{workspace}/schedules";
const SCHEDULE: &str = "/api/v1/workspaces/{workspace}/schedules/{schedule}";
const TRIGGERS: &str = "/api/v1/workspaces/{workspace}/triggers";
const TRIGGER: &str = "/api/v1/workspaces/{workspace}/triggers/{trigger}";
const BACKFILLS: &str = "/api/v1/workspaces/{workspace}/backfills";
const POOL: &str = "/api/v1/workspaces/{workspace}/pools/{pool}";
/// So many coming times of a schedule are shown.
const TIMES_SHOWN: usize = 5;
/// What tokens of triggers begin with.
const HOOK_PREFIX: &str = "aff_hook_";

pub(super) fn routes() -> Vec<Route> {
    let mut routes = of_schedules();
    routes.extend(of_triggers());
    routes.extend(of_backfills());
    routes.extend(of_pools());
    routes
}

fn of_schedules() -> Vec<Route> {
    vec![
        Route::new(Method::GET, SCHEDULES, "The schedules.", schedules),
        Route::new(Method::POST, SCHEDULES, "Make a schedule.", create_schedule)
            .audited("schedule.create"),
        Route::new(Method::GET, SCHEDULE, "A schedule.", get_schedule),
        Route::new(
            Method::PUT,
            SCHEDULE,
            "Make another one of a schedule. With another rule it begins now.",
            change_schedule,
        )
        .audited("schedule.change"),
        Route::new(Method::DELETE, SCHEDULE, "Remove a schedule.", remove_schedule)
            .audited("schedule.remove"),
    ]
}

fn of_triggers() -> Vec<Route> {
    vec![
        Route::new(Method::GET, TRIGGERS, "The triggers.", triggers),
        Route::new(
            Method::POST,
            TRIGGERS,
            "Make a trigger. The token of one that waits for a webhook is shown once.",
            create_trigger,
        )
        .audited("trigger.create"),
        Route::new(Method::PATCH, TRIGGER, "Let a trigger start runs, or no more.", change_trigger)
            .audited("trigger.change"),
        Route::new(Method::DELETE, TRIGGER, "Remove a trigger.", remove_trigger)
            .audited("trigger.remove"),
        Route::new(
            Method::POST,
            "/api/v1/hooks/{token}",
            "Tell a trigger that something has happened. The token is the right to do so.",
            hook,
        )
        .unaudited("the run that it starts says which trigger wanted it"),
    ]
}

fn of_backfills() -> Vec<Route> {
    vec![
        Route::new(Method::GET, BACKFILLS, "The latest back-fills.", backfills),
        Route::new(
            Method::POST,
            "/api/v1/workspaces/{workspace}/pipelines/{pipeline}/backfills",
            "Run a pipeline for each interval of a range; `dry_run` only says which.",
            start_backfill,
        )
        .audited("backfill.start"),
        Route::new(
            Method::POST,
            "/api/v1/workspaces/{workspace}/backfills/{backfill}/cancel",
            "Stop a back-fill and its runs.",
            cancel_backfill,
        )
        .audited("backfill.cancel"),
    ]
}

fn of_pools() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/api/v1/workspaces/{workspace}/pools",
            "The pools of slots.",
            pools,
        ),
        Route::new(Method::PUT, POOL, "Make a pool, or change its size.", set_pool)
            .audited("pool.set"),
        Route::new(Method::DELETE, POOL, "Remove a pool: nobody waits for it then.", remove_pool)
            .audited("pool.remove"),
    ]
}

/// The scheduler reads what is declared here again.
async fn redefine<P>(access: &Access<P>) -> Result<()> {
    let workspace = access.workspace.id().clone();
    access.app.wish(Wish::Redefine { workspace }).await.map(drop)
}

fn shown_schedule(row: &store::Schedule, now_us: i64) -> Result<Schedule> {
    let rule: StoredRule = serde_json::from_value(row.rule.0.clone()).map_err(|error| {
        Problem::new(&codes::INTERNAL, "the rule of a schedule cannot be read").detail(error)
    })?;
    let paused = row.status == ScheduleStatus::Paused;
    let calendar = calendar(&rule.times, &row.zone)?;
    let after_us = now_us.max(row.fired_us).max(row.start_at_us.unwrap_or(0).saturating_sub(1));
    let times = std::iter::successors(calendar.next_after(after_us), |at| calendar.next_after(*at));
    let is_within = |at: &i64| row.end_at_us.is_none_or(|end_us| *at <= end_us);
    let next_us = times.take(TIMES_SHOWN).take_while(is_within).collect();
    let params = match &row.params.0 {
        Value::Object(params) => params.clone(),
        _ => serde_json::Map::new(),
    };
    Ok(Schedule {
        id: row.id.to_string(),
        next_us: if paused { Vec::new() } else { next_us },
        fired_us: row.fired_us,
        settings: ScheduleSettings {
            name: row.name.clone(),
            pipeline: row.pipeline.clone(),
            times: rule.times,
            zone: Some(row.zone.clone()),
            start_us: row.start_at_us,
            end_us: row.end_at_us,
            jitter: rule.jitter,
            missed: rule.missed,
            params,
            paused,
        },
    })
}

/// Checks all that can be checked, so that the scheduler never meets a rule that it cannot follow.
async fn checked_schedule<P>(
    access: &Access<P>,
    settings: ScheduleSettings,
) -> Result<NewSchedule> {
    let zone = settings.zone.unwrap_or_else(|| "UTC".to_owned());
    calendar(&settings.times, &zone).map_err(|problem| problem.in_setting("/times"))?;
    span_us(settings.jitter.as_deref()).map_err(|problem| problem.in_setting("/jitter"))?;
    let pipeline = checked_pipeline(access, &settings.pipeline).await?;
    let rule =
        StoredRule { times: settings.times, jitter: settings.jitter, missed: settings.missed };
    Ok(NewSchedule {
        name: checked_name(&settings.name, "/name")?,
        pipeline,
        status: match settings.paused {
            true => ScheduleStatus::Paused,
            false => ScheduleStatus::Active,
        },
        rule: serde_json::to_value(rule).unwrap_or(Value::Null),
        zone,
        params: Value::Object(settings.params),
        start_at_us: settings.start_us,
        end_at_us: settings.end_us,
    })
}

async fn checked_pipeline<P>(access: &Access<P>, name: &str) -> Result<Name> {
    let found = access.workspace.pipelines().get(name).await;
    found.map_err(|problem| problem.in_setting("/pipeline")).and_then(|row| Name::new(row.name))
}

async fn schedules(access: Access<RunRead>, (): ()) -> Result<Answer<Schedules>> {
    let now_us = access.app.now_us();
    let rows = access.workspace.schedules().list().await?;
    let items = rows.iter().map(|row| shown_schedule(row, now_us)).collect::<Result<_>>()?;
    Ok(Answer(Schedules { items }))
}

async fn get_schedule(
    access: Access<RunRead>,
    InPath(path): InPath<SchedulePath>,
) -> Result<Answer<Schedule>> {
    let row = access.workspace.schedules().get(&ScheduleId::parse(&path.schedule)?).await?;
    Ok(Answer(shown_schedule(&row, access.app.now_us())?))
}

async fn create_schedule(
    access: Access<DefinitionWrite>,
    Body(settings): Body<ScheduleSettings>,
) -> Result<Created<Schedule>> {
    access.trail.after(json!(settings));
    let new = checked_schedule(&access, settings).await?;
    let (author, now_us) = (access.caller.user.id.clone(), access.app.now_us());
    let row = access.workspace.schedules().create(new, Some(&author), now_us).await?;
    access.trail.subject(&row.id);
    redefine(&access).await?;
    Ok(Created(shown_schedule(&row, now_us)?))
}

async fn change_schedule(
    access: Access<DefinitionWrite>,
    (InPath(path), Body(settings)): (InPath<SchedulePath>, Body<ScheduleSettings>),
) -> Result<Answer<Schedule>> {
    let id = ScheduleId::parse(&path.schedule)?;
    let now_us = access.app.now_us();
    let before = access.workspace.schedules().get(&id).await?;
    access.trail.before(json!(shown_schedule(&before, now_us)?.settings));
    access.trail.after(json!(settings));
    let new = checked_schedule(&access, settings).await?;
    let row = access.workspace.schedules().change(&id, new, now_us).await?;
    redefine(&access).await?;
    Ok(Answer(shown_schedule(&row, now_us)?))
}

async fn remove_schedule(
    access: Access<DefinitionWrite>,
    InPath(path): InPath<SchedulePath>,
) -> Result<Done> {
    let id = ScheduleId::parse(&path.schedule)?;
    let before = access.workspace.schedules().get(&id).await?;
    access.trail.before(json!(shown_schedule(&before, access.app.now_us())?.settings));
    access.workspace.schedules().remove(&id).await?;
    redefine(&access).await?;
    Ok(Done)
}

fn shown_trigger(row: &store::Trigger, token: Option<&Secret>) -> Result<Trigger> {
    let settings: TriggerSettings =
        serde_json::from_value(row.settings.0.clone()).map_err(|error| {
            Problem::new(&codes::INTERNAL, "the settings of a trigger cannot be read").detail(error)
        })?;
    Ok(Trigger {
        id: row.id.to_string(),
        settings,
        active: row.is_active,
        last_fired_us: row.last_fired_at_us,
        token: token.map(|token| token.reveal().to_owned()),
    })
}

async fn triggers(access: Access<RunRead>, (): ()) -> Result<Answer<Triggers>> {
    let rows = access.workspace.triggers().list().await?;
    let items = rows.iter().map(|row| shown_trigger(row, None)).collect::<Result<_>>()?;
    Ok(Answer(Triggers { items }))
}

/// What a trigger mainly waits for.
fn kind(condition: &Condition) -> TriggerKind {
    match condition {
        Condition::Table(_) => TriggerKind::Table,
        Condition::Pipeline(_) => TriggerKind::Pipeline,
        Condition::File(_) => TriggerKind::File,
        Condition::Webhook => TriggerKind::Webhook,
        Condition::All(parts) | Condition::Any(parts) => {
            let is_hook = parts.iter().any(|part| kind(part) == TriggerKind::Webhook);
            let first = parts.first().map_or(TriggerKind::Table, kind);
            if is_hook { TriggerKind::Webhook } else { first }
        }
    }
}

fn check_condition(condition: &Condition) -> Result<()> {
    match condition {
        Condition::All(parts) | Condition::Any(parts) if parts.is_empty() => {
            Err(Problem::new(&codes::SETTING_INVALID, "a condition of no parts never holds")
                .in_setting("/when")
                .hint("name a table, a pipeline, a file or `webhook`"))
        }
        Condition::All(parts) | Condition::Any(parts) => parts.iter().try_for_each(check_condition),
        Condition::Table(name) => model::TableName::try_from(name.clone())
            .map(drop)
            .map_err(|problem| problem.in_setting("/when")),
        Condition::Pipeline(name) => {
            Name::new(name).map(drop).map_err(|problem| problem.in_setting("/when"))
        }
        Condition::File(pattern) if !stays_below(pattern) => {
            let fact = format!("`{pattern}` leaves the folder of the workspace");
            Err(Problem::new(&codes::PATH_REFUSED, fact)
                .in_setting("/when")
                .hint("write a path below the project's folder, such as `data/orders-*.csv`"))
        }
        Condition::File(_) | Condition::Webhook => Ok(()),
    }
}

async fn create_trigger(
    access: Access<DefinitionWrite>,
    Body(settings): Body<TriggerSettings>,
) -> Result<Created<Trigger>> {
    access.trail.after(json!(settings));
    check_condition(&settings.when)?;
    span_us(settings.quiet.as_deref()).map_err(|problem| problem.in_setting("/quiet"))?;
    let kind = kind(&settings.when);
    let token = (kind == TriggerKind::Webhook).then(|| random(HOOK_PREFIX)).transpose()?;
    let new = NewTrigger {
        name: checked_name(&settings.name, "/name")?,
        kind,
        pipeline: checked_pipeline(&access, &settings.pipeline).await?,
        settings: serde_json::to_value(&settings).unwrap_or(Value::Null),
        token: token.as_ref().map(fingerprint),
    };
    let row = access.workspace.triggers().create(new, access.app.now_us()).await?;
    access.trail.subject(&row.id);
    redefine(&access).await?;
    Ok(Created(shown_trigger(&row, token.as_ref())?))
}

async fn change_trigger(
    access: Access<DefinitionWrite>,
    (InPath(path), Body(change)): (InPath<TriggerPath>, Body<TriggerChange>),
) -> Result<Answer<Trigger>> {
    let id = TriggerId::parse(&path.trigger)?;
    access.workspace.triggers().set_active(&id, change.active).await?;
    access.trail.after(json!({"active": change.active}));
    redefine(&access).await?;
    Ok(Answer(shown_trigger(&access.workspace.triggers().get(&id).await?, None)?))
}

async fn remove_trigger(
    access: Access<DefinitionWrite>,
    InPath(path): InPath<TriggerPath>,
) -> Result<Done> {
    let id = TriggerId::parse(&path.trigger)?;
    let before = access.workspace.triggers().get(&id).await?;
    access.trail.before(before.settings.0);
    access.workspace.triggers().remove(&id).await?;
    redefine(&access).await?;
    Ok(Done)
}

async fn hook(anybody: Anybody, InPath(path): InPath<HookPath>) -> Result<Done> {
    let app = &anybody.app;
    let token = fingerprint(&Secret::new(path.token));
    let trigger = app.store.triggers().by_token(&token).await?.ok_or_else(|| {
        Problem::new(&codes::TOKEN_INVALID, "no trigger has this address")
            .hint("make a trigger that waits for a webhook, and use the address it is given")
    })?;
    let workspace = trigger.workspace_id;
    let name = signal(&Condition::Webhook, trigger.id.as_str()).unwrap_or_default();
    let serial = u64::try_from(app.now_us()).unwrap_or(0);
    app.wish(Wish::Signal(Told { workspace, signal: name, serial })).await?;
    Ok(Done)
}

async fn backfills(access: Access<RunRead>, (): ()) -> Result<Answer<Backfills>> {
    let rows = access.workspace.backfills().list().await?;
    let items = rows.iter().map(shown_backfill).collect::<Result<_>>()?;
    Ok(Answer(Backfills { items }))
}

fn shown_backfill(row: &store::Backfill) -> Result<Backfill> {
    let body: scheduler::Backfill =
        serde_json::from_value(row.body.0.clone()).map_err(|error| {
            Problem::new(&codes::INTERNAL, "a back-fill cannot be read").detail(error)
        })?;
    Ok(Backfill {
        id: Some(row.id.to_string()),
        pipeline: row.pipeline.clone(),
        intervals: body.intervals.iter().map(shown_interval).collect(),
        started: row.started,
        status: row.status.clone(),
        created_at_us: row.created_at_us,
    })
}

fn shown_interval(interval: &scheduler::Interval) -> Interval {
    Interval { from_us: interval.from_us, until_us: interval.until_us }
}

async fn start_backfill(
    access: Access<RunStart>,
    (InPath(path), Body(wanted)): (InPath<PipelinePath>, Body<StartBackfill>),
) -> Result<Accepted<Backfill>> {
    let row = access.workspace.pipelines().get(&path.pipeline).await?;
    let pipeline = Name::new(&row.name)?;
    let zone = wanted.zone.as_deref().unwrap_or("UTC");
    let calendar = calendar(&wanted.times, zone).map_err(|p| p.in_setting("/times"))?;
    let mut had = BTreeMap::new();
    for (end_us, status) in access.workspace.runs().intervals(&pipeline).await? {
        had.insert(end_us, run_end(status));
    }
    let options = BackfillOptions {
        from_us: wanted.from_us,
        until_us: wanted.until_us,
        reprocess: match wanted.reprocess {
            Reprocess::None => scheduler::Reprocess::None,
            Reprocess::Failed => scheduler::Reprocess::Failed,
            Reprocess::All => scheduler::Reprocess::All,
        },
        order: if wanted.newest_first { Order::NewestFirst } else { Order::OldestFirst },
    };
    let intervals = scheduler::Backfill::plan(&calendar, options, &had)?;
    let now_us = access.app.now_us();
    let mut shown = Backfill {
        id: None,
        pipeline: pipeline.to_string(),
        intervals: intervals.iter().map(shown_interval).collect(),
        started: 0,
        status: "planned".to_owned(),
        created_at_us: now_us,
    };
    if wanted.dry_run {
        return Ok(Accepted(shown));
    }
    let id = BackfillId::generate(now_us);
    access.trail.subject(&id);
    access.trail.after(json!({"pipeline": pipeline, "intervals": intervals.len()}));
    let wish = Wish::Backfill {
        id: id.clone(),
        workspace: access.workspace.id().clone(),
        pipeline,
        intervals: intervals.iter().map(|one| (one.from_us, one.until_us)).collect(),
        at_once: wanted.at_once.unwrap_or(1) as usize,
        params: Value::Object(wanted.params),
        by: Some(access.caller.user.id.clone()),
    };
    access.app.wish(wish).await?;
    (shown.id, shown.status) = (Some(id.to_string()), "running".to_owned());
    Ok(Accepted(shown))
}

/// How a run of an interval ended; one that goes on will end well.
fn run_end(status: RunStatus) -> RunEnd {
    match status {
        RunStatus::Queued | RunStatus::Running | RunStatus::Stopping | RunStatus::Succeeded => {
            RunEnd::Succeeded
        }
        RunStatus::Failed | RunStatus::Quarantined => RunEnd::Failed,
        RunStatus::Cancelled => RunEnd::Cancelled,
        RunStatus::TimedOut => RunEnd::TimedOut,
        RunStatus::Skipped => RunEnd::Skipped,
    }
}

async fn cancel_backfill(
    access: Access<RunStart>,
    InPath(path): InPath<BackfillPath>,
) -> Result<Answer<Backfill>> {
    let id = BackfillId::parse(&path.backfill)?;
    access.workspace.backfills().get(&id).await?;
    access.app.wish(Wish::CancelBackfill { id: id.clone() }).await?;
    Ok(Answer(shown_backfill(&access.workspace.backfills().get(&id).await?)?))
}

async fn pools(access: Access<RunRead>, (): ()) -> Result<Answer<Pools>> {
    let found = access.workspace.pools().list().await?;
    let items = found
        .into_iter()
        .map(|(name, slots)| Pool { name, slots: u32::try_from(slots).unwrap_or(0) });
    Ok(Answer(Pools { items: items.collect() }))
}

async fn set_pool(
    access: Access<DefinitionWrite>,
    (InPath(path), Body(size)): (InPath<PoolPath>, Body<PoolSize>),
) -> Result<Answer<Pool>> {
    let name = Name::new(&path.pool)?;
    access.workspace.pools().set(&name, Some(i64::from(size.slots))).await?;
    access.trail.after(json!({"slots": size.slots}));
    redefine(&access).await?;
    Ok(Answer(Pool { name: name.to_string(), slots: size.slots }))
}

async fn remove_pool(
    access: Access<DefinitionWrite>,
    InPath(path): InPath<PoolPath>,
) -> Result<Done> {
    access.workspace.pools().set(&Name::new(&path.pool)?, None).await?;
    redefine(&access).await?;
    Ok(Done)
}
