//! One turn: letters become events, events commands, commands one transaction, and then effects.

use super::draft::{Draft, Effects, Extras, RunExtras, TaskExtras};
use super::effects::{child_end, ended};
use super::files::watch;
use super::leading::Leading;
use super::names::{Line, pipeline_number, signal_number, table_signal, workspace_number};
use super::wishes::{StartWish, Wish};
use super::{Body, Letter, load};
use crate::orchestrator::Progress;
use model::run::RunId;
use model::{Name, Problem, Result, codes};
use monitor::metrics;
use scheduler::{
    Backfill, BackfillStatus, Command, Definition, Event, Interval, NodeKey, NodeState, Origin,
    Request, RunKey,
};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;
use store::WorkspaceId;

/// A letter is given up after so many turns that have failed with it.
const FAILURES_MAX: u32 = 3;

/// What follows from one letter.
#[derive(Default)]
struct Outcome {
    decided: Vec<(Vec<Command>, Extras)>,
    /// A person is asked something, or has answered.
    question: Option<(NodeKey, Value)>,
    answered: Option<(NodeKey, Value)>,
    run: Option<RunId>,
}

impl Leading {
    /// Takes up all letters and what is due. After a problem this state is of no use any more;
    /// the letters are kept.
    pub(super) async fn turn(&mut self) -> Result<()> {
        let begin = Instant::now();
        let letters = std::mem::take(&mut self.next);
        let now_us = self.now_us();
        let mut outcomes = Vec::with_capacity(letters.len());
        let mut keys = HashMap::new();
        for letter in &letters {
            outcomes.push(self.take_up(&letter.body, now_us, &mut keys).await);
        }
        let due = match self.state.next_us() {
            Some(next_us) if next_us <= now_us => self.state.handle(now_us, Event::Tick)?,
            _ => Vec::new(),
        };
        let (names, book) = (&self.names, Arc::clone(&self.book));
        let mut draft = Draft::new(names, &book, now_us);
        for outcome in outcomes.iter_mut().flatten() {
            for (commands, extras) in std::mem::take(&mut outcome.decided) {
                draft.add(commands, extras);
            }
            if let Some((node, question)) = outcome.question.take() {
                draft.ask(node, question);
            }
            if let Some((node, answer)) = outcome.answered.take() {
                draft.answer(node, answer);
            }
        }
        draft.add(due, Extras::default());
        let is_empty = draft.is_empty();
        let writes = draft.writes();
        let effects = std::mem::take(&mut draft.effects);
        if !is_empty {
            let orchestration = self.app.store.orchestration();
            let applied = orchestration.apply(self.lead.epoch, writes, self.app.now_us()).await;
            if let Err(problem) = applied {
                self.next = kept(letters, &problem);
                return Err(problem);
            }
        }
        for (letter, outcome) in letters.into_iter().zip(outcomes) {
            let _ = letter.reply.send(outcome.map(|outcome| outcome.run));
        }
        self.follow(effects);
        self.note_progress(begin, now_us);
        Ok(())
    }

    /// Says how far the scheduler is, for those who watch it.
    fn note_progress(&self, begin: Instant, now_us: i64) {
        metrics::scheduler_turn(begin.elapsed().as_secs_f64());
        metrics::store_commits(self.app.store.commits());
        let waiting = self.state.ready_count() as u64;
        let oldest_us = self.state.oldest_ready_us().map_or(0, |since_us| now_us - since_us);
        metrics::queue(waiting, oldest_us.max(0) as f64 / 1e6);
        metrics::leases(self.state.leased_count() as u64);
        let overdue_us = self.state.next_us().map_or(0, |next_us| (now_us - next_us).max(0));
        self.app.progress.send_replace(Progress {
            turned: Some(begin),
            overdue_us,
            waiting,
            oldest_us: oldest_us.max(0),
        });
    }

