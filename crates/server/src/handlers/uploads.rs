//! Uploads: taken in as streams, listed, removed.

use crate::access::Access;
use crate::input::{InPath, InQuery, Stream};
use crate::output::{Answer, Created, Done};
use crate::route::Route;
use crate::uploads::{BYTES_MAX, too_large};
use api::page::PageQuery;
use api::permission::{UploadWrite, WorkspaceRead};
use api::uploads::{Upload, UploadPage, UploadPath, UploadQuery};
use axum::http::Method;
use model::{Name, Result};
use serde_json::json;
use std::time::Duration;
use store::{NewUpload, UploadId};

const ALL: &str = "/api/v1/workspaces/{workspace}/uploads";
const ONE: &str = "/api/v1/workspaces/{workspace}/uploads/{upload}";
/// An upload over a slow line may take so long.
const PATIENCE: Duration = Duration::from_secs(3600);

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, ALL, "Uploaded files, the newest first.", list),
        Route::new(
            Method::POST,
            ALL,
            "Upload a file of at most 100 MiB: the body is its content.",
            receive,
        )
        .audited("upload.create")
        .within(PATIENCE),
        Route::new(Method::DELETE, ONE, "Remove an uploaded file.", remove)
            .audited("upload.remove"),
    ]
}

async fn list(
    access: Access<WorkspaceRead>,
    InQuery(page): InQuery<PageQuery>,
) -> Result<Answer<UploadPage>> {
    let uploads = access.workspace.uploads();
    let found = uploads.list(page.after.as_deref(), page.items_max()).await?;
    Ok(Answer(UploadPage { items: found.items.into_iter().map(shown).collect(), next: found.next }))
}

fn shown(upload: store::Upload) -> Upload {
    Upload {
        id: upload.id.to_string(),
        name: upload.name,
        path: upload.path,
        size: u64::try_from(upload.size).unwrap_or(0),
        sha256: upload.sha256,
        uploaded_by: upload.uploaded_by.map(String::from),
        created_at_us: upload.created_at_us,
    }
}

async fn receive(
    access: Access<UploadWrite>,
    (InQuery(query), body): (InQuery<UploadQuery>, Stream),
) -> Result<Created<Upload>> {
    let length = body.length.unwrap_or(0);
    if length > BYTES_MAX {
        return Err(too_large());
    }
    // Before the bytes come; the database looks once more when they are there.
    access.workspace.uploads().check_room(i64::try_from(length).unwrap_or(i64::MAX)).await?;
    let now_us = access.app.now_us();
    let (workspace, id) = (Name::new(&access.about.slug)?, UploadId::generate(now_us));
    let folder = &access.app.uploads;
    let received = folder.receive(&workspace, &id, &query.name, body.body).await?;
    let new = NewUpload {
        id: id.clone(),
        name: query.name.chars().take(255).collect(),
        path: received.path.clone(),
        size: i64::try_from(received.size).unwrap_or(i64::MAX),
        sha256: received.sha256,
        uploaded_by: Some(access.caller.user.id.clone()),
    };
    match access.workspace.uploads().add(new, now_us).await {
        Ok(upload) => {
            access.trail.subject(&upload.id);
            access.trail.after(json!({"path": upload.path, "size": upload.size}));
            Ok(Created(shown(upload)))
        }
        Err(problem) => {
            folder.remove(&workspace, &id, &received.path)?;
            Err(problem)
        }
    }
}

async fn remove(access: Access<UploadWrite>, InPath(path): InPath<UploadPath>) -> Result<Done> {
    let id = UploadId::parse(&path.upload)?;
    let upload = access.workspace.uploads().remove(&id).await?;
    access.trail.before(json!({"path": upload.path, "size": upload.size}));
    access.app.uploads.remove(&Name::new(&access.about.slug)?, &id, &upload.path)?;
    Ok(Done)
}
