//! Tests of the stores: a scripted server, an S3 server, and answers that get lost.

use super::http::HttpStore;
use super::*;
use crate::testing::{Moto, Project, s3_connection};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use stdx::retry::Backoff;
use testkit::http::{Reply, Server};

const BYTES_MAX: u64 = 1 << 20;

fn quick() -> HttpStore {
    let first = Duration::from_millis(5);
    HttpStore::with_backoff(Backoff { attempts_max: 4, first, cap: first }).unwrap()
}

#[tokio::test]
async fn a_url_is_tried_again_until_it_answers_whole() {
    let server = Server::start(|request| match request.number {
        0 => Reply::new(503, "later").header("Retry-After", "1"),
        1 => Reply::cut("0123456789", 4),
        2 => Reply::new(429, ""),
        _ => Reply::new(200, "0123456789").header("ETag", "\"v1\""),
    });
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("file");
    let begun = Instant::now();
    let url = format!("{}/data.csv", server.url());
    let download = quick().download(&url, &to, None, BYTES_MAX).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1), "Retry-After is heeded");
    assert_eq!((download.size, download.version.as_deref()), (10, Some("v1")));
    assert_eq!(fs::read(&to).unwrap(), b"0123456789");
    assert_eq!(server.requests().len(), 4);
}

#[tokio::test]
async fn a_url_that_cannot_be_read_is_a_problem_and_leaves_nothing() {
    let server = Server::start(|request| match request.path.as_str() {
        "/missing" => Reply::new(404, ""),
        "/closed" => Reply::new(403, ""),
        "/down" => Reply::new(500, ""),
        "/endless" => Reply::endless(),
        _ => Reply::new(200, "x").header("ETag", "\"v2\""),
    });
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("file");
    let store = quick();
    for (path, version, code) in [
        ("/missing", None, &codes::FILE_NOT_FOUND),
        ("/closed", None, &codes::CONNECTION_REFUSED),
        ("/down", None, &codes::CONNECTION_FAILED),
        ("/endless", None, &codes::FILE_TOO_LARGE),
        ("/changed", Some("v1"), &codes::FILE_CHANGED),
    ] {
        let url = format!("{}{path}", server.url());
        let problem = store.download(&url, &to, version, BYTES_MAX).await.unwrap_err();
        assert!(problem.is(code), "{path}: {problem}");
        assert!(problem.hint_text().is_some(), "{path}");
        assert!(!to.exists(), "{path}");
    }
    let closed = format!("http://127.0.0.1:{}/", testkit::free_port());
    let problem = store.download(&closed, &to, None, BYTES_MAX).await.unwrap_err();
    assert!(problem.is(&codes::CONNECTION_FAILED), "{problem}");
}

#[tokio::test]
async fn a_server_that_knows_no_head_is_asked_with_get() {
    let server = Server::start(|request| match request.method.as_str() {
        "HEAD" => Reply::new(405, ""),
        _ => Reply::new(200, "x"),
    });
    let file = quick().head(&format!("{}/a.csv", server.url())).await.unwrap().unwrap();
    assert_eq!(file.version, None);
}

#[test]
fn unsafe_and_unencrypted_settings_are_refused() {
    let store = |extra: serde_json::Value| {
        let mut project = Project::new();
        let mut document = s3_connection("http://127.0.0.1:1");
        document.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        project.connect(document);
        let lake = Name::new("lake").unwrap();
        s3::S3Store::open(&project.context, &lake, "s3://bucket/a").map(drop)
    };
    assert!(store(json!({})).is_ok());
    let locking = store(json!({"aws_s3_locking_provider": "dynamodb"})).unwrap_err();
    assert!(locking.message().contains("commits would be lost"), "{locking}");
    let plain = store(json!({"allow_http": false})).unwrap_err();
    assert_eq!(plain.message(), "the endpoint `http://127.0.0.1:1` is not encrypted");
    let other = store(json!({"bucket": "other"})).unwrap_err();
    assert!(other.message().contains("is for the bucket `other`"), "{other}");
    let half = store(json!({"secret_access_key": null})).unwrap_err();
    assert_eq!(half.message(), "`access_key_id` and `secret_access_key` go together");
    let unknown = store(json!({"acces_key_id": "x"})).unwrap_err();
    assert_eq!(unknown.hint_text(), Some("did you mean `access_key_id`?"));
}

