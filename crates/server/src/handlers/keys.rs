//! API keys: for programs, bound to a workspace and to the role of whoever made them.

use crate::access::Access;
use crate::identity::caller::KEY_PREFIX;
use crate::identity::people::checked_name;
use crate::identity::token::{fingerprint, random};
use crate::input::{Body, InPath};
use crate::output::{Answer, Created, Done};
use crate::route::Route;
use api::people::{ApiKey, ApiKeyPath, ApiKeys, CreateApiKey, NewApiKey};
use api::permission::{KeyManage, KeyOwn, Permit};
use axum::http::Method;
use model::{Problem, Result, codes};
use serde_json::json;
use store::ApiKeyId;

const ALL: &str = "/api/v1/workspaces/{workspace}/api-keys";
const ONE: &str = "/api/v1/workspaces/{workspace}/api-keys/{key}";
const DAY_US: i64 = 24 * 60 * 60 * 1_000_000;
/// So much of a key is shown in lists.
const SHOWN_CHARACTERS: usize = 10;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            ALL,
            "API keys: one's own; with `key.manage` those of everybody.",
            list,
        ),
        Route::new(Method::POST, ALL, "Make an API key. It is shown once.", create)
            .audited("api_key.create"),
        Route::new(
            Method::DELETE,
            ONE,
            "Revoke an API key of one's own; with `key.manage` any.",
            revoke,
        )
        .audited("api_key.revoke"),
    ]
}

async fn list(access: Access<KeyOwn>, (): ()) -> Result<Answer<ApiKeys>> {
    let keys = access.workspace.api_keys().list().await?;
    let items = keys.iter().filter(|key| is_theirs(&access, key)).map(shown);
    Ok(Answer(ApiKeys { items: items.collect() }))
}

fn is_theirs(access: &Access<KeyOwn>, key: &store::ApiKey) -> bool {
    key.user_id == access.caller.user.id || access.role >= KeyManage::PERMISSION.least
}

fn shown(key: &store::ApiKey) -> ApiKey {
    ApiKey {
        id: key.id.to_string(),
        name: key.name.clone(),
        prefix: key.prefix.clone(),
        role: key.role,
        expires_at_us: key.expires_at_us,
        last_used_at_us: key.last_used_at_us,
    }
}

/// A key that is revoked must not live on in others that it has made.
fn check_is_person(access: &Access<KeyOwn>) -> Result<()> {
    match &access.caller.key {
        None => Ok(()),
        Some(_) => Err(Problem::new(&codes::PERMISSION_MISSING, "an API key makes no other keys")
            .hint("sign in yourself to make one")),
    }
}

async fn create(
    access: Access<KeyOwn>,
    Body(new): Body<CreateApiKey>,
) -> Result<Created<NewApiKey>> {
    check_is_person(&access)?;
    if new.role > access.role {
        let fact = format!("the role `{}` is above your own, `{}`", new.role, access.role);
        return Err(Problem::new(&codes::PERMISSION_MISSING, fact).in_setting("/role"));
    }
    let now_us = access.app.now_us();
    let key = random(KEY_PREFIX)?;
    let row = store::NewApiKey {
        user: access.caller.user.id.clone(),
        name: checked_name(&new.name, "/name")?,
        prefix: key.reveal().chars().take(SHOWN_CHARACTERS).collect(),
        hash: fingerprint(&key),
        role: new.role,
        scopes: Vec::new(),
        expires_at_us: new.days.map(|days| now_us + i64::from(days) * DAY_US),
    };
    let made = access.workspace.api_keys().create(row, now_us).await?;
    access.trail.subject(&made.id);
    access.trail.after(json!({"name": made.name, "role": made.role, "days": new.days}));
    Ok(Created(NewApiKey { info: shown(&made), key: key.reveal().to_owned() }))
}

async fn revoke(access: Access<KeyOwn>, InPath(path): InPath<ApiKeyPath>) -> Result<Done> {
    let id = ApiKeyId::parse(&path.key)?;
    let key = access.workspace.api_keys().get(&id).await?;
    if !is_theirs(&access, &key) {
        // Whose keys there are is not everybody's business.
        return Err(Problem::new(&codes::NOT_FOUND, format!("there is no API key `{id}`")));
    }
    access.workspace.api_keys().revoke(&id, access.app.now_us()).await?;
    access.trail.before(json!({"name": key.name, "role": key.role, "of": key.user_id}));
    Ok(Done)
}
