//! Tests of the lake modules against a store that only remembers what it was asked.

use super::*;
use crate::testing::{Project, commit_key};
use contracts::testing::check;
use contracts::{Build, Past, Sink, SinkRequest, Source, WriteMode, rows};
use model::codes;
use serde_json::{Value, json};

fn problem(config: Value) -> String {
    let Build::Sink(build) = Entry::sink::<write_table::WriteTable>().build else { unreachable!() };
    build(&config).map(drop).unwrap_err().1.message().to_owned()
}

#[test]
fn modules_hold_to_the_rules() {
    check(ALL);
}

#[test]
fn settings_that_do_not_go_together_are_refused() {
    let merge = json!({"table": "silver.a", "mode": "merge"});
    assert_eq!(problem(merge), "the mode `merge` needs a `key`");
    let replace = json!({"table": "silver.a", "mode": "replace_partitions"});
    assert_eq!(problem(replace), "the mode `replace_partitions` needs `partition_by`");
    let append = json!({"table": "silver.a", "key": "id"});
    assert_eq!(problem(append), "`key` has no meaning in the mode `append`");
    let twice = json!({"table": "silver.a", "mode": "merge", "key": ["id", "id"]});
    assert_eq!(problem(twice), "`key` names the column `id` twice");
    let mode = json!({"table": "silver.a", "mode": "upsert"});
    assert_eq!(problem(mode), "`upsert` is not one of the choices for `mode`");
}

fn source(config: Value) -> Box<dyn Source> {
    let Build::Source(build) = Entry::source::<table::Table>().build else { unreachable!() };
    build(&config).map_err(|(_, problem)| problem).unwrap()
}

fn sink(config: Value) -> Box<dyn Sink> {
    let Build::Sink(build) = Entry::sink::<write_table::WriteTable>().build else { unreachable!() };
    build(&config).map_err(|(_, problem)| problem).unwrap()
}

#[tokio::test]
async fn a_table_is_read_at_the_version_that_was_pinned() {
    let project = Project::new();
    project.tables.put("silver.a", rows::read("{\"n\": 1}").unwrap());
    let newest = source(json!({"table": "silver.a"}));
    let first = newest.discover(&project.context, &Past::default()).await.unwrap();
    assert!(first.is_new);
    let past = Past { latest: first.inputs.clone(), ..Past::default() };
    assert!(!newest.discover(&project.context, &past).await.unwrap().is_new);

    project.tables.put("silver.a", rows::read("{\"n\": 2}").unwrap());
    let second = newest.discover(&project.context, &past).await.unwrap();
    assert!(second.is_new);
    assert_eq!(project.rows(newest.as_ref(), &first.inputs).await, ["{\"n\":1}"]);
    assert_eq!(project.rows(newest.as_ref(), &second.inputs).await, ["{\"n\":2}"]);

    let old = source(json!({"table": "silver.a", "version": 0}));
    let pinned = old.discover(&project.context, &past).await.unwrap();
    assert!(!pinned.is_new);
    assert_eq!(old.view(&pinned.inputs).unwrap().1, 0);
}

#[tokio::test]
async fn a_missing_table_names_its_neighbours() {
    let project = Project::new();
    project.tables.put("silver.orders", rows::read("{\"n\": 1}").unwrap());
    let missing = source(json!({"table": "silver.order"}));
    let problem = missing.discover(&project.context, &Past::default()).await.unwrap_err();
    assert!(problem.is(&codes::TABLE_NOT_FOUND));
    assert_eq!(problem.hint_text(), Some("did you mean `silver.orders`?"));
}

async fn mode(config: Value, overwrite: bool) -> (WriteMode, bool) {
    let project = Project::new();
    let (key, metadata) = (commit_key(), Default::default());
    let request = SinkRequest { key, metadata, overwrite, replaces: Vec::new() };
    let input = rows::read_batches("{\"id\": 1}").unwrap();
    let prepared = sink(config).prepare(&project.context, request, input).await.unwrap();
    assert_eq!(prepared.commit().await.unwrap().rows, 1);
    let writes = project.tables.writes.lock().unwrap();
    (writes[0].mode.clone(), writes[0].rebuild)
}

#[tokio::test]
async fn a_full_refresh_is_one_overwrite() {
    let append = json!({"table": "bronze.a"});
    assert_eq!(mode(append.clone(), false).await, (WriteMode::Append, false));
    assert_eq!(mode(append, true).await, (WriteMode::Overwrite, false));
    let merge = json!({"table": "bronze.a", "mode": "merge", "key": "id"});
    let by_key = WriteMode::Merge { key: vec!["id".to_owned()], delete_flag: None };
    assert_eq!(mode(merge.clone(), false).await, (by_key.clone(), false));
    // Repeated keys are looked for in a full refresh too.
    assert_eq!(mode(merge, true).await, (by_key, true));
}

#[test]
fn only_appending_would_add_rows_twice() {
    assert!(sink(json!({"table": "bronze.a"})).appends());
    assert!(!sink(json!({"table": "bronze.a", "mode": "overwrite"})).appends());
    assert!(!sink(json!({"table": "bronze.a", "mode": "merge", "key": "id"})).appends());
}
