//! When and what to run: a pure state machine, (state, event) to (state, commands).
//!
//! ```text
//!   rows of the database ──State::load──▶ State
//!                                          │
//!   tick, poll, report, request ──────▶ State::handle ──▶ commands
//!        ▲                                                   │ one transaction,
//!        │                                                   │ only under my epoch
//!        │        workers ◀── messages, when it is committed ┤
//!        └───────────┘                                       ▼
//!                                                   rows of the database
//! ```
//!
//! There is no clock here, no thread, no chance and no network: the time comes with each event,
//! delays are shaken by hashes. So a test can let years pass with dying workers and leaders in a
//! second, and the same seed gives the same history. Four rules keep what it decides true
//! outside:
//!
//! 1. **The database is the truth, the state is a copy.** The commands of one event are applied in
//!    one transaction or not at all; after any refusal the copy is loaded again.
//! 2. **One leads.** Every transaction demands that the leader's row still has the epoch of the
//!    one who sends it ([`LeaderRow`]), whose clock may then show what it wants: expiries are
//!    written and judged by the database's clock.
//! 3. **Who works holds a lease with an epoch**, stops by itself before the lease ends ([`Trust`]),
//!    and what comes from an older epoch is not listened to.
//! 4. **What is asked for twice is created once**: keys of runs are made from what they are for
//!    ([`RunKey::derive`]).
//!
//! Whoever calls this keeps the leader's row, gives [`State::handle`] the database's time (read
//! when the lease was renewed, and counted on from there by a clock that never jumps), calls it at
//! [`State::next_us`], and applies what it says. A [`State::next_us`] that lies far in the past
//! says that the scheduler is stuck, whatever else looks healthy. Workers poll, keep what
//! [`Message`] says, and repeat each report until it is acknowledged.
//!
//! Everything has an end: attempts and waits for answers have time-outs, retries and lost workers
//! are counted, runs have a deadline, queues have a length.

mod backfill;
mod calendar;
mod definitions;
mod events;
mod fires;
mod graph;
mod ids;
mod leader;
mod overlap;
mod pools;
mod queue;
mod retry;
mod rows;
mod run;
mod runs;
mod state;
mod timers;
mod work;
mod workers;

#[cfg(test)]
mod tests;

pub use backfill::{
    Backfill, BackfillOptions, BackfillStatus, INTERVALS_MAX, Interval, Order, Reprocess,
};
pub use calendar::Calendar;
pub use definitions::{
    Condition, GRACE_US, Missed, Pipeline, QUIET_WAITS_MAX, RUN_TIMEOUT_US, RunLimits, Schedule,
    Seen, Trigger,
};
pub use events::{Answer, AttemptEnd, Definition, Event, Poll, Report, Request};
pub use graph::{Graph, NODES_MAX, Need, Node, NodeKind, Rule, TIMEOUT_US};
pub use ids::{
    BackfillId, NodeIndex, NodeKey, PipelineId, PoolId, RunKey, ScheduleId, SignalId, TriggerId,
    WorkerId, WorkspaceId,
};
pub use leader::{LEADER_MARGIN_US, LEADER_RENEW_US, LEADER_TTL_US, LeaderRow, Trust};
pub use overlap::Overlap;
pub use queue::{AGE_US, Share};
pub use retry::{ATTEMPTS_MAX, Failure, Growth, LOSSES_MAX, RetryPolicy};
pub use rows::{Command, Message, Origin, RunRow, RunStatus};
pub use run::{Lease, NodeEnd, NodeRow, NodeState, RunEnd, Stop};
pub use state::{Rows, State};
pub use work::{LEASE_MARGIN_US, LEASE_US};
pub use workers::POLL_US;
