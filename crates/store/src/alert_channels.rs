//! Ways in which people are told of something: mail, chat, requests to other programs.

use crate::alert_rules;
use crate::entity::alert_channel;
use crate::failure::Attempt;
use crate::ids::{AlertChannelId, UserId, WorkspaceId};
use crate::store::Store;
use crate::transactions::Tx;
use crate::values::Stored;
use crate::{rows, workspaces};
use model::problem::StoredProblem;
use model::{Problem, Result, codes};
use sea_orm::ActiveValue::Set;
use sea_orm::QueryOrder;
use sea_orm::prelude::*;

/// A workspace has at most so many.
const CHANNELS_MAX: usize = 100;

/// The channels of one workspace.
#[derive(Debug, Clone)]
pub struct AlertChannels {
    store: Store,
    workspace: WorkspaceId,
}

/// A channel to be put in.
#[derive(Debug, Clone)]
pub struct NewAlertChannel {
    /// What people call it; unique in the workspace.
    pub name: String,
    /// What may be shown of it.
    pub settings: serde_json::Value,
    /// What must not be shown, sealed for the channel's id.
    pub sealed: String,
}

impl AlertChannels {
    pub(crate) fn new(store: Store, workspace: WorkspaceId) -> Self {
        Self { store, workspace }
    }

    /// Adds a channel under an id that was generated for it, which its secrets are bound to. A
    /// name that another has is a `conflict`.
    pub async fn create(
        &self,
        id: AlertChannelId,
        new: NewAlertChannel,
        created_by: Option<&UserId>,
        now_us: i64,
    ) -> Result<alert_channel::Model> {
        let row = alert_channel::Model {
            id,
            workspace_id: self.workspace.clone(),
            name: new.name,
            settings: Stored(new.settings),
            sealed: new.sealed,
            created_by: created_by.cloned(),
            created_at_us: now_us,
            updated_at_us: now_us,
            sent_at_us: None,
            problem: None,
        };
        self.store.write(row, |tx, row| Box::pin(add(tx, row))).await
    }

    /// The channel with this id, or `not_found`.
    pub async fn get(&self, id: &AlertChannelId) -> Result<alert_channel::Model> {
        Ok(get(self.store.read(), &self.workspace, id).await?)
    }

    /// All of them by name.
    pub async fn list(&self) -> Result<Vec<alert_channel::Model>> {
        Ok(list(self.store.read(), &self.workspace).await?)
    }

    /// Puts another content in the place of the one that is there. A channel that has been changed
    /// since `seen_us` is a `conflict`.
    pub async fn change(
        &self,
        id: &AlertChannelId,
        new: NewAlertChannel,
        seen_us: i64,
        now_us: i64,
    ) -> Result<alert_channel::Model> {
        let input = (self.workspace.clone(), id.clone(), new, seen_us, now_us);
        self.store
            .write(input, |tx, (workspace, id, new, seen_us, now_us)| {
                Box::pin(change(tx, workspace, id, new, *seen_us, *now_us))
            })
            .await
    }

    /// Removes it with the messages that wait for it. One that a rule names is a `conflict`.
    pub async fn remove(&self, id: &AlertChannelId) -> Result<()> {
        let input = (self.workspace.clone(), id.clone());
        self.store.write(input, |tx, (workspace, id)| Box::pin(remove(tx, workspace, id))).await
    }
}

/// The row of a channel, or `not_found`.
pub(crate) async fn get(
    db: &impl ConnectionTrait,
    workspace: &WorkspaceId,
    id: &AlertChannelId,
) -> Attempt<alert_channel::Model> {
    let filter = alert_channel::Column::WorkspaceId.eq(workspace.clone());
    let row = alert_channel::Entity::find_by_id(id.clone()).filter(filter).one(db).await?;
    row.ok_or_else(|| AlertChannelId::not_found(id).into())
}

