//! The scheduler's writes: who may write, all or nothing, and what is there afterwards.

mod lead;
mod turns;

use super::backup::read;
use crate::testing::{DAY, MINUTE, NOW, code, hash, on_both, workspace};
use crate::{
    AttemptBegun, AttemptEnd, AttemptEnded, Backfill, BackfillChange, BackfillId, InWorkspace,
    Leader, LeaseChange, NewBackfill, NewPipeline, NewSchedule, NewTrigger, RunChange, RunIdText,
    RunReport, RunRow, RunStatus, RunTrigger, Schedule, ScheduleId, ScheduleStatus, SignalSeen,
    SignalsUsed, Store, Stored, Task, TaskChange, TaskResult, Trigger, TriggerKind, Writes,
};
use model::notice::Notice;
use model::plan::{Parent, Plan, Work};
use model::run::{NodeReport, RunId};
use model::{Name, Problem, Result, codes};
use serde_json::json;
use std::collections::BTreeMap;

const TTL_US: i64 = 5_000_000;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// What whoever asks for the lead gets, as the scheduler has it.
fn claim(row: Option<Leader>, me: &str, now_us: i64) -> Option<Leader> {
    let expires_us = now_us + TTL_US;
    match row {
        Some(row) if row.expires_us <= now_us => seize(Some(row), me, now_us),
        Some(row) if row.holder == me => Some(Leader { expires_us, ..row }),
        Some(_) => None,
        None => seize(None, me, now_us),
    }
}

/// Takes the lead from whoever has it.
fn seize(row: Option<Leader>, me: &str, now_us: i64) -> Option<Leader> {
    let epoch = row.map_or(0, |row| row.epoch) + 1;
    Some(Leader { holder: me.to_owned(), epoch, expires_us: now_us + TTL_US })
}

/// Writes as the only one who leads.
pub(super) async fn apply(store: &Store, writes: Writes) -> Result<()> {
    let (leader, _) = store.orchestration().lead("only", claim, NOW).await.unwrap();
    store.orchestration().apply(leader.epoch, writes, NOW).await
}

pub(super) fn pipeline(title: &str, hash: &str) -> NewPipeline {
    let task = |id: &str, work, parents| model::plan::Task {
        id: id.to_owned(),
        work,
        parents,
        when: Default::default(),
        retry: None,
        timeout_us: Some(5),
        pool: Some((name("erp"), 2)),
    };
    let with = json!({"z": "{{ params.day }}", "a": 1.0}).as_object().cloned().unwrap();
    let action = Work::Action { module: "http.call".to_owned(), with, outside: true };
    let parents = vec![Parent { task: 0, branch: Some(name("yes")) }];
    let plan = Plan {
        pipeline: name(title),
        hash: hash.to_owned(),
        document: json!({"pipeline": title, "text": "\u{0}é"}),
        policy: Default::default(),
        tasks: vec![task("(data)", Work::Data, Vec::new()), task("tell", action, parents)],
    };
    NewPipeline { plan, description: format!("about {title}"), tags: vec!["b".into(), "a".into()] }
}

/// The hash of the plan of a pipeline of [`home`].
pub(super) fn plan_of(pipeline: &str) -> String {
    format!("plan of {pipeline}")
}

/// A workspace with pipelines.
pub(super) async fn home(store: &Store, slug: &str, pipelines: &[&str]) -> InWorkspace {
    let (id, _) = workspace(store, slug).await;
    let home = store.workspace(&id);
    let all = pipelines.iter().map(|name| pipeline(name, &plan_of(name))).collect();
    home.pipelines().publish(all, NOW).await.unwrap();
    home
}

