//! `write_sqlite`: rows into a SQLite table, in one transaction with the run's ledger row.
//!
//! SQLite has one writer at a time. Rows are therefore collected in a database file of their own
//! first, and copied over in the one transaction of the commit.

use super::mode::{Mode, check_key, check_key_columns, key_is_null, key_is_repeated};
use super::selection::{quote, quote_list};
use super::sqlite_bind::{columns, declaration};
use super::sqlite_client::{Database, blocking};
use crate::storage::io_problem;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use contracts::settings::OneOrMany;
use contracts::table::SchemaPolicy;
use contracts::{
    Batches, Context, Example, NamedInput, Prepared, Sink, SinkModule, SinkRequest, Target,
};
use futures::TryStreamExt;
use model::run::Committed;
use model::{Name, Problem, Result, codes};
use rusqlite::{Connection, OptionalExtension, params_from_iter};
use schemars::JsonSchema;
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

const LEDGER: &str = "affluent_commits";
const STAGED: &str = "staged.\"rows\"";
const BATCHES_QUEUED_MAX: usize = 2;
const KEYS_SHOWN_MAX: usize = 5;
pub(super) const CREATE_LEDGER: &str = "CREATE TABLE IF NOT EXISTS main.affluent_commits \
    (app_id TEXT PRIMARY KEY, target TEXT NOT NULL, rows INTEGER NOT NULL, \
    metadata JSON TEXT NOT NULL, committed_at TIMESTAMP NOT NULL DEFAULT current_timestamp)";

/// Settings of `write_sqlite`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A connection of type `sqlite`; or give `path`.
    #[serde(default)]
    connection: Option<Name>,
    /// The database file, instead of a connection. Created when it is not there.
    #[serde(default)]
    path: Option<String>,
    /// The table. Created when it is not there.
    table: String,
    /// How rows come in.
    #[serde(default)]
    mode: Mode,
    /// For `upsert`: the columns by which rows are known. The table needs a unique index on them.
    #[serde(default)]
    key: OneOrMany,
    /// What happens when incoming columns are not in the table.
    #[serde(default)]
    schema: SchemaPolicy,
}

/// `write_sqlite`.
pub struct WriteSqlite;

impl SinkModule for WriteSqlite {
    type Config = Config;
    const NAME: &'static str = "write_sqlite";
    const SUMMARY: &'static str = "Write rows to a SQLite table, exactly once.";
    const EXAMPLES: &'static [Example] = &[Example {
        title: "one row per customer, renewed by each run",
        config: r#"{"path": "out/marts.db", "table": "customers", "mode": "upsert",
            "key": "customer_id"}"#,
        inputs: &[],
        outputs: &[],
    }];

    fn build(config: Config) -> Result<Box<dyn Sink>> {
        check_key(config.mode, config.key.as_slice())?;
        if config.connection.is_some() == config.path.is_some() {
            return Err(Problem::new(
                &codes::SETTING_INVALID,
                "one of `connection` and `path` is needed, not both",
            )
            .hint("write `path: out/marts.db`, or name a connection of type `sqlite`"));
        }
        if config.table.is_empty() || config.table.contains('\0') {
            return Err(Problem::new(&codes::NAME_INVALID, "`table` is not a table name")
                .in_setting("/table")
                .hint("write `table: customers`"));
        }
        Ok(Box::new(SqliteSink {
            connection: config.connection,
            path: config.path,
            table: config.table,
            mode: config.mode,
            key: config.key.into_vec(),
            schema_policy: config.schema,
        }))
    }
}

#[derive(Debug, Clone)]
struct SqliteSink {
    connection: Option<Name>,
    path: Option<String>,
    table: String,
    mode: Mode,
    key: Vec<String>,
    schema_policy: SchemaPolicy,
}

#[async_trait]
impl Sink for SqliteSink {
    fn target(&self) -> Target {
        let connection = self.connection.as_ref().map(Name::as_str);
        let database = connection.or(self.path.as_deref()).unwrap_or_default();
        Target::Outside(format!("{database}.{}", self.table))
    }

    fn appends(&self) -> bool {
        self.mode == Mode::Append
    }

