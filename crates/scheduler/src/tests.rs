//! The whole, told event by event, and simulated histories of it.

mod simulation;

use crate::*;
use model::{Fault, codes};
use std::collections::BTreeMap;
use std::sync::Arc;
use stdx::clock::Micros;

const SECOND_US: Micros = 1_000_000;
const PIPELINE: PipelineId = PipelineId(1);

/// A state with one pipeline, told what happens second by second; it keeps what was written.
struct Scene {
    state: State,
    now_us: Micros,
    polls: u64,
    runs: BTreeMap<RunKey, RunRow>,
    nodes: BTreeMap<NodeKey, NodeRow>,
    said: Vec<Command>,
}

impl Scene {
    fn new(nodes: Vec<Node>, limits: RunLimits) -> Self {
        let mut scene = Self {
            state: State::load(Rows::default(), 0),
            now_us: 0,
            polls: 0,
            runs: BTreeMap::new(),
            nodes: BTreeMap::new(),
            said: Vec::new(),
        };
        scene.define(nodes, limits);
        scene
    }

    fn define(&mut self, nodes: Vec<Node>, limits: RunLimits) {
        let graph = Arc::new(Graph::new(nodes).unwrap());
        let workspace = WorkspaceId(1);
        let signal = None;
        let pipeline = Pipeline { id: PIPELINE, workspace, graph, priority: 0, limits, signal };
        self.tell(Event::Define(Definition::Pipeline(pipeline)));
    }

    fn tell(&mut self, event: Event) {
        self.said = self.state.handle(self.now_us, event).unwrap();
        for command in &self.said {
            match command {
                Command::CreateRun(row) => drop(self.runs.insert(row.key, (**row).clone())),
                Command::SetRun { run, status, .. } => {
                    self.runs.get_mut(run).unwrap().status = *status;
                }
                Command::SetNode { row, .. } => drop(self.nodes.insert(row.key, row.clone())),
                _ => {}
            }
        }
    }

    fn wait(&mut self, seconds: i64) {
        self.now_us += seconds * SECOND_US;
        self.tell(Event::Tick);
    }

    fn start(&mut self, number: u128) -> RunKey {
        let run = RunKey(number);
        let (params, origin) = (Arc::from("{}"), Origin::Request);
        self.tell(Event::Start(Request { run, pipeline: PIPELINE, origin, params, priority: 0 }));
        run
    }

    /// A worker that can do everything asks, holding nothing else than what it was given before.
    fn poll(&mut self) -> Vec<(NodeKey, u64)> {
        self.polls += 1;
        let leased = self.nodes.values().filter(|row| row.lease().is_some());
        let working = leased.map(|row| (row.key, row.epoch)).collect();
        let number = self.polls;
        self.tell(Event::Poll(Poll { worker: WorkerId(1), number, slots: 100, working }));
        let work = |command: &Command| match command {
            Command::Tell { message: Message::Work { node, epoch, .. }, .. } => {
                Some((*node, *epoch))
            }
            _ => None,
        };
        self.said.iter().filter_map(work).collect()
    }

    fn report(&mut self, (node, epoch): (NodeKey, u64), end: AttemptEnd) {
        self.tell(Event::Report(Report { worker: WorkerId(1), node, epoch, end }));
    }

    fn succeed(&mut self, lease: (NodeKey, u64)) {
        self.report(lease, AttemptEnd::Succeeded { not_taken: Vec::new() });
    }

    fn status(&self, run: RunKey) -> RunStatus {
        self.runs[&run].status
    }

    fn ended(&self, run: RunKey) -> Option<RunEnd> {
        match self.status(run) {
            RunStatus::Ended { end } => Some(end),
            _ => None,
        }
    }
}

const OUTSIDE: AttemptEnd = AttemptEnd::Failed(Failure { fault: Fault::External, retry: true });