    async fn take_up(
        &mut self,
        body: &Body,
        now_us: i64,
        keys: &mut HashMap<String, RunId>,
    ) -> Result<Outcome> {
        match body {
            Body::Wish(wish) => self.take_wish(wish, now_us, keys).await,
            Body::Poll(poll) => self.tell(now_us, Event::Poll(poll.clone()), Extras::default()),
            Body::Report { report, about, tables } => {
                let workspace = {
                    let runs = self.book.open();
                    runs.get(&report.node.run).map(|entry| entry.workspace.clone())
                };
                let mut outcome = self.end_attempt(now_us, Event::Report(report.clone()), about)?;
                for (table, version) in tables {
                    let Some(workspace) = &workspace else { continue };
                    let signal = signal_number(workspace, &table_signal(table));
                    let event = Event::Signal { signal, serial: *version };
                    outcome.decided.push((self.state.handle(now_us, event)?, Extras::default()));
                }
                Ok(outcome)
            }
            Body::Answer { node, answer, about } => {
                if !self.is_asking(*node) {
                    return Ok(Outcome::default());
                }
                let event = Event::Answer { node: *node, answer: answer.clone() };
                self.end_attempt(now_us, event, about)
            }
            Body::Question { node, question } => Ok(Outcome {
                question: self.is_asking(*node).then(|| (*node, question.clone())),
                ..Outcome::default()
            }),
        }
    }

    fn is_asking(&self, node: NodeKey) -> bool {
        matches!(self.state.node_state(node), Some(NodeState::Asking { .. }))
    }

    fn tell(&mut self, now_us: i64, event: Event, extras: Extras) -> Result<Outcome> {
        let commands = self.state.handle(now_us, event)?;
        Ok(Outcome { decided: vec![(commands, extras)], ..Outcome::default() })
    }

    /// An attempt at a task ends. What it gave counts only if the scheduler listens to it.
    fn end_attempt(&mut self, now_us: i64, event: Event, about: &TaskExtras) -> Result<Outcome> {
        let commands = self.state.handle(now_us, event)?;
        let is_heard = commands.iter().any(
            |command| matches!(command, Command::SetNode { row, .. } if row.key == about.node),
        );
        let extras = Extras { task: is_heard.then(|| about.clone()), ..Extras::default() };
        Ok(Outcome { decided: vec![(commands, extras)], ..Outcome::default() })
    }

    async fn take_wish(
        &mut self,
        wish: &Wish,
        now_us: i64,
        keys: &mut HashMap<String, RunId>,
    ) -> Result<Outcome> {
        match wish {
            Wish::Start(start) => self.start(start, now_us, keys).await,
            Wish::Cancel { run } => {
                self.tell(now_us, Event::Cancel(run_key(run)?), Extras::default())
            }
            Wish::Resume { run } => self.resume(run, now_us).await,
            Wish::Answer { run, task, answer } => {
                let node = self.waiting_task(run, task)?;
                let value = serde_json::to_value(answer).unwrap_or(Value::Null);
                let mut runs = self.book.open();
                let entry = runs.get_mut(&node.run);
                if let Some(task) = entry.and_then(|entry| entry.tasks.get_mut(&node.node)) {
                    task.answer = Some(answer.clone());
                }
                Ok(Outcome { answered: Some((node, value)), ..Outcome::default() })
            }
            Wish::Signal(told) => {
                let signal = signal_number(&told.workspace, &told.signal);
                let event = Event::Signal { signal, serial: told.serial };
                self.tell(now_us, event, Extras::default())
            }
            Wish::Backfill { id, workspace, pipeline, intervals, at_once, params, by } => {
                let intervals = intervals
                    .iter()
                    .map(|(from_us, until_us)| Interval { from_us: *from_us, until_us: *until_us });
                let backfill = Backfill {
                    id: self.names.add_backfill(id, workspace),
                    pipeline: pipeline_number(workspace, pipeline.as_str()),
                    intervals: intervals.collect(),
                    parallel_max: *at_once,
                    params: params.to_string().into(),
                    started: 0,
                    status: BackfillStatus::Running,
                };
                let extras = Extras { by: by.clone(), ..Extras::default() };
                self.tell(now_us, Event::Backfill(backfill), extras)
            }
            Wish::CancelBackfill { id } => {
                let number = scheduler::BackfillId(stdx::hash::stable_hash(id.as_str().as_bytes()));
                self.tell(now_us, Event::CancelBackfill(number), Extras::default())
            }
            Wish::Redefine { workspace } => self.redefine(workspace, now_us).await,
        }
    }