    fn plan(&self, input: &NamedInput, _: Option<&SchemaRef>) -> Result<SchemaRef> {
        check_key_columns(&self.key, &input.schema)?;
        Ok(Arc::clone(&input.schema))
    }

    async fn committed(
        &self,
        context: &Context,
        request: &SinkRequest,
    ) -> Result<Option<Committed>> {
        let database = self.database(context)?;
        let (sink, key) = (self.clone(), request.key.to_string());
        blocking(move || {
            if !database.file.exists() {
                return Ok(None);
            }
            let connection = database.open_to_read()?;
            let found = find_commit(&connection, &key).map_err(|error| database.problem(&error))?;
            Ok(found.map(|rows| sink.committed_rows(&database, rows, true)))
        })
        .await
    }

    async fn prepare(
        &self,
        context: &Context,
        request: SinkRequest,
        input: Batches,
    ) -> Result<Box<dyn Prepared>> {
        check_key_columns(&self.key, &input.schema)?;
        let database = self.database(context)?;
        let mode = if request.overwrite { Mode::Truncate } else { self.mode };
        let stage = Stage::new(&context.state)?;
        let schema = Arc::clone(&input.schema);
        let (batches, received) = mpsc::channel(BATCHES_QUEUED_MAX);
        let mut tasks = JoinSet::new();
        for mut partition in input.partitions {
            let batches = batches.clone();
            tasks.spawn(async move {
                loop {
                    let next = partition.try_next().await.transpose();
                    let Some(batch) = next else { return };
                    let is_last = batch.is_err();
                    if batches.send(batch).await.is_err() || is_last {
                        return;
                    }
                }
            });
        }
        drop(batches);
        let (sink, staged) = (Self { mode, ..self.clone() }, database.clone());
        let prepared = blocking(move || {
            let rows = sink.fill(&staged, &stage, &schema, received)?;
            Ok(SqlitePrepared { sink, database: staged, request, stage, schema, rows })
        })
        .await?;
        // A partition that broke off has closed its end of the queue without a word.
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(|error| {
                Problem::new(&codes::INTERNAL, "reading rows for SQLite broke off").detail(error)
            })?;
        }
        Ok(Box::new(prepared))
    }
}

pub(super) fn find_commit(connection: &Connection, key: &str) -> rusqlite::Result<Option<u64>> {
    let sql = "SELECT count(*) FROM main.sqlite_master WHERE type = 'table' AND name = ?1";
    let tables: i64 = connection.query_row(sql, [LEDGER], |row| row.get(0))?;
    if tables == 0 {
        return Ok(None);
    }
    let sql = format!("SELECT rows FROM main.{LEDGER} WHERE app_id = ?1");
    let rows: Option<i64> = connection.query_row(&sql, [key], |row| row.get(0)).optional()?;
    Ok(rows.map(|rows| u64::try_from(rows).unwrap_or(0)))
}

/// A database file for rows that nobody sees yet. Dropped, it goes away.
struct Stage {
    file: PathBuf,
}

impl Stage {
    fn new(state: &Path) -> Result<Self> {
        let folder = state.join("spool");
        fs::create_dir_all(&folder).map_err(|error| {
            Problem::new(&codes::STORAGE_FAILED, "a folder for spooled rows cannot be made")
                .arg("path", folder.display())
                .detail(error)
        })?;
        let file = stdx::durable::temporary_path(&folder.join("write_sqlite.db"));
        // A process with the same number may have died here.
        let _ = fs::remove_file(&file);
        Ok(Self { file })
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
    }
}

impl SqliteSink {
    fn database(&self, context: &Context) -> Result<Database> {
        Database::locate(context, self.connection.as_ref(), self.path.as_deref())
    }

    fn committed_rows(&self, database: &Database, rows: u64, already: bool) -> Committed {
        let target = format!("{}.{}", database.label, self.table);
        Committed { target, rows, already, ..Committed::default() }
    }

