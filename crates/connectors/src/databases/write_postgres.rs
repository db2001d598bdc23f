//! `write_postgres`: rows into a PostgreSQL table, in one transaction with the run's ledger row.
//!
//! Rows are copied inside of a transaction that stays open until the commit, so nobody sees them
//! and a process that dies leaves nothing behind: they go straight into the table where they are
//! only added and the types agree, otherwise into a temporary table first.

use super::mode::{Mode, check_key, check_key_columns, key_is_null, key_is_repeated};
use super::postgres_client::{CommitAnswer, Session};
use super::postgres_encode::{Encoder, HEADER, Store, TRAILER};
use super::postgres_target::{Ledger, TargetTable, ask_ledger};
use super::selection::{quote, quote_list, quote_parts, table_parts};
use crate::storage::io_problem;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use bytes::Bytes;
use contracts::settings::OneOrMany;
use contracts::table::SchemaPolicy;
use contracts::{
    BatchStream, Batches, Context, Example, NamedInput, Prepared, Sink, SinkModule, SinkRequest,
    Target,
};
use futures::{SinkExt, TryStreamExt};
use model::run::Committed;
use model::{Name, Problem, Result, codes};
use schemars::JsonSchema;
use serde::Deserialize;
use std::pin::pin;
use std::sync::Arc;
use stdx::retry::Backoff;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

const COLUMNS_MAX: usize = 1600;
const NAME_BYTES_MAX: usize = 63;
const CHUNKS_QUEUED_MAX: usize = 16;
const STAGE: &str = "affluent_stage";
const KEYS_SHOWN_MAX: usize = 5;

/// Settings of `write_postgres`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A connection of type `postgres`.
    connection: Name,
    /// The table: `orders` or `sales.orders`. Created, with its schema, when it is not there.
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

/// `write_postgres`.
pub struct WritePostgres;

impl SinkModule for WritePostgres {
    type Config = Config;
    const NAME: &'static str = "write_postgres";
    const SUMMARY: &'static str = "Write rows to a PostgreSQL table, exactly once.";
    const EXAMPLES: &'static [Example] = &[Example {
        title: "one row per customer, renewed by each run",
        config: r#"{"connection": "warehouse", "table": "marts.customers", "mode": "upsert",
            "key": ["customer_id"]}"#,
        inputs: &[],
        outputs: &[],
    }];

    fn build(config: Config) -> Result<Box<dyn Sink>> {
        check_key(config.mode, config.key.as_slice())?;
        let table = table_parts(&config.table)?;
        Ok(Box::new(PostgresSink {
            connection: config.connection,
            table,
            mode: config.mode,
            key: config.key.into_vec(),
            schema_policy: config.schema,
        }))
    }
}

#[derive(Debug, Clone)]
struct PostgresSink {
    connection: Name,
    table: Vec<String>,
    mode: Mode,
    key: Vec<String>,
    schema_policy: SchemaPolicy,
}

#[async_trait]
impl Sink for PostgresSink {
    fn target(&self) -> Target {
        Target::Outside(self.target_name())
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
        let session = Session::open(context, &self.connection).await?;
        let ledger = Ledger::of(&session, &self.table).await?;
        let found = ledger.find(&session, &request.key.to_string()).await?;
        Ok(found.map(|rows| self.committed_rows(rows, true)))
    }

    async fn prepare(
        &self,
        context: &Context,
        request: SinkRequest,
        input: Batches,
    ) -> Result<Box<dyn Prepared>> {
        self.check_schema(&input.schema)?;
        let mode = if request.overwrite { Mode::Truncate } else { self.mode };
        let session = Session::open(context, &self.connection).await?;
        let ledger = Ledger::of(&session, &self.table).await?;
        ledger.create(&session).await?;
        let backend = session.backend().await?;
        session.execute("BEGIN").await?;
        let target = TargetTable::describe(&session, &self.table).await?;
        let load = self.plan(mode, &target, &input.schema)?;
        for statement in &load.before {
            session.execute(statement).await?;
        }
        let rows = copy_rows(&session, &load, input).await?;
        if mode == Mode::Upsert {
            self.check_keys(&session).await?;
        }
        Ok(Box::new(PostgresPrepared {
            sink: self.clone(),
            context: context.clone(),
            request,
            ledger,
            session,
            backend,
            rows,
            at_commit: load.at_commit,
        }))
    }
}

