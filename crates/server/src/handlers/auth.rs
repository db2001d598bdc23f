//! Signing in: set-up, cookie, tokens, link.

use crate::access::{Anybody, InPerson, Origin};
use crate::app::App;
use crate::auditing::Author;
use crate::identity::caller::REFRESH_PREFIX;
use crate::identity::people::{NewAccount, local_user};
use crate::identity::token::{ACCESS_SECONDS, fingerprint, random};
use crate::identity::{cookie, password};
use crate::input::{Body, InQuery};
use crate::output::{Answer, Created, Done, WithCookie};
use crate::route::Route;
use api::auth::{ChangePassword, OpenLink, Refresh, SetUp, SignIn, Tokens};
use api::people::User;
use axum::http::header::{HeaderValue, LOCATION, SET_COOKIE};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use model::{Name, Problem, Result, Secret, codes};
use store::{
    FirstOwner, NewSession, NewSignIn, NewWorkspace, Rotation, SessionKind, SignInOutcome,
};
use subtle::ConstantTimeEq;

/// A browser's session ends after so long, whatever happens.
const SESSION_US: i64 = 12 * 60 * 60 * 1_000_000;
/// A refresh token is good for so long.
const REFRESH_US: i64 = 30 * 24 * 60 * 60 * 1_000_000;

pub(super) fn routes() -> Vec<Route> {
    let post = Method::POST;
    vec![
        Route::new(
            post.clone(),
            "/api/v1/auth/set-up",
            "Make the first account, with the token that the server has printed. Works once.",
            set_up,
        )
        .audited("installation.set_up"),
        Route::new(
            post.clone(),
            "/api/v1/auth/sign-in",
            "Sign a browser in: sets its cookie.",
            sign_in,
        )
        .audited("session.begin"),
        Route::new(post.clone(), "/api/v1/auth/tokens", "Sign a program in: gives tokens.", tokens)
            .audited("session.begin"),
        Route::new(
            post.clone(),
            "/api/v1/auth/refresh",
            "Give the next tokens for a refresh token.",
            refresh,
        )
        .unaudited("programs do it every few minutes, and the session has its entry"),
        Route::new(
            post.clone(),
            "/api/v1/auth/password",
            "Change one's own password. All sessions end; the browser that asks gets a new one.",
            change_password,
        )
        .audited("password.change"),
        Route::new(post, "/api/v1/auth/sign-out", "End the session of the request.", sign_out)
            .audited("session.end"),
        Route::new(
            Method::GET,
            "/open",
            "Sign a browser in with the link that a server for one person has printed.",
            open_link,
        )
        .audited("session.begin"),
    ]
}

async fn set_up(anybody: Anybody, Body(set_up): Body<SetUp>) -> Result<Created<User>> {
    let app = &anybody.app;
    app.throttle.begin("set-up", anybody.origin.ip, app.now_us())?;
    let SetUp { token, email, name, password, workspace } = set_up;
    let slug = Name::new(&workspace).map_err(|problem| problem.in_setting("/workspace"))?;
    let user = NewAccount { email, name, password }.check(&app.passwords).await?;
    let workspace = NewWorkspace { title: slug.to_string(), slug };
    let first = FirstOwner { user, workspace };
    let installation = app.store.installation();
    let hash = fingerprint(&token);
    let (user, _) = installation.complete_set_up(&hash, first, app.now_us()).await?;
    anybody.trail.author(Author::person(&user, None));
    Ok(Created(crate::identity::people::shown(&user)))
}

async fn sign_in(anybody: Anybody, Body(sign_in): Body<SignIn>) -> Result<WithCookie<Done>> {
    let user = authenticate(&anybody.app, &anybody.origin, &sign_in).await?;
    anybody.trail.author(Author::person(&user, None));
    let cookie = begin_session(&anybody.app, &anybody.origin, &user).await?;
    Ok(WithCookie { cookie, answer: Done })
}

async fn begin_session(app: &App, origin: &Origin, user: &store::User) -> Result<HeaderValue> {
    let token = random("")?;
    let new = new_session(origin, user, SessionKind::Browser, &token, app.now_us() + SESSION_US);
    app.store.sessions().begin(new, app.now_us()).await?;
    cookie::set(&token)
}

fn new_session(
    origin: &Origin,
    user: &store::User,
    kind: SessionKind,
    token: &Secret,
    expires_at_us: i64,
) -> NewSession {
    NewSession {
        token: fingerprint(token),
        user: user.id.clone(),
        kind,
        expires_at_us,
        ip: Some(origin.ip.to_string()),
        user_agent: Some(origin.user_agent.clone()),
    }
}

async fn tokens(anybody: Anybody, Body(sign_in): Body<SignIn>) -> Result<Answer<Tokens>> {
    let Anybody { app, origin, trail } = anybody;
    let user = authenticate(&app, &origin, &sign_in).await?;
    trail.author(Author::person(&user, None));
    let refresh = random(REFRESH_PREFIX)?;
    let expires_at_us = app.now_us() + REFRESH_US;
    let new = new_session(&origin, &user, SessionKind::Refresh, &refresh, expires_at_us);
    let session = app.store.sessions().begin(new, app.now_us()).await?;
    let family = session.family.unwrap_or_default();
    Ok(Answer(pair(&app, user.id.as_str(), &family, &refresh)?))
}