#[test]
fn a_run_goes_from_node_to_node() {
    let second = Node { parents: vec![0], ..Node::default() };
    let mut scene = Scene::new(vec![Node::default(), second], RunLimits::default());
    let run = scene.start(1);
    let first = scene.poll();
    assert_eq!(first, [(NodeKey { run, node: 0 }, 1)]);
    // The worker has room and the next node is given to it at once.
    scene.succeed(first[0]);
    let given = scene.said.iter().any(|command| {
        matches!(command, Command::Tell { message: Message::Work { node, .. }, .. }
            if node.node == 1)
    });
    assert!(given, "{:?}", scene.said);
    scene.succeed((NodeKey { run, node: 1 }, 1));
    assert_eq!(scene.ended(run), Some(RunEnd::Succeeded));
    // Told again, the same report changes nothing and is acknowledged.
    scene.succeed((NodeKey { run, node: 1 }, 1));
    assert!(scene.said.iter().all(Command::is_message) && !scene.said.is_empty());
}

#[test]
fn failures_are_tried_again_and_users_mistakes_are_not() {
    let retry = RetryPolicy { attempts_max: 2, jitter: false, ..RetryPolicy::default() };
    let mut scene = Scene::new(vec![Node { retry, ..Node::default() }], RunLimits::default());
    let run = scene.start(1);
    let lease = scene.poll()[0];
    scene.report(lease, OUTSIDE);
    assert!(scene.poll().is_empty(), "it rests for a second");
    scene.wait(1);
    let again = scene.poll();
    assert!(again.is_empty(), "it was given as soon as it was ready");
    scene.report((lease.0, 2), OUTSIDE);
    assert_eq!(scene.ended(run), Some(RunEnd::Failed));

    let other = scene.start(2);
    scene.poll();
    let user = AttemptEnd::Failed(Failure { fault: Fault::User, retry: true });
    scene.report((NodeKey { run: other, node: 0 }, 1), user);
    assert_eq!(scene.ended(other), Some(RunEnd::Failed));
}

#[test]
fn a_node_that_kills_its_workers_is_put_aside() {
    let mut scene = Scene::new(vec![Node::default()], RunLimits::default());
    let run = scene.start(1);
    let node = NodeKey { run, node: 0 };
    scene.poll();
    for epoch in 1..=3 {
        assert_eq!(scene.ended(run), None);
        scene.report((node, epoch), AttemptEnd::Lost);
    }
    let quarantined = NodeState::Ended { end: NodeEnd::Quarantined };
    assert_eq!(scene.nodes[&node].state, quarantined);
    assert_eq!(scene.ended(run), Some(RunEnd::Failed));
}

#[test]
fn a_lost_worker_is_replaced_and_not_listened_to_any_more() {
    let mut scene = Scene::new(vec![Node::default()], RunLimits::default());
    let run = scene.start(1);
    let lost = scene.poll()[0];
    scene.wait(LEASE_US / SECOND_US - 1);
    assert_eq!(scene.nodes[&lost.0].lease().map(|lease| lease.worker), Some(WorkerId(1)));
    scene.wait(2);
    assert!(matches!(scene.nodes[&lost.0].state, NodeState::Ready { .. }));
    let lapsed = |command: &Command| matches!(command, Command::SetNode { lapsed: true, .. });
    assert!(scene.said.iter().any(lapsed), "the database has to agree that it ran out");
    scene.succeed(lost);
    assert_eq!(scene.ended(run), None, "an old epoch is not listened to");
    let lease = scene.poll()[0];
    assert_eq!(lease.1, 2);
    scene.succeed(lease);
    assert_eq!(scene.ended(run), Some(RunEnd::Succeeded));
}

#[test]
fn what_takes_too_long_is_stopped_before_it_is_tried_again() {
    let retry = RetryPolicy { attempts_max: 1, ..RetryPolicy::default() };
    let node = Node { timeout_us: 8 * SECOND_US, retry, ..Node::default() };
    let mut scene = Scene::new(vec![node], RunLimits::default());
    let run = scene.start(1);
    let lease = scene.poll()[0];
    for _ in 0..4 {
        scene.wait(2);
        scene.poll();
    }
    let is_stopped = scene.nodes[&lease.0].lease().is_some_and(|lease| lease.stop.is_some());
    assert!(is_stopped);
    assert_eq!(scene.ended(run), None, "the worker may still be at it");
    scene.report(lease, AttemptEnd::Returned);
    assert_eq!(scene.ended(run), Some(RunEnd::Failed));
}

