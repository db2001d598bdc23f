//! Signing in and out, in every way there is.

use super::support::{NOW, PASSWORD, SECOND, Server, to};
use crate::identity::token::fingerprint;
use axum::body::Body;
use axum::http::{Method, StatusCode, header};
use model::{Role, Secret};
use serde_json::{Value, json};

const ME: &str = "/api/v1/me";
const SIGN_IN: &str = "/api/v1/auth/sign-in";

fn credentials(password: &str) -> Value {
    json!({"email": "Owner@Example.org", "password": password})
}

#[tokio::test]
async fn a_browser_signs_in_and_out() {
    let server = Server::new().await;
    server.set_up().await;
    let answer = server.json(Method::POST, SIGN_IN, None, credentials(PASSWORD)).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    let flags = answer.headers[header::SET_COOKIE].to_str().unwrap();
    for flag in ["__Host-", "Path=/", "Secure", "HttpOnly", "SameSite=Strict"] {
        assert!(flags.contains(flag), "{flag}");
    }
    let cookie = answer.cookie();
    let me = server.get(ME, Some(&cookie)).await;
    assert_eq!(me.body["email"], "owner@example.org");
    assert_eq!(me.body["workspaces"][0]["role"], "owner");
    let again = server.json(Method::POST, SIGN_IN, None, credentials(PASSWORD)).await;
    assert_ne!(again.cookie(), cookie, "every sign-in gives a new token");
    let out = server.json(Method::POST, "/api/v1/auth/sign-out", Some(&cookie), json!({})).await;
    assert!(out.headers[header::SET_COOKIE].to_str().unwrap().contains("Max-Age=0"));
    assert_eq!(server.get(ME, Some(&cookie)).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(server.get(ME, Some(&again.cookie())).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_session_ends_when_nobody_uses_it() {
    let server = Server::new().await;
    server.set_up().await;
    let answer = server.json(Method::POST, SIGN_IN, None, credentials(PASSWORD)).await;
    let cookie = answer.cookie();
    for _ in 0..23 {
        server.clock.advance(29 * 60 * SECOND);
        assert_eq!(server.get(ME, Some(&cookie)).await.status, StatusCode::OK);
    }
    // Twelve hours after it began it ends anyway.
    server.clock.advance(60 * 60 * SECOND);
    assert_eq!(server.get(ME, Some(&cookie)).await.status, StatusCode::UNAUTHORIZED);
    let answer = server.json(Method::POST, SIGN_IN, None, credentials(PASSWORD)).await;
    server.clock.advance(31 * 60 * SECOND);
    assert_eq!(server.get(ME, Some(&answer.cookie())).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn what_is_wrong_is_not_told() {
    let server = Server::new().await;
    server.set_up().await;
    let wrong = server.json(Method::POST, SIGN_IN, None, credentials("another password")).await;
    let nobody = json!({"email": "nobody@example.org", "password": PASSWORD});
    let nobody = server.json(Method::POST, SIGN_IN, None, nobody).await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert_eq!((wrong.status, wrong.body), (nobody.status, nobody.body));
    server.clock.advance(SECOND);
    let right = server.json(Method::POST, SIGN_IN, None, credentials(PASSWORD)).await;
    let history = server.get("/api/v1/me/sign-ins", Some(&right.cookie())).await;
    let items = history.body["items"].as_array().unwrap();
    let succeeded: Vec<&Value> = items.iter().map(|attempt| &attempt["succeeded"]).collect();
    assert_eq!(succeeded, [&json!(true), &json!(false)]);
    assert_eq!(items[0]["ip"], "192.0.2.1");
}

#[tokio::test]
async fn s_15_guesses_are_slowed_down_and_the_owner_is_not_locked_out() {
    let server = Server::new().await;
    server.set_up().await;
    let mut heard = 0;
    for _ in 0..60 {
        let answer = server.json(Method::POST, SIGN_IN, None, credentials("a wrong guess")).await;
        match answer.status {
            StatusCode::UNAUTHORIZED => heard += 1,
            status => {
                assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
                assert!(answer.headers.contains_key(header::RETRY_AFTER));
            }
        }
        server.clock.advance(SECOND);
    }
    assert!(heard <= 10, "{heard} guesses in a minute");
    // From where the owner is, nothing has been guessed.
    let request = to(Method::POST, SIGN_IN).header(header::CONTENT_TYPE, "application/json");
    let mut request = request.body(Body::from(credentials(PASSWORD).to_string())).unwrap();
    let elsewhere = std::net::SocketAddr::from(([198, 51, 100, 7], 1));
    request.extensions_mut().insert(elsewhere);
    let router = crate::router(server.app.clone());
    let answer = tower::ServiceExt::oneshot(router, request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn programs_refresh_their_tokens_and_a_stolen_one_ends_the_family() {
    let server = Server::new().await;
    server.set_up().await;
    let first = server.json(Method::POST, "/api/v1/auth/tokens", None, credentials(PASSWORD)).await;
    let text = |answer: &super::support::Answer, name: &str| {
        answer.body[name].as_str().unwrap().to_owned()
    };
    let access = text(&first, "access_token");
    assert_eq!(server.bearer(Method::GET, ME, &access).await.status, StatusCode::OK);
    let refresh = "/api/v1/auth/refresh";
    let given = json!({"refresh_token": text(&first, "refresh_token")});
    let second = server.json(Method::POST, refresh, None, given.clone()).await;
    assert_eq!(second.status, StatusCode::OK);
    server.clock.advance(5 * 60 * SECOND);
    assert_eq!(server.bearer(Method::GET, ME, &access).await.status, StatusCode::UNAUTHORIZED);
    let next = json!({"refresh_token": text(&second, "refresh_token")});
    let third = server.json(Method::POST, refresh, None, next).await;
    let newest = text(&third, "access_token");
    assert_eq!(server.bearer(Method::GET, ME, &newest).await.status, StatusCode::OK);
    let stolen = server.json(Method::POST, refresh, None, given).await;
    assert_eq!(stolen.status, StatusCode::UNAUTHORIZED);
    assert_eq!(server.bearer(Method::GET, ME, &newest).await.status, StatusCode::UNAUTHORIZED);
    let last = json!({"refresh_token": text(&third, "refresh_token")});
    let last = server.json(Method::POST, refresh, None, last).await;
    assert_eq!(last.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_new_password_ends_all_sessions() {
    let server = Server::new().await;
    server.set_up().await;
    let one = server.json(Method::POST, SIGN_IN, None, credentials(PASSWORD)).await.cookie();
    let two = server.json(Method::POST, SIGN_IN, None, credentials(PASSWORD)).await.cookie();
    let path = "/api/v1/auth/password";
    let change = |new: &str| json!({"old": PASSWORD, "new": new});
    let weak = server.json(Method::POST, path, Some(&one), change("123456789012")).await;
    assert_eq!(weak.code(), "password_weak");
    let new = "seven herons on the weir";
    let done = server.json(Method::POST, path, Some(&one), change(new)).await;
    assert_eq!(done.status, StatusCode::NO_CONTENT);
    assert_eq!(server.get(ME, Some(&two)).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(server.get(ME, Some(&one)).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(server.get(ME, Some(&done.cookie())).await.status, StatusCode::OK);
    let old = server.json(Method::POST, SIGN_IN, None, credentials(PASSWORD)).await;
    assert_eq!(old.status, StatusCode::UNAUTHORIZED);
    let answer = server.json(Method::POST, SIGN_IN, None, credentials(new)).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn s_01_of_fifty_set_ups_at_once_one_makes_the_owner() {
    let server = Server::new().await;
    let token = Secret::new("printed on the console");
    let installation = server.app.store.installation();
    let until = NOW + 900 * SECOND;
    installation.create_set_up_token(&fingerprint(&token), until, NOW).await.unwrap();
    let body = |token: &str, number: usize| {
        json!({"token": token, "email": format!("{number}@example.org"), "name": "First",
            "password": PASSWORD, "workspace": "shop"})
    };
    let path = "/api/v1/auth/set-up";
    let wrong = server.json(Method::POST, path, None, body("a guess", 0)).await;
    assert!(wrong.status.is_client_error());
    let right = token.reveal();
    let calls = (0..50).map(|n| server.json(Method::POST, path, None, body(right, n)));
    let answers = futures::future::join_all(calls).await;
    let made = answers.iter().filter(|answer| answer.status == StatusCode::CREATED).count();
    assert_eq!(made, 1);
    let answer = server.json(Method::POST, path, None, body(right, 99)).await;
    assert!([StatusCode::GONE, StatusCode::TOO_MANY_REQUESTS].contains(&answer.status));
    server.clock.advance(3600 * SECOND);
    let answer = server.json(Method::POST, path, None, body(right, 99)).await;
    assert_eq!(answer.status, StatusCode::GONE);
    assert_eq!(server.app.store.users().list(None, 100).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn an_api_key_does_no_more_than_its_role_in_its_workspace() {
    let server = Server::new().await;
    let (owner, _) = server.set_up().await;
    let cookie = server.session(&owner.id).await;
    let keys = "/api/v1/workspaces/shop/api-keys";
    let body = json!({"name": "nightly", "role": "viewer", "days": 1});
    let made = server.json(Method::POST, keys, Some(&cookie), body).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let key = made.body["key"].as_str().unwrap().to_owned();
    let members = "/api/v1/workspaces/shop/members";
    assert_eq!(server.bearer(Method::GET, members, &key).await.status, StatusCode::OK);
    assert_eq!(server.bearer(Method::GET, keys, &key).await.status, StatusCode::FORBIDDEN);
    let users = server.bearer(Method::GET, "/api/v1/users", &key).await;
    assert_eq!(users.status, StatusCode::FORBIDDEN);
    let body = json!({"name": "elsewhere"});
    let answer = server.json(Method::POST, "/api/v1/workspaces", Some(&cookie), body).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let elsewhere = server.bearer(Method::GET, "/api/v1/workspaces/elsewhere", &key).await;
    assert_eq!(elsewhere.status, StatusCode::NOT_FOUND);
    let me = server.bearer(Method::GET, ME, &key).await;
    assert_eq!(me.body["workspaces"].as_array().unwrap().len(), 1);
    for path in ["/api/v1/me/sessions", "/api/v1/auth/sign-out", "/api/v1/auth/password"] {
        let method = if path.ends_with("sessions") { Method::GET } else { Method::POST };
        let answer = server.bearer(method, path, &key).await;
        assert_eq!(answer.code(), "permission_missing", "{path}");
    }
    let list = server.get(keys, Some(&cookie)).await;
    assert!(!list.body.to_string().contains(&key), "the key is shown once");
    server.clock.advance(24 * 3600 * SECOND);
    assert_eq!(server.bearer(Method::GET, members, &key).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_key_is_revoked_by_its_maker_or_an_admin_and_seen_by_nobody_else() {
    let server = Server::new().await;
    let (owner, shop) = server.set_up().await;
    let operator = server.member(&shop, Role::Operator).await;
    let editor = server.member(&shop, Role::Editor).await;
    let keys = "/api/v1/workspaces/shop/api-keys";
    let cookie = server.session(&operator.id).await;
    let above = json!({"name": "too much", "role": "editor"});
    let refused = server.json(Method::POST, keys, Some(&cookie), above).await;
    assert_eq!(refused.code(), "permission_missing");
    let body = json!({"name": "mine", "role": "operator"});
    let made = server.json(Method::POST, keys, Some(&cookie), body).await;
    let one = format!("{keys}/{}", made.body["id"].as_str().unwrap());
    let other = server.session(&editor.id).await;
    let list = server.get(keys, Some(&other)).await;
    assert_eq!(list.body["items"], json!([]));
    let request = to(Method::POST, keys)
        .header(header::AUTHORIZATION, format!("Bearer {}", made.body["key"].as_str().unwrap()))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(r#"{"name": "child", "role": "viewer"}"#));
    let answer = server.send(request.unwrap()).await;
    assert_eq!(answer.code(), "permission_missing", "a key makes no other keys");
    let answer = server.json(Method::DELETE, &one, Some(&other), json!({})).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    let admin = server.session(&owner.id).await;
    let answer = server.json(Method::DELETE, &one, Some(&admin), json!({})).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    let key = made.body["key"].as_str().unwrap();
    assert_eq!(server.bearer(Method::GET, ME, key).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_link_opens_a_server_that_one_person_has_for_themself() {
    let server = Server::new().await;
    let shop = model::Name::new("shop").unwrap();
    let entry = crate::entry(&server.app.store, &shop, true, NOW).await.unwrap();
    assert!(entry.link_token().is_some());
    let wrong = server.get("/open?token=a+guess", None).await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    let opened = server.get("/open?token=the+token+of+the+link", None).await;
    assert_eq!(opened.status, StatusCode::SEE_OTHER);
    let me = server.get(ME, Some(&opened.cookie())).await;
    assert_eq!(me.body["workspaces"][0]["name"], "shop");
    let again = crate::entry(&server.app.store, &shop, true, NOW).await.unwrap();
    assert!(again.link_token().is_some());
    // Other machines may reach it only once the owner has a password.
    let open = crate::entry(&server.app.store, &shop, false, NOW).await;
    assert!(open.unwrap_err().hint_text().unwrap().contains("affluent user password"));
}