    async fn start(
        &mut self,
        start: &StartWish,
        now_us: i64,
        keys: &mut HashMap<String, RunId>,
    ) -> Result<Outcome> {
        let parent = start.parent.as_ref().map(|(run, node, key)| {
            Ok::<_, Problem>((NodeKey { run: run_key(run)?, node: *node }, key.clone()))
        });
        let parent = parent.transpose()?;
        if let Some((node, key)) = &parent {
            let known = self.book.child(*node, key);
            if known.is_some() {
                return Ok(Outcome { run: known, ..Outcome::default() });
            }
        }
        if let Some(key) = &start.key {
            let scoped = format!("{}/{key}", start.workspace);
            let runs = self.app.store.workspace(&start.workspace).runs();
            let known = match keys.get(&scoped) {
                Some(run) => Some(run.clone()),
                None => runs.by_key(key).await?.map(|run| run.id),
            };
            if known.is_some() {
                return Ok(Outcome { run: known, ..Outcome::default() });
            }
            keys.insert(scoped, start.run.clone());
        }
        let pipeline = pipeline_number(&start.workspace, start.pipeline.as_str());
        if !self.names.pipelines.contains_key(&pipeline) {
            return Err(unknown_pipeline(&start.pipeline));
        }
        let origin = match &parent {
            Some((node, _)) => Origin::Run { run: node.run, node: node.node },
            None => Origin::Request,
        };
        let request = Request {
            run: run_key(&start.run)?,
            pipeline,
            origin,
            params: start.params.to_string().into(),
            priority: start.priority,
        };
        let about = RunExtras {
            started_by: start.started_by,
            triggered_by: start.triggered_by.clone(),
            key: start.key.clone(),
            parent,
            interval_us: start.interval_us,
        };
        let extras = Extras { run: Some(about), ..Extras::default() };
        let mut outcome = self.tell(now_us, Event::Start(request), extras)?;
        outcome.run = Some(start.run.clone());
        Ok(outcome)
    }

    async fn resume(&mut self, run: &RunId, now_us: i64) -> Result<Outcome> {
        let key = run_key(run)?;
        if self.book.open().contains_key(&key) {
            return Ok(Outcome::default());
        }
        let (row, tasks) = self.app.store.orchestration().run(run).await?;
        let runs = self.app.store.workspace(&row.workspace_id).runs();
        let plan = Arc::new(runs.plan(&row.plan).await?);
        let (scheduled, nodes, mut entry) = load::run(&row, tasks, &plan, &self.names)?;
        entry.problems.clear();
        let line = Line {
            workspace: row.workspace_id.clone(),
            name: plan.pipeline.clone(),
            hash: row.plan.clone(),
            plan,
        };
        if !self.names.pipelines.contains_key(&scheduled.pipeline) {
            self.names.add_pipeline(line)?;
        }
        let commands = self.state.handle(now_us, Event::Resume { run: scheduled, nodes })?;
        self.book.open().insert(key, entry);
        let decided = vec![(commands, Extras::default())];
        Ok(Outcome { decided, run: Some(run.clone()), ..Outcome::default() })
    }

    fn waiting_task(&self, run: &RunId, task: &str) -> Result<NodeKey> {
        let run_key = run_key(run)?;
        let runs = self.book.open();
        let tasks = runs.get(&run_key).map(|entry| &entry.plan.tasks);
        let place = tasks.and_then(|tasks| tasks.iter().position(|known| known.id == task));
        let node = place.and_then(|place| u32::try_from(place).ok());
        let node = node.map(|node| NodeKey { run: run_key, node });
        node.filter(|node| self.is_asking(*node)).ok_or_else(|| {
            let fact = format!("`{task}` of run `{run}` does not wait for an answer");
            Problem::new(&codes::RUN_REFUSED, fact)
                .arg("run", run)
                .hint("look at the run: it has been answered, or has not come so far")
        })
    }

