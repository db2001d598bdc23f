//! What happens, as the scheduler is told of it.

use crate::backfill::Backfill;
use crate::definitions::{Pipeline, Schedule, Trigger};
use crate::ids::{
    BackfillId, NodeIndex, NodeKey, PipelineId, PoolId, RunKey, ScheduleId, SignalId, TriggerId,
    WorkerId, WorkspaceId,
};
use crate::queue::Share;
use crate::retry::Failure;
use crate::rows::{Origin, RunRow};
use crate::run::NodeRow;
use std::sync::Arc;
use stdx::clock::Micros;

/// Something that has happened. Telling the same twice does no more than telling it once.
#[derive(Debug, Clone)]
pub enum Event {
    /// Time has passed: what is due happens. To be told at [`crate::State::next_us`] at the latest.
    Tick,
    /// A worker asks for work and says what it does.
    Poll(Poll),
    /// A worker has ended an attempt. To be told again until it is acknowledged.
    Report(Report),
    /// Somebody or something outside has answered a node that waits.
    Answer {
        /// The node.
        node: NodeKey,
        /// What: the person approved, the file is there, the condition does not hold.
        answer: Answer,
    },
    /// Somebody wants a run.
    Start(Request),
    /// Somebody wants a run to stop.
    Cancel(RunKey),
    /// Somebody wants a run that did not succeed to go on where it failed.
    Resume {
        /// The run, as it ended.
        run: RunRow,
        /// Its nodes, as they ended.
        nodes: Vec<NodeRow>,
    },
    /// A table has a new version, a file has arrived, a webhook was called.
    Signal {
        /// What.
        signal: SignalId,
        /// A number that grows with each occurrence: the version, the number of the arrival.
        serial: u64,
    },
    /// Somebody wants runs for many intervals, planned by [`crate::Backfill::plan`].
    Backfill(Backfill),
    /// Somebody wants a back-fill to stop.
    CancelBackfill(BackfillId),
    /// A definition is new, has changed or is gone.
    Define(Definition),
}

/// A change of what is declared. It is written by whoever edits, before the scheduler is told.
#[derive(Debug, Clone)]
pub enum Definition {
    /// What a workspace may have.
    Workspace(WorkspaceId, Share),
    /// A pool of a workspace and its slots; none when it is gone.
    Pool(WorkspaceId, PoolId, Option<u32>),
    /// A pipeline.
    Pipeline(Pipeline),
    /// A pipeline is gone. Its runs go on.
    NoPipeline(PipelineId),
    /// A schedule. What it has fired before it was changed stays fired.
    Schedule(Schedule),
    /// A schedule is gone.
    NoSchedule(ScheduleId),
    /// A trigger. What it has seen before it was changed stays seen.
    Trigger(Trigger),
    /// A trigger is gone.
    NoTrigger(TriggerId),
}

/// What a worker says when it asks for work, at least every [`crate::POLL_US`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poll {
    /// Who.
    pub worker: WorkerId,
    /// Grows with each poll of this worker: what comes late is not listened to.
    pub number: u64,
    /// How many nodes it can work at, those it works at included.
    pub slots: u32,
    /// The nodes it works at, or whose ends it has not reported yet, with their epochs.
    pub working: Vec<(NodeKey, u64)>,
}

/// What a worker says when an attempt has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Who.
    pub worker: WorkerId,
    /// The node.
    pub node: NodeKey,
    /// The lease's epoch.
    pub epoch: u64,
    /// How it ended.
    pub end: AttemptEnd,
}

/// What is answered to a node that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The node succeeds.
    Succeeded {
        /// Children that shall not begin: the other branches of an `if`.
        not_taken: Vec<NodeIndex>,
    },
    /// This attempt has failed.
    Failed(Failure),
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptEnd {
    /// The work is done and committed.
    Succeeded {
        /// Children that shall not begin: the other branches of an `if`.
        not_taken: Vec<NodeIndex>,
    },
    /// It failed.
    Failed(Failure),
    /// The process that worked at it died of it: out of memory, aborted, killed.
    Lost,
    /// The worker gave it back, because it was told to stop or is itself about to end.
    Returned,
    /// There is nothing to do yet: another attempt shall look again. It holds no slot meanwhile.
    Again {
        /// After so long, in µs.
        after_us: Micros,
    },
}

/// A wish for a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The run's key: the same wish has the same key, however often it is sent.
    pub run: RunKey,
    /// What is to run.
    pub pipeline: PipelineId,
    /// Who wants it.
    pub origin: Origin,
    /// Parameters, as JSON.
    pub params: Arc<str>,
    /// Added to the pipeline's priority.
    pub priority: i32,
}
