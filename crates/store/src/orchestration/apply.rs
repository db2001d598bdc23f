//! The conditional writes of one decision: all or nothing.

use super::refused;
use crate::entity::{
    attempt, backfill, check_result, node_run, run, schedule, task, trigger, trigger_signal,
};
use crate::failure::Attempt;
use crate::ids::{BackfillId, ScheduleId, TriggerId, WorkspaceId};
use crate::rows;
use crate::transactions::Tx;
use crate::values::{RunIdText, Stored};
use crate::words::{AttemptEnd, RunStatus};
use model::Name;
use model::problem::StoredProblem;
use model::run::{NodeReport, RunId};
use sea_orm::ActiveValue::Set;
use sea_orm::IntoActiveModel;
use sea_orm::prelude::*;
use sea_orm::sea_query::{Alias, ExprTrait, OnConflict};
use serde_json::Value;
use std::collections::BTreeMap;

/// What one decision changes. Each thing is in each list at most once.
#[derive(Debug, Clone, Default)]
pub struct Writes {
    /// Runs that are new.
    pub new_runs: Vec<run::Model>,
    /// Runs that were there.
    pub runs: Vec<RunChange>,
    /// Tasks, new or not.
    pub tasks: Vec<TaskChange>,
    /// Leases that go on: run, task, epoch.
    pub renewals: Vec<(RunId, i64, i64)>,
    /// How long a lease lasts from now, in µs.
    pub lease_us: i64,
    /// Attempts that begin.
    pub begun: Vec<AttemptBegun>,
    /// Attempts that end.
    pub ended: Vec<AttemptEnded>,
    /// What tasks give on, or why they failed.
    pub results: Vec<TaskResult>,
    /// What data nodes have done.
    pub reports: Vec<RunReport>,
    /// Schedules: up to which instant their fires were, and are, done with.
    pub schedules: Vec<(ScheduleId, i64, i64)>,
    /// Signals that came.
    pub signals: Vec<SignalSeen>,
    /// Signals that a run was started for.
    pub used: Vec<SignalsUsed>,
    /// Back-fills that are new.
    pub new_backfills: Vec<NewBackfill>,
    /// Back-fills that have come further.
    pub backfills: Vec<BackfillChange>,
}

/// A run gets into another state. Refused when it is not in the state `was`.
#[derive(Debug, Clone)]
pub struct RunChange {
    /// The run.
    pub run: RunId,
    /// The scheduler's word for where it is.
    pub was: Value,
    /// And for where it gets.
    pub state: Value,
    /// What people see of that.
    pub status: RunStatus,
    /// µs since the epoch: it has to end by then.
    pub deadline_us: Option<i64>,
    /// µs since the epoch: people are told then that it is late.
    pub late_us: Option<i64>,
    /// Why it failed.
    pub problem: Option<StoredProblem>,
}

/// A task gets into another state. Refused when its epoch (0 without a row) is not `was_epoch`.
#[derive(Debug, Clone)]
pub struct TaskChange {
    /// The run.
    pub run: RunId,
    /// Its place in the plan.
    pub number: i64,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Its name.
    pub name: String,
    /// The epoch that it has.
    pub was_epoch: i64,
    /// The epoch that it gets.
    pub epoch: i64,
    /// Whether this takes away a lease that has run out; refused when it has not.
    pub lapsed: bool,
    /// What becomes of its lease.
    pub lease: LeaseChange,
    /// The scheduler's word for where it gets.
    pub state: Value,
    /// Attempts that have begun.
    pub attempts: i64,
    /// Attempts that failed.
    pub failures: i64,
    /// Attempts whose worker was lost.
    pub losses: i64,
    /// Children that shall not begin.
    pub not_taken: Vec<u32>,
    /// µs since the epoch, of the first attempt.
    pub started_at_us: Option<i64>,
    /// µs since the epoch.
    pub ended_at_us: Option<i64>,
}

