//! How a server is.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How far the scheduler is. Processes may look healthy while nothing goes on; this does not.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SchedulerHealth {
    /// Whether this server leads. Those that stand by are healthy, too.
    pub leads: bool,
    /// How long ago the scheduler took its last turn, in ms; absent when it never led.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turned_ms_ago: Option<u64>,
    /// For how long something has been due, in ms.
    pub overdue_ms: u64,
    /// Tasks that wait for a worker.
    pub waiting: u64,
    /// How long the oldest of them has waited, in ms.
    pub oldest_ms: u64,
}
