//! The crash harness: something goes wrong before each durable step, the program is run again, and
//! must end as if nothing had happened.
//!
//! The golden pipeline has two files, rejects at three nodes, a table that grows, one that is
//! merged into, and a PostgreSQL table.

use crate::faults::{FAULTS, Struck};
use crate::program::Project;
use crate::syscalls::long_tests;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::sync::Mutex;
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

/// More durable steps than a run of the golden pipeline has.
const STEPS_MAX: u64 = 60;

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
             port: {}\ndatabase: {}\nuser: {}\npassword: \"{}\"\ntls: disable\n\
             connect_timeout_s: 120\n",
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
        matches!(self.project.strike("kill", at), Struck::Died)
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

/// The undisturbed results: after the first delivery, and after the second.
pub(crate) fn calm(postgres: &Postgres) -> [State; 2] {
    let shop = Golden::new(postgres);
    shop.project.ok(&["run"]);
    let after_first = shop.state();
    shop.deliver();
    shop.project.ok(&["run"]);
    [after_first, shop.state()]
}

/// One fault: in the run after the first delivery or after the second, before durable step `at`.
#[derive(Debug, Clone, Copy)]
struct Strike {
    fault: &'static str,
    at: u64,
    second: bool,
}

/// Faults struck so far, by what they were and how they ended.
#[derive(Default)]
pub(crate) struct Tally(Mutex<BTreeMap<String, usize>>);

impl Tally {
    pub(crate) fn count(&self, what: &str) {
        *self.0.lock().unwrap().entry(what.to_owned()).or_default() += 1;
    }

    pub(crate) fn total(&self) -> usize {
        self.0.lock().unwrap().values().sum()
    }
}

impl Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.0.lock().unwrap();
        let parts: Vec<String> = counts.iter().map(|(what, n)| format!("{n} {what}")).collect();
        f.write_str(&parts.join(", "))
    }
}

/// Runs jobs on both cores.
pub(crate) fn in_parallel<T: Sync>(jobs: &[T], work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(job);
                }
            });
        }
    });
}

/// Strikes a fresh shop, lets it recover, compares. False when the run has no such step.
fn strikes_and_recovers(
    postgres: &Postgres,
    strike: Strike,
    expected: &State,
    tally: &Tally,
) -> bool {
    let shop = Golden::new(postgres);
    if strike.second {
        shop.project.ok(&["run"]);
        shop.deliver();
    }
    let struck = shop.project.strike(strike.fault, strike.at);
    let how = match struck {
        Struck::No => return false,
        // Nothing more to do: what the run has said to be done is compared as it is.
        Struck::Over => "overcome",
        Struck::Died => "died of",
        Struck::Told => "told",
    };
    if !matches!(struck, Struck::Over) {
        shop.project.ok(&["run"]);
    }
    shop.assert_like(expected, &format!("{strike:?}"));
    tally.count(&format!("{} {how}", strike.fault));
    true
}

/// Every fault, or a choice that rotates, before every step of a run.
fn sweep(
    postgres: &Postgres,
    (faults, second): (&[&'static str], bool),
    expected: &State,
    tally: &Tally,
) {
    for at in 1.. {
        let fault = faults[(at as usize + usize::from(second)) % faults.len()];
        if !strikes_and_recovers(postgres, Strike { fault, at, second }, expected, tally) {
            return;
        }
    }
}

/// Strikes once before every step of the first run and of the run after a second delivery.
#[test]
fn r_01_a_fault_before_any_durable_step_changes_nothing() {
    let Some(postgres) = Postgres::start() else { return };
    let expected = calm(&postgres);
    let mut jobs: Vec<(Vec<&'static str>, bool)> = Vec::new();
    for second in [false, true] {
        if long_tests() {
            jobs.extend(FAULTS.iter().map(|fault| (vec![*fault], second)));
        } else {
            // Every step once by death and once by one of the others, in turn.
            jobs.push((vec!["kill"], second));
            jobs.push((FAULTS.iter().copied().filter(|fault| *fault != "kill").collect(), second));
        }
    }
    let tally = Tally::default();
    in_parallel(&jobs, |(faults, second)| {
        sweep(&postgres, (faults, *second), &expected[usize::from(*second)], &tally);
    });
    println!("crash harness: {} faults, 0 violations ({tally})", tally.total());
    assert!(tally.total() >= if long_tests() { 250 } else { 60 }, "only {tally}");
}

/// Dies twice: before step N, and again before step M of the recovery.
#[test]
fn r_01_a_death_during_recovery_changes_nothing() {
    let Some(postgres) = Postgres::start() else { return };
    let [expected, _] = calm(&postgres);
    let (deaths, steps) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let first: Vec<u64> = (1..=STEPS_MAX).collect();
    in_parallel(&first, |first| {
        // Without the long tests an eleventh of the pairs is tried, spread over all of them.
        let seconds = (1..=STEPS_MAX)
            .filter(|second| long_tests() || (first * 7 + second * 3).is_multiple_of(11));
        for second in seconds {
            let shop = Golden::new(&postgres);
            if !shop.dies(*first) {
                return;
            }
            steps.fetch_max(*first as usize, Ordering::Relaxed);
            deaths.fetch_add(1, Ordering::Relaxed);
            let died_again = shop.dies(second);
            deaths.fetch_add(usize::from(died_again), Ordering::Relaxed);
            shop.project.ok(&["run"]);
            shop.assert_like(&expected, &format!("died before step {first}, then {second}"));
            if !died_again {
                return;
            }
        }
    });
    let (deaths, steps) = (deaths.into_inner(), steps.into_inner());
    println!("crash harness: {deaths} deaths in pairs, 0 violations");
    assert!(deaths > 0 && steps < STEPS_MAX as usize, "{deaths} deaths, {steps} steps");
}