/// What becomes of a task's lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeaseChange {
    /// It is a new one.
    New,
    /// It stays as it is.
    Kept,
    /// There is none.
    None,
}

/// An attempt begins.
#[derive(Debug, Clone)]
pub struct AttemptBegun {
    /// The run.
    pub run: RunId,
    /// The task.
    pub task: i64,
    /// From 1.
    pub number: i64,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Who tries.
    pub worker: String,
}

/// An attempt ends.
#[derive(Debug, Clone)]
pub struct AttemptEnded {
    /// The run.
    pub run: RunId,
    /// The task.
    pub task: i64,
    /// From 1.
    pub number: i64,
    /// How.
    pub end: AttemptEnd,
    /// Why it failed.
    pub problem: Option<StoredProblem>,
}

/// What a task gives on, or why it failed.
#[derive(Debug, Clone)]
pub struct TaskResult {
    /// The run.
    pub run: RunId,
    /// The task.
    pub task: i64,
    /// What it gives to later tasks.
    pub output: Option<Value>,
    /// What a person is asked.
    pub question: Option<Value>,
    /// What a person has answered.
    pub answer: Option<Value>,
    /// Why its last attempt failed.
    pub problem: Option<StoredProblem>,
}

/// What the data nodes of a run have done.
#[derive(Debug, Clone)]
pub struct RunReport {
    /// The run.
    pub run: RunId,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// By node.
    pub nodes: BTreeMap<Name, NodeReport>,
}

/// A signal came.
#[derive(Debug, Clone)]
pub struct SignalSeen {
    /// The trigger that waits for it.
    pub trigger: TriggerId,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The signal.
    pub signal: String,
    /// Its serial number; refused when the latest one is not lower.
    pub serial: i64,
    /// µs since the epoch: when the first one came that no run was started for.
    pub first_us: i64,
    /// µs since the epoch: when this one came.
    pub latest_us: i64,
}

/// A run was started for signals.
#[derive(Debug, Clone)]
pub struct SignalsUsed {
    /// The trigger.
    pub trigger: TriggerId,
    /// Signals, and the serial number up to which they are used.
    pub serials: Vec<(String, i64)>,
}

/// A back-fill begins.
#[derive(Debug, Clone)]
pub struct NewBackfill {
    /// Its row.
    pub row: backfill::Model,
}

/// A back-fill has come further. Refused when it has not started `was_started` runs.
#[derive(Debug, Clone)]
pub struct BackfillChange {
    /// The back-fill.
    pub backfill: BackfillId,
    /// How many runs it had started.
    pub was_started: i64,
    /// How many it has now.
    pub started: i64,
    /// The scheduler's word for where it is.
    pub status: String,
}

/// Writes everything, or says why not: then nothing may be committed.
pub(super) async fn apply(tx: &Tx, writes: &Writes, now_us: i64) -> Attempt<()> {
    rows::insert_all(tx, writes.new_runs.clone()).await?;
    for change in &writes.runs {
        change_run(tx, change, now_us).await?;
    }
    change_tasks(tx, writes, now_us).await?;
    for (run, number, epoch) in &writes.renewals {
        renew(tx, run, *number, *epoch, now_us + writes.lease_us).await?;
    }
    begin_attempts(tx, &writes.begun, now_us).await?;
    for ended in &writes.ended {
        end_attempt(tx, ended, now_us).await?;
    }
    for result in &writes.results {
        note_result(tx, result).await?;
    }
    for report in &writes.reports {
        note_report(tx, report, now_us).await?;
    }
    apply_starters(tx, writes, now_us).await
}

