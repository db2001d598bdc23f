//! Tests of discovery, landing and reading, with files that come, change and go.

use super::*;
use crate::testing::{self, Project, arrivals, past_of};
use contracts::{Build, Discovery, Past, Source};
use model::codes;
use model::run::Input;
use serde_json::{Value, json};
use std::fs;

fn source(config: Value) -> Box<dyn Source> {
    let Build::Source(build) = Entry::source::<json::Json>().build else { unreachable!() };
    build(&config).map_err(|(path, problem)| format!("{problem} at {path}")).unwrap()
}

async fn discover(project: &Project, config: Value, past: &Past) -> Discovery {
    source(config).discover(&project.context, past).await.unwrap()
}

fn names(discovery: &Discovery) -> Vec<String> {
    arrivals(discovery).iter().map(|arrival| arrival.path.clone()).collect()
}

#[tokio::test]
async fn examples_give_what_they_show() {
    testing::run_source_examples(ALL).await;
}

#[tokio::test]
async fn only_new_and_changed_files_are_read() {
    let project = Project::new();
    project.write("data/b.json", "{\"id\": 2}\n");
    project.write("data/a.json", "{\"id\": 1}\n");
    project.write("data/.hidden.json", "{\"id\": 0}\n");
    let config = json!({"path": "data/*.json"});
    let first = discover(&project, config.clone(), &Past::default()).await;
    assert!(first.is_new);
    assert_eq!(names(&first), ["data/a.json", "data/b.json"]);
    // printf '{"id": 1}\n' | sha256sum
    let sha256 = "82b0cf5da91b6a7e02f031e2da2fa5ed1261dce4c85ae20d63db9d1e84a4c384";
    assert_eq!(arrivals(&first)[0].sha256.as_deref(), Some(sha256));

    let past = past_of(&[&first]);
    let second = discover(&project, config.clone(), &past).await;
    assert!(!second.is_new && second.inputs.is_empty());

    project.write("data/a.json", "{\"id\": 1, \"again\": true}\n");
    project.write("data/c.json", "{\"id\": 3}\n");
    let third = discover(&project, config.clone(), &past).await;
    assert_eq!(names(&third), ["data/a.json", "data/c.json"]);

    let full = Past { full: true, ..past };
    assert_eq!(discover(&project, config, &full).await.inputs.len(), 3);
}

#[tokio::test]
async fn a_set_that_is_read_whole_is_new_when_it_differs() {
    let project = Project::new();
    project.write("data/a.json", "{\"id\": 1}\n");
    project.write("data/b.json", "{\"id\": 2}\n");
    let config = json!({"path": "data/*.json", "read": "all"});
    let first = discover(&project, config.clone(), &Past::default()).await;
    assert!(first.is_new);
    let past = past_of(&[&first]);
    let second = discover(&project, config.clone(), &past).await;
    assert_eq!((second.is_new, second.inputs.len()), (false, 2));
    fs::remove_file(project.path("data/b.json")).unwrap();
    let third = discover(&project, config, &past).await;
    assert_eq!((third.is_new, third.inputs.len()), (true, 1));
}

#[tokio::test]
async fn a_missing_file_names_its_neighbours() {
    let project = Project::new();
    project.write("data/orders.json", "{}\n");
    let problem = |config: Value| async {
        let result = source(config).discover(&project.context, &Past::default()).await;
        let problem = result.map(drop).unwrap_err();
        assert!(problem.is(&codes::FILE_NOT_FOUND));
        format!("{}; {}", problem.message(), problem.hint_text().unwrap())
    };
    assert_eq!(
        problem(json!({"path": "data/order.json"})).await,
        "there is no file `data/order.json`; did you mean `data/orders.json`?"
    );
    assert_eq!(
        problem(json!({"path": "data/sales-*.json"})).await,
        "no file matches `data/sales-*.json`; `data` has `orders.json`"
    );
    assert_eq!(
        problem(json!({"path": "dat/orders.json"})).await,
        "there is no file `dat/orders.json`; there is no folder `dat`; did you mean `data`?"
    );
    let folder = source(json!({"path": "data"})).discover(&project.context, &Past::default()).await;
    assert_eq!(
        folder.map(drop).unwrap_err().hint_text(),
        Some("write `data/*` for the files in it")
    );
}

