//! What server and runner say to one another: one JSON value a line.

use contracts::action::{Scope, Step};
use model::plan::Plan;
use model::problem::StoredProblem;
use model::run::{NodeReport, RunId};
use model::{Name, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;

/// What a runner shall do. It holds secrets in the clear, so it cannot be printed.
#[derive(Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) run: RunId,
    pub(super) plan: Arc<Plan>,
    pub(super) params: Map<String, Value>,
    pub(super) interval_us: Option<(i64, i64)>,
    pub(super) job: Job,
    /// Secrets of connections: connection, name, value.
    pub(super) secrets: Vec<(Name, String, String)>,
}

/// The task.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Job {
    /// All data nodes.
    Data,
    /// An action.
    Action { module: String, with: Map<String, Value>, scope: Box<Scope> },
}

/// What a runner tells.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum News {
    /// Something worth a line in the run's log.
    Line { level: Level, node: Option<Name>, message: String, fields: Value },
    /// How many rows each node of the stage has given on so far, and how many it has rejected.
    Counts(Vec<(Name, u64, u64)>),
    /// The last news of data nodes: what each has done, the tables that have new versions, and
    /// why the run failed if it did.
    Ended {
        nodes: Vec<(Name, NodeReport)>,
        tables: Vec<(String, u64)>,
        problems: Vec<StoredProblem>,
    },
    /// The last news of an action: what comes next, or why it failed.
    Stepped(Result<Step, StoredProblem>),
}

/// How loud a line is.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Level {
    Info,
    Warn,
    Error,
}

/// The line of a value.
pub(super) fn line(value: &impl Serialize) -> Result<String> {
    let text = serde_json::to_string(value).map_err(|error| {
        let fact = "a message to or from a runner cannot be written";
        model::Problem::new(&model::codes::INTERNAL, fact).detail(error)
    })?;
    Ok(text + "\n")
}
