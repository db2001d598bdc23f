//! One attempt of a run: under a lease that is renewed as long as its runner lives.

use super::{Line, Report, RunOrder, RunnerNews};
use crate::app::App;
use model::{Code, Name, Problem, Result, codes};
use serde_json::{Value, json};
use std::time::Duration;
use store::{Ending, Lease, LogLevel, LogLine, Run, RunStatus};
use tokio::sync::{mpsc, watch};

/// A lease is good for so long; a server that dies is noticed after that.
const LEASE_US: i64 = 3_000_000;
/// And is renewed so often.
const RENEW_EVERY: Duration = Duration::from_millis(500);
/// A run that takes its runner down so often is set aside.
const DEATHS_MAX: usize = 3;
/// The database is away, or somebody else has the run.
const NOT_OURS_TO_TELL: &[Code] = &[codes::STORE_FAILED, codes::COMMIT_UNKNOWN, codes::RUN_LOCKED];
/// News that may wait to be written.
const NEWS_MAX: usize = 256;

/// Claims the run, does it, and says how it ended.
pub(super) async fn attempt(app: &App, run: Run) {
    let id = run.id.clone();
    if let Err(problem) = try_attempt(app, run).await
        && !problem.is(&codes::RUN_LOCKED)
    {
        tracing::error!(run = %id, %problem, "an attempt of a run could not be accounted for");
    }
    app.live.changed(&id);
}

async fn try_attempt(app: &App, run: Run) -> Result<()> {
    let now_us = app.now_us();
    let worker = format!("{}", std::process::id());
    let until_us = now_us + LEASE_US;
    let (run, lease) = app.store.queue().claim(&run.id, &worker, until_us, now_us).await?;
    app.live.changed(&run.id);
    let outcome = work(app, &run, &lease).await;
    if let Err(problem) = &outcome
        && NOT_OURS_TO_TELL.iter().any(|code| problem.is(code))
    {
        // Nothing can be said now, or by us. Once the lease is over the run is given out again.
        return outcome.map(drop);
    }
    let ending = ending(app, &run, outcome).await?;
    if let Some(problem) = &ending.problem {
        let line = Line {
            level: LogLevel::Error,
            node: None,
            message: problem.message.clone(),
            fields: json!({"problem": problem}),
        };
        log(app, &run, vec![line]).await?;
    }
    app.store.queue().finish(&lease, ending, app.now_us()).await?;
    app.wake.notify_one();
    Ok(())
}

async fn order(app: &App, run: &Run) -> Result<RunOrder> {
    let workspace = app.store.workspace(&run.workspace_id).get().await?;
    let params = match &run.params {
        Value::Object(params) => params.clone(),
        _ => serde_json::Map::new(),
    };
    Ok(RunOrder {
        workspace: Name::new(&workspace.slug)?,
        pipeline: Name::new(&run.pipeline)?,
        run: run.id.clone(),
        params,
    })
}

/// Runs, renews the lease, writes the log, all at the same time.
async fn work(app: &App, run: &Run, lease: &Lease) -> Result<Report> {
    let order = order(app, run).await?;
    let (sender, mut news) = mpsc::channel(NEWS_MAX);
    let (cancel, cancelled) = watch::channel(false);
    let mut working = app.runner.run(order, sender, cancelled);
    let mut renew = tokio::time::interval(RENEW_EVERY);
    let mut waiting = Vec::new();
    let mut ended = None;
    loop {
        tokio::select! {
            outcome = &mut working, if ended.is_none() => ended = Some(outcome),
            received = news.recv_many(&mut waiting, NEWS_MAX) => {
                if received == 0 {
                    break;
                }
                pass_on(app, run, std::mem::take(&mut waiting)).await?;
            }
            _ = renew.tick() => {
                let until_us = app.now_us() + LEASE_US;
                if app.store.queue().renew(lease, until_us).await? {
                    let _ = cancel.send(true);
                }
            }
        }
    }
    match ended {
        Some(outcome) => outcome,
        // The channel closes when the work drops its end, a moment before it is over.
        None => working.await,
    }
}

async fn pass_on(app: &App, run: &Run, news: Vec<RunnerNews>) -> Result<()> {
    let mut lines = Vec::new();
    for item in news {
        match item {
            RunnerNews::Line(line) => lines.push(line),
            RunnerNews::Counts(counts) => app.live.count(&run.id, counts),
        }
    }
    if lines.is_empty() { Ok(()) } else { log(app, run, lines).await }
}

async fn log(app: &App, run: &Run, lines: Vec<Line>) -> Result<()> {
    let at_us = app.now_us();
    let lines = lines.into_iter().map(|line| LogLine {
        node: line.node.map(|node| node.to_string()),
        at_us,
        level: line.level,
        message: line.message,
        fields: line.fields,
    });
    let runs = app.store.workspace(&run.workspace_id).runs();
    runs.append_log(&run.id, lines.collect()).await?;
    app.live.changed(&run.id);
    Ok(())
}

/// What becomes of the run after this attempt.
async fn ending(app: &App, run: &Run, outcome: Result<Report>) -> Result<Ending> {
    let problem = match outcome {
        Ok(report) => return Ok(reported(report)),
        Err(problem) if problem.is(&codes::RUN_CANCELLED) => {
            return Ok(without_report(RunStatus::Cancelled, None));
        }
        Err(problem) => problem.in_pipeline(&run.pipeline),
    };
    let detail = app.store.workspace(&run.workspace_id).runs().detail(&run.id).await?;
    let lost = detail.attempts.iter().filter(|attempt| attempt.problem.is_some()).count();
    let status = match lost + 1 >= DEATHS_MAX {
        true => RunStatus::Quarantined,
        false => RunStatus::Queued,
    };
    Ok(without_report(status, Some(problem)))
}

fn without_report(status: RunStatus, problem: Option<Problem>) -> Ending {
    Ending {
        status,
        rows_in: 0,
        rows_out: 0,
        rows_rejected: 0,
        problem: problem.map(|problem| problem.to_stored()),
        nodes: Default::default(),
    }
}

fn reported(report: Report) -> Ending {
    let sum = |count: fn(&model::run::NodeReport) -> u64| {
        let sum: u64 = report.nodes.iter().map(|(_, node)| count(node)).sum();
        i64::try_from(sum).unwrap_or(i64::MAX)
    };
    let status = match report.problems.is_empty() {
        true => RunStatus::Succeeded,
        false => RunStatus::Failed,
    };
    Ending {
        status,
        rows_in: sum(|node| node.rows_in),
        rows_out: sum(|node| node.rows_out),
        rows_rejected: sum(|node| node.rejects),
        problem: report.problems.into_iter().next(),
        nodes: report.nodes.into_iter().collect(),
    }
}