#[tokio::test]
async fn files_that_were_read_may_go_but_not_for_a_full_refresh() {
    let project = Project::new();
    project.write("in/a.json", "{\"id\": 1}\n");
    let config = json!({"path": "in/*.json"});
    let first = discover(&project, config.clone(), &Past::default()).await;
    fs::remove_file(project.path("in/a.json")).unwrap();
    let past = past_of(&[&first]);
    let second = discover(&project, config.clone(), &past).await;
    assert!(!second.is_new);
    let full = Past { full: true, ..past };
    let refused = source(config).discover(&project.context, &full).await;
    assert!(refused.map(drop).unwrap_err().is(&codes::FILE_NOT_FOUND));
}

#[tokio::test]
async fn a_file_that_changes_under_a_run_is_a_problem() {
    let project = Project::new();
    project.write("a.json", "{\"id\": 1}\n");
    let config = json!({"path": "a.json"});
    let discovery = discover(&project, config.clone(), &Past::default()).await;
    project.write("a.json", "{\"id\": 1}\n{\"id\": 2}\n");
    let result = project.read(source(config).as_ref(), &discovery.inputs).await;
    let problem = result.map(drop).unwrap_err();
    assert!(problem.is(&codes::FILE_CHANGED), "{problem}");
}

#[tokio::test]
async fn a_file_that_grows_while_it_is_read_is_a_problem() {
    let project = Project::new();
    project.write("a.json", &"{\"id\": 1}\n".repeat(1000));
    let config = json!({"path": "a.json"});
    let source = source(config.clone());
    let discovery = discover(&project, config, &Past::default()).await;
    let batches = source.read(&project.context, project.request(&discovery.inputs)).await.unwrap();
    project.append("a.json", "{\"id\": 2}\n");
    let problem = batches.collect().await.map(drop).unwrap_err();
    assert!(problem.is(&codes::FILE_CHANGED), "{problem}");
}

#[tokio::test]
async fn a_landed_file_may_change_and_go() {
    let project = Project::new();
    project.write("in/a.json", "{\"id\": 1}\n");
    let config = json!({"path": "in/*.json", "land": "copy"});
    let first = discover(&project, config.clone(), &Past::default()).await;
    let landed = arrivals(&first)[0].landed.clone().unwrap();
    assert!(project.context.landing.join(&landed).is_file());
    // Found again without a second copy; what a dead process left is cleared away.
    let rubbish = project.context.landing.join("incoming/.a.json.4000000000.1.tmp~");
    fs::write(&rubbish, "{").unwrap();
    let again = discover(&project, config.clone(), &Past::default()).await;
    assert_eq!(arrivals(&again), arrivals(&first));

    project.write("in/a.json", "{\"id\": 1}\n{\"id\": 2}\n");
    let past = past_of(&[&first]);
    let second = discover(&project, config.clone(), &past).await;
    assert!(!rubbish.exists());
    fs::remove_file(project.path("in/a.json")).unwrap();
    let source = source(config.clone());
    let rows = |discovery: Discovery| {
        let (project, source) = (&project, &source);
        async move { project.rows(source.as_ref(), &discovery.inputs).await.len() }
    };
    assert_eq!((rows(first.clone()).await, rows(second.clone()).await), (1, 2));

    // A full refresh reads both versions from their copies, the older one first.
    project.write("in/b.json", "{\"id\": 3}\n");
    let full = Past { full: true, ..past_of(&[&first, &second]) };
    let all = discover(&project, config, &full).await;
    assert_eq!(names(&all), ["in/a.json", "in/a.json", "in/b.json"]);
    assert!(arrivals(&all)[0].size < arrivals(&all)[1].size);
    assert_eq!(all.remarks, Vec::<String>::new());
    assert_eq!(rows(all).await, 4);
}

#[tokio::test]
async fn a_full_refresh_says_what_is_gone() {
    let project = Project::new();
    project.write("in/a.json", "{\"id\": 1}\n");
    project.write("in/b.json", "{\"id\": 1}\n");
    let config = json!({"path": "in/*.json"});
    let first = discover(&project, config.clone(), &Past::default()).await;
    fs::remove_file(project.path("in/a.json")).unwrap();
    let full = Past { full: true, ..past_of(&[&first]) };
    let all = discover(&project, config, &full).await;
    assert_eq!(all.remarks, ["`in/a.json` was read before and is gone"]);
}

#[tokio::test]
async fn without_new_files_the_columns_are_still_known() {
    let project = Project::new();
    project.write("a.json", "{\"id\": 1}\n");
    let source = source(json!({"path": "a.json"}));
    let batches = source.read(&project.context, project.request(&[])).await.unwrap();
    let names: Vec<&str> = batches.schema.fields().iter().map(|f| f.name().as_str()).collect();
    assert_eq!(names, ["id", "_file", "_row"]);
    assert_eq!(contracts::rows::count(&batches.collect().await.unwrap()), 0);
}

