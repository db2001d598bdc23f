//! The worker inside of the server that leads: it does tasks in runner processes.

use super::book::Book;
use super::draft::TaskExtras;
use super::services::{failure, stored_failure};
use super::{Body, Letter};
use crate::app::App;
use crate::connections::secrets_of;
use crate::runs::{Job, Line, Report as RunnerReport, RunOrder, RunnerEnd, RunnerNews};
use contracts::action::{Scope, Step};
use model::plan::Work;
use model::{Problem, Result, codes};
use scheduler::{AttemptEnd, LEASE_MARGIN_US, LEASE_US, Message, NodeKey, Poll, Report, WorkerId};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::{LogLevel, LogLine};
use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinSet};

/// It asks for work, and keeps what it has, so often.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// A pipeline that another process works on is looked at again after so long, in µs.
const LOCKED_US: i64 = 500_000;
/// News that may wait to be written.
const NEWS_MAX: usize = 256;

/// An attempt that goes on.
struct Attempt {
    node: NodeKey,
    epoch: u64,
    cancel: watch::Sender<bool>,
}

/// How an attempt ended, for the scheduler and for people.
struct Ended {
    end: AttemptEnd,
    about: TaskExtras,
    /// Tables that have new versions.
    tables: Vec<(String, u64)>,
}

pub(super) struct Worker {
    app: App,
    book: Arc<Book>,
    id: WorkerId,
    polls: u64,
    /// The highest epoch that was begun, by task.
    begun: HashMap<NodeKey, u64>,
    attempts: HashMap<Id, Attempt>,
    working: JoinSet<Ended>,
    /// Ends that are not acknowledged.
    unheard: JoinSet<NodeKey>,
    /// Until when its leases can be relied upon.
    trusted_until: Instant,
}

impl Worker {
    pub(super) fn new(app: App, book: Arc<Book>, id: WorkerId) -> Self {
        Self {
            app,
            book,
            id,
            polls: 0,
            begun: HashMap::new(),
            attempts: HashMap::new(),
            working: JoinSet::new(),
            unheard: JoinSet::new(),
            trusted_until: Instant::now(),
        }
    }

    /// Works until nobody gives it messages any more. What it works at then is let go.
    pub(super) async fn work(mut self, mut messages: mpsc::Receiver<Message>) {
        let mut poll = tokio::time::interval(POLL_EVERY);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut polled: Option<tokio::task::JoinHandle<(Instant, bool)>> = None;
        loop {
            tokio::select! {
                message = messages.recv() => match message {
                    Some(message) => self.hear(message),
                    None => return,
                },
                Some(ended) = self.working.join_next_with_id() => self.ended(ended),
                Some(_) = self.unheard.join_next() => {}
                _ = poll.tick(), if polled.is_none() => polled = Some(self.poll()),
                Ok((sent, was_heard)) = async {
                    match polled.as_mut() {
                        Some(polled) => polled.await,
                        None => std::future::pending().await,
                    }
                } => {
                    polled = None;
                    if was_heard {
                        let for_us = u64::try_from(LEASE_US - LEASE_MARGIN_US).unwrap_or(0);
                        self.trusted_until = sent + Duration::from_micros(for_us);
                    }
                    self.stop_if_not_trusted();
                }
            }
        }
    }

    /// Says what it works at, in the background.
    fn poll(&mut self) -> tokio::task::JoinHandle<(Instant, bool)> {
        self.polls += 1;
        let working = self.attempts.values().map(|attempt| (attempt.node, attempt.epoch));
        let poll = Poll {
            worker: self.id,
            number: self.polls,
            slots: u32::try_from(self.app.runs_at_once).unwrap_or(u32::MAX),
            working: working.collect(),
        };
        let (letter, heard) = Letter::new(Body::Poll(poll));
        let letters = self.app.letters.clone();
        let sent = Instant::now();
        tokio::spawn(async move {
            let was_heard = letters.send(letter).await.is_ok() && matches!(heard.await, Ok(Ok(_)));
            (sent, was_heard)
        })
    }

