//! `sqlite`: rows of a SQLite table or query.

use super::selection::{Cursor, Selection, Wanted};
use super::sqlite_client::{Database, blocking};
use super::sqlite_reader::Reader;
use async_trait::async_trait;
use contracts::{Batches, Context, Discovery, Example, Past, ReadRequest, Source, SourceModule};
use model::{DataType, Name, Problem, Result, codes};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Settings of `sqlite`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A connection of type `sqlite`; or give `path`.
    #[serde(default)]
    connection: Option<Name>,
    /// The database file, instead of a connection.
    #[serde(default)]
    path: Option<String>,
    /// The table or view.
    #[serde(default)]
    table: Option<String>,
    /// One SELECT, instead of a table.
    #[serde(default)]
    #[schemars(extend("x-widget" = "sql"))]
    query: Option<String>,
    /// The columns to read, as the database spells them; all when empty.
    #[serde(default)]
    columns: Vec<String>,
    /// Reads only rows for which this holds, a SQL expression over the database's columns.
    #[serde(default, rename = "where")]
    #[schemars(extend("x-widget" = "expression"))]
    condition: Option<String>,
    /// Reads only rows that are new since the last run.
    #[serde(default)]
    cursor: Option<Cursor>,
    /// Types of columns where the declared one is not what you want. SQLite keeps any value in
    /// any column: rows with a value that does not fit the type are rejected.
    #[serde(default)]
    types: BTreeMap<String, DataType>,
}

/// `sqlite`.
pub struct Sqlite;

impl SourceModule for Sqlite {
    type Config = Config;
    const NAME: &'static str = "sqlite";
    const SUMMARY: &'static str = "Read a SQLite table or query, whole or only what is new.";
    const REJECTS: bool = true;
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "a table",
            config: r#"{"path": "data/shop.db", "table": "customers"}"#,
            inputs: &[],
            outputs: &[],
        },
        Example {
            title: "only orders that are new",
            config: r#"{"connection": "shop", "table": "orders", "cursor": {"column": "id"}}"#,
            inputs: &[],
            outputs: &[],
        },
    ];

    fn build(config: Config) -> Result<Box<dyn Source>> {
        let Config { connection, path, table, query, columns, condition, cursor, types } = config;
        if connection.is_some() == path.is_some() {
            return Err(Problem::new(
                &codes::SETTING_INVALID,
                "one of `connection` and `path` is needed, not both",
            )
            .hint("write `path: data/shop.db`, or name a connection of type `sqlite`"));
        }
        let wanted = Wanted { table, query, columns, condition, cursor, types };
        let selection = Arc::new(Selection::new(wanted)?);
        Ok(Box::new(SqliteSource { connection, path, selection }))
    }
}

struct SqliteSource {
    connection: Option<Name>,
    path: Option<String>,
    selection: Arc<Selection>,
}

#[async_trait]
impl Source for SqliteSource {
    async fn discover(&self, context: &Context, past: &Past) -> Result<Discovery> {
        let database = self.database(context)?;
        let selection = Arc::clone(&self.selection);
        let past = past.clone();
        blocking(move || Reader { database, selection }.discover(&past)).await
    }

    async fn read(&self, context: &Context, request: ReadRequest) -> Result<Batches> {
        let database = self.database(context)?;
        Reader { database, selection: Arc::clone(&self.selection) }.read(request).await
    }
}

impl SqliteSource {
    fn database(&self, context: &Context) -> Result<Database> {
        Database::locate(context, self.connection.as_ref(), self.path.as_deref())
    }
}