/// How rows get into the table.
struct Load {
    /// Statements before rows are copied.
    before: Vec<String>,
    /// Where rows are copied to, and how.
    copy: String,
    encoder: Arc<Encoder>,
    /// Columns of the input that are copied.
    projection: Vec<usize>,
    /// Statements that make rows part of the table, just before the commit.
    at_commit: Vec<String>,
}

impl PostgresSink {
    fn target_name(&self) -> String {
        format!("{}.{}", self.connection, self.table.join("."))
    }

    fn committed_rows(&self, rows: u64, already: bool) -> Committed {
        Committed { target: self.target_name(), rows, already, ..Committed::default() }
    }

    fn check_schema(&self, schema: &SchemaRef) -> Result<()> {
        let count = schema.fields().len();
        if count > COLUMNS_MAX {
            return Err(Problem::new(
                &codes::SETTING_INVALID,
                format!("{count} columns do not go into one PostgreSQL table"),
            )
            .arg("columns", count)
            .hint(
                "PostgreSQL takes 1600; choose fewer with `select`, or make rows of them with \
                   `unpivot`",
            ));
        }
        let long = schema.fields().iter().find(|field| field.name().len() > NAME_BYTES_MAX);
        if let Some(field) = long {
            return Err(Problem::new(
                &codes::NAME_INVALID,
                format!("`{}` is too long a name for PostgreSQL", field.name()),
            )
            .arg("column", field.name())
            .hint("give the column a name of at most 63 bytes with `select`"));
        }
        check_key_columns(&self.key, schema)
    }

    fn plan(&self, mode: Mode, target: &TargetTable, schema: &SchemaRef) -> Result<Load> {
        let all: Vec<usize> = (0..schema.fields().len()).collect();
        if !target.exists {
            let before = target.create_sql(&self.table, schema, &self.key);
            if mode == Mode::Upsert {
                return Ok(self.staged(mode, target, schema, all, before, Vec::new()));
            }
            let stores: Vec<Store> =
                schema.fields().iter().map(|field| Store::natural(field)).collect();
            return Ok(self.direct(schema, all, stores, before));
        }
        let (projection, added) = target.fit(&self.table, schema, self.schema_policy)?;
        if mode == Mode::Upsert {
            target.check_unique(&self.table, &self.key)?;
        }
        let direct: Option<Vec<Store>> = projection
            .iter()
            .map(|at| target.direct_store(schema.field(*at)))
            .collect::<Option<_>>();
        match direct {
            Some(stores) if mode == Mode::Append && added.is_empty() => {
                Ok(self.direct(schema, projection, stores, Vec::new()))
            }
            _ => Ok(self.staged(mode, target, schema, projection, Vec::new(), added)),
        }
    }

    /// Rows go straight into the table.
    fn direct(
        &self,
        schema: &SchemaRef,
        projection: Vec<usize>,
        stores: Vec<Store>,
        before: Vec<String>,
    ) -> Load {
        let columns = columns(schema, &projection, stores);
        Load {
            before,
            copy: copy_sql(&quote_parts(&self.table), &columns),
            encoder: Arc::new(Encoder::new(columns)),
            projection,
            at_commit: Vec::new(),
        }
    }

