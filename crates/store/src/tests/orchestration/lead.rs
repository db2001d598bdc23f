//! Who leads: one at a time, and nobody writes under an old epoch, however late.

use super::{TTL_US, claim, home, run, seize, task};
use crate::testing::{DAY, Database, NOW, code, on_both};
use crate::{Address, LeaseChange, RunRow, Store, TaskChange, Writes};
use futures::future;
use model::{Result, Secret};
use sea_orm::{ConnectionTrait, DatabaseTransaction, TransactionTrait};
use serde_json::json;
use std::time::{Duration, Instant};
use testkit::{Fault, FaultProxy, Postgres};
use tokio::task::JoinHandle;

/// No step of a test takes longer.
const LIMIT: Duration = Duration::from_secs(60);

fn a_run(run: &RunRow) -> Writes {
    Writes { new_runs: vec![run.clone()], ..Writes::default() }
}

#[tokio::test]
async fn the_lead_is_claimed_renewed_resigned_and_taken_over() {
    on_both(async |store: Store| {
        let orchestration = store.orchestration();
        assert_eq!(orchestration.leader().await.unwrap(), None);
        let nobody = orchestration.lead("a", |_, _, _| None, NOW).await;
        assert_eq!(code(nobody), "run_locked");
        let (first, first_us) = orchestration.lead("a", claim, NOW).await.unwrap();
        assert_eq!((first.holder.as_str(), first.epoch), ("a", 1));
        assert_eq!(first.expires_us, first_us + TTL_US);
        assert_eq!(orchestration.leader().await.unwrap(), Some(first.clone()));
        // Somebody else has to wait, and is told who leads.
        assert_eq!(orchestration.lead("b", claim, NOW).await.unwrap().0, first);
        let (renewed, renewed_us) = orchestration.lead("a", claim, NOW + 9).await.unwrap();
        assert_eq!((renewed.epoch, renewed.expires_us), (1, renewed_us + TTL_US));
        assert!(renewed_us > first_us);
        // Who does not lead cannot resign.
        orchestration.resign("b").await.unwrap();
        assert_eq!(orchestration.leader().await.unwrap(), Some(renewed));
        orchestration.resign("a").await.unwrap();
        let (second, _) = orchestration.lead("b", claim, NOW + 9).await.unwrap();
        assert_eq!((second.holder.as_str(), second.epoch), ("b", 2));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_ask_at_once_one_leads() {
    on_both(async |store: Store| {
        let ask = |number: u32| {
            let orchestration = store.orchestration();
            async move { orchestration.lead(&format!("server {number}"), claim, NOW).await.unwrap().0 }
        };
        let told = future::join_all((0..20).map(ask)).await;
        assert!(told.iter().all(|leader| leader.holder == told[0].holder));
        assert!(told.iter().all(|leader| leader.epoch == 1));
    })
    .await;
}

#[tokio::test]
async fn nobody_writes_under_an_old_epoch_or_one_that_never_was() {
    on_both(async |store: Store| {
        let home = home(&store, "sales", &["orders"]).await;
        let orchestration = store.orchestration();
        let row = run(&home, "orders", NOW);
        let early = orchestration.apply(0, a_run(&row), NOW).await;
        assert_eq!(code(early), "run_locked", "before anybody led");
        orchestration.lead("a", claim, NOW).await.unwrap();
        orchestration.lead("b", seize, NOW).await.unwrap();
        for epoch in [1, 3] {
            let refused = orchestration.apply(epoch, a_run(&row), NOW).await;
            assert_eq!(code(refused), "run_locked", "epoch {epoch}");
        }
        assert_eq!(orchestration.load().await.unwrap().runs, []);
        orchestration.apply(2, a_run(&row), NOW).await.unwrap();
        assert_eq!(orchestration.load().await.unwrap().runs, [row]);
    })
    .await;
}

#[tokio::test]
async fn the_clock_of_leases_is_that_of_the_database() {
    on_both(async |store: Store| {
        let home = home(&store, "sales", &["orders"]).await;
        let orchestration = store.orchestration();
        // A server whose clock has stopped in 1970.
        let ours = DAY;
        let (leader, before_us) = orchestration.lead("a", claim, ours).await.unwrap();
        let row = run(&home, "orders", NOW);
        let lease = vec![task(&row, 0, (0, 1), LeaseChange::New)];
        let writes = Writes { tasks: lease, lease_us: 7_000_000, ..a_run(&row) };
        orchestration.apply(leader.epoch, writes, ours).await.unwrap();
        let (_, after_us) = orchestration.lead("a", claim, ours).await.unwrap();
        let tasks = orchestration.run(row.id.run()).await.unwrap().1;
        let begun_us = tasks[0].lease_until_us.unwrap() - 7_000_000;
        assert!((before_us..=after_us).contains(&begun_us));
        if store.read().get_database_backend() == sea_orm::DbBackend::Postgres {
            assert!(before_us > 40 * 365 * DAY, "{before_us} is our clock");
        } else {
            assert_eq!((before_us, after_us), (ours, ours));
        }
    })
    .await;
}

/// A leader in the middle of its writes: they change a task that somebody else has locked.
struct Amid {
    server: Postgres,
    /// Another server's store.
    other: Store,
    lock: DatabaseTransaction,
    writing: JoinHandle<Result<()>>,
}

async fn amid_writes(server: Postgres, database: &Database, leader: Store) -> Amid {
    let other = database.open().await;
    let home = home(&other, "sales", &["orders"]).await;
    let row = run(&home, "orders", NOW);
    let (epoch, _) = leader.orchestration().lead("a", seize, NOW).await.unwrap();
    let first = vec![task(&row, 0, (0, 1), LeaseChange::New)];
    let writes = Writes { tasks: first, ..a_run(&row) };
    leader.orchestration().apply(epoch.epoch, writes, NOW).await.unwrap();
    let lock = other.read().begin().await.unwrap();
    lock.execute_unprepared("SELECT * FROM tasks FOR UPDATE").await.unwrap();
    let late = TaskChange { state: json!("too late"), ..task(&row, 0, (1, 1), LeaseChange::None) };
    let writes = Writes { tasks: vec![late], ..a_run(&run(&home, "orders", NOW)) };
    let writing = async move { leader.orchestration().apply(epoch.epoch, writes, NOW).await };
    let writing = tokio::spawn(writing);
    wait_until(|| waiting(&server) == 1).await;
    Amid { server, other, lock, writing }
}

/// Statements that wait for a lock.
fn waiting(server: &Postgres) -> u32 {
    server.psql("select count(*) from pg_locks where not granted").trim().parse().unwrap()
}

async fn wait_until(is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LIMIT, "waited for too long");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Takes the lead and reads what there is, as its first act.
fn take_over(store: &Store) -> JoinHandle<String> {
    let orchestration = store.orchestration();
    tokio::spawn(async move {
        orchestration.lead("b", seize, NOW).await.unwrap();
        state(&orchestration).await
    })
}

async fn state(orchestration: &crate::Orchestration) -> String {
    let all = orchestration.load().await.unwrap();
    format!("{:?} {:?}", all.runs, all.tasks)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_next_leader_reads_is_not_changed_by_the_one_before() {
    let Some(server) = Postgres::start() else { return };
    let database = Database::on(&server);
    let leader = database.open().await;
    let amid = amid_writes(server, &database, leader).await;
    let taking = take_over(&amid.other);
    wait_until(|| taking.is_finished() || waiting(&amid.server) == 2).await;
    amid.lock.rollback().await.unwrap();
    let _ = amid.writing.await.unwrap();
    assert_eq!(taking.await.unwrap(), state(&amid.other.orchestration()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_freezes_amid_its_writes_is_given_up_soon() {
    let Some(server) = Postgres::start() else { return };
    let database = Database::on(&server);
    let proxy = FaultProxy::start(server.port());
    let Address::Postgres(url) = &database.address else { unreachable!() };
    let url = url.reveal().replace(&server.port().to_string(), &proxy.port().to_string());
    let leader = Store::open(&Address::Postgres(Secret::new(url))).await.unwrap();
    let amid = amid_writes(server, &database, leader).await;
    proxy.set(Fault::Stall);
    amid.lock.rollback().await.unwrap();
    let taken = tokio::time::timeout(LIMIT, take_over(&amid.other)).await.unwrap().unwrap();
    assert!(!taken.contains("too late"), "{taken}");
    // It wakes up.
    proxy.set(Fault::None);
    // Where it was when it froze decides whether it knows that it was too late.
    let woken = code(amid.writing.await.unwrap());
    assert!(["run_locked", "commit_unknown"].contains(&woken), "{woken}");
    assert_eq!(taken, state(&amid.other.orchestration()).await);
}