/// A run that waits.
pub(super) fn run(home: &InWorkspace, pipeline: &str, now_us: i64) -> RunRow {
    RunRow {
        id: RunIdText::new(RunId::generate(now_us)),
        workspace_id: home.id().clone(),
        pipeline: pipeline.to_owned(),
        definition_version: Some(3),
        started_by: RunTrigger::Api,
        triggered_by: None,
        source_id: Some("source".to_owned()),
        params: Stored(json!({"day": "2026-11-20", "text": "\u{0}", "a": 1.0})),
        interval_start_us: Some(NOW - DAY),
        interval_end_us: Some(NOW),
        status: RunStatus::Queued,
        priority: -7,
        created_at_us: now_us,
        started_at_us: None,
        ended_at_us: None,
        plan: plan_of(pipeline),
        origin: Stored(json!({"schedule": {"z": 1, "a": 2}})),
        state: Stored(json!("queued")),
        deadline_us: Some(now_us + DAY),
        late_us: None,
        parent: None,
        rows_in: 0,
        rows_out: 0,
        rows_rejected: 0,
        problem: None,
        idempotency_key: None,
    }
}

/// Adds runs as they are.
pub(super) async fn add_runs(store: &Store, runs: &[RunRow]) {
    let writes = Writes { new_runs: runs.to_vec(), ..Writes::default() };
    apply(store, writes).await.unwrap();
}

/// A task that gets from one epoch to another.
pub(super) fn task(
    run: &RunRow,
    number: i64,
    epochs: (i64, i64),
    lease: LeaseChange,
) -> TaskChange {
    TaskChange {
        run: run.id.run().clone(),
        number,
        workspace: run.workspace_id.clone(),
        name: format!("task_{number}"),
        was_epoch: epochs.0,
        epoch: epochs.1,
        lapsed: false,
        lease,
        state: json!({"at": epochs.1}),
        attempts: epochs.1,
        failures: 2,
        losses: 1,
        not_taken: vec![7, 8],
        started_at_us: None,
        ended_at_us: None,
    }
}

pub(super) fn begun(run: &RunRow, task: i64, number: i64) -> AttemptBegun {
    let workspace = run.workspace_id.clone();
    AttemptBegun { run: run.id.run().clone(), task, number, workspace, worker: "w1".to_owned() }
}

pub(super) fn result(run: &RunRow, task: i64) -> TaskResult {
    TaskResult {
        run: run.id.run().clone(),
        task,
        output: Some(json!({"rows": 3, "by": [1.0, null]})),
        question: None,
        answer: None,
        problem: None,
    }
}

pub(super) fn report(run: &RunRow) -> RunReport {
    let node = NodeReport {
        rows_in: 10,
        rows_out: 7,
        rejects: 3,
        elapsed_ms: 12,
        findings: BTreeMap::from([("not_null: amount".to_owned(), 3)]),
        reasons: Vec::new(),
    };
    let nodes = BTreeMap::from([(name("orders"), node.clone()), (name("days"), node)]);
    RunReport { run: run.id.run().clone(), workspace: run.workspace_id.clone(), nodes }
}

fn problem() -> model::problem::StoredProblem {
    Problem::new(&codes::FILE_NOT_FOUND, "no file").arg("path", "x").to_stored()
}

pub(super) fn backfill(home: &InWorkspace, started: i64, status: &str) -> Backfill {
    Backfill {
        id: BackfillId::generate(NOW),
        workspace_id: home.id().clone(),
        pipeline: "orders".to_owned(),
        body: Stored(json!({"intervals": [[1, 2], [2, 3]], "a": 1})),
        length: 3,
        started,
        status: status.to_owned(),
        created_by: None,
        created_at_us: NOW,
    }
}

/// One of everything that the scheduler writes about.
struct Scene {
    home: InWorkspace,
    /// Its tasks: 0 is leased, the lease of 1 has run out, 2 has given it back, 3 has no row.
    open: RunRow,
    /// Not there yet.
    next: RunRow,
    schedule: Schedule,
    trigger: Trigger,
    /// Has begun one run.
    going: Backfill,
    /// Not there yet.
    new: Backfill,
}

