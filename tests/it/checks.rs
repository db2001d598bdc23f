//! `check`: what is wrong in documents is seen before anything runs.

use crate::program::Project;
use serde_json::Value;

const FIRST: &str = "affluent: 1\nkind: pipeline\nname: first\nnodes:\n  \
    - {id: orders, use: csv, with: {path: data/*.csv}}\n  \
    - {id: typed, use: cast, from: orders, with: {columns: {order_id: integer, gone: boolean}}}\n  \
    - {id: silver, use: write_table, from: typed, with: {table: silver.orders, SINK}}\n";

fn first(sink: &str) -> Project {
    let project = Project::new(&[("data/a.csv", "order_id,day,amount,gone\n1,2026-01-31,3,no\n")]);
    project.write("pipelines/first.yaml", FIRST.replace("SINK", sink));
    project
}

/// The problem that `check` has with a sink.
fn problem(sink: &str) -> Value {
    let problem = first(sink).problem(&["check"]);
    assert_eq!(problem["context"]["node"], "silver", "{problem}");
    assert_eq!(problem["context"]["line"], 7, "{problem}");
    problem
}

#[test]
fn misspelt_columns_of_a_sink_are_seen_before_a_run() {
    first("mode: merge, key: [order_id], delete_flag: gone").ok(&["check"]);
    first("mode: scd2, key: order_id, cluster_by: valid_from").ok(&["check"]);
    first("partition_by: [day], constraints: {known: \"order_id > 0 and length(day) = 10\"}")
        .ok(&["check"]);
    for sink in [
        "mode: merge, key: [orderid]",
        "mode: scd2, key: orderid",
        "mode: scd2, key: day, compare: [orderid]",
        "partition_by: [orderid]",
        "cluster_by: [day, orderid]",
        "constraints: {known: \"orderid > 0\"}",
    ] {
        let problem = problem(sink);
        assert_eq!(problem["code"], "column_unknown", "{sink}: {problem}");
        assert_eq!(problem["hint"], "did you mean `order_id`?", "{sink}");
    }
    let flag = problem("mode: merge, key: [order_id], delete_flag: amount");
    assert_eq!(flag["code"], "type_mismatch", "{flag}");
}

#[test]
fn columns_of_other_sinks_are_seen_too() {
    for sink in [
        "{id: out, use: write_file, from: typed, with: {path: out/, format: csv, partition_by: dya}}",
        "{id: out, use: write_sqlite, from: typed, with: {path: o.db, table: t, mode: upsert, key: dya}}",
        "{id: out, use: write_http, from: typed, with: {url: \"http://localhost/{dya}\", send: row}}",
    ] {
        let project = first("mode: append");
        let text = FIRST.replace("SINK", "mode: append");
        project.write("pipelines/first.yaml", format!("{text}  - {sink}\n"));
        let problem = project.problem(&["check"]);
        assert_eq!(problem["code"], "column_unknown", "{sink}: {problem}");
        assert_eq!(problem["hint"], "did you mean `day`?", "{sink}");
    }
}

/// A project of which nothing has run, whose second pipeline reads what the first will write.
fn two(query: &str) -> Project {
    let project = first("mode: scd2, key: [order_id]");
    let second = format!(
        "affluent: 1\nkind: pipeline\nname: a_second\nnodes:\n  \
         - {{id: daily, use: sql, with: {{query: \"{query}\"}}}}\n  \
         - {{id: gold, use: write_table, from: daily, with: {{table: gold.daily, mode: merge, \
           key: [day]}}}}\n"
    );
    project.write("pipelines/a_second.yaml", second);
    project
}

#[test]
fn tables_that_other_pipelines_will_write_are_known_before_the_first_run() {
    let query = "select day, count(*) as orders from silver.orders where is_current group by day";
    two(query).ok(&["check"]);
    let misspelt = two(&query.replace("group by day", "group by dya")).problem(&["check"]);
    assert_eq!(misspelt["code"], "column_unknown", "{misspelt}");
    assert_eq!(misspelt["context"]["node"], "daily", "{misspelt}");
    let key = two(&query.replace("select day,", "select day as d,")).problem(&["check"]);
    assert_eq!(key["code"], "column_unknown", "{key}");
    assert_eq!(key["context"]["node"], "gold", "{key}");
    let table = two(&query.replace("silver.orders", "silver.order")).problem(&["check"]);
    assert_eq!(table["code"], "table_not_found", "{table}");
    assert_eq!(table["hint"], "did you mean `silver.orders`?", "{table}");
}

#[test]
fn a_table_that_is_there_gets_the_columns_that_its_pipeline_will_add() {
    let query = "select day, count(*) as orders from silver.orders group by day";
    let project = two(query);
    project.ok(&["run"]);
    let path = project.path().join("pipelines/a_second.yaml");
    let second = std::fs::read_to_string(&path).unwrap();
    project.write(
        "pipelines/a_second.yaml",
        second.replace("group by day", "where fresh > 0 group by day"),
    );
    assert_eq!(project.problem(&["check"])["code"], "column_unknown");
    // The same, with a column more in the pipeline above.
    let text = FIRST.replace("SINK", "mode: scd2, key: [order_id]").replace(
        "  - {id: silver, use: write_table, from: typed",
        "  - {id: more, use: derive, from: typed, with: {columns: {fresh: order_id + 1}}}\n  \
         - {id: silver, use: write_table, from: more",
    );
    project.write("pipelines/first.yaml", text);
    project.ok(&["check"]);
}

#[test]
fn a_source_of_a_table_and_rejects_of_another_pipeline_are_known() {
    let project = first("mode: append");
    let second = "affluent: 1\nkind: pipeline\nname: a_second\nnodes:\n  \
        - {id: old, use: table, with: {table: silver.orders}}\n  \
        - {id: why, use: table, with: {table: quarantine.first}}\n  \
        - {id: few, use: select, from: old, with: {columns: [order_id, DAY]}}\n  \
        - {id: some, use: select, from: why, with: {columns: [_node, _record]}}\n  \
        - {id: to_few, use: write_file, from: few, with: {path: few.csv}}\n  \
        - {id: to_some, use: write_file, from: some, with: {path: some.csv}}\n";
    project.write("pipelines/a_second.yaml", second.replace("DAY", "day"));
    project.ok(&["check"]);
    project.write("pipelines/a_second.yaml", second.replace("DAY", "dya"));
    assert_eq!(project.problem(&["check"])["hint"], "did you mean `day`?");
}