    /// Puts all rows into the stage. Gives their number.
    fn fill(
        &self,
        database: &Database,
        stage: &Stage,
        schema: &SchemaRef,
        mut received: mpsc::Receiver<Result<RecordBatch>>,
    ) -> Result<u64> {
        let failed = |error: rusqlite::Error| database.problem(&error);
        let connection = Connection::open(&stage.file).map_err(failed)?;
        // What is staged is written again after a crash, so nothing needs to be durable here.
        connection
            .execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN")
            .map_err(failed)?;
        let names = quote_list(schema.fields().iter().map(|field| field.name()));
        // Without declared types, values stay as they are bound.
        connection.execute_batch(&format!("CREATE TABLE \"rows\" ({names})")).map_err(failed)?;
        let marks = vec!["?"; schema.fields().len()].join(", ");
        let insert = format!("INSERT INTO \"rows\" VALUES ({marks})");
        let mut statement = connection.prepare(&insert).map_err(failed)?;
        let mut rows = 0;
        while let Some(batch) = received.blocking_recv() {
            let batch = batch?;
            let mut columns = columns(&batch)?;
            for row in 0..batch.num_rows() {
                let values: Vec<_> =
                    columns.iter_mut().map(|column| column.value(row)).collect::<Result<_>>()?;
                statement.execute(params_from_iter(values)).map_err(failed)?;
            }
            rows += batch.num_rows() as u64;
        }
        drop(statement);
        connection.execute_batch("COMMIT").map_err(failed)?;
        if self.mode == Mode::Upsert {
            self.check_keys(&connection, database)?;
        }
        Ok(rows)
    }

    /// Rows without a key, or several with the same, have no place.
    fn check_keys(&self, connection: &Connection, database: &Database) -> Result<()> {
        let failed = |error: rusqlite::Error| database.problem(&error);
        let nulls: Vec<String> =
            self.key.iter().map(|column| format!("{} IS NULL", quote(column))).collect();
        let sql = format!("SELECT count(*) FROM \"rows\" WHERE {}", nulls.join(" OR "));
        let count: i64 = connection.query_row(&sql, [], |row| row.get(0)).map_err(failed)?;
        if count > 0 {
            return Err(key_is_null(&self.table, count));
        }
        let shown: Vec<String> =
            self.key.iter().map(|column| format!("CAST({} AS TEXT)", quote(column))).collect();
        let sql = format!(
            "SELECT {} FROM \"rows\" GROUP BY {} HAVING count(*) > 1 ORDER BY 1 \
             LIMIT {KEYS_SHOWN_MAX}",
            shown.join(" || ', ' || "),
            quote_list(&self.key)
        );
        let mut statement = connection.prepare(&sql).map_err(failed)?;
        let keys = statement.query_map([], |row| row.get(0)).map_err(failed)?;
        let keys: Vec<String> = keys.collect::<rusqlite::Result<_>>().map_err(failed)?;
        if keys.is_empty() { Ok(()) } else { Err(key_is_repeated(&self.table, &keys)) }
    }

    /// Statements that make staged rows part of the table.
    fn statements(&self, existing: &[String], schema: &SchemaRef) -> Result<Vec<String>> {
        let table = format!("main.{}", quote(&self.table));
        let mut statements = Vec::new();
        let mut names = Vec::new();
        for field in schema.fields() {
            // SQLite does not tell names by the case of ASCII letters.
            let is_there = existing.iter().any(|name| name.eq_ignore_ascii_case(field.name()));
            if is_there || existing.is_empty() {
                names.push(field.name());
                continue;
            }
            match self.schema_policy {
                SchemaPolicy::Discard => {}
                SchemaPolicy::Evolve => {
                    names.push(field.name());
                    let column = format!("{} {}", quote(field.name()), declaration(field));
                    statements.push(format!("ALTER TABLE {table} ADD COLUMN {column}"));
                }
                SchemaPolicy::Freeze => {
                    return Err(Problem::new(
                        &codes::SCHEMA_CHANGED,
                        format!("`{}` has no column `{}`", self.table, field.name()),
                    )
                    .arg("column", field.name())
                    .hint("leave it out with `select`, or allow it with `schema: evolve`"));
                }
            }
        }
        if existing.is_empty() {
            statements.push(self.create_sql(&table, schema));
        }
        if self.mode == Mode::Truncate {
            statements.push(format!("DELETE FROM {table}"));
        }
        let list = quote_list(&names);
        let conflict =
            if self.mode == Mode::Upsert { self.on_conflict(&names) } else { String::new() };
        // WHERE keeps ON CONFLICT from being read as the condition of a join.
        statements.push(format!(
            "INSERT INTO {table} ({list}) SELECT {list} FROM {STAGED} WHERE true{conflict}"
        ));
        Ok(statements)
    }

