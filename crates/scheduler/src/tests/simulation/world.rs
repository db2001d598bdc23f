//! A simulated world: one database, several schedulers and workers, a bad network and a list of
//! what happens next.

use super::database::Database;
use super::setup::{BEGIN_US, CALM_US, OUTSIDE, SECOND_US, declare};
use super::worker::Worker;
use crate::{
    Answer, Backfill, BackfillId, BackfillStatus, Command, Event, Failure, Interval,
    LEADER_MARGIN_US, LEADER_TTL_US, LeaderRow, Message, NodeEnd, NodeState, Origin, PipelineId,
    Request, RunEnd, RunKey, State, Trust, WorkerId,
};
use model::Fault;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use stdx::clock::Micros;
use stdx::hash::Random;

/// When everything must have ended: runs take five minutes at most, and wait for one another.
const END_US: Micros = CALM_US + 4 * 3600 * SECOND_US;

#[derive(Debug)]
enum Action {
    /// A scheduler looks after its lease and its timers.
    Schedule(usize),
    /// A worker looks after its work.
    Work(usize),
    /// A scheduler gets a message.
    ToLeader(usize, Box<Event>),
    /// A worker gets a message.
    ToWorker(WorkerId, Message),
    /// Something breaks.
    Break,
    /// People do something.
    Meddle,
}

#[derive(Debug, Default)]
pub(super) struct Scheduler {
    id: u64,
    frozen_until_us: Micros,
    /// How wrong its clock is.
    offset_us: Micros,
    pub(super) leading: Option<Leading>,
}

#[derive(Debug)]
pub(super) struct Leading {
    pub(super) epoch: u64,
    trust: Trust,
    pub(super) state: State,
    /// Whether its clock was ever wrong: then its copy may hold other expiries than the rows.
    was_wrong: bool,
}

/// What came to pass, to see that enough did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Tally(BTreeMap<&'static str, u64>);

impl Tally {
    fn count(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }

    pub(super) fn counts(&self) -> Vec<(&'static str, u64)> {
        self.0.iter().map(|(what, count)| (*what, *count)).collect()
    }
}