async fn scene(store: &Store) -> Scene {
    let home = home(store, "sales", &["orders", "days"]).await;
    let mut open = run(&home, "orders", NOW);
    (open.status, open.state) = (RunStatus::Running, Stored(json!({"running": {"b": 1, "a": 2}})));
    open.idempotency_key = Some("once".to_owned());
    let schedule = NewSchedule {
        name: "daily".to_owned(),
        pipeline: name("orders"),
        status: ScheduleStatus::Active,
        rule: json!({"cron": "0 6 * * *"}),
        zone: "Europe/Paris".to_owned(),
        params: json!({}),
        start_at_us: None,
        end_at_us: None,
    };
    let trigger = NewTrigger {
        name: "hook".to_owned(),
        kind: TriggerKind::Table,
        pipeline: name("orders"),
        settings: json!({"table": "silver.orders"}),
        token: Some(hash(1)),
    };
    let scene = Scene {
        schedule: home.schedules().create(schedule, None, NOW).await.unwrap(),
        trigger: home.triggers().create(trigger, NOW).await.unwrap(),
        next: run(&home, "days", NOW + 2_000),
        going: backfill(&home, 1, "running"),
        new: backfill(&home, 0, "running"),
        open,
        home,
    };
    let open = &scene.open;
    let leased = |number| task(open, number, (0, 1), LeaseChange::New);
    let writes = Writes {
        new_runs: vec![open.clone()],
        tasks: vec![leased(0), leased(2)],
        lease_us: MINUTE,
        begun: vec![begun(open, 0, 1), begun(open, 1, 1)],
        signals: vec![signal(&scene, 5)],
        new_backfills: vec![NewBackfill { row: scene.going.clone() }],
        ..Writes::default()
    };
    apply(store, writes).await.unwrap();
    let (old, back) = (leased(1), task(open, 2, (1, 1), LeaseChange::None));
    apply(store, Writes { tasks: vec![old, back], lease_us: -1, ..Writes::default() })
        .await
        .unwrap();
    scene
}

fn signal(scene: &Scene, serial: i64) -> SignalSeen {
    SignalSeen {
        trigger: scene.trigger.id.clone(),
        workspace: scene.home.id().clone(),
        signal: "table:silver.orders".to_owned(),
        serial,
        first_us: NOW,
        latest_us: NOW + serial,
    }
}

/// Writes of every kind that the database has to take.
fn every_kind(scene: &Scene) -> Writes {
    let open = &scene.open;
    let change = RunChange {
        run: open.id.run().clone(),
        was: open.state.0.clone(),
        state: json!("stopping"),
        status: RunStatus::Stopping,
        deadline_us: None,
        late_us: Some(NOW + 9),
        problem: None,
    };
    let lost = TaskChange { lapsed: true, ..task(open, 1, (1, 2), LeaseChange::New) };
    let end = AttemptEnded {
        run: open.id.run().clone(),
        task: 1,
        number: 1,
        end: AttemptEnd::Lost,
        problem: Some(problem()),
    };
    let serials = vec![("table:silver.orders".to_owned(), 5)];
    let further = BackfillChange {
        backfill: scene.going.id.clone(),
        was_started: 1,
        started: 2,
        status: "stopping".to_owned(),
    };
    let notice = Notice::RunFailed {
        pipeline: name("orders"),
        run: open.id.run().clone(),
        problem: problem(),
    };
    Writes {
        new_runs: vec![scene.next.clone()],
        runs: vec![change],
        tasks: vec![
            task(open, 0, (1, 1), LeaseChange::Kept),
            lost,
            task(open, 2, (1, 2), LeaseChange::New),
            task(open, 3, (0, 0), LeaseChange::None),
            task(&scene.next, 0, (0, 0), LeaseChange::None),
        ],
        renewals: vec![(open.id.run().clone(), 0, 1)],
        lease_us: MINUTE,
        begun: vec![begun(open, 1, 2), begun(open, 2, 2)],
        ended: vec![end],
        results: vec![result(open, 0)],
        reports: vec![report(open)],
        schedules: vec![(scene.schedule.id.clone(), NOW, NOW + DAY)],
        signals: vec![signal(scene, 6)],
        used: vec![SignalsUsed { trigger: scene.trigger.id.clone(), serials }],
        new_backfills: vec![NewBackfill { row: scene.new.clone() }],
        backfills: vec![further],
        notices: vec![(scene.home.id().clone(), notice)],
    }
}

