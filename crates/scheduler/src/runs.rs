//! What happens to runs: they are created, wait, begin, are stopped, end, are resumed.

use crate::definitions::{Pipeline, RunLimits};
use crate::events::Request;
use crate::graph::Rule;
use crate::ids::{NodeKey, PipelineId, RunKey};
use crate::overlap::{Decision, Overlap, Room};
use crate::queue::rank;
use crate::rows::{Command, RunRow, RunStatus};
use crate::run::{NodeEnd, NodeRow, NodeState, Nodes, RunEnd, Stop};
use crate::state::{Line, Run, State, Step};
use crate::timers::Timer;
use crate::work::Cause;
use model::{Problem, Result, codes};

impl Line {
    fn limits(&self) -> RunLimits {
        self.pipeline.as_ref().map(|pipeline| pipeline.limits).unwrap_or_default()
    }

    fn room(&self, live: usize) -> Room {
        let limits = self.limits();
        Room {
            live,
            running: self.running.len(),
            running_max: limits.running_max,
            queued: self.queued.len(),
            queued_max: limits.queued_max,
        }
    }
}

impl State {
    /// Creates the run that somebody asks for.
    pub(crate) fn start(&mut self, request: Request, step: &mut Step) -> Result<()> {
        self.check_pipeline(request.pipeline)?;
        self.create(request, step);
        Ok(())
    }

    /// Fails when there is no such pipeline.
    pub(crate) fn check_pipeline(&self, pipeline: PipelineId) -> Result<()> {
        let line = self.pipelines.get(&pipeline);
        if line.is_some_and(|line| line.pipeline.is_some()) {
            return Ok(());
        }
        let fact = format!("there is no pipeline number {pipeline}");
        Err(Problem::new(&codes::NAME_UNKNOWN, fact)
            .arg("pipeline", pipeline)
            .hint("look at the list of pipelines: it may have been removed"))
    }

    /// Creates a run, unless it is there or its pipeline is gone.
    pub(crate) fn create(&mut self, request: Request, step: &mut Step) {
        if self.has_run(request.run) {
            return;
        }
        let Some(line) = self.pipelines.get(&request.pipeline) else { return };
        let Some(pipeline) = &line.pipeline else { return };
        let live = self.live_runs(line);
        let mut room = line.room(live.len());
        let mut policy = pipeline.limits.overlap;
        if request.origin.waits_always() {
            policy = Overlap::Queue;
            room.queued_max = usize::MAX;
        }
        let decision = policy.decide(room);
        let mut row = new_row(request, pipeline, step);
        match decision {
            Decision::Begin => {
                row.status = RunStatus::Running;
                row.deadline_us = Some(step.now_us.saturating_add(pipeline.limits.timeout_us));
                step.push(Command::CreateRun(Box::new(row.clone())));
                self.begin(row, step);
            }
            Decision::Wait => self.enqueue(row, step),
            Decision::Replace => {
                for run in live {
                    self.stop_run(run, RunEnd::Cancelled, step);
                }
                self.enqueue(row, step);
            }
            Decision::Skip => record(row, RunEnd::Skipped, step),
            Decision::Fail => record(row, RunEnd::Failed, step),
        }
    }

    /// The runs of a pipeline that wait or go on and are no part of a back-fill.
    fn live_runs(&self, line: &Line) -> Vec<RunKey> {
        let all = line.running.iter().copied().chain(line.queued.iter().map(|(_, run)| *run));
        let origin = |key: &RunKey| {
            let running = self.runs.get(key).map(|run| &run.row);
            running.or_else(|| self.queued.get(key)).map(|row| row.origin)
        };
        all.filter(|key| origin(key).is_some_and(|origin| origin.backfill().is_none())).collect()
    }

    fn enqueue(&mut self, row: RunRow, step: &mut Step) {
        let line = self.pipelines.entry(row.pipeline).or_default();
        line.queued.insert((rank(row.created_us, row.priority), row.key));
        self.to_admit.insert(row.pipeline);
        step.push(Command::CreateRun(Box::new(row.clone())));
        self.set_run_timers(&row);
        self.queued.insert(row.key, row);
    }

