//! Reading all that decides what runs next.

use crate::entity::{
    backfill, pipeline, plan, pool, quota, run, schedule, task, trigger, trigger_signal, workspace,
};
use crate::failure::Attempt;
use crate::words::RunStatus;
use sea_orm::prelude::*;
use sea_orm::sea_query::Query;

/// What the database holds when a server begins to lead.
#[derive(Debug, Clone)]
pub struct Everything {
    /// The workspaces.
    pub workspaces: Vec<workspace::Model>,
    /// How much they may have.
    pub quotas: Vec<quota::Model>,
    /// Pools.
    pub pools: Vec<pool::Model>,
    /// Pipelines.
    pub pipelines: Vec<pipeline::Model>,
    /// The plans of pipelines and of runs that have not ended.
    pub plans: Vec<plan::Model>,
    /// Schedules.
    pub schedules: Vec<schedule::Model>,
    /// Triggers that are active.
    pub triggers: Vec<trigger::Model>,
    /// What they have seen.
    pub signals: Vec<trigger_signal::Model>,
    /// Back-fills that have not ended.
    pub backfills: Vec<backfill::Model>,
    /// Runs that have not ended.
    pub runs: Vec<run::Model>,
    /// Their tasks.
    pub tasks: Vec<task::Model>,
}

const OPEN: [RunStatus; 3] = [RunStatus::Queued, RunStatus::Running, RunStatus::Stopping];

pub(super) async fn load(db: &impl ConnectionTrait) -> Attempt<Everything> {
    let open_runs = || {
        Query::select()
            .column(run::Column::Id)
            .from(run::Entity)
            .and_where(run::Column::Status.is_in(OPEN))
            .to_owned()
    };
    let plans_of_runs = Query::select()
        .column(run::Column::Plan)
        .from(run::Entity)
        .and_where(run::Column::Status.is_in(OPEN))
        .to_owned();
    let plans_of_pipelines =
        Query::select().column(pipeline::Column::Plan).from(pipeline::Entity).to_owned();
    let plans = sea_orm::Condition::any()
        .add(plan::Column::Hash.in_subquery(plans_of_runs))
        .add(plan::Column::Hash.in_subquery(plans_of_pipelines));
    let of_open_runs = task::Column::RunId.in_subquery(open_runs());
    Ok(Everything {
        workspaces: workspace::Entity::find().all(db).await?,
        quotas: quota::Entity::find().all(db).await?,
        pools: pool::Entity::find().all(db).await?,
        pipelines: pipeline::Entity::find().all(db).await?,
        plans: plan::Entity::find().filter(plans).all(db).await?,
        schedules: schedule::Entity::find().all(db).await?,
        triggers: trigger::Entity::find()
            .filter(trigger::Column::IsActive.eq(true))
            .all(db)
            .await?,
        signals: trigger_signal::Entity::find().all(db).await?,
        backfills: backfill::Entity::find()
            .filter(backfill::Column::Status.is_in(["running", "stopping"]))
            .all(db)
            .await?,
        runs: run::Entity::find().filter(run::Column::Status.is_in(OPEN)).all(db).await?,
        tasks: task::Entity::find().filter(of_open_runs).all(db).await?,
    })
}
