//! Keys for programs.

use crate::entity::api_key;
use crate::failure::Attempt;
use crate::ids::{ApiKeyId, TokenHash, UserId, WorkspaceId};
use crate::members;
use crate::rows;
use crate::sessions::TOUCH_AFTER_US;
use crate::store::Store;
use crate::transactions::Tx;
use crate::users::{self, User};
use crate::values::{RoleText, Stored};
use model::{Problem, Result, Role, codes};
use sea_orm::ActiveValue::Set;
use sea_orm::QueryOrder;
use sea_orm::prelude::*;

/// A key for programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// The key's id.
    pub id: ApiKeyId,
    /// The workspace it opens.
    pub workspace_id: WorkspaceId,
    /// The person in whose name it acts.
    pub user_id: UserId,
    /// What the person calls it.
    pub name: String,
    /// Its first characters, by which people know it again.
    pub prefix: String,
    /// It may do no more than this role, and no more than its person.
    pub role: Role,
    /// What it may be used for; empty means everything.
    pub scopes: Vec<String>,
    /// µs since the epoch.
    pub created_at_us: i64,
    /// µs since the epoch.
    pub expires_at_us: Option<i64>,
    /// µs since the epoch, to the minute.
    pub last_used_at_us: Option<i64>,
    /// µs since the epoch.
    pub revoked_at_us: Option<i64>,
}

impl From<api_key::Model> for ApiKey {
    fn from(row: api_key::Model) -> Self {
        Self {
            id: row.id,
            workspace_id: row.workspace_id,
            user_id: row.user_id,
            name: row.name,
            prefix: row.prefix,
            role: row.role.0,
            scopes: row.scopes.0,
            created_at_us: row.created_at_us,
            expires_at_us: row.expires_at_us,
            last_used_at_us: row.last_used_at_us,
            revoked_at_us: row.revoked_at_us,
        }
    }
}

/// The API keys of one workspace.
#[derive(Debug, Clone)]
pub struct ApiKeys {
    store: Store,
    workspace: WorkspaceId,
}

/// A key to be added.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// The person in whose name it acts: a member.
    pub user: UserId,
    /// What the person calls it.
    pub name: String,
    /// Its first characters, by which people know it again.
    pub prefix: String,
    /// Hash of the key.
    pub hash: TokenHash,
    /// It may do no more than this role.
    pub role: Role,
    /// What it may be used for; empty means everything.
    pub scopes: Vec<String>,
    /// µs since the epoch.
    pub expires_at_us: Option<i64>,
}

impl ApiKeys {
    pub(crate) fn new(store: Store, workspace: WorkspaceId) -> Self {
        Self { store, workspace }
    }

    /// Adds a key. A person who is not a member is `not_found`.
    pub async fn create(&self, new: NewApiKey, now_us: i64) -> Result<ApiKey> {
        let input = (self.workspace.clone(), new, now_us);
        self.store
            .write(input, |tx, (workspace, new, now_us)| Box::pin(add(tx, workspace, new, *now_us)))
            .await
    }

    /// All keys, the newest first; revoked ones too.
    pub async fn list(&self) -> Result<Vec<ApiKey>> {
        Ok(list(self.store.read(), &self.workspace).await?)
    }

    /// The key with this id, or `not_found`.
    pub async fn get(&self, id: &ApiKeyId) -> Result<ApiKey> {
        Ok(get(self.store.read(), &self.workspace, id).await?)
    }

    /// Ends a key for good; once more changes nothing.
    pub async fn revoke(&self, id: &ApiKeyId, now_us: i64) -> Result<()> {
        let input = (self.workspace.clone(), id.clone(), now_us);
        self.store
            .write(input, |tx, (workspace, id, now_us)| {
                Box::pin(revoke(tx, workspace, id, *now_us))
            })
            .await
    }
}

/// API keys as they come with a request, before their workspace is known.
#[derive(Debug, Clone)]
pub struct AllApiKeys {
    store: Store,
}