type Spoil = fn(&mut Writes);

/// What makes the database refuse writes, and the problem that it is.
const SPOILT: &[(&str, &str, Spoil)] = &[
    ("the state of a run differs", "run_locked", |w| w.runs[0].was = json!("queued")),
    ("a run is gone", "run_locked", |w| w.runs[0].run = RunId::generate(NOW)),
    ("a kept task has a higher epoch", "run_locked", |w| w.tasks[0].was_epoch = 0),
    ("a kept task has a lower epoch", "run_locked", |w| {
        (w.tasks[0].was_epoch, w.tasks[0].epoch) = (2, 2);
    }),
    ("a leased task has a higher epoch", "run_locked", |w| {
        (w.tasks[2].was_epoch, w.tasks[2].epoch) = (0, 1);
    }),
    ("a new task is there", "run_locked", |w| w.tasks[3].number = 2),
    ("a lease that lapsed has time left", "run_locked", |w| {
        (w.tasks[0].lapsed, w.renewals) = (true, Vec::new());
    }),
    ("a lease that lapsed is not there", "run_locked", |w| w.tasks[2].lapsed = true),
    ("a renewed lease is not there", "run_locked", |w| w.renewals[0].1 = 3),
    ("a renewed lease was given back", "run_locked", |w| {
        w.renewals[0].1 = w.tasks.remove(2).number;
    }),
    ("a renewed lease is an older one", "run_locked", |w| w.renewals[0].2 = 0),
    ("a renewed lease is a later one", "run_locked", |w| {
        w.renewals[0].2 = 2;
        w.tasks.remove(0);
    }),
    ("a schedule is elsewhere", "run_locked", |w| w.schedules[0].1 += 1),
    ("a schedule is gone", "run_locked", |w| w.schedules[0].0 = ScheduleId::generate(NOW)),
    ("a back-fill is elsewhere", "run_locked", |w| w.backfills[0].was_started = 0),
    ("a back-fill is gone", "run_locked", |w| w.backfills[0].backfill = BackfillId::generate(NOW)),
    ("the same signal is known", "run_locked", |w| w.signals[0].serial = 5),
    ("a later signal is known", "run_locked", |w| w.signals[0].serial = 4),
    ("the plan of a run is gone", "run_locked", |w| w.new_runs[0].plan = "gone".to_owned()),
    ("the run is there", "conflict", |w| w.new_runs.push(w.new_runs[0].clone())),
    ("a key is taken", "conflict", |w| w.new_runs[0].idempotency_key = Some("once".to_owned())),
    ("an attempt is there", "conflict", |w| w.begun[0].number = 1),
];

const WRITTEN: &[&str] = &[
    "runs",
    "tasks",
    "attempts",
    "node_runs",
    "check_results",
    "schedules",
    "triggers",
    "trigger_signals",
    "backfills",
    "alert_notices",
];

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_are_refused_leave_nothing_behind() {
    on_both(async |store: Store| {
        let scene = scene(&store).await;
        let before = read(&store.snapshot().await.unwrap()).await;
        for (case, expected, spoil) in SPOILT {
            let mut writes = every_kind(&scene);
            spoil(&mut writes);
            let refusal = apply(&store, writes).await.expect_err(case);
            assert_eq!(refusal.code().id, *expected, "{case}");
            let mut after = read(&store.snapshot().await.unwrap()).await;
            after.insert("leader", before["leader"].clone());
            assert!(after == before, "{case}");
        }
        // The same writes, not spoilt, change every one of these tables.
        apply(&store, every_kind(&scene)).await.unwrap();
        let after = read(&store.snapshot().await.unwrap()).await;
        for table in WRITTEN {
            assert_ne!(after[table], before[table], "{table}");
        }
        assert_eq!(code(apply(&store, every_kind(&scene)).await), "conflict");
    })
    .await;
}

async fn tasks_of(store: &Store, run: &RunRow) -> Vec<Task> {
    store.orchestration().run(run.id.run()).await.unwrap().1
}

