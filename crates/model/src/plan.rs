//! What a run of a pipeline consists of, as it is stored: tasks, and who waits for whom.
//!
//! A task is what is scheduled, leased and retried: an action, or all data nodes of a pipeline
//! together. The plan of a run never changes, whatever becomes of the pipeline meanwhile.

use crate::name::Name;
use crate::pipeline::{Retry, RunPolicy, When};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The name of the task that all data nodes of a pipeline are. No node can be called that.
pub const DATA: &str = "(data)";

/// The tasks of a pipeline, parents before their children.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The pipeline.
    pub pipeline: Name,
    /// Hash of the pipeline's text and of everything it refers to.
    pub hash: String,
    /// The pipeline's document as it was, files that it refers to filled in.
    pub document: Value,
    /// How its runs relate to one another.
    pub policy: RunPolicy,
    /// The tasks.
    pub tasks: Vec<Task>,
}

/// A task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// The node's name, or [`DATA`].
    pub id: String,
    /// What is done.
    pub work: Work,
    /// What it waits for.
    pub parents: Vec<Parent>,
    /// Which ends of its parents let it begin.
    pub when: When,
    /// What happens when an attempt fails.
    #[serde(default)]
    pub retry: Option<Retry>,
    /// How long an attempt may take, in µs.
    #[serde(default)]
    pub timeout_us: Option<i64>,
    /// The pool whose slots it takes, and how many.
    #[serde(default)]
    pub pool: Option<(Name, u32)>,
}

/// A task that another waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// Position among the tasks.
    pub task: u32,
    /// The branch that has to be taken, of a task that chooses one.
    #[serde(default)]
    pub branch: Option<Name>,
}

/// What a task does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "work")]
pub enum Work {
    /// Rows are read, changed and written: all data nodes of the pipeline.
    Data,
    /// An action.
    Action {
        /// The module.
        module: String,
        /// Its settings, templates not filled in.
        with: Map<String, Value>,
        /// Whether a runner does it, because it touches the world outside.
        outside: bool,
    },
}