impl AllApiKeys {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// The key with this hash, its person, and what both together may do in the key's workspace.
    /// None when it is revoked or expired, or its person is switched off or no member any more.
    /// Notes that it was used.
    pub async fn find(
        &self,
        hash: &TokenHash,
        now_us: i64,
    ) -> Result<Option<(ApiKey, User, Role)>> {
        let found = find(self.store.read(), hash, now_us).await?;
        if let Some((key, ..)) = &found
            && key.last_used_at_us.is_none_or(|used| now_us - used >= TOUCH_AFTER_US)
        {
            let input = (key.id.clone(), now_us);
            self.store.write(input, |tx, (id, now_us)| Box::pin(touch(tx, id, *now_us))).await?;
        }
        Ok(found)
    }
}

async fn find(
    db: &impl ConnectionTrait,
    hash: &TokenHash,
    now_us: i64,
) -> Attempt<Option<(ApiKey, User, Role)>> {
    let filter = api_key::Column::Hash.eq(hash.clone());
    let Some(key) = api_key::Entity::find().filter(filter).one(db).await? else {
        return Ok(None);
    };
    let is_expired = key.expires_at_us.is_some_and(|expires| expires <= now_us);
    if is_expired || key.revoked_at_us.is_some() {
        return Ok(None);
    }
    let user = users::find(db, &key.user_id).await?;
    let role = members::role_of(db, &key.workspace_id, &key.user_id).await?;
    Ok(match role {
        Some(role) if user.is_active => {
            let role = role.min(key.role.0);
            Some((key.into(), user.into(), role))
        }
        _ => None,
    })
}

async fn touch(tx: &Tx, id: &ApiKeyId, now_us: i64) -> Attempt<()> {
    let change = api_key::ActiveModel { last_used_at_us: Set(Some(now_us)), ..Default::default() };
    let filter = api_key::Column::Id.eq(id.clone());
    api_key::Entity::update_many().set(change).filter(filter).exec(tx).await?;
    Ok(())
}

async fn add(tx: &Tx, workspace: &WorkspaceId, new: &NewApiKey, now_us: i64) -> Attempt<ApiKey> {
    if members::role_of(tx, workspace, &new.user).await?.is_none() {
        return Err(Problem::new(&codes::NOT_FOUND, "the key's person is not a member")
            .arg("id", &new.user)
            .hint("make the person a member of the workspace first")
            .into());
    }
    let row = api_key::Model {
        id: ApiKeyId::generate(now_us),
        workspace_id: workspace.clone(),
        user_id: new.user.clone(),
        name: new.name.clone(),
        prefix: new.prefix.clone(),
        hash: new.hash.clone(),
        role: RoleText(new.role),
        scopes: Stored(new.scopes.clone()),
        created_at_us: now_us,
        expires_at_us: new.expires_at_us,
        last_used_at_us: None,
        revoked_at_us: None,
    };
    rows::insert(tx, row.clone()).await?;
    Ok(row.into())
}

async fn list(db: &impl ConnectionTrait, workspace: &WorkspaceId) -> Attempt<Vec<ApiKey>> {
    let rows = api_key::Entity::find()
        .filter(api_key::Column::WorkspaceId.eq(workspace.clone()))
        .order_by_desc(api_key::Column::Id)
        .all(db)
        .await?;
    Ok(rows.into_iter().map(ApiKey::from).collect())
}

async fn get(db: &impl ConnectionTrait, workspace: &WorkspaceId, id: &ApiKeyId) -> Attempt<ApiKey> {
    let filter = api_key::Column::WorkspaceId.eq(workspace.clone());
    let row = api_key::Entity::find_by_id(id.clone()).filter(filter).one(db).await?;
    row.map(ApiKey::from).ok_or_else(|| ApiKeyId::not_found(id).into())
}

async fn revoke(tx: &Tx, workspace: &WorkspaceId, id: &ApiKeyId, now_us: i64) -> Attempt<()> {
    let key = get(tx, workspace, id).await?;
    let change = api_key::ActiveModel {
        revoked_at_us: Set(Some(key.revoked_at_us.unwrap_or(now_us))),
        ..Default::default()
    };
    let filter = api_key::Column::Id.eq(key.id);
    api_key::Entity::update_many().set(change).filter(filter).exec(tx).await?;
    Ok(())
}
