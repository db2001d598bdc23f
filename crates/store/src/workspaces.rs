//! The workspaces as a list, and the door to what one of them owns.

use crate::alert_channels::AlertChannels;
use crate::alert_rules::AlertRules;
use crate::alerts::Alerts;
use crate::api_keys::ApiKeys;
use crate::audit::Audit;
use crate::backfills::Backfills;
use crate::catalogue::Catalogue;
use crate::definitions::Definitions;
use crate::entity::{membership, workspace};
use crate::failure::Attempt;
use crate::ids::{UserId, WorkspaceId};
use crate::invitations::Invitations;
use crate::journal::Journal;
use crate::members::{self, Members};
use crate::module_templates::ModuleTemplates;
use crate::notifications::Notifications;
use crate::pipelines::Pipelines;
use crate::pools::Pools;
use crate::previews::Previews;
use crate::quotas::Quotas;
use crate::runs::Runs;
use crate::schedules::Schedules;
use crate::secrets::Secrets;
use crate::store::Store;
use crate::transactions::Tx;
use crate::triggers::Triggers;
use crate::uploads::Uploads;
use crate::values::Stored;
use crate::{rows, users};
use model::{Name, Problem, Result, Role, codes};
use sea_orm::ActiveValue::Set;
use sea_orm::QueryOrder;
use sea_orm::prelude::*;
use std::collections::HashMap;

/// The workspaces.
#[derive(Debug, Clone)]
pub struct Workspaces {
    store: Store,
}

/// A workspace to be added.
#[derive(Debug, Clone)]
pub struct NewWorkspace {
    /// Its name in addresses and paths.
    pub slug: Name,
    /// As people write it.
    pub title: String,
}

impl Workspaces {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Adds a workspace with its first owner. A name that another has is `conflict`.
    pub async fn create(
        &self,
        new: NewWorkspace,
        owner: &UserId,
        now_us: i64,
    ) -> Result<workspace::Model> {
        let input = (new, owner.clone(), now_us);
        self.store
            .write(input, |tx, (new, owner, now_us)| Box::pin(add(tx, new, owner, *now_us)))
            .await
    }

    /// All of them by name.
    pub async fn list(&self) -> Result<Vec<workspace::Model>> {
        Ok(all(self.store.read()).await?)
    }

    /// The one with this name, or `not_found`.
    pub async fn by_slug(&self, slug: &Name) -> Result<workspace::Model> {
        let found = find_by_slug(self.store.read(), slug.as_str()).await?;
        found.ok_or_else(|| WorkspaceId::not_found(slug))
    }

    /// Those that a person belongs to, by name, and what the person may do there.
    pub async fn of(&self, user: &UserId) -> Result<Vec<(workspace::Model, Role)>> {
        Ok(of(self.store.read(), user).await?)
    }
}

async fn all(db: &impl ConnectionTrait) -> Attempt<Vec<workspace::Model>> {
    Ok(workspace::Entity::find().order_by_asc(workspace::Column::Slug).all(db).await?)
}

async fn find_by_slug(db: &impl ConnectionTrait, slug: &str) -> Attempt<Option<workspace::Model>> {
    let filter = workspace::Column::Slug.eq(slug);
    Ok(workspace::Entity::find().filter(filter).one(db).await?)
}

async fn of(db: &impl ConnectionTrait, user: &UserId) -> Attempt<Vec<(workspace::Model, Role)>> {
    let filter = membership::Column::UserId.eq(user.clone());
    let memberships = membership::Entity::find().filter(filter).all(db).await?;
    let roles: HashMap<WorkspaceId, Role> =
        memberships.into_iter().map(|row| (row.workspace_id, row.role.0)).collect();
    let workspaces = workspace::Entity::find()
        .filter(workspace::Column::Id.is_in(roles.keys().cloned()))
        .order_by_asc(workspace::Column::Slug)
        .all(db)
        .await?;
    let with_role = |row: workspace::Model| roles.get(&row.id).map(|role| (row.clone(), *role));
    Ok(workspaces.into_iter().filter_map(with_role).collect())
}

/// Adds a workspace with its first owner.
pub(crate) async fn add(
    tx: &Tx,
    new: &NewWorkspace,
    owner: &UserId,
    now_us: i64,
) -> Attempt<workspace::Model> {
    if find_by_slug(tx, new.slug.as_str()).await?.is_some() {
        return Err(Problem::new(
            &codes::CONFLICT,
            format!("there is a workspace `{}` already", new.slug),
        )
        .arg("name", &new.slug)
        .hint("choose another name")
        .into());
    }
    users::find(tx, owner).await?;
    let row = workspace::Model {
        id: WorkspaceId::generate(now_us),
        slug: new.slug.to_string(),
        title: new.title.clone(),
        settings: Stored(serde_json::json!({})),
        created_at_us: now_us,
    };
    rows::insert(tx, row.clone()).await?;
    members::insert(tx, &row.id, owner, Role::Owner, now_us).await?;
    Ok(row)
}

/// What one workspace owns. The id of a thing of another workspace is the id of nothing.
#[derive(Debug, Clone)]
pub struct InWorkspace {
    store: Store,
    id: WorkspaceId,
}

impl InWorkspace {
    pub(crate) fn new(store: Store, id: WorkspaceId) -> Self {
        Self { store, id }
    }

    /// The workspace's id.
    pub fn id(&self) -> &WorkspaceId {
        &self.id
    }

    /// The workspace itself, or `not_found`.
    pub async fn get(&self) -> Result<workspace::Model> {
        Ok(find(self.store.read(), &self.id).await?)
    }