#[test]
fn among_a_hundred_thousand_waiting_nodes_only_children_are_written() {
    // Two begin, two wait for the first, a hundred thousand for the second.
    let mut nodes = vec![Node::default(), Node::default()];
    let after = |parent| Node { parents: vec![parent], ..Node::default() };
    nodes.extend([after(0), after(0)]);
    nodes.extend((0..100_000).map(|_| after(1)));
    let mut scene = Scene::new(nodes, RunLimits::default());
    let run = scene.start(1);
    assert_eq!(scene.nodes.len(), 2, "who waits has no row");
    scene.poll();
    scene.succeed((NodeKey { run, node: 0 }, 1));
    let written = scene.said.iter().filter(|command| !command.is_message()).count();
    // The end of the first, and for both children that they are ready and that they are leased.
    assert_eq!(written, 5, "{:?}", scene.said);
}

#[test]
fn who_did_not_hear_that_it_should_stop_is_told_again() {
    let mut scene = Scene::new(vec![Node::default()], RunLimits::default());
    let run = scene.start(1);
    let (node, epoch) = scene.poll()[0];
    scene.tell(Event::Cancel(run));
    let stop = Command::Tell { worker: WorkerId(1), message: Message::Stop { node, epoch } };
    assert!(scene.said.contains(&stop));
    scene.poll();
    assert_eq!(scene.said, [stop], "told again, and the lease is not renewed");
    // Whoever does not stop loses its lease in the end.
    scene.wait(16);
    assert_eq!(scene.ended(run), Some(RunEnd::Cancelled));
}

#[test]
fn a_new_leader_gives_workers_time_to_be_heard() {
    let mut scene = Scene::new(vec![Node::default()], RunLimits::default());
    let run = scene.start(1);
    let lease = scene.poll()[0];
    scene.now_us += 60 * SECOND_US;
    let rows = Rows {
        pipelines: scene
            .state
            .pipelines
            .values()
            .filter_map(|line| line.pipeline.clone())
            .collect(),
        runs: scene.runs.values().cloned().collect(),
        nodes: scene.nodes.values().cloned().collect(),
        ..Rows::default()
    };
    let without_ends = Rows { nodes: Vec::new(), ..rows.clone() };
    scene.state = State::load(rows, scene.now_us);
    scene.wait(LEASE_US / SECOND_US - 1);
    assert!(scene.said.is_empty(), "nobody could have renewed the lease: {:?}", scene.said);
    scene.poll();
    assert!(scene.said.contains(&Command::Renew { node: lease.0, epoch: lease.1 }));
    scene.succeed(lease);
    assert_eq!(scene.ended(run), Some(RunEnd::Succeeded));
    // A run whose rows were taken away does not wait for ever.
    scene.state = State::load(without_ends, scene.now_us);
    scene.wait(0);
    assert!(matches!(scene.nodes[&lease.0].state, NodeState::Ready { .. }), "{:?}", scene.said);
}

#[test]
fn a_wait_holds_no_slot_and_ends_with_an_answer_or_without() {
    let wait = Node { kind: NodeKind::Wait, timeout_us: 60 * SECOND_US, ..Node::default() };
    let limits = RunLimits { running_max: 2, ..RunLimits::default() };
    let mut scene = Scene::new(vec![wait], limits);
    let (asked, forgotten) = (scene.start(1), scene.start(2));
    assert!(scene.poll().is_empty());
    let node = NodeKey { run: asked, node: 0 };
    let yes = || Answer::Succeeded { not_taken: Vec::new() };
    scene.tell(Event::Answer { node, answer: yes() });
    assert_eq!(scene.ended(asked), Some(RunEnd::Succeeded));
    let again = scene.state.handle(scene.now_us, Event::Answer { node, answer: yes() });
    assert!(again.unwrap_err().is(&codes::RUN_REFUSED));
    scene.wait(60);
    assert_eq!(scene.ended(forgotten), Some(RunEnd::Failed));
}