    /// Whoever cannot renew its leases stops before they end: somebody else may begin then.
    fn stop_if_not_trusted(&mut self) {
        if Instant::now() < self.trusted_until {
            return;
        }
        for attempt in self.attempts.values() {
            let _ = attempt.cancel.send(true);
        }
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Work { node, epoch, .. } => self.begin(node, epoch),
            Message::Stop { node, epoch } => {
                let told = |attempt: &&Attempt| (attempt.node, attempt.epoch) == (node, epoch);
                if let Some(attempt) = self.attempts.values().find(told) {
                    let _ = attempt.cancel.send(true);
                }
            }
            // Letters are answered, and polls say when leases were renewed.
            Message::Renewed { .. } | Message::Acknowledged { .. } => {}
        }
    }

    fn begin(&mut self, node: NodeKey, epoch: u64) {
        let begun = self.begun.entry(node).or_default();
        if *begun >= epoch {
            return;
        }
        *begun = epoch;
        let (cancel, cancelled) = watch::channel(false);
        let (app, book) = (self.app.clone(), Arc::clone(&self.book));
        let task = self.working.spawn(async move { attempt(&app, &book, node, cancelled).await });
        self.attempts.insert(task.id(), Attempt { node, epoch, cancel });
    }

    fn ended(&mut self, ended: Result<(Id, Ended), tokio::task::JoinError>) {
        let id = ended.as_ref().map_or_else(tokio::task::JoinError::id, |(id, _)| *id);
        let Some(Attempt { node, epoch, .. }) = self.attempts.remove(&id) else { return };
        let ended = match ended {
            Ok((_, ended)) => ended,
            Err(error) => lost(
                &self.book,
                node,
                Problem::new(&codes::INTERNAL, "an attempt broke off").detail(error),
            ),
        };
        let report = Report { worker: self.id, node, epoch, end: ended.end };
        let body = Body::Report { report, about: ended.about, tables: ended.tables };
        let letters = self.app.letters.clone();
        // Told again until it is heard: the work is done.
        self.unheard.spawn(async move {
            loop {
                let (letter, heard) = Letter::new(body.clone());
                if letters.send(letter).await.is_err() || matches!(heard.await, Ok(Ok(_))) {
                    return node;
                }
                tokio::time::sleep(POLL_EVERY).await;
            }
        });
    }
}

/// Does a task once.
async fn attempt(app: &App, book: &Book, node: NodeKey, cancelled: watch::Receiver<bool>) -> Ended {
    let Some(order) = order(book, node) else {
        return lost(book, node, Problem::new(&codes::INTERNAL, "the run of a task is not known"));
    };
    match run(app, order, cancelled).await {
        Ok(RunnerEnd::Data(report)) => data_ended(book, node, report),
        Ok(RunnerEnd::Action(Ok(step))) => action_ended(book, node, step),
        Ok(RunnerEnd::Action(Err(problem))) => Ended {
            end: AttemptEnd::Failed(stored_failure(&problem)),
            about: about(node, store::AttemptEnd::Failed, Some(problem)),
            tables: Vec::new(),
        },
        Err(problem) if problem.is(&codes::RUN_CANCELLED) => Ended {
            end: AttemptEnd::Returned,
            about: about(node, store::AttemptEnd::Returned, None),
            tables: Vec::new(),
        },
        Err(problem) if problem.is(&codes::RUNNER_LOST) => lost(book, node, problem),
        Err(problem) => Ended {
            end: AttemptEnd::Failed(failure(&problem)),
            about: about(
                node,
                store::AttemptEnd::Failed,
                Some(super::load::placed(problem, book, node)),
            ),
            tables: Vec::new(),
        },
    }
}

fn about(
    node: NodeKey,
    end: store::AttemptEnd,
    problem: Option<model::problem::StoredProblem>,
) -> TaskExtras {
    TaskExtras { node, end, problem, output: None, report: None }
}

fn lost(book: &Book, node: NodeKey, problem: Problem) -> Ended {
    Ended {
        end: AttemptEnd::Lost,
        about: about(node, store::AttemptEnd::Lost, Some(super::load::placed(problem, book, node))),
        tables: Vec::new(),
    }
}

fn data_ended(_: &Book, node: NodeKey, report: RunnerReport) -> Ended {
    let is_locked = |problem: &model::problem::StoredProblem| problem.code == codes::RUN_LOCKED.id;
    let problem = report.problems.first().cloned();
    if problem.as_ref().is_some_and(is_locked) {
        let again = about(node, store::AttemptEnd::Returned, None);
        let end = AttemptEnd::Again { after_us: LOCKED_US };
        return Ended { end, about: again, tables: Vec::new() };
    }
    let (end, shown) = match &problem {
        None => (AttemptEnd::Succeeded { not_taken: Vec::new() }, store::AttemptEnd::Succeeded),
        Some(problem) => (AttemptEnd::Failed(stored_failure(problem)), store::AttemptEnd::Failed),
    };
    let mut about = about(node, shown, problem);
    about.output = Some(Scope::data_output(&report.nodes));
    about.report = Some(report.nodes.into_iter().collect());
    Ended { end, about, tables: report.tables }
}

