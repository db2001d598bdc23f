//! Work for runners, and what they say of it.
//!
//! The server itself reads no row: what touches data or the world outside is done by a
//! [`Runner`] in another process, which may die at any moment.

mod live;

pub(crate) use live::{Counts, Live, Now};

use crate::connections::ConnectionSecret;
use async_trait::async_trait;
use contracts::action::{Scope, Step};
use model::plan::Plan;
use model::problem::StoredProblem;
use model::run::{NodeReport, RunId};
use model::{Name, Result};
use serde_json::{Map, Value};
use std::sync::Arc;
pub use store::LogLevel;
use store::{NewPipeline, WorkspaceId};
use tokio::sync::{mpsc, watch};

/// Does user work in another process.
#[async_trait]
pub trait Runner: Send + Sync {
    /// The pipelines of a workspace, as its folder has them; none when it has no folder.
    async fn pipelines(&self, workspace: &Name) -> Result<Option<Vec<NewPipeline>>>;

    /// Does a task and passes on what happens. When `cancel` becomes true the work ends at once.
    ///
    /// # Errors
    ///
    /// `run_cancelled` when it was cancelled, `runner_lost` when the runner died of it; problems
    /// of the task itself are in what is given.
    async fn run(
        &self,
        order: RunOrder,
        news: mpsc::Sender<RunnerNews>,
        cancel: watch::Receiver<bool>,
    ) -> Result<RunnerEnd>;
}

/// A task for a runner.
#[derive(Debug, Clone)]
pub struct RunOrder {
    /// The workspace.
    pub workspace: Name,
    /// And its id.
    pub workspace_id: WorkspaceId,
    /// The run; given again, the same run goes on.
    pub run: RunId,
    /// What the run consists of.
    pub plan: Arc<Plan>,
    /// Values of parameters, defaults filled in.
    pub params: Map<String, Value>,
    /// The interval that the run is for, µs since the epoch, its end exclusive.
    pub interval_us: Option<(i64, i64)>,
    /// The task.
    pub job: Job,
    /// Secrets that its connections may use.
    pub secrets: Vec<ConnectionSecret>,
}

/// What a runner does.
#[derive(Debug, Clone)]
pub enum Job {
    /// All data nodes.
    Data,
    /// An action.
    Action {
        /// The module.
        module: String,
        /// Its settings, templates not filled in.
        with: Map<String, Value>,
        /// Where it is.
        scope: Box<Scope>,
    },
}

/// How a task ended.
#[derive(Debug, Clone)]
pub enum RunnerEnd {
    /// The data nodes have been run.
    Data(Report),
    /// The action says what comes next, or why it failed.
    Action(Result<Step, StoredProblem>),
}

/// What happens in a run.
#[derive(Debug, Clone)]
pub enum RunnerNews {
    /// Something worth a line in its log.
    Line(Line),
    /// Rows given on and rejected so far, by node of the stage at work.
    Counts(Vec<(Name, u64, u64)>),
}

/// A line for a run's log.
#[derive(Debug, Clone)]
pub struct Line {
    /// How loud it is.
    pub level: LogLevel,
    /// The node it is about.
    pub node: Option<Name>,
    /// What happened.
    pub message: String,
    /// What varies.
    pub fields: Value,
}

/// What data nodes have done.
#[derive(Debug, Clone)]
pub struct Report {
    /// By node.
    pub nodes: Vec<(Name, NodeReport)>,
    /// Tables that were committed to, and their new versions.
    pub tables: Vec<(String, u64)>,
    /// Why they failed; empty when they did not.
    pub problems: Vec<StoredProblem>,
}
