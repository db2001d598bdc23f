//! What one turn may hold, what a new leader reads, and what is read beside it.

use super::{
    Scene, apply, by_id, every_kind, home, pipeline, plan_of, problem, result, run, scene, task,
    tasks_of,
};
use crate::testing::{DAY, MINUTE, NOW, code, hash, on_both};
use crate::tests::backup::read;
use crate::{
    BackfillChange, LeaseChange, NewTrigger, Quota, RunChange, RunRow, RunStatus, Store, Stored,
    TaskChange, TaskResult, TriggerKind, WorkspaceId, Writes,
};
use model::run::RunId;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// More than two statements take.
const MANY: i64 = 1_100;

#[tokio::test]
async fn many_tasks_are_written_in_one_turn_or_none_of_them() {
    on_both(async |store: Store| {
        let home = home(&store, "sales", &["orders"]).await;
        let row = run(&home, "orders", NOW);
        let all = |epochs, lease| (0..MANY).map(|n| task(&row, n, epochs, lease)).collect();
        let new = Writes { tasks: all((0, 0), LeaseChange::None), ..Writes::default() };
        apply(&store, Writes { new_runs: vec![row.clone()], ..new }).await.unwrap();
        let mut tasks: Vec<TaskChange> = all((0, 1), LeaseChange::New);
        let lease = Writes { lease_us: MINUTE, ..Writes::default() };
        tasks.last_mut().unwrap().epoch = 2;
        tasks.last_mut().unwrap().was_epoch = 1;
        let refused = apply(&store, Writes { tasks: tasks.clone(), ..lease.clone() }).await;
        assert_eq!(code(refused), "run_locked");
        let count = async |epoch| {
            tasks_of(&store, &row).await.iter().filter(|task| task.epoch == epoch).count()
        };
        assert_eq!(count(0).await, 1_100);
        tasks.pop();
        apply(&store, Writes { tasks, ..lease }).await.unwrap();
        assert_eq!((count(0).await, count(1).await), (1, 1_099));
    })
    .await;
}

/// What became of a lease: whether there is one, and whether it has been renewed.
async fn lease_after(store: &Store, scene: &Scene, writes: Writes) -> (bool, bool) {
    let before = tasks_of(store, &scene.open).await;
    let writes = Writes { lease_us: DAY, ..writes };
    apply(store, writes).await.unwrap();
    let after = tasks_of(store, &scene.open).await;
    let later = |at: usize| after[at].lease_until_us > before[at].lease_until_us;
    (after[0].lease_until_us.is_some(), later(0))
}

#[tokio::test]
async fn a_lease_is_renewed_before_it_ends_or_begins_anew_in_the_same_turn() {
    on_both(async |store: Store| {
        let scene = scene(&store).await;
        let renewed = |epoch| vec![(scene.open.id.run().clone(), 0, epoch)];
        let change = |epochs, lease| vec![task(&scene.open, 0, epochs, lease)];
        let kept = Writes { tasks: change((1, 1), LeaseChange::Kept), ..Writes::default() };
        assert_eq!(lease_after(&store, &scene, kept.clone()).await, (true, false));
        let both = Writes { renewals: renewed(1), ..kept };
        assert_eq!(lease_after(&store, &scene, both).await, (true, true));
        let given_back = Writes {
            renewals: renewed(1),
            tasks: change((1, 1), LeaseChange::None),
            ..Writes::default()
        };
        assert_eq!(lease_after(&store, &scene, given_back).await, (false, false));
        let leased_again = Writes {
            renewals: renewed(2),
            tasks: change((1, 2), LeaseChange::New),
            ..Writes::default()
        };
        assert_eq!(lease_after(&store, &scene, leased_again).await, (true, true));
        // Leased and ended, twice in one turn.
        let over = Writes {
            renewals: renewed(4),
            tasks: change((2, 4), LeaseChange::None),
            ..Writes::default()
        };
        assert_eq!(lease_after(&store, &scene, over).await, (false, false));
        assert_eq!(tasks_of(&store, &scene.open).await[0].epoch, 4);
    })
    .await;
}

