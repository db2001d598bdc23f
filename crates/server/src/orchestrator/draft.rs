//! The scheduler's commands as writes of the database, and what is to be done after them.

use super::book::{Book, RunEntry, TaskEntry, first_problem};
use super::effects::{never_began, shown};
use super::load::{child_key, is_part, parent_text};
use super::names::Names;
use model::Name;
use model::problem::StoredProblem;
use model::run::NodeReport;
use monitor::metrics;
use scheduler::{
    Command, Message, NodeEnd, NodeKey, NodeRow, NodeState, Origin, RunEnd, RunKey, RunRow,
    RunStatus, WorkerId,
};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use store::{
    AttemptBegun, AttemptEnd, AttemptEnded, LeaseChange, RunChange, RunIdText, RunReport,
    RunTrigger, SignalSeen, Stored, TaskChange, TaskResult, UserId, Writes,
};

/// What is known of an event beyond what the scheduler has to know.
#[derive(Debug, Clone, Default)]
pub(super) struct Extras {
    /// About a run that begins.
    pub(super) run: Option<RunExtras>,
    /// About a task whose attempt ends.
    pub(super) task: Option<TaskExtras>,
    /// Who wanted a back-fill.
    pub(super) by: Option<UserId>,
}

/// What is known of a run that begins.
#[derive(Debug, Clone)]
pub(super) struct RunExtras {
    pub(super) started_by: RunTrigger,
    pub(super) triggered_by: Option<UserId>,
    pub(super) key: Option<String>,
    pub(super) parent: Option<(NodeKey, String)>,
    pub(super) interval_us: Option<(i64, i64)>,
}

/// What is known of a task whose attempt ends.
#[derive(Debug, Clone)]
pub(super) struct TaskExtras {
    pub(super) node: NodeKey,
    pub(super) end: AttemptEnd,
    pub(super) problem: Option<StoredProblem>,
    pub(super) output: Option<Value>,
    pub(super) report: Option<BTreeMap<Name, NodeReport>>,
}

/// What is to be done once the writes are durable.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// Messages to workers.
    pub(super) messages: Vec<(WorkerId, Message)>,
    /// Actions of the server that begin.
    pub(super) asking: Vec<NodeKey>,
    /// Tasks that have stopped to wait for an answer.
    pub(super) answered: Vec<NodeKey>,
    /// Runs of which something has changed.
    pub(super) changed: Vec<RunKey>,
    /// Runs that have ended.
    pub(super) ended: Vec<(RunKey, RunEnd)>,
    /// Whether people are told something.
    pub(super) announced: bool,
    /// Tasks that were cancelled while runs of theirs may go on.
    pub(super) abandoned: Vec<NodeKey>,
}

/// Collects what several events of one turn change.
pub(super) struct Draft<'a> {
    pub(super) names: &'a Names,
    pub(super) book: &'a Book,
    pub(super) now_us: i64,
    new_runs: BTreeMap<RunKey, store::RunRow>,
    runs: BTreeMap<RunKey, RunChange>,
    tasks: BTreeMap<NodeKey, TaskChange>,
    renewals: BTreeMap<NodeKey, u64>,
    schedules: BTreeMap<scheduler::ScheduleId, (i64, i64)>,
    pub(super) signals: HashMap<(scheduler::TriggerId, scheduler::SignalId), SignalSeen>,
    results: HashMap<NodeKey, TaskResult>,
    pub(super) writes: Writes,
    pub(super) effects: Effects,
}

