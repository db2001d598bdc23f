//! What one decision of the scheduler changes.

use crate::entity::{backfill, run};
use crate::ids::{BackfillId, ScheduleId, TriggerId, WorkspaceId};
use crate::words::{AttemptEnd, RunStatus};
use model::Name;
use model::notice::Notice;
use model::problem::StoredProblem;
use model::run::{NodeReport, RunId};
use serde_json::Value;
use std::collections::BTreeMap;

/// What one decision changes. Each thing is in each list at most once.
#[derive(Debug, Clone, Default)]
pub struct Writes {
    /// Runs that are new; refused when the plan of one is gone.
    pub new_runs: Vec<run::Model>,
    /// Runs that were there.
    pub runs: Vec<RunChange>,
    /// Tasks, new or not.
    pub tasks: Vec<TaskChange>,
    /// Leases that go on: run, task, epoch. They may end, or have begun, in the same turn.
    pub renewals: Vec<(RunId, i64, i64)>,
    /// How long a lease lasts from now, in µs.
    pub lease_us: i64,
    /// Attempts that begin.
    pub begun: Vec<AttemptBegun>,
    /// Attempts that end.
    pub ended: Vec<AttemptEnded>,
    /// What tasks give on, or why they failed.
    pub results: Vec<TaskResult>,
    /// What data nodes have done.
    pub reports: Vec<RunReport>,
    /// Schedules: up to which instant their fires were, and are, done with.
    pub schedules: Vec<(ScheduleId, i64, i64)>,
    /// Signals that came.
    pub signals: Vec<SignalSeen>,
    /// Signals that a run was started for.
    pub used: Vec<SignalsUsed>,
    /// Back-fills that are new.
    pub new_backfills: Vec<NewBackfill>,
    /// Back-fills that have come further.
    pub backfills: Vec<BackfillChange>,
    /// News for people.
    pub notices: Vec<(WorkspaceId, Notice)>,
}

/// A run gets into another state. Refused when it is not in the state `was`.
#[derive(Debug, Clone)]
pub struct RunChange {
    /// The run.
    pub run: RunId,
    /// The scheduler's word for where it is.
    pub was: Value,
    /// And for where it gets.
    pub state: Value,
    /// What people see of that.
    pub status: RunStatus,
    /// µs since the epoch: it has to end by then.
    pub deadline_us: Option<i64>,
    /// µs since the epoch: people are told then that it is late.
    pub late_us: Option<i64>,
    /// Why it failed.
    pub problem: Option<StoredProblem>,
}

/// A task gets into another state. Refused when it has a row whose epoch is not `was_epoch`; one
/// without a row is new.
#[derive(Debug, Clone)]
pub struct TaskChange {
    /// The run.
    pub run: RunId,
    /// Its place in the plan.
    pub number: i64,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Its name.
    pub name: String,
    /// The epoch that it has.
    pub was_epoch: i64,
    /// The epoch that it gets.
    pub epoch: i64,
    /// Whether this takes away a lease that has run out; refused when it has not.
    pub lapsed: bool,
    /// What becomes of its lease.
    pub lease: LeaseChange,
    /// The scheduler's word for where it gets.
    pub state: Value,
    /// Attempts that have begun.
    pub attempts: i64,
    /// Attempts that failed.
    pub failures: i64,
    /// Attempts whose worker was lost.
    pub losses: i64,
    /// Children that shall not begin.
    pub not_taken: Vec<u32>,
    /// µs since the epoch, of the first attempt.
    pub started_at_us: Option<i64>,
    /// µs since the epoch.
    pub ended_at_us: Option<i64>,
}

/// What becomes of a task's lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeaseChange {
    /// It is a new one.
    New,
    /// It stays as it is.
    Kept,
    /// There is none.
    None,
}

/// An attempt begins.
#[derive(Debug, Clone)]
pub struct AttemptBegun {
    /// The run.
    pub run: RunId,
    /// The task.
    pub task: i64,
    /// From 1.
    pub number: i64,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Who tries.
    pub worker: String,
}

/// An attempt ends.
#[derive(Debug, Clone)]
pub struct AttemptEnded {
    /// The run.
    pub run: RunId,
    /// The task.
    pub task: i64,
    /// From 1.
    pub number: i64,
    /// How.
    pub end: AttemptEnd,
    /// Why it failed.
    pub problem: Option<StoredProblem>,
}

/// What a task gives on, or why it failed.
#[derive(Debug, Clone)]
pub struct TaskResult {
    /// The run.
    pub run: RunId,
    /// The task.
    pub task: i64,
    /// What it gives to later tasks.
    pub output: Option<Value>,
    /// What a person is asked.
    pub question: Option<Value>,
    /// What a person has answered.
    pub answer: Option<Value>,
    /// Why its last attempt failed.
    pub problem: Option<StoredProblem>,
}

/// What the data nodes of a run have done.
#[derive(Debug, Clone)]
pub struct RunReport {
    /// The run.
    pub run: RunId,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// By node.
    pub nodes: BTreeMap<Name, NodeReport>,
}

/// A signal came.
#[derive(Debug, Clone)]
pub struct SignalSeen {
    /// The trigger that waits for it.
    pub trigger: TriggerId,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The signal.
    pub signal: String,
    /// Its serial number; refused when the latest one is not lower.
    pub serial: i64,
    /// µs since the epoch: when the first one came that no run was started for.
    pub first_us: i64,
    /// µs since the epoch: when this one came.
    pub latest_us: i64,
}

/// A run was started for signals.
#[derive(Debug, Clone)]
pub struct SignalsUsed {
    /// The trigger.
    pub trigger: TriggerId,
    /// Signals, and the serial number up to which they are used.
    pub serials: Vec<(String, i64)>,
}

/// A back-fill begins.
#[derive(Debug, Clone)]
pub struct NewBackfill {
    /// Its row.
    pub row: backfill::Model,
}

/// A back-fill has come further. Refused when it has not started `was_started` runs.
#[derive(Debug, Clone)]
pub struct BackfillChange {
    /// The back-fill.
    pub backfill: BackfillId,
    /// How many runs it had started.
    pub was_started: i64,
    /// How many it has now.
    pub started: i64,
    /// The scheduler's word for where it is.
    pub status: String,
}
