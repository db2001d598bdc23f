//! Runs that are written once more, given up or rebuilt: no row is there twice, none is lost.

use crate::program::Project;
use serde_json::{Value, json};

const SHOP: &str = r#"
affluent: 1
kind: pipeline
name: shop
nodes:
  - {id: orders, use: csv, with: {path: data/*.csv}}
  - {id: typed, use: cast, from: orders, with: {columns: {id: integer, amount: integer}}}
  - {id: valid, use: validate, from: typed, with: {checks: [{range: {amount: {min: 0}}}]}}
  - {id: priced, use: derive, from: valid, with: {columns: {price: amount * 1}}}
  - {id: bronze, use: write_table, from: priced, with: {table: bronze.orders, partition_by: [day]}}
  - {id: totals, use: sql, from: [bronze], with: {query: "select id, sum(price) as price from bronze group by id"}}
  - {id: gold, use: write_table, from: totals, with: {table: gold.totals, mode: overwrite}}
"#;

const FIRST: &str = "id,amount,day\n1,10,a b\n2,20,c\n2,-5,c\nx,1,c\n";
const SECOND: &str = "id,amount,day\n1,30,a b\n3,40,d=1\n4,-1,d=1\n";

/// Two runs, the second on a file of its own.
fn shop() -> Project {
    let shop = Project::new(&[("pipelines/shop.yaml", SHOP), ("data/a.csv", FIRST)]);
    shop.ok(&["run"]);
    shop.write("data/b.csv", SECOND);
    shop.ok(&["run"]);
    shop
}

/// The same, with prices that are computed otherwise, and rows that were accepted rejected.
fn mend(shop: &Project) {
    let text = SHOP.replace("amount * 1", "amount * 2").replace("min: 0", "min: 35");
    shop.write("pipelines/shop.yaml", text);
}

const REPLACE: &[&str] = &["run", "shop", "--from", "valid", "--replace-run"];

fn rows(shop: &Project) -> Vec<Vec<Value>> {
    let ask = |sql: &str| shop.query(sql);
    vec![
        ask("select id, amount, price, day from bronze.orders order by id, amount"),
        ask("select id, price from gold.totals order by id"),
        ask("select _file, _row, _node from quarantine.shop order by _file, _row, _node"),
    ]
}

fn replaced() -> Vec<Vec<Value>> {
    vec![
        vec![
            json!({"id": 1, "amount": 10, "price": 10, "day": "a b"}),
            json!({"id": 2, "amount": 20, "price": 20, "day": "c"}),
            json!({"id": 3, "amount": 40, "price": 80, "day": "d=1"}),
        ],
        vec![
            json!({"id": 1, "price": 10}),
            json!({"id": 2, "price": 20}),
            json!({"id": 3, "price": 80}),
        ],
        vec![
            json!({"_file": "data/a.csv", "_row": 4, "_node": "valid"}),
            json!({"_file": "data/a.csv", "_row": 5, "_node": "typed"}),
            json!({"_file": "data/b.csv", "_row": 2, "_node": "valid"}),
            json!({"_file": "data/b.csv", "_row": 4, "_node": "valid"}),
        ],
    ]
}

#[test]
fn what_a_run_has_appended_is_replaced_in_one_commit() {
    let shop = shop();
    mend(&shop);
    let refused = shop.problem(&["run", "shop", "--from", "valid"]);
    assert_eq!(refused["code"], "run_refused");
    assert!(refused["hint"].as_str().unwrap().contains("--replace-run"), "{refused}");
    assert_eq!(shop.problem(&["run", "shop", "--replace-run"])["code"], "command_invalid");
    shop.ok(REPLACE);
    assert_eq!(rows(&shop), replaced());
    let history = shop.ok(&["--json", "tables", "bronze.orders", "--history"]);
    assert_eq!(history.lines().count(), 3, "two runs and one commit that replaces: {history}");
    // Once more: the rows of the latest repeat are replaced, not those that are gone already.
    shop.ok(REPLACE);
    assert_eq!(rows(&shop), replaced());
    // Alone, a sink is read by nothing else.
    shop.ok(&["run", "shop", "--only", "gold"]);
    assert_eq!(rows(&shop), replaced());
    assert!(shop.ok(&["run"]).contains("nothing new"));
}

#[test]
fn files_that_were_put_together_since_are_not_replaced() {
    let shop = shop();
    shop.write("data/c.csv", "id,amount,day\n7,70,c\n");
    shop.ok(&["run"]);
    shop.ok(&["maintain", "bronze.orders", "--optimize"]);
    let before = rows(&shop);
    let problem = shop.problem(REPLACE);
    assert_eq!(problem["code"], "run_refused", "{problem}");
    assert_eq!(problem["context"]["node"], "bronze");
    assert!(problem["hint"].as_str().unwrap().contains("--full-refresh"), "{problem}");
    assert_eq!(rows(&shop), before);
    // Nothing was begun that would have to be given up.
    assert!(shop.ok(&["run"]).contains("nothing new"));
}

#[test]
fn a_database_table_cannot_tell_the_rows_of_a_run() {
    let text = "affluent: 1\nkind: pipeline\nname: out\nnodes:\n  \
        - {id: a, use: csv, with: {path: data/*.csv}}\n  \
        - {id: db, use: write_sqlite, from: a, with: {path: out.db, table: a}}\n";
    let out = Project::new(&[("pipelines/out.yaml", text), ("data/a.csv", FIRST)]);
    out.ok(&["run"]);
    let problem = out.problem(&["run", "out", "--only", "db", "--replace-run"]);
    assert_eq!(problem["code"], "run_refused");
    assert!(problem["hint"].as_str().unwrap().contains("`key`"), "{problem}");
    assert!(out.ok(&["run"]).contains("nothing new"));
}

/// Dies before every durable step of a run that replaces; the next command ends it.
#[test]
fn r_01_a_death_while_a_run_is_replaced_changes_nothing() {
    let mut deaths = 0;
    for at in 1.. {
        let shop = shop();
        mend(&shop);
        let before = rows(&shop);
        let died = shop.run(&[&["--die-at", &at.to_string()], REPLACE].concat());
        if died.code == Some(0) {
            break;
        }
        assert_eq!(died.code, None, "step {at}: {}\n{}", died.out, died.err);
        deaths += 1;
        let resumed = shop.ok(&["run"]).contains("goes on");
        let expected = if resumed { replaced() } else { before };
        assert_eq!(rows(&shop), expected, "died before step {at}");
        shop.ok(REPLACE);
        assert_eq!(rows(&shop), replaced(), "died before step {at}, replaced again");
    }
    println!("crash harness: {deaths} deaths while replacing, 0 violations");
    assert!(deaths >= 10, "only {deaths} durable steps were found");
}

/// A run that has written bronze and cannot go on, because a file it was to read has changed.
fn stuck() -> (Project, Value) {
    let shop = Project::new(&[("pipelines/shop.yaml", SHOP), ("data/a.csv", FIRST)]);
    shop.ok(&["run"]);
    shop.write("data/b.csv", SECOND);
    shop.write("data/c.csv", "id,amount,day\n9,90,c\n");
    for at in 1.. {
        let before = shop.value("select count(*) from bronze.orders");
        assert_eq!(shop.run(&["--die-at", &at.to_string(), "run"]).code, None);
        if shop.value("select count(*) from bronze.orders") != before {
            break;
        }
    }
    shop.write("data/c.csv", "id,amount,day\n9,91,c\n10,100,c\n");
    // What is left reads the table that is written already; the source only stands in for rejects.
    let problem = shop.problem(&["run", "shop"]);
    (shop, problem)
}

#[test]
fn a_run_that_cannot_go_on_is_given_up_and_nothing_is_doubled() {
    let (shop, problem) = stuck();
    assert_eq!(problem["code"], "file_changed", "{problem}");
    let hint = problem["hint"].as_str().unwrap();
    let run = hint.split("--abandon ").nth(1).and_then(|rest| rest.split('`').next()).unwrap();
    assert_eq!(shop.problem(&["recover", "--abandon", run])["code"], "run_refused", "it asks");
    let told = shop.ok(&["recover", "--abandon", run, "--yes"]);
    assert!(told.contains("bronze has written"), "{told}");
    assert!(told.contains("takes these rows out again"), "{told}");
    assert!(shop.ok(&["runs"]).contains("given up"));
    shop.ok(&["run"]);
    let bronze = shop.query("select id, amount from bronze.orders order by id, amount");
    let row = |id: i64, amount: i64| json!({"id": id, "amount": amount});
    let expected = [row(1, 10), row(1, 30), row(2, 20), row(3, 40), row(9, 91), row(10, 100)];
    assert_eq!(bronze, expected);
    let rejects = shop.value("select count(*) from quarantine.shop");
    assert_eq!(rejects, 3, "those of b.csv are there once");
    assert!(shop.ok(&["run"]).contains("nothing new"));
    assert_eq!(shop.problem(&["recover", "--abandon", run, "--yes"])["code"], "run_refused");
}

#[test]
fn a_commit_that_the_journal_does_not_know_is_found_before_a_run_is_planned_anew() {
    let shop = Project::new(&[("pipelines/shop.yaml", SHOP), ("data/a.csv", FIRST)]);
    for at in 1.. {
        assert_eq!(shop.run(&["--die-at", &at.to_string(), "run"]).code, None);
        if shop.run(&["query", "select * from bronze.orders"]).code == Some(0) {
            break;
        }
    }
    // The documents change while the run is unfinished.
    mend(&shop);
    shop.ok(&["run"]);
    assert_eq!(shop.value("select count(*) from bronze.orders"), 2);
}

#[test]
fn a_summary_tells_why_rows_were_rejected() {
    let shop = Project::new(&[("pipelines/shop.yaml", SHOP), ("data/a.csv", FIRST)]);
    let told = shop.ok(&["run"]);
    assert!(told.contains("2 rows were rejected"), "{told}");
    let line = |node: &str| {
        let found =
            told.lines().find(|line| line.trim().starts_with(node) && line.contains("  1  "));
        found.unwrap_or_else(|| panic!("no reason of `{node}`: {told}")).to_owned()
    };
    assert!(line("typed").contains("id  "), "{told}");
    assert!(line("valid").contains("amount  "), "{told}");
    let logs = shop.ok(&["--json", "logs"]);
    let ended = logs.lines().last().unwrap();
    let ended: Value = serde_json::from_str(ended).unwrap();
    let reasons = &ended["nodes"]["typed"]["reasons"];
    assert_eq!(reasons[0]["column"], "id", "{ended}");
    assert_eq!(reasons[0]["count"], 1, "{ended}");
}

const MERGE: &str = "affluent: 1\nkind: pipeline\nname: keep\nnodes:\n  \
    - {id: a, use: csv, with: {path: data/*.csv}}\n  \
    - {id: t, use: write_table, from: a, with: {table: silver.t, mode: merge, key: id}}\n";

#[test]
fn a_full_refresh_of_a_merge_refuses_repeated_keys() {
    let keep = Project::new(&[("pipelines/keep.yaml", MERGE), ("data/a.csv", "id,n\n1,a\n2,b\n")]);
    keep.ok(&["run"]);
    keep.ok(&["run", "--full-refresh", "--yes"]);
    keep.write("data/b.csv", "id,n\n2,B\n3,c\n");
    keep.ok(&["run"]);
    let before = keep.query("select id, n from silver.t order by id");
    assert_eq!(before.len(), 3);
    let problem = keep.problem(&["run", "--full-refresh", "--yes"]);
    assert_eq!(problem["code"], "merge_key_repeated", "{problem}");
    assert!(problem["message"].as_str().unwrap().contains("`2` (2 times)"), "{problem}");
    assert_eq!(keep.query("select id, n from silver.t order by id"), before);
    let mended = MERGE.replace(
        "  - {id: t, use: write_table, from: a",
        "  - {id: last, use: deduplicate, from: a, with: {keys: [id], keep: last}}\n  \
         - {id: t, use: write_table, from: last",
    );
    keep.write("pipelines/keep.yaml", mended);
    keep.ok(&["run", "--full-refresh", "--yes"]);
    assert_eq!(keep.query("select id, n from silver.t order by id"), before);
}

const HISTORY: &str = "affluent: 1\nkind: pipeline\nname: people\nnodes:\n  \
    - {id: a, use: csv, with: {path: data/*.csv}}\n  \
    - {id: last, use: deduplicate, from: a, with: {keys: [id], keep: last}}\n  \
    - {id: h, use: write_table, from: last, with: {table: silver.people, mode: scd2, key: id}}\n  \
    - {id: now, use: sql, from: [h], with: {query: \"select id, name from h where is_current\"}}\n  \
    - {id: gold, use: write_table, from: now, with: {table: gold.people, mode: overwrite}}\n";

fn people() -> Project {
    let people =
        Project::new(&[("pipelines/people.yaml", HISTORY), ("data/a.csv", "id,name\n1,a\n2,b\n")]);
    people.ok(&["run"]);
    people.write("data/b.csv", "id,name\n1,A\n3,c\n3,cc\n");
    people.ok(&["run"]);
    people.write("data/c.csv", "id,name\n1,A\n2,B\n");
    people.ok(&["run"]);
    people
}

fn history(people: &Project) -> Vec<Value> {
    people.query(
        "select id, name, valid_from, valid_to, is_current from silver.people \
         order by id, valid_from",
    )
}

#[test]
fn a_full_refresh_rebuilds_a_history_run_after_run() {
    let people = people();
    let before = history(&people);
    let names: Vec<&Value> = before.iter().map(|row| &row["name"]).collect();
    assert_eq!(names, ["a", "A", "b", "B", "cc"]);
    people.ok(&["run", "--full-refresh", "--yes"]);
    assert_eq!(history(&people), before);
    assert_eq!(people.value("select count(*) from gold.people"), 3);
    assert!(people.ok(&["run"]).contains("nothing new"));
    // The history is what the present documents make of the same runs.
    let louder = HISTORY.replace(
        "  - {id: last, use: deduplicate, from: a",
        "  - {id: loud, use: derive, from: a, with: {columns: {name: upper(name)}}}\n  \
         - {id: last, use: deduplicate, from: loud",
    );
    people.write("pipelines/people.yaml", louder);
    // What no run has read yet holds since this one.
    people.write("data/d.csv", "id,name\n3,d\n");
    people.ok(&["run", "--full-refresh", "--yes"]);
    let names: Vec<Value> = history(&people).iter().map(|row| row["name"].clone()).collect();
    assert_eq!(names, ["A", "B", "CC", "D"]);
    assert_eq!(history(&people)[0]["valid_from"], before[0]["valid_from"]);
    assert!(people.ok(&["run"]).contains("nothing new"));
}

#[test]
fn a_history_whose_arrivals_are_gone_is_not_rebuilt() {
    let people = people();
    let before = history(&people);
    std::fs::remove_file(people.path().join("data/b.csv")).unwrap();
    let problem = people.problem(&["run", "--full-refresh", "--yes"]);
    assert_eq!(problem["code"], "run_refused", "{problem}");
    assert_eq!(problem["context"]["node"], "h");
    assert!(problem["detail"].as_str().unwrap().contains("data/b.csv"), "{problem}");
    assert_eq!(history(&people), before);
    assert!(people.ok(&["run"]).contains("nothing new"), "nothing was begun");
}

#[test]
fn r_01_a_death_while_a_history_is_rebuilt_changes_nothing() {
    let mut deaths = 0;
    for at in (1..).step_by(3) {
        let people = people();
        let before = history(&people);
        let refresh = ["--die-at", &at.to_string(), "run", "--full-refresh", "--yes"];
        if people.run(&refresh).code == Some(0) {
            break;
        }
        deaths += 1;
        people.ok(&["run"]);
        assert_eq!(history(&people), before, "died before step {at}");
        people.ok(&["run", "--full-refresh", "--yes"]);
        assert_eq!(history(&people), before, "died before step {at}, refreshed");
    }
    assert!(deaths >= 4, "only {deaths} durable steps were tried");
}
