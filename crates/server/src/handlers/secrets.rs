//! Secrets of connections: set and removed, never given out.

use crate::access::Access;
use crate::connections;
use crate::input::{Body, InPath};
use crate::output::{Answer, Done};
use crate::route::Route;
use api::permission::{SecretManage, WorkspaceRead};
use api::secrets::{SecretHead, SecretPath, Secrets, SetSecret};
use axum::http::Method;
use model::{Name, Result};
use serde_json::json;

const ONE: &str = "/api/v1/workspaces/{workspace}/connections/{connection}/secrets/{secret}";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/api/v1/workspaces/{workspace}/secrets",
            "The secrets there are, without their values.",
            list,
        ),
        Route::new(
            Method::PUT,
            ONE,
            "Set a secret of a connection, for where the connection leads now.",
            set,
        )
        .audited("secret.set"),
        Route::new(Method::DELETE, ONE, "Remove a secret of a connection.", remove)
            .audited("secret.remove"),
    ]
}

async fn list(access: Access<WorkspaceRead>, (): ()) -> Result<Answer<Secrets>> {
    let connections = connections::all(&access.workspace).await?;
    let items = access.workspace.secrets().list().await?.into_iter().map(|head| {
        let connection = Name::new(&head.connection).ok();
        let connection = connection.and_then(|name| connections.get(&name));
        let leads_to = connection.map(connections::leads_to);
        SecretHead {
            usable: leads_to.is_some() && leads_to == head.bound_host,
            bound_to: head.bound_host.unwrap_or_default(),
            connection: head.connection,
            name: head.name,
            updated_at_us: head.updated_at_us,
        }
    });
    Ok(Answer(Secrets { items: items.collect() }))
}

async fn set(
    access: Access<SecretManage>,
    (InPath(path), Body(new)): (InPath<SecretPath>, Body<SetSecret>),
) -> Result<Done> {
    let (connection, name) = (Name::new(&path.connection)?, Name::new(&path.secret)?);
    let (app, workspace) = (&access.app, &access.workspace);
    let which = (&connection, &name);
    let bound_to = connections::set(&app.seals, workspace, which, &new.value, app.now_us()).await?;
    access.trail.after(json!({"bound_to": bound_to}));
    Ok(Done)
}

async fn remove(access: Access<SecretManage>, InPath(path): InPath<SecretPath>) -> Result<Done> {
    let connection = Name::new(&path.connection)?;
    access.workspace.secrets().remove(&connection, &path.secret).await?;
    Ok(Done)
}
