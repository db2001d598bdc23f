//! Channels, rules and the inbox over HTTP, and alerts on their way to real receivers.

use super::support::{Answer, METRICS_TOKEN, NOW, SECOND, Server, to};
use crate::alerts::work;
use axum::body::Body;
use axum::http::{Method, StatusCode, header};
use model::notice::Notice;
use model::run::RunId;
use model::{Name, Problem, Role, Secret, codes};
use monitor::channels::signature;
use serde_json::{Value, json};
use stdx::hash::Random;
use store::{Inbox, WorkspaceId};
use testkit::http::Reply;
use testkit::{MailEncryption, MailServer};

const CHANNELS: &str = "/api/v1/workspaces/shop/channels";
const RULES: &str = "/api/v1/workspaces/shop/alert-rules";
const INBOX: &str = "/api/v1/workspaces/shop/notifications";
const SECRET: &str = "canary-3f9b2c71d0";
const MINUTE: i64 = 60 * SECOND;

fn failed(pipeline: &str) -> Notice {
    let problem = Problem::new(&codes::CHECK_FAILED, "the check `totals` found 3 rows");
    let pipeline = Name::new(pipeline).unwrap();
    Notice::RunFailed { pipeline, run: RunId::generate(NOW), problem: problem.to_stored() }
}

fn succeeded(pipeline: &str) -> Notice {
    Notice::RunSucceeded {
        pipeline: Name::new(pipeline).unwrap(),
        run: RunId::generate(NOW),
        rows_out: 1,
        rows_rejected: 0,
        elapsed_ms: 5,
    }
}

fn slack(url: &str) -> Value {
    json!({"name": "ops", "settings": {"kind": "slack", "url": url}})
}

fn webhook(url: &str) -> Value {
    json!({"name": "hook", "settings": {"kind": "webhook", "url": url, "secret": SECRET}})
}

fn rule(channels: &[&str], events: &[&str]) -> Value {
    json!({"name": events.join(" "), "channels": channels, "events": events})
}

/// A server with an admin who is signed in.
async fn server() -> (Server, WorkspaceId, String) {
    let server = Server::new().await;
    let (_, shop) = server.set_up().await;
    let admin = server.member(&shop, Role::Admin).await;
    let cookie = server.session(&admin.id).await;
    (server, shop, cookie)
}

