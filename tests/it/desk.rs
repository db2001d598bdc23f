//! Desks of a real server: queries, tables, documents, the folder, and what happens when they die.

use crate::program::Project;
use crate::server::{Up, client, opened};
use arrow::ipc::reader::StreamReader;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use reqwest::header::{ACCEPT, COOKIE};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

const WITHIN: Duration = Duration::from_secs(30);

const SALES: &str = "\
affluent: 1
kind: pipeline
name: sales  # what was sold
nodes:
  - {id: orders, use: csv, with: {path: data/*.csv}}
  - {id: typed, use: cast, from: orders, with: {columns: {id: integer, amount: \"decimal(10,2)\"}}}
  - {id: bronze, use: write_table, from: typed, with: {table: bronze.orders}}
  - {id: totals, use: sql, from: bronze, with: {query: \"select sum(amount) as total from bronze\"}}
  - {id: gold, use: write_table, from: totals, with: {table: gold.totals, mode: overwrite}}
";

/// A server over a project with two tables, and a browser that is signed in.
struct Desk {
    project: Project,
    up: Up,
    cookie: String,
}

impl Desk {
    async fn start() -> Self {
        let project = Project::new(&[
            ("pipelines/sales.yaml", SALES),
            ("data/a.csv", "id,amount,note\n1,10.50,x\n2,0.25,é\n3,oops,y\n"),
        ]);
        project.ok(&["run"]);
        let up = Up::start(&project, &["--memory", "400", "--threads", "2"]);
        let cookie = opened(&up).await;
        Self { project, up, cookie }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = self.up.url(&format!("/api/v1/workspaces/test/{path}"));
        let request = client().request(method, url).header(COOKIE, &self.cookie);
        request.header("sec-fetch-site", "same-origin")
    }

    async fn get(&self, path: &str) -> Value {
        self.request(Method::GET, path).send().await.unwrap().json().await.unwrap()
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.request(Method::POST, path).json(&body).send().await.unwrap().json().await.unwrap()
    }

    async fn ask(&self, sql: &str) -> Value {
        self.post("query", json!({"sql": sql})).await
    }

    async fn rows(&self, sql: &str) -> Value {
        let answer = self.ask(sql).await;
        assert!(answer["items"].is_array(), "{sql}: {answer}");
        answer["items"].clone()
    }

    /// Desks that are alive.
    fn desks(&self) -> usize {
        let pattern = format!("{}.* desk$", self.project.path().display());
        let found = Command::new("pgrep").args(["-fc", &pattern]).output().unwrap();
        String::from_utf8(found.stdout).unwrap().trim().parse().unwrap()
    }
}

/// Counts to 10^11: it would take minutes.
const ENDLESS: &str = "select count(*) from range(1, 100000) a cross join range(1, 1000000) b \
                       where (a.value * b.value) % 7 = 3";

#[tokio::test]
async fn a_query_comes_in_pages_and_in_every_form() {
    let desk = Desk::start().await;
    let sql = "select id, amount, note, amount > 1 as large from bronze.orders order by id";
    let query = desk.post("queries", json!({"sql": sql, "wait_ms": 30_000})).await;
    assert_eq!(query["status"], "succeeded", "{query}");
    let types: Vec<&Value> =
        query["result"]["columns"].as_array().unwrap().iter().map(|c| &c["type"]).collect();
    assert_eq!(types, ["integer", "decimal(10,2)", "string", "boolean"]);
    let result = format!("queries/{}/result", query["id"].as_str().unwrap());
    let page = desk.get(&format!("{result}?limit=1&after=1")).await;
    let second = json!({"id": 2, "amount": "0.25", "note": "é", "large": false});
    assert_eq!((&page["items"][0], &page["next"]), (&second, &Value::Null), "{page}");
    let bytes = async |media_type: &str| {
        let request = desk.request(Method::GET, &result).header(ACCEPT, media_type);
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["content-type"], media_type);
        response.bytes().await.unwrap()
    };
    let csv = bytes("text/csv").await;
    assert_eq!(csv, "id,amount,note,large\n1,10.50,x,true\n2,0.25,é,false\n");
    let ndjson = bytes("application/x-ndjson").await;
    assert_eq!(String::from_utf8(ndjson.to_vec()).unwrap().lines().count(), 2);
    let arrow = bytes("application/vnd.apache.arrow.stream").await;
    let arrow: Vec<_> =
        StreamReader::try_new(arrow.as_ref(), None).unwrap().map(Result::unwrap).collect();
    assert_eq!(arrow.iter().map(|batch| batch.num_rows()).sum::<usize>(), 2);
    let parquet = bytes("application/vnd.apache.parquet").await;
    let parquet = ParquetRecordBatchReaderBuilder::try_new(parquet).unwrap().build().unwrap();
    assert_eq!(parquet.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 2);
    desk.up.stop();
}

#[tokio::test]
async fn queries_read_tables_and_nothing_else() {
    let desk = Desk::start().await;
    assert_eq!(desk.rows("select count(*) as n from bronze.orders@v0").await, json!([{"n": 2}]));
    let refused = [
        ("drop table bronze.orders", "sql_syntax"),
        ("set datafusion.execution.target_partitions = 1", "sql_syntax"),
        ("select 1; select 2", "sql_syntax"),
        ("copy (select 1) to '/tmp/x.csv'", "sql_syntax"),
        ("create external table t stored as csv location '/etc/passwd'", "sql_syntax"),
        ("select * from '/etc/passwd'", "sql_refused"),
        ("select * from 'data/a.csv'", "sql_refused"),
        ("select * from 'http://127.0.0.1/x.csv'", "sql_refused"),
        ("select * from read_csv('/etc/passwd')", "sql_invalid"),
        ("select * from information_schema.tables", "table_not_found"),
        ("select * from bronze.order", "table_not_found"),
        ("select nothing from bronze.orders", "column_unknown"),
        ("select", "sql_syntax"),
    ];
    let mut others = Vec::new();
    for (sql, code) in refused {
        let answer = desk.ask(sql).await;
        assert!(!answer.to_string().contains("root:"), "{sql}");
        if answer["code"] != code {
            others.push(format!("{sql}: {answer}"));
        }
    }
    assert!(others.is_empty(), "{others:#?}");
    let deep = format!("select {}1{}", "(".repeat(10_000), ")".repeat(10_000));
    assert!(desk.ask(&deep).await["code"].is_string());
    assert_eq!(desk.rows("select 1 as one").await, json!([{"one": 1}]), "it is still there");
    desk.up.stop();
}

#[tokio::test]
async fn a_query_that_is_stopped_ends_within_a_second_and_others_go_on() {
    let desk = Desk::start().await;
    let endless = desk.post("queries", json!({"sql": ENDLESS})).await;
    let path = format!("queries/{}", endless["id"].as_str().unwrap());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(desk.get(&path).await["status"], "running");
    let begin = Instant::now();
    let tables = desk.get("tables").await;
    println!("tables beside a long query: {} ms", begin.elapsed().as_millis());
    assert_eq!(tables["items"].as_array().unwrap().len(), 3, "{tables}");
    let before = desk.desks();
    let begin = Instant::now();
    let stopped = desk.request(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(stopped.json::<Value>().await.unwrap()["status"], "cancelled");
    while desk.desks() >= before {
        assert!(begin.elapsed() < Duration::from_secs(1), "it is still at work");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("stopped after {} ms", begin.elapsed().as_millis());
    assert_eq!(desk.rows("select 1 as one").await, json!([{"one": 1}]));
    desk.up.stop();
}

#[tokio::test]
async fn a_desk_that_is_killed_is_replaced_and_none_outlives_its_server() {
    let mut desk = Desk::start().await;
    desk.rows("select 1 as one").await;
    assert!((1..=2).contains(&desk.desks()), "started when it is needed, and kept");
    let pattern = format!("{}.* desk$", desk.project.path().display());
    assert!(Command::new("pkill").args(["-KILL", "-f", &pattern]).status().unwrap().success());
    assert_eq!(desk.rows("select 2 as two").await, json!([{"two": 2}]));
    desk.up.kill();
    let begin = Instant::now();
    while desk.desks() > 0 {
        assert!(begin.elapsed() < WITHIN, "a desk outlives its server");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test]
async fn a_desk_knows_neither_the_metadata_nor_the_master_key() {
    let desk = Desk::start().await;
    desk.rows("select 1 as one").await;
    let pattern = format!("{}.* desk$", desk.project.path().display());
    let found = Command::new("pgrep").args(["-f", &pattern]).output().unwrap();
    let id = String::from_utf8(found.stdout).unwrap().lines().next().unwrap().to_owned();
    let environment = fs::read(format!("/proc/{id}/environ")).unwrap();
    let environment = String::from_utf8_lossy(&environment).into_owned();
    assert!(
        !environment.contains("AFFLUENT_MASTER_KEY") && !environment.contains("AFFLUENT_DATABASE")
    );
    let files = fs::read_dir(format!("/proc/{id}/fd")).unwrap().flatten();
    let open: Vec<_> = files.filter_map(|file| fs::read_link(file.path()).ok()).collect();
    assert!(!open.iter().any(|path| path.to_string_lossy().contains("metadata.db")), "{open:?}");
    let limits = fs::read_to_string(format!("/proc/{id}/limits")).unwrap();
    let data = limits.lines().find(|line| line.starts_with("Max data size")).unwrap();
    assert!(!data.contains("unlimited"), "{data}");
    desk.up.stop();
}

#[tokio::test]
async fn a_table_shows_what_is_in_it_and_how_it_came_about() {
    let desk = Desk::start().await;
    desk.project.write("data/b.csv", "id,amount,note\n2,0.25,é\n4,7.00,z\n");
    desk.project.ok(&["run"]);
    let table = desk.get("tables/bronze.orders").await;
    assert_eq!((&table["version"], &table["rows"]), (&json!(1), &json!(4)), "{table}");
    let versions = desk.get("tables/bronze.orders/versions").await;
    assert_eq!(versions["items"][1]["metadata"]["affluent.node"], "bronze", "{versions}");
    let sample = desk.get("tables/bronze.orders/sample?version=0&limit=1").await;
    assert_eq!(sample["items"].as_array().unwrap().len(), 1, "{sample}");
    let statistics = desk.get("tables/bronze.orders/statistics").await;
    let id = statistics["columns"].as_array().unwrap().iter().find(|c| c["column"] == "id");
    assert_eq!((&id.unwrap()["min"], &id.unwrap()["max"]), (&json!(1), &json!(4)));
    let difference = desk.get("tables/gold.totals/difference?from=0").await;
    assert_eq!((&difference["rows_added"], &difference["rows_removed"]), (&json!(1), &json!(1)));
    let changes = difference["rows"]["items"].as_array().unwrap();
    let change = |kind: &str| changes.iter().find(|row| row["_change"] == kind).unwrap();
    assert_eq!(change("added")["total"], "18.00", "{difference}");
    assert_eq!(change("removed")["total"], "10.75");
    let difference = desk.get("tables/bronze.orders/difference?from=0&to=1").await;
    assert_eq!((&difference["rows_added"], &difference["rows_removed"]), (&json!(2), &json!(0)));
    let same = desk.get("tables/bronze.orders/difference?from=1&to=1").await;
    assert_eq!((&same["rows_added"], &same["rows_removed"]), (&json!(0), &json!(0)));
    let profile = desk.get("tables/bronze.orders/profile?columns=amount").await;
    assert_eq!(profile["columns"][0]["distinct"], 3, "{profile}");
    let lineage = desk.get("tables/gold.totals/lineage").await;
    let edge = |from: Value, to: Value| {
        let edge = json!({"from": from, "to": to});
        assert!(lineage["items"].as_array().unwrap().contains(&edge), "{lineage}");
    };
    let column = |relation: &str, column: &str| json!({"relation": relation, "column": column});
    edge(column("bronze.orders", "amount"), column("gold.totals", "total"));
    edge(column("sales.orders", "amount"), column("bronze.orders", "amount"));
    let unknown = desk.get("tables/bronze.order").await;
    assert!(unknown["hint"].as_str().unwrap().contains("bronze.orders"), "{unknown}");
    let gone = desk.get("tables/bronze.orders?version=9").await;
    assert_eq!(gone["code"], "table_not_found");
    desk.up.stop();
}

async fn until(desk: &Desk, what: &str, is_so: impl AsyncFn() -> bool) {
    let begin = Instant::now();
    while !is_so().await {
        assert!(begin.elapsed() < WITHIN, "{what}: never; {}", desk.get("folder").await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("{what}: after {} ms", begin.elapsed().as_millis());
}

#[tokio::test]
async fn drafts_are_looked_at_before_they_are_saved() {
    let desk = Desk::start().await;
    until(&desk, "imported", async || {
        desk.get("definitions/pipeline/sales").await["text"] == SALES
    })
    .await;
    let draft = |text: String| json!([{"kind": "pipeline", "name": "sales", "text": text}]);
    let right = desk.post("definitions/validate", json!({})).await;
    assert_eq!(right["problems"], json!([]), "{right}");
    let wrong = draft(SALES.replace("sum(amount)", "sum(amuont)"));
    let found = desk.post("definitions/validate", json!({"drafts": wrong})).await;
    let problem = &found["problems"][0];
    assert_eq!(
        (&problem["context"]["line"], &problem["code"]),
        (&json!("8"), &json!("column_unknown"))
    );
    assert_eq!(problem["context"]["file"], "pipelines/sales.yaml", "{found}");
    let plan = desk.post("pipelines/sales/explain", json!({"node": "totals"})).await;
    assert!(plan["nodes"][0]["sql"].as_str().unwrap().to_lowercase().contains("sum(amount)"));
    assert_eq!(plan["nodes"][0]["columns"][0]["name"], "total", "{plan}");
    let path = "pipelines/sales/nodes/typed/preview";
    let seen = desk.post(path, json!({})).await;
    assert_eq!((&seen["row_count"], &seen["reject_count"]), (&json!(2), &json!(1)), "{seen}");
    let draft = draft(SALES.replace("decimal(10,2)", "string"));
    let seen = desk.post(path, json!({"drafts": draft})).await;
    assert_eq!((&seen["row_count"], &seen["reject_count"]), (&json!(3), &json!(0)), "{seen}");
    let modules = desk.get("modules").await;
    assert!(modules["items"].as_array().unwrap().len() > 30);
    let module = desk.get("modules/csv").await;
    assert!(module["schema"]["properties"]["path"].is_object(), "{module}");
    desk.up.stop();
}

#[tokio::test]
async fn the_folder_and_the_server_have_the_same_documents() {
    let desk = Desk::start().await;
    let text = async || desk.get("definitions/pipeline/sales").await["text"].clone();
    until(&desk, "imported", async || text().await == SALES).await;
    let file = desk.project.path().join("pipelines/sales.yaml");
    let changed = SALES.replace("what was sold", "sold");
    fs::write(&file, &changed).unwrap();
    until(&desk, "taken from the folder", async || text().await == changed).await;
    fs::write(&file, SALES.replace("bronze.orders", "Bronze Orders")).unwrap();
    until(&desk, "refused", async || !desk.get("folder").await["problems"][0].is_null()).await;
    assert_eq!(text().await, changed);
    fs::write(&file, &changed).unwrap();
    until(&desk, "right again", async || desk.get("folder").await["problems"] == json!([])).await;
    let patch = json!({"patches": [
        {"op": "replace", "path": "/nodes/4/with/table", "value": "gold.sums"},
    ]});
    let url = "definitions/pipeline/sales";
    let patched = desk.request(Method::PATCH, url).json(&patch).send().await.unwrap();
    assert_eq!(patched.status(), StatusCode::OK);
    let patched = changed.replace("gold.totals", "gold.sums");
    until(&desk, "written to the folder", async || fs::read_to_string(&file).unwrap() == patched)
        .await;
    desk.up.stop();
}

#[tokio::test]
async fn ci_compares_applies_and_exports_with_a_key() {
    let desk = Desk::start().await;
    until(&desk, "imported", async || {
        desk.get("definitions/pipeline/sales").await["text"] == SALES
    })
    .await;
    let key = desk.post("api-keys", json!({"name": "ci", "role": "editor"})).await;
    let key = key["key"].as_str().unwrap().to_owned();
    let elsewhere = Project::new(&[("pipelines/sales.yaml", &SALES.replace("0.25", "0.5"))]);
    let url = desk.up.url("");
    let run = |project: &Project, arguments: &[&str]| {
        let mut command = project.command(arguments);
        let command = command.env("AFFLUENT_API_KEY", &key).env("AFFLUENT_SERVER", &url);
        let ended = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (ended.status.code(), text(&ended.stdout) + &text(&ended.stderr))
    };
    assert_eq!(run(&elsewhere, &["diff"]), (Some(0), "nothing differs\n".to_owned()));
    elsewhere.write("pipelines/sales.yaml", SALES.replace("what was sold", "sold"));
    elsewhere.write("pipelines/more.yaml", SALES.replace("name: sales", "name: more"));
    let (code, shown) = run(&elsewhere, &["diff"]);
    assert!(code == Some(1) && shown.contains("+name: sales  # sold"), "{shown}");
    let (code, shown) = run(&elsewhere, &["apply", "--message", "release 12"]);
    assert!(code == Some(0) && shown.contains("2 documents changed"), "{shown}");
    let versions = desk.get("definitions/pipeline/sales/versions").await;
    assert_eq!(versions["items"][0]["message"], "release 12");
    elsewhere.write("pipelines/more.yaml", "name: more\nnodes: x\n");
    let (code, shown) = run(&elsewhere, &["apply"]);
    assert!(code == Some(1) && shown.contains("pipelines/more.yaml:"), "{shown}");
    let empty = tempfile::tempdir().unwrap();
    let target = empty.path().join("copy");
    let target = target.to_str().unwrap();
    let (code, shown) = run(&elsewhere, &["export", target, "--workspace", "test"]);
    assert_eq!(code, Some(0), "{shown}");
    let exported = fs::read_to_string(format!("{target}/pipelines/more.yaml")).unwrap();
    assert_eq!(exported, SALES.replace("name: sales", "name: more"));
    fs::write(format!("{target}/pipelines/more.yaml"), exported.replace("sold", "bought")).unwrap();
    let (code, shown) = run(&elsewhere, &["export", target, "--workspace", "test"]);
    assert!(code == Some(1) && shown.contains("is not what the server has"), "{shown}");
    let (code, _) = run(&elsewhere, &["export", target, "--workspace", "test", "--force"]);
    assert_eq!(code, Some(0));
    let command =
        elsewhere.command(&["diff", "--server", "http://data.example.org"]).output().unwrap();
    assert!(String::from_utf8_lossy(&command.stderr).contains("without TLS"));
    desk.up.stop();
}
