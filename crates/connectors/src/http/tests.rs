//! HTTP services against a scripted one.

use super::ALL;
use crate::databases::tests::support::{
    context, lines, new_request, past_of, read, read_new, sink, source, write,
};
use contracts::{Context, Past};
use model::run::Input;
use model::{Problem, codes};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use testkit::free_port;
use testkit::http::{Reply, Request, Server};

fn items(from: u64, to: u64) -> Value {
    (from..to).map(|id| json!({"id": id, "price": "1.50"})).collect()
}

/// 25 items in pages of ten, in every way in which services page.
fn paged(request: &Request) -> Reply {
    let number = |name: &str| request.param(name).and_then(|text| text.parse::<u64>().ok());
    let base = format!("http://{}", request.header("host").unwrap_or_default());
    let page = |start: u64| items(start.min(25), (start + 10).min(25));
    match request.path.as_str() {
        "/page" => {
            Reply::json(&json!({"data": {"items": page((number("page").unwrap() - 1) * 10)}}))
        }
        "/offset" => {
            assert_eq!(number("limit"), Some(10));
            Reply::json(&page(number("offset").unwrap()))
        }
        "/cursor" => {
            let start = number("after").unwrap_or(0);
            let next = if start < 20 { json!(format!("{}", start + 10)) } else { Value::Null };
            Reply::json(&json!({"rows": page(start), "meta": {"next": next}}))
        }
        "/next" => {
            let start = number("start").unwrap_or(0);
            let next =
                if start < 20 { json!(format!("/next?start={}", start + 10)) } else { json!("") };
            Reply::json(&json!({"rows": page(start), "next": next}))
        }
        "/header" => {
            let start = number("start").unwrap_or(0);
            let reply = Reply::json(&page(start));
            if start >= 20 {
                return reply;
            }
            reply.header("link", format!("<{base}/header?start={}>; rel=\"next\"", start + 10))
        }
        "/csv" => Reply::new(200, "id,price\n0,1.50\n1,\"1,50\"\n"),
        "/lines" => Reply::new(200, "{\"id\": 0}\n{\"id\": 1}\n"),
        _ => Reply::new(404, "no such place"),
    }
}

