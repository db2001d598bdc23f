//! A server that leads: it waits for letters and for time to pass, and takes turns.

use super::book::Book;
use super::files::watch;
use super::lead::{Lead, RENEW_EVERY, renew};
use super::load::{self, Loaded};
use super::names::Names;
use super::services::drive;
use super::{Body, Letter};
use crate::app::App;
use futures::FutureExt;
use model::plan::{Plan, Work};
use model::{Problem, Result, codes};
use scheduler::{AttemptEnd, Message, NodeKey, NodeState, Report, State, WorkerId};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;

/// Letters of one turn.
const TURN_MAX: usize = 512;
/// Without anything due it is looked so often; clocks may jump.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// An action of the server that waits for its answer.
pub(super) struct Driver {
    pub(super) task: JoinHandle<()>,
    pub(super) wake: Arc<Notify>,
}

pub(super) struct Leading {
    pub(super) app: App,
    pub(super) lead: Lead,
    pub(super) state: State,
    pub(super) names: Names,
    pub(super) book: Arc<Book>,
    pub(super) worker: mpsc::Sender<Message>,
    pub(super) drivers: HashMap<NodeKey, Driver>,
    /// Looks for files that triggers wait for.
    pub(super) watching: Option<JoinHandle<()>>,
    /// Letters that are taken up in the next turn.
    pub(super) next: Vec<Letter>,
}

impl Leading {
    /// Leads with what was loaded; `book` is what the worker reads.
    pub(super) fn new(
        app: App,
        lead: Lead,
        loaded: Loaded,
        book: Arc<Book>,
        worker: mpsc::Sender<Message>,
    ) -> Self {
        let Loaded { rows, names, book: new, watched } = loaded;
        *book.open() = std::mem::take(&mut *new.open());
        let now_us = app.now_us() + lead.ahead_us;
        let state = State::load(rows, now_us);
        let watching = watch(&app, &names, watched);
        let (drivers, next) = (HashMap::new(), Vec::new());
        Self { app, lead, state, names, book, worker, drivers, watching, next }
    }

    /// Takes up letters again that a turn has failed with.
    pub(super) fn take_back(&mut self, letters: Vec<Letter>) {
        self.next = letters;
    }

    /// Ends, and gives what is not answered.
    pub(super) fn end(mut self) -> (Lead, Vec<Letter>) {
        for driver in self.drivers.values() {
            driver.task.abort();
        }
        if let Some(watching) = &self.watching {
            watching.abort();
        }
        (self.lead.clone(), std::mem::take(&mut self.next))
    }

    /// The time by the clock of the database, µs since the epoch.
    pub(super) fn now_us(&self) -> i64 {
        self.app.now_us() + self.lead.ahead_us
    }

    /// Leads until something is refused, or the lead is lost, or `stop` says so. `me` is the
    /// worker of this server.
    pub(super) async fn lead(
        &mut self,
        letters: &mut mpsc::Receiver<Letter>,
        stop: &mut watch::Receiver<bool>,
        me: WorkerId,
    ) -> Result<()> {
        self.return_leases_of_the_dead(me);
        self.drive_all();
        let mut renewing = tokio::time::interval(RENEW_EVERY);
        loop {
            if self.next.is_empty() {
                let wait = self.wait();
                tokio::select! {
                    biased;
                    _ = renewing.tick() => self.look_around().await?,
                    received = letters.recv_many(&mut self.next, TURN_MAX) => {
                        if received == 0 {
                            return Ok(());
                        }
                    }
                    () = tokio::time::sleep(wait) => {}
                    () = stopped(stop) => return Ok(()),
                }
            } else {
                let room = TURN_MAX.saturating_sub(self.next.len());
                for _ in 0..room {
                    match letters.try_recv() {
                        Ok(letter) => self.next.push(letter),
                        Err(_) => break,
                    }
                }
                if renewing.tick().now_or_never().is_some() {
                    self.look_around().await?;
                }
            }
            if Instant::now() >= self.lead.trusted_until {
                return Err(Problem::new(&codes::RUN_LOCKED, "the lead is lost"));
            }
            self.turn().await?;
        }
    }

    /// How long nothing happens by itself.
    fn wait(&self) -> Duration {
        let Some(next_us) = self.state.next_us() else { return LOOK_EVERY };
        let wait_us = u64::try_from(next_us - self.now_us()).unwrap_or(0);
        Duration::from_micros(wait_us).min(LOOK_EVERY)
    }

