//! The back-fills of a workspace.

use crate::entity::backfill;
use crate::failure::Attempt;
use crate::ids::{BackfillId, WorkspaceId};
use crate::store::Store;
use model::Result;
use sea_orm::prelude::*;
use sea_orm::{QueryOrder, QuerySelect};

/// The back-fills of one workspace.
#[derive(Debug, Clone)]
pub struct Backfills {
    store: Store,
    workspace: WorkspaceId,
}

/// As many are listed.
const LIST_MAX: u64 = 500;

impl Backfills {
    pub(crate) fn new(store: Store, workspace: WorkspaceId) -> Self {
        Self { store, workspace }
    }

    /// The latest ones, the newest first.
    pub async fn list(&self) -> Result<Vec<backfill::Model>> {
        Ok(list(self.store.read(), &self.workspace).await?)
    }

    /// The back-fill with this id, or `not_found`.
    pub async fn get(&self, id: &BackfillId) -> Result<backfill::Model> {
        Ok(get(self.store.read(), &self.workspace, id).await?)
    }
}

async fn list(db: &impl ConnectionTrait, workspace: &WorkspaceId) -> Attempt<Vec<backfill::Model>> {
    Ok(backfill::Entity::find()
        .filter(backfill::Column::WorkspaceId.eq(workspace.clone()))
        .order_by_desc(backfill::Column::Id)
        .limit(LIST_MAX)
        .all(db)
        .await?)
}

async fn get(
    db: &impl ConnectionTrait,
    workspace: &WorkspaceId,
    id: &BackfillId,
) -> Attempt<backfill::Model> {
    let row = backfill::Entity::find_by_id(id.clone())
        .filter(backfill::Column::WorkspaceId.eq(workspace.clone()))
        .one(db)
        .await?;
    row.ok_or_else(|| BackfillId::not_found(id).into())
}
