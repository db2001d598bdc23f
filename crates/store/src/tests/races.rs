//! Many at once: what must happen once happens once, and nothing that was answered is lost.

use crate::testing::{DAY, Database, NOW, hash, new_user, new_workspace, on_both, workspace};
use crate::{Address, FirstOwner, Store};
use futures::future;
use model::{Role, Secret, codes};
use std::collections::BTreeSet;
use testkit::{Fault, FaultProxy, Postgres};

#[tokio::test(flavor = "multi_thread")]
async fn fifty_set_ups_at_once_make_one_owner() {
    on_both(async |store: Store| {
        let installation = store.installation();
        installation.create_set_up_token(&hash(1), NOW + DAY, NOW).await.unwrap();
        let set_up = |number: u64| {
            let first = FirstOwner {
                user: new_user(&format!("owner{number}@example.org")),
                workspace: new_workspace(&format!("first_{number}")),
            };
            let installation = installation.clone();
            async move { installation.complete_set_up(&hash(1), first, NOW).await }
        };
        let outcomes = future::join_all((0..50).map(set_up)).await;
        let (owners, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
        assert_eq!(owners.len(), 1);
        for refusal in refused {
            let problem = refusal.unwrap_err();
            assert!(problem.is(&codes::SET_UP_DONE), "{problem}");
        }
        let users = store.users().list(None, 100).await.unwrap().items;
        assert_eq!(users.len(), 1);
        assert!(users[0].is_owner_of_installation);
        let workspaces = store.workspaces().of(&users[0].id).await.unwrap();
        assert_eq!(workspaces.len(), 1);
        assert_eq!(workspaces[0].1, Role::Owner);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_writes_at_once_share_few_commits_on_sqlite() {
    let database = Database::sqlite();
    let store = database.open().await;
    let before = store.commits();
    let create = |number| {
        let users = store.users();
        async move { users.create(new_user(&format!("user{number}@example.org")), NOW).await }
    };
    for outcome in future::join_all((0..200).map(create)).await {
        outcome.unwrap();
    }
    let commits = store.commits() - before;
    assert!((1..=20).contains(&commits), "{commits} commits");
    // Another connection sees what has been answered.
    let again = database.open().await;
    assert_eq!(again.users().list(None, 500).await.unwrap().items.len(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_fails_leaves_nothing_and_does_not_disturb_its_neighbours() {
    on_both(async |store: Store| {
        let create = |number: u64| {
            let users = store.users();
            // Every address is asked for twice.
            let email = format!("user{}@example.org", number / 2);
            async move { users.create(new_user(&email), NOW).await }
        };
        let outcomes = future::join_all((0..60).map(create)).await;
        let created = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!(created, 30);
        for problem in outcomes.into_iter().filter_map(Result::err) {
            assert!(problem.is(&codes::CONFLICT), "{problem}");
        }
        assert_eq!(store.users().list(None, 100).await.unwrap().items.len(), 30);
    })
    .await;
}

#[tokio::test]
async fn a_panic_inside_of_a_write_takes_only_that_write_with_it() {
    let database = Database::sqlite();
    let store = database.open().await;
    let refused = store.write((), |_, ()| Box::pin(async { unreachable!("on purpose") }));
    let refused: model::Result<()> = refused.await;
    assert_eq!(crate::testing::code(refused), "internal");
    store.users().create(new_user("ada@example.org"), NOW).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_owners_who_leave_at_once_do_not_both_go() {
    on_both(async |store: Store| {
        for round in 0..10 {
            let (id, first) = workspace(&store, &format!("team_{round}")).await;
            let second = crate::testing::user(&store, &format!("second{round}@example.org")).await;
            let members = store.workspace(&id).members();
            members.add(&second.id, Role::Owner, NOW).await.unwrap();
            let leaving = [members.remove(&first.id, NOW), members.remove(&second.id, NOW)];
            let left = future::join_all(leaving).await;
            assert_eq!(left.iter().filter(|outcome| outcome.is_ok()).count(), 1);
            assert_eq!(members.list().await.unwrap().len(), 1);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_that_is_used_twice_at_once_ends_its_family() {
    on_both(async |store: Store| {
        let user = crate::testing::user(&store, "ada@example.org").await;
        let sessions = store.sessions();
        sessions.begin(super::identity::refresh(&user.id, 1), NOW).await.unwrap();
        let (old, left, right) = (hash(1), hash(2), hash(3));
        let both = future::join(
            sessions.rotate(&old, &left, NOW + DAY, NOW),
            sessions.rotate(&old, &right, NOW + DAY, NOW),
        );
        let (left, right) = both.await;
        let outcomes = BTreeSet::from([name(&left.unwrap()), name(&right.unwrap())]);
        assert_eq!(outcomes, BTreeSet::from(["reused", "rotated"]));
        assert_eq!(sessions.list(&user.id, NOW).await.unwrap(), []);
    })
    .await;
}

fn name(rotation: &crate::Rotation) -> &'static str {
    match rotation {
        crate::Rotation::Rotated(_) => "rotated",
        crate::Rotation::Reused(_) => "reused",
        crate::Rotation::Unknown => "unknown",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_went_away_is_a_problem_and_works_again_when_it_is_back() {
    let Some(server) = Postgres::start() else { return };
    let database = Database::on(&server);
    let store = database.open().await;
    store.users().create(new_user("before@example.org"), NOW).await.unwrap();
    // Every connection of the pool is cut, as a restart of the server would.
    server.psql(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'affluent'",
    );
    store.users().create(new_user("after@example.org"), NOW).await.unwrap();
    assert_eq!(store.users().list(None, 10).await.unwrap().items.len(), 2);
    drop(server);
    let problem = store.users().create(new_user("never@example.org"), NOW).await.unwrap_err();
    assert_eq!(problem.code().id, "store_failed");
    assert!(problem.code().retry);
    let problem = store.users().by_email("before@example.org").await.unwrap_err();
    assert_eq!(problem.code().id, "store_failed");
}

#[tokio::test]
async fn a_transaction_that_ends_badly_is_told_to_all_of_its_writes_and_the_next_one_works() {
    let database = Database::sqlite();
    let store = database.open().await;
    let users = store.users();
    // As SQLite does by itself when the disk is full: the transaction is gone.
    let saboteur = store.write((), |tx, ()| {
        Box::pin(async move {
            use sea_orm::ConnectionTrait;
            tx.execute_unprepared("ROLLBACK").await?;
            Ok(())
        })
    });
    let create = users.create(new_user("lost@example.org"), NOW);
    let (first, second, third) =
        future::join3(users.create(new_user("also_lost@example.org"), NOW), saboteur, create).await;
    for outcome in [first.map(drop), second, third.map(drop)] {
        assert!(outcome.is_err(), "answered before it was durable");
    }
    assert_eq!(users.list(None, 9).await.unwrap().items, []);
    users.create(new_user("ada@example.org"), NOW).await.unwrap();
    assert_eq!(database.open().await.users().list(None, 9).await.unwrap().items.len(), 1);
}

/// A store whose line to the server can be cut.
async fn behind_proxy(server: &Postgres, proxy: &FaultProxy) -> Store {
    let Address::Postgres(url) = Database::on(server).address else { unreachable!() };
    let url = url.reveal().replace(&server.port().to_string(), &proxy.port().to_string());
    Store::open(&Address::Postgres(Secret::new(url))).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_cut_before_the_commit_is_repaired_and_one_cut_in_it_is_told() {
    let Some(server) = Postgres::start() else { return };
    let proxy = FaultProxy::start(server.port());
    let store = behind_proxy(&server, &proxy).await;
    proxy.set(Fault::CutBefore("INSERT INTO"));
    store.users().create(new_user("ada@example.org"), NOW).await.unwrap();
    assert_eq!(proxy.faults(), 1);

    proxy.set(Fault::LoseAnswerTo("COMMIT"));
    let problem = store.users().create(new_user("eve@example.org"), NOW).await.unwrap_err();
    assert_eq!((problem.code().id, proxy.faults()), ("commit_unknown", 2));
    // It had happened, and was not done twice.
    let users = store.users().list(None, 9).await.unwrap().items;
    assert_eq!(users.len(), 2);
}

#[tokio::test]
async fn a_character_that_cannot_be_stored_is_a_problem() {
    let Some(database) = Database::postgres() else { return };
    let store = database.open().await;
    let named = crate::NewUser { name: "A\u{0}a".to_owned(), ..new_user("ada@example.org") };
    assert_eq!(crate::testing::code(store.users().create(named, NOW).await), "setting_invalid");
}
