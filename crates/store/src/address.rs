//! Where the metadata database is, and how its connections are set.

use crate::failure::Failure;
use model::{Problem, Result, Secret, codes};
use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sea_orm::{ConnectOptions, Database, DatabaseConnection};
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a statement waits for a lock of another process, and a caller for a connection.
const PATIENCE: Duration = Duration::from_secs(5);
/// Statements that take longer are stopped by the PostgreSQL server.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);
const SQLITE_READERS_MAX: u32 = 4;
const POSTGRES_CONNECTIONS_MAX: u32 = 16;

/// Where the metadata database is.
#[derive(Debug, Clone)]
pub enum Address {
    /// A file, which is made when it is not there.
    Sqlite(PathBuf),
    /// A URL such as `postgres://user:password@host:5432/database`.
    Postgres(Secret),
}

/// Makes the database file when it is not there, for its owner's eyes only.
///
/// SQLite gives its two companion files the mode of the first.
pub(crate) fn create_sqlite_file(path: &Path) -> Result<()> {
    let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    opened.map(drop).map_err(|error| {
        let code = match error.kind() {
            io::ErrorKind::NotFound => &codes::FILE_NOT_FOUND,
            io::ErrorKind::PermissionDenied => &codes::PERMISSION_DENIED,
            io::ErrorKind::StorageFull => &codes::STORAGE_FULL,
            _ => &codes::FILE_UNREADABLE,
        };
        Problem::new(code, "the metadata database cannot be opened")
            .detail(error)
            .in_file(path.display())
            .hint("name a file in a folder that exists and that the server may write")
    })
}

/// The one connection that writes.
pub(crate) async fn connect_sqlite_writer(path: &Path) -> Result<DatabaseConnection, Failure> {
    let path = path.to_owned();
    let mut options = sqlite_options(1);
    options.map_sqlx_sqlite_opts(move |sqlite| {
        sqlite
            .filename(&path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(PATIENCE)
    });
    Ok(Database::connect(options).await?)
}

/// Connections that cannot write.
pub(crate) async fn connect_sqlite_readers(path: &Path) -> Result<DatabaseConnection, Failure> {
    let path = path.to_owned();
    let mut options = sqlite_options(SQLITE_READERS_MAX);
    options.map_sqlx_sqlite_opts(move |sqlite| {
        sqlite.filename(&path).read_only(true).busy_timeout(PATIENCE)
    });
    Ok(Database::connect(options).await?)
}

fn sqlite_options(connections_max: u32) -> ConnectOptions {
    let mut options = ConnectOptions::new("sqlite:");
    options
        .max_connections(connections_max)
        .acquire_timeout(PATIENCE)
        .idle_timeout(None)
        .max_lifetime(None)
        // There is no line that could be cut.
        .test_before_acquire(false)
        .sqlx_logging(false);
    options
}

/// Connections that read and write.
pub(crate) async fn connect_postgres(url: &Secret) -> Result<DatabaseConnection, Failure> {
    let schemes = ["postgres://", "postgresql://"];
    if !schemes.iter().any(|scheme| url.reveal().starts_with(scheme)) {
        return Err(address_unreadable().into());
    }
    let mut options = ConnectOptions::new(url.reveal());
    options
        .max_connections(POSTGRES_CONNECTIONS_MAX)
        .acquire_timeout(PATIENCE)
        .statement_timeout(STATEMENT_TIMEOUT)
        .set_application_name("affluent")
        .sqlx_logging(false);
    Database::connect(options).await.map_err(|error| match Failure::from(error) {
        // What the library says about a URL can repeat parts of it.
        failure if failure.is_about_settings() => address_unreadable().into(),
        failure => failure,
    })
}

fn address_unreadable() -> Problem {
    Problem::new(&codes::SETTING_INVALID, "the address of the metadata database is not readable")
        .hint("write `postgres://user:password@host:5432/database`, special characters as `%20`")
}
