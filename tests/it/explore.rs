//! Profiles, the shell and tests of pipelines, as people use them.

use crate::program::Project;
use crate::runs::SALES;
use serde_json::{Value, json};
use std::io::Write;
use std::process::Stdio;

const ORDERS: &str = "order_id;ordered_at;amount\n\
    1;01/02/2026 10:00;12,50\n2;01/02/2026 11:00;3,20\nx;02/02/2026 10:00;1,00\n3;03/02/2026 12:00;7,00\n";

fn shop() -> Project {
    Project::new(&[("pipelines/sales.yaml", SALES), ("data/orders-1.csv", ORDERS)])
}

fn profile(project: &Project, arguments: &[&str]) -> Value {
    let out = project.ok(&[&["--json", "profile"], arguments].concat());
    serde_json::from_str(&out).unwrap()
}

#[test]
fn a_profile_knows_types_counts_and_shapes() {
    let project = Project::new(&[]);
    let mut text = String::from("id,code,day,price,note\n");
    for number in 0..100 {
        let note = if number % 4 == 0 { "" } else { "Déjà vu" };
        text.push_str(&format!(
            "{number},AB-0{:02},{:02}/01/2026,{}.50,{note}\n",
            number % 50,
            number % 28 + 1,
            number % 10
        ));
    }
    let path = project.write("data/things.csv", text);
    let profile = profile(&project, &[&path.to_string_lossy()]);
    assert_eq!(profile["rows"], 100);
    let columns = profile["columns"].as_array().unwrap();
    let names: Vec<&str> = columns.iter().map(|column| column["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["id", "code", "day", "price", "note"], "origin columns are left out");
    let [id, code, day, price, note] = columns.as_slice() else { panic!("five columns") };
    assert_eq!((&id["distinct"], &id["min"], &id["max"]), (&json!(100), &json!("0"), &json!("99")));
    assert_eq!(id["mean"], 49.5);
    let histogram: u64 =
        id["histogram"].as_array().unwrap().iter().map(|rows| rows.as_u64().unwrap()).sum();
    assert_eq!(histogram, 100);
    assert_eq!(code["patterns"], json!([{"value": "A-999", "rows": 100}]));
    assert_eq!(code["distinct"], 50);
    assert_eq!(code["inferred"], Value::Null);
    assert_eq!(day["inferred"], "date %d/%m/%Y");
    assert_eq!(price["quantiles"]["p50"].as_f64().unwrap().round(), 5.0);
    assert_eq!(note["lengths"]["max"], 7);
    assert_eq!(note["patterns"][0]["value"], "Aa a");
    assert_eq!(note["nulls"].as_u64().unwrap() + note["blank"].as_u64().unwrap(), 25);
}

#[test]
fn a_profile_says_how_many_rows_it_could_not_read() {
    let project = Project::new(&[]);
    let path = project.write("data/things.csv", "id,name\n1,a\n2,b,too much\n3,c\n4,d\n");
    let profile = profile(&project, &[&path.to_string_lossy()]);
    assert_eq!((&profile["rows"], &profile["unread"]), (&json!(3), &json!(1)));
}

#[test]
fn a_profile_reads_tables_and_their_versions() {
    let shop = shop();
    shop.ok(&["run"]);
    let table = profile(&shop, &["silver.orders", "--column", "amount"]);
    assert_eq!(table["columns"][0]["type"], "decimal(12,2)");
    assert_eq!((&table["rows"], &table["columns"][0]["max"]), (&json!(3), &json!("12.50")));
    assert_eq!(profile(&shop, &["silver.orders@v0"])["rows"], 3);
    assert_eq!(shop.problem(&["profile", "silver.order"])["code"], "table_not_found");
    let problem = shop.problem(&["profile", "silver.orders", "--column", "amout"]);
    assert_eq!(problem["hint"], "did you mean `amount`?");
    let text = shop.ok(&["profile", "silver.orders"]);
    assert!(text.contains("min … max") && text.contains("ordered_at"), "{text}");
}

#[test]
fn a_profile_of_nothing_is_no_problem() {
    let project = Project::new(&[]);
    let path = project.write("empty.csv", "id;name\n");
    assert_eq!(profile(&project, &[&path.to_string_lossy()])["rows"], 0);
}

/// What the shell answers to this input, and how it ends.
fn shell(project: &Project, input: &str) -> (String, String, Option<i32>) {
    let mut command = project.command(&["sql"]);
    command.current_dir(project.path());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code())
}

#[test]
fn the_shell_reads_a_script() {
    let shop = shop();
    shop.ok(&["run"]);
    let script = "-- a comment; with a semicolon\nselect ';' as a,\n  'it''s' as b; select 7\n\
                  as c;\n\\d\n\\d silver.orders\n\\o out.csv\nselect 1 as one;\n\\x\n\
                  select order_id from silver.orders\nwhere order_id = 3 /* ; */\n";
    let (out, err, code) = shell(&shop, script);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.contains("| ; | it's |") && out.contains("| 7 |"), "{out}");
    assert!(out.contains("silver.orders") && out.contains("decimal(12,2)"), "{out}");
    assert!(out.ends_with("── row 1\norder_id │ 3\n1 row\n"), "{out}");
    assert_eq!(std::fs::read_to_string(shop.path().join("out.csv")).unwrap(), "one\n1\n");
}