impl<'a> Draft<'a> {
    /// An empty one, of a turn at `now_us`.
    pub(super) fn new(names: &'a Names, book: &'a Book, now_us: i64) -> Self {
        Self {
            names,
            book,
            now_us,
            new_runs: BTreeMap::new(),
            runs: BTreeMap::new(),
            tasks: BTreeMap::new(),
            renewals: BTreeMap::new(),
            schedules: BTreeMap::new(),
            signals: HashMap::new(),
            results: HashMap::new(),
            writes: Writes { lease_us: scheduler::LEASE_US, ..Writes::default() },
            effects: Effects::default(),
        }
    }

    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        let Writes { begun, ended, reports, used, new_backfills, backfills, .. } = &self.writes;
        self.new_runs.is_empty()
            && self.runs.is_empty()
            && self.tasks.is_empty()
            && self.renewals.is_empty()
            && self.schedules.is_empty()
            && self.signals.is_empty()
            && self.results.is_empty()
            && (begun.is_empty() && ended.is_empty() && reports.is_empty())
            && (used.is_empty() && new_backfills.is_empty() && backfills.is_empty())
    }

    /// The writes.
    pub(super) fn writes(&mut self) -> Writes {
        let mut writes = std::mem::take(&mut self.writes);
        writes.new_runs = std::mem::take(&mut self.new_runs).into_values().collect();
        writes.runs = std::mem::take(&mut self.runs).into_values().collect();
        writes.tasks = std::mem::take(&mut self.tasks).into_values().collect();
        writes.results = std::mem::take(&mut self.results).into_values().collect();
        writes.signals = std::mem::take(&mut self.signals).into_values().collect();
        let book = self.book.open();
        let renewed = |(node, epoch): (NodeKey, u64)| {
            let run = book.get(&node.run)?.id.clone();
            Some((run, i64::from(node.node), signed(epoch)))
        };
        writes.renewals =
            std::mem::take(&mut self.renewals).into_iter().filter_map(renewed).collect();
        let moved = |(id, (was, fired)): (scheduler::ScheduleId, (i64, i64))| {
            Some((self.names.schedules.get(&id)?.clone(), was, fired))
        };
        writes.schedules =
            std::mem::take(&mut self.schedules).into_iter().filter_map(moved).collect();
        writes
    }

    /// Takes up what follows from one event.
    pub(super) fn add(&mut self, commands: Vec<Command>, mut extras: Extras) {
        if let Some(task) = &extras.task {
            self.note_end(task);
        }
        for command in commands {
            match command {
                Command::CreateRun(row) => self.create_run(*row, &mut extras),
                Command::SetRun { run, was, status, deadline_us, late_us } => {
                    self.set_run(run, was, status, deadline_us, late_us);
                }
                Command::SetNode { was_epoch, lapsed, row } => {
                    self.set_node(was_epoch, lapsed, &row, extras.task.as_ref());
                }
                Command::Renew { node, epoch } => drop(self.renewals.insert(node, epoch)),
                Command::SetSchedule { schedule, was_us, fired_us } => {
                    let first = self.schedules.entry(schedule).or_insert((was_us, fired_us));
                    first.1 = fired_us;
                }
                Command::NoteSignal { trigger, signal, serial, first_us, latest_us } => {
                    let seen = (trigger, signal, signed(serial), first_us, latest_us);
                    self.note_signal(seen);
                }
                Command::UseSignals { trigger, serials } => self.use_signals(trigger, &serials),
                Command::CreateBackfill(backfill) => self.create_backfill(&backfill, &extras),
                Command::SetBackfill { backfill, was_started, started, status } => {
                    self.set_backfill(backfill, was_started, started, json(&status));
                }
                Command::Tell { worker, message } => self.effects.messages.push((worker, message)),
                Command::AlertLate(run) => self.announce_late(run),
                Command::AnnounceEnd(run, end) => {
                    self.announce_end(run, end);
                    self.effects.ended.push((run, end));
                }
            }
        }
    }

    /// A person is asked something.
    pub(super) fn ask(&mut self, node: NodeKey, question: Value) {
        self.result(node).question = Some(question);
        self.effects.changed.push(node.run);
    }

    /// A person has answered.
    pub(super) fn answer(&mut self, node: NodeKey, answer: Value) {
        self.result(node).answer = Some(answer);
        self.effects.changed.push(node.run);
    }

    fn result(&mut self, node: NodeKey) -> &mut TaskResult {
        let run = self.book.open().get(&node.run).map(|entry| entry.id.clone());
        let run = run.or_else(|| node.run.to_run_id());
        self.results.entry(node).or_insert_with(|| TaskResult {
            run: run.unwrap_or_else(|| model::run::RunId::generate(0)),
            task: i64::from(node.node),
            output: None,
            question: None,
            answer: None,
            problem: None,
        })
    }

    /// What a task gives on, or why it failed: for those who come after it in the same turn, too.
    fn note_end(&mut self, task: &TaskExtras) {
        let mut runs = self.book.open();
        let Some(entry) = runs.get_mut(&task.node.run) else { return };
        if let Some(output) = &task.output
            && let Some(declared) = entry.plan.tasks.get(task.node.node as usize)
        {
            entry.outputs.insert(declared.id.clone(), output.clone());
        }
        if let Some(problem) = &task.problem {
            entry.add_problem(task.node.node, problem.clone());
        }
        if let Some(nodes) = &task.report {
            let sum = |count: fn(&NodeReport) -> u64| nodes.values().map(count).sum();
            entry.rows = (sum(|node| node.rows_out), sum(|node| node.rejects));
            let (run, workspace) = (entry.id.clone(), entry.workspace.clone());
            self.writes.reports.push(RunReport { run, workspace, nodes: nodes.clone() });
        }
        drop(runs);
        let (output, problem) = (task.output.clone(), task.problem.clone());
        let result = self.result(task.node);
        (result.output, result.problem) = (output, problem);
    }

    fn create_run(&mut self, row: RunRow, extras: &mut Extras) {
        let Some(line) = self.names.pipelines.get(&row.pipeline) else { return };
        let Some((_, slug)) = self.names.workspaces.get(&row.workspace) else { return };
        let Some(id) = row.key.to_run_id() else { return };
        let about = extras.run.take();
        let interval_us = interval_of(&row.origin).or(about.as_ref().and_then(|a| a.interval_us));
        let mut entry =
            RunEntry::new(id.clone(), line, slug.clone(), &row.params, interval_us, row.created_us);
        let parent = about.as_ref().and_then(|about| about.parent.clone());
        if let Some((node, key)) = &parent {
            self.book.add_child(*node, key.clone(), id.clone());
        }
        entry.parent.clone_from(&parent);
        entry.is_part = is_part(&row.origin);
        let status = shown(row.status, &entry);
        let parent_words = parent.as_ref().map(|(node, _)| parent_text(*node));
        let child = parent.as_ref().map(|(node, key)| child_key(&parent_text(*node), key));
        let stored = store::RunRow {
            id: RunIdText::new(id),
            workspace_id: line.workspace.clone(),
            pipeline: line.name.to_string(),
            definition_version: None,
            started_by: about.as_ref().map_or_else(|| why(&row.origin), |about| about.started_by),
            triggered_by: about.as_ref().and_then(|about| about.triggered_by.clone()),
            source_id: self.source(&row.origin),
            params: Stored(Value::Object(entry.params.clone())),
            interval_start_us: interval_us.map(|(start, _)| start),
            interval_end_us: interval_us.map(|(_, end)| end),
            status,
            priority: i64::from(row.priority),
            created_at_us: row.created_us,
            started_at_us: (row.status == RunStatus::Running).then_some(row.created_us),
            ended_at_us: status.is_final().then_some(row.created_us),
            plan: line.hash.clone(),
            origin: Stored(json_value(&row.origin)),
            state: Stored(json_value(&row.status)),
            deadline_us: row.deadline_us,
            late_us: row.late_us,
            parent: parent_words,
            rows_in: 0,
            rows_out: 0,
            rows_rejected: 0,
            problem: never_began(row.status).map(|problem| Stored(problem.to_stored())),
            idempotency_key: child.or_else(|| about.and_then(|about| about.key)),
        };
        self.book.open().insert(row.key, entry);
        self.new_runs.insert(row.key, stored);
        self.effects.changed.push(row.key);
    }

    fn source(&self, origin: &Origin) -> Option<String> {
        match origin {
            Origin::Request => None,
            Origin::Schedule { schedule, .. } => {
                self.names.schedules.get(schedule).map(ToString::to_string)
            }
            Origin::Trigger { trigger } => {
                self.names.triggers.get(trigger).map(|(id, _)| id.to_string())
            }
            Origin::Backfill { backfill, .. } => {
                self.names.backfills.get(backfill).map(|(id, _)| id.to_string())
            }
            Origin::Run { run, .. } => Some(run.to_string()),
        }
    }

    fn set_run(
        &mut self,
        run: RunKey,
        was: RunStatus,
        status: RunStatus,
        deadline_us: Option<i64>,
        late_us: Option<i64>,
    ) {
        let runs = self.book.open();
        let Some(entry) = runs.get(&run) else { return };
        let shown = shown(status, entry);
        let failed = !matches!(shown, store::RunStatus::Succeeded) && shown.is_final();
        let problem = failed.then(|| first_problem(entry)).flatten();
        let id = entry.id.clone();
        drop(runs);
        self.effects.changed.push(run);
        if let Some(new) = self.new_runs.get_mut(&run) {
            new.state = Stored(json_value(&status));
            (new.status, new.deadline_us, new.late_us) = (shown, deadline_us, late_us);
            new.started_at_us = new.started_at_us.or(Some(self.now_us));
            new.ended_at_us = shown.is_final().then_some(self.now_us);
            new.problem = problem.map(Stored);
            return;
        }
        let was = self.runs.get(&run).map_or_else(|| json_value(&was), |first| first.was.clone());
        let state = json_value(&status);
        let change =
            RunChange { run: id, was, state, status: shown, deadline_us, late_us, problem };
        self.runs.insert(run, change);
    }

    fn set_node(&mut self, was_epoch: u64, lapsed: bool, row: &NodeRow, task: Option<&TaskExtras>) {
        let key = row.key;
        let mut runs = self.book.open();
        let Some(entry) = runs.get_mut(&key.run) else { return };
        let name = entry.plan.tasks.get(key.node as usize).map(|task| task.id.clone());
        let Some(name) = name else { return };
        let (run, workspace) = (entry.id.clone(), entry.workspace.clone());
        let known = entry.tasks.entry(key.node).or_default();
        if let NodeState::Ready { since_us } = row.state {
            known.ready_us = Some(since_us);
        }
        if let Some(number) = ended_attempt(known, row) {
            let told = task.filter(|task| task.node == key);
            self.writes.ended.push(AttemptEnded {
                run: run.clone(),
                task: i64::from(key.node),
                number,
                end: told.map_or(untold(lapsed), |task| task.end),
                problem: told.and_then(|task| task.problem.clone()),
            });
            self.effects.answered.push(key);
        }
        if let Some((number, worker)) = begun_attempt(known, row, self.now_us) {
            self.writes.begun.push(AttemptBegun {
                run: run.clone(),
                task: i64::from(key.node),
                number,
                workspace: workspace.clone(),
                worker,
            });
            if matches!(row.state, NodeState::Asking { .. }) {
                self.effects.asking.push(key);
            }
        }
        let is_cancelled = row.state == NodeState::Ended { end: NodeEnd::Cancelled };
        if is_cancelled && !known.children.is_empty() {
            self.effects.abandoned.push(key);
        }
        let times = (known.count, known.first_us);
        entry.is_quarantined |= row.state == NodeState::Ended { end: NodeEnd::Quarantined };
        drop(runs);
        self.write_node(was_epoch, lapsed, row, (run, workspace, name, times));
        self.effects.changed.push(key.run);
    }

    fn write_node(
        &mut self,
        was_epoch: u64,
        lapsed: bool,
        row: &NodeRow,
        (run, workspace, name, (attempts, first_us)): (
            model::run::RunId,
            store::WorkspaceId,
            String,
            (i64, Option<i64>),
        ),
    ) {
        let before = self.tasks.remove(&row.key);
        let was_epoch = before.as_ref().map_or(signed(was_epoch), |before| before.was_epoch);
        let epoch = signed(row.epoch);
        let lease = match row.state {
            NodeState::Leased(_) if epoch > was_epoch => LeaseChange::New,
            NodeState::Leased(_) => LeaseChange::Kept,
            _ => LeaseChange::None,
        };
        let change = TaskChange {
            run,
            number: i64::from(row.key.node),
            workspace,
            name,
            was_epoch,
            epoch,
            lapsed: lapsed || before.is_some_and(|before| before.lapsed),
            lease,
            state: json_value(&row.state),
            attempts,
            failures: i64::from(row.failures),
            losses: i64::from(row.losses),
            not_taken: row.not_taken.clone(),
            started_at_us: first_us,
            ended_at_us: matches!(row.state, NodeState::Ended { .. }).then_some(self.now_us),
        };
        self.tasks.insert(row.key, change);
    }
}

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn json_value(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

/// The word of an enumeration.
pub(super) fn json(value: &impl Serialize) -> String {
    json_value(value).as_str().unwrap_or_default().to_owned()
}

/// The attempt that ends as the task gets where `row` says: it is neither leased under the same
/// epoch any more, nor asked.
fn ended_attempt(known: &mut TaskEntry, row: &NodeRow) -> Option<i64> {
    let (number, _) = known.attempt?;
    let goes_on = match row.state {
        NodeState::Leased(_) => number == signed(row.epoch),
        NodeState::Asking { .. } => true,
        _ => false,
    };
    if goes_on {
        return None;
    }
    known.attempt = None;
    Some(number)
}

/// The attempt that begins as the task gets where `row` says, and who tries.
fn begun_attempt(known: &mut TaskEntry, row: &NodeRow, now_us: i64) -> Option<(i64, String)> {
    let begun = match row.state {
        NodeState::Leased(lease) => (signed(row.epoch), lease.worker.to_string()),
        NodeState::Asking { .. } => (known.count + 1, "server".to_owned()),
        _ => return None,
    };
    if known.attempt.is_some() {
        return None;
    }
    if let Some(ready_us) = known.ready_us.take() {
        metrics::task_started((now_us - ready_us).max(0) as f64 / 1e6);
    }
    known.count = begun.0;
    known.attempt = Some((begun.0, now_us));
    known.first_us = known.first_us.or(Some(now_us));
    known.answer = None;
    Some(begun)
}

/// How an attempt ended of which nobody said it.
fn untold(lapsed: bool) -> AttemptEnd {
    if lapsed { AttemptEnd::Lost } else { AttemptEnd::Returned }
}

fn interval_of(origin: &Origin) -> Option<(i64, i64)> {
    match origin {
        Origin::Schedule { interval, .. } | Origin::Backfill { interval, .. } => {
            Some((interval.from_us, interval.until_us))
        }
        Origin::Request | Origin::Trigger { .. } | Origin::Run { .. } => None,
    }
}

fn why(origin: &Origin) -> RunTrigger {
    match origin {
        Origin::Request => RunTrigger::Manual,
        Origin::Schedule { .. } => RunTrigger::Schedule,
        Origin::Trigger { .. } => RunTrigger::Event,
        Origin::Backfill { .. } => RunTrigger::Backfill,
        Origin::Run { .. } => RunTrigger::Run,
    }
}