fn bench() -> (tempfile::TempDir, Context) {
    let folder = tempfile::tempdir().unwrap();
    let context = context(folder.path(), &[]);
    (folder, context)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_paging_gives_every_row_once() {
    let server = Server::start(paged);
    let (_folder, context) = bench();
    let cases = [
        (
            json!({"url": "page", "record_path": "$.data.items[*]",
                "pagination": {"type": "page"}}),
            4,
        ),
        (
            json!({"url": "page", "record_path": "data.items",
                "pagination": {"type": "page", "size_param": "per", "size": 10}}),
            3,
        ),
        (json!({"url": "offset", "pagination": {"type": "offset", "size": 10}}), 3),
        (
            json!({"url": "cursor", "record_path": "rows",
                "pagination": {"type": "cursor", "param": "after", "path": "meta.next"}}),
            3,
        ),
        (
            json!({"url": "next", "record_path": "rows",
                "pagination": {"type": "next_link", "path": "next"}}),
            3,
        ),
        (json!({"url": "header", "pagination": {"type": "link_header"}}), 3),
    ];
    for (mut config, requests) in cases {
        config["url"] = json!(format!("{}/{}", server.url(), config["url"].as_str().unwrap()));
        let before = server.requests().len();
        let service = source(ALL, "http", &config);
        let (discovery, batches, rejects) =
            read_new(service.as_ref(), &context, &Past::default()).await.unwrap();
        assert!(rejects.is_empty() && discovery.is_new);
        let mut ids = lines(&batches, &["id"]);
        ids.sort_by_key(|id| id.parse::<u64>().unwrap());
        let expected: Vec<String> = (0..25).map(|id| id.to_string()).collect();
        assert_eq!(ids, expected, "{config}");
        assert_eq!(server.requests().len() - before, requests, "{config}");
        // What was landed is what is read, and the same answers are not new.
        let past = past_of(&discovery.inputs);
        let again = service.discover(&context, &past).await.unwrap();
        assert!(!again.is_new, "{config}");
        let (batches, _) = read(service.as_ref(), &context, again.inputs, None).await.unwrap();
        assert_eq!(lines(&batches, &["id"]).len(), 25);
    }
    for (format, expected) in [("csv", "1|1,50"), ("ndjson", "1|")] {
        let path = if format == "csv" { "csv" } else { "lines" };
        let config = json!({"url": format!("{}/{path}", server.url()), "format": format});
        let service = source(ALL, "http", &config);
        let (_, batches, _) = read_new(service.as_ref(), &context, &Past::default()).await.unwrap();
        let columns: &[&str] = if format == "csv" { &["id", "price"] } else { &["id"] };
        assert_eq!(lines(&batches, columns)[1], expected.trim_end_matches('|'));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discovery_that_broke_off_goes_on_after_the_last_page() {
    let fail_from = Arc::new(AtomicU64::new(3));
    let limit = Arc::clone(&fail_from);
    let server = Server::start(move |request| {
        let page: u64 = request.param("page").unwrap().parse().unwrap();
        match page {
            page if page >= limit.load(Ordering::SeqCst) => Reply::new(400, "not now"),
            page if page > 5 => Reply::json(&json!([])),
            page => Reply::json(&items(page * 10, page * 10 + 10)),
        }
    });
    let (_folder, context) = bench();
    let config = json!({"url": server.url(), "pagination": {"type": "page"}});
    let service = source(ALL, "http", &config);
    let problem = service.discover(&context, &Past::default()).await.unwrap_err();
    assert!(problem.is(&codes::CONNECTION_REFUSED), "{problem:?}");
    assert_eq!(problem.detail_text(), Some("not now"));
    fail_from.store(100, Ordering::SeqCst);
    let again = source(ALL, "http", &config);
    let (_, batches, _) = read_new(again.as_ref(), &context, &Past::default()).await.unwrap();
    assert_eq!(lines(&batches, &["id"]).len(), 50);
    let pages: Vec<String> =
        server.requests().iter().map(|request| request.param("page").unwrap().to_owned()).collect();
    assert_eq!(pages, ["1", "2", "3", "3", "4", "5", "6"]);
    // Once more, before any run has taken the pages: nothing is asked again.
    again.discover(&context, &Past::default()).await.unwrap();
    assert_eq!(server.requests().len(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_new_is_asked_for() {
    let server = Server::start(|request| {
        let after = request.param("after").unwrap_or("2023").to_owned();
        let rows: Vec<Value> = ["2024-01-01", "2024-01-03", "2024-01-02"]
            .iter()
            .filter(|at| **at > after.as_str())
            .map(|at| json!({"id": at, "meta": {"at": at}}))
            .collect();
        Reply::json(&json!({"rows": rows}))
    });
    let (_folder, context) = bench();
    let config = json!({"url": server.url(), "record_path": "rows",
        "since": {"param": "after", "path": "meta.at", "start": "2024-01-01"}});
    let service = source(ALL, "http", &config);
    let (discovery, batches, _) =
        read_new(service.as_ref(), &context, &Past::default()).await.unwrap();
    assert_eq!(lines(&batches, &["id"]), ["2024-01-02", "2024-01-03"]);
    let past = past_of(&discovery.inputs);
    assert_eq!(past.range.as_ref().unwrap().high, json!("2024-01-03"));
    let again = service.discover(&context, &past).await.unwrap();
    assert!(!again.is_new && again.inputs.is_empty());
    assert_eq!(server.requests().last().unwrap().param("after"), Some("2024-01-03"));
    // Without rows, the columns are still known.
    let (batches, _) = read(service.as_ref(), &context, Vec::new(), None).await.unwrap();
    assert!(batches.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_go_where_they_belong() {
    let server = Server::start(|_| Reply::json(&json!([{"id": 1}])));
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        (json!({"type": "bearer", "token": "t0k"}), Some("Bearer t0k"), None),
        (json!({"type": "basic", "user": "u", "password": "p"}), Some("Basic dTpw"), None),
        (json!({"type": "api_key", "name": "x-key", "value": "k3y"}), None, Some("k3y")),
        (json!({"type": "api_key", "name": "key", "value": "k3y", "in": "query"}), None, None),
    ];
    for (auth, authorization, key) in cases {
        let settings = json!({"type": "http", "url": format!("{}/v2", server.url()), "auth": auth,
            "headers": {"accept": "application/json"}});
        let context = context(folder.path(), &[("crm", settings)]);
        let service = source(
            ALL,
            "http",
            &json!({"connection": "crm", "url": "items",
            "params": {"q": "a b", "n": 5}}),
        );
        let past = Past { full: true, ..Past::default() };
        std::fs::remove_dir_all(&context.landing).ok();
        let discovery = service.discover(&context, &past).await.unwrap();
        let request = server.requests().pop().unwrap();
        assert_eq!(request.path, "/v2/items");
        assert_eq!((request.param("q"), request.param("n")), (Some("a b"), Some("5")));
        assert_eq!(request.header("authorization"), authorization);
        assert_eq!(request.header("x-key"), key);
        assert_eq!(request.header("accept"), Some("application/json"));
        assert!(!format!("{discovery:?}").contains("k3y"));
    }
    assert_eq!(server.requests().pop().unwrap().param("key"), Some("k3y"));
}

async fn refused(config: &Value) -> Problem {
    let (_folder, context) = bench();
    let service = source(ALL, "http", config);
    service.discover(&context, &Past::default()).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn s_29_services_that_misbehave_are_given_up_in_time() {
    let other = Server::start(|_| Reply::json(&json!([{"id": "stolen"}])));
    let elsewhere = other.url();
    let server = Server::start(move |request| match request.path.as_str() {
        "/hang" => Reply::hang(),
        "/endless" => Reply::endless(),
        "/drip" => Reply::drip(vec![b' '; 1000], Duration::from_millis(100)),
        "/cut" => Reply::cut("[{\"id\": 1}, {\"id\": 2}]", 10),
        "/moved" => Reply::new(302, "").header("location", format!("{elsewhere}/x")),
        "/loop" => Reply::new(302, "").header("location", "/loop"),
        "/away" => Reply::json(&json!({"rows": [{"id": 1}], "next": format!("{elsewhere}/x")})),
        "/same" => Reply::json(&json!({"rows": [{"id": 1}], "next": "/same"})),
        "/html" => Reply::new(200, "<html>please sign in</html>"),
        "/secret" => Reply::new(401, "who are you"),
        "/gzip" => Reply::new(200, "x").header("content-encoding", "gzip"),
        _ => Reply::new(503, "down"),
    });
    let nobody = format!("http://127.0.0.1:{}/x", free_port());
    let limits = json!({"attempts": 2, "connect_timeout_s": 1, "read_timeout_s": 1,
        "timeout_s": 2, "body_mib": 1});
    let next = json!({"type": "next_link", "path": "next"});
    for (path, pagination, code) in [
        ("/hang", Value::Null, &codes::CONNECTION_TIMEOUT),
        ("/endless", Value::Null, &codes::RESPONSE_TOO_LARGE),
        ("/drip", Value::Null, &codes::CONNECTION_TIMEOUT),
        ("/cut", Value::Null, &codes::CONNECTION_FAILED),
        ("/moved", Value::Null, &codes::CONNECTION_REFUSED),
        ("/loop", Value::Null, &codes::CONNECTION_REFUSED),
        ("/away", next.clone(), &codes::RESPONSE_INVALID),
        ("/same", next.clone(), &codes::RESPONSE_INVALID),
        ("/html", Value::Null, &codes::RESPONSE_INVALID),
        ("/secret", Value::Null, &codes::CONNECTION_REFUSED),
        ("/gzip", Value::Null, &codes::RESPONSE_INVALID),
        ("/down", Value::Null, &codes::CONNECTION_FAILED),
        (nobody.as_str(), Value::Null, &codes::CONNECTION_FAILED),
    ] {
        let url =
            if path.starts_with('/') { format!("{}{path}", server.url()) } else { path.into() };
        let mut config = json!({"url": url, "limits": limits});
        if !pagination.is_null() {
            config["pagination"] = pagination;
            config["record_path"] = json!("rows");
        }
        let start = Instant::now();
        let problem = refused(&config).await;
        assert!(problem.is(code), "{path}: {problem:?}");
        assert!(start.elapsed() < Duration::from_secs(8), "{path}: {:?}", start.elapsed());
    }
    assert!(other.requests().is_empty(), "nobody was led elsewhere");
    let down = server.requests().iter().filter(|request| request.path == "/down").count();
    assert_eq!(down, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_busy_is_asked_later() {
    let server = Server::start(|request| match request.number {
        0 => Reply::new(429, "slow down").header("retry-after", "1"),
        1 => Reply::new(500, "oops"),
        _ => Reply::json(&json!([{"id": 1}])),
    });
    let (_folder, context) = bench();
    let service = source(ALL, "http", &json!({"url": server.url()}));
    let start = Instant::now();
    let (_, batches, _) = read_new(service.as_ref(), &context, &Past::default()).await.unwrap();
    assert_eq!(lines(&batches, &["id"]), ["1"]);
    assert!(start.elapsed() >= Duration::from_secs(1), "Retry-After is minded");
    assert_eq!(server.requests().len(), 3);

    let patient = Server::start(|_| Reply::new(503, "").header("retry-after", "86400"));
    let start = Instant::now();
    let problem = refused(&json!({"url": patient.url()})).await;
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(problem.hint_text().unwrap().contains("86400"), "{problem:?}");

    let paced = Server::start(|request| {
        let page: u64 = request.param("page").unwrap().parse().unwrap();
        Reply::json(&items(0, if page < 4 { 1 } else { 0 }))
    });
    let (_folder, context) = bench();
    let config = json!({"url": paced.url(), "pagination": {"type": "page"},
        "limits": {"requests_per_s": 5.0}});
    let start = Instant::now();
    source(ALL, "http", &config).discover(&context, &Past::default()).await.unwrap();
    assert_eq!(paced.requests().len(), 4);
    assert!(start.elapsed() >= Duration::from_millis(600));
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_pages_are_a_problem_not_a_cut() {
    let server = Server::start(|_| Reply::json(&items(0, 10)));
    let config = json!({"url": server.url(), "pagination": {"type": "page"}, "pages_max": 3});
    let problem = refused(&config).await;
    assert!(problem.is(&codes::RESPONSE_TOO_LARGE), "{problem:?}");
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_landed_page_that_is_gone_is_noticed() {
    let server = Server::start(|_| Reply::json(&items(0, 3)));
    let (_folder, context) = bench();
    let service = source(ALL, "http", &json!({"url": server.url()}));
    let inputs = service.discover(&context, &Past::default()).await.unwrap().inputs;
    let Input::File(arrival) = &inputs[0] else { unreachable!("a page") };
    std::fs::write(context.landing.join(arrival.landed.as_ref().unwrap()), "[").unwrap();
    let problem = read(service.as_ref(), &context, inputs, None).await.unwrap_err();
    assert!(problem.is(&codes::FILE_CHANGED), "{problem:?}");
}

const ROWS: &str =
    "{\"id\": 1, \"name\": \"a b\"}\n{\"id\": 2, \"name\": \"c/d\"}\n{\"id\": 3, \"name\": null}";

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_sent_with_a_key_when_the_commit_comes() {
    let server = Server::start(|request| match request.number {
        0 => Reply::new(503, "try again"),
        _ => Reply::new(201, "thanks"),
    });
    let (folder, context) = bench();
    let config = json!({"url": format!("{}/batch", server.url()), "rows": 2, "under": "contacts"});
    let contacts = sink(ALL, "write_http", &config);
    let request = new_request();
    let prepared = contacts
        .prepare(&context, request.clone(), contracts::rows::read_batches(ROWS).unwrap())
        .await
        .unwrap();
    assert!(server.requests().is_empty());
    let committed = prepared.commit().await.unwrap();
    assert_eq!((committed.rows, committed.detail["requests"]), (3, 2));
    let requests = server.requests();
    let bodies: Vec<Value> =
        requests.iter().map(|request| serde_json::from_slice(&request.body).unwrap()).collect();
    assert_eq!(bodies[0], bodies[1]);
    assert_eq!(bodies[1]["contacts"][1], json!({"id": 2, "name": "c/d"}));
    assert_eq!(bodies[2], json!({"contacts": [{"id": 3, "name": null}]}));
    let keys: Vec<&str> =
        requests.iter().map(|request| request.header("idempotency-key").unwrap()).collect();
    assert_eq!(
        keys,
        [format!("{}/0", request.key), format!("{}/0", request.key), format!("{}/1", request.key)]
    );
    let config =
        json!({"url": format!("{}/by/{{name}}", server.url()), "method": "put", "send": "row"});
    let each = sink(ALL, "write_http", &config);
    let text = "{\"id\": 1, \"name\": \"a b\"}\n{\"id\": 2, \"name\": \"c/d\"}";
    write(each.as_ref(), &context, new_request(), text).await.unwrap();
    let paths: Vec<String> =
        server.requests()[3..].iter().map(|r| format!("{} {}", r.method, r.path)).collect();
    assert_eq!(paths, ["PUT /by/a%20b", "PUT /by/c%2Fd"]);
    let problem = write(each.as_ref(), &context, new_request(), ROWS).await.unwrap_err();
    assert!(problem.is(&codes::CONSTRAINT_VIOLATED), "{problem:?}");
    assert_eq!(server.requests().len(), 5, "nothing is sent when a row has no address");
    let spool = folder.path().join(".affluent/spool/write_http");
    assert_eq!(spooled(&spool), Vec::<String>::new(), "only receipts are left");
}

/// Files of requests below a folder.
fn spooled(folder: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() {
            found.extend(spooled(&entry.path()));
        } else if !name.ends_with(".sent") {
            found.push(name);
        }
    }
    found
}

/// A second attempt gets its rows in another order; the service must not see that.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_were_begun_are_sent_again_as_they_were() {
    let server = Server::start(|request| match request.number {
        1 => Reply::new(418, "not now"),
        _ => Reply::new(201, "thanks"),
    });
    let (folder, context) = bench();
    let batch = sink(ALL, "write_http", &json!({"url": server.url(), "rows": 2}));
    let request = new_request();
    let problem = write(batch.as_ref(), &context, request.clone(), ROWS).await.unwrap_err();
    assert_eq!(problem.arguments()["requests_sent"], "1");
    assert!(batch.committed(&context, &request).await.unwrap().is_none());
    let turned: Vec<&str> = ROWS.lines().rev().collect();
    write(batch.as_ref(), &context, request.clone(), &turned.join("\n")).await.unwrap();
    let sent = server.requests();
    let sent: Vec<(&str, &[u8])> =
        sent.iter().map(|r| (r.header("idempotency-key").unwrap(), r.body.as_slice())).collect();
    assert_eq!(sent.len(), 4);
    assert_eq!((sent[0], sent[1]), (sent[2], sent[3]));
    let known = batch.committed(&context, &request).await.unwrap().unwrap();
    assert_eq!((known.rows, known.detail["requests"], known.already), (3, 2, true));
    assert_eq!(spooled(&folder.path().join(".affluent/spool/write_http")), Vec::<String>::new());
}
