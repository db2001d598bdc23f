//! Modules with settings filled in, which a workspace keeps for its canvas.

use crate::entity::module_template as template;
use crate::failure::Attempt;
use crate::ids::{TemplateId, UserId, WorkspaceId};
use crate::store::Store;
use crate::transactions::Tx;
use crate::values::Stored;
use crate::{rows, workspaces};
use model::{Problem, Result, codes};
use sea_orm::ActiveValue::Set;
use sea_orm::QueryOrder;
use sea_orm::prelude::*;

/// The module templates of one workspace.
#[derive(Debug, Clone)]
pub struct ModuleTemplates {
    store: Store,
    workspace: WorkspaceId,
}

/// A template to be added, or what one shall become.
#[derive(Debug, Clone)]
pub struct NewTemplate {
    /// What people call it; unique in the workspace.
    pub name: String,
    /// The module.
    pub module: String,
    /// Where it stands in the palette.
    pub category: String,
    /// One sentence.
    pub summary: String,
    /// The settings.
    pub settings: serde_json::Value,
    /// Name of a picture.
    pub icon: Option<String>,
    /// Such as `#1b7f5c`.
    pub color: Option<String>,
}

impl ModuleTemplates {
    pub(crate) fn new(store: Store, workspace: WorkspaceId) -> Self {
        Self { store, workspace }
    }

    /// Adds a template. A name that another has is a `conflict`.
    pub async fn create(
        &self,
        new: NewTemplate,
        author: Option<&UserId>,
        now_us: i64,
    ) -> Result<template::Model> {
        let input = (self.workspace.clone(), new, author.cloned(), now_us);
        self.store
            .write(input, |tx, (workspace, new, author, now_us)| {
                Box::pin(add(tx, workspace, new, author.as_ref(), *now_us))
            })
            .await
    }

    /// The template with this id, or `not_found`.
    pub async fn get(&self, id: &TemplateId) -> Result<template::Model> {
        Ok(get(self.store.read(), &self.workspace, id).await?)
    }

    /// All of them by category and name.
    pub async fn list(&self) -> Result<Vec<template::Model>> {
        Ok(list(self.store.read(), &self.workspace).await?)
    }

    /// Makes another one of it.
    pub async fn change(
        &self,
        id: &TemplateId,
        new: NewTemplate,
        now_us: i64,
    ) -> Result<template::Model> {
        let input = (self.workspace.clone(), id.clone(), new, now_us);
        self.store
            .write(input, |tx, (workspace, id, new, now_us)| {
                Box::pin(change(tx, workspace, id, new, *now_us))
            })
            .await
    }

    /// Counts that it was put on a canvas.
    pub async fn record_use(&self, id: &TemplateId) -> Result<()> {
        let input = (self.workspace.clone(), id.clone());
        self.store.write(input, |tx, (workspace, id)| Box::pin(count_use(tx, workspace, id))).await
    }

    /// Removes it, or `not_found`.
    pub async fn remove(&self, id: &TemplateId) -> Result<()> {
        let input = (self.workspace.clone(), id.clone());
        self.store.write(input, |tx, (workspace, id)| Box::pin(remove(tx, workspace, id))).await
    }
}

async fn get(
    db: &impl ConnectionTrait,
    workspace: &WorkspaceId,
    id: &TemplateId,
) -> Attempt<template::Model> {
    let filter = template::Column::WorkspaceId.eq(workspace.clone());
    let row = template::Entity::find_by_id(id.clone()).filter(filter).one(db).await?;
    row.ok_or_else(|| TemplateId::not_found(id).into())
}

async fn list(db: &impl ConnectionTrait, workspace: &WorkspaceId) -> Attempt<Vec<template::Model>> {
    Ok(template::Entity::find()
        .filter(template::Column::WorkspaceId.eq(workspace.clone()))
        .order_by_asc(template::Column::Category)
        .order_by_asc(template::Column::Name)
        .all(db)
        .await?)
}

async fn refuse_taken(tx: &Tx, workspace: &WorkspaceId, name: &str) -> Attempt<()> {
    let found = template::Entity::find()
        .filter(template::Column::WorkspaceId.eq(workspace.clone()))
        .filter(template::Column::Name.eq(name))
        .one(tx)
        .await?;
    match found {
        None => Ok(()),
        Some(_) => {
            Err(Problem::new(&codes::CONFLICT, format!("there is a template `{name}` already"))
                .arg("name", name)
                .hint("choose another name, or change the one that is there")
                .into())
        }
    }
}

async fn add(
    tx: &Tx,
    workspace: &WorkspaceId,
    new: &NewTemplate,
    author: Option<&UserId>,
    now_us: i64,
) -> Attempt<template::Model> {
    workspaces::find(tx, workspace).await?;
    refuse_taken(tx, workspace, &new.name).await?;
    let row = template::Model {
        id: TemplateId::generate(now_us),
        workspace_id: workspace.clone(),
        name: new.name.clone(),
        module: new.module.clone(),
        category: new.category.clone(),
        summary: new.summary.clone(),
        settings: Stored(new.settings.clone()),
        icon: new.icon.clone(),
        color: new.color.clone(),
        created_by: author.cloned(),
        created_at_us: now_us,
        updated_at_us: now_us,
        uses: 0,
    };
    rows::insert(tx, row.clone()).await?;
    Ok(row)
}

async fn change(
    tx: &Tx,
    workspace: &WorkspaceId,
    id: &TemplateId,
    new: &NewTemplate,
    now_us: i64,
) -> Attempt<template::Model> {
    let old = get(tx, workspace, id).await?;
    if old.name != new.name {
        refuse_taken(tx, workspace, &new.name).await?;
    }
    let change = template::ActiveModel {
        name: Set(new.name.clone()),
        module: Set(new.module.clone()),
        category: Set(new.category.clone()),
        summary: Set(new.summary.clone()),
        settings: Set(Stored(new.settings.clone())),
        icon: Set(new.icon.clone()),
        color: Set(new.color.clone()),
        updated_at_us: Set(now_us),
        ..Default::default()
    };
    let filter = template::Column::Id.eq(id.clone());
    template::Entity::update_many().set(change).filter(filter).exec(tx).await?;
    get(tx, workspace, id).await
}

async fn count_use(tx: &Tx, workspace: &WorkspaceId, id: &TemplateId) -> Attempt<()> {
    let row = get(tx, workspace, id).await?;
    let change = template::ActiveModel { uses: Set(row.uses + 1), ..Default::default() };
    let filter = template::Column::Id.eq(id.clone());
    template::Entity::update_many().set(change).filter(filter).exec(tx).await?;
    Ok(())
}

async fn remove(tx: &Tx, workspace: &WorkspaceId, id: &TemplateId) -> Attempt<()> {
    get(tx, workspace, id).await?;
    template::Entity::delete_by_id(id.clone()).exec(tx).await?;
    Ok(())
}
