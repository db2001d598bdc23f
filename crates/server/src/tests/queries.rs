//! Queries and tables through the interface: limits, pages, forms, whose they are.

use super::support::{Answer, SECOND, Server, to};
use crate::desk::Question;
use axum::body::Body;
use axum::http::{Method, StatusCode, header};
use model::Role;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const QUERIES: &str = "/api/v1/workspaces/shop/queries";
const WITHIN: Duration = Duration::from_secs(20);

async fn start(server: &Server, cookie: &str, sql: &str, wait_ms: u64) -> Answer {
    let body = json!({"sql": sql, "wait_ms": wait_ms});
    server.json(Method::POST, QUERIES, Some(cookie), body).await
}

fn path(answer: &Answer) -> String {
    format!("{QUERIES}/{}", answer.body["id"].as_str().unwrap())
}

async fn until_at_work(server: &Server, number: usize) {
    let begin = Instant::now();
    while server.desk.at_work.load(Ordering::SeqCst) != number {
        assert!(begin.elapsed() < WITHIN, "never {number} questions at work");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn files(server: &Server) -> usize {
    std::fs::read_dir(server.folder.path().join("results")).unwrap().count()
}

#[tokio::test]
async fn a_query_is_asked_and_its_rows_come_in_pages_and_forms() {
    let server = Server::new().await;
    let (owner, _) = server.set_up().await;
    let cookie = server.session(&owner.id).await;
    let done = start(&server, &cookie, "select 1", 20_000).await;
    assert_eq!((done.status, &done.body["status"]), (StatusCode::ACCEPTED, &json!("succeeded")));
    assert_eq!(done.body["result"]["rows"], 3, "{done:?}");
    let result = format!("{}/result", path(&done));
    let first = server.get(&format!("{result}?limit=2"), Some(&cookie)).await;
    assert_eq!(first.body["items"], json!([{"id": 0}, {"id": 1}]));
    let next = format!("{result}?limit=2&after={}", first.body["next"].as_str().unwrap());
    let last = server.get(&next, Some(&cookie)).await;
    assert_eq!((&last.body["items"], &last.body["next"]), (&json!([{"id": 2}]), &Value::Null));
    let request = to(Method::GET, &result).header(header::COOKIE, &cookie);
    let csv = server.send(request.header("accept", "text/csv").body(Body::empty()).unwrap()).await;
    assert_eq!(csv.headers[header::CONTENT_TYPE], "text/csv");
    assert!(csv.headers[header::CONTENT_DISPOSITION].to_str().unwrap().contains("query.csv"));
    let named = server.get(&format!("{result}?format=parquet"), Some(&cookie)).await;
    assert_eq!(named.headers[header::CONTENT_TYPE], "application/vnd.apache.parquet");
    let request = to(Method::GET, &result).header(header::COOKIE, &cookie);
    let html =
        server.send(request.header("accept", "text/html").body(Body::empty()).unwrap()).await;
    assert_eq!(html.code(), "request_invalid");
    let (workspace, Question::Query(asked)) = server.desk.asked.lock().unwrap()[0].clone() else {
        panic!("something else was asked");
    };
    assert_eq!((workspace.as_str(), asked.rows_max), ("shop", 1_000_000));
}

#[tokio::test]
async fn a_query_that_is_wrong_says_why() {
    let server = Server::new().await;
    let (owner, _) = server.set_up().await;
    let cookie = server.session(&owner.id).await;
    let failed = start(&server, &cookie, "drop table x", 20_000).await;
    assert_eq!(failed.body["status"], "failed");
    assert_eq!(failed.body["problem"]["code"], "sql_syntax");
    let none = server.get(&format!("{}/result", path(&failed)), Some(&cookie)).await;
    assert_eq!(none.code(), "not_found");
    let long = "x".repeat((256 << 10) + 1);
    assert_eq!(start(&server, &cookie, &long, 0).await.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_query_that_is_stopped_leaves_its_desk_at_once() {
    let server = Server::new().await;
    let (owner, _) = server.set_up().await;
    let cookie = server.session(&owner.id).await;
    let running = start(&server, &cookie, "select endless", 0).await;
    assert_eq!(running.body["status"], "running");
    until_at_work(&server, 1).await;
    let early = server.get(&format!("{}/result", path(&running)), Some(&cookie)).await;
    assert_eq!(early.status, StatusCode::CONFLICT);
    let stopped = server.json(Method::DELETE, &path(&running), Some(&cookie), json!({})).await;
    assert_eq!(stopped.body["status"], "cancelled");
    until_at_work(&server, 0).await;
    // Stopped once more, it is forgotten.
    let again = server.json(Method::DELETE, &path(&running), Some(&cookie), json!({})).await;
    assert_eq!(again.status, StatusCode::OK);
}

#[tokio::test]
async fn rows_are_kept_for_a_while_and_then_forgotten() {
    let server = Server::new().await;
    let (owner, _) = server.set_up().await;
    let cookie = server.session(&owner.id).await;
    let done = start(&server, &cookie, "select 1", 20_000).await;
    assert_eq!(files(&server), 1);
    server.clock.advance(14 * 60 * SECOND);
    assert_eq!(server.get(&path(&done), Some(&cookie)).await.status, StatusCode::OK);
    server.clock.advance(60 * SECOND);
    assert_eq!(server.get(&path(&done), Some(&cookie)).await.code(), "not_found");
    assert_eq!(files(&server), 0);
    // There is room for a hundred; the first to end go first.
    for _ in 0..102 {
        start(&server, &cookie, "select 1", 20_000).await;
        server.clock.advance(1);
    }
    let list = server.get(QUERIES, Some(&cookie)).await;
    assert_eq!((list.body["items"].as_array().unwrap().len(), files(&server)), (100, 100));
}

#[tokio::test]
async fn queries_are_known_to_whoever_asked_alone() {
    let server = Server::new().await;
    let (owner, shop) = server.set_up().await;
    let editor = server.member(&shop, Role::Editor).await;
    let operator = server.member(&shop, Role::Operator).await;
    let cookie = server.session(&owner.id).await;
    let done = start(&server, &cookie, "select 1", 20_000).await;
    let other = server.session(&editor.id).await;
    for end in ["", "/result"] {
        let answer = server.get(&format!("{}{end}", path(&done)), Some(&other)).await;
        assert_eq!(answer.code(), "not_found");
    }
    assert_eq!(server.get(QUERIES, Some(&other)).await.body["items"], json!([]));
    let cookie = server.session(&operator.id).await;
    assert_eq!(start(&server, &cookie, "select 1", 0).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_few_rows_are_asked_in_one_request_that_leaves_nothing_behind() {
    let server = Server::new().await;
    let (owner, _) = server.set_up().await;
    let cookie = server.session(&owner.id).await;
    let ask = async |limit: u64| {
        let body = json!({"sql": "select 1", "limit": limit});
        server.json(Method::POST, "/api/v1/workspaces/shop/query", Some(&cookie), body).await.body
    };
    let all = ask(10).await;
    assert_eq!((all["items"].as_array().unwrap().len(), &all["cut"]), (3, &Value::Null));
    let some = ask(2).await;
    assert_eq!((some["items"].as_array().unwrap().len(), &some["cut"]), (2, &json!("rows")));
    assert_eq!(files(&server), 0);
}

#[tokio::test]
async fn tables_come_in_pages_and_viewers_see_them() {
    let server = Server::new().await;
    let (_, shop) = server.set_up().await;
    let viewer = server.member(&shop, Role::Viewer).await;
    let cookie = server.session(&viewer.id).await;
    let tables = "/api/v1/workspaces/shop/tables";
    let first = server.get(&format!("{tables}?limit=2"), Some(&cookie)).await.body;
    assert_eq!(first["items"][1]["table"], "gold.daily");
    let next = format!("{tables}?limit=2&after={}", first["next"].as_str().unwrap());
    let last = server.get(&next, Some(&cookie)).await.body;
    assert_eq!(
        (&last["items"][0]["table"], &last["next"]),
        (&json!("silver.orders"), &Value::Null)
    );
    let versions = format!("{tables}/silver.orders/versions");
    let first = server.get(&format!("{versions}?limit=1"), Some(&cookie)).await.body;
    assert_eq!((&first["items"][0]["version"], &first["next"]), (&json!(2), &json!("2")));
    let rest = server.get(&format!("{versions}?after=2"), Some(&cookie)).await.body;
    assert_eq!(rest["items"].as_array().unwrap().len(), 2);
    let unknown = server.get(&format!("{tables}/silver.order"), Some(&cookie)).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let odd = server.get(&format!("{tables}/..%2Fx"), Some(&cookie)).await;
    assert_eq!(odd.status, StatusCode::BAD_REQUEST);
}
