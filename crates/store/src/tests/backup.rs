//! A database copied while others write, onto the same and onto the other kind.

use crate::testing::{Database, MINUTE, NOW, code, hash, new_user, user, workspace};
use crate::{Existing, NewSecret, NewSession, Restore, SessionKind, Snapshot, Store};
use model::Name;
use serde_json::Value;
use std::collections::BTreeMap;

pub(super) type Rows = BTreeMap<&'static str, Vec<Vec<Value>>>;

pub(super) async fn read(snapshot: &Snapshot) -> Rows {
    let mut all = Rows::new();
    for table in snapshot.tables() {
        let mut rows: Vec<Vec<Value>> = Vec::new();
        loop {
            let page = snapshot.rows(table, rows.last()).await.unwrap();
            if page.is_empty() {
                break;
            }
            rows.extend(page);
        }
        all.insert(table, rows);
    }
    all
}

/// Something of every type of column, and more than one page of users.
async fn fill(store: &Store) {
    let (id, owner) = workspace(store, "sales").await;
    for number in 0..520 {
        user(store, &format!("user{number:03}@é.example")).await;
    }
    let secret = NewSecret {
        connection: Name::new("erp").unwrap(),
        name: "password".to_owned(),
        ciphertext: (0..=255).collect(),
        nonce: Vec::new(),
        key_id: "k'1\"\\".to_owned(),
        bound_host: None,
    };
    store.workspace(&id).secrets().put(secret, NOW).await.unwrap();
    let session = NewSession {
        token: hash(1),
        user: owner.id,
        kind: SessionKind::Browser,
        expires_at_us: i64::MAX,
        ip: None,
        user_agent: Some("Mozilla \u{1F30A}".to_owned()),
    };
    store.sessions().begin(session, NOW).await.unwrap();
}

async fn copy(rows: &Rows, snapshot: &Snapshot, target: &Database, existing: Existing) -> Store {
    let begun = Restore::begin(&target.address, snapshot.migration(), existing).await;
    let restore = begun.unwrap();
    for (table, rows) in snapshot.tables().into_iter().map(|table| (table, &rows[table])) {
        let columns = snapshot.columns(table).unwrap();
        let columns: Vec<String> = columns.into_iter().map(str::to_owned).collect();
        restore.insert(table, &columns, rows).await.unwrap();
    }
    restore.finish().await.unwrap()
}

/// Every pair of kinds: a copy of a copy of the other kind is the same again.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_equal_on_the_same_and_on_the_other_kind_of_database() {
    let kinds: Vec<fn() -> Option<Database>> =
        vec![|| Some(Database::sqlite()), Database::postgres];
    for source in &kinds {
        for target in &kinds {
            let (Some(source), Some(target)) = (source(), target()) else { continue };
            let store = source.open().await;
            fill(&store).await;
            let snapshot = store.snapshot().await.unwrap();
            let rows = read(&snapshot).await;
            assert_eq!(rows["users"].len(), 521);
            let copied = copy(&rows, &snapshot, &target, Existing::Keep).await;
            assert_eq!(read(&copied.snapshot().await.unwrap()).await, rows);
            // It works as a database does.
            copied.users().create(new_user("late@example.org"), NOW + MINUTE).await.unwrap();
            let taken = copied.users().create(new_user("USER007@é.example"), NOW).await;
            assert_eq!(code(taken), "conflict");
            // A second time only when what is there may go.
            let migration = snapshot.migration();
            let refused = Restore::begin(&target.address, migration, Existing::Keep).await;
            assert_eq!(code(refused), "conflict");
            drop(copied);
            let copied = copy(&rows, &snapshot, &target, Existing::Replace).await;
            assert_eq!(read(&copied.snapshot().await.unwrap()).await, rows);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_does_not_see_what_is_written_meanwhile_and_keeps_nobody_waiting() {
    for database in [Some(Database::sqlite()), Database::postgres()].into_iter().flatten() {
        let store = database.open().await;
        fill(&store).await;
        let snapshot = store.snapshot().await.unwrap();
        let before = read(&snapshot).await;
        let writers = (0..20).map(|number| {
            let store = store.clone();
            tokio::spawn(async move { workspace(&store, &format!("late{number}")).await })
        });
        let writers: Vec<_> = writers.collect();
        assert_eq!(read(&snapshot).await, before);
        for writer in writers {
            writer.await.unwrap();
        }
        assert_eq!(read(&snapshot).await, before);
        drop(snapshot);
        let after = read(&store.snapshot().await.unwrap()).await;
        assert_eq!(after["workspaces"].len(), before["workspaces"].len() + 20);
    }
}

#[tokio::test]
async fn a_copy_that_breaks_off_leaves_nothing() {
    for database in [Some(Database::sqlite()), Database::postgres()].into_iter().flatten() {
        let source = Database::sqlite();
        let store = source.open().await;
        fill(&store).await;
        let snapshot = store.snapshot().await.unwrap();
        let rows = read(&snapshot).await;
        let restore =
            Restore::begin(&database.address, snapshot.migration(), Existing::Keep).await.unwrap();
        let columns = snapshot.columns("users").unwrap();
        let columns: Vec<String> = columns.into_iter().map(str::to_owned).collect();
        restore.insert("users", &columns, &rows["users"]).await.unwrap();
        let wrong = restore.insert("users", &["nothing".to_owned()], &rows["users"]).await;
        assert_eq!(code(wrong), "file_corrupt");
        drop(restore);
        let empty = read(&database.open().await.snapshot().await.unwrap()).await;
        assert!(empty.values().all(Vec::is_empty), "{empty:?}");
        let newer = Restore::begin(&database.address, 999, Existing::Keep).await;
        assert_eq!(code(newer), "store_newer");
    }
}
