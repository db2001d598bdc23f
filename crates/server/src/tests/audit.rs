//! The audit trail: nothing is changed without an entry, and no entry without being found out.

use super::support::{HOST, NOW, PASSWORD, SECOND, Server};
use crate::auditing::Audit;
use axum::http::{Method, StatusCode};
use model::Role;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use serde_json::{Value, json};

const AUDIT: &str = "/api/v1/workspaces/shop/audit";
const DAY: i64 = 24 * 3600 * SECOND;

#[test]
fn every_route_that_changes_something_says_what_that_is_called() {
    for route in crate::routes() {
        let what = format!("{} {}", route.method, route.path);
        match route.audit {
            Audit::Nothing => assert!(route.method.is_safe(), "{what}"),
            Audit::Entry(action) => {
                let parts: Vec<&str> = action.split('.').collect();
                let is_word = |part: &&str| {
                    !part.is_empty()
                        && part.chars().all(|char| char.is_ascii_lowercase() || char == '_')
                };
                assert!(parts.len() == 2 && parts.iter().all(is_word), "{what}: `{action}`");
            }
            Audit::Elsewhere(why) => assert!(why.len() > 10, "{what}: `{why}`"),
            Audit::Unnamed => panic!("{what}: name it with `.audited(\"thing.verb\")`"),
        }
    }
}

/// The database behind the server's back.
pub(super) fn database(server: &Server) -> Connection {
    Connection::open(server.folder.path().join("metadata.db")).unwrap()
}

/// Every value of every table, as text.
pub(super) fn dump(server: &Server) -> String {
    let database = database(server);
    let mut names =
        database.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").unwrap();
    let names: Vec<String> = names.query_map([], |row| row.get(0)).unwrap().flatten().collect();
    let mut text = String::new();
    for name in names {
        let mut statement = database.prepare(&format!("SELECT * FROM {name}")).unwrap();
        let columns = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            for column in 0..columns {
                match row.get_ref(column).unwrap() {
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                        text.push_str(&String::from_utf8_lossy(bytes));
                    }
                    other => text.push_str(&format!("{other:?}")),
                }
                text.push('\n');
            }
        }
    }
    text
}

async fn entries(server: &Server, cookie: &str, query: &str) -> Vec<Value> {
    let page = server.get(&format!("{AUDIT}{query}"), Some(cookie)).await;
    assert_eq!(page.status, StatusCode::OK, "{page:?}");
    page.body["items"].as_array().unwrap().clone()
}

