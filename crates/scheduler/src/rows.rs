//! What is stored, and the conditional writes that change it.
//!
//! Each [`Command`] but the last three is one write. All commands of one event are applied in one
//! transaction, and only while the leader's row has the epoch of the one who sends them. When
//! one of them is refused the transaction is undone, nothing is sent, and the scheduler's
//! state is thrown away and loaded again: it was not that of the database.

use crate::backfill::{Backfill, BackfillStatus, Interval};
use crate::graph::Graph;
use crate::ids::{
    BackfillId, NodeIndex, NodeKey, PipelineId, RunKey, ScheduleId, SignalId, TriggerId, WorkerId,
    WorkspaceId,
};
use crate::run::{NodeRow, NodeState, RunEnd};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use stdx::clock::Micros;

/// A run as its row stores it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRow {
    /// Its key.
    pub key: RunKey,
    /// What runs.
    pub pipeline: PipelineId,
    /// Whose it is.
    pub workspace: WorkspaceId,
    /// The graph, of the version that the pipeline had when the run was created.
    pub graph: Arc<Graph>,
    /// Who wanted it.
    pub origin: Origin,
    /// Parameters, as JSON.
    pub params: Arc<str>,
    /// Higher is sooner.
    pub priority: i32,
    /// When it was created, in µs since the epoch.
    pub created_us: Micros,
    /// When it has to end, in µs since the epoch, once it has begun.
    pub deadline_us: Option<Micros>,
    /// When people are told that it is late, in µs since the epoch; none when they were told.
    pub late_us: Option<Micros>,
    /// Where it stands.
    pub status: RunStatus,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "status")]
pub enum RunStatus {
    /// It waits for runs of its pipeline to end.
    Queued,
    /// It goes on.
    Running,
    /// It goes on until what has begun has ended.
    Stopping {
        /// Why.
        end: RunEnd,
    },
    /// It has ended.
    Ended {
        /// How.
        end: RunEnd,
    },
}

/// Who wanted a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "origin")]
pub enum Origin {
    /// A person or a program.
    Request,
    /// A schedule, for the interval between two fires.
    Schedule {
        /// The schedule.
        schedule: ScheduleId,
        /// What the run is for: the time from the fire before to this one.
        interval: Interval,
    },
    /// A trigger.
    Trigger {
        /// The trigger.
        trigger: TriggerId,
    },
    /// A node of another run, which waits for it or not.
    Run {
        /// The other run.
        run: RunKey,
        /// Its node.
        node: NodeIndex,
    },
    /// A back-fill, for one of its intervals.
    Backfill {
        /// The back-fill.
        backfill: BackfillId,
        /// The interval.
        interval: Interval,
    },
}

impl Origin {
    /// Whether somebody else limits how many such runs there are: then they wait for their turn,
    /// whatever the pipeline does with other runs.
    pub(crate) fn waits_always(&self) -> bool {
        matches!(self, Self::Backfill { .. } | Self::Run { .. })
    }

    /// The back-fill that it is part of.
    pub fn backfill(&self) -> Option<BackfillId> {
        match self {
            Self::Backfill { backfill, .. } => Some(*backfill),
            Self::Request | Self::Schedule { .. } | Self::Trigger { .. } | Self::Run { .. } => None,
        }
    }
}

