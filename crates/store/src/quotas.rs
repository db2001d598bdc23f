//! How much a workspace may have.

use crate::entity::quota;
use crate::failure::Attempt;
use crate::ids::WorkspaceId;
use crate::store::Store;
use crate::transactions::Tx;
use crate::words::Quota;
use crate::{rows, workspaces};
use model::Result;
use sea_orm::prelude::*;

/// The quotas of one workspace.
#[derive(Debug, Clone)]
pub struct Quotas {
    store: Store,
    workspace: WorkspaceId,
}

impl Quotas {
    pub(crate) fn new(store: Store, workspace: WorkspaceId) -> Self {
        Self { store, workspace }
    }

    /// Sets how much of something there may be; none means as much as wanted.
    pub async fn set(&self, quota: Quota, maximum: Option<i64>) -> Result<()> {
        let input = (self.workspace.clone(), quota, maximum);
        self.store
            .write(input, |tx, (workspace, quota, maximum)| {
                Box::pin(set(tx, workspace, *quota, *maximum))
            })
            .await
    }

    /// How much of something there may be; none means as much as wanted.
    pub async fn get(&self, quota: Quota) -> Result<Option<i64>> {
        Ok(get(self.store.read(), &self.workspace, quota).await?)
    }

    /// All that are set.
    pub async fn list(&self) -> Result<Vec<(Quota, i64)>> {
        Ok(list(self.store.read(), &self.workspace).await?)
    }
}

async fn set(tx: &Tx, workspace: &WorkspaceId, quota: Quota, maximum: Option<i64>) -> Attempt<()> {
    workspaces::find(tx, workspace).await?;
    quota::Entity::delete_by_id((workspace.clone(), quota)).exec(tx).await?;
    let Some(maximum) = maximum else { return Ok(()) };
    rows::insert(tx, quota::Model { workspace_id: workspace.clone(), quota, maximum }).await
}

pub(crate) async fn get(
    db: &impl ConnectionTrait,
    workspace: &WorkspaceId,
    quota: Quota,
) -> Attempt<Option<i64>> {
    let row = quota::Entity::find_by_id((workspace.clone(), quota)).one(db).await?;
    Ok(row.map(|row| row.maximum))
}

async fn list(db: &impl ConnectionTrait, workspace: &WorkspaceId) -> Attempt<Vec<(Quota, i64)>> {
    let filter = quota::Column::WorkspaceId.eq(workspace.clone());
    let rows = quota::Entity::find().filter(filter).all(db).await?;
    Ok(rows.into_iter().map(|row| (row.quota, row.maximum)).collect())
}
