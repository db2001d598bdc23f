//! R-01 for everything that is not a lake table: pages of a service that are landed, files, a
//! SQLite database, and a service that takes rows.

use crate::crash::{Tally, in_parallel};
use crate::faults::{FAULTS, Struck};
use crate::program::Project;
use crate::syscalls::long_tests;
use rusqlite::Connection;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use testkit::http::{Reply, Request, Server};

const OUTLETS: &str = r#"
affluent: 1
kind: pipeline
name: golden
nodes:
  - {id: rows, use: http, with: {url: "URL/rows", pagination: {type: page, size_param: size, size: 20}}}
  - {id: lines, use: write_file, from: rows, with: {path: out/lines/, format: ndjson, rows_per_file: 20}}
  - {id: report, use: write_file, from: rows, with: {path: out/report.csv}}
  - {id: mart, use: write_sqlite, from: rows, with: {path: out/mart.db, table: rows, mode: append}}
  - {id: sent, use: write_http, from: rows, with: {url: "URL/take/NUMBER", rows: 15}}
"#;

/// Numbers projects, so that the service knows what each has sent.
static PROJECTS: AtomicUsize = AtomicUsize::new(0);

/// Forty-five rows in pages, and a service that takes whatever it is sent.
fn serve(request: &Request) -> Reply {
    if request.path.starts_with("/take/") {
        return Reply::json(&json!({}));
    }
    let page: usize = request.param("page").and_then(|page| page.parse().ok()).unwrap_or(1);
    let first = (page - 1) * 20;
    let rows: Vec<Value> =
        (first..45.min(first + 20)).map(|n| json!({"id": n, "text": format!("row {n}")})).collect();
    Reply::json(&json!(rows))
}

struct Outlets<'a> {
    project: Project,
    server: &'a Server,
    number: usize,
}

/// What is compared: the rows of each outlet. Pages come in any order.
#[derive(Debug, PartialEq)]
struct State {
    lines: Vec<String>,
    report: Vec<String>,
    mart: Vec<String>,
    ledger: i64,
    sent: Vec<String>,
    rubbish: Vec<String>,
}

impl<'a> Outlets<'a> {
    fn new(server: &'a Server) -> Self {
        let number = PROJECTS.fetch_add(1, Ordering::Relaxed);
        let pipeline = OUTLETS.replace("URL", &server.url()).replace("NUMBER", &number.to_string());
        let project = Project::new(&[("pipelines/golden.yaml", &pipeline)]);
        Self { project, server, number }
    }

    fn state(&self) -> State {
        let out = self.project.path().join("out");
        let mart = Connection::open(out.join("mart.db")).unwrap();
        let mut rows = mart.prepare("select id || ' ' || text from rows order by id").unwrap();
        let rows = rows.query_map([], |row| row.get(0)).unwrap();
        let ledger = "select count(*) from affluent_commits";
        let ledger = mart.query_row(ledger, [], |row| row.get(0)).unwrap();
        // The service minds the key: what comes again with the same one is the same request.
        let place = format!("/take/{}", self.number);
        let mut sent = BTreeMap::new();
        for request in self.server.requests().iter().filter(|request| request.path == place) {
            let key = request.header("idempotency-key").unwrap().to_owned();
            let body = String::from_utf8_lossy(&request.body).into_owned();
            let before = sent.insert(key.clone(), body.clone());
            assert!(before.is_none_or(|before| before == body), "{key} has another body");
        }
        let mut rubbish = Vec::new();
        leftovers(self.project.path(), &mut rubbish);
        State {
            lines: sorted_lines(&out.join("lines")),
            report: sorted(fs::read_to_string(out.join("report.csv")).unwrap().lines()),
            mart: rows.map(Result::unwrap).collect(),
            ledger,
            sent: sorted(sent.values().flat_map(|body| body.split_inclusive('}'))),
            rubbish,
        }
    }
}

/// Texts in order, without what stands between the rows of a list.
fn sorted<'t>(texts: impl Iterator<Item = &'t str>) -> Vec<String> {
    let texts = texts.map(|text| text.trim_matches(['[', ']', ',']).to_owned());
    let mut texts: Vec<String> = texts.filter(|text| !text.is_empty()).collect();
    texts.sort();
    texts
}

/// The lines of all files of a folder.
fn sorted_lines(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).unwrap().flatten();
    let texts: Vec<String> =
        files.map(|file| fs::read_to_string(file.path()).unwrap_or_default()).collect();
    sorted(texts.iter().flat_map(|text| text.lines()))
}

/// Files that were on their way, wherever they lie below a folder.
fn leftovers(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() {
            leftovers(&entry.path(), found);
        } else if name.ends_with(stdx::durable::TEMPORARY_SUFFIX) && folder.ends_with("out") {
            found.push(name);
        }
    }
}

#[test]
fn r_01_a_fault_before_any_step_of_another_outlet_changes_nothing() {
    let server = Server::start(serve);
    let calm = Outlets::new(&server);
    calm.project.ok(&["run"]);
    let expected = calm.state();
    assert_eq!((expected.mart.len(), expected.lines.len(), expected.ledger), (45, 45, 1));
    assert_eq!((expected.report.len(), expected.sent.len()), (46, 45));
    // Without the long tests each step meets every other fault, in turn.
    let jobs: Vec<Vec<&str>> = match long_tests() {
        true => FAULTS.iter().map(|fault| vec![*fault]).collect(),
        false => vec![FAULTS.to_vec()],
    };
    let tally = Tally::default();
    in_parallel(&jobs, |faults| {
        for at in 1.. {
            let shop = Outlets::new(&server);
            let fault = faults[at as usize % faults.len()];
            let how = match shop.project.strike(fault, at) {
                Struck::No => return,
                Struck::Over => "overcome",
                how => {
                    shop.project.ok(&["run"]);
                    if how == Struck::Died { "died of" } else { "told" }
                }
            };
            assert_eq!(shop.state(), expected, "{fault} before step {at}");
            tally.count(&format!("{fault} {how}"));
        }
    });
    println!("other outlets: {} faults, 0 violations ({tally})", tally.total());
    assert!(tally.total() >= if long_tests() { 70 } else { 10 }, "only {tally}");
}
