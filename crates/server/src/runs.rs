//! Runs: taken on durably, given to runners, followed live.
//!
//! The server itself reads no row. A run that has been accepted is a row of the metadata database;
//! the dispatcher gives it to a [`Runner`], which works in another process. Runner and dispatcher
//! may die at any moment: whoever holds a run has a lease, and when that is over the run is given
//! out again, to be resumed from its record.

mod attempt;
mod dispatch;
mod live;

pub use dispatch::dispatch;
pub(crate) use live::{Counts, Live, Now};

use async_trait::async_trait;
use model::problem::StoredProblem;
use model::run::{NodeReport, RunId};
use model::{Name, Result};
use serde_json::{Map, Value};
pub use store::LogLevel;
use tokio::sync::{mpsc, watch};

/// Does user work in another process.
#[async_trait]
pub trait Runner: Send + Sync {
    /// The pipelines of a workspace.
    async fn pipelines(&self, workspace: &Name) -> Result<Vec<PipelineInfo>>;

    /// Does a run and passes on what happens. When `cancel` becomes true the work ends at once.
    ///
    /// # Errors
    ///
    /// `run_cancelled` when it was cancelled, anything else when the runner was lost; problems of
    /// the run itself are in the report.
    async fn run(
        &self,
        order: RunOrder,
        news: mpsc::Sender<RunnerNews>,
        cancel: watch::Receiver<bool>,
    ) -> Result<Report>;
}

/// What one sees of a pipeline without opening it.
#[derive(Debug, Clone)]
pub struct PipelineInfo {
    /// Its name.
    pub name: Name,
    /// What it is for.
    pub description: String,
    /// Words it is selected by.
    pub tags: Vec<String>,
}

/// A run for a runner.
#[derive(Debug, Clone)]
pub struct RunOrder {
    /// The workspace.
    pub workspace: Name,
    /// The pipeline.
    pub pipeline: Name,
    /// The run; given again, the same run goes on.
    pub run: RunId,
    /// Values of parameters.
    pub params: Map<String, Value>,
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

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Report {
    /// What each node has done.
    pub nodes: Vec<(Name, NodeReport)>,
    /// Why it failed; empty when it did not.
    pub problems: Vec<StoredProblem>,
}
