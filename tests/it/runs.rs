//! The main job: messy files to gold tables, new arrivals, rejects, resumed runs.

use crate::program::Project;
use serde_json::json;

pub(crate) const SALES: &str = r#"
affluent: 1
kind: pipeline
name: sales
nodes:
  - {id: orders, use: csv, with: {path: data/orders-*.csv}}
  - {id: bronze, use: write_table, from: orders, with: {table: bronze.orders, mode: append}}
  - id: typed
    use: cast
    from: orders
    with:
      columns:
        order_id: integer
        ordered_at: {type: timestamp, format: "%d/%m/%Y %H:%M", zone: Europe/Paris}
        amount: {type: "decimal(12,2)", decimal: ","}
  - {id: valid, use: validate, from: typed, with: {checks: [{not_null: [order_id, ordered_at]}, {range: {amount: {min: 0}}}]}}
  - {id: latest, use: deduplicate, from: valid, with: {keys: [order_id], keep: last}}
  - {id: silver, use: write_table, from: latest, with: {table: silver.orders, mode: merge, key: [order_id]}}
  - {id: days, use: sql, from: [valid], with: {query: "select distinct cast(ordered_at as date) as day from valid"}}
  - {id: daily, use: sql, from: [silver, days], with: {query: "select cast(ordered_at as date) as day, sum(amount) as revenue, count(*) as orders from silver where cast(ordered_at as date) in (select day from days) group by 1"}}
  - {id: gold, use: write_table, from: daily, with: {table: gold.sales_daily_metrics, mode: replace_partitions, partition_by: [day]}}
"#;

const FIRST: &str = "order_id;ordered_at;amount\n\
    1;01/02/2026 10:00;12,50\n2;01/02/2026 11:00;3,20\n2;01/02/2026 11:05;3,30\n\
    x;02/02/2026 10:00;1,00\n4;02/02/2026 10:00;-1,00\n5;02/02/2026 12:00\n6;03/02/2026 12:00;7,00\n";

fn shop() -> Project {
    Project::new(&[("pipelines/sales.yaml", SALES), ("data/orders-1.csv", FIRST)])
}

#[test]
fn messy_files_become_a_gold_table() {
    let shop = shop();
    shop.ok(&["run"]);
    assert_eq!(shop.value("select count(*) from bronze.orders"), 6);
    let gold = shop.query("select day, revenue, orders from gold.sales_daily_metrics order by day");
    assert_eq!(
        gold,
        [
            json!({"day": "2026-02-01", "revenue": 15.8, "orders": 2}),
            json!({"day": "2026-02-03", "revenue": 7.0, "orders": 1})
        ]
    );
    let rejects = shop.query(
        "select _node, _row, _errors[1]['column'] as column from quarantine.sales order by _row",
    );
    assert_eq!(
        rejects,
        [
            json!({"_node": "typed", "_row": 5, "column": "order_id"}),
            json!({"_node": "valid", "_row": 6, "column": "amount"}),
            json!({"_node": "orders", "_row": 7, "column": ""})
        ]
    );
}

#[test]
fn a_second_run_finds_nothing_and_a_late_order_changes_its_day_only() {
    let shop = shop();
    shop.ok(&["run"]);
    assert!(shop.ok(&["run"]).contains("nothing new"));
    shop.write("data/orders-2.csv", "order_id;ordered_at;amount\n1;01/02/2026 10:00;13,50\n");
    shop.ok(&["run"]);
    let gold = shop.query("select day, revenue from gold.sales_daily_metrics order by day");
    assert_eq!(
        gold,
        [
            json!({"day": "2026-02-01", "revenue": 16.8}),
            json!({"day": "2026-02-03", "revenue": 7.0})
        ]
    );
    assert_eq!(shop.value("select count(*) from bronze.orders"), 7);
}