async fn make(server: &Server, cookie: &str, path: &str, body: Value) -> String {
    let made = server.json(Method::POST, path, Some(cookie), body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    made.body["id"].as_str().unwrap().to_owned()
}

async fn announce(server: &Server, shop: &WorkspaceId, notice: Notice) {
    let alerts = server.app.store.workspace(shop).alerts();
    alerts.announce(notice, server.app.now_us()).await.unwrap();
}

/// Tells all there is to tell.
async fn deliver(server: &Server) {
    let mut random = Random::new(7);
    while work(&server.app, &mut random).await.unwrap() > 0 {}
}

async fn put(server: &Server, cookie: &str, path: &str, tag: &str, body: &Value) -> Answer {
    let request = to(Method::PUT, path)
        .header(header::COOKIE, cookie)
        .header("sec-fetch-site", "same-origin")
        .header(header::IF_MATCH, tag)
        .header(header::CONTENT_TYPE, "application/json");
    server.send(request.body(Body::from(body.to_string())).unwrap()).await
}

#[tokio::test]
async fn a_failure_reaches_mail_chat_and_a_program_and_everybodys_inbox() {
    let Some(mail) = MailServer::start(MailEncryption::StartTls) else { return };
    let http = testkit::http::Server::start(|_| Reply::new(200, "ok"));
    let (server, shop, cookie) = server().await;
    let email = json!({"name": "team", "language": "french", "settings": {
        "kind": "email", "host": "localhost", "port": mail.port(),
        "authority": mail.certificate(), "user": MailServer::USER,
        "password": MailServer::PASSWORD, "from": "Data <data@example.org>",
        "to": ["ana@example.org"],
    }});
    let team = make(&server, &cookie, CHANNELS, email).await;
    let ops = make(&server, &cookie, CHANNELS, slack(&format!("{}/chat", http.url()))).await;
    let hook = make(&server, &cookie, CHANNELS, webhook(&format!("{}/hook", http.url()))).await;
    let all = rule(&[&team, &ops, &hook], &["run_failed", "run_recovered"]);
    make(&server, &cookie, RULES, all).await;

    announce(&server, &shop, failed("orders")).await;
    deliver(&server).await;
    let letter = mail.next();
    let subject = json!(["Subject", "[shop] orders a échoué"]);
    assert!(letter["headers"].as_array().unwrap().contains(&subject), "{letter}");
    assert!(letter["text"].as_str().unwrap().contains("https://data.example.org/w/shop/runs/"));
    let requests = http.requests();
    assert_eq!(requests.len(), 2);
    let request = requests.iter().find(|request| request.path == "/hook").unwrap();
    let signed = request.header("x-affluent-signature").unwrap();
    let expected = signature(&Secret::new(SECRET), NOW / SECOND, &request.body);
    assert_eq!(signed, format!("t={},v1={expected}", NOW / SECOND));

    for second in 1..=4 {
        server.clock.advance(SECOND);
        let notice = if second == 4 { succeeded("orders") } else { failed("orders") };
        announce(&server, &shop, notice).await;
    }
    deliver(&server).await;
    assert_eq!(http.requests().len(), 2, "the window of the rule is open");
    server.clock.advance(5 * MINUTE);
    deliver(&server).await;
    let requests = http.requests();
    let last = requests.iter().rev().find(|request| request.path == "/hook").unwrap();
    let body: Value = serde_json::from_slice(&last.body).unwrap();
    assert_eq!((&body["notice"]["event"], &body["more"]), (&json!("run_recovered"), &json!(3)));
    assert!(mail.next()["text"].as_str().unwrap().contains("Et 3 de plus"));

    let inbox = server.get(INBOX, Some(&cookie)).await;
    assert_eq!(inbox.body["unread"], 2);
    let titles: Vec<&Value> =
        inbox.body["items"].as_array().unwrap().iter().map(|item| &item["title"]).collect();
    assert_eq!(titles, ["orders works again", "orders failed"]);
    let first = inbox.body["items"][0]["id"].as_str().unwrap();
    let read = |path: String| server.json(Method::POST, path.leak(), Some(&cookie), json!({}));
    assert_eq!(read(format!("{INBOX}/{first}/read")).await.status, StatusCode::NO_CONTENT);
    let unread = server.get(&format!("{INBOX}?unread=true"), Some(&cookie)).await;
    assert_eq!(unread.body["items"].as_array().unwrap().len(), 1);
    assert_eq!(read(format!("{INBOX}/read")).await.status, StatusCode::NO_CONTENT);
    assert_eq!(server.get(INBOX, Some(&cookie)).await.body["unread"], 0);
}

#[tokio::test]
async fn a_message_waits_for_a_channel_that_is_away_and_is_given_up_in_the_end() {
    let http = testkit::http::Server::start(|request| match request.number {
        0 | 1 => Reply::new(503, "away"),
        2 => Reply::new(204, ""),
        _ => Reply::new(410, "gone"),
    });
    let (server, shop, cookie) = server().await;
    let hook = make(&server, &cookie, CHANNELS, webhook(&http.url())).await;
    let mut every = rule(&[&hook], &["run_failed"]);
    every["window_seconds"] = json!(0);
    make(&server, &cookie, RULES, every).await;
    let channel = format!("{CHANNELS}/{hook}");
    announce(&server, &shop, failed("orders")).await;
    deliver(&server).await;
    let shown = server.get(&channel, Some(&cookie)).await.body;
    assert_eq!(
        (&shown["problem"]["code"], &shown["sent_at_us"]),
        (&json!("connection_failed"), &Value::Null)
    );
    deliver(&server).await;
    assert_eq!(http.requests().len(), 1, "not before its time");
    for _ in 0..2 {
        server.clock.advance(MINUTE);
        deliver(&server).await;
    }
    let requests = http.requests();
    let names: Vec<_> =
        requests.iter().map(|request| request.header("x-affluent-delivery").unwrap()).collect();
    assert_eq!(names, [names[0]; 3], "each attempt has the same name");
    let shown = server.get(&channel, Some(&cookie)).await.body;
    assert!(shown["problem"].is_null() && shown["sent_at_us"].is_i64(), "{shown}");

    announce(&server, &shop, failed("stock")).await;
    for _ in 0..24 {
        deliver(&server).await;
        server.clock.advance(15 * MINUTE);
    }
    assert_eq!(http.requests().len(), 3 + 12, "twelve attempts and no more");
    // By now nobody is signed in any more.
    let admin = server.app.store.users().by_email("admin@shop.example.org").await.unwrap();
    let home = server.app.store.workspace(&shop);
    let inbox = home.notifications().list(&admin.unwrap().id, Inbox::All, None, 1).await.unwrap();
    assert_eq!(inbox.items[0].title, "channel hook does not work");
    assert!(inbox.items[0].message.contains("410"), "{}", inbox.items[0].message);
}

#[tokio::test]
async fn s_12_secrets_of_channels_are_written_and_never_read() {
    let (server, _, cookie) = server().await;
    let url = format!("https://chat.example.org/hooks/{SECRET}");
    let ops = make(&server, &cookie, CHANNELS, slack(&url)).await;
    make(&server, &cookie, CHANNELS, webhook(&format!("{url}/2"))).await;
    let shown = server.get(CHANNELS, Some(&cookie)).await.body;
    assert_eq!(shown["items"][0]["host"], "chat.example.org");
    assert_eq!(shown["items"][1]["settings"], json!({"kind": "slack"}));
    let audit = server.get("/api/v1/workspaces/shop/audit", Some(&cookie)).await.body;
    assert!(audit.to_string().contains("channel.create"), "{audit}");
    let answers = [shown.to_string(), audit.to_string()];
    assert!(answers.iter().all(|answer| !answer.contains("canary")), "{answers:?}");
    for file in std::fs::read_dir(server.folder.path()).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes.windows(6).any(|bytes| bytes == b"canary");
            assert!(!found, "a secret stands in {}", path.display());
        }
    }
    // Taken to another row it opens nothing.
    let home = server.app.store.workspaces().by_slug(&Name::new("shop").unwrap()).await.unwrap();
    let home = server.app.store.workspace(&home.id);
    let rows = home.alert_channels().list().await.unwrap();
    let stolen = store::AlertChannel { sealed: rows[0].sealed.clone(), ..rows[1].clone() };
    assert!(crate::alerts::channels::open(&server.app, &rows[1]).is_ok());
    assert!(crate::alerts::channels::open(&server.app, &stolen).is_err());
    assert_eq!(rows[1].id.to_string(), ops);
}