/// What starts runs: schedules, triggers, back-fills.
async fn apply_starters(tx: &Tx, writes: &Writes, now_us: i64) -> Attempt<()> {
    for (id, was_us, fired_us) in &writes.schedules {
        let change = schedule::ActiveModel { fired_us: Set(*fired_us), ..Default::default() };
        let done = schedule::Entity::update_many()
            .set(change)
            .filter(schedule::Column::Id.eq(id.clone()))
            .filter(schedule::Column::FiredUs.eq(*was_us))
            .exec(tx)
            .await?;
        demand(done.rows_affected, 1, "a schedule is not where it was")?;
    }
    for seen in &writes.signals {
        note_signal(tx, seen).await?;
    }
    for used in &writes.used {
        use_signals(tx, used, now_us).await?;
    }
    for new in &writes.new_backfills {
        rows::insert(tx, new.row.clone()).await?;
    }
    for change in &writes.backfills {
        let set = backfill::ActiveModel {
            started: Set(change.started),
            status: Set(change.status.clone()),
            ..Default::default()
        };
        let done = backfill::Entity::update_many()
            .set(set)
            .filter(backfill::Column::Id.eq(change.backfill.clone()))
            .filter(backfill::Column::Started.eq(change.was_started))
            .exec(tx)
            .await?;
        demand(done.rows_affected, 1, "a back-fill is not where it was")?;
    }
    Ok(())
}

fn demand(found: u64, wanted: u64, fact: &str) -> Attempt<()> {
    if found == wanted { Ok(()) } else { Err(refused(fact).into()) }
}

async fn change_run(tx: &Tx, change: &RunChange, now_us: i64) -> Attempt<()> {
    let begins = change.status == RunStatus::Running;
    let mut update = run::Entity::update_many()
        .set(run::ActiveModel {
            state: Set(Stored(change.state.clone())),
            status: Set(change.status),
            deadline_us: Set(change.deadline_us),
            late_us: Set(change.late_us),
            ended_at_us: Set(change.status.is_final().then_some(now_us)),
            problem: Set(change.problem.clone().map(Stored)),
            ..Default::default()
        })
        .filter(run::Column::Id.eq(RunIdText(change.run.clone())))
        .filter(run::Column::State.eq(Stored(change.was.clone())));
    if begins {
        let first = Expr::col(run::Column::StartedAtUs).if_null(now_us);
        update = update.col_expr(run::Column::StartedAtUs, first);
    }
    let done = update.exec(tx).await?;
    demand(done.rows_affected, 1, "a run is not where it was")
}

/// Tasks that are written by one statement: what becomes of the lease, and whether it had lapsed.
type Group = (LeaseChange, bool);

async fn change_tasks(tx: &Tx, writes: &Writes, now_us: i64) -> Attempt<()> {
    let mut groups: BTreeMap<Group, Vec<task::Model>> = BTreeMap::new();
    for change in &writes.tasks {
        let lease_until_us = match change.lease {
            LeaseChange::New => Some(now_us + writes.lease_us),
            LeaseChange::Kept | LeaseChange::None => None,
        };
        let row = task::Model {
            run_id: RunIdText(change.run.clone()),
            number: change.number,
            workspace_id: change.workspace.clone(),
            name: change.name.clone(),
            state: Stored(change.state.clone()),
            epoch: change.epoch,
            attempts: change.attempts,
            failures: change.failures,
            losses: change.losses,
            not_taken: Stored(change.not_taken.clone()),
            lease_until_us,
            started_at_us: change.started_at_us,
            ended_at_us: change.ended_at_us,
            output: None,
            answer: None,
            question: None,
            problem: None,
        };
        groups.entry((change.lease, change.lapsed)).or_default().push(row);
    }
    for (group, tasks) in groups {
        for tasks in tasks.chunks(ROWS_MAX) {
            write_tasks(tx, group, tasks, now_us).await?;
        }
    }
    Ok(())
}

/// Rows of one statement: each takes seventeen of its 32 766 values.
const ROWS_MAX: usize = 500;

