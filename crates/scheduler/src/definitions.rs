//! What people declare: pipelines with their limits, schedules, triggers.

use crate::calendar::Calendar;
use crate::graph::Graph;
use crate::ids::{PipelineId, ScheduleId, SignalId, TriggerId, WorkspaceId};
use crate::overlap::Overlap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use stdx::clock::Micros;

/// A pipeline, in the version that new runs get. Runs keep the graph they began with.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// Its number.
    pub id: PipelineId,
    /// Whose it is.
    pub workspace: WorkspaceId,
    /// Its nodes.
    pub graph: Arc<Graph>,
    /// Higher is sooner; one step is worth [`crate::AGE_US`] of waiting. Inside of a workspace.
    pub priority: i32,
    /// How many runs, and how long.
    pub limits: RunLimits,
    /// What is signalled when a run of it succeeds, for the triggers of other pipelines.
    pub signal: Option<SignalId>,
}

/// How many runs a pipeline may have, and how long they may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunLimits {
    /// What happens when there are as many as there may be.
    pub overlap: Overlap,
    /// Runs at the same time.
    pub running_max: usize,
    /// Runs that wait for their turn.
    pub queued_max: usize,
    /// How long a run may take from its beginning, in µs; then it is stopped.
    pub timeout_us: Micros,
    /// How long after its creation a run should have ended, in µs; then people are told.
    pub late_us: Option<Micros>,
}

/// How long a run may take when nobody has said so: a week.
pub const RUN_TIMEOUT_US: Micros = 7 * 24 * 60 * 60 * 1_000_000;

impl Default for RunLimits {
    fn default() -> Self {
        Self {
            overlap: Overlap::default(),
            running_max: 1,
            queued_max: 1_000,
            timeout_us: RUN_TIMEOUT_US,
            late_us: None,
        }
    }
}

/// When a pipeline runs by itself; a pipeline may have several.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// Its number.
    pub id: ScheduleId,
    /// What it runs.
    pub pipeline: PipelineId,
    /// When.
    pub calendar: Calendar,
    /// Not before this instant, in µs since the epoch.
    pub start_us: Option<Micros>,
    /// Not after this instant, in µs since the epoch.
    pub end_us: Option<Micros>,
    /// Runs start up to this much later, in µs, so that not all begin on the hour; zero for none.
    pub jitter_us: Micros,
    /// What becomes of fires that nobody was there for.
    pub missed: Missed,
    /// Parameters of its runs, as JSON.
    pub params: Arc<str>,
    /// Fires up to this instant are done with; at first when it was declared, in µs.
    pub fired_us: Micros,
    /// Whether it is paused. Fires during a pause are not made up for.
    pub is_paused: bool,
}

/// What becomes of fires that are more than [`GRACE_US`] late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Missed {
    /// Each of them gets its run.
    #[default]
    All,
    /// Only the last due fire gets its run.
    Last,
    /// None of them does.
    None,
}

/// A fire that is this late, in µs, was missed.
pub const GRACE_US: Micros = 60 * 1_000_000;

impl Schedule {
    /// The next fire, without jitter; none when there will be no more.
    pub(crate) fn next_us(&self) -> Option<Micros> {
        let start_us = self.start_us.unwrap_or(Micros::MIN);
        let next_us = self.calendar.next_after(self.fired_us.max(start_us.saturating_sub(1)))?;
        self.end_us.is_none_or(|end_us| next_us <= end_us).then_some(next_us)
    }

    /// The last fire not after `until_us` that is not done with.
    pub(crate) fn last_us(&self, until_us: Micros) -> Option<Micros> {
        let after_us = self.fired_us.max(self.start_us.unwrap_or(Micros::MIN).saturating_sub(1));
        let until_us = until_us.min(self.end_us.unwrap_or(Micros::MAX));
        self.calendar.last_in(after_us, until_us)
    }
}

/// What has to be signalled before a trigger fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// A commit on a table, an arrival, a request: one signal since the last fire.
    Signal(SignalId),
    /// All of these.
    All(Vec<Condition>),
    /// One of these.
    Any(Vec<Condition>),
}

impl Condition {
    /// Since when it holds, if it does, given when the first new signal of each kind came.
    fn held_since(&self, first_us: &dyn Fn(SignalId) -> Option<Micros>) -> Option<Micros> {
        match self {
            Self::Signal(signal) => first_us(*signal),
            Self::All(conditions) => {
                let since: Option<Vec<_>> =
                    conditions.iter().map(|one| one.held_since(first_us)).collect();
                since?.into_iter().max()
            }
            Self::Any(conditions) => {
                conditions.iter().filter_map(|one| one.held_since(first_us)).min()
            }
        }
    }

    /// The signals it speaks of.
    pub fn signals(&self) -> BTreeSet<SignalId> {
        match self {
            Self::Signal(signal) => BTreeSet::from([*signal]),
            Self::All(conditions) | Self::Any(conditions) => {
                conditions.iter().flat_map(Self::signals).collect()
            }
        }
    }
}

/// What runs a pipeline when something has happened.
#[derive(Debug, Clone)]
pub struct Trigger {
    /// Its number.
    pub id: TriggerId,
    /// What it runs.
    pub pipeline: PipelineId,
    /// What has to happen.
    pub condition: Condition,
    /// How long no further signal may come before it fires, in µs; but it never waits more than
    /// [`QUIET_WAITS_MAX`] times as long, however busy the tables are.
    pub quiet_us: Micros,
    /// Parameters of its runs, as JSON.
    pub params: Arc<str>,
    /// What it has seen, by signal.
    pub seen: BTreeMap<SignalId, Seen>,
}

/// A trigger waits at most this many times its quiet time.
pub const QUIET_WAITS_MAX: i64 = 10;

/// What a trigger has seen of one signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// The highest serial number there was: the version of the table, the number of the arrival.
    pub latest: u64,
    /// The highest one that a run was started for.
    pub used: u64,
    /// When the first one since then came, in µs since the epoch.
    pub first_us: Micros,
    /// When the latest one came, in µs since the epoch.
    pub latest_us: Micros,
}

impl Trigger {
    /// When it fires if nothing more comes; none while its condition does not hold.
    pub(crate) fn due_us(&self) -> Option<Micros> {
        let new = |signal| self.seen.get(&signal).filter(|seen| seen.latest > seen.used);
        let held_us = self.condition.held_since(&|signal| new(signal).map(|seen| seen.first_us))?;
        let of_interest = self.condition.signals();
        let latest_us = of_interest.iter().filter_map(|one| new(*one)).map(|seen| seen.latest_us);
        let quiet_us = latest_us.max()?.saturating_add(self.quiet_us);
        let longest_us = self.quiet_us.saturating_mul(QUIET_WAITS_MAX);
        Some(quiet_us.min(held_us.saturating_add(longest_us)))
    }
}