#[test]
fn a_wait_that_fails_is_asked_again_and_one_that_chooses_skips_the_rest() {
    let retry = RetryPolicy { attempts_max: 2, jitter: false, ..RetryPolicy::default() };
    let wait = Node { kind: NodeKind::Wait, retry, ..Node::default() };
    let child = Node { kind: NodeKind::Wait, parents: vec![0], ..Node::default() };
    let mut scene = Scene::new(vec![wait, child.clone(), child], RunLimits::default());
    let run = scene.start(1);
    let node = NodeKey { run, node: 0 };
    let failure = Failure { fault: Fault::External, retry: true };
    scene.tell(Event::Answer { node, answer: Answer::Failed(failure) });
    assert!(matches!(scene.nodes[&node].state, NodeState::Resting { .. }));
    scene.wait(1);
    assert!(matches!(scene.nodes[&node].state, NodeState::Asking { .. }));
    scene.tell(Event::Answer { node, answer: Answer::Succeeded { not_taken: vec![2] } });
    let state = |node| scene.nodes[&NodeKey { run, node }].state;
    assert!(matches!(state(1), NodeState::Asking { .. }));
    assert_eq!(state(2), NodeState::Ended { end: NodeEnd::Skipped });
}

#[test]
fn who_has_nothing_to_do_yet_looks_again_and_that_is_no_failure() {
    let mut scene = Scene::new(vec![Node::default()], RunLimits::default());
    let run = scene.start(1);
    for _ in 0..10 {
        let lease = scene.poll()[0];
        scene.report(lease, AttemptEnd::Again { after_us: 5 * SECOND_US });
        assert!(scene.poll().is_empty());
        scene.wait(5);
    }
    let lease = scene.poll()[0];
    scene.succeed(lease);
    assert_eq!(scene.ended(run), Some(RunEnd::Succeeded));
}

#[test]
fn runs_of_a_pipeline_wait_for_one_another() {
    let mut scene = Scene::new(vec![Node::default()], RunLimits::default());
    let [first, second] = [1, 2].map(|number| scene.start(number));
    assert_eq!(scene.status(second), RunStatus::Queued);
    let lease = scene.poll()[0];
    scene.succeed(lease);
    assert_eq!(
        (scene.ended(first), scene.status(second)),
        (Some(RunEnd::Succeeded), RunStatus::Running)
    );
}

#[test]
fn the_previous_run_gives_way() {
    let limits = RunLimits { overlap: Overlap::CancelPrevious, ..RunLimits::default() };
    let mut scene = Scene::new(vec![Node::default()], limits);
    let first = scene.start(1);
    let lease = scene.poll()[0];
    let second = scene.start(2);
    assert_eq!(scene.status(first), RunStatus::Stopping { end: RunEnd::Cancelled });
    assert_eq!(scene.status(second), RunStatus::Queued, "the first one has not ended yet");
    scene.report(lease, AttemptEnd::Returned);
    assert_eq!(scene.ended(first), Some(RunEnd::Cancelled));
    assert_eq!(scene.status(second), RunStatus::Running);
}

#[test]
fn a_run_goes_on_where_it_failed() {
    let retry = RetryPolicy { attempts_max: 1, ..RetryPolicy::default() };
    let second = Node { parents: vec![0], retry, ..Node::default() };
    let third = Node { parents: vec![1], ..Node::default() };
    let cleanup = Node { parents: vec![2], rule: Rule::AllDone, ..Node::default() };
    let nodes = vec![Node::default(), second, third, cleanup];
    let mut scene = Scene::new(nodes, RunLimits::default());
    let run = scene.start(1);
    scene.poll();
    let key = |node| NodeKey { run, node };
    scene.succeed((key(0), 1));
    scene.report((key(1), 1), OUTSIDE);
    scene.succeed((key(3), 1));
    assert_eq!(scene.ended(run), Some(RunEnd::Failed));
    let rows: Vec<_> = scene.nodes.values().cloned().collect();
    scene.tell(Event::Resume { run: scene.runs[&run].clone(), nodes: rows.clone() });
    assert_eq!(scene.nodes[&key(0)].state, NodeState::Ended { end: NodeEnd::Succeeded });
    scene.succeed((key(1), 2));
    scene.succeed((key(2), 1));
    // What cleans up does so again.
    scene.succeed((key(3), 2));
    assert_eq!(scene.ended(run), Some(RunEnd::Succeeded));
    let succeeded = NodeState::Ended { end: NodeEnd::Succeeded };
    let ends: Vec<_> =
        scene.nodes.values().map(|row| (row.epoch, row.state == succeeded)).collect();
    assert_eq!(ends, [(1, true), (2, true), (1, true), (2, true)]);
    let run = scene.runs[&run].clone();
    let problem = scene.state.handle(0, Event::Resume { run, nodes: rows }).unwrap_err();
    assert!(problem.is(&codes::RUN_REFUSED), "{problem}");
}

