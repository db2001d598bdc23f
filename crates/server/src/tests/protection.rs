//! What holds for every request: hosts, sites, sizes, headers; and the document that describes all.

use super::support::{HOST, PASSWORD, Server, to};
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use serde_json::{Value, json};

const ME: &str = "/api/v1/me";

#[tokio::test]
async fn a_request_for_another_host_is_refused() {
    let server = Server::new().await;
    for host in ["evil.example.net", "data.example.org:81", "", "127.0.0.1"] {
        let request = Request::builder().uri("/healthz").header(header::HOST, host);
        let answer = server.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST, "{host}");
    }
    let request = Request::builder().uri("/healthz").body(Body::empty()).unwrap();
    assert_eq!(server.send(request).await.status, StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(server.get("/healthz", None).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn s_17_a_cookie_changes_nothing_from_another_site() {
    let server = Server::new().await;
    let (owner, _) = server.set_up().await;
    let cookie = server.session(&owner.id).await;
    let cases: &[(&[(&str, &str)], bool)] = &[
        (&[("sec-fetch-site", "same-origin")], true),
        (&[("sec-fetch-site", "cross-site")], false),
        (&[("sec-fetch-site", "same-site")], false),
        (&[("sec-fetch-site", "none")], false),
        (&[("origin", "https://data.example.org")], true),
        (&[("origin", "https://evil.example.net")], false),
        (&[("origin", "null")], false),
        (&[("sec-fetch-site", "cross-site"), ("origin", "https://data.example.org")], false),
        (&[], false),
    ];
    for (headers, passes) in cases {
        let mut request = to(Method::POST, "/api/v1/workspaces")
            .header(header::COOKIE, &cookie)
            .header(header::CONTENT_TYPE, "application/json");
        for (name, value) in *headers {
            request = request.header(*name, *value);
        }
        // The name is refused by the handler, so that nothing is made.
        let request = request.body(Body::from(r#"{"name": "Not A Name"}"#)).unwrap();
        let answer = server.send(request).await;
        let code = if *passes { "name_invalid" } else { "request_refused" };
        assert_eq!(answer.code(), code, "{headers:?}");
    }
}

#[tokio::test]
async fn a_body_is_json_and_says_what_is_wrong_with_it() {
    let server = Server::new().await;
    let sign_in = |kind: &str, body: &str| {
        let request = to(Method::POST, "/api/v1/auth/sign-in").header(header::CONTENT_TYPE, kind);
        request.body(Body::from(body.to_owned())).unwrap()
    };
    let good = json!({"email": "a@b.c", "password": PASSWORD}).to_string();
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let answer = server.send(sign_in(kind, &good)).await;
        assert_eq!(answer.code(), "request_invalid", "{kind}");
    }
    let json = "application/json";
    let bad = ["", "{", "[]", r#"{"email": 1, "password": "x"}"#, r#"{"email": "a@b.c"}"#];
    for body in bad {
        let answer = server.send(sign_in(json, body)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
    }
    let other = r#"{"email": "a@b.c", "password": "hunter2 hunter2", "admin": true}"#;
    let answer = server.send(sign_in(json, other)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.body["detail"].as_str().unwrap().contains("admin"), "{answer:?}");
    assert!(!answer.body.to_string().contains("hunter2"), "{answer:?}");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(server.send(sign_in(json, &deep)).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn s_22_limits_hold_exactly() {
    let server = Server::new().await;
    let url = |length: usize| format!("/healthz?{}", "x".repeat(length - "/healthz?".len()));
    assert_eq!(server.get(&url(8192), None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(server.get(&url(8193), None).await.status, StatusCode::URI_TOO_LONG);
    let host = "host".len() + HOST.len() + 4;
    let with_headers = |bytes: usize| {
        let value = "x".repeat(bytes - host - "x-a".len() - 4);
        to(Method::GET, "/healthz").header("x-a", value).body(Body::empty()).unwrap()
    };
    assert_eq!(server.send(with_headers(16 << 10)).await.status, StatusCode::NO_CONTENT);
    let answer = server.send(with_headers((16 << 10) + 1)).await;
    assert_eq!(answer.status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    let body = |bytes: usize| {
        let email = "x".repeat(bytes - r#"{"email":"","password":"p"}"#.len());
        let text = json!({"email": email, "password": "p"}).to_string();
        assert_eq!(text.len(), bytes);
        let request = to(Method::POST, "/api/v1/auth/sign-in");
        request.header(header::CONTENT_TYPE, "application/json").body(Body::from(text)).unwrap()
    };
    assert_eq!(server.send(body(10 << 20)).await.status, StatusCode::UNAUTHORIZED);
    let answer = server.send(body((10 << 20) + 1)).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn every_answer_tells_browsers_to_be_strict() {
    let server = Server::new().await;
    let unknown = to(Method::GET, "/nothing").body(Body::empty()).unwrap();
    let strange =
        Request::builder().uri("/").header(header::HOST, "x").body(Body::empty()).unwrap();
    let home = to(Method::GET, "/").body(Body::empty()).unwrap();
    for request in [unknown, strange, home] {
        let answer = server.send(request).await;
        let header = |name: &str| answer.headers[name].to_str().unwrap();
        assert!(header("content-security-policy").contains("frame-ancestors 'none'"));
        assert!(!header("content-security-policy").contains("unsafe"));
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("cross-origin-opener-policy"), "same-origin");
        assert_eq!(header("cache-control"), "no-store");
        assert!(header("strict-transport-security").contains("max-age=31536000"));
    }
}

#[tokio::test]
async fn s_04_tricks_with_the_path_open_nothing() {
    let server = Server::new().await;
    server.set_up().await;
    let tricks = [
        "/api/v1/users/configs",
        "/api/v1/users/healthz",
        "/api/v1/users;.css",
        "//api/v1/users",
        "/api/v1/users/",
        "/api/v1/users%2f",
        "/api/v1/%75sers",
        "/healthz/../api/v1/users",
        "/healthz/%2e%2e/api/v1/users",
        "/API/V1/USERS",
        "/api/v1/users.",
        "/api/v1/users?x=/healthz",
        "/api/v1/./users",
        "/open/../api/v1/users",
        "/api/v1/users%00",
        "/api/v1/auth/../users",
    ];
    for path in tricks {
        for (name, value) in [
            ("x-original-url", "/healthz"),
            ("x-rewrite-url", "/healthz"),
            ("x-http-method-override", "GET"),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-user", "owner@example.org"),
        ] {
            let request = to(Method::GET, path).header(name, value).body(Body::empty()).unwrap();
            let status = server.send(request).await.status;
            let closed =
                [StatusCode::UNAUTHORIZED, StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED];
            assert!(closed.contains(&status), "{path} with {name}: {status}");
        }
    }
}

#[tokio::test]
async fn s_16_made_up_tokens_are_refused() {
    let server = Server::new().await;
    server.set_up().await;
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiIxIn0.";
    let long = "x".repeat(15_000);
    for token in ["", "afk_", "afk_guess", none, "a.b.c", &long] {
        let answer = server.bearer(Method::GET, ME, token).await;
        assert_eq!(answer.code(), "sign_in_needed", "{token:.20}");
    }
}

#[test]
fn the_committed_description_is_that_of_the_routes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    let made = crate::open_api();
    if std::env::var_os("AFFLUENT_UPDATE").is_some() {
        std::fs::write(path, &made).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == made, "run the tests with AFFLUENT_UPDATE=1 and look at what changed");
}

#[test]
fn the_description_names_every_schema_it_refers_to() {
    let document: Value = serde_json::from_str(&crate::open_api()).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let text = document.to_string();
    let mut references = 0;
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
        references += 1;
    }
    assert!(references > 20, "{references}");
    let operations: usize = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .map(|path| path.as_object().unwrap().len())
        .sum();
    assert_eq!(operations, crate::routes().len());
}

#[test]
fn two_schemas_never_share_a_name() {
    let mut seen = std::collections::BTreeMap::new();
    for route in crate::routes() {
        for (name, schema) in &route.schemas {
            let text = serde_json::to_string(schema).unwrap();
            let first = seen.entry(name.clone()).or_insert_with(|| text.clone());
            assert_eq!(*first, text, "{name}");
        }
    }
}