#[tokio::test]
async fn files_go_to_s3_and_come_back() {
    let Some(moto) = Moto::start().await else { return };
    let mut project = Project::new();
    project.connect(s3_connection(&moto.url()));
    let lake = Name::new("lake").unwrap();
    let store = open(&project.context, "s3://bucket/in/a.csv", Some(&lake)).unwrap();
    assert_eq!(store.head("s3://bucket/in/a.csv").await.unwrap(), None);

    // Larger than one part, so that it goes up in several.
    let big: Vec<u8> = (0..20_000_000_u32).map(|at| (at % 251) as u8).collect();
    fs::write(project.path("big"), &big).unwrap();
    store.publish(&project.path("big"), "s3://bucket/in/big file.bin").await.unwrap();
    assert!(store.create("s3://bucket/in/a.csv", b"a;b\n").await.unwrap());

    let mut files = store.list("s3://bucket/in/").await.unwrap();
    files.sort_by(|left, right| left.path.cmp(&right.path));
    let names: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(names, ["s3://bucket/in/a.csv", "s3://bucket/in/big file.bin"]);
    assert_eq!(files[1].size, Some(20_000_000));

    let to = project.path("back");
    let version = files[1].version.as_deref();
    let download = store.download(names[1], &to, version, 1 << 30).await.unwrap();
    assert_eq!(download.version.as_deref(), version);
    assert!(fs::read(&to).unwrap() == big);
    let refused = store.download(names[1], &to, Some("other"), 1 << 30).await.unwrap_err();
    assert!(refused.is(&codes::FILE_CHANGED));
    let too_large = store.download(names[1], &to, None, 1000).await.unwrap_err();
    assert!(too_large.is(&codes::FILE_TOO_LARGE));

    // A name is given once; saying the same again is fine.
    assert!(store.create("s3://bucket/in/a.csv", b"a;b\n").await.unwrap());
    assert!(!store.create("s3://bucket/in/a.csv", b"other").await.unwrap());
    assert_eq!(store.get("s3://bucket/in/a.csv").await.unwrap().unwrap(), b"a;b\n");
    store.delete("s3://bucket/in/a.csv").await.unwrap();
    store.delete("s3://bucket/in/a.csv").await.unwrap();
    assert_eq!(store.get("s3://bucket/in/a.csv").await.unwrap(), None);
}

#[tokio::test]
async fn l_02_a_lost_answer_is_looked_up_at_the_target() {
    // A store that does what is asked, and answers with an error nonetheless: 500 after the write,
    // then 409 for a write that did not happen, then 412 for one that did.
    for status in [500, 409, 412] {
        let objects: Mutex<BTreeMap<String, Vec<u8>>> = Mutex::default();
        let server = Server::start(move |request| {
            let mut objects = objects.lock().unwrap();
            match request.method.as_str() {
                "PUT" => {
                    let is_first = request.number == 0;
                    if !(is_first && status == 409) {
                        objects.insert(request.path.clone(), request.body.clone());
                    }
                    if is_first {
                        Reply::new(status, "<Error/>")
                    } else {
                        Reply::new(200, "").header("ETag", "\"e\"")
                    }
                }
                _ => match objects.get(&request.path) {
                    Some(bytes) => Reply::new(200, bytes.clone())
                        .header("ETag", "\"e\"")
                        .header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT"),
                    None => Reply::new(404, "<Error/>"),
                },
            }
        });
        let mut project = Project::new();
        project.connect(s3_connection(&server.url()));
        let lake = Name::new("lake").unwrap();
        let store = open(&project.context, "s3://bucket/m.json", Some(&lake)).unwrap();
        assert!(store.create("s3://bucket/m.json", b"mine").await.unwrap(), "{status}");
        let there = store.get("s3://bucket/m.json").await.unwrap();
        assert_eq!(there.as_deref(), Some(b"mine".as_slice()), "{status}");
    }
}

#[tokio::test]
async fn local_files_are_created_once() {
    let project = Project::new();
    let store = open(&project.context, "out/m.json", None).unwrap();
    assert!(store.create("out/m.json", b"mine").await.unwrap());
    assert!(store.create("out/m.json", b"mine").await.unwrap());
    assert!(!store.create("out/m.json", b"other").await.unwrap());
    assert_eq!(store.list("out").await.unwrap().len(), 1);
    store.delete("out/m.json").await.unwrap();
    assert_eq!(store.list("nowhere").await.unwrap(), []);
}