/// A conditional write, or something to send after the writes.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Insert a run. Refused when there is one of this key, or one of the same schedule and fire,
    /// or when the fire lies in the future of the database's clock.
    CreateRun(Box<RunRow>),
    /// Change a run's status and times. Refused when its status is not `was`.
    SetRun {
        /// The run.
        run: RunKey,
        /// The status it has.
        was: RunStatus,
        /// The status it gets.
        status: RunStatus,
        /// Its new [`RunRow::deadline_us`].
        deadline_us: Option<Micros>,
        /// Its new [`RunRow::late_us`].
        late_us: Option<Micros>,
    },
    /// Insert or change a node's row. Refused when its epoch (0 without a row) is not `was_epoch`.
    SetNode {
        /// The epoch it has. A row with the next one is a new lease: it expires
        /// [`crate::LEASE_US`] from now by the database's clock, whatever the row says.
        was_epoch: u64,
        /// Whether this takes away a lease that has run out: refused when it has not, by the
        /// database's clock.
        lapsed: bool,
        /// What the row becomes. A lease of the same epoch keeps the expiry that it has.
        row: NodeRow,
    },
    /// Renew a lease: it expires [`crate::LEASE_US`] from now by the database's clock. Refused when
    /// the node is not leased under this epoch.
    Renew {
        /// The node.
        node: NodeKey,
        /// The lease's epoch.
        epoch: u64,
    },
    /// Note up to where a schedule's fires are done with. Refused when it is not at `was_us`.
    SetSchedule {
        /// The schedule.
        schedule: ScheduleId,
        /// Where it is.
        was_us: Micros,
        /// Where it gets.
        fired_us: Micros,
    },
    /// Note a signal for a trigger. Refused when the latest serial noted is not lower.
    NoteSignal {
        /// The trigger.
        trigger: TriggerId,
        /// The signal.
        signal: SignalId,
        /// Its serial.
        serial: u64,
        /// When the first one came that no run was started for, in µs since the epoch.
        first_us: Micros,
        /// When this one came, in µs since the epoch.
        latest_us: Micros,
    },
    /// Note that a run was started for signals of a trigger up to their serials.
    UseSignals {
        /// The trigger.
        trigger: TriggerId,
        /// Signals and serials.
        serials: Vec<(SignalId, u64)>,
    },
    /// Insert a back-fill. Refused when there is one of this number.
    CreateBackfill(Backfill),
    /// Note how far a back-fill has come. Refused when it has not started `was_started` runs.
    SetBackfill {
        /// The back-fill.
        backfill: BackfillId,
        /// How many runs it has started.
        was_started: usize,
        /// How many it has now.
        started: usize,
        /// Where it stands.
        status: BackfillStatus,
    },
    /// Send to a worker. It may be lost: what matters is sent again after the next poll.
    Tell {
        /// To whom.
        worker: WorkerId,
        /// What.
        message: Message,
    },
    /// Tell people that a run is late.
    AlertLate(RunKey),
    /// Tell people how a run has ended.
    AnnounceEnd(RunKey, RunEnd),
}

/// What a worker is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Work at a node, if its epoch is higher than any that was begun for it. Who gives up later
    /// because it cannot trust its lease any more reports that as returned. The lease can be
    /// trusted for [`crate::LEASE_US`] less [`crate::LEASE_MARGIN_US`] from when `poll` was sent.
    Work {
        /// The poll that this answers.
        poll: u64,
        /// The node.
        node: NodeKey,
        /// The lease's epoch.
        epoch: u64,
    },
    /// These leases were renewed; they can be trusted as new ones.
    Renewed {
        /// The poll that this answers.
        poll: u64,
        /// Nodes and epochs.
        leases: Vec<(NodeKey, u64)>,
    },
    /// Stop working at a node and report it as returned.
    Stop {
        /// The node.
        node: NodeKey,
        /// The lease's epoch.
        epoch: u64,
    },
    /// The report of this attempt was heard, or comes too late: forget it.
    Acknowledged {
        /// The node.
        node: NodeKey,
        /// The lease's epoch.
        epoch: u64,
    },
}

impl Command {
    /// Whether this is sent after the writes and not itself a write.
    pub fn is_message(&self) -> bool {
        matches!(self, Self::Tell { .. } | Self::AlertLate(_) | Self::AnnounceEnd(..))
    }

    /// A node's row with the epoch that was there before.
    pub(crate) fn set_node(row: NodeRow) -> Self {
        let was_epoch = row.epoch;
        Self::SetNode { was_epoch, lapsed: false, row }
    }
}

impl NodeRow {
    /// Its lease, if it has one.
    pub fn lease(&self) -> Option<&crate::run::Lease> {
        match &self.state {
            NodeState::Leased(lease) => Some(lease),
            _ => None,
        }
    }
}