async fn write_tasks(tx: &Tx, group: Group, tasks: &[task::Model], now_us: i64) -> Attempt<()> {
    use task::Column::{
        Attempts, EndedAtUs, Epoch, Failures, LeaseUntilUs, Losses, NotTaken, Number, Question,
        RunId, StartedAtUs, State,
    };
    let (lease, lapsed) = group;
    let mut columns = vec![State, Epoch, Attempts, Failures, Losses, NotTaken, EndedAtUs, Question];
    if lease != LeaseChange::Kept {
        columns.push(LeaseUntilUs);
    }
    let there = |column: task::Column| Expr::col((task::Entity, column));
    let given = |column: task::Column| Expr::col((Alias::new("excluded"), column));
    // A new lease raises the epoch by one; nothing else does.
    let raise = i64::from(lease == LeaseChange::New);
    let mut as_expected = there(Epoch).eq(given(Epoch).sub(raise));
    if lapsed {
        as_expected = as_expected.and(there(LeaseUntilUs).lte(now_us));
    }
    let started = there(StartedAtUs).if_null(given(StartedAtUs));
    let mut conflict = OnConflict::columns([RunId, Number]);
    conflict.update_columns(columns).value(StartedAtUs, started).action_and_where(as_expected);
    let models = tasks.iter().cloned().map(IntoActiveModel::into_active_model);
    let written = task::Entity::insert_many::<task::ActiveModel, _>(models)
        .on_conflict(conflict)
        .exec_without_returning(tx)
        .await?;
    demand(written, tasks.len() as u64, "a task is not where it was")
}

async fn renew(tx: &Tx, run: &RunId, number: i64, epoch: i64, until_us: i64) -> Attempt<()> {
    let change = task::ActiveModel { lease_until_us: Set(Some(until_us)), ..Default::default() };
    let done = task::Entity::update_many()
        .set(change)
        .filter(task::Column::RunId.eq(RunIdText(run.clone())))
        .filter(task::Column::Number.eq(number))
        .filter(task::Column::Epoch.eq(epoch))
        .filter(task::Column::LeaseUntilUs.is_not_null())
        .exec(tx)
        .await?;
    demand(done.rows_affected, 1, "a lease is not there any more")
}

async fn begin_attempts(tx: &Tx, begun: &[AttemptBegun], now_us: i64) -> Attempt<()> {
    let row = |begun: &AttemptBegun| attempt::Model {
        run_id: RunIdText(begun.run.clone()),
        task: begun.task,
        number: begun.number,
        workspace_id: begun.workspace.clone(),
        worker: begun.worker.clone(),
        started_at_us: now_us,
        ended_at_us: None,
        end: None,
        problem: None,
    };
    rows::insert_all(tx, begun.iter().map(row).collect()).await
}

async fn end_attempt(tx: &Tx, ended: &AttemptEnded, now_us: i64) -> Attempt<()> {
    let change = attempt::ActiveModel {
        ended_at_us: Set(Some(now_us)),
        end: Set(Some(ended.end)),
        problem: Set(ended.problem.clone().map(Stored)),
        ..Default::default()
    };
    attempt::Entity::update_many()
        .set(change)
        .filter(attempt::Column::RunId.eq(RunIdText(ended.run.clone())))
        .filter(attempt::Column::Task.eq(ended.task))
        .filter(attempt::Column::Number.eq(ended.number))
        .filter(attempt::Column::EndedAtUs.is_null())
        .exec(tx)
        .await?;
    Ok(())
}

async fn note_result(tx: &Tx, result: &TaskResult) -> Attempt<()> {
    let mut change = task::ActiveModel {
        problem: Set(result.problem.clone().map(Stored)),
        question: Set(result.question.clone().map(Stored)),
        ..Default::default()
    };
    if let Some(output) = &result.output {
        change.output = Set(Some(Stored(output.clone())));
    }
    if let Some(answer) = &result.answer {
        change.answer = Set(Some(Stored(answer.clone())));
    }
    task::Entity::update_many()
        .set(change)
        .filter(task::Column::RunId.eq(RunIdText(result.run.clone())))
        .filter(task::Column::Number.eq(result.task))
        .exec(tx)
        .await?;
    Ok(())
}

