//! Tests of files out: what is seen when, what is replaced, what a death leaves.

use super::*;
use crate::testing::{Moto, Project, commit_key, s3_connection};
use contracts::{Build, Sink, SinkRequest, rows};
use model::run::RunId;
use model::{Name, codes};
use serde_json::{Map, Value, json};
use std::fs;

fn build(config: Value) -> Result<Box<dyn Sink>, model::Problem> {
    let Build::Sink(build) = Entry::sink::<write_file::WriteFile>().build else { unreachable!() };
    build(&config).map_err(|(_, problem)| problem)
}

fn request(run: u64) -> SinkRequest {
    let mut key = commit_key();
    key.run = RunId::parse(&format!("01KGB68N60{run:016}")).unwrap();
    SinkRequest { key, metadata: Map::new(), overwrite: false, replaces: Vec::new() }
}

async fn run(project: &Project, config: &Value, run: u64, text: &str) -> model::run::Committed {
    let sink = build(config.clone()).unwrap();
    let input = rows::read_batches(text).unwrap();
    let prepared = sink.prepare(&project.context, request(run), input).await.unwrap();
    let committed = prepared.commit().await.unwrap();
    let found = sink.committed(&project.context, &request(run)).await.unwrap().unwrap();
    assert!(found.already && found.rows == committed.rows);
    committed
}

