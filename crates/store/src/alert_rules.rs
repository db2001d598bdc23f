//! Rules: which news of which pipelines go through which channels.

use crate::alert_channels;
use crate::entity::alert_rule;
use crate::failure::Attempt;
use crate::ids::{AlertChannelId, AlertRuleId, WorkspaceId};
use crate::store::Store;
use crate::transactions::Tx;
use crate::values::Stored;
use crate::{rows, workspaces};
use model::notice::NoticeKind;
use model::{Name, Problem, Result, codes};
use sea_orm::QueryOrder;
use sea_orm::prelude::*;

/// A workspace has at most so many.
const RULES_MAX: usize = 100;

/// The alert rules of one workspace.
#[derive(Debug, Clone)]
pub struct AlertRules {
    store: Store,
    workspace: WorkspaceId,
}

/// A rule to be put in.
#[derive(Debug, Clone)]
pub struct NewAlertRule {
    /// What people call it; unique in the workspace.
    pub name: String,
    /// Whether it is followed.
    pub is_active: bool,
    /// Of which pipelines; of all when there are none.
    pub pipelines: Vec<Name>,
    /// Of which kinds of news.
    pub kinds: Vec<NoticeKind>,
    /// Through which channels.
    pub channels: Vec<AlertChannelId>,
    /// Of one pipeline at most one message in so many seconds; 0 for no limit.
    pub window_seconds: i64,
}

impl AlertRules {
    pub(crate) fn new(store: Store, workspace: WorkspaceId) -> Self {
        Self { store, workspace }
    }

    /// Adds a rule. A name that another has is a `conflict`; a channel that does not exist is
    /// `not_found`.
    pub async fn create(&self, new: NewAlertRule, now_us: i64) -> Result<alert_rule::Model> {
        let input = (self.workspace.clone(), new, now_us);
        self.store
            .write(input, |tx, (workspace, new, now_us)| Box::pin(add(tx, workspace, new, *now_us)))
            .await
    }

    /// The rule with this id, or `not_found`.
    pub async fn get(&self, id: &AlertRuleId) -> Result<alert_rule::Model> {
        Ok(get(self.store.read(), &self.workspace, id).await?)
    }

    /// All of them by name.
    pub async fn list(&self) -> Result<Vec<alert_rule::Model>> {
        Ok(list(self.store.read(), &self.workspace).await?)
    }

    /// Puts another content in the place of the one that is there. A rule that has been changed
    /// since `seen_us` is a `conflict`.
    pub async fn change(
        &self,
        id: &AlertRuleId,
        new: NewAlertRule,
        seen_us: i64,
        now_us: i64,
    ) -> Result<alert_rule::Model> {
        let input = (self.workspace.clone(), id.clone(), new, seen_us, now_us);
        self.store
            .write(input, |tx, (workspace, id, new, seen_us, now_us)| {
                Box::pin(change(tx, workspace, id, new, *seen_us, *now_us))
            })
            .await
    }

    /// Removes it, or `not_found`.
    pub async fn remove(&self, id: &AlertRuleId) -> Result<()> {
        let input = (self.workspace.clone(), id.clone());
        self.store.write(input, |tx, (workspace, id)| Box::pin(remove(tx, workspace, id))).await
    }
}

/// The rules of a workspace by name.
pub(crate) async fn list(
    db: &impl ConnectionTrait,
    workspace: &WorkspaceId,
) -> Attempt<Vec<alert_rule::Model>> {
    Ok(alert_rule::Entity::find()
        .filter(alert_rule::Column::WorkspaceId.eq(workspace.clone()))
        .order_by_asc(alert_rule::Column::Name)
        .all(db)
        .await?)
}

async fn get(
    db: &impl ConnectionTrait,
    workspace: &WorkspaceId,
    id: &AlertRuleId,
) -> Attempt<alert_rule::Model> {
    let filter = alert_rule::Column::WorkspaceId.eq(workspace.clone());
    let row = alert_rule::Entity::find_by_id(id.clone()).filter(filter).one(db).await?;
    row.ok_or_else(|| AlertRuleId::not_found(id).into())
}

/// The row that `new` makes, once it is known that it can be one.
async fn row(
    tx: &Tx,
    workspace: &WorkspaceId,
    new: &NewAlertRule,
    others: &[alert_rule::Model],
) -> Attempt<alert_rule::Model> {
    let name = &new.name;
    if others.iter().any(|row| row.name == *name) {
        let message = format!("there is an alert rule `{name}` already");
        return Err(Problem::new(&codes::CONFLICT, message)
            .arg("name", name)
            .hint("choose another name")
            .into());
    }
    for channel in &new.channels {
        alert_channels::get(tx, workspace, channel).await?;
    }
    Ok(alert_rule::Model {
        id: AlertRuleId::generate(0),
        workspace_id: workspace.clone(),
        name: name.clone(),
        is_active: new.is_active,
        pipelines: Stored(new.pipelines.clone()),
        kinds: Stored(new.kinds.clone()),
        channels: Stored(new.channels.clone()),
        window_seconds: new.window_seconds,
        created_at_us: 0,
        updated_at_us: 0,
    })
}

async fn add(
    tx: &Tx,
    workspace: &WorkspaceId,
    new: &NewAlertRule,
    now_us: i64,
) -> Attempt<alert_rule::Model> {
    workspaces::find(tx, workspace).await?;
    let others = list(tx, workspace).await?;
    if others.len() >= RULES_MAX {
        let message = format!("the workspace has {RULES_MAX} alert rules, which is the limit");
        return Err(Problem::new(&codes::CONFLICT, message).hint("remove one first").into());
    }
    let row = alert_rule::Model {
        id: AlertRuleId::generate(now_us),
        created_at_us: now_us,
        updated_at_us: now_us,
        ..row(tx, workspace, new, &others).await?
    };
    rows::insert(tx, row.clone()).await?;
    Ok(row)
}

async fn change(
    tx: &Tx,
    workspace: &WorkspaceId,
    id: &AlertRuleId,
    new: &NewAlertRule,
    seen_us: i64,
    now_us: i64,
) -> Attempt<alert_rule::Model> {
    let old = get(tx, workspace, id).await?;
    if old.updated_at_us != seen_us {
        let message = format!("the alert rule `{}` has been changed in the meantime", old.name);
        return Err(Problem::new(&codes::CONFLICT, message)
            .hint("look at it once more, then change it")
            .into());
    }
    let mut others = list(tx, workspace).await?;
    others.retain(|row| row.id != old.id);
    let row = alert_rule::Model {
        id: old.id,
        created_at_us: old.created_at_us,
        updated_at_us: now_us.max(seen_us + 1),
        ..row(tx, workspace, new, &others).await?
    };
    // Set by set, so that what hangs on the rule stays.
    let values = sea_orm::IntoActiveModel::into_active_model(row.clone()).reset_all();
    let values = alert_rule::ActiveModel { id: sea_orm::ActiveValue::NotSet, ..values };
    let filter = alert_rule::Column::Id.eq(row.id.clone());
    alert_rule::Entity::update_many().set(values).filter(filter).exec(tx).await?;
    Ok(row)
}

async fn remove(tx: &Tx, workspace: &WorkspaceId, id: &AlertRuleId) -> Attempt<()> {
    get(tx, workspace, id).await?;
    alert_rule::Entity::delete_by_id(id.clone()).exec(tx).await?;
    Ok(())
}