async fn list(
    db: &impl ConnectionTrait,
    workspace: &WorkspaceId,
) -> Attempt<Vec<alert_channel::Model>> {
    Ok(alert_channel::Entity::find()
        .filter(alert_channel::Column::WorkspaceId.eq(workspace.clone()))
        .order_by_asc(alert_channel::Column::Name)
        .all(db)
        .await?)
}

fn check_name(
    rows: &[alert_channel::Model],
    name: &str,
    own: Option<&AlertChannelId>,
) -> Result<()> {
    if !rows.iter().any(|row| row.name == name && Some(&row.id) != own) {
        return Ok(());
    }
    Err(Problem::new(&codes::CONFLICT, format!("there is a channel `{name}` already"))
        .arg("name", name)
        .hint("choose another name"))
}

async fn add(tx: &Tx, row: &alert_channel::Model) -> Attempt<alert_channel::Model> {
    workspaces::find(tx, &row.workspace_id).await?;
    let rows = list(tx, &row.workspace_id).await?;
    check_name(&rows, &row.name, None)?;
    if rows.len() >= CHANNELS_MAX {
        let message = format!("the workspace has {CHANNELS_MAX} channels, which is the limit");
        return Err(Problem::new(&codes::CONFLICT, message).hint("remove one first").into());
    }
    rows::insert(tx, row.clone()).await?;
    Ok(row.clone())
}

async fn change(
    tx: &Tx,
    workspace: &WorkspaceId,
    id: &AlertChannelId,
    new: &NewAlertChannel,
    seen_us: i64,
    now_us: i64,
) -> Attempt<alert_channel::Model> {
    let mut row = get(tx, workspace, id).await?;
    if row.updated_at_us != seen_us {
        let message = format!("the channel `{}` has been changed in the meantime", row.name);
        return Err(Problem::new(&codes::CONFLICT, message)
            .hint("look at it once more, then change it")
            .into());
    }
    check_name(&list(tx, workspace).await?, &new.name, Some(id))?;
    row.name.clone_from(&new.name);
    row.settings = Stored(new.settings.clone());
    row.sealed.clone_from(&new.sealed);
    row.updated_at_us = now_us.max(seen_us + 1);
    row.problem = None;
    let values = alert_channel::ActiveModel {
        name: Set(row.name.clone()),
        settings: Set(row.settings.clone()),
        sealed: Set(row.sealed.clone()),
        updated_at_us: Set(row.updated_at_us),
        problem: Set(None),
        ..Default::default()
    };
    update(tx, id, values).await?;
    Ok(row)
}

/// Notes how the last attempt to send something through the channel ended.
pub(crate) async fn record(
    tx: &Tx,
    id: &AlertChannelId,
    problem: Option<&StoredProblem>,
    now_us: i64,
) -> Attempt<()> {
    let mut values = alert_channel::ActiveModel {
        problem: Set(problem.cloned().map(Stored)),
        ..Default::default()
    };
    if problem.is_none() {
        values.sent_at_us = Set(Some(now_us));
    }
    update(tx, id, values).await
}

async fn update(tx: &Tx, id: &AlertChannelId, values: alert_channel::ActiveModel) -> Attempt<()> {
    let filter = alert_channel::Column::Id.eq(id.clone());
    alert_channel::Entity::update_many().set(values).filter(filter).exec(tx).await?;
    Ok(())
}

async fn remove(tx: &Tx, workspace: &WorkspaceId, id: &AlertChannelId) -> Attempt<()> {
    let row = get(tx, workspace, id).await?;
    let rules = alert_rules::list(tx, workspace).await?;
    if let Some(rule) = rules.iter().find(|rule| rule.channels.0.contains(id)) {
        let message = format!("the rule `{}` uses the channel `{}`", rule.name, row.name);
        return Err(Problem::new(&codes::CONFLICT, message)
            .arg("rule", &rule.name)
            .hint("take the channel out of the rule first")
            .into());
    }
    alert_channel::Entity::delete_by_id(id.clone()).exec(tx).await?;
    Ok(())
}
