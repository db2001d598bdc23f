//! Databases: PostgreSQL and SQLite, read and written.

pub mod postgres;
pub mod postgres_client;
pub mod sql_execute;
pub mod sqlite;
pub mod sqlite_client;
pub mod write_postgres;
pub mod write_sqlite;

mod cells;
pub(crate) mod look;
mod mode;
mod postgres_cursor;
mod postgres_decode;
mod postgres_encode;
mod postgres_numeric;
mod postgres_target;
mod postgres_tls;
mod selection;
mod sqlite_bind;
mod sqlite_reader;
mod sqlite_values;
mod statements;
#[cfg(test)]
pub(crate) mod tests;

use contracts::Entry;
use schemars::{JsonSchema, Schema, SchemaGenerator};

/// Sources and sinks of databases.
pub const ALL: &[Entry] = &[
    Entry::source::<postgres::Postgres>(),
    Entry::source::<sqlite::Sqlite>(),
    Entry::sink::<write_postgres::WritePostgres>(),
    Entry::sink::<write_sqlite::WriteSqlite>(),
];

/// Types of connections to databases, and the JSON Schemas of their settings.
pub const CONNECTION_TYPES: &[(&str, fn() -> Schema)] = &[
    ("postgres", schema_of::<postgres_client::PostgresConnection>),
    ("sqlite", schema_of::<sqlite_client::SqliteConnection>),
];

fn schema_of<T: JsonSchema>() -> Schema {
    SchemaGenerator::default().into_root_schema_for::<T>()
}
