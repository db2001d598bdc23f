//! Secrets of connections: set and removed, never given out.

use crate::access::Access;
use crate::connections;
use crate::input::{Body, InPath};
use crate::output::{Answer, Done};
use crate::route::Route;
use api::permission::{SecretManage, WorkspaceRead};
use api::secrets::{SecretHead, SecretPath, Secrets, SetSecret};
use axum::http::Method;
use model::{Name, Problem, Result, codes};
use serde_json::json;
use store::NewSecret;

const ONE: &str = "/api/v1/workspaces/{workspace}/connections/{connection}/secrets/{secret}";
const BYTES_MAX: usize = 64 << 10;

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
    let name = Name::new(&path.secret)?;
    let length = new.value.reveal().len();
    if !(1..=BYTES_MAX).contains(&length) {
        let fact = format!("the secret has {length} bytes");
        return Err(Problem::new(&codes::REQUEST_INVALID, fact)
            .in_setting("/value")
            .hint("a secret has 1 to 65,536 bytes"));
    }
    let connection = connections::one(&access.workspace, &Name::new(&path.connection)?).await?;
    let (sealed, bound_to) =
        connections::seal(&access.app, &access.workspace, &connection, name.as_str(), &new.value)?;
    access.trail.after(json!({"bound_to": bound_to}));
    let new = NewSecret {
        connection: connection.name,
        name: name.to_string(),
        ciphertext: sealed.ciphertext,
        nonce: sealed.nonce,
        key_id: sealed.key_id,
        bound_host: Some(bound_to),
    };
    access.workspace.secrets().put(new, access.app.now_us()).await?;
    Ok(Done)
}

async fn remove(access: Access<SecretManage>, InPath(path): InPath<SecretPath>) -> Result<Done> {
    let connection = Name::new(&path.connection)?;
    access.workspace.secrets().remove(&connection, &path.secret).await?;
    Ok(Done)
}