#[tokio::test]
async fn a_task_remembers_when_it_began_and_what_was_said() {
    on_both(async |store: Store| {
        let scene = scene(&store).await;
        let at = |us| TaskChange {
            started_at_us: Some(us),
            ended_at_us: Some(us + 1),
            ..task(&scene.open, 0, (1, 1), LeaseChange::Kept)
        };
        let said = |result| async {
            apply(&store, Writes { results: vec![result], ..Writes::default() }).await.unwrap();
            let task = tasks_of(&store, &scene.open).await.remove(0);
            let texts = [task.output, task.question, task.answer].map(|text| text.map(|t| t.0));
            (texts, task.problem.map(|problem| problem.0))
        };
        apply(&store, Writes { tasks: vec![at(NOW)], ..Writes::default() }).await.unwrap();
        let empty = TaskResult { output: None, ..result(&scene.open, 0) };
        let ask = TaskResult { question: Some(json!("sure?")), ..empty.clone() };
        assert_eq!(said(ask).await, ([None, Some(json!("sure?")), None], None));
        let answer = TaskResult { answer: Some(json!({"by": "ada"})), ..empty.clone() };
        assert_eq!(said(answer).await, ([None, None, Some(json!({"by": "ada"}))], None));
        let failed = TaskResult { problem: Some(problem()), ..empty };
        assert_eq!(said(failed).await.1, Some(problem()));
        // An output stays when the task is written again, and so does its first instant.
        let output = result(&scene.open, 0).output;
        let (texts, problem) = said(result(&scene.open, 0)).await;
        assert_eq!((texts, problem), ([output.clone(), None, Some(json!({"by": "ada"}))], None));
        apply(&store, Writes { tasks: vec![at(NOW + 5)], ..Writes::default() }).await.unwrap();
        let task = tasks_of(&store, &scene.open).await.remove(0);
        assert_eq!((task.started_at_us, task.ended_at_us), (Some(NOW), Some(NOW + 6)));
        assert_eq!(task.output.map(|output| output.0), output);
    })
    .await;
}

fn change(row: &RunRow, was: Value, status: RunStatus) -> RunChange {
    RunChange {
        run: row.id.run().clone(),
        was,
        state: serde_json::to_value(status).unwrap(),
        status,
        deadline_us: None,
        late_us: None,
        problem: status.is_final().then(problem),
    }
}

#[tokio::test]
async fn a_run_has_one_beginning_and_an_end_that_a_resumed_one_loses() {
    on_both(async |store: Store| {
        let home = home(&store, "sales", &["orders"]).await;
        let row = run(&home, "orders", NOW);
        super::add_runs(&store, std::slice::from_ref(&row)).await;
        let orchestration = store.orchestration();
        let mut was = row.state.0.clone();
        let mut turn_to = async |status| {
            let change = change(&row, was.clone(), status);
            was.clone_from(&change.state);
            apply(&store, Writes { runs: vec![change], ..Writes::default() }).await.unwrap();
            orchestration.run(row.id.run()).await.unwrap().0
        };
        let running = turn_to(RunStatus::Running).await;
        assert!(running.started_at_us.is_some() && running.ended_at_us.is_none());
        let failed = turn_to(RunStatus::Failed).await;
        assert!(failed.ended_at_us >= failed.started_at_us);
        assert_eq!(failed.problem, Some(Stored(problem())));
        let resumed = turn_to(RunStatus::Running).await;
        assert_eq!((resumed.started_at_us, resumed.ended_at_us), (running.started_at_us, None));
        assert_eq!(resumed.problem, None);
        let unknown = store.orchestration().run(&RunId::generate(NOW)).await;
        assert_eq!(code(unknown), "run_not_found");
    })
    .await;
}

