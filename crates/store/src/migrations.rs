//! The list of migrations and what runs them, each in a transaction of its own.

mod alerts;
mod documents;
mod identity;
mod runs;
mod scheduling;

use crate::failure::{Attempt, Failure};
use crate::tables::{Table, integer, text};
use crate::transactions::Tx;
use model::{Problem, Result, codes};
use sea_orm::sea_query::{Alias, Expr, ExprTrait, Query};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, SqliteTransactionMode, TransactionOptions,
    TransactionTrait,
};

/// All migrations, oldest first. One that has been released is never changed: its number is its
/// place in this list, from 1.
const ALL: &[Migration] = &[
    Migration { name: "identity", tables: identity::TABLES },
    Migration { name: "documents", tables: documents::TABLES },
    Migration { name: "runs", tables: runs::TABLES },
    Migration { name: "scheduling", tables: scheduling::TABLES },
    Migration { name: "alerts", tables: alerts::TABLES },
];

/// The name of the lock that keeps two processes from migrating at once: any number will do, as
/// long as it stays the same.
const LOCK: i64 = 0x61_66_66_6c_75_65_6e;

struct Migration {
    name: &'static str,
    tables: &'static [Table],
}

/// Which migrations a database has had.
const HISTORY: Table = Table {
    name: "affluent_migrations",
    columns: &[integer("number"), text("name")],
    key: &["number"],
    unique: &[],
    indexes: &[],
    parents: &[],
};

/// Brings the database up to date, or says that a newer program has written it.
pub(crate) async fn run(connections: &DatabaseConnection) -> Attempt<()> {
    while run_next(connections, ALL).await? {}
    Ok(())
}

/// Brings the database to the migration with this number, if it is not there yet, and says which
/// it has.
pub(crate) async fn run_until(connections: &DatabaseConnection, number: usize) -> Attempt<usize> {
    loop {
        match run_next(connections, &ALL[..number.min(ALL.len())]).await {
            Ok(true) => {}
            Ok(false) => return Ok(number),
            // It has had more of them.
            Err(Failure::Problem(problem)) if problem.is(&codes::STORE_NEWER) => {
                let tx = connections.begin().await?;
                return last_number(&tx).await;
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// That this program knows the migration with this number, or `store_newer`.
pub(crate) fn check_known(number: usize) -> Result<()> {
    if number <= ALL.len() { Ok(()) } else { Err(newer(number, ALL.len())) }
}

/// The tables that there are after the migration with this number, parents first.
pub(crate) fn tables(number: usize) -> impl Iterator<Item = &'static Table> {
    ALL.iter().take(number).flat_map(|migration| migration.tables)
}

/// Runs the first migration of `all` that the database lacks; false when it has them all.
async fn run_next(connections: &DatabaseConnection, all: &[Migration]) -> Attempt<bool> {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let tx = connections.begin_with_options(options).await?;
    lock(&tx).await?;
    tx.execute(HISTORY.create().if_not_exists()).await?;
    let done = last_number(&tx).await?;
    if done > all.len() {
        return Err(newer(done, all.len()).into());
    }
    let Some(migration) = all.get(done) else {
        tx.commit().await?;
        return Ok(false);
    };
    for table in migration.tables {
        tx.execute(&table.create()).await?;
        for index in table.create_indexes() {
            tx.execute(&index).await?;
        }
    }
    record(&tx, done + 1, migration.name).await?;
    tx.commit().await?;
    tracing::info!(migration = migration.name, "metadata database migrated");
    Ok(true)
}

/// Lets one process after the other in. On SQLite the transaction itself does.
async fn lock(tx: &Tx) -> Attempt<()> {
    if tx.get_database_backend() == DbBackend::Postgres {
        tx.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({LOCK})")).await?;
    }
    Ok(())
}

pub(crate) async fn last_number(tx: &Tx) -> Attempt<usize> {
    let query = Query::select()
        .expr(Expr::col(Alias::new("number")).max())
        .from(Alias::new(HISTORY.name))
        .to_owned();
    let row = tx.query_one(&query).await?;
    let number: Option<i64> = row.map(|row| row.try_get_by_index(0)).transpose()?.flatten();
    Ok(usize::try_from(number.unwrap_or(0)).unwrap_or(0))
}

async fn record(tx: &Tx, number: usize, name: &str) -> Attempt<()> {
    let number = i64::try_from(number).expect("the list of migrations is short");
    let statement = Query::insert()
        .into_table(Alias::new(HISTORY.name))
        .columns(["number", "name"].map(Alias::new))
        .values_panic([number.into(), name.into()])
        .to_owned();
    tx.execute(&statement).await?;
    Ok(())
}

fn newer(found: usize, known: usize) -> Problem {
    Problem::new(
        &codes::STORE_NEWER,
        format!("the metadata database has migration {found}, this program knows {known}"),
    )
    .hint("start the program that was used last, or restore the backup made before it")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address;
    use crate::testing::Database;
    use crate::{Address, Store};

    /// The last but one has a table, and then the same once more.
    const HALF_BROKEN: &[Migration] = &[
        Migration { name: "identity", tables: identity::TABLES },
        Migration { name: "broken", tables: &[NOTES, NOTES] },
    ];
    const NOTES: Table = Table {
        name: "notes",
        columns: &[integer("id")],
        key: &["id"],
        unique: &[],
        indexes: &[],
        parents: &[],
    };

    async fn connect(address: &Address) -> DatabaseConnection {
        match address {
            Address::Sqlite(path) => {
                address::create_sqlite_file(path).unwrap();
                address::connect_sqlite_writer(path).await.unwrap()
            }
            Address::Postgres(url) => address::connect_postgres(url).await.unwrap(),
        }
    }

    #[tokio::test]
    async fn a_migration_that_fails_leaves_nothing_and_an_older_database_is_brought_up_to_date() {
        for database in [Some(Database::sqlite()), Database::postgres()].into_iter().flatten() {
            let connections = connect(&database.address).await;
            assert!(run_next(&connections, HALF_BROKEN).await.unwrap());
            run_next(&connections, HALF_BROKEN).await.unwrap_err();
            connections.execute_unprepared("SELECT id FROM notes").await.unwrap_err();
            connections.execute_unprepared("SELECT id FROM definitions").await.unwrap_err();
            drop(connections);
            let store = Store::open(&database.address).await.unwrap();
            store.read().execute_unprepared("SELECT id FROM definitions").await.unwrap();
        }
    }
}
