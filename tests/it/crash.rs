//! The crash harness: the program dies before each durable step, is run again, and must end as if
//! nothing had happened.
//!
//! The golden pipeline has two files, rejects at three nodes, a table that grows, one that is
//! merged into, and a PostgreSQL table.

use crate::program::Project;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use testkit::Postgres;

const GOLDEN: &str = r#"
affluent: 1
kind: pipeline
name: golden
nodes:
  - {id: rows, use: csv, with: {path: "data/*.csv", delimiter: ","}}
  - {id: bronze, use: write_table, from: rows, with: {table: bronze.rows, mode: append}}
  - {id: typed, use: cast, from: rows, with: {columns: {id: integer, amount: "decimal(12,2)"}}}
  - {id: valid, use: validate, from: typed, with: {checks: [{not_null: [id]}, {range: {amount: {min: 0}}}]}}
  - {id: latest, use: deduplicate, from: valid, with: {keys: [id], keep: last}}
  - {id: silver, use: write_table, from: latest, with: {table: silver.rows, mode: merge, key: [id]}}
  - {id: warehouse, use: write_postgres, from: latest, with: {connection: warehouse, table: TABLE, mode: append}}
"#;

const SINKS: &[&str] = &["bronze.rows", "silver.rows", "quarantine.golden"];

/// Numbers projects, so that each has a database table of its own.
static PROJECTS: AtomicUsize = AtomicUsize::new(0);

/// A project on the golden pipeline and its table in the shared server.
pub(crate) struct Golden<'a> {
    pub(crate) project: Project,
    postgres: &'a Postgres,
    table: String,
}

/// What is compared: rows of every sink, commits per node, rows of the ledger.
#[derive(Debug, PartialEq)]
pub(crate) struct State {
    sinks: BTreeMap<String, Vec<String>>,
    commits: BTreeMap<String, Vec<String>>,
    ledger: String,
}

fn file(from: usize, to: usize) -> String {
    let mut text = "id,amount\n".to_owned();
    for n in from..to {
        text.push_str(&match n % 10 {
            3 => format!("x{n},1.00\n"),
            5 => format!("{n},-1.00\n"),
            7 => format!("{n}\n"),
            8 => format!("{},{n}.50\n", n - 2),
            _ => format!("{n},{n}.25\n"),
        });
    }
    text
}

impl<'a> Golden<'a> {
    pub(crate) fn new(postgres: &'a Postgres) -> Self {
        let number = PROJECTS.fetch_add(1, Ordering::Relaxed);
        let table = format!("golden_{number}");
        let connection = format!(
            "affluent: 1\nkind: connection\nname: warehouse\ntype: postgres\nhost: 127.0.0.1\n\
             port: {}\ndatabase: {}\nuser: {}\npassword: \"{}\"\ntls: disable\n",
            postgres.port(),
            Postgres::DATABASE,
            Postgres::USER,
            Postgres::PASSWORD,
        );
        let name = format!("affluent: 1\nname: shop{number}\n");
        let project = Project::new(&[
            ("affluent.yaml", &name),
            ("connections/warehouse.yaml", &connection),
            ("pipelines/golden.yaml", &GOLDEN.replace("TABLE", &table)),
            ("data/a.csv", &file(0, 40)),
            ("data/b.csv", &file(30, 90)),
        ]);
        Self { project, postgres, table }
    }

    /// A second delivery: a new file with old and new rows.
    pub(crate) fn deliver(&self) {
        self.project.write("data/c.csv", file(80, 120));
    }

    /// Runs until the program ends or dies before durable step `at`. True when it died.
    fn dies(&self, at: u64) -> bool {
        let ended = self.project.run(&["--die-at", &at.to_string(), "run"]);
        match ended.code {
            Some(0) => false,
            None => true,
            code => panic!("step {at}: code {code:?}\n{}\n{}", ended.out, ended.err),
        }
    }