#[test]
fn people_are_told_once_that_a_run_is_late() {
    let limits = RunLimits { late_us: Some(10 * SECOND_US), ..RunLimits::default() };
    let mut scene = Scene::new(vec![Node::default()], limits);
    let run = scene.start(1);
    scene.wait(9);
    assert!(scene.said.is_empty());
    scene.wait(1);
    assert!(scene.said.contains(&Command::AlertLate(run)));
    scene.wait(100);
    assert!(!scene.said.contains(&Command::AlertLate(run)));
}

#[test]
fn what_is_not_there_is_a_clear_problem() {
    let mut state = State::default();
    let (params, origin) = (Arc::from("{}"), Origin::Request);
    let run = RunKey(1);
    let start = Event::Start(Request { run, pipeline: PIPELINE, origin, params, priority: 0 });
    let problem = state.handle(0, start).unwrap_err();
    assert!(problem.is(&codes::NAME_UNKNOWN) && problem.hint_text().is_some());
    let problem = state.handle(0, Event::Cancel(RunKey(1))).unwrap_err();
    assert!(problem.is(&codes::RUN_NOT_FOUND) && problem.hint_text().is_some());
}

/// The intervals (in seconds) of the runs that a schedule every ten seconds starts when nobody
/// looks until `now_s`.
fn runs_of_missed(missed: Missed, now_s: i64) -> String {
    let limits = RunLimits { running_max: 1_000, ..RunLimits::default() };
    let mut scene = Scene::new(vec![Node::default()], limits);
    scene.tell(Event::Define(Definition::Schedule(Schedule {
        id: ScheduleId(1),
        pipeline: PIPELINE,
        calendar: Calendar::every(10 * SECOND_US, 0).unwrap(),
        start_us: None,
        end_us: None,
        jitter_us: 0,
        missed,
        params: Arc::from("{}"),
        fired_us: 5 * SECOND_US,
        is_paused: false,
    })));
    scene.now_us = now_s * SECOND_US;
    scene.tell(Event::Tick);
    let intervals = scene.runs.values().filter_map(|run| match run.origin {
        Origin::Schedule { interval, .. } => Some(interval),
        _ => None,
    });
    let texts = intervals.map(|interval| {
        format!("{}-{}", interval.from_us / SECOND_US, interval.until_us / SECOND_US)
    });
    texts.collect::<Vec<_>>().join(" ")
}

#[test]
fn missed_runs_are_made_up_for_as_wished() {
    assert_eq!(runs_of_missed(Missed::All, 9), "");
    assert_eq!(runs_of_missed(Missed::All, 33), "0-10 10-20 20-30");
    // Nothing of this is more than a minute late.
    assert_eq!(runs_of_missed(Missed::None, 33), "0-10 10-20 20-30");
    assert_eq!(runs_of_missed(Missed::None, 103), "40-50 50-60 60-70 70-80 80-90 90-100");
    assert_eq!(runs_of_missed(Missed::All, 103).split(' ').count(), 10);
    assert_eq!(runs_of_missed(Missed::Last, 103), "40-50 50-60 60-70 70-80 80-90 90-100");
}

