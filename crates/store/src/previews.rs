//! A few rows of each node, kept for 24 hours.

use crate::entity::preview;
use crate::failure::Attempt;
use crate::ids::WorkspaceId;
use crate::retention;
use crate::store::Store;
use crate::transactions::Tx;
use crate::values::Stored;
use crate::{rows, workspaces};
use model::{Name, Result};
use sea_orm::prelude::*;

/// The previews of one workspace.
#[derive(Debug, Clone)]
pub struct Previews {
    store: Store,
    workspace: WorkspaceId,
}

/// A preview to be kept.
#[derive(Debug, Clone)]
pub struct NewPreview {
    /// The pipeline.
    pub pipeline: Name,
    /// The node.
    pub node: Name,
    /// Columns and rows.
    pub data: serde_json::Value,
    /// Rows kept.
    pub rows: i64,
    /// Columns.
    pub columns: i64,
}

impl Previews {
    pub(crate) fn new(store: Store, workspace: WorkspaceId) -> Self {
        Self { store, workspace }
    }

    /// Keeps a preview, in the place of the one before.
    pub async fn put(&self, new: NewPreview, now_us: i64) -> Result<()> {
        let row = preview::Model {
            workspace_id: self.workspace.clone(),
            pipeline: new.pipeline.to_string(),
            node: new.node.to_string(),
            data: Stored(new.data),
            row_count: new.rows,
            column_count: new.columns,
            created_at_us: now_us,
        };
        self.store.write(row, |tx, row| Box::pin(put(tx, row))).await
    }

    /// The preview of a node, unless it is too old.
    pub async fn get(
        &self,
        pipeline: &Name,
        node: &Name,
        now_us: i64,
    ) -> Result<Option<preview::Model>> {
        Ok(get(self.store.read(), &self.workspace, pipeline, node, now_us).await?)
    }
}

async fn put(tx: &Tx, row: &preview::Model) -> Attempt<()> {
    workspaces::find(tx, &row.workspace_id).await?;
    let key = (row.workspace_id.clone(), row.pipeline.clone(), row.node.clone());
    preview::Entity::delete_by_id(key).exec(tx).await?;
    rows::insert(tx, row.clone()).await
}

async fn get(
    db: &impl ConnectionTrait,
    workspace: &WorkspaceId,
    pipeline: &Name,
    node: &Name,
    now_us: i64,
) -> Attempt<Option<preview::Model>> {
    let key = (workspace.clone(), pipeline.to_string(), node.to_string());
    let row = preview::Entity::find_by_id(key).one(db).await?;
    Ok(row.filter(|row| now_us - row.created_at_us < retention::PREVIEWS_US))
}
