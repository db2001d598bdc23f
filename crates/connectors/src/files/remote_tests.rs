//! Tests of sources whose files are not on this machine.

use super::*;
use crate::testing::{Moto, Project, arrivals, past_of, s3_connection};
use contracts::{Build, Past, Source, rows};
use model::{Name, codes};
use serde_json::{Value, json};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use testkit::http::{Reply, Server};

fn source(config: Value) -> Box<dyn Source> {
    let Build::Source(build) = Entry::source::<json::Json>().build else { unreachable!() };
    build(&config).map_err(|(path, problem)| format!("{problem} at {path}")).unwrap()
}

/// Files anywhere below a folder.
fn count_files(folder: &std::path::Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.map(|path| if path.is_dir() { count_files(&path) } else { 1 }).sum()
}

#[tokio::test]
async fn a_url_is_landed_once_per_version() {
    let version = Arc::new(AtomicUsize::new(1));
    let now = Arc::clone(&version);
    let server = Server::start(move |request| {
        let version = now.load(Ordering::SeqCst);
        let body = "{\"id\": 1}\n".repeat(version);
        assert!(request.path == "/data.json", "{}", request.path);
        Reply::new(200, body).header("ETag", format!("\"v{version}\""))
    });
    let gets = || server.requests().iter().filter(|request| request.method == "GET").count();
    let project = Project::new();
    let url = format!("{}/data.json", server.url());
    let source = source(json!({"path": url}));

    let first = source.discover(&project.context, &Past::default()).await.unwrap();
    assert_eq!(project.rows(source.as_ref(), &first.inputs).await.len(), 1);
    assert_eq!(arrivals(&first)[0].version, "v1");
    // A run that died before its record was written finds the copy again.
    let again = source.discover(&project.context, &Past::default()).await.unwrap();
    assert_eq!(arrivals(&again), arrivals(&first));
    assert_eq!(gets(), 1);
    // A later run has nothing to do.
    let past = past_of(&[&first]);
    assert!(!source.discover(&project.context, &past).await.unwrap().is_new);
    assert_eq!(gets(), 1);

    version.store(2, Ordering::SeqCst);
    let second = source.discover(&project.context, &past).await.unwrap();
    assert!(second.is_new);
    assert_eq!(gets(), 2);
    // Resumed, the first run still reads what it was planned with.
    assert_eq!(project.rows(source.as_ref(), &first.inputs).await.len(), 1);
    assert_eq!(project.rows(source.as_ref(), &second.inputs).await.len(), 2);
}

#[tokio::test]
async fn a_url_without_etag_is_known_by_its_content() {
    let server = Server::start(|request| match request.method.as_str() {
        "HEAD" => Reply::new(405, ""),
        _ => Reply::new(200, "[{\"id\": 1}]"),
    });
    let project = Project::new();
    let source = source(json!({"path": format!("{}/export?type=json", server.url())}));
    let first = source.discover(&project.context, &Past::default()).await.unwrap();
    assert!(arrivals(&first)[0].version.starts_with("sha256:"));
    let again = source.discover(&project.context, &past_of(&[&first])).await.unwrap();
    assert!(!again.is_new);
    // Two downloads, one copy and one note.
    assert_eq!(count_files(&project.context.landing), 2);
}

#[tokio::test]
async fn a_missing_url_and_a_url_that_cannot_be_pinned_are_problems() {
    let server = Server::start(|request| match request.path.as_str() {
        "/missing.json" => Reply::new(404, ""),
        _ => Reply::new(200, "{}"),
    });
    let project = Project::new();
    let missing = source(json!({"path": format!("{}/missing.json", server.url())}));
    let problem = missing.discover(&project.context, &Past::default()).await.unwrap_err();
    assert!(problem.is(&codes::FILE_NOT_FOUND), "{problem}");
    let config = json!({"path": format!("{}/a.json", server.url()), "land": "reference"});
    let problem = source(config).discover(&project.context, &Past::default()).await.unwrap_err();
    assert_eq!(problem.hint_text(), Some("write `land: copy`"));
}

#[tokio::test]
async fn an_object_store_is_read_by_pattern() {
    let Some(moto) = Moto::start().await else { return };
    let mut project = Project::new();
    project.connect(s3_connection(&moto.url()));
    let lake = Name::new("lake").unwrap();
    let store = crate::storage::open(&project.context, "s3://bucket/x", Some(&lake)).unwrap();
    for (name, text) in
        [("in/a.json", "{\"id\": 1}"), ("in/b.json", "{\"id\": 2}"), ("in/old/c.json", "{}")]
    {
        assert!(store.create(&format!("s3://bucket/{name}"), text.as_bytes()).await.unwrap());
    }
    let config = json!({"path": "s3://bucket/in/*.json", "connection": "lake"});
    let copied = source(config);
    let first = copied.discover(&project.context, &Past::default()).await.unwrap();
    let names: Vec<String> = arrivals(&first).into_iter().map(|arrival| arrival.path).collect();
    assert_eq!(names, ["s3://bucket/in/a.json", "s3://bucket/in/b.json"]);
    assert_eq!(
        project.rows(copied.as_ref(), &first.inputs).await,
        [
            "{\"id\":1,\"_file\":\"s3://bucket/in/a.json\",\"_row\":1}",
            "{\"id\":2,\"_file\":\"s3://bucket/in/b.json\",\"_row\":1}"
        ]
    );
    assert!(!copied.discover(&project.context, &past_of(&[&first])).await.unwrap().is_new);

    let missing = source(json!({"path": "s3://bucket/in/aa.json", "connection": "lake"}));
    let problem = missing.discover(&project.context, &Past::default()).await.unwrap_err();
    assert_eq!(problem.hint_text(), Some("did you mean `s3://bucket/in/a.json`?"));

    // Read in place: fetched for the read only, and only as it was pinned.
    let config =
        json!({"path": "s3://bucket/in/a.json", "connection": "lake", "land": "reference"});
    let in_place = source(config);
    let pinned = in_place.discover(&project.context, &Past::default()).await.unwrap();
    let batches = project.read(in_place.as_ref(), &pinned.inputs).await.unwrap();
    assert_eq!(rows::count(&batches), 1);
    assert_eq!(count_files(&project.context.state.join("spill")), 0);
    fs::write(project.path("new"), "{\"id\": 9}").unwrap();
    store.publish(&project.path("new"), "s3://bucket/in/a.json").await.unwrap();
    let problem = project.read(in_place.as_ref(), &pinned.inputs).await.unwrap_err();
    assert!(problem.is(&codes::FILE_CHANGED), "{problem}");
}

#[test]
fn connections_belong_to_s3_paths() {
    let problem = |config: Value| {
        let Build::Source(build) = Entry::source::<json::Json>().build else { unreachable!() };
        build(&config).map(drop).unwrap_err().1.message().to_owned()
    };
    assert_eq!(
        problem(json!({"path": "s3://bucket/a.json"})),
        "a path that begins with `s3://` needs a `connection`"
    );
    assert_eq!(
        problem(json!({"path": "a.json", "connection": "lake"})),
        "`connection` has no meaning for these paths"
    );
    assert_eq!(problem(json!({"path": "ftp://a/b"})), "paths cannot begin with `ftp://`");
    assert_eq!(problem(json!({"path": []})), "`path` names no file");
}