#[tokio::test]
async fn a_secret_does_not_follow_its_channel_to_another_place() {
    let (server, _, cookie) = server().await;
    let hook = make(&server, &cookie, CHANNELS, webhook("https://one.example.org/x")).await;
    let path = format!("{CHANNELS}/{hook}");
    let tag = async || {
        let answer = server.get(&path, Some(&cookie)).await;
        answer.headers[header::ETAG].to_str().unwrap().to_owned()
    };
    let named = |settings: Value| json!({"name": "renamed", "settings": settings});
    let first = tag().await;
    let kept = put(&server, &cookie, &path, &first, &named(json!({"kind": "webhook"}))).await;
    assert_eq!((kept.status, &kept.body["host"]), (StatusCode::OK, &json!("one.example.org")));
    let late = put(&server, &cookie, &path, &first, &named(json!({"kind": "webhook"}))).await;
    assert_eq!(late.status, StatusCode::CONFLICT);
    let moved = named(json!({"kind": "webhook", "url": "https://two.example.org/x"}));
    let refused = put(&server, &cookie, &path, &tag().await, &moved).await;
    assert_eq!(refused.code(), "request_invalid");
    assert_eq!(refused.body["context"]["setting"], "/settings/secret");

    let email = |host: &str, password: Option<&str>| {
        let mut settings = json!({"kind": "email", "host": host, "port": 587, "user": "ana",
            "from": "data@example.org", "to": ["ana@example.org"]});
        if let Some(password) = password {
            settings["password"] = json!(password);
        }
        json!({"name": "mail", "settings": settings})
    };
    let mail = make(&server, &cookie, CHANNELS, email("mail.example.org", Some("x"))).await;
    let path = format!("{CHANNELS}/{mail}");
    let tag = server.get(&path, Some(&cookie)).await.headers[header::ETAG].clone();
    let refused =
        put(&server, &cookie, &path, tag.to_str().unwrap(), &email("evil.example.org", None)).await;
    assert_eq!(refused.body["context"]["setting"], "/settings/password");
    let kept =
        put(&server, &cookie, &path, tag.to_str().unwrap(), &email("mail.example.org", None)).await;
    assert_eq!(kept.status, StatusCode::OK, "{kept:?}");
}

