//! The runs of all workspaces as workers see them: taking, keeping and ending them.
//!
//! A worker has a run as long as its lease: what it says counts only while the run's lease epoch
//! is the one it was given. A worker that was thought lost and is not cannot end the run of its
//! successor.

use crate::entity::{attempt, check_result, node_run, run};
use crate::failure::Attempt;
use crate::rows;
use crate::runs::{self, Run};
use crate::store::Store;
use crate::transactions::Tx;
use crate::values::{RunIdText, Stored};
use crate::words::RunStatus;
use model::problem::StoredProblem;
use model::run::{NodeReport, RunId};
use model::{Name, Problem, Result, codes};
use sea_orm::ActiveValue::Set;
use sea_orm::prelude::*;
use sea_orm::{QueryOrder, QuerySelect};
use std::collections::BTreeMap;

/// The queue of runs.
#[derive(Debug, Clone)]
pub struct Queue {
    store: Store,
}

/// What makes a worker's word count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The run.
    pub run: RunId,
    /// Of the worker's attempt.
    pub epoch: i64,
}

/// How an attempt ended.
#[derive(Debug, Clone)]
pub struct Ending {
    /// What the run is from now on; `Queued` for once more.
    pub status: RunStatus,
    /// Rows read by sources.
    pub rows_in: i64,
    /// Rows written by sinks.
    pub rows_out: i64,
    /// Rows rejected.
    pub rows_rejected: i64,
    /// Why it failed.
    pub problem: Option<StoredProblem>,
    /// What each node has done.
    pub nodes: BTreeMap<Name, NodeReport>,
}

impl Queue {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Runs that wait, the one with the highest priority first, then the oldest.
    pub async fn waiting(&self, limit: u64) -> Result<Vec<Run>> {
        Ok(waiting(self.store.read(), limit).await?)
    }

    /// Runs that have not ended, of all workspaces: what a server looks at when it starts.
    pub async fn unfinished(&self) -> Result<Vec<Run>> {
        Ok(unfinished(self.store.read()).await?)
    }

    /// Gives a run that waits to a worker. One that somebody has, or that has ended, is
    /// `run_locked`.
    pub async fn claim(
        &self,
        id: &RunId,
        worker: &str,
        lease_until_us: i64,
        now_us: i64,
    ) -> Result<(Run, Lease)> {
        let input = (id.clone(), worker.to_owned(), lease_until_us, now_us);
        self.store
            .write(input, |tx, (id, worker, lease_until_us, now_us)| {
                Box::pin(claim(tx, id, worker, *lease_until_us, *now_us))
            })
            .await
    }

    /// Keeps a run for longer, and says whether it shall be stopped. A lease that is over is
    /// `run_locked`.
    pub async fn renew(&self, lease: &Lease, lease_until_us: i64) -> Result<bool> {
        let input = (lease.clone(), lease_until_us);
        self.store
            .write(input, |tx, (lease, lease_until_us)| Box::pin(renew(tx, lease, *lease_until_us)))
            .await
    }

    /// Ends an attempt, and says what the run is now; durable when this returns. A lease that is
    /// over is `run_locked`.
    pub async fn finish(&self, lease: &Lease, ending: Ending, now_us: i64) -> Result<Run> {
        let input = (lease.clone(), ending, now_us);
        self.store
            .write(input, |tx, (lease, ending, now_us)| {
                Box::pin(finish(tx, lease, ending, *now_us))
            })
            .await
    }

    /// Puts the runs whose lease is over back, and says which: their workers are lost.
    pub async fn reclaim(&self, now_us: i64) -> Result<Vec<Run>> {
        // Asked again and again; mostly there is nothing to write.
        if lost(self.store.read(), now_us).await?.is_empty() {
            return Ok(Vec::new());
        }
        self.store.write(now_us, |tx, now_us| Box::pin(reclaim(tx, *now_us))).await
    }
}

