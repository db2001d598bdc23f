//! Accounts, members and invitations.

use super::support::{PASSWORD, SECOND, Server};
use axum::http::{Method, StatusCode};
use model::Role;
use serde_json::{Value, json};

const MEMBERS: &str = "/api/v1/workspaces/shop/members";
const INVITATIONS: &str = "/api/v1/workspaces/shop/invitations";
const ACCEPT: &str = "/api/v1/invitations/accept";

#[tokio::test]
async fn somebody_new_is_invited_and_comes_in() {
    let server = Server::new().await;
    let (owner, _) = server.set_up().await;
    let cookie = server.session(&owner.id).await;
    let invite = json!({"email": "Ines@Example.org", "role": "editor"});
    let made = server.json(Method::POST, INVITATIONS, Some(&cookie), invite).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let token = &made.body["token"];
    let accept = |password: &str| json!({"token": token, "name": "Inès", "password": password});
    let weak = server.json(Method::POST, ACCEPT, None, accept("ines@example.org")).await;
    assert_eq!(weak.code(), "password_weak");
    let accepted = server.json(Method::POST, ACCEPT, None, accept(PASSWORD)).await;
    assert_eq!((accepted.status, &accepted.body["role"]), (StatusCode::OK, &json!("editor")));
    let twice = server.json(Method::POST, ACCEPT, None, accept(PASSWORD)).await;
    assert!(twice.status.is_client_error());
    let members = server.get(MEMBERS, Some(&cookie)).await;
    let emails: Vec<&Value> =
        members.body["items"].as_array().unwrap().iter().map(|member| &member["email"]).collect();
    assert!(emails.contains(&&json!("ines@example.org")), "{emails:?}");
}

#[tokio::test]
async fn an_invitation_for_an_account_needs_its_password() {
    let server = Server::new().await;
    let (owner, _) = server.set_up().await;
    server.user("jules@example.org").await;
    let cookie = server.session(&owner.id).await;
    let invite = json!({"email": "jules@example.org", "role": "viewer"});
    let made = server.json(Method::POST, INVITATIONS, Some(&cookie), invite).await;
    let accept = |password: &str| json!({"token": made.body["token"], "password": password});
    let wrong = server.json(Method::POST, ACCEPT, None, accept("not the one of Jules")).await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    let right = server.json(Method::POST, ACCEPT, None, accept(PASSWORD)).await;
    assert_eq!(right.status, StatusCode::OK);
}

#[tokio::test]
async fn an_invitation_that_is_taken_back_opens_nothing() {
    let server = Server::new().await;
    let (owner, _) = server.set_up().await;
    let cookie = server.session(&owner.id).await;
    let invite = json!({"email": "wrong@example.org", "role": "admin"});
    let made = server.json(Method::POST, INVITATIONS, Some(&cookie), invite).await;
    let open = server.get(INVITATIONS, Some(&cookie)).await;
    assert!(!open.body.to_string().contains(made.body["token"].as_str().unwrap()));
    let id = open.body["items"][0]["id"].as_str().unwrap();
    let path = format!("{INVITATIONS}/{id}");
    let taken = server.json(Method::DELETE, &path, Some(&cookie), json!({})).await;
    assert_eq!(taken.status, StatusCode::NO_CONTENT);
    let body = json!({"token": made.body["token"], "name": "Wrong", "password": PASSWORD});
    let late = server.json(Method::POST, ACCEPT, None, body).await;
    assert_eq!(late.code(), "token_invalid");
    assert_eq!(server.get(INVITATIONS, Some(&cookie)).await.body["items"], json!([]));
}

#[tokio::test]
async fn an_invitation_expires() {
    let server = Server::new().await;
    let (owner, _) = server.set_up().await;
    let cookie = server.session(&owner.id).await;
    let invite = json!({"email": "late@example.org", "role": "viewer"});
    let made = server.json(Method::POST, INVITATIONS, Some(&cookie), invite).await;
    server.clock.advance(8 * 24 * 3600 * SECOND);
    let body = json!({"token": made.body["token"], "name": "Late", "password": PASSWORD});
    let late = server.json(Method::POST, ACCEPT, None, body).await;
    assert!(late.status.is_client_error());
    assert!(server.app.store.users().by_email("late@example.org").await.unwrap().is_none());
}

#[tokio::test]
async fn nobody_gives_or_takes_more_than_they_have() {
    let server = Server::new().await;
    let (owner, shop) = server.set_up().await;
    let admin = server.member(&shop, Role::Admin).await;
    let viewer = server.member(&shop, Role::Viewer).await;
    let cookie = server.session(&admin.id).await;
    let member = |user: &store::User| format!("{MEMBERS}/{}", user.id);
    let to = |role: &str| json!({"role": role});
    let raise = server.json(Method::PUT, &member(&viewer), Some(&cookie), to("owner")).await;
    assert_eq!(raise.status, StatusCode::FORBIDDEN);
    let lower = server.json(Method::PUT, &member(&owner), Some(&cookie), to("viewer")).await;
    assert_eq!(lower.status, StatusCode::FORBIDDEN);
    let remove = server.json(Method::DELETE, &member(&owner), Some(&cookie), json!({})).await;
    assert_eq!(remove.status, StatusCode::FORBIDDEN);
    let invite = json!({"email": "x@example.org", "role": "owner"});
    let invite = server.json(Method::POST, INVITATIONS, Some(&cookie), invite).await;
    assert_eq!(invite.status, StatusCode::FORBIDDEN);
    let raise = server.json(Method::PUT, &member(&viewer), Some(&cookie), to("editor")).await;
    assert_eq!(raise.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn the_last_owner_stays() {
    let server = Server::new().await;
    let (owner, _) = server.set_up().await;
    let cookie = server.session(&owner.id).await;
    let path = format!("{MEMBERS}/{}", owner.id);
    let lower = server.json(Method::PUT, &path, Some(&cookie), json!({"role": "admin"})).await;
    assert!(lower.status.is_client_error(), "{lower:?}");
    let remove = server.json(Method::DELETE, &path, Some(&cookie), json!({})).await;
    assert!(remove.status.is_client_error(), "{remove:?}");
    let itself = format!("/api/v1/users/{}", owner.id);
    let off = server.json(Method::PATCH, &itself, Some(&cookie), json!({"active": false})).await;
    assert_eq!(off.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_member_who_is_taken_out_loses_keys_and_access_at_once() {
    let server = Server::new().await;
    let (owner, shop) = server.set_up().await;
    let operator = server.member(&shop, Role::Operator).await;
    let theirs = server.session(&operator.id).await;
    let keys = "/api/v1/workspaces/shop/api-keys";
    let body = json!({"name": "job", "role": "operator"});
    let made = server.json(Method::POST, keys, Some(&theirs), body).await;
    let key = made.body["key"].as_str().unwrap();
    let cookie = server.session(&owner.id).await;
    let path = format!("{MEMBERS}/{}", operator.id);
    let removed = server.json(Method::DELETE, &path, Some(&cookie), json!({})).await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT);
    let shop = "/api/v1/workspaces/shop";
    assert_eq!(server.get(shop, Some(&theirs)).await.status, StatusCode::NOT_FOUND);
    let answer = server.bearer(Method::GET, shop, key).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}