    pub(crate) fn state(&self) -> State {
        let mut sinks = BTreeMap::new();
        let mut commits = BTreeMap::new();
        for sink in SINKS {
            let rows = self.project.query(&format!("select * from {sink}"));
            let mut rows: Vec<String> = rows.iter().map(Value::to_string).collect();
            rows.sort();
            sinks.insert((*sink).to_owned(), rows);
            let history = self.project.ok(&["--json", "tables", sink, "--history"]);
            let mut made: Vec<String> = history
                .lines()
                .filter_map(|line| {
                    let commit: Value = serde_json::from_str(line).unwrap();
                    commit["run"].as_str()?;
                    Some(commit["metadata"]["affluent.node"].to_string())
                })
                .collect();
            made.sort();
            commits.insert((*sink).to_owned(), made);
        }
        let select =
            format!("select string_agg(t::text, ',' order by t::text) from {} t", self.table);
        sinks.insert("postgres".to_owned(), vec![self.postgres.psql(&select)]);
        let ledger = self.postgres.psql(&format!(
            "select count(*), count(distinct app_id) from affluent_commits where app_id like \
             'affluent/shop{}/%'",
            self.table.trim_start_matches("golden_")
        ));
        State { sinks, commits, ledger }
    }

    /// After recovery: same rows, one commit per key, nothing left over, nothing locked.
    pub(crate) fn assert_like(&self, expected: &State, story: &str) {
        assert_eq!(self.state(), *expected, "{story}");
        let again = self.project.ok(&["run"]);
        assert!(again.contains("nothing new"), "{story}: {again}");
        assert_eq!(self.rubbish(), Vec::<String>::new(), "{story}");
    }

    /// Data files that no version needs, after the dead runs' leftovers have been cleared away.
    fn rubbish(&self) -> Vec<String> {
        for sink in SINKS {
            self.project.ok(&["maintain", sink, "--vacuum", "--retention-hours", "0"]);
        }
        let mut left = Vec::new();
        for sink in SINKS {
            let out = self.project.ok(&["--json", "tables", sink, "--files"]);
            let known: Vec<String> = out
                .lines()
                .map(|line| {
                    let file: Value = serde_json::from_str(line).unwrap();
                    file["path"].as_str().unwrap().to_owned()
                })
                .collect();
            let name = format!("shop{}", self.table.trim_start_matches("golden_"));
            let dir = self.project.path().join("lake").join(name).join(sink.replace('.', "/"));
            for entry in std::fs::read_dir(&dir).unwrap().flatten() {
                let path = entry.file_name().to_string_lossy().into_owned();
                if path != "_delta_log" && !known.contains(&path) {
                    left.push(format!("{sink}/{path}"));
                }
            }
        }
        left
    }
}

/// Dies once at every step of the first run and of the run after a second delivery.
#[test]
fn r_01_a_death_before_any_durable_step_changes_nothing() {
    let Some(postgres) = Postgres::start() else { return };
    let calm = Golden::new(&postgres);
    calm.project.ok(&["run"]);
    let after_first = calm.state();
    calm.deliver();
    calm.project.ok(&["run"]);
    let after_second = calm.state();
    let mut deaths = 0;
    for at in 1.. {
        let shop = Golden::new(&postgres);
        if !shop.dies(at) {
            break;
        }
        deaths += 1;
        shop.project.ok(&["run"]);
        shop.assert_like(&after_first, &format!("first run, died before step {at}"));
    }
    for at in 1.. {
        let shop = Golden::new(&postgres);
        shop.project.ok(&["run"]);
        shop.deliver();
        if !shop.dies(at) {
            break;
        }
        deaths += 1;
        shop.project.ok(&["run"]);
        shop.assert_like(&after_second, &format!("second run, died before step {at}"));
    }
    println!("crash harness: {deaths} deaths, 0 violations");
    assert!(deaths >= 20, "only {deaths} durable steps were found");
}

/// Dies twice: before step N, and again before step M of the recovery.
#[test]
fn r_01_a_death_during_recovery_changes_nothing() {
    let Some(postgres) = Postgres::start() else { return };
    let calm = Golden::new(&postgres);
    calm.project.ok(&["run"]);
    let expected = calm.state();
    let all = std::env::var("AFFLUENT_LONG_TESTS").is_ok_and(|value| value == "1");
    let mut deaths = 0;
    'first: for first in 1u64.. {
        for second in 1u64.. {
            // Without the long tests a fifth of the pairs is tried, spread over all of them.
            if !all && (first * 7 + second * 3) % 11 != 0 {
                if second > 40 {
                    break;
                }
                continue;
            }
            let shop = Golden::new(&postgres);
            if !shop.dies(first) {
                break 'first;
            }
            deaths += 1;
            let died_again = shop.dies(second);
            deaths += u64::from(died_again);
            shop.project.ok(&["run"]);
            shop.assert_like(&expected, &format!("died before step {first}, then {second}"));
            if !died_again {
                break;
            }
        }
    }
    println!("crash harness: {deaths} deaths in pairs, 0 violations");
    assert!(deaths > 0);
}