#[test]
fn a_full_refresh_rebuilds_every_table_from_all_files() {
    let shop = shop();
    shop.ok(&["run"]);
    let before = shop.query("select * from gold.sales_daily_metrics order by day");
    assert_eq!(shop.run(&["run", "--full-refresh"]).code, Some(1), "it asks first");
    shop.ok(&["run", "--full-refresh", "--yes"]);
    assert_eq!(shop.query("select * from gold.sales_daily_metrics order by day"), before);
    assert_eq!(shop.value("select count(*) from bronze.orders"), 6);
    // Three sinks write to the one table of rejects.
    assert_eq!(shop.value("select count(*) from quarantine.sales"), 3);
}

#[test]
fn a_failing_check_blocks_only_the_sinks_below_it() {
    let text =
        SALES.replace("{range: {amount: {min: 0}}}", "{range: {amount: {min: 0}}, severity: fail}");
    let shop = Project::new(&[("pipelines/sales.yaml", &text), ("data/orders-1.csv", FIRST)]);
    let problem = shop.problem(&["run"]);
    assert_eq!(problem["code"], "check_failed");
    assert_eq!(problem["context"]["node"], "valid");
    assert_eq!(shop.value("select count(*) from bronze.orders"), 6);
    assert_eq!(shop.problem(&["query", "select * from silver.orders"])["code"], "table_not_found");
    // Mended, the same run goes on where it stopped.
    shop.write("pipelines/sales.yaml", SALES);
    assert!(shop.ok(&["run"]).contains("goes on"));
    assert_eq!(shop.value("select count(*) from silver.orders"), 3);
    assert_eq!(shop.value("select count(*) from bronze.orders"), 6);
}

#[test]
fn more_rejects_than_allowed_commit_nothing() {
    let shop = shop();
    let problem = shop.problem(&["run", "--fail-on-rejects", "2"]);
    assert_eq!(problem["code"], "too_many_rejects");
    assert_eq!(shop.problem(&["query", "select * from bronze.orders"])["code"], "table_not_found");
}

#[test]
fn a_sink_can_be_written_once_more_on_the_same_inputs() {
    let shop = shop();
    assert_eq!(shop.problem(&["run", "sales", "--from", "latest"])["code"], "run_refused");
    shop.ok(&["run"]);
    let before = shop.query("select * from silver.orders order by order_id");
    shop.ok(&["run", "sales", "--from", "latest"]);
    assert_eq!(shop.query("select * from silver.orders order by order_id"), before);
    shop.ok(&["run", "sales", "--only", "gold"]);
    assert_eq!(shop.value("select count(*) from bronze.orders"), 6);
    let refused = shop.problem(&["run", "sales", "--only", "bronze"]);
    assert_eq!(refused["code"], "run_refused");
    assert!(shop.ok(&["run"]).contains("nothing new"));
}

#[test]
fn a_lost_journal_is_rebuilt_from_the_tables() {
    let shop = shop();
    shop.ok(&["run"]);
    std::fs::remove_dir_all(shop.path().join(".affluent/runs")).unwrap();
    shop.ok(&["recover"]);
    assert!(shop.ok(&["run"]).contains("nothing new"));
    assert_eq!(shop.value("select count(*) from bronze.orders"), 6);
}

#[test]
fn an_overwrite_is_left_alone_when_its_own_source_has_nothing_new() {
    let two = "affluent: 1\nkind: pipeline\nname: two\nnodes:\n  \
        - {id: a, use: csv, with: {path: data/a*.csv}}\n  \
        - {id: to_a, use: write_table, from: a, with: {table: bronze.a, mode: overwrite}}\n  \
        - {id: b, use: csv, with: {path: data/b*.csv}}\n  \
        - {id: to_b, use: write_table, from: b, with: {table: bronze.b, mode: overwrite}}\n";
    let project = Project::new(&[
        ("pipelines/two.yaml", two),
        ("data/a1.csv", "n,m\n1,1\n"),
        ("data/b1.csv", "n,m\n1,1\n2,2\n"),
    ]);
    project.ok(&["run"]);
    project.write("data/a2.csv", "n,m\n7,7\n");
    project.ok(&["run"]);
    assert_eq!(project.query("select n from bronze.a"), [json!({"n": "7"})]);
    assert_eq!(project.value("select count(*) from bronze.b"), 2);
}