#[tokio::test]
async fn a_new_leader_reads_what_is_open_and_nothing_else() {
    on_both(async |store: Store| {
        let scene = scene(&store).await;
        let home = &scene.home;
        let mut ended = run(home, "days", NOW);
        (ended.status, ended.ended_at_us) = (RunStatus::Succeeded, Some(NOW));
        let of_ended = vec![task(&ended, 0, (0, 1), LeaseChange::None)];
        let writes = Writes { tasks: of_ended, ..Writes::default() };
        apply(&store, Writes { new_runs: vec![ended.clone()], ..writes }).await.unwrap();
        // The open run keeps its plan; the ended run's is known to nobody but it.
        let newer = ["orders", "days"].map(|name| pipeline(name, &format!("newer {name}")));
        home.pipelines().publish(newer.to_vec(), NOW).await.unwrap();
        home.triggers().set_active(&scene.trigger.id, false).await.unwrap();
        let hook = NewTrigger {
            name: "second".to_owned(),
            kind: TriggerKind::Webhook,
            pipeline: model::Name::new("days").unwrap(),
            settings: json!({}),
            token: Some(hash(2)),
        };
        let hook = home.triggers().create(hook, NOW).await.unwrap();
        home.quotas().set(Quota::RunsAtOnce, Some(4)).await.unwrap();
        home.pools().set(&model::Name::new("erp").unwrap(), Some(2)).await.unwrap();
        let done = BackfillChange {
            backfill: scene.going.id.clone(),
            was_started: 1,
            started: 3,
            status: "ended".to_owned(),
        };
        apply(&store, Writes { backfills: vec![done], ..Writes::default() }).await.unwrap();

        let all = store.orchestration().load().await.unwrap();
        assert_eq!(all.runs, std::slice::from_ref(&scene.open));
        assert_eq!(by_id(all.tasks, |task| task.number), tasks_of(&store, &scene.open).await);
        let plans: BTreeSet<_> = all.plans.iter().map(|row| row.hash.as_str()).collect();
        let orders = plan_of("orders");
        assert_eq!(plans, BTreeSet::from(["newer days", "newer orders", orders.as_str()]));
        let kept = all.plans.iter().find(|row| row.hash == orders).unwrap();
        assert_eq!(kept.plan.0, pipeline("orders", &orders).plan);
        assert_eq!(
            by_id(all.pipelines, |row| row.name.clone()),
            home.pipelines().list().await.unwrap()
        );
        assert_eq!(all.schedules, std::slice::from_ref(&scene.schedule));
        assert_eq!((all.triggers, all.backfills), (vec![hook], Vec::new()));
        assert_eq!(all.workspaces, [home.get().await.unwrap()]);
        assert_eq!((all.quotas.len(), all.quotas[0].maximum), (1, 4));
        assert_eq!((all.pools.len(), all.pools[0].slots), (1, 2));
        // What has ended can still be read by who asks for it.
        let (row, tasks) = store.orchestration().run(ended.id.run()).await.unwrap();
        assert_eq!((row, tasks.len()), (ended, 1));
    })
    .await;
}

#[tokio::test]
async fn a_run_is_refused_whose_plan_was_replaced_and_removed() {
    on_both(async |store: Store| {
        let home = home(&store, "sales", &["orders"]).await;
        let late = Writes { new_runs: vec![run(&home, "orders", NOW)], ..Writes::default() };
        home.pipelines().publish(vec![pipeline("orders", "newer")], NOW).await.unwrap();
        store.clean_up(NOW).await.unwrap();
        assert_eq!(code(apply(&store, late.clone()).await), "run_locked");
        // The same plan of somebody else is not the plan.
        let other = super::home(&store, "stock", &["orders"]).await;
        assert_eq!(code(apply(&store, late).await), "run_locked");
        super::add_runs(&store, &[run(&other, "orders", NOW)]).await;
    })
    .await;
}

