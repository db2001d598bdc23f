//! What the scheduler calls things, and what they are called everywhere else.
//!
//! The scheduler knows numbers. They are hashes of names, so that every server computes the same
//! ones; two names of one number are refused, not mixed up.

use model::{Name, Problem, Result, codes};
use scheduler::{BackfillId, PipelineId, PoolId, ScheduleId, SignalId, TriggerId};
use std::collections::HashMap;
use std::sync::Arc;
use stdx::hash::stable_hash;
use store::WorkspaceId;

fn number(kind: &str, workspace: &WorkspaceId, name: &str) -> u64 {
    stable_hash(format!("{kind}/{workspace}/{name}").as_bytes())
}

/// The number of a workspace.
pub(super) fn workspace_number(id: &WorkspaceId) -> scheduler::WorkspaceId {
    scheduler::WorkspaceId(number("workspace", id, ""))
}

/// The number of a pipeline.
pub(super) fn pipeline_number(workspace: &WorkspaceId, name: &str) -> PipelineId {
    PipelineId(number("pipeline", workspace, name))
}

/// The number of a pool.
pub(super) fn pool_number(workspace: &WorkspaceId, name: &str) -> PoolId {
    PoolId(number("pool", workspace, name))
}

/// The number of a signal, such as `table:silver.orders`.
pub(super) fn signal_number(workspace: &WorkspaceId, signal: &str) -> SignalId {
    SignalId(number("signal", workspace, signal))
}

/// The signal that a pipeline's run has succeeded.
pub(super) fn success_signal(pipeline: &str) -> String {
    format!("pipeline:{pipeline}")
}

/// The signal that a table has a new version.
pub(super) fn table_signal(table: &str) -> String {
    format!("table:{table}")
}

/// A pipeline as runs are made from it.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) workspace: WorkspaceId,
    pub(super) name: Name,
    /// The plan's hash, and the plan.
    pub(super) hash: String,
    pub(super) plan: Arc<model::plan::Plan>,
}

/// Numbers and what they stand for.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Workspaces by number, with their short names.
    pub(super) workspaces: HashMap<scheduler::WorkspaceId, (WorkspaceId, Name)>,
    pub(super) pipelines: HashMap<PipelineId, Line>,
    pub(super) schedules: HashMap<ScheduleId, store::ScheduleId>,
    pub(super) triggers: HashMap<TriggerId, (store::TriggerId, WorkspaceId)>,
    pub(super) signals: HashMap<SignalId, String>,
    pub(super) backfills: HashMap<BackfillId, (store::BackfillId, WorkspaceId)>,
    pub(super) pools: HashMap<PoolId, String>,
}

impl Names {
    /// Notes a pipeline.
    pub(super) fn add_pipeline(&mut self, line: Line) -> Result<PipelineId> {
        let id = pipeline_number(&line.workspace, line.name.as_str());
        if let Some(other) = self.pipelines.get(&id)
            && (&other.workspace, &other.name) != (&line.workspace, &line.name)
        {
            return Err(same_number(&line.name, &other.name));
        }
        self.pipelines.insert(id, line);
        Ok(id)
    }

    /// Notes a signal.
    pub(super) fn add_signal(&mut self, workspace: &WorkspaceId, signal: &str) -> SignalId {
        let id = signal_number(workspace, signal);
        self.signals.entry(id).or_insert_with(|| signal.to_owned());
        id
    }

    /// The number of a schedule, which is noted.
    pub(super) fn add_schedule(&mut self, id: &store::ScheduleId) -> ScheduleId {
        let number = ScheduleId(stable_hash(id.as_str().as_bytes()));
        self.schedules.insert(number, id.clone());
        number
    }

    /// The number of a trigger, which is noted.
    pub(super) fn add_trigger(
        &mut self,
        id: &store::TriggerId,
        workspace: &WorkspaceId,
    ) -> TriggerId {
        let number = TriggerId(stable_hash(id.as_str().as_bytes()));
        self.triggers.insert(number, (id.clone(), workspace.clone()));
        number
    }

    /// The number of a back-fill, which is noted.
    pub(super) fn add_backfill(
        &mut self,
        id: &store::BackfillId,
        workspace: &WorkspaceId,
    ) -> BackfillId {
        let number = BackfillId(stable_hash(id.as_str().as_bytes()));
        self.backfills.insert(number, (id.clone(), workspace.clone()));
        number
    }
}

fn same_number(new: &Name, other: &Name) -> Problem {
    let fact = format!("`{new}` and `{other}` cannot be told apart by the scheduler");
    Problem::new(&codes::NAME_TAKEN, fact).hint("rename one of them")
}