#[tokio::test]
async fn a_lost_copy_is_a_problem() {
    let project = Project::new();
    project.write("a.json", "{\"id\": 1}\n");
    let config = json!({"path": "a.json", "land": "copy"});
    let discovery = discover(&project, config.clone(), &Past::default()).await;
    fs::remove_dir_all(&project.context.landing).unwrap();
    let problem = project.read(source(config).as_ref(), &discovery.inputs).await.map(drop);
    assert_eq!(problem.unwrap_err().message(), "the landed copy of `a.json` is gone");
}

#[tokio::test]
async fn a_confined_project_reads_nothing_outside() {
    let mut project = Project::new();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret.json"), "{\"id\": 1}\n").unwrap();
    std::os::unix::fs::symlink(outside.path(), project.path("link")).unwrap();
    project.context.confined = true;
    let absolute = outside.path().join("secret.json").to_string_lossy().into_owned();
    for path in ["link/secret.json", "link/*.json", "../x.json", absolute.as_str()] {
        let result =
            source(json!({"path": path})).discover(&project.context, &Past::default()).await;
        let problem = result.map(drop).unwrap_err();
        assert!(problem.is(&codes::PATH_REFUSED), "{path}: {problem}");
    }
}

#[tokio::test]
async fn a_name_with_brackets_is_a_file_before_it_is_a_pattern() {
    let project = Project::new();
    project.write("data/[1].json", "{\"id\": 1}\n");
    project.write("data/1.json", "{\"id\": 1}\n");
    let first = discover(&project, json!({"path": "data/[1].json"}), &Past::default()).await;
    assert_eq!(names(&first), ["data/[1].json"]);
    let config = json!({"path": ["data/*.json", "data/1.json"]});
    let both = discover(&project, config, &Past::default()).await;
    assert_eq!(names(&both), ["data/1.json", "data/[1].json"]);
}

#[tokio::test]
async fn inputs_survive_the_run_record() {
    let project = Project::new();
    project.write("a.json", "{\"id\": 1}\n");
    let discovery = discover(&project, json!({"path": "a.json"}), &Past::default()).await;
    let text = serde_json::to_string(&discovery.inputs).unwrap();
    let back: Vec<Input> = serde_json::from_str(&text).unwrap();
    assert_eq!(back, discovery.inputs);
}

#[test]
fn endings_tell_the_source() {
    assert_eq!(source_for("data/orders-*.CSV"), Some("csv"));
    assert_eq!(source_for("https://example.org/a.csv.gz?x=1.json"), Some("csv"));
    assert_eq!(source_for("a.b/x.geojson"), Some("json"));
    assert_eq!(source_for("archive.zip"), None);
    assert_eq!(source_for("README"), None);
}

#[tokio::test]
async fn real_files_are_read() {
    let usual = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let data = std::env::var("AFFLUENT_DATA").unwrap_or_else(|_| usual.to_owned());
    if !std::path::Path::new(&data).join("open").is_dir() {
        testkit::skip("the real data");
        return;
    }
    // Rows as counted with Python's csv, json and zipfile.
    for (module, path, rows) in [
        ("csv", "open/laposte/datanova-2025-06-19.csv", 39_201),
        ("csv", "open/laposte/hexasmal-2020-semicolon.csv", 39_192),
        ("csv", "open/sirene/sample_etablissements.csv.gz", 3),
        ("csv", "open/sirene/sample_unites_legales.csv.zip", 3),
        ("json", "open/osm/nantes_reuse_actors_2020-04-03.geojson", 355),
        ("excel", "open/insee/epcicom.xlsx", 34_931),
    ] {
        let entry = ALL.iter().find(|entry| entry.name == module).unwrap();
        assert_eq!(
            source_for(path),
            if path.ends_with(".zip") { Some("csv") } else { Some(module) }
        );
        let Build::Source(build) = entry.build else { unreachable!() };
        let config = json!({"path": format!("{data}/{path}")});
        let source = build(&config).map_err(|(_, problem)| problem).unwrap();
        let project = Project::new();
        let found = source.discover(&project.context, &Past::default()).await.unwrap();
        let batches = project.read(source.as_ref(), &found.inputs).await.unwrap();
        assert_eq!(contracts::rows::count(&batches), rows, "{path}");
        assert!(project.rejects.0.lock().unwrap().is_empty(), "{path}");
    }
}
