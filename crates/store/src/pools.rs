//! The pools of a workspace: slots that tasks share.

use crate::entity::pool;
use crate::failure::Attempt;
use crate::ids::WorkspaceId;
use crate::store::Store;
use crate::transactions::Tx;
use crate::{rows, workspaces};
use model::{Name, Result};
use sea_orm::QueryOrder;
use sea_orm::prelude::*;

/// The pools of one workspace.
#[derive(Debug, Clone)]
pub struct Pools {
    store: Store,
    workspace: WorkspaceId,
}

impl Pools {
    pub(crate) fn new(store: Store, workspace: WorkspaceId) -> Self {
        Self { store, workspace }
    }

    /// All of them by name, with their slots.
    pub async fn list(&self) -> Result<Vec<(String, i64)>> {
        Ok(list(self.store.read(), &self.workspace).await?)
    }

    /// Gives a pool so many slots; none removes it.
    pub async fn set(&self, name: &Name, slots: Option<i64>) -> Result<()> {
        let input = (self.workspace.clone(), name.to_string(), slots);
        self.store
            .write(input, |tx, (workspace, name, slots)| Box::pin(set(tx, workspace, name, *slots)))
            .await
    }
}

async fn list(db: &impl ConnectionTrait, workspace: &WorkspaceId) -> Attempt<Vec<(String, i64)>> {
    let rows = pool::Entity::find()
        .filter(pool::Column::WorkspaceId.eq(workspace.clone()))
        .order_by_asc(pool::Column::Name)
        .all(db)
        .await?;
    Ok(rows.into_iter().map(|row| (row.name, row.slots)).collect())
}

async fn set(tx: &Tx, workspace: &WorkspaceId, name: &str, slots: Option<i64>) -> Attempt<()> {
    workspaces::find(tx, workspace).await?;
    pool::Entity::delete_by_id((workspace.clone(), name.to_owned())).exec(tx).await?;
    let Some(slots) = slots else { return Ok(()) };
    rows::insert(tx, pool::Model { workspace_id: workspace.clone(), name: name.to_owned(), slots })
        .await
}