    /// Renews the lead, and takes up what other servers were asked.
    async fn look_around(&mut self) -> Result<()> {
        renew(&self.app, &mut self.lead).await?;
        let orchestration = self.app.store.orchestration();
        for (id, body) in orchestration.wishes().await? {
            if let Ok(wish) = serde_json::from_value(body) {
                let (letter, _) = Letter::new(Body::Wish(wish));
                self.next.push(letter);
            }
            // Taken up twice it would do no more than once, but a run has its id from the wish.
            self.turn().await?;
            orchestration.forget_wish(&id).await?;
        }
        Ok(())
    }

    /// What a server that is known to be dead worked at need not wait for its leases to end.
    fn return_leases_of_the_dead(&mut self, me: WorkerId) {
        let runs: Vec<_> = self.book.open().keys().copied().collect();
        for run in runs {
            let count = self.book.open().get(&run).map_or(0, |entry| entry.plan.tasks.len());
            for node in 0..u32::try_from(count).unwrap_or(0) {
                let node = NodeKey { run, node };
                let Some(NodeState::Leased(lease)) = self.state.node_state(node) else { continue };
                let is_dead = self.lead.dead == Some(lease.worker) && lease.worker != me;
                let attempt = self.attempt(node);
                if let Some(epoch) = attempt.filter(|_| is_dead) {
                    let end = AttemptEnd::Returned;
                    let report = Report { worker: lease.worker, node, epoch, end };
                    self.next.push(returned(report));
                }
            }
        }
        self.lead.dead = None;
    }

    fn attempt(&self, node: NodeKey) -> Option<u64> {
        let runs = self.book.open();
        let (number, _) = runs.get(&node.run)?.tasks.get(&node.node)?.attempt?;
        u64::try_from(number).ok()
    }

    /// Drives all actions that wait.
    fn drive_all(&mut self) {
        let mut asking = Vec::new();
        for (run, entry) in self.book.open().iter() {
            for (index, task) in (0..).zip(&entry.plan.tasks) {
                let node = NodeKey { run: *run, node: index };
                let is_asking =
                    matches!(self.state.node_state(node), Some(NodeState::Asking { .. }));
                if is_asking && matches!(task.work, Work::Action { outside: false, .. }) {
                    asking.push(node);
                }
            }
        }
        asking.into_iter().for_each(|node| self.drive(node));
    }

    /// Begins to ask an action; what is answered at once needs no task of its own.
    pub(super) fn drive(&mut self, node: NodeKey) {
        let wake = Arc::new(Notify::new());
        let (app, book) = (self.app.clone(), Arc::clone(&self.book));
        let mut driving = Box::pin(drive(app, book, node, Arc::clone(&wake)));
        if let Some(answer) = (&mut driving).now_or_never() {
            self.next.extend(answer.map(|body| Letter::new(body).0));
            return;
        }
        let letters = self.app.letters.clone();
        let task = tokio::spawn(async move {
            if let Some(body) = driving.await {
                let (letter, _) = Letter::new(body);
                let _ = letters.send(letter).await;
            }
        });
        self.drivers.insert(node, Driver { task, wake });
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Whoever could say so is gone, and that says it too.
    let _ = stop.wait_for(|stop| *stop).await;
}

fn returned(report: Report) -> Letter {
    let about = super::draft::TaskExtras {
        node: report.node,
        end: store::AttemptEnd::Lost,
        problem: None,
        output: None,
        report: None,
    };
    Letter::new(Body::Report { report, about, tables: Vec::new() }).0
}

/// Reads what tasks that wait for their runs have started.
pub(super) async fn load_children(app: &App, book: &Book) -> Result<()> {
    let mut parents = Vec::new();
    for (run, entry) in book.open().iter() {
        for node in entry.tasks.iter().filter(|(_, task)| task.attempt.is_some()) {
            parents.push(NodeKey { run: *run, node: *node.0 });
        }
    }
    let orchestration = app.store.orchestration();
    let mut plans: HashMap<String, Plan> = HashMap::new();
    for parent in parents {
        for (row, tasks) in orchestration.children(&load::parent_text(parent)).await? {
            if !tasks.is_empty() && !plans.contains_key(&row.plan) {
                let runs = app.store.workspace(&row.workspace_id).runs();
                plans.insert(row.plan.clone(), runs.plan(&row.plan).await?);
            }
            let child = load::child(&row, &tasks, plans.get(&row.plan));
            let mut runs = book.open();
            let task =
                runs.get_mut(&parent.run).and_then(|entry| entry.tasks.get_mut(&parent.node));
            if let (Some(task), Some((_, child))) = (task, child) {
                task.add_child(child);
            }
        }
    }
    Ok(())
}