pub(super) struct World {
    random: Random,
    pub(super) database: Database,
    pub(super) schedulers: Vec<Scheduler>,
    pub(super) workers: Vec<Worker>,
    lives: u64,
    agenda: BTreeMap<(Micros, u64), Action>,
    actions: u64,
    /// Runs that people want, until they are there.
    pub(super) wanted: Vec<Request>,
    /// Back-fills that people want.
    pub(super) fillings: Vec<Backfill>,
    /// Runs that people wanted to go on, whatever was planned for them.
    pub(super) resumed: BTreeSet<RunKey>,
    serial: u64,
    tally: Tally,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let declared = declare(&mut random);
        let database = Database { now_us: BEGIN_US, declared, ..Database::default() };
        let schedulers = 2 + random.below(2);
        let workers = 1 + random.below(3);
        let mut world = Self {
            random,
            database,
            schedulers: (1..=schedulers)
                .map(|id| Scheduler { id, ..Scheduler::default() })
                .collect(),
            workers: Vec::new(),
            lives: 100,
            agenda: BTreeMap::new(),
            actions: 0,
            wanted: Vec::new(),
            fillings: Vec::new(),
            resumed: BTreeSet::new(),
            serial: 0,
            tally: Tally::default(),
        };
        for index in 0..usize::try_from(schedulers).unwrap() {
            world.plan(0, Action::Schedule(index));
        }
        for index in 0..usize::try_from(workers).unwrap() {
            let worker = world.new_worker();
            world.workers.push(worker);
            world.plan(0, Action::Work(index));
        }
        world.plan(0, Action::Break);
        world.plan(0, Action::Meddle);
        world
    }

    fn new_worker(&mut self) -> Worker {
        self.lives += 1;
        Worker::new(self.lives, u32::try_from(1 + self.random.below(3)).unwrap())
    }

    pub(super) fn now_us(&self) -> Micros {
        self.database.now_us
    }

    fn is_calm(&self) -> bool {
        self.now_us() >= CALM_US
    }

    fn below_us(&mut self, seconds: i64) -> Micros {
        let bound = u64::try_from(seconds * SECOND_US).unwrap();
        Micros::try_from(self.random.below(bound)).unwrap()
    }

    fn plan(&mut self, in_us: Micros, action: Action) {
        self.actions += 1;
        self.agenda.insert((self.now_us() + in_us, self.actions), action);
    }

    /// Lets everything happen, and says what did.
    pub(super) fn play(mut self) -> Tally {
        while let Some(((at_us, _), action)) = self.agenda.pop_first() {
            self.database.now_us = at_us;
            assert!(at_us < END_US, "runs do not end: {:#?}", self.open_runs());
            let is_time_to_look = matches!(action, Action::Meddle);
            self.act(action);
            self.check_leases();
            if is_time_to_look && self.is_calm() && self.is_done() {
                break;
            }
        }
        self.check_end();
        self.tally
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Schedule(index) => {
                self.schedulers_turn(index);
                self.plan(SECOND_US, Action::Schedule(index));
            }
            Action::Work(index) => {
                if self.workers[index].frozen_until_us <= self.now_us() {
                    for event in self.workers[index].turn(self.database.now_us) {
                        self.send_to_leader(event);
                    }
                }
                let in_us = SECOND_US / 2 + self.below_us(1);
                self.plan(in_us, Action::Work(index));
            }
            Action::ToLeader(index, event) => {
                let wakes_us = self.schedulers[index].frozen_until_us;
                if wakes_us > self.now_us() {
                    self.plan(wakes_us - self.now_us(), Action::ToLeader(index, event));
                } else {
                    self.tell_leader(index, *event);
                }
            }
            Action::ToWorker(id, message) => {
                let now_us = self.now_us();
                let worker = self.workers.iter_mut().find(|worker| worker.id == id);
                let Some(worker) = worker else { return };
                if worker.frozen_until_us > now_us {
                    let in_us = worker.frozen_until_us - now_us;
                    self.plan(in_us, Action::ToWorker(id, message));
                } else {
                    worker.hear(&message, now_us, &mut self.random);
                }
            }
            Action::Break if self.is_calm() => {
                self.schedulers.iter_mut().for_each(|scheduler| scheduler.offset_us = 0);
            }
            Action::Break => {
                self.break_something();
                let in_us = self.below_us(15);
                self.plan(in_us, Action::Break);
            }
            Action::Meddle => {
                self.meddle();
                let in_us = SECOND_US + self.below_us(10);
                self.plan(in_us, Action::Meddle);
            }
        }
    }

    /// How the network treats one message: how late each copy arrives.
    fn fates(&mut self) -> Vec<Micros> {
        if self.is_calm() {
            return vec![self.below_us(1) / 10];
        }
        let copies = match self.random.below(20) {
            0 => 0,
            1 => 2,
            _ => 1,
        };
        let fate = |world: &mut Self| {
            let late_s = if world.random.below(20) == 0 { 30 } else { 1 };
            world.below_us(late_s)
        };
        (0..copies).map(|_| fate(self)).collect()
    }

    /// Sends to somebody who believes to lead; there may be several.
    fn send_to_leader(&mut self, event: Event) {
        let leaders: Vec<usize> = (0..self.schedulers.len())
            .filter(|index| self.schedulers[*index].leading.is_some())
            .collect();
        if leaders.is_empty() {
            return;
        }
        for in_us in self.fates() {
            let index = leaders[usize::try_from(self.random.below(leaders.len() as u64)).unwrap()];
            self.plan(in_us, Action::ToLeader(index, Box::new(event.clone())));
        }
    }

    fn schedulers_turn(&mut self, index: usize) {
        let now_us = self.now_us();
        if self.schedulers[index].frozen_until_us > now_us {
            return;
        }
        let me = WorkerId(self.schedulers[index].id);
        let was_epoch = self.schedulers[index].leading.as_ref().map(|leading| leading.epoch);
        match LeaderRow::claim(self.database.leader, me, now_us) {
            None => self.schedulers[index].leading = None,
            Some(row) => {
                self.database.leader = Some(row);
                let trust = Trust::from_request(now_us, LEADER_TTL_US, LEADER_MARGIN_US);
                if was_epoch == Some(row.epoch) {
                    let leading = self.schedulers[index].leading.as_mut().unwrap();
                    leading.trust = trust;
                } else {
                    self.load(index, row.epoch, trust);
                    self.tally.count("a new leader");
                }
            }
        }
        self.tell_leader(index, Event::Tick);
    }

    fn load(&mut self, index: usize, epoch: u64, trust: Trust) {
        let state = State::load(self.database.rows(), self.database.now_us);
        self.schedulers[index].leading = Some(Leading { epoch, trust, state, was_wrong: false });
    }

    /// Tells an event to a scheduler that believes to lead, and applies what it says.
    fn tell_leader(&mut self, index: usize, event: Event) {
        let now_us = self.now_us();
        let scheduler = &mut self.schedulers[index];
        let offset_us = scheduler.offset_us;
        let Some(leading) = &mut scheduler.leading else { return };
        // One that froze between the look at its clock and the deed does not notice in time.
        if !leading.trust.holds(now_us) && self.random.below(2) == 0 {
            return;
        }
        leading.was_wrong |= offset_us != 0;
        // What people ask for may be old news to the database.
        let may_be_old =
            matches!(event, Event::Start(_) | Event::Resume { .. } | Event::Backfill(_));
        let Ok(commands) = leading.state.handle(now_us + offset_us, event) else { return };
        let (epoch, trust, was_wrong) = (leading.epoch, leading.trust, leading.was_wrong);
        match self.database.apply(epoch, &commands) {
            Ok(()) => {
                self.check_limits();
                if !was_wrong && self.random.below(64) == 0 {
                    self.check_copy(index);
                }
                self.send_messages(&commands);
            }
            Err("not the leader") => {
                self.tally.count("a command of an old leader was refused");
                self.schedulers[index].leading = None;
            }
            Err(reason) => {
                self.tally.count("a command was refused");
                assert!(
                    was_wrong || may_be_old,
                    "refused although all clocks were right: {reason}"
                );
                self.load(index, epoch, trust);
            }
        }
    }

    fn send_messages(&mut self, commands: &[Command]) {
        for command in commands {
            if let Command::Tell { worker, message } = command {
                for in_us in self.fates() {
                    self.plan(in_us, Action::ToWorker(*worker, message.clone()));
                }
            }
            match command {
                Command::SetNode { lapsed: true, .. } => self.tally.count("a lease ran out"),
                Command::AlertLate(_) => self.tally.count("a run was late"),
                Command::AnnounceEnd(_, RunEnd::TimedOut) => self.tally.count("a run timed out"),
                Command::AnnounceEnd(_, RunEnd::Succeeded) => self.tally.count("a run succeeded"),
                Command::AnnounceEnd(_, RunEnd::Skipped) => self.tally.count("a run was skipped"),
                Command::SetBackfill { status: BackfillStatus::Done, .. } => {
                    self.tally.count("a back-fill was done");
                }
                Command::SetBackfill { status: BackfillStatus::Cancelled, .. } => {
                    self.tally.count("a back-fill was cancelled");
                }
                Command::UseSignals { .. } => self.tally.count("a trigger fired"),
                Command::SetNode { row, .. }
                    if row.state == (NodeState::Ended { end: NodeEnd::Quarantined }) =>
                {
                    self.tally.count("a node was put aside");
                }
                _ => {}
            }
        }
    }

    fn break_something(&mut self) {
        let now_us = self.now_us();
        let scheduler = usize::try_from(self.random.below(self.schedulers.len() as u64)).unwrap();
        let worker = usize::try_from(self.random.below(self.workers.len() as u64)).unwrap();
        let frozen_us = self.below_us(25);
        match self.random.below(5) {
            0 => self.schedulers[scheduler].frozen_until_us = now_us + frozen_us,
            1 => {
                // It dies, and comes back with nothing in its head.
                self.lives += 1;
                self.schedulers[scheduler] = Scheduler {
                    id: self.lives,
                    frozen_until_us: now_us + frozen_us / 3,
                    ..Scheduler::default()
                };
            }
            2 => {
                let jump_us = self.below_us(7200) - 3600 * SECOND_US;
                let is_mended = self.random.below(2) == 0;
                self.schedulers[scheduler].offset_us = if is_mended { 0 } else { jump_us };
            }
            3 => self.workers[worker].frozen_until_us = now_us + frozen_us,
            _ => {
                let mut born = self.new_worker();
                born.frozen_until_us = now_us + frozen_us / 3;
                self.workers[worker] = born;
            }
        }
    }

    /// People start, cancel, resume and answer; files arrive.
    fn meddle(&mut self) {
        for (node, row) in self.database.nodes.clone() {
            if matches!(row.state, NodeState::Asking { .. }) && self.random.below(3) == 0 {
                let failure = Failure { fault: Fault::External, retry: self.random.below(2) > 0 };
                let answer = match self.random.below(3) {
                    0 => Answer::Failed(failure),
                    _ => Answer::Succeeded { not_taken: Vec::new() },
                };
                self.send_to_leader(Event::Answer { node, answer });
            }
        }
        self.wanted.retain(|request| !self.database.runs.contains_key(&request.run));
        for request in self.wanted.clone() {
            self.send_to_leader(Event::Start(request));
        }
        for backfill in self.fillings.clone() {
            if !self.database.backfills.contains_key(&backfill.id) {
                self.send_to_leader(Event::Backfill(backfill));
            }
        }
        if self.is_calm() {
            return;
        }
        self.serial += self.random.below(2);
        self.send_to_leader(Event::Signal { signal: OUTSIDE, serial: self.serial });
        let known: Vec<RunKey> = self.database.runs.keys().copied().collect();
        match self.random.below(8) {
            0 => {
                let run = RunKey::derive(self.now_us(), &self.actions.to_le_bytes());
                let pipeline = PipelineId(1 + self.random.below(3));
                let params = Arc::from("{}");
                let origin = Origin::Request;
                self.wanted.push(Request { run, pipeline, origin, params, priority: -2 });
            }
            1 if !known.is_empty() => {
                let run = known[usize::try_from(self.random.below(known.len() as u64)).unwrap()];
                self.send_to_leader(Event::Cancel(run));
            }
            2 if !known.is_empty() => {
                let run = known[usize::try_from(self.random.below(known.len() as u64)).unwrap()];
                self.resumed.insert(run);
                let nodes = self.database.nodes_of(run);
                let run = self.database.runs[&run].clone();
                self.send_to_leader(Event::Resume { run, nodes });
            }
            3 => {
                let backfill = self.any_backfill();
                self.fillings.push(backfill);
            }
            4 => {
                let id = BackfillId(1 + self.random.below(3));
                self.send_to_leader(Event::CancelBackfill(id));
            }
            _ => {}
        }
    }

    fn any_backfill(&mut self) -> Backfill {
        let first = i64::try_from(self.random.below(5)).unwrap();
        let length = i64::try_from(1 + self.random.below(4)).unwrap();
        let interval = |number| Interval { from_us: number * 10, until_us: (number + 1) * 10 };
        Backfill {
            id: BackfillId(1 + self.fillings.len() as u64),
            pipeline: PipelineId(1 + self.random.below(3)),
            intervals: (first..first + length).map(interval).collect(),
            parallel_max: usize::try_from(1 + self.random.below(2)).unwrap(),
            params: Arc::from("{}"),
            started: 0,
            status: BackfillStatus::Running,
        }
    }
}
