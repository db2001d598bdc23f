//! The documents of a workspace, with every version that was ever saved.

use crate::entity::{definition, definition_version as version};
use crate::failure::Attempt;
use crate::ids::{DefinitionId, UserId, WorkspaceId};
use crate::page::{self, Page};
use crate::store::Store;
use crate::transactions::Tx;
use crate::words::DefinitionKind;
use crate::{rows, workspaces};
use model::{Name, Problem, Result, codes};
use sea_orm::ActiveValue::Set;
use sea_orm::prelude::*;
use sea_orm::{Condition, FromQueryResult, QueryOrder, QuerySelect};
use std::collections::HashMap;

/// The documents of one workspace.
#[derive(Debug, Clone)]
pub struct Definitions {
    store: Store,
    workspace: WorkspaceId,
}

/// A document as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Its id.
    pub id: DefinitionId,
    /// What kind of document it is.
    pub kind: DefinitionKind,
    /// Its name among those of its kind.
    pub name: String,
    /// µs since the epoch.
    pub created_at_us: i64,
    /// Its newest version.
    pub version: version::Model,
}

/// A version without its text.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct VersionHead {
    /// From 1, without a gap.
    pub number: i64,
    /// Hash of the text.
    pub sha256: String,
    /// Who saved it.
    pub author_id: Option<UserId>,
    /// What the author says about it.
    pub message: String,
    /// µs since the epoch.
    pub at_us: i64,
}

/// Which document of a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionKey {
    /// What kind of document it is.
    pub kind: DefinitionKind,
    /// Its name among those of its kind.
    pub name: Name,
}

/// A text to be saved.
#[derive(Debug, Clone)]
pub struct NewVersion {
    /// As its author wrote it.
    pub text: String,
    /// Hash of the text.
    pub sha256: String,
    /// Who saves it.
    pub author: Option<UserId>,
    /// What the author says about it.
    pub message: String,
}

/// One of several changes that are made together.
#[derive(Debug, Clone)]
pub struct DefinitionChange {
    /// The document.
    pub key: DefinitionKey,
    /// Its new text; none deletes it.
    pub new: Option<NewVersion>,
    /// The version it is put on top of; none when there is no such document.
    pub expected: Option<i64>,
}

impl Definitions {
    pub(crate) fn new(store: Store, workspace: WorkspaceId) -> Self {
        Self { store, workspace }
    }

    /// Saves a version on top of the version `expected`, or of nothing: then the document is new,
    /// or was deleted. Somebody else's version in between is a `conflict`. A text that is there
    /// already makes no new version.
    pub async fn save(
        &self,
        key: &DefinitionKey,
        new: NewVersion,
        expected: Option<i64>,
        now_us: i64,
    ) -> Result<Definition> {
        let input = (self.workspace.clone(), key.clone(), new, expected, now_us);
        self.store
            .write(input, |tx, (workspace, key, new, expected, now_us)| {
                Box::pin(save(tx, workspace, key, new, *expected, *now_us))
            })
            .await
    }

    /// Makes all changes or, when one of them meets a `conflict`, none.
    pub async fn change(&self, changes: Vec<DefinitionChange>, now_us: i64) -> Result<()> {
        let input = (self.workspace.clone(), changes, now_us);
        self.store
            .write(input, |tx, (workspace, changes, now_us)| {
                Box::pin(change(tx, workspace, changes, *now_us))
            })
            .await
    }

    /// All documents as they were at an instant (µs since the epoch), by kind and name; those of
    /// now with [`i64::MAX`].
    pub async fn at(&self, instant_us: i64) -> Result<Vec<Definition>> {
        Ok(at(self.store.read(), &self.workspace, instant_us).await?)
    }

    /// The document as it is now, or `not_found`.
    pub async fn get(&self, key: &DefinitionKey) -> Result<Definition> {
        Ok(get(self.store.read(), &self.workspace, key).await?)
    }