async fn waiting(db: &impl ConnectionTrait, limit: u64) -> Attempt<Vec<Run>> {
    let rows = run::Entity::find()
        .filter(run::Column::Status.eq(RunStatus::Queued))
        .order_by_desc(run::Column::Priority)
        .order_by_asc(run::Column::Id)
        .limit(limit)
        .all(db)
        .await?;
    Ok(rows.into_iter().map(Run::from).collect())
}

async fn unfinished(db: &impl ConnectionTrait) -> Attempt<Vec<Run>> {
    let rows = run::Entity::find()
        .filter(run::Column::Status.is_in([RunStatus::Queued, RunStatus::Running]))
        .order_by_asc(run::Column::Id)
        .all(db)
        .await?;
    Ok(rows.into_iter().map(Run::from).collect())
}

fn locked(id: &RunId) -> Problem {
    Problem::new(&codes::RUN_LOCKED, format!("run `{id}` is not this worker's"))
        .arg("run", id)
        .hint("leave it: another worker has it, or it has ended")
}

async fn find(tx: &Tx, id: &RunId) -> Attempt<run::Model> {
    let row = run::Entity::find_by_id(RunIdText(id.clone())).one(tx).await?;
    row.ok_or_else(|| runs::not_found(id).into())
}

async fn claim(
    tx: &Tx,
    id: &RunId,
    worker: &str,
    lease_until_us: i64,
    now_us: i64,
) -> Attempt<(Run, Lease)> {
    let mut row = find(tx, id).await?;
    if row.status != RunStatus::Queued {
        return Err(locked(id).into());
    }
    row.status = RunStatus::Running;
    row.lease_epoch += 1;
    row.lease_until_us = Some(lease_until_us);
    row.worker = Some(worker.to_owned());
    row.started_at_us = row.started_at_us.or(Some(now_us));
    let change = run::ActiveModel {
        status: Set(row.status),
        lease_epoch: Set(row.lease_epoch),
        lease_until_us: Set(row.lease_until_us),
        worker: Set(row.worker.clone()),
        started_at_us: Set(row.started_at_us),
        ..Default::default()
    };
    let filter = run::Column::Id.eq(row.id.clone());
    run::Entity::update_many().set(change).filter(filter).exec(tx).await?;
    let begun = attempt::Model {
        run_id: row.id.clone(),
        number: row.lease_epoch,
        workspace_id: row.workspace_id.clone(),
        worker: worker.to_owned(),
        started_at_us: now_us,
        ended_at_us: None,
        status: None,
        problem: None,
    };
    rows::insert(tx, begun).await?;
    let lease = Lease { run: id.clone(), epoch: row.lease_epoch };
    Ok((row.into(), lease))
}

/// Changes the run of a lease that is not over.
async fn apply(tx: &Tx, lease: &Lease, change: run::ActiveModel) -> Attempt<()> {
    let changed = run::Entity::update_many()
        .set(change)
        .filter(run::Column::Id.eq(RunIdText(lease.run.clone())))
        .filter(run::Column::LeaseEpoch.eq(lease.epoch))
        .filter(run::Column::Status.eq(RunStatus::Running))
        .exec(tx)
        .await?;
    match changed.rows_affected {
        0 => Err(locked(&lease.run).into()),
        _ => Ok(()),
    }
}

async fn renew(tx: &Tx, lease: &Lease, lease_until_us: i64) -> Attempt<bool> {
    let change =
        run::ActiveModel { lease_until_us: Set(Some(lease_until_us)), ..Default::default() };
    apply(tx, lease, change).await?;
    Ok(find(tx, &lease.run).await?.cancel_requested_at_us.is_some())
}

async fn finish(tx: &Tx, lease: &Lease, ending: &Ending, now_us: i64) -> Attempt<Run> {
    let problem = ending.problem.clone().map(Stored);
    let change = run::ActiveModel {
        status: Set(ending.status),
        ended_at_us: Set(ending.status.is_final().then_some(now_us)),
        lease_until_us: Set(None),
        rows_in: Set(ending.rows_in),
        rows_out: Set(ending.rows_out),
        rows_rejected: Set(ending.rows_rejected),
        problem: Set(problem.clone()),
        ..Default::default()
    };
    apply(tx, lease, change).await?;
    end_attempt(tx, lease, ending.status, problem, now_us).await?;
    let row = find(tx, &lease.run).await?;
    report(tx, &row, &ending.nodes, now_us).await?;
    Ok(row.into())
}

