//! Brings the scheduler together with the database, the workers and the world.
//!
//! One server leads: it alone hands events to [`scheduler::State`], and what follows from the
//! events of one turn is one transaction, which is refused when another server leads by then.
//! Whatever is asked is answered after that transaction. The state is a copy that may be thrown
//! away and read again at any moment; after any refusal it is.

mod book;
mod draft;
mod effects;
mod files;
mod graph;
mod lead;
mod leading;
mod load;
mod names;
mod services;
mod starters;
mod turn;
mod wishes;
mod worker;

pub(crate) use files::stays_below;
pub use lead::orchestrate;
pub(crate) use starters::{StoredRule, Told, calendar, signal, span_us};
pub(crate) use wishes::{StartWish, Wish};

use crate::app::App;
use contracts::action;
use draft::TaskExtras;
use model::run::RunId;
use model::{Name, Problem, Result, codes};
use scheduler::{Answer, NodeKey, Poll, Report};
use serde_json::Value;
use std::time::{Duration, Instant};
use store::{NewPipeline, WorkspaceId};
use tokio::sync::oneshot;

/// Letters that may wait.
pub(crate) const LETTERS_MAX: usize = 4_096;
/// How often it is looked whether the server that leads has taken up a wish, and how long.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const LOOKS_MAX: u32 = 200;

/// How far the scheduler of this server is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Progress {
    /// When it took its last turn; none when it never led.
    pub(crate) turned: Option<Instant>,
    /// For how long something has been due, in µs.
    pub(crate) overdue_us: i64,
    /// Tasks that wait for a worker.
    pub(crate) waiting: u64,
    /// How long the oldest of them has waited, in µs.
    pub(crate) oldest_us: i64,
}

/// What somebody tells the scheduler; it is answered when it is durable.
#[derive(Debug)]
pub(crate) struct Letter {
    body: Body,
    reply: oneshot::Sender<Result<Option<RunId>>>,
    /// Turns that have failed with it.
    failures: u32,
}

/// What is told.
#[derive(Debug, Clone)]
enum Body {
    Wish(Wish),
    Poll(Poll),
    Report { report: Report, about: TaskExtras, tables: Vec<(String, u64)> },
    Answer { node: NodeKey, answer: Answer, about: TaskExtras },
    Question { node: NodeKey, question: Value },
}

impl Letter {
    fn new(body: Body) -> (Self, oneshot::Receiver<Result<Option<RunId>>>) {
        let (reply, replied) = oneshot::channel();
        (Self { body, reply, failures: 0 }, replied)
    }
}

impl App {
    /// Asks something of the scheduler, wherever it is. When this returns it is durable; a run
    /// that was asked for is named.
    pub(crate) async fn wish(&self, wish: Wish) -> Result<Option<RunId>> {
        if *self.leads.borrow() {
            let (letter, replied) = Letter::new(Body::Wish(wish.clone()));
            let is_sent = self.letters.send(letter).await.is_ok();
            if is_sent && let Ok(reply) = replied.await {
                return reply;
            }
        }
        let run = match &wish {
            Wish::Start(start) => Some(start.run.clone()),
            _ => None,
        };
        let id = RunId::generate(self.now_us()).to_string();
        let body = serde_json::to_value(&wish).map_err(|error| {
            Problem::new(&codes::INTERNAL, "a wish cannot be written").detail(error)
        })?;
        self.store.orchestration().wish(&id, body, self.now_us()).await?;
        for _ in 0..LOOKS_MAX {
            tokio::time::sleep(LOOK_EVERY).await;
            let wishes = self.store.orchestration().wishes().await?;
            if wishes.iter().all(|(wish, _)| *wish != id) {
                break;
            }
        }
        // Nobody leads at the moment; whoever does next takes it up.
        Ok(run)
    }

    /// Tells a person's answer to a task.
    pub(crate) async fn answer_task(
        &self,
        run: RunId,
        task: String,
        answer: action::Answer,
    ) -> Result<()> {
        self.wish(Wish::Answer { run, task, answer }).await.map(drop)
    }
}

/// Reads the pipelines of a workspace from its folder, if it has one, for all runs from now on.
pub(crate) async fn republish(app: &App, workspace: &store::Workspace) -> Result<()> {
    match app.runner.pipelines(&Name::new(&workspace.slug)?).await? {
        Some(pipelines) => publish(app, &workspace.id, pipelines).await,
        None => Ok(()),
    }
}

/// Makes these the pipelines of a workspace, for all runs from now on.
pub(crate) async fn publish(
    app: &App,
    workspace: &WorkspaceId,
    pipelines: Vec<NewPipeline>,
) -> Result<()> {
    let store = app.store.workspace(workspace);
    let (changed, gone) = store.pipelines().publish(pipelines, app.now_us()).await?;
    let is_same = changed.is_empty() && gone.is_empty();
    // Whoever does not lead yet reads them when it does.
    if is_same || !*app.leads.borrow() {
        return Ok(());
    }
    app.wish(Wish::Redefine { workspace: workspace.clone() }).await.map(drop)
}
