//! What is said over the WebSocket of a workspace.

use crate::runs::{LiveEvent, Run};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a client says.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields, tag = "say")]
pub enum ClientWord {
    /// Tell me of all runs that change.
    FollowRuns {
        /// The number of the last change that I have; without it only what comes is told.
        after: Option<u64>,
    },
    /// Tell me what happens in a run.
    FollowRun {
        /// Id of the run.
        run: String,
        /// Number of the last line of its log that I have.
        after: Option<u64>,
    },
    /// Tell me how many notifications I have not read.
    FollowNotifications,
    /// Tell me no more of a run.
    LeaveRun {
        /// Id of the run.
        run: String,
    },
}

/// What the server says.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "topic")]
pub enum ServerWord {
    /// Runs have changed.
    Runs {
        /// The number to come back with.
        number: u64,
        /// The runs as they are now.
        runs: Vec<Run>,
        /// Whether too much was missed: read the list again.
        missed: bool,
    },
    /// Something has happened in a run.
    Run {
        /// Id of the run.
        run: String,
        /// Number of the line of its log, of an event that is one.
        #[serde(skip_serializing_if = "Option::is_none")]
        line: Option<u64>,
        /// What has happened.
        event: Box<LiveEvent>,
    },
    /// How many notifications are not read.
    Notifications {
        /// So many.
        unread: u64,
    },
    /// What the client said was not understood, or cannot be.
    Refused {
        /// Why.
        problem: crate::problem::ProblemBody,
    },
}