    /// Lets runs of a pipeline begin as long as there is room.
    pub(crate) fn admit(&mut self, pipeline: PipelineId, step: &mut Step) {
        while let Some(line) = self.pipelines.get_mut(&pipeline) {
            let limits = line.limits();
            if line.running.len() >= limits.running_max {
                return;
            }
            let Some((_, key)) = line.queued.pop_first() else {
                if line.pipeline.is_none() && line.running.is_empty() {
                    self.pipelines.remove(&pipeline);
                }
                return;
            };
            let mut row = self.queued.remove(&key).expect("who waits has a row");
            row.deadline_us = Some(step.now_us.saturating_add(limits.timeout_us));
            set_status(&mut row, RunStatus::Running, step);
            self.begin(row, step);
        }
    }

    /// Lets the first nodes of a run begin; its row is written.
    fn begin(&mut self, row: RunRow, step: &mut Step) {
        let key = row.key;
        self.pipelines.entry(row.pipeline).or_default().running.insert(key);
        self.set_run_timers(&row);
        let mut nodes = Nodes::new(key, row.graph.clone());
        let changed = nodes.settle(step.now_us);
        self.runs.insert(key, Run { row, nodes });
        for node in changed {
            self.write_changed(NodeKey { run: key, node }, false, step);
        }
        self.finish_if_done(key, step);
    }

    /// Ends a run whose nodes have all ended.
    pub(crate) fn finish_if_done(&mut self, key: RunKey, step: &mut Step) {
        let Some(end) = self.runs.get(&key).and_then(|run| run.nodes.run_end()) else { return };
        let Some(mut run) = self.runs.remove(&key) else { return };
        set_status(&mut run.row, RunStatus::Ended { end }, step);
        step.push(Command::AnnounceEnd(key, end));
        self.forget_run_timers(key);
        self.leave_backfill(&run.row);
        let Some(line) = self.pipelines.get_mut(&run.row.pipeline) else { return };
        line.running.remove(&key);
        self.to_admit.insert(run.row.pipeline);
        let signal = line.pipeline.as_ref().and_then(|pipeline| pipeline.signal);
        if let (Some(signal), RunEnd::Succeeded) = (signal, end) {
            self.signal_success(signal, step);
        }
    }

    fn forget_run_timers(&mut self, key: RunKey) {
        self.timers.clear(Timer::Run(key));
        self.timers.clear(Timer::Late(key));
    }

    /// Somebody wants a run to stop.
    pub(crate) fn cancel(&mut self, key: RunKey, step: &mut Step) -> Result<()> {
        if !self.has_run(key) {
            return Err(Problem::new(
                &codes::RUN_NOT_FOUND,
                format!("run `{key}` is not going on"),
            )
            .arg("run", key)
            .hint("only a run that waits or goes on can be cancelled"));
        }
        self.stop_run(key, RunEnd::Cancelled, step);
        Ok(())
    }

    /// Ends a run that waits; lets a run that has begun come to its end. Nodes whose rule is
    /// [`Rule::AllDone`] still do their work.
    pub(crate) fn stop_run(&mut self, key: RunKey, end: RunEnd, step: &mut Step) {
        if let Some(mut row) = self.queued.remove(&key) {
            let place = (rank(row.created_us, row.priority), key);
            if let Some(line) = self.pipelines.get_mut(&row.pipeline) {
                line.queued.remove(&place);
            }
            self.forget_run_timers(key);
            self.leave_backfill(&row);
            set_status(&mut row, RunStatus::Ended { end }, step);
            step.push(Command::AnnounceEnd(key, end));
            return;
        }
        let Some(run) = self.runs.get_mut(&key).filter(|run| !run.nodes.is_stopping()) else {
            return;
        };
        run.nodes.stop(end);
        run.row.deadline_us = None;
        set_status(&mut run.row, RunStatus::Stopping { end }, step);
        self.timers.clear(Timer::Run(key));
        for node in run.nodes.indexes() {
            let Some(run) = self.runs.get(&key) else { return };
            if run.nodes.graph().node(node).rule == Rule::AllDone {
                continue;
            }
            let node_key = NodeKey { run: key, node };
            match run.nodes.node(node).state {
                NodeState::Ready { .. } | NodeState::Resting { .. } | NodeState::Asking { .. } => {
                    self.end_node(node_key, NodeEnd::Cancelled, Vec::new(), Cause::Said, step);
                }
                NodeState::Leased(_) => self.stop_attempt(node_key, Stop::Cancelled, step),
                NodeState::Waiting | NodeState::Ended { .. } => {}
            }
        }
    }