async fn broken(server: &Server, cookie: &str) -> Option<String> {
    let verdict = server.get(&format!("{AUDIT}/verify"), Some(cookie)).await;
    assert_eq!(verdict.status, StatusCode::OK, "{verdict:?}");
    verdict.body["broken"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn an_entry_says_who_what_from_where_before_and_after() {
    let server = Server::new().await;
    let (owner, shop) = server.set_up().await;
    let viewer = server.member(&shop, Role::Viewer).await;
    let cookie = server.session(&owner.id).await;
    let path = format!("/api/v1/workspaces/shop/members/{}", viewer.id);
    let refused = server.json(Method::PUT, &path, Some(&cookie), json!({"role": "king"})).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    let done = server.json(Method::PUT, &path, Some(&cookie), json!({"role": "editor"})).await;
    assert_eq!(done.status, StatusCode::NO_CONTENT);
    let found = entries(&server, &cookie, "").await;
    assert_eq!(found.len(), 1, "only what was done: {found:?}");
    let entry = &found[0];
    assert_eq!(entry["actor"], "owner@example.org");
    assert_eq!(entry["action"], "member.change");
    assert_eq!(entry["resource"], json!(viewer.id));
    assert_eq!(entry["ip"], "192.0.2.1");
    assert_eq!(entry["at_us"], NOW);
    assert_eq!(
        entry["changes"],
        json!({"before": {"role": "viewer"}, "after": {"role": "editor"}})
    );
}

#[tokio::test]
async fn entries_are_searched_and_come_in_pages() {
    let server = Server::new().await;
    let (owner, _) = server.set_up().await;
    let cookie = server.session(&owner.id).await;
    let keys = "/api/v1/workspaces/shop/api-keys";
    for name in ["one", "two", "three"] {
        let new = json!({"name": name, "role": "viewer"});
        let made = server.json(Method::POST, keys, Some(&cookie), new).await;
        let id = made.body["id"].as_str().unwrap().to_owned();
        let path = format!("{keys}/{id}");
        server.json(Method::DELETE, &path, Some(&cookie), json!({})).await;
        let of_it = entries(&server, &cookie, &format!("?resource={id}")).await;
        assert_eq!(of_it.len(), 2, "{of_it:?}");
    }
    let count = async |query: &str| entries(&server, &cookie, query).await.len();
    assert_eq!(count("?action=api_key.revoke").await, 3);
    assert_eq!(count("?kind=api_key").await, 6);
    assert_eq!(count("?text=REVOKE").await, 3);
    assert_eq!(count("?text=%25").await, 0);
    assert_eq!(count(&format!("?until_us={NOW}")).await, 0);
    assert_eq!(count(&format!("?from_us={NOW}")).await, 6);
    let first = server.get(&format!("{AUDIT}?limit=4"), Some(&cookie)).await.body;
    let next = first["next"].as_str().unwrap();
    assert_eq!(count(&format!("?limit=4&after={next}")).await, 2);
}

#[tokio::test]
async fn what_a_key_does_says_so() {
    let server = Server::new().await;
    let (owner, _) = server.set_up().await;
    let cookie = server.session(&owner.id).await;
    let new = json!({"name": "robot", "role": "owner"});
    let made =
        server.json(Method::POST, "/api/v1/workspaces/shop/api-keys", Some(&cookie), new).await;
    let (id, key) = (made.body["id"].clone(), made.body["key"].as_str().unwrap().to_owned());
    let request = axum::http::Request::builder()
        .method(Method::PATCH)
        .uri("/api/v1/workspaces/shop")
        .header("host", HOST)
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
        .header("user-agent", "robot/1.0")
        .body(axum::body::Body::from(json!({"title": "The shop"}).to_string()))
        .unwrap();
    assert_eq!(server.send(request).await.status, StatusCode::OK);
    let found = entries(&server, &cookie, "?action=workspace.change").await;
    assert_eq!(found[0]["changes"]["by_key"], id);
    assert_eq!(found[0]["user_agent"], "robot/1.0");
    let all = json!(entries(&server, &cookie, "").await).to_string();
    assert!(!all.contains(&key), "{all}");
}

#[tokio::test]
async fn whoever_tampers_is_found_out() {
    for sql in [
        "UPDATE audit_entries SET actor = 'somebody else' WHERE seq = 2",
        "UPDATE audit_entries SET action = 'api_key.revoke' WHERE seq = 2",
        "UPDATE audit_entries SET changes = '{}' WHERE seq = 2",
        "UPDATE audit_entries SET at_us = at_us + 1 WHERE seq = 2",
        "DELETE FROM audit_entries WHERE seq = 2",
        "DELETE FROM audit_entries WHERE seq = 1",
        "DELETE FROM audit_entries",
        "UPDATE audit_checkpoints SET last_seq = 2",
        "UPDATE audit_checkpoints SET last_hash = 'another'",
        "UPDATE audit_checkpoints SET newest_at_us = 1",
        "UPDATE audit_checkpoints SET key_id = 'mine'",
    ] {
        let server = Server::new().await;
        let (owner, _) = server.set_up().await;
        let cookie = server.session(&owner.id).await;
        for title in ["a", "b", "c", "d"] {
            change_title(&server, &cookie, title).await;
            if title == "c" {
                server.app.auditor.close_segments(&server.app.store, NOW + 2 * DAY).await.unwrap();
            }
        }
        assert_eq!(broken(&server, &cookie).await, None);
        database(&server).execute_batch(sql).unwrap();
        assert!(broken(&server, &cookie).await.is_some(), "{sql}");
    }
}

async fn change_title(server: &Server, cookie: &str, title: &str) {
    let body = json!({"title": title});
    let path = "/api/v1/workspaces/shop";
    let answer = server.json(Method::PATCH, path, Some(cookie), body).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn time_takes_whole_segments_and_the_rest_is_whole() {
    let server = Server::new().await;
    let (owner, _) = server.set_up().await;
    let cookie = server.session(&owner.id).await;
    for title in ["a", "b", "c"] {
        change_title(&server, &cookie, title).await;
    }
    server.clock.advance(2 * DAY);
    crate::housekeeping::tidy(&server.app).await.unwrap();
    let cookie = server.session(&owner.id).await;
    // The session of tests is good for a day, so the rest is asked of the store.
    server.clock.advance(179 * DAY);
    let cleaned = crate::housekeeping::tidy(&server.app).await.unwrap();
    assert_eq!(cleaned.audit_entries, 3);
    let (store, key) = (&server.app.store, &server.app.master_key);
    let states = crate::verify_audit(store, key, server.app.now_us()).await.unwrap();
    let shop = states.iter().find(|state| state.workspace.as_deref() == Some("shop")).unwrap();
    assert_eq!((shop.entries, shop.segments, &shop.broken), (0, 1, &None));
    assert!(shop.head.as_ref().unwrap().starts_with("3:"), "{shop:?}");
    drop(cookie);
    // Whoever removes entries before their time is found out.
    let states = crate::verify_audit(store, key, NOW + 10 * DAY).await.unwrap();
    assert!(states.iter().any(|state| state.broken.is_some()), "{states:?}");
}

#[tokio::test]
async fn a_person_is_given_out_and_erased_and_the_chain_stays_whole() {
    let server = Server::new().await;
    let (owner, shop) = server.set_up().await;
    let admin = server.member(&shop, Role::Admin).await;
    let cookie = server.session(&owner.id).await;
    let body = json!({"email": admin.email, "password": PASSWORD});
    let signed = server.json(Method::POST, "/api/v1/auth/sign-in", None, body).await;
    let theirs = signed.cookie();
    let new = json!({"name": "theirs", "role": "viewer"});
    server.json(Method::POST, "/api/v1/workspaces/shop/api-keys", Some(&theirs), new).await;
    let path = format!("/api/v1/users/{}", admin.id);
    let data = server.get(&format!("{path}/data"), Some(&cookie)).await;
    assert_eq!(data.body["user"]["email"], json!(admin.email));
    assert_eq!(data.body["memberships"], json!([{"workspace": "shop", "role": "admin"}]));
    assert_eq!(data.body["sign_ins"].as_array().unwrap().len(), 1);
    assert_eq!(data.body["audit"].as_array().unwrap().len(), 2);
    assert!(!data.body.to_string().contains("argon2"));

    let forbidden = server.json(Method::DELETE, &path, Some(&theirs), json!({})).await;
    assert_eq!(forbidden.status, StatusCode::FORBIDDEN);
    let erased = server.json(Method::DELETE, &path, Some(&cookie), json!({})).await;
    assert_eq!(erased.status, StatusCode::OK, "{erased:?}");
    assert_eq!(erased.body["audit_entries"], 2);
    assert_eq!(broken(&server, &cookie).await, None);
    let found = entries(&server, &cookie, "?action=api_key.create").await;
    assert_eq!(found[0]["actor"], erased.body["pseudonym"]);
    assert_eq!((&found[0]["ip"], &found[0]["user"]), (&Value::Null, &Value::Null));
    assert_eq!(server.get("/api/v1/me", Some(&theirs)).await.status, StatusCode::UNAUTHORIZED);
    let everything = dump(&server);
    assert!(!everything.contains(&admin.email), "the address is somewhere in the database");
    let itself = format!("/api/v1/users/{}", owner.id);
    let refused = server.json(Method::DELETE, &itself, Some(&cookie), json!({})).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn an_end_that_was_cut_off_shows_against_a_head_that_was_noted() {
    let server = Server::new().await;
    let (owner, _) = server.set_up().await;
    let cookie = server.session(&owner.id).await;
    for title in ["a", "b", "c"] {
        change_title(&server, &cookie, title).await;
    }
    let (store, key) = (&server.app.store, &server.app.master_key);
    let verified = async || crate::verify_audit(store, key, NOW).await.unwrap();
    let mut states = verified().await;
    let shop = states.iter().find(|state| state.workspace.as_deref() == Some("shop")).unwrap();
    let head = format!("shop={}", shop.head.as_ref().unwrap());
    crate::check_head(store, &mut states, &head).await.unwrap();
    assert!(states.iter().all(|state| state.broken.is_none()), "{states:?}");
    for unreadable in ["", "shop", "shop=x:y", "nobody=1:y"] {
        assert!(crate::check_head(store, &mut states, unreadable).await.is_err(), "{unreadable}");
    }
    database(&server).execute_batch("DELETE FROM audit_entries WHERE seq = 3").unwrap();
    let mut states = verified().await;
    assert!(states.iter().all(|state| state.broken.is_none()), "the rest is whole");
    crate::check_head(store, &mut states, &head).await.unwrap();
    assert!(states.iter().any(|state| state.broken.is_some()), "{states:?}");
}

#[tokio::test]
async fn a_full_segment_is_signed_by_itself() {
    let server = Server::new().await;
    let (owner, _) = server.set_up().await;
    let cookie = server.session(&owner.id).await;
    for number in 0..257 {
        change_title(&server, &cookie, &format!("title {number}")).await;
    }
    let verdict = server.get(&format!("{AUDIT}/verify"), Some(&cookie)).await.body;
    assert_eq!((&verdict["entries"], &verdict["segments"]), (&json!(257), &json!(1)));
    assert_eq!(verdict["broken"], Value::Null);
}
