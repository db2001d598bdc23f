//! What server and runner say to one another: one JSON value a line.

use model::problem::StoredProblem;
use model::run::{NodeReport, RunId};
use model::{Name, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a runner shall do.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) run: RunId,
    pub(super) pipeline: Name,
    pub(super) params: Map<String, Value>,
}

/// What a runner tells.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum News {
    /// Something worth a line in the run's log.
    Line { level: Level, node: Option<Name>, message: String, fields: Value },
    /// How many rows each node of the stage has given on so far, and how many it has rejected.
    Counts(Vec<(Name, u64, u64)>),
    /// The last news: what each node has done, and why the run failed if it did.
    Ended { nodes: Vec<(Name, NodeReport)>, problems: Vec<StoredProblem> },
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
