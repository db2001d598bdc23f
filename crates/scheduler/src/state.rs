//! What the scheduler knows, how it is built from rows, and the entrance for events.

use crate::backfill::{Backfill, Filling};
use crate::definitions::{Pipeline, Schedule, Trigger};
use crate::events::{Definition, Event};
use crate::ids::{
    BackfillId, NodeIndex, NodeKey, PipelineId, PoolId, RunKey, ScheduleId, SignalId, TriggerId,
    WorkspaceId,
};
use crate::pools::Pools;
use crate::queue::{Queue, Share, rank};
use crate::rows::{Command, RunRow, RunStatus};
use crate::run::{NodeRow, NodeState, Nodes};
use crate::timers::{Timer, Timers};
use crate::workers::Workers;
use model::Result;
use std::collections::{BTreeMap, BTreeSet};
use stdx::clock::Micros;

/// What is due is worked off in pieces of this size, one per [`Event::Tick`].
const TIMERS_PER_TICK: usize = 1_000;

/// Everything that decides what runs next. It lives in memory and can be built again at any time
/// from the rows of the database.
///
/// How large it gets: runs that have not ended with their nodes (bounded by the limits of their
/// pipelines), what is declared, one timer for each of these, workers heard of in a minute.
#[derive(Debug, Default)]
pub struct State {
    pub(crate) pipelines: BTreeMap<PipelineId, Line>,
    pub(crate) schedules: BTreeMap<ScheduleId, Schedule>,
    pub(crate) triggers: BTreeMap<TriggerId, Trigger>,
    /// Which triggers wait for a signal.
    pub(crate) listeners: BTreeMap<SignalId, BTreeSet<TriggerId>>,
    /// Runs that wait for others of their pipelines.
    pub(crate) queued: BTreeMap<RunKey, RunRow>,
    /// Runs that have begun.
    pub(crate) runs: BTreeMap<RunKey, Run>,
    /// Back-fills that have not ended, and their runs that have not.
    pub(crate) backfills: BTreeMap<BackfillId, Filling>,
    pub(crate) queue: Queue,
    pub(crate) pools: Pools,
    pub(crate) timers: Timers,
    pub(crate) workers: Workers,
    /// Pipelines that may have room for another run.
    pub(crate) to_admit: BTreeSet<PipelineId>,
    /// Back-fills that may start another run.
    pub(crate) to_feed: BTreeSet<BackfillId>,
    /// Runs that were loaded, with the nodes of which more follows than their rows say.
    loaded: Vec<(RunKey, Vec<NodeIndex>)>,
}

/// A pipeline and its runs.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// None when it is gone and runs are left.
    pub(crate) pipeline: Option<Pipeline>,
    pub(crate) running: BTreeSet<RunKey>,
    /// The runs that wait, in their order.
    pub(crate) queued: BTreeSet<(Micros, RunKey)>,
}

/// A run that has begun.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) row: RunRow,
    pub(crate) nodes: Nodes,
}

/// What the database holds when a scheduler begins to lead.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// What workspaces may have.
    pub workspaces: Vec<(WorkspaceId, Share)>,
    /// Pools, whose they are, and their slots.
    pub pools: Vec<(WorkspaceId, PoolId, u32)>,
    /// Pipelines.
    pub pipelines: Vec<Pipeline>,
    /// Schedules.
    pub schedules: Vec<Schedule>,
    /// Triggers, with what they have seen.
    pub triggers: Vec<Trigger>,
    /// Back-fills that have not ended.
    pub backfills: Vec<Backfill>,
    /// Runs that have not ended.
    pub runs: Vec<RunRow>,
    /// Nodes of those runs.
    pub nodes: Vec<NodeRow>,
}

/// One step: when it is made, and what comes of it.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) now_us: Micros,
    pub(crate) commands: Vec<Command>,
}

impl Step {
    pub(crate) fn push(&mut self, command: Command) {
        self.commands.push(command);
    }
}