fn written(change: &TaskChange, lease_until_us: Option<i64>) -> Task {
    Task {
        run_id: RunIdText::new(change.run.clone()),
        number: change.number,
        workspace_id: change.workspace.clone(),
        name: change.name.clone(),
        state: Stored(change.state.clone()),
        epoch: change.epoch,
        attempts: change.attempts,
        failures: change.failures,
        losses: change.losses,
        not_taken: Stored(change.not_taken.clone()),
        lease_until_us,
        started_at_us: change.started_at_us,
        ended_at_us: change.ended_at_us,
        output: None,
        answer: None,
        question: None,
        problem: None,
    }
}

#[tokio::test]
async fn one_turn_inserts_and_changes_and_everything_is_read_as_it_was_written() {
    on_both(async |store: Store| {
        let scene = scene(&store).await;
        let writes = every_kind(&scene);
        let (_, before_us) = store.orchestration().lead("only", claim, NOW).await.unwrap();
        apply(&store, writes.clone()).await.unwrap();
        let (_, after_us) = store.orchestration().lead("only", claim, NOW).await.unwrap();
        let all = store.orchestration().load().await.unwrap();

        let open = RunRow {
            state: Stored(json!("stopping")),
            status: RunStatus::Stopping,
            deadline_us: None,
            late_us: Some(NOW + 9),
            rows_in: 20,
            rows_out: 14,
            rows_rejected: 6,
            ..scene.open.clone()
        };
        assert_eq!(by_id(all.runs, |run| run.id.run().to_string()), [open, scene.next.clone()]);
        let key = |task: &Task| (task.run_id.run().to_string(), task.number);
        let tasks = by_id(all.tasks, key);
        let until = |at: usize| tasks[at].lease_until_us;
        let mut expected: Vec<_> =
            writes.tasks.iter().map(|change| written(change, None)).collect();
        // Only the clock of the database says until when.
        for (at, task) in expected.iter_mut().enumerate().take(3) {
            let until_us = until(at).unwrap();
            assert!((before_us + MINUTE..=after_us + MINUTE).contains(&until_us), "{at}");
            task.lease_until_us = Some(until_us);
        }
        expected[0].output = writes.results[0].output.clone().map(Stored);
        assert_eq!(tasks, expected);

        let schedule = Schedule { fired_us: NOW + DAY, ..scene.schedule.clone() };
        assert_eq!(all.schedules, [schedule]);
        let fired_us = all.triggers[0].last_fired_at_us;
        assert!(fired_us.is_some_and(|at| (before_us..=after_us).contains(&at)));
        let seen = &all.signals[0];
        assert_eq!((seen.latest, seen.used, all.signals.len()), (6, 5, 1));
        assert_eq!((seen.first_us, seen.latest_us), (NOW, NOW + 6));
        let going = Backfill { started: 2, status: "stopping".to_owned(), ..scene.going.clone() };
        let mut expected = vec![going.clone(), scene.new.clone()];
        expected.sort_by(|left, right| left.id.cmp(&right.id));
        assert_eq!(by_id(all.backfills, |row| row.id.clone()), expected);

        let detail = scene.home.runs().detail(scene.open.id.run()).await.unwrap();
        let lost = detail.attempts.iter().find(|a| (a.task, a.number) == (1, 1)).unwrap();
        assert_eq!((lost.end, &lost.problem), (Some(AttemptEnd::Lost), &Some(problem())));
        assert!(lost.ended_at_us.is_some_and(|at| (before_us..=after_us).contains(&at)));
        assert_eq!(detail.attempts.iter().filter(|a| a.end.is_none()).count(), 3);
        assert_eq!(detail.nodes.len(), 2);
        assert_eq!((detail.checks.len(), detail.checks[0].offending), (2, 3));
    })
    .await;
}

pub(super) fn by_id<T, K: Ord>(mut rows: Vec<T>, key: impl Fn(&T) -> K) -> Vec<T> {
    rows.sort_by_key(key);
    rows
}