    /// Rows go into a temporary table first.
    fn staged(
        &self,
        mode: Mode,
        target: &TargetTable,
        schema: &SchemaRef,
        projection: Vec<usize>,
        mut before: Vec<String>,
        added: Vec<String>,
    ) -> Load {
        let stores: Vec<Store> =
            projection.iter().map(|at| Store::natural(schema.field(*at))).collect();
        let columns = columns(schema, &projection, stores);
        let definitions: Vec<String> = columns
            .iter()
            .map(|(name, store)| format!("{} {}", quote(name), store.sql()))
            .collect();
        let definitions = definitions.join(", ");
        before.push(format!("CREATE TEMP TABLE {STAGE} ({definitions}) ON COMMIT DROP"));
        let table = quote_parts(&self.table);
        let mut at_commit = added;
        if mode == Mode::Truncate {
            at_commit.push(format!("TRUNCATE {table}"));
        }
        let names = quote_list(columns.iter().map(|(name, _)| name));
        let values: Vec<String> =
            columns.iter().map(|(name, store)| target.cast(name, store)).collect();
        let conflict =
            if mode == Mode::Upsert { self.on_conflict(&columns) } else { String::new() };
        at_commit.push(format!(
            "INSERT INTO {table} ({names}) SELECT {} FROM pg_temp.{STAGE}{conflict}",
            values.join(", ")
        ));
        Load {
            before,
            copy: copy_sql(&format!("pg_temp.{STAGE}"), &columns),
            encoder: Arc::new(Encoder::new(columns)),
            projection,
            at_commit,
        }
    }

    fn on_conflict(&self, columns: &[(String, Store)]) -> String {
        let key = quote_list(&self.key);
        let renewed: Vec<String> = columns
            .iter()
            .filter(|(name, _)| !self.key.contains(name))
            .map(|(name, _)| format!("{0} = EXCLUDED.{0}", quote(name)))
            .collect();
        match renewed.is_empty() {
            true => format!(" ON CONFLICT ({key}) DO NOTHING"),
            false => format!(" ON CONFLICT ({key}) DO UPDATE SET {}", renewed.join(", ")),
        }
    }

    /// Rows without a key, or several with the same, have no place.
    async fn check_keys(&self, session: &Session) -> Result<()> {
        let nulls: Vec<String> =
            self.key.iter().map(|column| format!("{} IS NULL", quote(column))).collect();
        let sql = format!("SELECT count(*) FROM pg_temp.{STAGE} WHERE {}", nulls.join(" OR "));
        let rows = session.query(&sql, &[]).await?;
        let count: i64 = rows.first().map(|row| row.get(0)).unwrap_or_default();
        if count > 0 {
            return Err(key_is_null(&self.table.join("."), count));
        }
        let key = quote_list(&self.key);
        let sql = format!(
            "SELECT concat_ws(', ', {key}), count(*) FROM pg_temp.{STAGE} GROUP BY {key} \
             HAVING count(*) > 1 ORDER BY 1 LIMIT {KEYS_SHOWN_MAX}"
        );
        let rows = session.query(&sql, &[]).await?;
        if rows.is_empty() {
            return Ok(());
        }
        let keys: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        Err(key_is_repeated(&self.table.join("."), &keys))
    }
}

fn columns(schema: &SchemaRef, projection: &[usize], stores: Vec<Store>) -> Vec<(String, Store)> {
    let names = projection.iter().map(|at| schema.field(*at).name().clone());
    names.zip(stores).collect()
}

fn copy_sql(table: &str, columns: &[(String, Store)]) -> String {
    let names = quote_list(columns.iter().map(|(name, _)| name));
    format!("COPY {table} ({names}) FROM STDIN (FORMAT binary)")
}

/// Encodes all partitions side by side and sends them down one line. Gives the number of rows.
async fn copy_rows(session: &Session, load: &Load, input: Batches) -> Result<u64> {
    let mut sink = pin!(session.copy_in(&load.copy).await?);
    session.within(sink.send(Bytes::from_static(HEADER))).await?;
    let (chunks, mut encoded) = mpsc::channel(CHUNKS_QUEUED_MAX);
    let mut tasks = JoinSet::new();
    for partition in input.partitions {
        let (encoder, projection) = (Arc::clone(&load.encoder), load.projection.clone());
        tasks.spawn(encode_partition(partition, encoder, projection, chunks.clone()));
    }
    drop(chunks);
    while let Some(chunk) = encoded.recv().await {
        session.within(sink.send(chunk?)).await?;
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|error| {
            Problem::new(&codes::INTERNAL, "encoding rows for PostgreSQL broke off").detail(error)
        })?;
    }
    session.within(sink.send(Bytes::from_static(TRAILER))).await?;
    session.within(sink.as_mut().finish()).await
}

