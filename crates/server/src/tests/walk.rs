//! Every route × everybody: nobody may do more than the table of permissions says.

use super::support::{PASSWORD, Server};
use crate::{Route, Rule};
use axum::http::StatusCode;
use model::{Name, Role};
use serde_json::json;
use store::{NewWorkspace, User};

/// All that may be called without signing in. What is missing here is not open to anybody.
const ANONYMOUS: &[&str] = &[
    "GET /",
    "GET /healthz",
    "GET /healthz/scheduler",
    "GET /open",
    "GET /readyz",
    "POST /api/v1/auth/refresh",
    "POST /api/v1/auth/set-up",
    "POST /api/v1/auth/sign-in",
    "POST /api/v1/auth/tokens",
    "POST /api/v1/hooks/{token}",
    "POST /api/v1/invitations/accept",
];

#[test]
fn s_03_what_is_open_to_everybody_is_a_short_list() {
    let mut open: Vec<String> = crate::routes()
        .iter()
        .filter(|route| route.rule == Rule::Anonymous)
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    open.sort();
    assert_eq!(open, ANONYMOUS);
}

#[tokio::test]
async fn s_03_without_signing_in_nothing_else_answers() {
    let server = Server::new().await;
    server.set_up().await;
    for route in crate::routes() {
        let path = filled(&route);
        let answer = server.json(route.method.clone(), &path, None, json!({})).await;
        let refused = answer.status == StatusCode::UNAUTHORIZED;
        assert_eq!(refused, route.rule != Rule::Anonymous, "{} {path}", route.method);
    }
}

#[tokio::test]
async fn s_06_every_route_for_every_role_on_sqlite() {
    walk(&Server::new().await).await;
}

#[tokio::test]
async fn s_06_every_route_for_every_role_on_postgresql() {
    if let Some(server) = Server::on_postgres().await {
        walk(&server).await;
    }
}

/// Somebody, and what they are in the workspace `shop`.
struct Person {
    user: User,
    role: Option<Role>,
    manages_installation: bool,
}

async fn walk(server: &Server) {
    let people = people(server).await;
    let mut checked = 0;
    for route in crate::routes() {
        for person in &people {
            check(server, &route, person).await;
            checked += 1;
        }
    }
    assert_eq!(checked, crate::routes().len() * people.len());
}

async fn people(server: &Server) -> Vec<Person> {
    let (owner, shop) = server.set_up().await;
    let mut people =
        vec![Person { user: owner, role: Some(Role::Owner), manages_installation: true }];
    for role in Role::ALL {
        let user = server.member(&shop, role).await;
        people.push(Person { user, role: Some(role), manages_installation: false });
    }
    let stranger = server.user("stranger@example.org").await;
    let slug = Name::new("elsewhere").unwrap();
    let elsewhere = NewWorkspace { slug, title: "Elsewhere".to_owned() };
    server
        .app
        .store
        .workspaces()
        .create(elsewhere, &stranger.id, super::support::NOW)
        .await
        .unwrap();
    people.push(Person { user: stranger, role: None, manages_installation: false });
    people
}

async fn check(server: &Server, route: &Route, person: &Person) {
    // A session of its own: some routes end it.
    let cookie = server.session(&person.user.id).await;
    let path = filled(route);
    let answer = server.json(route.method.clone(), &path, Some(&cookie), json!({})).await;
    let what = format!("{} {path} by {}: {answer:?}", route.method, person.user.email);
    assert!(!answer.status.is_server_error(), "{what}");
    let expected = match route.rule {
        Rule::Anonymous | Rule::SignedIn => None,
        Rule::Installation => (!person.manages_installation).then_some(StatusCode::FORBIDDEN),
        Rule::Workspace(permission) => match person.role {
            None => Some(StatusCode::NOT_FOUND),
            Some(role) => (role < permission.least).then_some(StatusCode::FORBIDDEN),
        },
    };
    match expected {
        Some(status) => assert_eq!(answer.status, status, "{what}"),
        None => {
            let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
            let by_guard = ["sign_in_needed", "permission_missing", "request_refused"];
            let is_refused = refused.contains(&answer.status) && by_guard.contains(&answer.code());
            assert!(!is_refused, "{what}");
            assert!(!answer.body.to_string().contains("no workspace"), "{what}");
        }
    }
}

#[tokio::test]
async fn a_person_who_is_switched_off_is_out_at_once() {
    let server = Server::new().await;
    let (_, shop) = server.set_up().await;
    let editor = server.member(&shop, Role::Editor).await;
    let cookie = server.session(&editor.id).await;
    let body = json!({"email": "editor@shop.example.org", "password": PASSWORD});
    let tokens = server.json(axum::http::Method::POST, "/api/v1/auth/tokens", None, body).await;
    let token = tokens.body["access_token"].as_str().unwrap().to_owned();
    let me = "/api/v1/me";
    assert_eq!(server.get(me, Some(&cookie)).await.status, StatusCode::OK);
    assert_eq!(server.bearer(axum::http::Method::GET, me, &token).await.status, StatusCode::OK);
    server.app.store.users().set_active(&editor.id, false, super::support::NOW).await.unwrap();
    assert_eq!(server.get(me, Some(&cookie)).await.status, StatusCode::UNAUTHORIZED);
    let answer = server.bearer(axum::http::Method::GET, me, &token).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

/// The path with something in the place of each value.
pub(super) fn filled(route: &Route) -> String {
    route
        .path
        .replace("{workspace}", "shop")
        .replace("{pipeline}", "quick")
        .replace("{node}", "rows")
        .replace("{table}", "silver.orders")
        .replace("{query}", "none")
        .replace("{kind}", "pipeline")
        .replace("{name}", "quick")
        .replace("{version}", "1")
        .replace("{module}", "csv")
        .replace("{connection}", "erp")
        .replace("{secret}", "pw")
        .replace("{quota}", "members")
        .replace("{upload}", "01ARZ3NDEKTSV4RRFFQ69G5FAV")
        .replace("{channel}", "01ARZ3NDEKTSV4RRFFQ69G5FAV")
        .replace("{rule}", "01ARZ3NDEKTSV4RRFFQ69G5FAV")
        .replace("{notification}", "01ARZ3NDEKTSV4RRFFQ69G5FAV")
        .replace("{invitation}", "01ARZ3NDEKTSV4RRFFQ69G5FAV")
        .replace("{run}", "01ARZ3NDEKTSV4RRFFQ69G5FAV")
        .replace("{user}", "01ARZ3NDEKTSV4RRFFQ69G5FAV")
        .replace("{key}", "01ARZ3NDEKTSV4RRFFQ69G5FAV")
        .replace("{session}", &"0".repeat(64))
}
