//! Servers that refuse, hang and flood, and files that may not be touched: each is a problem that
//! names the node, comes in time, and leaves nothing half-written.

use crate::program::{Ended, Project};
use serde_json::Value;
use std::process::Command;
use std::time::{Duration, Instant};
use testkit::Postgres;
use testkit::http::{Reply, Server};

/// Runs, expects this problem at this node within the time, and no new table.
fn assert_problem(project: &Project, code: &str, node: &str, within: Duration) -> Value {
    let started = Instant::now();
    let problem = project.problem(&["run"]);
    let took = started.elapsed();
    println!("{code} at `{node}` after {} ms", took.as_millis());
    assert_place(&problem, code, node);
    assert!(took < within, "{took:?}: {problem}");
    assert_nothing_visible(project);
    problem
}

fn assert_place(problem: &Value, code: &str, node: &str) {
    assert_eq!(problem["code"], code, "{problem}");
    assert_eq!(problem["context"]["node"], node, "{problem}");
}

fn assert_nothing_visible(project: &Project) {
    let tables = project.ok(&["--json", "tables"]);
    assert!(!tables.contains("rows"), "{tables}");
}

/// A pipeline from this source into `bronze.rows`.
fn from_source(source: &str) -> String {
    format!(
        "affluent: 1\nkind: pipeline\nname: p\nnodes:\n  - {{id: source, {source}}}\n  \
         - {{id: kept, use: write_table, from: source, with: {{table: bronze.rows, mode: append}}}}\n"
    )
}

fn connection(port: u16, password: &str, extra: &str) -> String {
    format!(
        "affluent: 1\nkind: connection\nname: db\ntype: postgres\nhost: 127.0.0.1\nport: {port}\n\
         database: {}\nuser: {}\npassword: \"{password}\"\ntls: disable\n{extra}",
        Postgres::DATABASE,
        Postgres::USER,
    )
}

const TO_POSTGRES: &str = "affluent: 1\nkind: pipeline\nname: p\nnodes:\n  \
    - {id: source, use: generate, with: {rows: 10, columns: {id: {kind: sequence}}}}\n  \
    - {id: kept, use: write_table, from: source, with: {table: bronze.rows, mode: append}}\n  \
    - {id: out, use: write_postgres, from: source, with: {connection: db, table: out, mode: append}}\n";

#[test]
fn a_wrong_password_names_the_node() {
    let Some(postgres) = Postgres::start() else { return };
    postgres.psql("create table t as select 1 as id");
    let source = from_source("use: postgres, with: {connection: db, table: t}");
    for (pipeline, node) in [(source.as_str(), "source"), (TO_POSTGRES, "out")] {
        let project = Project::new(&[
            ("pipelines/p.yaml", pipeline),
            ("connections/db.yaml", &connection(postgres.port(), "wrong", "")),
        ]);
        let problem = assert_problem(&project, "connection_refused", node, Duration::from_secs(20));
        assert!(!problem.to_string().contains("wrong\""), "the password is shown: {problem}");
        // With the right one the same run goes through.
        project.write("connections/db.yaml", connection(postgres.port(), Postgres::PASSWORD, ""));
        project.ok(&["run"]);
        assert!(project.value("select count(*) from bronze.rows").as_u64() > Some(0));
    }
}

#[test]
fn a_server_that_is_not_there_names_the_node() {
    let project = Project::new(&[
        ("pipelines/p.yaml", TO_POSTGRES),
        ("connections/db.yaml", &connection(testkit::free_port(), "x", "")),
    ]);
    assert_problem(&project, "connection_failed", "out", Duration::from_secs(40));
    let url = format!("http://127.0.0.1:{}/rows", testkit::free_port());
    let source = from_source(&format!("use: http, with: {{url: \"{url}\", limits: LIMITS}}"));
    let project = Project::new(&[("pipelines/p.yaml", &source.replace("LIMITS", LIMITS))]);
    assert_problem(&project, "connection_failed", "source", Duration::from_secs(40));
}