async fn encode_partition(
    mut partition: BatchStream,
    encoder: Arc<Encoder>,
    projection: Vec<usize>,
    chunks: mpsc::Sender<Result<Bytes>>,
) {
    loop {
        let encoded = match partition.try_next().await {
            Ok(None) => return,
            Ok(Some(batch)) => batch
                .project(&projection)
                .map_err(|error| {
                    Problem::new(&codes::INTERNAL, "a batch lacks a column").detail(error)
                })
                .and_then(|batch| encoder.encode(&batch)),
            Err(problem) => Err(problem),
        };
        match encoded {
            Ok(pieces) => {
                for piece in pieces {
                    if chunks.send(Ok(piece)).await.is_err() {
                        return;
                    }
                }
            }
            Err(problem) => {
                let _ = chunks.send(Err(problem)).await;
                return;
            }
        }
    }
}

struct PostgresPrepared {
    sink: PostgresSink,
    context: Context,
    request: SinkRequest,
    ledger: Ledger,
    session: Session,
    /// Which process of the server has the transaction.
    backend: i32,
    rows: u64,
    at_commit: Vec<String>,
}

#[async_trait]
impl Prepared for PostgresPrepared {
    async fn commit(self: Box<Self>) -> Result<Committed> {
        let key = self.request.key.to_string();
        let target = self.sink.target_name();
        let metadata = &self.request.metadata;
        let is_first =
            self.ledger.insert(&self.session, &key, &target, self.rows, metadata).await?;
        if !is_first {
            self.session.execute("ROLLBACK").await?;
            let rows = self.ledger.find(&self.session, &key).await?.unwrap_or(self.rows);
            return Ok(self.sink.committed_rows(rows, true));
        }
        for statement in &self.at_commit {
            self.session.execute(statement).await?;
        }
        let answer = match stdx::durable::step(&format!("commit to {target}")) {
            Ok(()) => self.session.commit().await,
            Err(error) => CommitAnswer::Unknown(io_problem(&target, &error)),
        };
        match answer {
            CommitAnswer::Done => Ok(self.sink.committed_rows(self.rows, false)),
            CommitAnswer::Refused(problem) => Err(problem),
            CommitAnswer::Unknown(problem) => self.find_out(problem).await,
        }
    }

    async fn discard(self: Box<Self>) {
        // Closing the line would do as well; this only frees locks a moment sooner.
        if let Err(problem) = self.session.execute("ROLLBACK").await {
            tracing::debug!(%problem, "a transaction was not rolled back by request");
        }
    }
}

impl PostgresPrepared {
    /// The answer to the commit was lost: what does the ledger say?
    async fn find_out(self, lost: Problem) -> Result<Committed> {
        let Self { sink, context, request, ledger, session, backend, rows, .. } = self;
        drop(session);
        let key = request.key.to_string();
        let backoff = Backoff::default();
        let mut random = stdx::hash::Random::new(stdx::hash::stable_hash(key.as_bytes()));
        let mut last = lost;
        for attempt in 1..=backoff.attempts_max {
            match ask_ledger(&context, &sink.connection, &ledger, &key, backend).await {
                Ok(Some(_)) => return Ok(sink.committed_rows(rows, false)),
                Ok(None) => {
                    return Err(Problem::new(
                        &codes::CONNECTION_FAILED,
                        "the connection was lost during the commit, and nothing was written",
                    )
                    .arg("target", sink.target_name())
                    .detail(last)
                    .hint("run it again"));
                }
                Err(problem) => last = problem,
            }
            tokio::time::sleep(backoff.wait(attempt, &mut random)).await;
        }
        Err(Problem::new(
            &codes::COMMIT_UNKNOWN,
            format!("it is not known whether `{}` has the rows", sink.target_name()),
        )
        .arg("target", sink.target_name())
        .detail(last)
        .hint(
            "run it again when the server can be reached: it asks the ledger first, and rows \
               that are there are not written twice",
        ))
    }
}
