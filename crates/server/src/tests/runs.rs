//! Runs through the interface: taken on once, done once, followed to the end.

use super::support::{SECOND, Server, to};
use axum::body::{Body, to_bytes};
use axum::http::{Method, StatusCode, header};
use model::Role;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const RUNS: &str = "/api/v1/workspaces/shop/runs";
const WITHIN: Duration = Duration::from_secs(20);

fn start_path(pipeline: &str) -> String {
    format!("/api/v1/workspaces/shop/pipelines/{pipeline}/runs")
}

/// Starts a run and gives its path.
async fn start(server: &Server, cookie: &str, pipeline: &str) -> String {
    let body = json!({"params": {"day": "2026-01-31"}});
    let answer = server.json(Method::POST, &start_path(pipeline), Some(cookie), body).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    format!("{RUNS}/{}", answer.body["id"].as_str().unwrap())
}

async fn until(server: &Server, cookie: &str, path: &str, status: &str) -> Value {
    let begin = Instant::now();
    loop {
        let run = server.get(path, Some(cookie)).await.body;
        if run["status"] == status {
            return run;
        }
        assert!(begin.elapsed() < WITHIN, "never {status}: {run}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_run_is_done_and_told() {
    let server = Server::new().await;
    let (owner, _) = server.set_up().await;
    let cookie = server.session(&owner.id).await;
    let _at_work = server.dispatch().await;
    let path = start(&server, &cookie, "quick").await;
    let run = until(&server, &cookie, &path, "succeeded").await;
    assert_eq!((&run["rows_in"], &run["rows_rejected"]), (&json!(9), &json!(2)));
    assert_eq!(run["nodes"][0]["node"], "rows");
    assert_eq!(run["attempts"].as_array().unwrap().len(), 1);
    assert!(run["ended_at_us"].is_i64());
    let logs = server.get(&format!("{path}/logs"), Some(&cookie)).await;
    let numbers: Vec<&Value> = logs.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| &line["fields"]["number"])
        .collect();
    assert_eq!(numbers, [&json!(0), &json!(1), &json!(2)]);
    let order = server.puppet.orders.lock().unwrap()[0].clone();
    assert_eq!(order.params["day"], "2026-01-31");
    assert_eq!(order.workspace.as_str(), "shop");
}

#[tokio::test]
async fn a_run_that_fails_says_why() {
    let server = Server::new().await;
    let (owner, _) = server.set_up().await;
    let cookie = server.session(&owner.id).await;
    let _at_work = server.dispatch().await;
    let path = start(&server, &cookie, "failing").await;
    let run = until(&server, &cookie, &path, "failed").await;
    assert_eq!(run["problem"]["code"], "file_not_found");
    assert_eq!(server.puppet.orders.lock().unwrap().len(), 1, "nobody tries again by itself");
}

#[tokio::test]
async fn a_lost_runner_is_replaced_and_the_third_time_the_run_is_set_aside() {
    let server = Server::new().await;
    let (owner, _) = server.set_up().await;
    let cookie = server.session(&owner.id).await;
    let _at_work = server.dispatch().await;
    let once = start(&server, &cookie, "deadly_once").await;
    let always = start(&server, &cookie, "deadly").await;
    let run = until(&server, &cookie, &once, "succeeded").await;
    assert_eq!(run["attempts"].as_array().unwrap().len(), 2);
    let run = until(&server, &cookie, &always, "quarantined").await;
    assert_eq!(run["attempts"].as_array().unwrap().len(), 3);
    assert_eq!(run["problem"]["code"], "runner_lost");
    let quick = start(&server, &cookie, "quick").await;
    until(&server, &cookie, &quick, "succeeded").await;
}

#[tokio::test]
async fn an_attempt_that_panics_blocks_nothing() {
    let server = Server::new().await;
    let (owner, _) = server.set_up().await;
    let cookie = server.session(&owner.id).await;
    let _at_work = server.dispatch().await;
    let first = start(&server, &cookie, "panics_once").await;
    let begin = Instant::now();
    while server.get(&first, Some(&cookie)).await.body["status"] != "succeeded" {
        assert!(begin.elapsed() < WITHIN, "the place of an attempt that panicked is not free");
        // Nobody renews its lease any more.
        server.clock.advance(SECOND);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_run_is_stopped_while_it_waits_and_while_it_works() {
    let server = Server::new().await;
    let (owner, _) = server.set_up().await;
    let cookie = server.session(&owner.id).await;
    let _at_work = server.dispatch().await;
    let working = start(&server, &cookie, "endless").await;
    until(&server, &cookie, &working, "running").await;
    let waiting = start(&server, &cookie, "endless").await;
    let answer =
        server.json(Method::POST, &format!("{waiting}/cancel"), Some(&cookie), json!({})).await;
    assert_eq!(answer.body["status"], "cancelled");
    let begin = Instant::now();
    server.json(Method::POST, &format!("{working}/cancel"), Some(&cookie), json!({})).await;
    until(&server, &cookie, &working, "cancelled").await;
    println!("stopped after {} ms", begin.elapsed().as_millis());
    assert_eq!(server.puppet.orders.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn one_pipeline_runs_once_at_a_time_and_no_more_at_once_than_allowed() {
    let server = Server::new().await;
    let (owner, _) = server.set_up().await;
    let cookie = server.session(&owner.id).await;
    let _at_work = server.dispatch().await;
    let first = start(&server, &cookie, "endless").await;
    // Of two that were taken on in the same millisecond either may be the first.
    server.clock.advance(SECOND);
    let second = start(&server, &cookie, "endless").await;
    until(&server, &cookie, &first, "running").await;
    let quick = start(&server, &cookie, "quick").await;
    until(&server, &cookie, &quick, "succeeded").await;
    assert_eq!(server.get(&second, Some(&cookie)).await.body["status"], "queued");
    server.json(Method::POST, &format!("{first}/cancel"), Some(&cookie), json!({})).await;
    until(&server, &cookie, &second, "running").await;
    assert!(server.puppet.at_work_max.load(Ordering::SeqCst) <= 2);
}

#[tokio::test]
async fn the_same_idempotency_key_is_one_run() {
    let server = Server::new().await;
    let (owner, _) = server.set_up().await;
    let cookie = server.session(&owner.id).await;
    let _at_work = server.dispatch().await;
    let send = || {
        let request = to(Method::POST, &start_path("quick"))
            .header(header::COOKIE, &cookie)
            .header("sec-fetch-site", "same-origin")
            .header(header::CONTENT_TYPE, "application/json")
            .header("idempotency-key", "order 4711");
        server.send(request.body(Body::from("{}")).unwrap())
    };
    let answers = futures::future::join_all((0..20).map(|_| send())).await;
    let ids: HashSet<String> = answers.iter().map(|answer| answer.body["id"].to_string()).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    let list = server.get(RUNS, Some(&cookie)).await;
    assert_eq!(list.body["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_hundred_runs_at_once_are_all_done_once() {
    let server = Server::new().await;
    let (owner, _) = server.set_up().await;
    let cookie = server.session(&owner.id).await;
    let _at_work = server.dispatch().await;
    let starts = (0..100).map(|_| start(&server, &cookie, "quick"));
    let paths = futures::future::join_all(starts).await;
    for path in &paths {
        until(&server, &cookie, path, "succeeded").await;
    }
    let runs: Vec<String> =
        server.puppet.orders.lock().unwrap().iter().map(|order| order.run.to_string()).collect();
    let different: HashSet<&String> = runs.iter().collect();
    assert_eq!((runs.len(), different.len()), (100, 100));
}

/// The events of a live stream, read to its end.
async fn events(
    server: &Server,
    cookie: &str,
    path: &str,
    last: Option<u64>,
) -> Vec<(Option<u64>, Value)> {
    let mut request = to(Method::GET, path).header(header::COOKIE, cookie);
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let request = request.body(Body::empty()).unwrap();
    let response =
        tower::ServiceExt::oneshot(crate::router(server.app.clone()), request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    let read = tokio::time::timeout(WITHIN, to_bytes(response.into_body(), 1 << 20)).await;
    let text = String::from_utf8(read.unwrap().unwrap().to_vec()).unwrap();
    let field = |event: &str, name: &str| {
        event.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned))
    };
    text.split("\n\n")
        .filter_map(|event| {
            let data = serde_json::from_str(&field(event, "data: ")?).unwrap();
            Some((field(event, "id: ").map(|id| id.parse().unwrap()), data))
        })
        .collect()
}

#[tokio::test]
async fn a_run_is_followed_live_to_its_end_and_a_client_that_comes_back_misses_nothing() {
    let server = Server::new().await;
    let (owner, _) = server.set_up().await;
    let cookie = server.session(&owner.id).await;
    let _at_work = server.dispatch().await;
    let path = start(&server, &cookie, "quick").await;
    let all = events(&server, &cookie, &format!("{path}/live"), None).await;
    let ids: Vec<u64> = all.iter().filter_map(|(id, _)| *id).collect();
    assert_eq!(ids, [1, 2, 3]);
    let runs = all.iter().filter(|(_, event)| event["type"] == "run");
    let states: Vec<&Value> = runs.map(|(_, run)| &run["status"]).collect();
    let mut different = states.clone();
    different.dedup();
    assert_eq!(states, different, "nothing is told twice");
    let (_, last) = all.last().unwrap();
    assert_eq!((&last["type"], &last["status"]), (&json!("run"), &json!("succeeded")));
    let live = format!("{path}/live");
    for (path, last) in [(format!("{live}?after=2"), None), (live, Some(2))] {
        let rest = events(&server, &cookie, &path, last).await;
        let ids: Vec<u64> = rest.iter().filter_map(|(id, _)| *id).collect();
        assert_eq!(ids, [3], "{path} after {last:?}");
        assert_eq!(rest.last().unwrap().1["status"], "succeeded");
    }
}

#[tokio::test]
async fn runs_of_another_workspace_are_not_there() {
    let server = Server::new().await;
    let (owner, shop) = server.set_up().await;
    let viewer = server.member(&shop, Role::Viewer).await;
    let cookie = server.session(&owner.id).await;
    let _at_work = server.dispatch().await;
    let path = start(&server, &cookie, "quick").await;
    let body = json!({"name": "elsewhere"});
    server.json(Method::POST, "/api/v1/workspaces", Some(&cookie), body).await;
    for end in ["", "/logs", "/live"] {
        let elsewhere = path.replace("/shop/", "/elsewhere/") + end;
        let answer = server.get(&elsewhere, Some(&cookie)).await;
        assert_eq!(answer.code(), "run_not_found", "{elsewhere}");
    }
    let other = "/api/v1/workspaces/elsewhere/pipelines/quick/runs";
    let answer = server.json(Method::POST, other, Some(&cookie), json!({})).await;
    assert_eq!(answer.code(), "name_unknown");
    let cookie = server.session(&viewer.id).await;
    assert_eq!(server.get(&path, Some(&cookie)).await.status, StatusCode::OK);
    let answer =
        server.json(Method::POST, &format!("{path}/cancel"), Some(&cookie), json!({})).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
}