    fn create_sql(&self, table: &str, schema: &SchemaRef) -> String {
        let mut columns: Vec<String> = schema
            .fields()
            .iter()
            .map(|field| format!("{} {}", quote(field.name()), declaration(field)))
            .collect();
        if !self.key.is_empty() {
            columns.push(format!("PRIMARY KEY ({})", quote_list(&self.key)));
        }
        format!("CREATE TABLE {table} ({})", columns.join(", "))
    }

    fn on_conflict(&self, names: &[&String]) -> String {
        let key = quote_list(&self.key);
        let renewed: Vec<String> = names
            .iter()
            .filter(|name| !self.key.contains(name))
            .map(|name| format!("{0} = excluded.{0}", quote(name)))
            .collect();
        match renewed.is_empty() {
            true => format!(" ON CONFLICT ({key}) DO NOTHING"),
            false => format!(" ON CONFLICT ({key}) DO UPDATE SET {}", renewed.join(", ")),
        }
    }
}

struct SqlitePrepared {
    sink: SqliteSink,
    database: Database,
    request: SinkRequest,
    stage: Stage,
    schema: SchemaRef,
    rows: u64,
}

#[async_trait]
impl Prepared for SqlitePrepared {
    async fn commit(self: Box<Self>) -> Result<Committed> {
        blocking(move || self.copy_over()).await
    }

    async fn discard(self: Box<Self>) {}
}

impl SqlitePrepared {
    /// One transaction: the ledger row, the rows, and nothing if anything fails.
    fn copy_over(&self) -> Result<Committed> {
        let failed = |error: rusqlite::Error| self.database.problem(&error);
        let connection = self.database.open_to_write()?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
        let stage = self.stage.file.to_string_lossy();
        connection.execute("ATTACH DATABASE ?1 AS staged", [stage]).map_err(failed)?;
        connection.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
        // Dropped before COMMIT, the connection rolls back.
        let key = self.request.key.to_string();
        if let Some(rows) = find_commit(&connection, &key).map_err(failed)? {
            return Ok(self.sink.committed_rows(&self.database, rows, true));
        }
        connection.execute_batch(CREATE_LEDGER).map_err(failed)?;
        let committed = self.sink.committed_rows(&self.database, self.rows, false);
        let metadata = serde_json::Value::Object(self.request.metadata.clone()).to_string();
        let rows = i64::try_from(self.rows).unwrap_or(i64::MAX);
        let note = format!(
            "INSERT INTO main.{LEDGER} (app_id, target, rows, metadata) VALUES (?1, ?2, ?3, ?4)"
        );
        connection.execute(&note, (&key, &committed.target, rows, &metadata)).map_err(failed)?;
        let existing = self.existing_columns(&connection).map_err(failed)?;
        for statement in self.sink.statements(&existing, &self.schema)? {
            connection.execute_batch(&statement).map_err(|error| self.explain(&error))?;
        }
        stdx::durable::step(&format!("commit to {}", committed.target))
            .map_err(|error| io_problem(&committed.target, &error))?;
        connection.execute_batch("COMMIT").map_err(failed)?;
        Ok(committed)
    }

    fn existing_columns(&self, connection: &Connection) -> rusqlite::Result<Vec<String>> {
        let sql = "SELECT name FROM pragma_table_info(?1, 'main')";
        let mut statement = connection.prepare(sql)?;
        let names = statement.query_map([&self.sink.table], |row| row.get(0))?;
        names.collect()
    }

    fn explain(&self, error: &rusqlite::Error) -> Problem {
        if error.to_string().contains("ON CONFLICT clause does not match") {
            let (table, key) = (&self.sink.table, &self.sink.key);
            let names = stdx::text::list(key.iter().map(String::as_str));
            return Problem::new(
                &codes::SETTING_INVALID,
                format!("`{table}` has no unique index on {names}"),
            )
            .in_setting("/key")
            .hint(format!(
                "create unique index on {} ({})",
                quote(table),
                quote_list(key)
            ));
        }
        self.database.problem(error)
    }
}