async fn end_attempt(
    tx: &Tx,
    lease: &Lease,
    status: RunStatus,
    problem: Option<Stored<StoredProblem>>,
    now_us: i64,
) -> Attempt<()> {
    let ended = attempt::ActiveModel {
        ended_at_us: Set(Some(now_us)),
        status: Set(Some(status)),
        problem: Set(problem),
        ..Default::default()
    };
    attempt::Entity::update_many()
        .set(ended)
        .filter(attempt::Column::RunId.eq(RunIdText(lease.run.clone())))
        .filter(attempt::Column::Number.eq(lease.epoch))
        .exec(tx)
        .await?;
    Ok(())
}

/// Replaces what is known about the nodes of a run.
async fn report(
    tx: &Tx,
    run: &run::Model,
    nodes: &BTreeMap<Name, NodeReport>,
    now_us: i64,
) -> Attempt<()> {
    let filter = node_run::Column::RunId.eq(run.id.clone());
    node_run::Entity::delete_many().filter(filter).exec(tx).await?;
    let filter = check_result::Column::RunId.eq(run.id.clone());
    check_result::Entity::delete_many().filter(filter).exec(tx).await?;
    let count = |rows: u64| i64::try_from(rows).unwrap_or(i64::MAX);
    let (mut node_rows, mut check_rows) = (Vec::with_capacity(nodes.len()), Vec::new());
    for (node, report) in nodes {
        node_rows.push(node_run::Model {
            run_id: run.id.clone(),
            node: node.to_string(),
            workspace_id: run.workspace_id.clone(),
            rows_in: count(report.rows_in),
            rows_out: count(report.rows_out),
            rows_rejected: count(report.rejects),
            elapsed_ms: count(report.elapsed_ms),
            report: Stored(report.clone()),
        });
        let check = |(check, offending): (&String, &u64)| check_result::Model {
            run_id: run.id.clone(),
            node: node.to_string(),
            check_name: check.clone(),
            workspace_id: run.workspace_id.clone(),
            offending: count(*offending),
            at_us: now_us,
        };
        check_rows.extend(report.findings.iter().map(check));
    }
    rows::insert_all(tx, node_rows).await?;
    rows::insert_all(tx, check_rows).await
}

/// Runs at work whose lease is over.
async fn lost(db: &impl ConnectionTrait, now_us: i64) -> Attempt<Vec<run::Model>> {
    Ok(run::Entity::find()
        .filter(run::Column::Status.eq(RunStatus::Running))
        .filter(run::Column::LeaseUntilUs.lte(now_us))
        .all(db)
        .await?)
}

async fn reclaim(tx: &Tx, now_us: i64) -> Attempt<Vec<Run>> {
    let lost = lost(tx, now_us).await?;
    let mut reclaimed = Vec::with_capacity(lost.len());
    for mut row in lost {
        let lease = Lease { run: row.id.0.clone(), epoch: row.lease_epoch };
        // Nobody is left who would hear that it shall be stopped.
        row.status = match row.cancel_requested_at_us {
            Some(_) => RunStatus::Cancelled,
            None => RunStatus::Queued,
        };
        row.ended_at_us = row.status.is_final().then_some(now_us);
        row.lease_until_us = None;
        let change = run::ActiveModel {
            status: Set(row.status),
            ended_at_us: Set(row.ended_at_us),
            lease_until_us: Set(None),
            ..Default::default()
        };
        apply(tx, &lease, change).await?;
        end_attempt(tx, &lease, row.status, None, now_us).await?;
        reclaimed.push(row.into());
    }
    Ok(reclaimed)
}
