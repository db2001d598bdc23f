//! What starts pipelines from outside: requests, tables, files, other pipelines.

use crate::entity::trigger;
use crate::failure::Attempt;
use crate::ids::{TokenHash, TriggerId, WorkspaceId};
use crate::store::Store;
use crate::transactions::Tx;
use crate::values::Stored;
use crate::words::TriggerKind;
use crate::{rows, workspaces};
use model::{Name, Problem, Result, codes};
use sea_orm::ActiveValue::Set;
use sea_orm::QueryOrder;
use sea_orm::prelude::*;

/// The triggers of one workspace.
#[derive(Debug, Clone)]
pub struct Triggers {
    store: Store,
    workspace: WorkspaceId,
}

/// A trigger to be added.
#[derive(Debug, Clone)]
pub struct NewTrigger {
    /// What people call it; unique in the workspace.
    pub name: String,
    /// What kind of trigger it is.
    pub kind: TriggerKind,
    /// The pipeline.
    pub pipeline: Name,
    /// What it waits for.
    pub settings: serde_json::Value,
    /// Hash of what a request must carry.
    pub token: Option<TokenHash>,
}

impl Triggers {
    pub(crate) fn new(store: Store, workspace: WorkspaceId) -> Self {
        Self { store, workspace }
    }

    /// Adds a trigger, which is active. A name that another has is a `conflict`.
    pub async fn create(&self, new: NewTrigger, now_us: i64) -> Result<trigger::Model> {
        let input = (self.workspace.clone(), new, now_us);
        self.store
            .write(input, |tx, (workspace, new, now_us)| Box::pin(add(tx, workspace, new, *now_us)))
            .await
    }

    /// The trigger with this id, or `not_found`.
    pub async fn get(&self, id: &TriggerId) -> Result<trigger::Model> {
        Ok(get(self.store.read(), &self.workspace, id).await?)
    }

    /// All of them by name.
    pub async fn list(&self) -> Result<Vec<trigger::Model>> {
        Ok(list(self.store.read(), &self.workspace).await?)
    }

    /// Lets it start runs, or no more; else `not_found`.
    pub async fn set_active(&self, id: &TriggerId, is_active: bool) -> Result<()> {
        let input = (self.workspace.clone(), id.clone(), is_active);
        self.store
            .write(input, |tx, (workspace, id, is_active)| {
                let change =
                    trigger::ActiveModel { is_active: Set(*is_active), ..Default::default() };
                Box::pin(apply(tx, workspace, id, change))
            })
            .await
    }

    /// Removes it, or `not_found`.
    pub async fn remove(&self, id: &TriggerId) -> Result<()> {
        let input = (self.workspace.clone(), id.clone());
        self.store.write(input, |tx, (workspace, id)| Box::pin(remove(tx, workspace, id))).await
    }
}

/// The triggers of all workspaces, as requests and events find them.
#[derive(Debug, Clone)]
pub struct AllTriggers {
    store: Store,
}

impl AllTriggers {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// The active trigger whose token has this hash.
    pub async fn by_token(&self, token: &TokenHash) -> Result<Option<trigger::Model>> {
        Ok(by_token(self.store.read(), token).await?)
    }
}

async fn by_token(db: &impl ConnectionTrait, token: &TokenHash) -> Attempt<Option<trigger::Model>> {
    Ok(trigger::Entity::find()
        .filter(trigger::Column::Token.eq(token.clone()))
        .filter(trigger::Column::IsActive.eq(true))
        .one(db)
        .await?)
}

async fn get(
    db: &impl ConnectionTrait,
    workspace: &WorkspaceId,
    id: &TriggerId,
) -> Attempt<trigger::Model> {
    let filter = trigger::Column::WorkspaceId.eq(workspace.clone());
    let row = trigger::Entity::find_by_id(id.clone()).filter(filter).one(db).await?;
    row.ok_or_else(|| TriggerId::not_found(id).into())
}

async fn list(db: &impl ConnectionTrait, workspace: &WorkspaceId) -> Attempt<Vec<trigger::Model>> {
    Ok(trigger::Entity::find()
        .filter(trigger::Column::WorkspaceId.eq(workspace.clone()))
        .order_by_asc(trigger::Column::Name)
        .all(db)
        .await?)
}

async fn add(
    tx: &Tx,
    workspace: &WorkspaceId,
    new: &NewTrigger,
    now_us: i64,
) -> Attempt<trigger::Model> {
    workspaces::find(tx, workspace).await?;
    let name = &new.name;
    if list(tx, workspace).await?.iter().any(|row| row.name == *name) {
        let message = format!("there is a trigger `{name}` already");
        return Err(Problem::new(&codes::CONFLICT, message)
            .arg("name", name)
            .hint("choose another name, or remove the one that is there")
            .into());
    }
    let row = trigger::Model {
        id: TriggerId::generate(now_us),
        workspace_id: workspace.clone(),
        name: name.clone(),
        kind: new.kind,
        pipeline: new.pipeline.to_string(),
        settings: Stored(new.settings.clone()),
        token: new.token.clone(),
        is_active: true,
        created_at_us: now_us,
        last_fired_at_us: None,
    };
    rows::insert(tx, row.clone()).await?;
    Ok(row)
}

async fn apply(
    tx: &Tx,
    workspace: &WorkspaceId,
    id: &TriggerId,
    change: trigger::ActiveModel,
) -> Attempt<()> {
    let changed = trigger::Entity::update_many()
        .set(change)
        .filter(trigger::Column::Id.eq(id.clone()))
        .filter(trigger::Column::WorkspaceId.eq(workspace.clone()))
        .exec(tx)
        .await?;
    match changed.rows_affected {
        0 => Err(TriggerId::not_found(id).into()),
        _ => Ok(()),
    }
}

async fn remove(tx: &Tx, workspace: &WorkspaceId, id: &TriggerId) -> Attempt<()> {
    get(tx, workspace, id).await?;
    trigger::Entity::delete_by_id(id.clone()).exec(tx).await?;
    Ok(())
}
