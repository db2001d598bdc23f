//! Databases: PostgreSQL and SQLite, read and written.

pub mod postgres;
pub mod postgres_client;

mod cells;
mod postgres_decode;
mod postgres_tls;
mod selection;
#[cfg(test)]
mod tests;

use contracts::Entry;
use schemars::{Schema, SchemaGenerator};

/// Sources and sinks of databases.
pub const ALL: &[Entry] = &[Entry::source::<postgres::Postgres>()];

/// Types of connections to databases, and the JSON Schemas of their settings.
pub const CONNECTION_TYPES: &[(&str, fn() -> Schema)] = &[("postgres", || {
    SchemaGenerator::default().into_root_schema_for::<postgres_client::PostgresConnection>()
})];
