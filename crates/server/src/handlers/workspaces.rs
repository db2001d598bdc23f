//! Workspaces themselves.

use super::sessions::shown;
use crate::access::{Access, Installation};
use crate::identity::people::checked_name;
use crate::input::Body;
use crate::output::{Answer, Created};
use crate::route::Route;
use api::permission::{WorkspaceManage, WorkspaceRead};
use api::workspaces::{ChangeWorkspace, CreateWorkspace, Workspace};
use axum::http::Method;
use model::{Name, Result, Role};
use serde_json::json;
use store::NewWorkspace;

const ONE: &str = "/api/v1/workspaces/{workspace}";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::POST,
            "/api/v1/workspaces",
            "Make a workspace; whoever asks becomes its owner.",
            create,
        )
        .audited("workspace.create"),
        Route::new(Method::GET, ONE, "A workspace.", get),
        Route::new(Method::PATCH, ONE, "Change a workspace.", change).audited("workspace.change"),
    ]
}

async fn create(
    owner: Installation,
    Body(new): Body<CreateWorkspace>,
) -> Result<Created<Workspace>> {
    let slug = Name::new(&new.name).map_err(|problem| problem.in_setting("/name"))?;
    let title = checked_name(&new.title.unwrap_or(new.name), "/title")?;
    let (store, user) = (&owner.app.store, &owner.caller.user.id);
    let new = NewWorkspace { slug, title };
    let made = store.workspaces().create(new, user, owner.app.now_us()).await?;
    owner.trail.subject(&made.id);
    owner.trail.after(json!({"name": made.slug, "title": made.title}));
    Ok(Created(shown(&made, Role::Owner)))
}

async fn get(access: Access<WorkspaceRead>, (): ()) -> Result<Answer<Workspace>> {
    Ok(Answer(shown(&access.about, access.role)))
}

async fn change(
    access: Access<WorkspaceManage>,
    Body(change): Body<ChangeWorkspace>,
) -> Result<Answer<Workspace>> {
    let changed =
        access.workspace.change(Some(checked_name(&change.title, "/title")?), None).await?;
    access.trail.subject(&access.about.id);
    access.trail.before(json!({"title": access.about.title}));
    access.trail.after(json!({"title": changed.title}));
    Ok(Answer(shown(&changed, access.role)))
}