    /// A run takes too long.
    pub(crate) fn run_due(&mut self, key: RunKey, step: &mut Step) {
        self.stop_run(key, RunEnd::TimedOut, step);
    }

    /// A run is later than people want to wait without being told.
    pub(crate) fn late_due(&mut self, key: RunKey, step: &mut Step) {
        let running = self.runs.get_mut(&key).map(|run| &mut run.row);
        let Some(row) = running.or_else(|| self.queued.get_mut(&key)) else { return };
        row.late_us = None;
        set_status(row, row.status, step);
        step.push(Command::AlertLate(key));
    }

    /// Lets a run that did not succeed go on: what succeeded stays, the rest begins anew.
    pub(crate) fn resume(
        &mut self,
        mut row: RunRow,
        rows: &[NodeRow],
        step: &mut Step,
    ) -> Result<()> {
        let key = row.key;
        if self.has_run(key) {
            return Ok(());
        }
        let RunStatus::Ended { end: RunEnd::Failed | RunEnd::Cancelled | RunEnd::TimedOut } =
            row.status
        else {
            let fact = format!("run `{key}` did not fail");
            return Err(Problem::new(&codes::RUN_REFUSED, fact)
                .arg("run", key)
                .hint("start a new run instead"));
        };
        let line = self.pipelines.entry(row.pipeline).or_default();
        let limits = line.limits();
        if line.running.len() >= limits.running_max {
            self.to_admit.insert(row.pipeline);
            let fact = format!("run `{key}` cannot go on while another run of its pipeline does");
            return Err(Problem::new(&codes::RUN_LOCKED, fact)
                .arg("run", key)
                .hint("wait for the other run to end, or cancel it"));
        }
        line.running.insert(key);
        self.join_backfill(&row);
        row.deadline_us = Some(step.now_us.saturating_add(limits.timeout_us));
        set_status(&mut row, RunStatus::Running, step);
        self.set_run_timers(&row);
        let mut nodes = Nodes::new(key, row.graph.clone());
        rows.iter().for_each(|node| nodes.restore(node));
        let mut changed = nodes.reset_unsuccessful();
        changed.extend(nodes.settle(step.now_us));
        changed.sort_unstable();
        changed.dedup();
        self.runs.insert(key, Run { row, nodes });
        for node in changed {
            self.write_changed(NodeKey { run: key, node }, false, step);
        }
        self.finish_if_done(key, step);
        Ok(())
    }
}

fn new_row(request: Request, pipeline: &Pipeline, step: &Step) -> RunRow {
    let late_us = pipeline.limits.late_us;
    RunRow {
        key: request.run,
        pipeline: pipeline.id,
        workspace: pipeline.workspace,
        graph: pipeline.graph.clone(),
        origin: request.origin,
        params: request.params,
        priority: pipeline.priority.saturating_add(request.priority),
        created_us: step.now_us,
        deadline_us: None,
        late_us: late_us.map(|late_us| step.now_us.saturating_add(late_us)),
        status: RunStatus::Queued,
    }
}

/// Writes down a run that never begins.
fn record(mut row: RunRow, end: RunEnd, step: &mut Step) {
    let key = row.key;
    row.late_us = None;
    row.status = RunStatus::Ended { end };
    step.push(Command::CreateRun(Box::new(row)));
    step.push(Command::AnnounceEnd(key, end));
}

fn set_status(row: &mut RunRow, status: RunStatus, step: &mut Step) {
    let was = row.status;
    row.status = status;
    let RunRow { key: run, deadline_us, late_us, .. } = *row;
    step.push(Command::SetRun { run, was, status, deadline_us, late_us });
}