impl State {
    /// Builds the state from rows that were read in one transaction at `now_us` of the database's
    /// clock (µs since the epoch).
    pub fn load(rows: Rows, now_us: Micros) -> Self {
        let mut state = Self::default();
        let workspaces = rows.workspaces.into_iter().map(|(id, s)| Definition::Workspace(id, s));
        let pools =
            rows.pools.into_iter().map(|(of, id, slots)| Definition::Pool(of, id, Some(slots)));
        let pipelines = rows.pipelines.into_iter().map(Definition::Pipeline);
        let schedules = rows.schedules.into_iter().map(Definition::Schedule);
        let triggers = rows.triggers.into_iter().map(Definition::Trigger);
        let definitions = workspaces.chain(pools).chain(pipelines).chain(schedules).chain(triggers);
        definitions.for_each(|definition| state.define(definition));
        let mut nodes: BTreeMap<RunKey, Vec<NodeRow>> = BTreeMap::new();
        for row in rows.nodes {
            nodes.entry(row.key.run).or_default().push(row);
        }
        for backfill in rows.backfills {
            state.to_feed.insert(backfill.id);
            state.backfills.insert(backfill.id, Filling::new(backfill));
        }
        for row in rows.runs {
            let of_run = nodes.remove(&row.key).unwrap_or_default();
            state.load_run(row, &of_run, now_us);
        }
        state
    }

    fn load_run(&mut self, row: RunRow, rows: &[NodeRow], now_us: Micros) {
        if let RunStatus::Ended { .. } = row.status {
            return;
        }
        self.join_backfill(&row);
        let line = self.pipelines.entry(row.pipeline).or_default();
        if row.status == RunStatus::Queued {
            line.queued.insert((rank(row.created_us, row.priority), row.key));
            self.set_run_timers(&row);
            self.queued.insert(row.key, row);
            return;
        }
        line.running.insert(row.key);
        let mut nodes = Nodes::new(row.key, row.graph.clone());
        rows.iter().for_each(|node| nodes.restore(node));
        if let RunStatus::Stopping { end } = row.status {
            nodes.stop(end);
        }
        let key = row.key;
        self.loaded.push((key, nodes.settle(now_us)));
        self.set_run_timers(&row);
        let indexes = nodes.indexes();
        self.runs.insert(key, Run { row, nodes });
        for node in indexes.map(|node| NodeKey { run: key, node }) {
            self.enter(node);
            if let Some(entry) = self.leased_entry(node) {
                self.queue.adopt(entry, &mut self.pools);
                // Nobody renewed leases while nobody led: who holds one gets time to be heard.
                self.expect_worker(node, now_us);
            }
        }
    }

    /// What follows from `event` at `now_us` of the database's clock (µs since the epoch).
    ///
    /// The commands are applied as [`Command`] says; if that fails, this state is to be loaded
    /// again. An event that asks for something impossible gives a problem and changes nothing.
    pub fn handle(&mut self, now_us: Micros, event: Event) -> Result<Vec<Command>> {
        let mut step = Step { now_us, commands: Vec::new() };
        match event {
            Event::Tick => self.tick(&mut step),
            Event::Poll(poll) => self.poll(&poll, &mut step),
            Event::Report(report) => self.report(report, &mut step)?,
            Event::Answer { node, answer } => self.answer(node, answer, &mut step)?,
            Event::Start(request) => self.start(request, &mut step)?,
            Event::Cancel(run) => self.cancel(run, &mut step)?,
            Event::Resume { run, nodes } => self.resume(run, &nodes, &mut step)?,
            Event::Signal { signal, serial } => self.note_signal(signal, serial, &mut step),
            Event::Backfill(backfill) => self.start_backfill(backfill, &mut step)?,
            Event::CancelBackfill(id) => self.cancel_backfill(id, &mut step)?,
            Event::Define(definition) => self.define(definition),
        }
        loop {
            if let Some(backfill) = self.to_feed.pop_first() {
                self.feed_backfill(backfill, &mut step);
            } else if let Some(pipeline) = self.to_admit.pop_first() {
                self.admit(pipeline, &mut step);
            } else {
                break;
            }
        }
        self.dispatch(&mut step);
        Ok(step.commands)
    }

