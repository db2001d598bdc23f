//! Who sends a request: a browser with its cookie, or a program with a token or key.

use super::cookie;
use super::token::fingerprint;
use crate::app::App;
use axum::http::Method;
use axum::http::header::{AUTHORIZATION, HOST, HeaderName, ORIGIN};
use axum::http::request::Parts;
use model::{Problem, Result, Role, Secret, codes};
use store::{ApiKeyId, TokenHash, User, WorkspaceId};

/// How API keys begin.
pub(crate) const KEY_PREFIX: &str = "afk_";
/// How refresh tokens begin.
pub(crate) const REFRESH_PREFIX: &str = "afr_";
/// A browser's session ends after so long without a request.
const IDLE_US_MAX: i64 = 30 * 60 * 1_000_000;
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Who sends a request.
pub(crate) struct Caller {
    /// The user.
    pub(crate) user: User,
    /// The session, unless the request carries an API key.
    pub(crate) session: Option<TokenHash>,
    /// What its API key allows, if the request carries one.
    pub(crate) key: Option<Key>,
}

/// What an API key allows.
pub(crate) struct Key {
    /// The key's id.
    pub(crate) id: ApiKeyId,
    workspace: WorkspaceId,
    /// The least of the key's role and its user's.
    role: Role,
}

impl Caller {
    /// Who sends this request.
    pub(crate) async fn of(parts: &Parts, app: &App) -> Result<Self> {
        let found = match bearer(parts) {
            Some(text) if text.reveal().starts_with(KEY_PREFIX) => by_key(&text, app).await?,
            Some(text) => by_access_token(&text, app).await?,
            None => match cookie::token(parts) {
                Some(text) => {
                    check_same_site(parts)?;
                    by_cookie(&text, app).await?
                }
                None => None,
            },
        };
        found.filter(|caller| caller.user.is_active).ok_or_else(|| {
            Problem::new(&codes::SIGN_IN_NEEDED, "the request is not signed in")
                .hint("sign in, or send `Authorization: Bearer …` with a token or API key")
        })
    }

    /// What the caller may do in a workspace where the user has `role`; nothing with the API key
    /// of another one.
    pub(crate) fn role_within(&self, workspace: &WorkspaceId, role: Role) -> Option<Role> {
        match &self.key {
            None => Some(role),
            Some(key) => key.role_within(workspace, role),
        }
    }
}

impl Key {
    /// What the key allows in a workspace where its user has `role`; nothing in another one.
    pub(crate) fn role_within(&self, workspace: &WorkspaceId, role: Role) -> Option<Role> {
        (self.workspace == *workspace).then(|| role.min(self.role))
    }
}

fn bearer(parts: &Parts) -> Option<Secret> {
    let value = parts.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Secret::new(token.trim()))
}

async fn by_key(text: &Secret, app: &App) -> Result<Option<Caller>> {
    let found = app.store.api_keys().find(&fingerprint(text), app.now_us()).await?;
    Ok(found.map(|(key, user, role)| {
        let key = Some(Key { id: key.id, workspace: key.workspace_id, role });
        Caller { user, session: None, key }
    }))
}

async fn by_access_token(text: &Secret, app: &App) -> Result<Option<Caller>> {
    let Some(claims) = app.access_tokens.read(text.reveal(), app.now_us()) else {
        return Ok(None);
    };
    let found = app.store.sessions().find_family(&claims.sid, app.now_us()).await?;
    let found = found.filter(|(_, user)| user.id.as_str() == claims.sub);
    Ok(found.map(|(session, user)| Caller { user, session: Some(session.id), key: None }))
}

async fn by_cookie(text: &Secret, app: &App) -> Result<Option<Caller>> {
    let now_us = app.now_us();
    let found = app.store.sessions().find(&fingerprint(text), now_us).await?;
    let Some((session, user)) = found else { return Ok(None) };
    if now_us - session.seen_at_us > IDLE_US_MAX {
        app.store.sessions().end(&user.id, &session.id).await?;
        return Ok(None);
    }
    Ok(Some(Caller { user, session: Some(session.id), key: None }))
}

/// A browser sends the cookie by itself, so what changes something must come from our own pages.
fn check_same_site(parts: &Parts) -> Result<()> {
    if [Method::GET, Method::HEAD, Method::OPTIONS].contains(&parts.method) {
        return Ok(());
    }
    let header = |name: HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let same = match (header(SEC_FETCH_SITE), header(ORIGIN)) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => {
            let host = origin.split_once("://").map(|(_, host)| host);
            host.is_some() && host == header(HOST)
        }
        (None, None) => false,
    };
    match same {
        true => Ok(()),
        false => Err(Problem::new(&codes::REQUEST_REFUSED, "the request comes from another site")
            .hint("programs sign in with a token or API key, not with a cookie")),
    }
}