#[tokio::test]
async fn channels_and_rules_that_cannot_work_are_refused() {
    let (server, _, cookie) = server().await;
    let settings = |settings: Value| json!({"name": "x", "settings": settings});
    let email = |from: &str, to: &[&str]| {
        let mut email = json!({"kind": "email", "host": "h", "port": 25});
        email["from"] = json!(from);
        email["to"] = json!(to);
        email
    };
    let hook = json!({"kind": "webhook", "url": "https://a.example", "secret": "short"});
    let mut clear = email("a@b.c", &["a@b.c"]);
    clear["encryption"] = json!("none");
    clear["user"] = json!("u");
    clear["password"] = json!("p");
    let nameless =
        json!({"name": "\n", "settings": {"kind": "slack", "url": "https://a.example/x"}});
    let bad = [
        (settings(json!({"kind": "slack"})), "/settings/url"),
        (settings(json!({"kind": "slack", "url": "chat"})), "/settings/url"),
        (settings(json!({"kind": "slack", "url": "file:///etc/passwd"})), "/settings/url"),
        (settings(hook), "/settings/secret"),
        (settings(email("x", &["a@b.c"])), "/settings/from"),
        (settings(email("a@b.c", &["a@b.c\nBcc: d@e.f"])), "/settings/to/0"),
        (settings(email("a@b.c", &[])), "/settings/to"),
        (settings(clear), "/settings/encryption"),
        (nameless, "/name"),
    ];
    for (body, setting) in bad {
        let answer = server.json(Method::POST, CHANNELS, Some(&cookie), body.clone()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(answer.body["context"]["setting"], setting, "{answer:?}");
        assert!(answer.body["hint"].is_string() || setting == "/name", "{answer:?}");
    }
    let ops = make(&server, &cookie, CHANNELS, slack("https://a.example/x")).await;
    let nobody = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let cases = [
        (rule(&[&ops], &[]), "request_invalid"),
        (rule(&[&ops], &["test"]), "request_invalid"),
        (rule(&[&ops], &["run_exploded"]), "request_invalid"),
        (rule(&[], &["run_failed"]), "request_invalid"),
        (rule(&[nobody], &["run_failed"]), "not_found"),
    ];
    for (body, code) in cases {
        let answer = server.json(Method::POST, RULES, Some(&cookie), body.clone()).await;
        assert_eq!(answer.code(), code, "{body}");
    }
    let used = make(&server, &cookie, RULES, rule(&[&ops], &["run_failed"])).await;
    let path = format!("{CHANNELS}/{ops}");
    let refused = server.json(Method::DELETE, &path, Some(&cookie), json!({})).await;
    assert_eq!(refused.code(), "conflict");
    let rule = format!("{RULES}/{used}");
    for path in [rule, path] {
        let answer = server.json(Method::DELETE, &path, Some(&cookie), json!({})).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
    }
}

#[tokio::test]
async fn a_channel_is_tried_and_says_why_it_does_not_work() {
    let http = testkit::http::Server::start(|request| match request.number {
        0 => Reply::new(200, "ok"),
        _ => Reply::new(403, "invalid_token"),
    });
    let (server, _, cookie) = server().await;
    let ops = make(&server, &cookie, CHANNELS, slack(&http.url())).await;
    let path = format!("{CHANNELS}/{ops}/test");
    let good = server.json(Method::POST, &path, Some(&cookie), json!({})).await;
    assert_eq!(good.status, StatusCode::NO_CONTENT);
    let text = String::from_utf8(http.requests()[0].body.clone()).unwrap();
    assert!(text.contains("admin@shop.example.org tries this channel"), "{text}");
    let bad = server.json(Method::POST, &path, Some(&cookie), json!({})).await;
    assert_eq!((bad.code(), &bad.body["detail"]), ("connection_refused", &json!("invalid_token")));
}

#[tokio::test]
async fn metrics_are_for_their_token_and_for_who_manages_the_installation() {
    let server = Server::new().await;
    let (owner, shop) = server.set_up().await;
    let admin = server.member(&shop, Role::Owner).await;
    let with = async |token: &str| server.bearer(Method::GET, "/metrics", token).await.status;
    assert_eq!(with(METRICS_TOKEN).await, StatusCode::OK);
    assert_eq!(with("for Prometheus alonf").await, StatusCode::UNAUTHORIZED);
    assert_eq!(with("").await, StatusCode::UNAUTHORIZED);
    assert_eq!(server.get("/metrics", None).await.status, StatusCode::UNAUTHORIZED);
    let cookie = server.session(&admin.id).await;
    assert_eq!(server.get("/metrics", Some(&cookie)).await.status, StatusCode::FORBIDDEN);
    let cookie = server.session(&owner.id).await;
    let answer = server.get("/metrics", Some(&cookie)).await;
    let kind = answer.headers[header::CONTENT_TYPE].to_str().unwrap();
    assert_eq!((answer.status, kind), (StatusCode::OK, "text/plain; version=0.0.4"));
}
