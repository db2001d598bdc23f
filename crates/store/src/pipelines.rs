//! The pipelines of a workspace, each with the plan that new runs get.

use crate::entity::{pipeline, plan};
use crate::failure::Attempt;
use crate::ids::WorkspaceId;
use crate::rows;
use crate::store::Store;
use crate::transactions::Tx;
use crate::values::Stored;
use crate::workspaces;
use model::plan::Plan;
use model::{Problem, Result, codes};
use sea_orm::ActiveValue::Set;
use sea_orm::prelude::*;
use sea_orm::{QueryOrder, QuerySelect};
use std::collections::{HashMap, HashSet};

/// The pipelines of one workspace.
#[derive(Debug, Clone)]
pub struct Pipelines {
    store: Store,
    workspace: WorkspaceId,
}

/// A pipeline as its documents say.
#[derive(Debug, Clone)]
pub struct NewPipeline {
    /// What runs consist of.
    pub plan: Plan,
    /// What it is for.
    pub description: String,
    /// Words it is selected by.
    pub tags: Vec<String>,
}

impl Pipelines {
    pub(crate) fn new(store: Store, workspace: WorkspaceId) -> Self {
        Self { store, workspace }
    }

    /// All of them by name.
    pub async fn list(&self) -> Result<Vec<pipeline::Model>> {
        Ok(list(self.store.read(), &self.workspace).await?)
    }

    /// The pipeline `name`, or `name_unknown`.
    pub async fn get(&self, name: &str) -> Result<pipeline::Model> {
        Ok(get(self.store.read(), &self.workspace, name).await?)
    }

    /// Makes these the pipelines of the workspace. Gives the names of those that are new or have
    /// changed, and of those that are gone.
    pub async fn publish(
        &self,
        all: Vec<NewPipeline>,
        now_us: i64,
    ) -> Result<(Vec<String>, Vec<String>)> {
        let input = (self.workspace.clone(), all, now_us);
        self.store
            .write(input, |tx, (workspace, all, now_us)| {
                Box::pin(publish(tx, workspace, all, *now_us))
            })
            .await
    }

    /// Holds back its runs by schedules and triggers, or lets them begin.
    pub async fn set_paused(&self, name: &str, is_paused: bool) -> Result<()> {
        let input = (self.workspace.clone(), name.to_owned(), is_paused);
        self.store
            .write(input, |tx, (workspace, name, is_paused)| {
                Box::pin(async move {
                    get(tx, workspace, name).await?;
                    let change =
                        pipeline::ActiveModel { is_paused: Set(*is_paused), ..Default::default() };
                    change_one(tx, workspace, name, change).await
                })
            })
            .await
    }
}

async fn list(db: &impl ConnectionTrait, workspace: &WorkspaceId) -> Attempt<Vec<pipeline::Model>> {
    Ok(pipeline::Entity::find()
        .filter(pipeline::Column::WorkspaceId.eq(workspace.clone()))
        .order_by_asc(pipeline::Column::Name)
        .all(db)
        .await?)
}

async fn get(
    db: &impl ConnectionTrait,
    workspace: &WorkspaceId,
    name: &str,
) -> Attempt<pipeline::Model> {
    let key = (workspace.clone(), name.to_owned());
    let row = pipeline::Entity::find_by_id(key).one(db).await?;
    row.ok_or_else(|| {
        Problem::new(&codes::NAME_UNKNOWN, format!("there is no pipeline `{name}`"))
            .arg("pipeline", name)
            .hint("look it up in the list of pipelines of this workspace")
            .into()
    })
}

async fn change_one(
    tx: &Tx,
    workspace: &WorkspaceId,
    name: &str,
    change: pipeline::ActiveModel,
) -> Attempt<()> {
    pipeline::Entity::update_many()
        .set(change)
        .filter(pipeline::Column::WorkspaceId.eq(workspace.clone()))
        .filter(pipeline::Column::Name.eq(name))
        .exec(tx)
        .await?;
    Ok(())
}

async fn publish(
    tx: &Tx,
    workspace: &WorkspaceId,
    all: &[NewPipeline],
    now_us: i64,
) -> Attempt<(Vec<String>, Vec<String>)> {
    workspaces::find(tx, workspace).await?;
    let there: HashMap<String, pipeline::Model> =
        list(tx, workspace).await?.into_iter().map(|row| (row.name.clone(), row)).collect();
    add_plans(tx, workspace, all).await?;
    let (mut added, mut changed) = (Vec::new(), Vec::new());
    for new in all {
        let mut row = pipeline::Model {
            workspace_id: workspace.clone(),
            name: new.plan.pipeline.to_string(),
            plan: new.plan.hash.clone(),
            description: new.description.clone(),
            tags: Stored(new.tags.clone()),
            is_paused: false,
            updated_at_us: now_us,
        };
        let Some(old) = there.get(&row.name) else {
            changed.push(row.name.clone());
            added.push(row);
            continue;
        };
        (row.is_paused, row.updated_at_us) = (old.is_paused, old.updated_at_us);
        if row != *old {
            changed.push(row.name.clone());
            let change = pipeline::ActiveModel {
                plan: Set(row.plan),
                description: Set(row.description),
                tags: Set(row.tags),
                updated_at_us: Set(now_us),
                ..Default::default()
            };
            change_one(tx, workspace, &row.name, change).await?;
        }
    }
    rows::insert_all(tx, added).await?;
    let named: HashSet<&str> = all.iter().map(|new| new.plan.pipeline.as_str()).collect();
    let gone: Vec<String> =
        there.into_keys().filter(|name| !named.contains(name.as_str())).collect();
    for name in &gone {
        let key = (workspace.clone(), name.clone());
        pipeline::Entity::delete_by_id(key).exec(tx).await?;
    }
    Ok((changed, gone))
}

async fn add_plans(tx: &Tx, workspace: &WorkspaceId, all: &[NewPipeline]) -> Attempt<()> {
    let there: Vec<String> = plan::Entity::find()
        .select_only()
        .column(plan::Column::Hash)
        .filter(plan::Column::WorkspaceId.eq(workspace.clone()))
        .into_tuple()
        .all(tx)
        .await?;
    let mut known: HashSet<String> = there.into_iter().collect();
    let new = all.iter().filter(|new| known.insert(new.plan.hash.clone()));
    let row = |new: &NewPipeline| plan::Model {
        workspace_id: workspace.clone(),
        hash: new.plan.hash.clone(),
        plan: Stored(new.plan.clone()),
    };
    rows::insert_all(tx, new.map(row).collect()).await
}
