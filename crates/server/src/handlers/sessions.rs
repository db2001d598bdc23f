//! Who one is, and where one is signed in.

use crate::access::{InPerson, SignedIn};
use crate::input::{InPath, InQuery};
use crate::output::{Answer, Done};
use crate::route::Route;
use api::auth::{Me, Session, SessionPath, Sessions, SignInAttempt, SignInPage};
use api::page::PageQuery;
use api::workspaces::Workspace;
use axum::http::Method;
use model::Result;
use store::{SignInOutcome, TokenHash};

pub(super) fn routes() -> Vec<Route> {
    let (get, delete) = (Method::GET, Method::DELETE);
    vec![
        Route::new(get.clone(), "/api/v1/me", "Who one is, and which workspaces one is in.", me),
        Route::new(
            get.clone(),
            "/api/v1/me/sign-ins",
            "Who has tried to sign in as oneself, the newest first.",
            sign_ins,
        ),
        Route::new(get, "/api/v1/me/sessions", "Where one is signed in.", list),
        Route::new(
            delete.clone(),
            "/api/v1/me/sessions",
            "End all sessions but this one.",
            end_others,
        )
        .audited("session.end_others"),
        Route::new(delete, "/api/v1/me/sessions/{session}", "End one of one's sessions.", end)
            .audited("session.end"),
    ]
}

async fn me(me: SignedIn, (): ()) -> Result<Answer<Me>> {
    let user = me.caller.user;
    let memberships = me.app.store.workspaces().of(&user.id).await?;
    // An API key sees no more than its own workspace.
    let key = me.caller.key;
    let workspaces = memberships.into_iter().filter_map(|(workspace, role)| {
        let role = match &key {
            Some(key) => key.role_within(&workspace.id, role)?,
            None => role,
        };
        Some(shown(&workspace, role))
    });
    Ok(Answer(Me {
        id: user.id.to_string(),
        email: user.email,
        name: user.name,
        manages_installation: user.is_owner_of_installation && key.is_none(),
        workspaces: workspaces.collect(),
    }))
}

/// A workspace as the interface shows it.
pub(super) fn shown(workspace: &store::Workspace, role: model::Role) -> Workspace {
    Workspace {
        id: workspace.id.to_string(),
        name: workspace.slug.clone(),
        title: workspace.title.clone(),
        role,
    }
}

async fn list(me: InPerson, (): ()) -> Result<Answer<Sessions>> {
    let sessions = me.app.store.sessions().list(&me.user.id, me.app.now_us()).await?;
    let sessions = sessions.into_iter().map(|session| Session {
        current: session.id == me.session,
        id: session.id.as_str().to_owned(),
        created_at_us: session.created_at_us,
        seen_at_us: session.seen_at_us,
        ip: session.ip.unwrap_or_default(),
        user_agent: session.user_agent.unwrap_or_default(),
    });
    Ok(Answer(Sessions { items: sessions.collect() }))
}

async fn sign_ins(me: InPerson, InQuery(page): InQuery<PageQuery>) -> Result<Answer<SignInPage>> {
    let history = me.app.store.sign_ins();
    let after = page.after.as_deref();
    let found = history.history(Some(&me.user.id), after, page.items_max()).await?;
    let items = found.items.into_iter().map(|attempt| SignInAttempt {
        at_us: attempt.at_us,
        ip: attempt.ip.unwrap_or_default(),
        succeeded: attempt.outcome == SignInOutcome::Succeeded,
    });
    Ok(Answer(SignInPage { items: items.collect(), next: found.next }))
}

async fn end(me: InPerson, InPath(path): InPath<SessionPath>) -> Result<Done> {
    let session = TokenHash::parse(&path.session)?;
    me.app.store.sessions().end(&me.user.id, &session).await?;
    Ok(Done)
}

async fn end_others(me: InPerson, (): ()) -> Result<Done> {
    me.app.store.sessions().end_all(&me.user.id, Some(&me.session)).await?;
    Ok(Done)
}