fn pair(app: &App, user: &str, family: &str, refresh: &Secret) -> Result<Tokens> {
    let access = app.access_tokens.issue(user, family, app.now_us())?;
    Ok(Tokens {
        access_token: access.reveal().to_owned(),
        expires_in: ACCESS_SECONDS,
        refresh_token: refresh.reveal().to_owned(),
    })
}

async fn refresh(anybody: Anybody, Body(given): Body<Refresh>) -> Result<Answer<Tokens>> {
    let app = &anybody.app;
    let next = random(REFRESH_PREFIX)?;
    let now_us = app.now_us();
    let (old, new) = (fingerprint(&given.refresh_token), fingerprint(&next));
    match app.store.sessions().rotate(&old, &new, now_us + REFRESH_US, now_us).await? {
        Rotation::Rotated(session) => {
            let family = session.family.clone().unwrap_or_default();
            Ok(Answer(pair(app, session.user_id.as_str(), &family, &next)?))
        }
        Rotation::Reused(user) => {
            tracing::warn!(%user, "a refresh token was used twice: its family has ended");
            Err(refused())
        }
        Rotation::Unknown => Err(refused()),
    }
}

/// The same words for whatever is wrong, so that they tell nothing.
fn refused() -> Problem {
    Problem::new(&codes::SIGN_IN_FAILED, "these are not the credentials of an active account")
        .hint("check e-mail and password; an owner or admin can set a new password")
}

/// The user whom e-mail and password belong to. Takes as long when there is none.
async fn authenticate(app: &App, origin: &Origin, given: &SignIn) -> Result<store::User> {
    let now_us = app.now_us();
    app.throttle.begin(&given.email, origin.ip, now_us).inspect_err(|_| {
        tracing::warn!(ip = %origin.ip, "too many tries to sign in");
    })?;
    let found = app.store.users().credentials(&given.email).await?;
    let (user, stored) = found.map_or((None, None), |(user, stored)| (Some(user), stored));
    let is_right = app.passwords.is_right(&given.password, stored.as_ref()).await?;
    let outcome = match &user {
        None => SignInOutcome::UnknownUser,
        Some(_) if !is_right => SignInOutcome::WrongPassword,
        Some(user) if !user.is_active => SignInOutcome::Inactive,
        Some(_) => SignInOutcome::Succeeded,
    };
    let attempt = NewSignIn {
        user: user.as_ref().map(|user| user.id.clone()),
        email: given.email.chars().take(254).collect(),
        ip: Some(origin.ip.to_string()),
        outcome,
    };
    app.store.sign_ins().record(attempt, now_us).await?;
    match (user, outcome) {
        (Some(user), SignInOutcome::Succeeded) => {
            app.throttle.succeed(&given.email, origin.ip);
            app.store.users().record_login(&user.id, now_us).await?;
            Ok(user)
        }
        _ => Err(refused()),
    }
}

async fn change_password(
    me: InPerson,
    Body(change): Body<ChangePassword>,
) -> Result<WithCookie<Done>> {
    let InPerson { app, user, origin, .. } = me;
    app.throttle.begin(&user.email, origin.ip, app.now_us())?;
    let stored = app.store.users().password_hash(&user.id).await?;
    if !app.passwords.is_right(&change.old, stored.as_ref()).await? {
        return Err(refused());
    }
    app.throttle.succeed(&user.email, origin.ip);
    password::check_strength(&change.new, &[&user.email, &user.name])?;
    let hash = app.passwords.hash(&change.new).await?;
    app.store.users().set_password(&user.id, hash, app.now_us()).await?;
    let cookie = begin_session(&app, &origin, &user).await?;
    Ok(WithCookie { cookie, answer: Done })
}

async fn sign_out(me: InPerson, (): ()) -> Result<WithCookie<Done>> {
    me.app.store.sessions().end(&me.user.id, &me.session).await?;
    Ok(WithCookie { cookie: cookie::clear(), answer: Done })
}

async fn open_link(anybody: Anybody, InQuery(link): InQuery<OpenLink>) -> Result<Response> {
    let Anybody { app, origin, trail } = anybody;
    let is_right = app.link_token.as_ref().is_some_and(|token| {
        token.reveal().as_bytes().ct_eq(link.token.reveal().as_bytes()).into()
    });
    let owner = if is_right { local_user(&app.store).await? } else { None };
    let owner = owner.ok_or_else(|| {
        Problem::new(&codes::SIGN_IN_FAILED, "this link does not open the server")
            .hint("the link is new each time the server starts: take the one it has printed")
    })?;
    trail.author(Author::person(&owner, None));
    let cookie = begin_session(&app, &origin, &owner).await?;
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(LOCATION, HeaderValue::from_static("/"));
    response.headers_mut().insert(SET_COOKIE, cookie);
    Ok(response)
}
