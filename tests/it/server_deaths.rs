//! Servers, runners and databases that are killed in the middle of their work: no run is lost,
//! nothing is done twice.

use crate::program::Project;
use crate::server::{Up, opened, post, runners, signal, until};
use reqwest::header::COOKIE;
use serde_json::Value;
use std::process::Command;
use std::time::{Duration, Instant};
use testkit::Postgres;
use testkit::postgres::Options;

/// Rows that a run appends.
const ROWS: usize = 2_000;
const ENDS_WITHIN: Duration = Duration::from_secs(30);

const ACTIONS: &str = "affluent: 1\nkind: pipeline\nname: actions\nnodes:\n\
    \x20 - {id: one, use: set_output, with: {values: {n: 1}}}\n\
    \x20 - {id: two, use: set_output, after: [one], with: {values: {n: \"{{ outputs.one.n + 1 }}\"}}}\n\
    \x20 - {id: three, use: set_output, after: [two], with: {values: {n: \"{{ outputs.two.n + 1 }}\"}}}\n";

const DATA: &str = "affluent: 1\nkind: pipeline\nname: data\nnodes:\n\
    \x20 - {id: rows, use: csv, with: {path: \"data/*.csv\"}}\n\
    \x20 - {id: bronze, use: write_table, from: rows, with: {table: bronze.rows}}\n\
    \x20 - {id: after, use: set_output, after: [bronze], with: {values: {rows: \"{{ outputs.bronze.rows }}\"}}}\n";

/// 5 rounds, or 50 in the long tests.
fn rounds() -> usize {
    if std::env::var_os("AFFLUENT_LONG_TESTS").is_some() { 50 } else { 5 }
}

fn project() -> Project {
    Project::new(&[("pipelines/actions.yaml", ACTIONS), ("pipelines/data.yaml", DATA)])
}

/// New rows for the next run.
fn add_rows(project: &Project, round: usize) {
    let rows: String = (0..ROWS).map(|row| format!("{}\n", round * ROWS + row)).collect();
    project.write(&format!("data/{round}.csv"), format!("id\n{rows}"));
}

async fn start(up: &Up, cookie: &str, pipeline: &str) -> String {
    let path = format!("/api/v1/workspaces/test/pipelines/{pipeline}/runs");
    let run = post(up, cookie, &path).await;
    run["id"].as_str().unwrap_or_else(|| panic!("{run}")).to_owned()
}

/// What must hold when all is over: each task of each run was done, and each row is there once.
async fn assert_all_done(up: &Up, cookie: &str, project: &Project, runs: &[String], rows: usize) {
    for run in runs {
        let done = until(up, cookie, run, "succeeded").await;
        let tasks = done["tasks"].as_array().unwrap();
        assert!(tasks.iter().all(|task| task["state"] == "succeeded"), "{done:#}");
        for task in tasks {
            let of_task = |attempt: &&Value| attempt["task"] == task["name"];
            let attempts = done["attempts"].as_array().unwrap().iter().filter(of_task);
            let ends: Vec<_> = attempts.map(|attempt| attempt["end"].clone()).collect();
            let succeeded = ends.iter().filter(|end| **end == "succeeded").count();
            assert_eq!(succeeded, 1, "a task succeeds once: {ends:?}");
            assert!(ends.iter().all(|end| !end.is_null()), "every attempt has its end: {ends:?}");
        }
    }
    assert_eq!(project.value("select count(*) from bronze.rows"), rows);
    assert_eq!(project.value("select count(distinct id) from bronze.rows"), rows);
    let open = format!("{}?status=queued,running,stopping", up.url("/api/v1/workspaces/test/runs"));
    let open = crate::server::client().get(open).header(COOKIE, cookie).send().await.unwrap();
    let open: Value = open.json().await.unwrap();
    assert_eq!(open["items"].as_array().unwrap().len(), 0, "{open}");
    assert_eq!(runners(project), 0);
}

/// A moment of a round, another one in each, and the same in each test run.
fn moment(round: usize) -> Duration {
    Duration::from_millis(u64::try_from(round * 37 % 250).unwrap())
}

async fn server_killed(up: impl Fn(&Project) -> Up) {
    let project = project();
    let mut server = up(&project);
    let cookie = opened(&server).await;
    let (mut runs, mut slowest) = (Vec::new(), Duration::ZERO);
    for round in 0..rounds() {
        add_rows(&project, round);
        let data = start(&server, &cookie, "data").await;
        runs.extend([start(&server, &cookie, "actions").await, data.clone()]);
        tokio::time::sleep(moment(round)).await;
        signal(&server.process, "KILL");
        server.process.wait().unwrap();
        let begin = Instant::now();
        server = up(&project);
        until(&server, &cookie, &data, "succeeded").await;
        slowest = slowest.max(begin.elapsed());
    }
    println!("{} deaths of the server; back and done within {slowest:?}", rounds());
    assert_all_done(&server, &cookie, &project, &runs, rounds() * ROWS).await;
    server.stop();
}

#[tokio::test]
async fn a_server_that_is_killed_again_and_again_loses_nothing() {
    server_killed(|project| Up::start(project, &[])).await;
}

#[tokio::test]
async fn on_postgres_neither() {
    let Some(postgres) = Postgres::start() else { return };
    server_killed(|project| Up::on(project, &postgres)).await;
}

#[tokio::test]
async fn a_runner_that_is_killed_in_each_run_loses_nothing() {
    let project = project();
    let server = Up::start(&project, &[]);
    let cookie = opened(&server).await;
    let (mut runs, mut deaths) = (Vec::new(), 0);
    let pattern = format!("{}.* work", project.path().display());
    for round in 0..rounds() {
        add_rows(&project, round);
        let run = start(&server, &cookie, "data").await;
        tokio::time::sleep(moment(round) / 4).await;
        let killed = Command::new("pkill").args(["-KILL", "-f", &pattern]).status().unwrap();
        deaths += usize::from(killed.success());
        until(&server, &cookie, &run, "succeeded").await;
        runs.push(run);
    }
    println!("{deaths} deaths of runners in {} rounds", rounds());
    assert!(deaths > 0, "nothing was killed");
    assert_all_done(&server, &cookie, &project, &runs, rounds() * ROWS).await;
    server.stop();
}

#[tokio::test]
async fn a_database_that_is_killed_again_and_again_loses_nothing() {
    // A server that does not sync loses what it has confirmed.
    let options = Options { fsync: true, ..Options::default() };
    let Some(mut postgres) = Postgres::start_with(options) else { return };
    let project = project();
    let server = Up::on(&project, &postgres);
    let cookie = opened(&server).await;
    let mut runs = Vec::new();
    for round in 0..rounds() {
        add_rows(&project, round);
        let data = start(&server, &cookie, "data").await;
        runs.extend([start(&server, &cookie, "actions").await, data]);
        tokio::time::sleep(moment(round)).await;
        postgres.kill_and_start_again();
        let begin = Instant::now();
        while !is_ready(&server).await {
            assert!(begin.elapsed() < ENDS_WITHIN, "the server does not find its database again");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    assert_all_done(&server, &cookie, &project, &runs, rounds() * ROWS).await;
    server.stop();
}

async fn is_ready(up: &Up) -> bool {
    let answer = crate::server::client().get(up.url("/readyz")).send().await;
    answer.is_ok_and(|answer| answer.status().is_success())
}