    /// The documents of a kind by name, `limit` at a time; `after` is a page's `next`.
    pub async fn list(
        &self,
        kind: DefinitionKind,
        after: Option<&str>,
        limit: u64,
    ) -> Result<Page<Definition>> {
        let limit = page::limit(limit);
        Ok(list(self.store.read(), &self.workspace, kind, after, limit).await?)
    }

    /// The versions of a document, the newest first, also when it was deleted.
    pub async fn history(
        &self,
        key: &DefinitionKey,
        after: Option<&str>,
        limit: u64,
    ) -> Result<Page<VersionHead>> {
        let limit = page::limit(limit);
        Ok(history(self.store.read(), &self.workspace, key, after, limit).await?)
    }

    /// One version of a document, also when it was deleted; else `not_found`.
    pub async fn version(&self, key: &DefinitionKey, number: i64) -> Result<version::Model> {
        Ok(one_version(self.store.read(), &self.workspace, key, number).await?)
    }

    /// Saves the text of an old version once more, on top of the version `expected`.
    pub async fn restore(
        &self,
        key: &DefinitionKey,
        number: i64,
        author: Option<UserId>,
        expected: Option<i64>,
        now_us: i64,
    ) -> Result<Definition> {
        let input = (self.workspace.clone(), key.clone(), number, author, expected, now_us);
        self.store
            .write(input, |tx, (workspace, key, number, author, expected, now_us)| {
                Box::pin(async move {
                    let old = one_version(tx, workspace, key, *number).await?;
                    let new = NewVersion {
                        text: old.text,
                        sha256: old.sha256,
                        author: author.clone(),
                        message: format!("version {number} again"),
                    };
                    save(tx, workspace, key, &new, *expected, *now_us).await
                })
            })
            .await
    }

    /// Deletes a document whose newest version is `expected`. Its versions stay, and saving it
    /// again goes on with them.
    pub async fn delete(&self, key: &DefinitionKey, expected: i64, now_us: i64) -> Result<()> {
        let input = (self.workspace.clone(), key.clone(), expected, now_us);
        self.store
            .write(input, |tx, (workspace, key, expected, now_us)| {
                Box::pin(delete(tx, workspace, key, *expected, *now_us))
            })
            .await
    }
}

fn not_found(key: &DefinitionKey) -> Problem {
    let kind = key.kind.to_value();
    Problem::new(&codes::NOT_FOUND, format!("there is no {kind} `{}`", key.name))
        .arg("name", &key.name)
        .hint("look it up in the list; it may have been renamed or deleted")
}

/// The row of a document, also when it was deleted.
async fn find(
    db: &impl ConnectionTrait,
    workspace: &WorkspaceId,
    key: &DefinitionKey,
) -> Attempt<Option<definition::Model>> {
    Ok(definition::Entity::find()
        .filter(definition::Column::WorkspaceId.eq(workspace.clone()))
        .filter(definition::Column::Kind.eq(key.kind))
        .filter(definition::Column::Name.eq(key.name.as_str()))
        .one(db)
        .await?)
}

async fn get(
    db: &impl ConnectionTrait,
    workspace: &WorkspaceId,
    key: &DefinitionKey,
) -> Attempt<Definition> {
    let row = find(db, workspace, key).await?.filter(|row| row.deleted_at_us.is_none());
    let row = row.ok_or_else(|| not_found(key))?;
    let version = find_version(db, &row.id, row.current_version).await?;
    Ok(with_version(row, version.ok_or_else(|| not_found(key))?))
}

fn with_version(row: definition::Model, version: version::Model) -> Definition {
    Definition {
        id: row.id,
        kind: row.kind,
        name: row.name,
        created_at_us: row.created_at_us,
        version,
    }
}

async fn find_version(
    db: &impl ConnectionTrait,
    id: &DefinitionId,
    number: i64,
) -> Attempt<Option<version::Model>> {
    Ok(version::Entity::find_by_id((id.clone(), number)).one(db).await?)
}