#[tokio::test]
async fn children_are_read_with_what_their_tasks_gave() {
    on_both(async |store: Store| {
        let home = home(&store, "sales", &["orders"]).await;
        let child = |parent: Option<&str>, at: i64| RunRow {
            parent: parent.map(str::to_owned),
            ..run(&home, "orders", NOW + at * 1_000)
        };
        let runs = [child(Some("r/1"), 1), child(Some("r/1"), 2), child(Some("r/11"), 3)];
        let (first, second) = (&runs[0], &runs[1]);
        let new = |run, number| task(run, number, (0, 0), LeaseChange::None);
        let writes = Writes {
            new_runs: vec![runs[1].clone(), runs[2].clone(), child(None, 4), runs[0].clone()],
            tasks: vec![new(first, 0), new(first, 1), new(second, 0), new(&runs[2], 0)],
            results: vec![result(first, 1), result(&runs[2], 0)],
            ..Writes::default()
        };
        apply(&store, writes).await.unwrap();
        let children = store.orchestration().children("r/1").await.unwrap();
        let [(one, gave), (two, gave_nothing)] = children.as_slice() else { panic!("two") };
        assert_eq!((one, two), (first, second));
        assert_eq!((gave.len(), gave[0].number, gave_nothing.len()), (1, 1, 0));
        assert_eq!(gave[0].output, result(first, 1).output.map(Stored));
        assert_eq!(store.orchestration().children("r/2").await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn wishes_are_read_in_order_until_they_are_forgotten() {
    on_both(async |store: Store| {
        let orchestration = store.orchestration();
        for (id, at_us) in [("b", 2), ("d", 1), ("a", 2), ("c", 3)] {
            orchestration.wish(id, json!({"wish": id, "a": 1}), at_us).await.unwrap();
        }
        assert_eq!(code(orchestration.wish("a", json!(1), 9).await), "conflict");
        let ids = async || {
            let wishes = orchestration.wishes().await.unwrap();
            assert!(wishes.iter().all(|(id, body)| *body == json!({"wish": id, "a": 1})));
            wishes.into_iter().map(|(id, _)| id).collect::<Vec<_>>()
        };
        assert_eq!(ids().await, ["d", "a", "b", "c"]);
        orchestration.forget_wish("a").await.unwrap();
        orchestration.forget_wish("a").await.unwrap();
        assert_eq!(ids().await, ["d", "b", "c"]);
    })
    .await;
}

/// The rows that belong to a workspace, by table.
async fn owned(store: &Store, id: &WorkspaceId) -> Vec<(&'static str, usize)> {
    let snapshot = store.snapshot().await.unwrap();
    let mut found = Vec::new();
    for (table, rows) in read(&snapshot).await {
        let columns = snapshot.columns(table).unwrap();
        let Some(at) = columns.iter().position(|name| *name == "workspace_id") else { continue };
        found.push((table, rows.iter().filter(|row| row[at] == id.as_str()).count()));
    }
    found
}

#[tokio::test]
async fn a_workspace_that_is_deleted_takes_everything_with_it_and_nothing_of_others() {
    on_both(async |store: Store| {
        let scene = scene(&store).await;
        apply(&store, every_kind(&scene)).await.unwrap();
        scene.home.pools().set(&model::Name::new("erp").unwrap(), Some(2)).await.unwrap();
        let other = home(&store, "stock", &["orders"]).await;
        super::add_runs(&store, &[run(&other, "orders", NOW)]).await;
        let count = |owned: &[(&str, usize)], table| {
            owned.iter().find(|(name, _)| *name == table).map(|(_, count)| *count)
        };
        let before = owned(&store, scene.home.id()).await;
        for table in super::WRITTEN.iter().chain(&["plans", "pipelines", "pools"]) {
            assert!(count(&before, *table) > Some(0), "{table}");
        }
        let theirs = owned(&store, other.id()).await;
        scene.home.delete().await.unwrap();
        assert!(owned(&store, scene.home.id()).await.iter().all(|(_, count)| *count == 0));
        assert_eq!(owned(&store, other.id()).await, theirs);
        // Whoever leads hears of it, and has written nothing.
        let late = Writes {
            tasks: vec![task(&scene.open, 0, (1, 1), LeaseChange::None)],
            ..Writes::default()
        };
        assert!(apply(&store, late).await.is_err());
        assert!(owned(&store, scene.home.id()).await.iter().all(|(_, count)| *count == 0));
    })
    .await;
}