/// Little patience, so that the tests are quick.
const LIMITS: &str =
    "{attempts: 2, connect_timeout_s: 2, read_timeout_s: 2, timeout_s: 4, body_mib: 4}";

#[test]
fn a_hanging_server_is_given_up_in_time() {
    let server = Server::start(|_| Reply::hang());
    let source = from_source(&format!(
        "use: http, with: {{url: \"{}/rows\", limits: LIMITS}}",
        server.url()
    ));
    let project = Project::new(&[("pipelines/p.yaml", &source.replace("LIMITS", LIMITS))]);
    assert_problem(&project, "connection_timeout", "source", Duration::from_secs(30));
    // A database that accepts the line and says nothing.
    let project = Project::new(&[
        ("pipelines/p.yaml", TO_POSTGRES),
        ("connections/db.yaml", &connection(server.port(), "x", "")),
    ]);
    assert_problem(&project, "connection_timeout", "out", Duration::from_secs(60));
}

#[test]
fn an_endless_body_is_cut_off() {
    let server = Server::start(|_| Reply::endless());
    let source = from_source(&format!(
        "use: http, with: {{url: \"{}/rows\", limits: LIMITS}}",
        server.url()
    ));
    let project = Project::new(&[("pipelines/p.yaml", &source.replace("LIMITS", LIMITS))]);
    assert_problem(&project, "response_too_large", "source", Duration::from_secs(30));
    let source = from_source(&format!(
        "use: csv, with: {{path: \"{}/rows.csv\", bytes_max: 4000000}}",
        server.url()
    ));
    let project = Project::new(&[("pipelines/p.yaml", &source)]);
    assert_problem(&project, "file_too_large", "source", Duration::from_secs(30));
}

/// The program without root's right to read and write everything.
fn without_privileges(project: &Project, arguments: &[&str]) -> Option<Ended> {
    let program = project.command(arguments);
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-dac_override,-dac_read_search", "--"]);
    command.arg(program.get_program()).args(program.get_args());
    match command.output() {
        Ok(output) => Some(Ended::from(output)),
        Err(_) => {
            testkit::skip("setpriv");
            None
        }
    }
}

fn set_mode(project: &Project, path: &str, mode: &str) {
    let path = project.path().join(path);
    assert!(Command::new("chmod").arg(mode).arg(path).status().unwrap().success());
}

/// Runs without rights, expects this problem, and that with rights all is well.
fn assert_denied(project: &Project, path: &str, mode: &str, code: &str, node: &str) {
    set_mode(project, path, mode);
    let ended = without_privileges(project, &["--json", "run"]);
    set_mode(project, path, "755");
    let Some(ended) = ended else { return };
    assert_ne!(ended.code, Some(0), "{path} {mode}: {}", ended.out);
    let line = ended.err.lines().next().unwrap_or_default();
    let problem: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{}", ended.err));
    assert_place(&problem, code, node);
    println!("{path} {mode}: {problem}");
    assert_nothing_visible(project);
    project.ok(&["run"]);
    assert_eq!(project.value("select count(*) from bronze.rows"), 2);
}

#[test]
fn files_and_folders_without_permission_name_the_node() {
    let csv = from_source("use: csv, with: {path: \"data/*.csv\", header: true, delimiter: \",\"}");
    let shop = || Project::new(&[("pipelines/p.yaml", &csv), ("data/a.csv", "id\n1\n2\n")]);
    assert_denied(&shop(), "data/a.csv", "000", "permission_denied", "source");
    assert_denied(&shop(), "data", "000", "permission_denied", "source");
    for mode in ["555", "000"] {
        let project = shop();
        std::fs::create_dir_all(project.path().join("lake/test/bronze")).unwrap();
        assert_denied(&project, "lake/test/bronze", mode, "permission_denied", "kept");
    }
}