async fn one_version(
    db: &impl ConnectionTrait,
    workspace: &WorkspaceId,
    key: &DefinitionKey,
    number: i64,
) -> Attempt<version::Model> {
    let row = find(db, workspace, key).await?.ok_or_else(|| not_found(key))?;
    let found = find_version(db, &row.id, number).await?;
    found.ok_or_else(|| {
        Problem::new(&codes::NOT_FOUND, format!("`{}` has no version {number}", key.name))
            .hint(format!("its versions are 1 to {}", row.current_version))
            .into()
    })
}

async fn save(
    tx: &Tx,
    workspace: &WorkspaceId,
    key: &DefinitionKey,
    new: &NewVersion,
    expected: Option<i64>,
    now_us: i64,
) -> Attempt<Definition> {
    let found = find(tx, workspace, key).await?;
    let current = found.as_ref().filter(|row| row.deleted_at_us.is_none());
    let current = current.map(|row| row.current_version);
    if current != expected {
        return Err(conflict(key, expected, current).into());
    }
    let row = match found {
        Some(row) => row,
        None => add(tx, workspace, key, now_us).await?,
    };
    if let Some(number) = current {
        let version = find_version(tx, &row.id, number).await?;
        if let Some(version) = version.filter(|version| version.sha256 == new.sha256) {
            return Ok(with_version(row, version));
        }
    }
    let version = version::Model {
        definition_id: row.id.clone(),
        number: row.current_version + 1,
        workspace_id: workspace.clone(),
        text: new.text.clone(),
        sha256: new.sha256.clone(),
        author_id: new.author.clone(),
        message: new.message.clone(),
        at_us: now_us,
    };
    rows::insert(tx, version.clone()).await?;
    let change = definition::ActiveModel {
        current_version: Set(version.number),
        deleted_at_us: Set(None),
        ..Default::default()
    };
    let filter = definition::Column::Id.eq(row.id.clone());
    definition::Entity::update_many().set(change).filter(filter).exec(tx).await?;
    Ok(with_version(row, version))
}

async fn add(
    tx: &Tx,
    workspace: &WorkspaceId,
    key: &DefinitionKey,
    now_us: i64,
) -> Attempt<definition::Model> {
    workspaces::find(tx, workspace).await?;
    let row = definition::Model {
        id: DefinitionId::generate(now_us),
        workspace_id: workspace.clone(),
        kind: key.kind,
        name: key.name.to_string(),
        current_version: 0,
        created_at_us: now_us,
        deleted_at_us: None,
    };
    rows::insert(tx, row.clone()).await?;
    Ok(row)
}

fn conflict(key: &DefinitionKey, expected: Option<i64>, current: Option<i64>) -> Problem {
    let (kind, name) = (key.kind.to_value(), &key.name);
    let problem = match (expected, current) {
        (_, None) => Problem::new(&codes::CONFLICT, format!("{kind} `{name}` was deleted"))
            .hint("save it as a new one, or leave it deleted"),
        (None, Some(_)) => {
            Problem::new(&codes::CONFLICT, format!("there is a {kind} `{name}` already"))
                .hint("choose another name, or open the one that is there")
        }
        (Some(expected), Some(current)) => Problem::new(
            &codes::CONFLICT,
            format!("{kind} `{name}` has changed: from version {expected} to {current}"),
        )
        .arg("current", current)
        .hint("read the newest version, and put your change on top of it"),
    };
    problem.arg("name", name)
}

async fn list(
    db: &impl ConnectionTrait,
    workspace: &WorkspaceId,
    kind: DefinitionKind,
    after: Option<&str>,
    limit: u64,
) -> Attempt<Page<Definition>> {
    let mut select = definition::Entity::find()
        .filter(definition::Column::WorkspaceId.eq(workspace.clone()))
        .filter(definition::Column::Kind.eq(kind))
        .filter(definition::Column::DeletedAtUs.is_null())
        .order_by_asc(definition::Column::Name)
        .limit(limit + 1);
    if let Some(after) = after {
        select = select.filter(definition::Column::Name.gt(after));
    }
    let page = Page::cut(select.all(db).await?, limit, |row| row.name.clone());
    let of_page = page.items.iter().map(|row| row.id.clone());
    let versions = version::Entity::find()
        .filter(version::Column::DefinitionId.is_in(of_page))
        .filter(newest())
        .all(db)
        .await?;
    let mut versions: HashMap<DefinitionId, version::Model> =
        versions.into_iter().map(|row| (row.definition_id.clone(), row)).collect();
    let joined = |row: definition::Model| {
        let version = versions.remove(&row.id)?;
        Some(with_version(row, version))
    };
    Ok(Page { items: page.items.into_iter().filter_map(joined).collect(), next: page.next })
}