/// Files below `out`, without those of our own records.
fn files(project: &Project) -> Vec<String> {
    fn walk(folder: &std::path::Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else {
                found.push(path.to_string_lossy().into_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(&project.path("out"), &mut found);
    let root = format!("{}/", project.path("out").display());
    let mut names: Vec<String> =
        found.iter().map(|path| path.strip_prefix(&root).unwrap().to_owned()).collect();
    names.sort();
    names
}

fn data_files(project: &Project) -> Vec<String> {
    files(project).into_iter().filter(|name| !name.contains("_affluent")).collect()
}

fn read(project: &Project, name: &str) -> String {
    fs::read_to_string(project.path("out").join(name)).unwrap()
}

#[tokio::test]
async fn a_report_is_replaced_all_at_once() {
    let project = Project::new();
    let config = json!({"path": "out/report.csv"});
    let committed = run(&project, &config, 1, "{\"id\": 1, \"name\": \"Ada\"}").await;
    assert_eq!((committed.rows, committed.detail["files"]), (1, 1));
    assert_eq!(read(&project, "report.csv"), "id,name\n1,Ada\n");

    // Prepared and not committed, nothing is seen; dropped, nothing is left.
    let sink = build(config.clone()).unwrap();
    let input = rows::read_batches("{\"id\": 2, \"name\": null}").unwrap();
    let prepared = sink.prepare(&project.context, request(2), input).await.unwrap();
    assert_eq!(read(&project, "report.csv"), "id,name\n1,Ada\n");
    assert!(sink.committed(&project.context, &request(2)).await.unwrap().is_none());
    drop(prepared);
    assert_eq!(files(&project), ["report.csv"]);

    run(&project, &config, 2, "{\"id\": 2, \"name\": null}").await;
    assert_eq!(read(&project, "report.csv"), "id,name\n2,\n");
    assert!(!sink.appends());
}

#[tokio::test]
async fn an_empty_result_is_an_empty_file() {
    let project = Project::new();
    let types = "{\"#types\": {\"id\": \"integer\"}}";
    run(&project, &json!({"path": "out/report.csv"}), 1, types).await;
    assert_eq!(read(&project, "report.csv"), "id\n");
    run(&project, &json!({"path": "out/parts/", "format": "csv"}), 2, types).await;
    assert_eq!(data_files(&project), ["report.csv"]);
}

#[tokio::test]
async fn a_folder_gets_new_files_from_each_run() {
    let project = Project::new();
    let config = json!({"path": "out", "format": "ndjson", "partition_by": ["day"]});
    let text = "{\"day\": \"2026-01-31\", \"id\": 1}\n{\"day\": \"2026-02-01\", \"id\": 2}\n\
                {\"day\": \"2026-01-31\", \"id\": 3}";
    let committed = run(&project, &config, 1, text).await;
    assert_eq!((committed.rows, committed.detail["files"]), (3, 2));
    let names = data_files(&project);
    assert_eq!(
        names,
        [
            "day=2026-01-31/sales-export-01KGB68N600000000000000001-0-0.ndjson",
            "day=2026-02-01/sales-export-01KGB68N600000000000000001-0-1.ndjson"
        ]
    );
    assert_eq!(read(&project, &names[0]), "{\"id\":1}\n{\"id\":3}\n");

    run(&project, &config, 2, "{\"day\": \"2026-02-01\", \"id\": 4}").await;
    assert_eq!(data_files(&project).len(), 3);
    assert!(build(config).unwrap().appends());
}

#[tokio::test]
async fn a_run_that_died_while_publishing_leaves_no_trace() {
    let project = Project::new();
    let config = json!({"path": "out/", "format": "ndjson", "rows_per_file": 2});
    run(&project, &config, 1, "{\"id\": 1}").await;
    // The first attempt of run 2 published two files and died before its manifest; the second one
    // has fewer. It also left a file that was not finished.
    let stem = "sales-export-01KGB68N600000000000000002";
    project.write(&format!("out/{stem}-0-0.ndjson"), "{\"id\": 2}\n");
    project.write(&format!("out/{stem}-7-0.ndjson"), "{\"id\": 2}\n");
    project.write(&format!("out/.{stem}-0-1.ndjson.4000000000.7.tmp~"), "{\"id\"");
    project.write("out/somebody-elses.ndjson", "{}\n");
    project.write("out/.somebody-elses.ndjson.4000000000.7.tmp~", "{}\n");
    run(&project, &config, 2, "{\"id\": 2}\n{\"id\": 3}\n{\"id\": 4}").await;
    assert_eq!(
        data_files(&project),
        [
            ".somebody-elses.ndjson.4000000000.7.tmp~".to_owned(),
            "sales-export-01KGB68N600000000000000001-0-0.ndjson".to_owned(),
            format!("{stem}-0-0.ndjson"),
            format!("{stem}-0-1.ndjson"),
            "somebody-elses.ndjson".to_owned(),
        ]
    );
    assert_eq!(read(&project, &format!("{stem}-0-1.ndjson")), "{\"id\":4}\n");
}

#[tokio::test]
async fn a_commit_that_has_happened_is_not_repeated() {
    let project = Project::new();
    let config = json!({"path": "out/{run}.ndjson"});
    let sink = build(config.clone()).unwrap();
    let prepare = |text: &'static str| {
        let (sink, project) = (&sink, &project);
        async move {
            let input = rows::read_batches(text).unwrap();
            sink.prepare(&project.context, request(1), input).await.unwrap()
        }
    };
    let (first, second) = (prepare("{\"id\": 1}").await, prepare("{\"id\": 2}\n{\"id\": 3}").await);
    assert_eq!(first.commit().await.unwrap().rows, 1);
    let again = second.commit().await.unwrap();
    assert!(again.already);
    assert_eq!(again.rows, 1);
    assert_eq!(data_files(&project), ["01KGB68N600000000000000001.ndjson"]);
    assert_eq!(read(&project, "01KGB68N600000000000000001.ndjson"), "{\"id\":1}\n");
}

#[tokio::test]
async fn a_full_refresh_takes_the_place_of_all_runs() {
    let project = Project::new();
    let config = json!({"path": "out/", "format": "ndjson"});
    run(&project, &config, 1, "{\"id\": 1}").await;
    run(&project, &config, 2, "{\"id\": 2}").await;
    let sink = build(config.clone()).unwrap();
    let refresh = SinkRequest { overwrite: true, ..request(3) };
    let input = rows::read_batches("{\"id\": 1}\n{\"id\": 2}").unwrap();
    sink.prepare(&project.context, refresh, input).await.unwrap().commit().await.unwrap();
    assert_eq!(
        files(&project),
        [
            "_affluent/sales-export-01KGB68N600000000000000003.json",
            "sales-export-01KGB68N600000000000000003-0-0.ndjson"
        ]
    );
    let replacing = json!({"path": "out/", "format": "ndjson", "replace": true});
    run(&project, &replacing, 4, "{\"id\": 9}").await;
    assert_eq!(data_files(&project).len(), 1);
}

#[tokio::test]
async fn partitions_are_put_together_in_order() {
    let project = Project::new();
    let sink = build(json!({"path": "out/all.ndjson"})).unwrap();
    let batch = |first: i64| {
        let lines: Vec<String> =
            (first..first + 1000).map(|id| json!({"id": id}).to_string()).collect();
        rows::read(&lines.join("\n")).unwrap()
    };
    let streams = (0..4)
        .map(|partition| {
            let batches: Vec<_> =
                (0..10).map(|at| Ok(batch(partition * 10_000 + at * 1000))).collect();
            let stream: contracts::BatchStream = Box::pin(futures::stream::iter(batches));
            stream
        })
        .collect();
    let input = contracts::Batches::new(batch(0).schema(), streams);
    let prepared = sink.prepare(&project.context, request(1), input).await.unwrap();
    assert_eq!(prepared.commit().await.unwrap().rows, 40_000);
    let ids: Vec<i64> = read(&project, "all.ndjson")
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_i64().unwrap())
        .collect();
    assert!(ids.is_sorted() && ids.len() == 40_000);
}

#[tokio::test]
async fn a_stream_that_fails_leaves_nothing() {
    let project = Project::new();
    let sink = build(json!({"path": "out/all.ndjson"})).unwrap();
    let batch = rows::read("{\"id\": 1}").unwrap();
    let broken = model::Problem::new(&codes::FILE_CORRUPT, "broken");
    let stream = futures::stream::iter(vec![Ok(batch.clone()), Err(broken)]);
    let input = contracts::Batches::new(batch.schema(), vec![Box::pin(stream)]);
    let problem = sink.prepare(&project.context, request(1), input).await.map(drop).unwrap_err();
    assert_eq!(problem.message(), "broken");
    assert_eq!(files(&project), Vec::<String>::new());
}

#[tokio::test]
async fn files_go_to_an_object_store() {
    let Some(moto) = Moto::start().await else { return };
    let mut project = Project::new();
    project.connect(s3_connection(&moto.url()));
    let lake = Name::new("lake").unwrap();
    let store = crate::storage::open(&project.context, "s3://bucket/", Some(&lake)).unwrap();
    let config = json!({
        "path": "s3://bucket/out/", "connection": "lake", "format": "ndjson", "rows_per_file": 2
    });
    run(&project, &config, 1, "{\"id\": 1}\n{\"id\": 2}\n{\"id\": 3}").await;
    let mut names: Vec<String> =
        store.list("s3://bucket/out/").await.unwrap().into_iter().map(|file| file.path).collect();
    names.sort();
    let stem = "sales-export-01KGB68N600000000000000001";
    assert_eq!(
        names,
        [
            format!("s3://bucket/out/_affluent/{stem}.json"),
            format!("s3://bucket/out/{stem}-0-0.ndjson"),
            format!("s3://bucket/out/{stem}-0-1.ndjson"),
        ]
    );
    let text = store.get(&names[2]).await.unwrap().unwrap();
    assert_eq!(text, b"{\"id\":3}\n");

    let report = json!({"path": "s3://bucket/report.csv", "connection": "lake"});
    run(&project, &report, 1, "{\"id\": 1}").await;
    run(&project, &report, 2, "{\"id\": 2}").await;
    assert_eq!(store.get("s3://bucket/report.csv").await.unwrap().unwrap(), b"id\n2\n");
    assert_eq!(fs::read_dir(project.context.state.join("spill")).unwrap().count(), 0);
}

#[test]
fn settings_that_do_not_go_together_are_refused() {
    let problem = |config: Value| build(config).map(drop).unwrap_err().message().to_owned();
    assert_eq!(problem(json!({"path": "out/report"})), "the format of `out/report` is not known");
    assert_eq!(
        problem(json!({"path": "out/a.csv", "partition_by": "day"})),
        "`out/a.csv` looks like one file, but `partition_by` and `rows_per_file` make several"
    );
    assert_eq!(
        problem(json!({"path": "s3://bucket/a.csv"})),
        "a path that begins with `s3://` needs a `connection`"
    );
    assert_eq!(problem(json!({"path": "out/{day}.csv"})), "`{day}` is not a placeholder");
}

#[tokio::test]
async fn a_confined_project_writes_nothing_outside() {
    let mut project = Project::new();
    let outside = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(outside.path(), project.path("link")).unwrap();
    project.context.confined = true;
    for path in ["link/new/a.csv", "../a.csv", "link/"] {
        let sink = build(json!({"path": path, "format": "csv"})).unwrap();
        let input = rows::read_batches("{\"id\": 1}").unwrap();
        let problem = sink.prepare(&project.context, request(1), input).await.map(drop);
        assert!(problem.unwrap_err().is(&codes::PATH_REFUSED), "{path}");
    }
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn every_format_reads_back() {
    let text = "{\"#types\": {\"amount\": \"decimal(9,2)\", \"day\": \"date\"}}\n\
                {\"id\": 1, \"name\": \"é;\\\"x\\\"\", \"amount\": \"12.50\", \"day\": \"2026-01-31\"}\n\
                {\"id\": 2, \"name\": null, \"amount\": null, \"day\": null}";
    for (file, extra, module, options) in [
        (
            "a.csv",
            json!({"delimiter": ";", "byte_order_mark": true}),
            "csv",
            json!({"types": "infer"}),
        ),
        ("a.csv.gz", json!({"quotes": "all"}), "csv", json!({"types": "infer"})),
        ("a.ndjson.zst", json!({}), "json", json!({})),
        ("a.json", json!({}), "json", json!({})),
        ("a.parquet", json!({"zstd_level": 1}), "parquet", json!({})),
        (
            "a.xlsx",
            json!({"sheet": "Ventes"}),
            "excel",
            json!({"types": "infer", "sheet": "Ventes"}),
        ),
    ] {
        let project = Project::new();
        let path = format!("out/{file}");
        let mut config = extra;
        config["path"] = json!(path);
        let committed = run(&project, &config, 1, text).await;
        assert_eq!(committed.rows, 2, "{file}");

        let entry = ALL.iter().find(|entry| entry.name == module).unwrap();
        let Build::Source(build) = entry.build else { unreachable!() };
        let mut config = options;
        config["path"] = json!(path);
        let source = build(&config).map_err(|(_, problem)| problem).unwrap();
        let found = source.discover(&project.context, &contracts::Past::default()).await.unwrap();
        let back = project.rows(source.as_ref(), &found.inputs).await;
        let first: Value = serde_json::from_str(&back[0]).unwrap();
        assert_eq!(back.len(), 2, "{file}: {back:?}");
        assert_eq!(first["id"], 1, "{file}");
        assert_eq!(first["name"], "é;\"x\"", "{file}");
        assert_eq!(
            first["amount"].to_string().replace('"', "").parse::<f64>().unwrap(),
            12.5,
            "{file}"
        );
        assert_eq!(first["day"], "2026-01-31", "{file}");
    }
}

#[tokio::test]
async fn examples_write_what_they_show() {
    let entry = Entry::sink::<write_file::WriteFile>();
    for example in entry.examples.iter().filter(|example| !example.outputs.is_empty()) {
        let project = Project::new();
        let config: Value = serde_json::from_str(example.config).unwrap();
        let (_, text) = example.inputs[0];
        run(&project, &config, 1, text).await;
        for (file, content) in example.outputs {
            assert_eq!(fs::read_to_string(project.path(file)).unwrap(), *content, "{file}");
        }
    }
}
