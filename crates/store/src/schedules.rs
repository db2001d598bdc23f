//! When pipelines are started by themselves.

use crate::entity::schedule;
use crate::failure::Attempt;
use crate::ids::{ScheduleId, UserId, WorkspaceId};
use crate::store::Store;
use crate::transactions::Tx;
use crate::values::Stored;
use crate::words::ScheduleStatus;
use crate::{rows, workspaces};
use model::{Name, Problem, Result, codes};
use sea_orm::ActiveValue::Set;
use sea_orm::prelude::*;
use sea_orm::{QueryOrder, QuerySelect};

/// The schedules of one workspace.
#[derive(Debug, Clone)]
pub struct Schedules {
    store: Store,
    workspace: WorkspaceId,
}

/// A schedule to be added, or what one shall become.
#[derive(Debug, Clone)]
pub struct NewSchedule {
    /// What people call it; unique in the workspace.
    pub name: String,
    /// The pipeline.
    pub pipeline: Name,
    /// Whether it is followed.
    pub status: ScheduleStatus,
    /// The scheduler's words for when.
    pub rule: serde_json::Value,
    /// The time zone, such as `Europe/Paris`.
    pub zone: String,
    /// What the runs are given.
    pub params: serde_json::Value,
    /// µs since the epoch: not before.
    pub start_at_us: Option<i64>,
    /// µs since the epoch: not after.
    pub end_at_us: Option<i64>,
}

impl Schedules {
    pub(crate) fn new(store: Store, workspace: WorkspaceId) -> Self {
        Self { store, workspace }
    }

    /// Adds a schedule. A name that another has is a `conflict`.
    pub async fn create(
        &self,
        new: NewSchedule,
        author: Option<&UserId>,
        now_us: i64,
    ) -> Result<schedule::Model> {
        let input = (self.workspace.clone(), new, author.cloned(), now_us);
        self.store
            .write(input, |tx, (workspace, new, author, now_us)| {
                Box::pin(add(tx, workspace, new, author.as_ref(), *now_us))
            })
            .await
    }

    /// The schedule with this id, or `not_found`.
    pub async fn get(&self, id: &ScheduleId) -> Result<schedule::Model> {
        Ok(get(self.store.read(), &self.workspace, id).await?)
    }

    /// All of them by name.
    pub async fn list(&self) -> Result<Vec<schedule::Model>> {
        Ok(list(self.store.read(), &self.workspace).await?)
    }

    /// Makes another one of it.
    pub async fn change(
        &self,
        id: &ScheduleId,
        new: NewSchedule,
        now_us: i64,
    ) -> Result<schedule::Model> {
        let input = (self.workspace.clone(), id.clone(), new, now_us);
        self.store
            .write(input, |tx, (workspace, id, new, now_us)| {
                Box::pin(change(tx, workspace, id, new, *now_us))
            })
            .await
    }

    /// Removes it, or `not_found`.
    pub async fn remove(&self, id: &ScheduleId) -> Result<()> {
        let input = (self.workspace.clone(), id.clone());
        self.store.write(input, |tx, (workspace, id)| Box::pin(remove(tx, workspace, id))).await
    }
}

async fn get(
    db: &impl ConnectionTrait,
    workspace: &WorkspaceId,
    id: &ScheduleId,
) -> Attempt<schedule::Model> {
    let filter = schedule::Column::WorkspaceId.eq(workspace.clone());
    let row = schedule::Entity::find_by_id(id.clone()).filter(filter).one(db).await?;
    row.ok_or_else(|| ScheduleId::not_found(id).into())
}

async fn list(db: &impl ConnectionTrait, workspace: &WorkspaceId) -> Attempt<Vec<schedule::Model>> {
    Ok(schedule::Entity::find()
        .filter(schedule::Column::WorkspaceId.eq(workspace.clone()))
        .order_by_asc(schedule::Column::Name)
        .all(db)
        .await?)
}

async fn refuse_taken(tx: &Tx, workspace: &WorkspaceId, name: &str) -> Attempt<()> {
    let found = schedule::Entity::find()
        .filter(schedule::Column::WorkspaceId.eq(workspace.clone()))
        .filter(schedule::Column::Name.eq(name))
        .limit(1)
        .one(tx)
        .await?;
    match found {
        None => Ok(()),
        Some(_) => {
            Err(Problem::new(&codes::CONFLICT, format!("there is a schedule `{name}` already"))
                .arg("name", name)
                .hint("choose another name, or change the one that is there")
                .into())
        }
    }
}

async fn add(
    tx: &Tx,
    workspace: &WorkspaceId,
    new: &NewSchedule,
    author: Option<&UserId>,
    now_us: i64,
) -> Attempt<schedule::Model> {
    workspaces::find(tx, workspace).await?;
    refuse_taken(tx, workspace, &new.name).await?;
    let row = schedule::Model {
        id: ScheduleId::generate(now_us),
        workspace_id: workspace.clone(),
        name: new.name.clone(),
        pipeline: new.pipeline.to_string(),
        status: new.status,
        rule: Stored(new.rule.clone()),
        zone: new.zone.clone(),
        params: Stored(new.params.clone()),
        start_at_us: new.start_at_us,
        end_at_us: new.end_at_us,
        fired_us: now_us,
        created_by: author.cloned(),
        created_at_us: now_us,
        updated_at_us: now_us,
    };
    rows::insert(tx, row.clone()).await?;
    Ok(row)
}

async fn change(
    tx: &Tx,
    workspace: &WorkspaceId,
    id: &ScheduleId,
    new: &NewSchedule,
    now_us: i64,
) -> Attempt<schedule::Model> {
    let old = get(tx, workspace, id).await?;
    if old.name != new.name {
        refuse_taken(tx, workspace, &new.name).await?;
    }
    // Another rule begins now, and what fell into a pause is not made up for.
    let is_new = old.rule.0 != new.rule || old.zone != new.zone;
    let is_resumed = old.status != new.status && new.status == ScheduleStatus::Active;
    let fired_us = if is_new || is_resumed { now_us.max(old.fired_us) } else { old.fired_us };
    let change = schedule::ActiveModel {
        name: Set(new.name.clone()),
        pipeline: Set(new.pipeline.to_string()),
        status: Set(new.status),
        rule: Set(Stored(new.rule.clone())),
        zone: Set(new.zone.clone()),
        params: Set(Stored(new.params.clone())),
        start_at_us: Set(new.start_at_us),
        end_at_us: Set(new.end_at_us),
        fired_us: Set(fired_us),
        updated_at_us: Set(now_us),
        ..Default::default()
    };
    let filter = schedule::Column::Id.eq(id.clone());
    schedule::Entity::update_many().set(change).filter(filter).exec(tx).await?;
    get(tx, workspace, id).await
}

async fn remove(tx: &Tx, workspace: &WorkspaceId, id: &ScheduleId) -> Attempt<()> {
    get(tx, workspace, id).await?;
    schedule::Entity::delete_by_id(id.clone()).exec(tx).await?;
    Ok(())
}
