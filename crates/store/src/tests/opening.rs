//! Opening: twice, at once, in a hurry, and with the wrong program.

use crate::testing::{Database, NOW, code, new_user};
use crate::{Address, Store};
use futures::future;
use model::Secret;
use sea_orm::{ConnectionTrait, Statement};
use std::os::unix::fs::PermissionsExt;

fn databases() -> Vec<Database> {
    [Some(Database::sqlite()), Database::postgres()].into_iter().flatten().collect()
}

#[tokio::test]
async fn what_was_written_is_there_after_opening_again() {
    for database in databases() {
        let user = database.open().await.users().create(new_user("ada@example.org"), NOW).await;
        let found = database.open().await.users().by_email("ada@example.org").await.unwrap();
        assert_eq!(found, Some(user.unwrap()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_processes_may_open_a_new_database_at_once() {
    for database in databases() {
        let opened = future::join_all((0..6).map(|_| Store::open(&database.address))).await;
        for store in opened {
            assert!(!store.unwrap().installation().is_set_up().await.unwrap());
        }
    }
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_refused() {
    for database in databases() {
        let store = database.open().await;
        store
            .write((), |tx, ()| {
                Box::pin(async move {
                    let sql = "INSERT INTO affluent_migrations (number, name) VALUES (99, 'later')";
                    tx.execute_unprepared(sql).await?;
                    Ok(())
                })
            })
            .await
            .unwrap();
        let problem = Store::open(&database.address).await.unwrap_err();
        assert_eq!(problem.code().id, "store_newer");
        assert!(problem.message().contains("has migration 99"), "{problem}");
    }
}

#[tokio::test]
async fn a_database_file_is_for_its_owner_alone() {
    let database = Database::sqlite();
    let store = database.open().await;
    store.users().create(new_user("ada@example.org"), NOW).await.unwrap();
    let Address::Sqlite(path) = &database.address else { unreachable!() };
    for companion in ["", "-wal", "-shm"] {
        let path = format!("{}{companion}", path.display());
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{path}");
    }
}

#[tokio::test]
async fn an_address_that_leads_nowhere_is_a_problem() {
    let missing = Address::Sqlite("/nonexistent/affluent.db".into());
    assert_eq!(code(Store::open(&missing).await), "file_not_found");
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.db");
    std::fs::write(&text, "this is not a database, and it is long enough to show it\n".repeat(99))
        .unwrap();
    assert_eq!(code(Store::open(&Address::Sqlite(text)).await), "file_corrupt");
    for url in ["mysql://host/base", "postgres://user:hunter2@host:port/base"] {
        let problem = Store::open(&Address::Postgres(Secret::new(url))).await.unwrap_err();
        assert_eq!(problem.code().id, "setting_invalid");
        assert!(!format!("{problem:?}").contains("hunter2"));
    }
    let closed = Address::Postgres(Secret::new("postgres://user:hunter2@127.0.0.1:1/base"));
    let problem = Store::open(&closed).await.unwrap_err();
    assert_eq!(problem.code().id, "store_failed");
    assert!(problem.code().retry);
}

#[tokio::test]
async fn sqlite_syncs_each_commit_and_its_readers_cannot_write() {
    let database = Database::sqlite();
    let store = database.open().await;
    let pragmas = store.write((), |tx, ()| {
        Box::pin(async move {
            let mut values = Vec::new();
            for pragma in ["journal_mode", "synchronous", "foreign_keys", "busy_timeout"] {
                let sql = format!("PRAGMA {pragma}");
                let statement = Statement::from_string(tx.get_database_backend(), sql);
                let row = tx.query_one_raw(statement).await?.expect("a pragma has a value");
                let number = row.try_get_by_index::<i64>(0).map(|number| number.to_string());
                values.push(number.or_else(|_| row.try_get_by_index(0))?);
            }
            Ok(values)
        })
    });
    assert_eq!(pragmas.await.unwrap(), ["wal", "2", "1", "5000"]);
    let refused = store.read().execute_unprepared("DELETE FROM users").await.unwrap_err();
    assert!(refused.to_string().contains("readonly"), "{refused}");
}
