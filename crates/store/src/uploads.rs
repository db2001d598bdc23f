//! Files that people have uploaded: what they are and where they lie.

use crate::entity::upload;
use crate::failure::Attempt;
use crate::ids::{UploadId, UserId, WorkspaceId};
use crate::page::{self, Page};
use crate::store::Store;
use crate::transactions::Tx;
use crate::words::Quota;
use crate::{quotas, rows, workspaces};
use model::{Problem, Result, codes};
use sea_orm::prelude::*;
use sea_orm::{QueryOrder, QuerySelect};

/// The uploads of one workspace.
#[derive(Debug, Clone)]
pub struct Uploads {
    store: Store,
    workspace: WorkspaceId,
}

/// A file that lies in its place.
#[derive(Debug, Clone)]
pub struct NewUpload {
    /// Chosen by the caller, who has named the file after it.
    pub id: UploadId,
    /// What the file was called.
    pub name: String,
    /// Where it lies, below the workspace's folder.
    pub path: String,
    /// In bytes.
    pub size: i64,
    /// Hash of the content.
    pub sha256: String,
    /// Who uploaded it.
    pub uploaded_by: Option<UserId>,
}

impl Uploads {
    pub(crate) fn new(store: Store, workspace: WorkspaceId) -> Self {
        Self { store, workspace }
    }

    /// Whether so many more bytes may come; else `quota_exceeded`.
    pub async fn check_room(&self, size: i64) -> Result<()> {
        Ok(check_room(self.store.read(), &self.workspace, size).await?)
    }

    /// Notes a file; `quota_exceeded` when there would be more bytes than may be.
    pub async fn add(&self, new: NewUpload, now_us: i64) -> Result<upload::Model> {
        let row = upload::Model {
            id: new.id,
            workspace_id: self.workspace.clone(),
            name: new.name,
            path: new.path,
            size: new.size,
            sha256: new.sha256,
            uploaded_by: new.uploaded_by,
            created_at_us: now_us,
        };
        self.store.write(row.clone(), |tx, row| Box::pin(add(tx, row))).await?;
        Ok(row)
    }

    /// The file with this id, or `not_found`.
    pub async fn get(&self, id: &UploadId) -> Result<upload::Model> {
        Ok(get(self.store.read(), &self.workspace, id).await?)
    }

    /// The files, the newest first; `after` is a page's `next`.
    pub async fn list(&self, after: Option<&str>, limit: u64) -> Result<Page<upload::Model>> {
        let limit = page::limit(limit);
        let after = after.map(UploadId::parse).transpose()?;
        Ok(list(self.store.read(), &self.workspace, after, limit).await?)
    }

    /// Bytes of all files together.
    pub async fn bytes(&self) -> Result<i64> {
        Ok(bytes(self.store.read(), &self.workspace).await?)
    }

    /// Forgets a file and says what it was, so that the caller can remove it; else `not_found`.
    pub async fn remove(&self, id: &UploadId) -> Result<upload::Model> {
        let input = (self.workspace.clone(), id.clone());
        self.store.write(input, |tx, (workspace, id)| Box::pin(remove(tx, workspace, id))).await
    }
}

async fn add(tx: &Tx, row: &upload::Model) -> Attempt<()> {
    workspaces::find(tx, &row.workspace_id).await?;
    check_room(tx, &row.workspace_id, row.size).await?;
    rows::insert(tx, row.clone()).await
}

async fn check_room(db: &impl ConnectionTrait, workspace: &WorkspaceId, size: i64) -> Attempt<()> {
    let Some(maximum) = quotas::get(db, workspace, Quota::UploadBytes).await? else {
        return Ok(());
    };
    let used = bytes(db, workspace).await?;
    if used.saturating_add(size) <= maximum {
        return Ok(());
    }
    let fact = format!("the workspace may have {maximum} bytes of uploads, and has {used}");
    Err(Problem::new(&codes::QUOTA_EXCEEDED, fact)
        .arg("maximum", maximum)
        .arg("used", used)
        .hint("remove files that nobody needs, or ask whoever manages the installation for more")
        .into())
}

async fn get(
    db: &impl ConnectionTrait,
    workspace: &WorkspaceId,
    id: &UploadId,
) -> Attempt<upload::Model> {
    let filter = upload::Column::WorkspaceId.eq(workspace.clone());
    let row = upload::Entity::find_by_id(id.clone()).filter(filter).one(db).await?;
    row.ok_or_else(|| UploadId::not_found(id).into())
}

async fn list(
    db: &impl ConnectionTrait,
    workspace: &WorkspaceId,
    after: Option<UploadId>,
    limit: u64,
) -> Attempt<Page<upload::Model>> {
    let mut select = upload::Entity::find()
        .filter(upload::Column::WorkspaceId.eq(workspace.clone()))
        .order_by_desc(upload::Column::Id)
        .limit(limit + 1);
    if let Some(after) = after {
        select = select.filter(upload::Column::Id.lt(after));
    }
    Ok(Page::cut(select.all(db).await?, limit, |row| row.id.to_string()))
}

async fn bytes(db: &impl ConnectionTrait, workspace: &WorkspaceId) -> Attempt<i64> {
    use sea_orm::sea_query::ExprTrait;
    // The sum of large integers is a decimal on PostgreSQL: it is made one integer again.
    let sum = Expr::col(upload::Column::Size).sum().cast_as("bigint");
    let row: Option<Option<i64>> = upload::Entity::find()
        .select_only()
        .column_as(sum, "bytes")
        .filter(upload::Column::WorkspaceId.eq(workspace.clone()))
        .into_tuple()
        .one(db)
        .await?;
    Ok(row.flatten().unwrap_or(0))
}

async fn remove(tx: &Tx, workspace: &WorkspaceId, id: &UploadId) -> Attempt<upload::Model> {
    let row = get(tx, workspace, id).await?;
    upload::Entity::delete_by_id(id.clone()).exec(tx).await?;
    Ok(row)
}
