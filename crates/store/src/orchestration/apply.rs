//! The conditional writes of one decision: all or nothing.

use super::refused;
use super::writes::{
    AttemptBegun, AttemptEnded, LeaseChange, RunChange, RunReport, SignalSeen, SignalsUsed,
    TaskChange, TaskResult, Writes,
};
use crate::alerts;
use crate::entity::{
    attempt, backfill, check_result, node_run, plan, run, schedule, task, trigger, trigger_signal,
};
use crate::failure::Attempt;
use crate::ids::WorkspaceId;
use crate::rows;
use crate::transactions::Tx;
use crate::values::{RunIdText, Stored};
use crate::words::RunStatus;
use model::run::RunId;
use sea_orm::ActiveValue::Set;
use sea_orm::prelude::*;
use sea_orm::sea_query::{Alias, ExprTrait, OnConflict};
use sea_orm::{IntoActiveModel, QuerySelect};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::RangeInclusive;

/// Writes everything, or says why not: then nothing may be committed.
pub(super) async fn apply(tx: &Tx, writes: &Writes, now_us: i64) -> Attempt<()> {
    begin_runs(tx, &writes.new_runs).await?;
    for change in &writes.runs {
        change_run(tx, change, now_us).await?;
    }
    renew_leases(tx, writes, now_us).await?;
    change_tasks(tx, writes, now_us).await?;
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
    for (workspace, notice) in &writes.notices {
        alerts::announce(tx, workspace, notice, now_us).await?;
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

/// A run whose plan is gone could not be read again, and whoever begins it may know a plan that was
/// replaced and removed meanwhile.
async fn begin_runs(tx: &Tx, runs: &[run::Model]) -> Attempt<()> {
    let plans: BTreeSet<(WorkspaceId, String)> =
        runs.iter().map(|run| (run.workspace_id.clone(), run.plan.clone())).collect();
    let plans = Vec::from_iter(plans);
    for plans in plans.chunks(ROWS_MAX) {
        let found: Vec<(WorkspaceId, String)> = plan::Entity::find()
            .select_only()
            .columns([plan::Column::WorkspaceId, plan::Column::Hash])
            .filter(plan::Column::Hash.is_in(plans.iter().map(|(_, hash)| hash)))
            .into_tuple()
            .all(tx)
            .await?;
        let found = BTreeSet::from_iter(&found);
        let count = plans.iter().filter(|plan| found.contains(plan)).count();
        demand(count as u64, plans.len() as u64, "the plan of a run is gone")?;
    }
    rows::insert_all(tx, runs.to_vec()).await
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

/// Tasks that are written by one statement: what becomes of the lease, whether it had lapsed, and
/// by how much the epoch rises.
type Group = (LeaseChange, bool, i64);

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
        let raise = change.epoch - change.was_epoch;
        groups.entry((change.lease, change.lapsed, raise)).or_default().push(row);
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
    let (lease, lapsed, raise) = group;
    let mut columns = vec![State, Epoch, Attempts, Failures, Losses, NotTaken, EndedAtUs, Question];
    if lease != LeaseChange::Kept {
        columns.push(LeaseUntilUs);
    }
    let there = |column: task::Column| Expr::col((task::Entity, column));
    let given = |column: task::Column| Expr::col((Alias::new("excluded"), column));
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

/// A lease may be renewed and given back in one turn, so this comes before the tasks change. One
/// that only begins in this turn lasts as long as a renewal would make it.
async fn renew_leases(tx: &Tx, writes: &Writes, now_us: i64) -> Attempt<()> {
    let begun = |change: &TaskChange| {
        let epochs = change.was_epoch + 1..=change.epoch;
        ((change.run.to_string(), change.number), epochs)
    };
    let begun: HashMap<(String, i64), RangeInclusive<i64>> =
        writes.tasks.iter().map(begun).collect();
    for (run, number, epoch) in &writes.renewals {
        let epochs = begun.get(&(run.to_string(), *number));
        if !epochs.is_some_and(|epochs| epochs.contains(epoch)) {
            renew(tx, run, *number, *epoch, now_us + writes.lease_us).await?;
        }
    }
    Ok(())
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