#[test]
fn only_the_last_of_what_was_missed_long_ago() {
    // A schedule of one fire an hour, and nobody there for half a day.
    let limits = RunLimits { running_max: 1_000, ..RunLimits::default() };
    let mut scene = Scene::new(vec![Node::default()], limits);
    let hour = 3600 * SECOND_US;
    let mut schedule = Schedule {
        id: ScheduleId(1),
        pipeline: PIPELINE,
        calendar: Calendar::cron("0 * * * *", "UTC").unwrap(),
        start_us: None,
        end_us: None,
        jitter_us: 0,
        missed: Missed::Last,
        params: Arc::from("{}"),
        fired_us: 0,
        is_paused: true,
    };
    scene.tell(Event::Define(Definition::Schedule(schedule.clone())));
    scene.now_us = 12 * hour + hour / 2;
    scene.tell(Event::Tick);
    assert!(scene.runs.is_empty(), "a paused schedule does not fire");
    schedule.is_paused = false;
    scene.tell(Event::Define(Definition::Schedule(schedule)));
    scene.tell(Event::Tick);
    let origins: Vec<_> = scene.runs.values().map(|run| run.origin).collect();
    let interval = Interval { from_us: 11 * hour, until_us: 12 * hour };
    assert_eq!(origins, [Origin::Schedule { schedule: ScheduleId(1), interval }]);
    assert_eq!(scene.state.next_us(), Some(13 * hour));
}

#[test]
fn a_trigger_waits_for_quiet_and_fires_once() {
    let limits = RunLimits { running_max: 1_000, ..RunLimits::default() };
    let mut scene = Scene::new(vec![Node::default()], limits);
    let [orders, prices] = [SignalId(1), SignalId(2)];
    scene.tell(Event::Define(Definition::Trigger(Trigger {
        id: TriggerId(1),
        pipeline: PIPELINE,
        condition: Condition::All(vec![Condition::Signal(orders), Condition::Signal(prices)]),
        quiet_us: 10 * SECOND_US,
        params: Arc::from("{}"),
        seen: BTreeMap::new(),
    })));
    scene.tell(Event::Signal { signal: orders, serial: 7 });
    scene.wait(100);
    assert!(scene.runs.is_empty(), "only one of two has come");
    scene.tell(Event::Signal { signal: prices, serial: 3 });
    scene.wait(9);
    scene.tell(Event::Signal { signal: prices, serial: 4 });
    scene.wait(9);
    assert!(scene.runs.is_empty(), "it is not quiet yet");
    scene.wait(1);
    assert_eq!(scene.runs.len(), 1);
    // Old news.
    scene.tell(Event::Signal { signal: prices, serial: 4 });
    scene.tell(Event::Signal { signal: orders, serial: 6 });
    scene.wait(100);
    assert_eq!(scene.runs.len(), 1);
    // Never quiet: it fires all the same after ten quiet times.
    scene.tell(Event::Signal { signal: orders, serial: 8 });
    for serial in 5..30 {
        scene.tell(Event::Signal { signal: prices, serial });
        scene.wait(5);
    }
    assert_eq!(scene.runs.len(), 2);
}

#[test]
fn a_back_fill_keeps_to_its_number_and_behind_live_runs() {
    let mut scene = Scene::new(vec![Node::default()], RunLimits::default());
    let interval = |from_us| Interval { from_us, until_us: from_us + 1 };
    scene.tell(Event::Backfill(Backfill {
        id: BackfillId(1),
        pipeline: PIPELINE,
        intervals: (0..3).map(interval).collect(),
        parallel_max: 2,
        params: Arc::from("{}"),
        started: 0,
        status: BackfillStatus::Running,
    }));
    assert_eq!(scene.runs.len(), 2, "two at a time");
    let live = scene.start(9);
    assert_eq!(scene.status(live), RunStatus::Queued);
    let lease = scene.poll()[0];
    scene.succeed(lease);
    assert_eq!(scene.status(live), RunStatus::Running, "a live run comes first");
    assert_eq!(scene.runs.len(), 4);
    scene.tell(Event::CancelBackfill(BackfillId(1)));
    let ends = scene.runs.values().filter(|run| run.origin.backfill().is_some());
    let cancelled = RunStatus::Ended { end: RunEnd::Cancelled };
    assert_eq!(ends.filter(|run| run.status == cancelled).count(), 2);
    let status = BackfillStatus::Cancelled;
    let done = |command: &Command| match command {
        Command::SetBackfill { status: now, .. } => *now == status,
        _ => false,
    };
    assert!(scene.said.iter().any(done), "{:?}", scene.said);
}