#[test]
fn a_script_stops_at_its_first_problem() {
    let shop = shop();
    let (out, err, code) = shell(&shop, "select 1 as a;\nselect b;\nselect 3 as c;\n");
    assert_eq!(code, Some(1));
    assert!(out.contains("| 1 |") && !out.contains("| 3 |"), "{out}");
    assert!(err.contains("`b`"), "{err}");
    assert_eq!(shell(&shop, "\\nonsense\n").2, Some(1));
}

const TEST: &str = r#"
affluent: 1
kind: test
name: french_amounts
pipeline: sales
given:
  orders:
    - {order_id: 1, ordered_at: "01/02/2026 10:00", amount: "12,50"}
    - {order_id: 1, ordered_at: "01/02/2026 11:00", amount: "13,50"}
    - {order_id: 2, ordered_at: "02/02/2026 10:00", amount: "1,00"}
    - {order_id: x, ordered_at: "02/02/2026 10:00", amount: "1,00"}
expect:
  latest:
    - {order_id: 2, amount: 1}
    - {order_id: 1, amount: 13.5, ordered_at: 2026-02-01T10:00:00Z}
  typed.rejects:
    - {_row: 4}
  daily:
    - {day: 2026-02-02, orders: 1}
    - {day: 2026-02-01, orders: 1}
"#;

#[test]
fn a_test_of_a_pipeline_passes_and_writes_nothing() {
    let shop = shop();
    shop.write("tests/french.yaml", TEST);
    assert!(shop.ok(&["test"]).contains("1 test passed"));
    assert_eq!(shop.problem(&["query", "select * from bronze.orders"])["code"], "table_not_found");
    assert!(!shop.path().join(".affluent/tests/").read_dir().unwrap().any(|_| true));
}

#[test]
fn a_test_shows_what_is_different() {
    let shop = shop();
    let text = TEST
        .replace("{order_id: 2, amount: 1}", "{order_id: 2, amount: 2}")
        .replace("{_row: 4}", "{_row: 9}")
        .replace("    - {day: 2026-02-01, orders: 1}\n", "");
    shop.write("tests/french.yaml", text);
    let ended = shop.run(&["test", "french_amounts"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("1 of 1 tests failed"), "{}", ended.err);
    assert!(ended.out.contains("amount: 2 → \"1.00\""), "{}", ended.out);
    assert!(ended.out.contains("- missing     {_row: 9}"), "{}", ended.out);
    assert!(ended.out.contains("+ unexpected  {day: \"2026-02-01\", orders: 1}"), "{}", ended.out);
    let ended = shop.run(&["--json", "test"]);
    let report: Value = serde_json::from_str(ended.out.lines().next().unwrap()).unwrap();
    assert_eq!(report["passed"], false);
    assert_eq!(report["differences"].as_array().unwrap().len(), 3);
    let problem: Value = serde_json::from_str(ended.err.lines().next().unwrap()).unwrap();
    assert_eq!(problem["code"], "test_failed");
}

#[test]
fn a_test_can_bring_files_tables_and_an_order() {
    let pipeline = "affluent: 1\nkind: pipeline\nname: names\nparams: {floor: {type: integer}}\nnodes:\n  \
        - {id: orders, use: csv, with: {path: data/o.csv}}\n  \
        - {id: people, use: table, with: {table: silver.people}}\n  \
        - {id: named, use: sql, from: [orders, people], with: {query: \"select o.n, p.name, p.born from orders o join people p on cast(o.id as bigint) = p.id where p.id > $floor order by p.id\"}}\n  \
        - {id: out, use: write_table, from: named, with: {table: gold.named, mode: overwrite}}\n";
    let test = "affluent: 1\nkind: test\nname: names\npipeline: names\nordered: true\n\
        params: {floor: 0}\ngiven: {orders: tests/orders.csv}\n\
        tables:\n  silver.people: [{id: 1, name: Ada, born: 1815-12-10}, {id: 2, name: Bo, born: null}]\n\
        expect:\n  named: [{n: a, name: Ada, born: 1815-12-10}, {n: b, name: Bo, born: null}]\n";
    let project = Project::new(&[
        ("pipelines/names.yaml", pipeline),
        ("tests/names.yaml", test),
        ("tests/orders.csv", "id,n\n2,b\n1,a\n"),
    ]);
    project.ok(&["test"]);
    let mixed = "[{n: b, name: Bo}, {n: a, name: Ada}]\n";
    let (head, _) = test.split_once("  named: ").unwrap();
    project.write("tests/names.yaml", format!("{head}  named: {mixed}"));
    assert!(project.run(&["test"]).out.contains("their order is not"));
    project.write("tests/names.yaml", test.replace("silver.people", "silver.persons"));
    let ended = project.run(&["test"]);
    assert!(ended.out.contains("give rows under `tables:`"), "{}", ended.out);
    project.write("tests/names.yaml", test.replace("given: {orders: tests/orders.csv}\n", ""));
    let ended = project.run(&["test"]);
    assert!(ended.out.contains("gives no rows for the source `orders`"), "{}", ended.out);
    assert_eq!(project.problem(&["test", "name"])["hint"], "did you mean `names`?");
}

#[test]
fn files_are_looked_for_in_the_project_that_is_named() {
    let project = Project::new(&[("data/a.csv", "n\n1\n2\n"), ("deep/er/b.csv", "n\n1\n")]);
    assert_eq!(project.value("select count(*) from 'data/a.csv'"), 2);
    // Without a name, in the current folder.
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_affluent"));
    command.current_dir(project.path().join("deep"));
    let sql = "select count(*) as n from 'er/b.csv'";
    let output = command.args(["query", "--format", "csv", sql]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "n\n1\n");
}