fn action_ended(book: &Book, node: NodeKey, step: Step) -> Ended {
    let (end, shown, output) = match step {
        Step::Done { output, taken } => {
            let runs = book.open();
            let entry = runs.get(&node.run);
            let not_taken = entry.map(|entry| entry.not_taken(node.node, taken.as_deref()));
            let not_taken = not_taken.unwrap_or_default();
            (AttemptEnd::Succeeded { not_taken }, store::AttemptEnd::Succeeded, Some(output))
        }
        Step::Again { after_us } | Step::Ask { after_us: Some(after_us), .. } => {
            (AttemptEnd::Again { after_us }, store::AttemptEnd::Returned, None)
        }
        Step::Runs | Step::Ask { after_us: None, .. } => {
            let after_us = LOCKED_US;
            (AttemptEnd::Again { after_us }, store::AttemptEnd::Returned, None)
        }
    };
    let mut about = about(node, shown, None);
    about.output = output;
    Ended { end, about, tables: Vec::new() }
}

fn order(book: &Book, node: NodeKey) -> Option<RunOrder> {
    let work = book.work(node)?;
    let scope = book.scope(node);
    let runs = book.open();
    let entry = runs.get(&node.run)?;
    let job = match work {
        Work::Data => Job::Data,
        Work::Action { module, with, .. } => Job::Action { module, with, scope: Box::new(scope?) },
    };
    Some(RunOrder {
        workspace: entry.slug.clone(),
        workspace_id: entry.workspace.clone(),
        run: entry.id.clone(),
        plan: Arc::clone(&entry.plan),
        params: entry.params.clone(),
        interval_us: entry.interval_us,
        job,
        secrets: Vec::new(),
    })
}

/// Lets a runner work, and writes down what it says.
async fn run(
    app: &App,
    mut order: RunOrder,
    cancelled: watch::Receiver<bool>,
) -> Result<RunnerEnd> {
    order.secrets = secrets_of(app, &app.store.workspace(&order.workspace_id)).await?;
    let (sender, mut news) = mpsc::channel(NEWS_MAX);
    let (run, workspace) = (order.run.clone(), order.workspace_id.clone());
    let mut working = app.runner.run(order, sender, cancelled);
    let mut waiting = Vec::new();
    let mut ended = None;
    loop {
        tokio::select! {
            outcome = &mut working, if ended.is_none() => ended = Some(outcome),
            received = news.recv_many(&mut waiting, NEWS_MAX) => {
                if received == 0 {
                    break;
                }
                pass_on(app, &run, &workspace, std::mem::take(&mut waiting)).await;
            }
        }
    }
    let outcome = match ended {
        Some(outcome) => outcome,
        // The channel closes when the work drops its end, a moment before it is over.
        None => working.await,
    };
    if let Some(problem) = problem_of(&outcome) {
        let line = Line {
            level: LogLevel::Error,
            node: None,
            message: problem.message.clone(),
            fields: json!({"problem": problem}),
        };
        log(app, &run, &workspace, vec![line]).await;
    }
    outcome
}

fn problem_of(outcome: &Result<RunnerEnd>) -> Option<model::problem::StoredProblem> {
    match outcome {
        Ok(RunnerEnd::Data(report)) => report.problems.first().cloned(),
        Ok(RunnerEnd::Action(ended)) => ended.as_ref().err().cloned(),
        Err(problem) if problem.is(&codes::RUN_CANCELLED) => None,
        Err(problem) => Some(problem.to_stored()),
    }
}

async fn pass_on(
    app: &App,
    run: &model::run::RunId,
    workspace: &store::WorkspaceId,
    news: Vec<RunnerNews>,
) {
    let mut lines = Vec::new();
    for item in news {
        match item {
            RunnerNews::Line(line) => lines.push(line),
            RunnerNews::Counts(counts) => app.live.count(run, counts),
        }
    }
    if !lines.is_empty() {
        log(app, run, workspace, lines).await;
    }
}

/// A log that cannot be written does not stop the work.
async fn log(app: &App, run: &model::run::RunId, workspace: &store::WorkspaceId, lines: Vec<Line>) {
    let at_us = app.now_us();
    let lines = lines.into_iter().map(|line| LogLine {
        seq: 0,
        node: line.node.map(|node| node.to_string()),
        at_us,
        level: line.level,
        message: line.message,
        fields: Value::clone(&line.fields),
    });
    let runs = app.store.workspace(workspace).runs();
    if let Err(problem) = runs.append_log(run, lines.collect()).await {
        tracing::warn!(%run, %problem, "lines of a log are lost");
    }
    app.live.changed(run);
}