    /// Reads what a workspace declares again.
    async fn redefine(&mut self, workspace: &WorkspaceId, now_us: i64) -> Result<Outcome> {
        let mut all = self.app.store.orchestration().load().await?;
        all.runs.clear();
        all.tasks.clear();
        all.backfills.clear();
        let loaded = load::load(all)?;
        let number = workspace_number(workspace);
        let rows = loaded.rows;
        let mut definitions = Vec::new();
        let pipelines: HashSet<_> = rows.pipelines.iter().map(|pipeline| pipeline.id).collect();
        let schedules: HashSet<_> = rows.schedules.iter().map(|schedule| schedule.id).collect();
        let triggers: HashSet<_> = rows.triggers.iter().map(|trigger| trigger.id).collect();
        for id in self.names.pipelines.keys().filter(|id| !pipelines.contains(id)) {
            definitions.push(Definition::NoPipeline(*id));
        }
        for id in self.names.schedules.keys().filter(|id| !schedules.contains(id)) {
            definitions.push(Definition::NoSchedule(*id));
        }
        for id in self.names.triggers.keys().filter(|id| !triggers.contains(id)) {
            definitions.push(Definition::NoTrigger(*id));
        }
        let pools: HashSet<_> = rows.pools.iter().map(|(_, id, _)| *id).collect();
        for id in self.names.pools.keys().filter(|id| !pools.contains(id)) {
            definitions.push(Definition::Pool(number, *id, None));
        }
        let shares = rows.workspaces.into_iter();
        definitions.extend(shares.map(|(id, share)| Definition::Workspace(id, share)));
        let pools = rows.pools.into_iter();
        definitions.extend(pools.map(|(of, id, slots)| Definition::Pool(of, id, Some(slots))));
        definitions.extend(rows.pipelines.into_iter().map(Definition::Pipeline));
        definitions.extend(rows.schedules.into_iter().map(Definition::Schedule));
        definitions.extend(rows.triggers.into_iter().map(Definition::Trigger));
        let backfills = std::mem::take(&mut self.names.backfills);
        self.names = loaded.names;
        self.names.backfills = backfills;
        if let Some(watching) = self.watching.take() {
            watching.abort();
        }
        self.watching = watch(&self.app, &self.names, loaded.watched);
        let mut outcome = Outcome::default();
        for definition in definitions {
            let commands = self.state.handle(now_us, Event::Define(definition))?;
            if !commands.is_empty() {
                outcome.decided.push((commands, Extras::default()));
            }
        }
        Ok(outcome)
    }

    /// Does what follows once everything is durable.
    fn follow(&mut self, effects: Effects) {
        for (_, message) in effects.messages {
            let _ = self.worker.try_send(message);
        }
        for node in effects.answered {
            if let Some(driver) = self.drivers.remove(&node) {
                driver.task.abort();
            }
        }
        if effects.announced {
            self.app.alerts.wake();
        }
        let changed: HashSet<RunKey> = effects.changed.into_iter().collect();
        for run in changed {
            if let Some(entry) = self.book.open().get(&run) {
                self.app.live.run_changed(&entry.workspace, &entry.id);
            }
            self.wake_drivers(run);
        }
        for node in effects.abandoned {
            for child in self.book.children(node).into_iter().filter(|child| child.end.is_none()) {
                let (letter, _) = Letter::new(Body::Wish(Wish::Cancel { run: child.run }));
                self.next.push(letter);
            }
        }
        for (run, end) in effects.ended {
            self.run_ended(run, end);
        }
        effects.asking.into_iter().for_each(|node| self.drive(node));
    }

    /// A person may have answered.
    fn wake_drivers(&self, run: RunKey) {
        let waiting = self.drivers.iter().filter(|(node, _)| node.run == run);
        for (node, driver) in waiting {
            if self.book.answer(*node).is_some() {
                driver.wake.notify_one();
            }
        }
    }

    fn run_ended(&mut self, run: RunKey, end: scheduler::RunEnd) {
        let Some(entry) = self.book.open().remove(&run) else { return };
        let seconds = (self.now_us() - entry.created_us).max(0) as f64 / 1e6;
        metrics::run_ended(entry.slug.as_str(), ended(end, &entry), seconds);
        if entry.rows != (0, 0) {
            metrics::rows(entry.slug.as_str(), entry.rows.0, entry.rows.1);
        }
        let Some((parent, _)) = &entry.parent else { return };
        self.book.end_child(*parent, &entry.id, child_end(end), entry.output());
        if let Some(driver) = self.drivers.get(parent) {
            driver.wake.notify_one();
        }
    }
}

fn run_key(run: &RunId) -> Result<RunKey> {
    RunKey::of(run)
        .ok_or_else(|| Problem::new(&codes::RUN_NOT_FOUND, format!("there is no run `{run}`")))
}

fn unknown_pipeline(pipeline: &Name) -> Problem {
    Problem::new(&codes::NAME_UNKNOWN, format!("there is no pipeline `{pipeline}`"))
        .arg("pipeline", pipeline)
        .hint("look it up in the list of pipelines of this workspace")
}

/// Letters that a turn has failed with: told again, but not for ever.
fn kept(letters: Vec<Letter>, problem: &Problem) -> Vec<Letter> {
    let mut kept = Vec::with_capacity(letters.len());
    for mut letter in letters {
        letter.failures += 1;
        if letter.failures < FAILURES_MAX {
            kept.push(letter);
        } else {
            let _ = letter.reply.send(Err(problem.clone()));
        }
    }
    kept
}
