//! Encrypted values of connections. What is in them, only the holder of the key knows.

use crate::entity::secret;
use crate::failure::Attempt;
use crate::ids::WorkspaceId;
use crate::store::Store;
use crate::transactions::Tx;
use crate::{rows, workspaces};
use model::{Name, Problem, Result, codes};
use sea_orm::prelude::*;
use sea_orm::{ActiveValue::Set, FromQueryResult, QueryOrder};

/// The secrets of one workspace.
#[derive(Debug, Clone)]
pub struct Secrets {
    store: Store,
    workspace: WorkspaceId,
}

/// A secret to be put in.
#[derive(Debug, Clone)]
pub struct NewSecret {
    /// The connection that needs it.
    pub connection: Name,
    /// Its name there.
    pub name: String,
    /// What only the holder of the key can read.
    pub ciphertext: Vec<u8>,
    /// Used once with the key.
    pub nonce: Vec<u8>,
    /// Which key it is encrypted with.
    pub key_id: String,
    /// The only host that it may be sent to.
    pub bound_host: Option<String>,
}

/// What may be shown of a secret.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct SecretHead {
    /// The connection that needs it.
    pub connection: String,
    /// Its name there.
    pub name: String,
    /// Which key it is encrypted with.
    pub key_id: String,
    /// The only host that it may be sent to.
    pub bound_host: Option<String>,
    /// µs since the epoch.
    pub updated_at_us: i64,
}

impl Secrets {
    pub(crate) fn new(store: Store, workspace: WorkspaceId) -> Self {
        Self { store, workspace }
    }

    /// Puts a secret in, in the place of the one that is there.
    pub async fn put(&self, new: NewSecret, now_us: i64) -> Result<()> {
        let row = secret::Model {
            workspace_id: self.workspace.clone(),
            connection: new.connection.to_string(),
            name: new.name,
            ciphertext: new.ciphertext,
            nonce: new.nonce,
            key_id: new.key_id,
            bound_host: new.bound_host,
            updated_at_us: now_us,
        };
        self.store.write(row, |tx, row| Box::pin(put(tx, row))).await
    }

    /// The secret, or `not_found`.
    pub async fn get(&self, connection: &Name, name: &str) -> Result<secret::Model> {
        let found = find(self.store.read(), &self.workspace, connection.as_str(), name).await?;
        found.ok_or_else(|| not_found(connection.as_str(), name))
    }

    /// What may be shown of the secrets of all connections.
    pub async fn list(&self) -> Result<Vec<SecretHead>> {
        Ok(list(self.store.read(), &self.workspace).await?)
    }

    /// The secrets themselves, sealed.
    pub async fn sealed(&self) -> Result<Vec<secret::Model>> {
        Ok(sealed(self.store.read(), &self.workspace).await?)
    }

    /// Puts the same value, sealed with another key, in the place of `old`; false when somebody
    /// has set another value in the meantime.
    pub async fn reseal(
        &self,
        old: secret::Model,
        key_id: String,
        ciphertext: Vec<u8>,
    ) -> Result<bool> {
        let input = (old, key_id, ciphertext);
        self.store
            .write(input, |tx, (old, key_id, ciphertext)| {
                Box::pin(reseal(tx, old, key_id, ciphertext))
            })
            .await
    }

    /// Removes a secret, or `not_found`.
    pub async fn remove(&self, connection: &Name, name: &str) -> Result<()> {
        let input = (self.workspace.clone(), connection.to_string(), name.to_owned());
        self.store
            .write(input, |tx, (workspace, connection, name)| {
                Box::pin(remove(tx, workspace, connection, name))
            })
            .await
    }

    /// Removes all secrets of a connection, such as when its host changes, and says how many.
    pub async fn clear(&self, connection: &Name) -> Result<u64> {
        let input = (self.workspace.clone(), connection.to_string());
        self.store
            .write(input, |tx, (workspace, connection)| Box::pin(clear(tx, workspace, connection)))
            .await
    }
}

fn not_found(connection: &str, name: &str) -> Problem {
    Problem::new(
        &codes::SECRET_MISSING,
        format!("connection `{connection}` has no secret `{name}`"),
    )
    .arg("connection", connection)
    .arg("name", name)
    .hint("set it in the connection's form")
}

async fn find(
    db: &impl ConnectionTrait,
    workspace: &WorkspaceId,
    connection: &str,
    name: &str,
) -> Attempt<Option<secret::Model>> {
    let key = (workspace.clone(), connection.to_owned(), name.to_owned());
    Ok(secret::Entity::find_by_id(key).one(db).await?)
}

async fn put(tx: &Tx, row: &secret::Model) -> Attempt<()> {
    workspaces::find(tx, &row.workspace_id).await?;
    let key = (row.workspace_id.clone(), row.connection.clone(), row.name.clone());
    secret::Entity::delete_by_id(key).exec(tx).await?;
    rows::insert(tx, row.clone()).await
}

async fn list(db: &impl ConnectionTrait, workspace: &WorkspaceId) -> Attempt<Vec<SecretHead>> {
    Ok(secret::Entity::find()
        .filter(secret::Column::WorkspaceId.eq(workspace.clone()))
        .order_by_asc(secret::Column::Connection)
        .order_by_asc(secret::Column::Name)
        .into_model::<SecretHead>()
        .all(db)
        .await?)
}

async fn sealed(db: &impl ConnectionTrait, workspace: &WorkspaceId) -> Attempt<Vec<secret::Model>> {
    let of = secret::Column::WorkspaceId.eq(workspace.clone());
    Ok(secret::Entity::find().filter(of).all(db).await?)
}

async fn reseal(tx: &Tx, old: &secret::Model, key_id: &str, ciphertext: &[u8]) -> Attempt<bool> {
    let change = secret::ActiveModel {
        key_id: Set(key_id.to_owned()),
        ciphertext: Set(ciphertext.to_vec()),
        ..Default::default()
    };
    let changed = secret::Entity::update_many()
        .set(change)
        .filter(secret::Column::WorkspaceId.eq(old.workspace_id.clone()))
        .filter(secret::Column::Connection.eq(old.connection.as_str()))
        .filter(secret::Column::Name.eq(old.name.as_str()))
        .filter(secret::Column::Ciphertext.eq(old.ciphertext.clone()))
        .exec(tx)
        .await?;
    Ok(changed.rows_affected == 1)
}

async fn remove(tx: &Tx, workspace: &WorkspaceId, connection: &str, name: &str) -> Attempt<()> {
    let key = (workspace.clone(), connection.to_owned(), name.to_owned());
    let removed = secret::Entity::delete_by_id(key).exec(tx).await?;
    match removed.rows_affected {
        0 => Err(not_found(connection, name).into()),
        _ => Ok(()),
    }
}

async fn clear(tx: &Tx, workspace: &WorkspaceId, connection: &str) -> Attempt<u64> {
    let removed = secret::Entity::delete_many()
        .filter(secret::Column::WorkspaceId.eq(workspace.clone()))
        .filter(secret::Column::Connection.eq(connection))
        .exec(tx)
        .await?;
    Ok(removed.rows_affected)
}