/// Replaces what is known about the data nodes of a run.
async fn note_report(tx: &Tx, report: &RunReport, now_us: i64) -> Attempt<()> {
    let id = RunIdText(report.run.clone());
    let filter = node_run::Column::RunId.eq(id.clone());
    node_run::Entity::delete_many().filter(filter).exec(tx).await?;
    let filter = check_result::Column::RunId.eq(id.clone());
    check_result::Entity::delete_many().filter(filter).exec(tx).await?;
    let count = |rows: u64| i64::try_from(rows).unwrap_or(i64::MAX);
    let (mut node_rows, mut check_rows) = (Vec::with_capacity(report.nodes.len()), Vec::new());
    let mut sums = [0_u64; 3];
    for (node, done) in &report.nodes {
        sums = [sums[0] + done.rows_in, sums[1] + done.rows_out, sums[2] + done.rejects];
        node_rows.push(node_run::Model {
            run_id: id.clone(),
            node: node.to_string(),
            workspace_id: report.workspace.clone(),
            rows_in: count(done.rows_in),
            rows_out: count(done.rows_out),
            rows_rejected: count(done.rejects),
            elapsed_ms: count(done.elapsed_ms),
            report: Stored(done.clone()),
        });
        let check = |(check, offending): (&String, &u64)| check_result::Model {
            run_id: id.clone(),
            node: node.to_string(),
            check_name: check.clone(),
            workspace_id: report.workspace.clone(),
            offending: count(*offending),
            at_us: now_us,
        };
        check_rows.extend(done.findings.iter().map(check));
    }
    rows::insert_all(tx, node_rows).await?;
    rows::insert_all(tx, check_rows).await?;
    let change = run::ActiveModel {
        rows_in: Set(count(sums[0])),
        rows_out: Set(count(sums[1])),
        rows_rejected: Set(count(sums[2])),
        ..Default::default()
    };
    run::Entity::update_many().set(change).filter(run::Column::Id.eq(id)).exec(tx).await?;
    Ok(())
}

async fn note_signal(tx: &Tx, seen: &SignalSeen) -> Attempt<()> {
    use trigger_signal::Column::{FirstUs, Latest, LatestUs, Signal, TriggerId};
    let row = trigger_signal::Model {
        trigger_id: seen.trigger.clone(),
        signal: seen.signal.clone(),
        workspace_id: seen.workspace.clone(),
        latest: seen.serial,
        used: 0,
        first_us: seen.first_us,
        latest_us: seen.latest_us,
    };
    let lower = Expr::col((trigger_signal::Entity, Latest)).lt(seen.serial);
    let mut conflict = OnConflict::columns([TriggerId, Signal]);
    conflict.update_columns([Latest, FirstUs, LatestUs]).action_and_where(lower);
    let written = trigger_signal::Entity::insert(row.into_active_model())
        .on_conflict(conflict)
        .exec_without_returning(tx)
        .await?;
    demand(written, 1, "a later signal was noted")
}

async fn use_signals(tx: &Tx, used: &SignalsUsed, now_us: i64) -> Attempt<()> {
    for (signal, serial) in &used.serials {
        let change = trigger_signal::ActiveModel { used: Set(*serial), ..Default::default() };
        trigger_signal::Entity::update_many()
            .set(change)
            .filter(trigger_signal::Column::TriggerId.eq(used.trigger.clone()))
            .filter(trigger_signal::Column::Signal.eq(signal.clone()))
            .exec(tx)
            .await?;
    }
    let change = trigger::ActiveModel { last_fired_at_us: Set(Some(now_us)), ..Default::default() };
    trigger::Entity::update_many()
        .set(change)
        .filter(trigger::Column::Id.eq(used.trigger.clone()))
        .exec(tx)
        .await?;
    Ok(())
}