/// That a version is the newest of its document.
fn newest() -> Expr {
    use sea_orm::sea_query::{ExprTrait, Query};
    let current = Query::select()
        .column((definition::Entity, definition::Column::CurrentVersion))
        .from(definition::Entity)
        .and_where(
            Expr::col((definition::Entity, definition::Column::Id))
                .equals((version::Entity, version::Column::DefinitionId)),
        )
        .to_owned();
    Expr::col((version::Entity, version::Column::Number)).in_subquery(current)
}

async fn change(
    tx: &Tx,
    workspace: &WorkspaceId,
    changes: &[DefinitionChange],
    now_us: i64,
) -> Attempt<()> {
    for DefinitionChange { key, new, expected } in changes {
        match (new, expected) {
            (Some(new), _) => drop(save(tx, workspace, key, new, *expected, now_us).await?),
            (None, Some(expected)) => delete(tx, workspace, key, *expected, now_us).await?,
            // What is not there need not be deleted.
            (None, None) => {}
        }
    }
    Ok(())
}

async fn at(
    db: &impl ConnectionTrait,
    workspace: &WorkspaceId,
    instant_us: i64,
) -> Attempt<Vec<Definition>> {
    let is_alive = Condition::any()
        .add(definition::Column::DeletedAtUs.is_null())
        .add(definition::Column::DeletedAtUs.gt(instant_us));
    let rows = definition::Entity::find()
        .filter(definition::Column::WorkspaceId.eq(workspace.clone()))
        .filter(is_alive)
        .order_by_asc(definition::Column::Kind)
        .order_by_asc(definition::Column::Name)
        .all(db)
        .await?;
    let mut definitions = Vec::with_capacity(rows.len());
    for row in rows {
        let version = version::Entity::find()
            .filter(version::Column::DefinitionId.eq(row.id.clone()))
            .filter(version::Column::AtUs.lte(instant_us))
            .order_by_desc(version::Column::Number)
            .one(db)
            .await?;
        definitions.extend(version.map(|version| with_version(row, version)));
    }
    Ok(definitions)
}

async fn history(
    db: &impl ConnectionTrait,
    workspace: &WorkspaceId,
    key: &DefinitionKey,
    after: Option<&str>,
    limit: u64,
) -> Attempt<Page<VersionHead>> {
    let row = find(db, workspace, key).await?.ok_or_else(|| not_found(key))?;
    let mut select = version::Entity::find()
        .filter(version::Column::DefinitionId.eq(row.id))
        .order_by_desc(version::Column::Number)
        .limit(limit + 1);
    if let Some(after) = after {
        select = select.filter(version::Column::Number.lt(page::number(after)?));
    }
    let heads = select.into_model::<VersionHead>().all(db).await?;
    Ok(Page::cut(heads, limit, |head| head.number.to_string()))
}

async fn delete(
    tx: &Tx,
    workspace: &WorkspaceId,
    key: &DefinitionKey,
    expected: i64,
    now_us: i64,
) -> Attempt<()> {
    let current = get(tx, workspace, key).await?;
    if current.version.number != expected {
        return Err(conflict(key, Some(expected), Some(current.version.number)).into());
    }
    let change = definition::ActiveModel { deleted_at_us: Set(Some(now_us)), ..Default::default() };
    let filter = definition::Column::Id.eq(current.id);
    definition::Entity::update_many().set(change).filter(filter).exec(tx).await?;
    Ok(())
}