    /// Changes its title and settings; none leaves them.
    pub async fn change(
        &self,
        title: Option<String>,
        settings: Option<serde_json::Value>,
    ) -> Result<workspace::Model> {
        let input = (self.id.clone(), title, settings);
        self.store
            .write(input, |tx, (id, title, settings)| {
                Box::pin(update(tx, id, title.as_ref(), settings.as_ref()))
            })
            .await
    }

    /// Removes it with everything it owns here. Its tables in the lake stay.
    pub async fn delete(&self) -> Result<()> {
        self.store.write(self.id.clone(), |tx, id| Box::pin(remove(tx, id))).await
    }

    /// What a person may do here; none when the person does not belong to it.
    pub async fn role_of(&self, user: &UserId) -> Result<Option<Role>> {
        Ok(members::role_of(self.store.read(), &self.id, user).await?)
    }

    /// Who belongs to it.
    pub fn members(&self) -> Members {
        Members::new(self.store.clone(), self.id.clone())
    }

    /// Who has been asked to join.
    pub fn invitations(&self) -> Invitations {
        Invitations::new(self.store.clone(), self.id.clone())
    }

    /// Keys for programs.
    pub fn api_keys(&self) -> ApiKeys {
        ApiKeys::new(self.store.clone(), self.id.clone())
    }

    /// Its documents.
    pub fn definitions(&self) -> Definitions {
        Definitions::new(self.store.clone(), self.id.clone())
    }

    /// Encrypted values of its connections.
    pub fn secrets(&self) -> Secrets {
        Secrets::new(self.store.clone(), self.id.clone())
    }

    /// Files that people have uploaded.
    pub fn uploads(&self) -> Uploads {
        Uploads::new(self.store.clone(), self.id.clone())
    }

    /// How much it may have.
    pub fn quotas(&self) -> Quotas {
        Quotas::new(self.store.clone(), self.id.clone())
    }

    /// Modules with settings filled in.
    pub fn module_templates(&self) -> ModuleTemplates {
        ModuleTemplates::new(self.store.clone(), self.id.clone())
    }

    /// What its members are told.
    pub fn notifications(&self) -> Notifications {
        Notifications::new(self.store.clone(), self.id.clone())
    }

    /// Its news, on their way to people.
    pub fn alerts(&self) -> Alerts {
        Alerts::new(self.store.clone(), self.id.clone())
    }

    /// Ways in which its people are told.
    pub fn alert_channels(&self) -> AlertChannels {
        AlertChannels::new(self.store.clone(), self.id.clone())
    }

    /// What is told through which channels.
    pub fn alert_rules(&self) -> AlertRules {
        AlertRules::new(self.store.clone(), self.id.clone())
    }

    /// Its runs.
    pub fn runs(&self) -> Runs {
        Runs::new(self.store.clone(), self.id.clone())
    }

    /// Its pipelines, with the plans that new runs get.
    pub fn pipelines(&self) -> Pipelines {
        Pipelines::new(self.store.clone(), self.id.clone())
    }

    /// Slots that its tasks share.
    pub fn pools(&self) -> Pools {
        Pools::new(self.store.clone(), self.id.clone())
    }

    /// Its back-fills.
    pub fn backfills(&self) -> Backfills {
        Backfills::new(self.store.clone(), self.id.clone())
    }

    /// What its runs will read, and what has happened to them.
    pub fn journal(&self) -> Journal {
        Journal::new(self.store.clone(), self.id.clone())
    }

    /// When its pipelines are started by themselves.
    pub fn schedules(&self) -> Schedules {
        Schedules::new(self.store.clone(), self.id.clone())
    }

    /// What starts its pipelines from outside.
    pub fn triggers(&self) -> Triggers {
        Triggers::new(self.store.clone(), self.id.clone())
    }

    /// What is known about its tables.
    pub fn catalogue(&self) -> Catalogue {
        Catalogue::new(self.store.clone(), self.id.clone())
    }

    /// A few rows of each node.
    pub fn previews(&self) -> Previews {
        Previews::new(self.store.clone(), self.id.clone())
    }

    /// Who has done what here.
    pub fn audit(&self) -> Audit {
        Audit::new(self.store.clone(), self.id.to_string())
    }
}

/// The row of a workspace, or `not_found`.
pub(crate) async fn find(db: &impl ConnectionTrait, id: &WorkspaceId) -> Attempt<workspace::Model> {
    let row = workspace::Entity::find_by_id(id.clone()).one(db).await?;
    row.ok_or_else(|| WorkspaceId::not_found(id).into())
}

async fn update(
    tx: &Tx,
    id: &WorkspaceId,
    title: Option<&String>,
    settings: Option<&serde_json::Value>,
) -> Attempt<workspace::Model> {
    let mut row = find(tx, id).await?;
    if let Some(title) = title {
        row.title.clone_from(title);
    }
    if let Some(settings) = settings {
        row.settings = Stored(settings.clone());
    }
    let change = workspace::ActiveModel {
        title: Set(row.title.clone()),
        settings: Set(row.settings.clone()),
        ..Default::default()
    };
    let filter = workspace::Column::Id.eq(id.clone());
    workspace::Entity::update_many().set(change).filter(filter).exec(tx).await?;
    Ok(row)
}

async fn remove(tx: &Tx, id: &WorkspaceId) -> Attempt<()> {
    let removed = workspace::Entity::delete_by_id(id.clone()).exec(tx).await?;
    match removed.rows_affected {
        0 => Err(WorkspaceId::not_found(id).into()),
        _ => Ok(()),
    }
}