    /// When [`Event::Tick`] has to be told at the latest, in µs since the epoch; none when nothing
    /// will happen by itself.
    pub fn next_us(&self) -> Option<Micros> {
        self.timers.next_us()
    }

    /// How many nodes wait for a worker.
    pub fn ready_count(&self) -> usize {
        self.queue.len()
    }

    /// Since when the node that has waited longest for a worker waits, in µs since the epoch.
    pub fn oldest_ready_us(&self) -> Option<Micros> {
        let since = |node: NodeKey| match self.node_state(node) {
            Some(NodeState::Ready { since_us }) => Some(since_us),
            _ => None,
        };
        self.queue.heads().filter_map(since).min()
    }

    /// How many nodes are worked at.
    pub fn leased_count(&self) -> usize {
        self.queue.running_count()
    }

    /// Pools with the slots that are held and the slots that there are (none: no limit).
    pub fn pool_usage(&self) -> impl Iterator<Item = (PoolId, u32, Option<u32>)> {
        self.pools.usage()
    }

    fn tick(&mut self, step: &mut Step) {
        for (run, changed) in std::mem::take(&mut self.loaded) {
            self.write_settled(run, &changed, step);
        }
        for _ in 0..TIMERS_PER_TICK {
            let Some(timer) = self.timers.pop_due(step.now_us) else { return };
            match timer {
                Timer::Node(node) => self.node_due(node, step),
                Timer::Attempt(node) => self.attempt_due(node, step),
                Timer::Run(run) => self.run_due(run, step),
                Timer::Late(run) => self.late_due(run, step),
                Timer::Schedule(schedule) => self.fire_schedule(schedule, step),
                Timer::Trigger(trigger) => self.fire_trigger(trigger, step),
                Timer::Worker(worker) => self.worker_due(worker, step),
            }
        }
    }

    fn define(&mut self, definition: Definition) {
        match definition {
            Definition::Workspace(id, share) => self.queue.define(id, share, &self.pools),
            Definition::Pool(workspace, id, slots) => {
                self.pools.define(workspace, id, slots);
                self.queue.refresh(workspace, &self.pools);
            }
            Definition::Pipeline(pipeline) => {
                self.to_admit.insert(pipeline.id);
                let line = self.pipelines.entry(pipeline.id).or_default();
                line.pipeline = Some(pipeline);
            }
            Definition::NoPipeline(id) => {
                if let Some(line) = self.pipelines.get_mut(&id) {
                    line.pipeline = None;
                    self.to_admit.insert(id);
                }
            }
            Definition::Schedule(schedule) => self.define_schedule(schedule),
            Definition::NoSchedule(id) => {
                self.schedules.remove(&id);
                self.timers.clear(Timer::Schedule(id));
            }
            Definition::Trigger(trigger) => self.define_trigger(trigger),
            Definition::NoTrigger(id) => self.forget_trigger(id),
        }
    }

    pub(crate) fn set_run_timers(&mut self, row: &RunRow) {
        for (timer, at_us) in
            [(Timer::Run(row.key), row.deadline_us), (Timer::Late(row.key), row.late_us)]
        {
            match at_us {
                Some(at_us) => self.timers.set(timer, at_us),
                None => self.timers.clear(timer),
            }
        }
    }

    /// Whether a run of this key is known, be it that it waits or that it has begun.
    pub(crate) fn has_run(&self, key: RunKey) -> bool {
        self.queued.contains_key(&key) || self.runs.contains_key(&key)
    }

    /// The state of a node, if its run has begun and has not ended.
    pub fn node_state(&self, node: NodeKey) -> Option<NodeState> {
        let run = self.runs.get(&node.run)?;
        run.nodes.graph().contains(node.node).then(|| run.nodes.node(node.node).state)
    }
}
