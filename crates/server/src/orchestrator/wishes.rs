//! What is asked of the scheduler, by people, programs and actions.

use model::Name;
use model::run::RunId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{BackfillId, RunTrigger, UserId, WorkspaceId};

/// Something that is asked of the scheduler. It reaches the server that leads, whichever is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "wish")]
pub(crate) enum Wish {
    /// A run.
    Start(StartWish),
    /// That a run stops.
    Cancel {
        /// The run.
        run: RunId,
    },
    /// That a run goes on where it failed.
    Resume {
        /// The run.
        run: RunId,
    },
    /// That a task hears what a person has answered.
    Answer {
        /// The run.
        run: RunId,
        /// The task.
        task: String,
        /// The answer.
        answer: contracts::action::Answer,
    },
    /// That triggers hear of something.
    Signal(super::starters::Told),
    /// Runs for many intervals.
    Backfill {
        /// Chosen by whoever asks.
        id: BackfillId,
        /// The workspace.
        workspace: WorkspaceId,
        /// The pipeline.
        pipeline: Name,
        /// Their intervals, µs since the epoch, in order.
        intervals: Vec<(i64, i64)>,
        /// How many at a time.
        at_once: usize,
        /// Parameters.
        params: Value,
        /// Who wants it.
        by: Option<UserId>,
    },
    /// That a back-fill stops.
    CancelBackfill {
        /// The back-fill.
        id: BackfillId,
    },
    /// That the definitions of a workspace are read again.
    Redefine {
        /// The workspace.
        workspace: WorkspaceId,
    },
}

/// A run that is wanted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StartWish {
    /// Chosen by whoever asks.
    pub(crate) run: RunId,
    /// The workspace.
    pub(crate) workspace: WorkspaceId,
    /// The pipeline.
    pub(crate) pipeline: Name,
    /// Parameters.
    pub(crate) params: Value,
    /// Why there is a run.
    pub(crate) started_by: RunTrigger,
    /// Who wants it.
    pub(crate) triggered_by: Option<UserId>,
    /// The interval it is about.
    pub(crate) interval_us: Option<(i64, i64)>,
    /// Added to the pipeline's priority.
    pub(crate) priority: i32,
    /// A second wish with the same key means the same run.
    pub(crate) key: Option<String>,
    /// The run and task that want it, and what they call it.
    pub(crate) parent: Option<(RunId, u32, String)>,
}
