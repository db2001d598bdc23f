//! `postgres`: rows of a PostgreSQL table or query.

use super::cells::{ReadColumn, RowBatcher, read_schema};
use super::postgres_client::Session;
use super::postgres_cursor::{CursorKind, CursorType, cursor_type};
use super::postgres_decode::{Decoder, Plan, Wire};
use super::selection::{Cursor, Relation, Selection, Wanted, literal, quote};
use arrow::array::RecordBatch;
use async_trait::async_trait;
use contracts::source::Sample;
use contracts::{
    BatchStream, Batches, Context, Discovery, Example, Past, ReadRequest, Source, SourceModule,
};
use futures::stream::{self, StreamExt};
use futures::{FutureExt, TryStreamExt};
use model::run::{Input, Range};
use model::{DataType, Name, Problem, Result, codes};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio_postgres::CopyOutStream;
use tokio_postgres::types::Type;

const BATCH_ROWS: usize = 8192;
const BATCH_BYTES: usize = 8 * 1024 * 1024;
const PARTS_MAX: u32 = 32;
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Settings of `postgres`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A connection of type `postgres`.
    connection: Name,
    /// The table: `orders` or `sales.orders`, as the database spells it.
    #[serde(default)]
    table: Option<String>,
    /// One SELECT, instead of a table. It runs in a transaction that cannot write.
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
    /// Reads in several parts side by side, all of them as of the same instant.
    #[serde(default)]
    split: Option<Split>,
    /// Types of columns where the database's is not what you want: `decimal(p,s)`, `float` or
    /// `string`. A `numeric` without precision is read as `decimal(38,9)`; rows with more digits
    /// are rejected.
    #[serde(default)]
    types: BTreeMap<String, DataType>,
}

/// Reads in several parts side by side.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Split {
    /// A column whose range is cut into parts: a number, a date or a timestamp, best with an
    /// index. Without one, a table is cut by the pages it lies on.
    #[serde(default)]
    column: Option<String>,
    /// How many parts, each with a connection of its own.
    #[schemars(range(min = 2, max = 32))]
    parts: u32,
}

/// `postgres`.
pub struct Postgres;

impl SourceModule for Postgres {
    type Config = Config;
    const NAME: &'static str = "postgres";
    const SUMMARY: &'static str = "Read a PostgreSQL table or query, whole or only what is new.";
    const REJECTS: bool = true;
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "only orders that are new or have changed, from two connections",
            config: r#"{"connection": "erp", "table": "sales.orders",
                "cursor": {"column": "updated_at", "lag": "15m"},
                "split": {"column": "id", "parts": 2}}"#,
            inputs: &[],
            outputs: &[],
        },
        Example {
            title: "a query",
            config: r#"{"connection": "erp",
                "query": "select o.id, c.name from orders o join customers c using (customer_id)"}"#,
            inputs: &[],
            outputs: &[],
        },
    ];

    fn build(config: Config) -> Result<Box<dyn Source>> {
        let Config { connection, table, query, columns, condition, cursor, split, types } = config;
        let wanted = Wanted { table, query, columns, condition, cursor, types };
        let selection = Selection::new(wanted)?;
        if let Some(split) = &split {
            check_split(split, &selection)?;
        }
        Ok(Box::new(PostgresSource { connection, selection, split }))
    }
}

fn check_split(split: &Split, selection: &Selection) -> Result<()> {
    let invalid = |fact: &str, hint: &str| {
        Err(Problem::new(&codes::SETTING_INVALID, fact).in_setting("/split").hint(hint))
    };
    if !(2..=PARTS_MAX).contains(&split.parts) {
        return invalid("`split.parts` is not between 2 and 32", "two parts per core are enough");
    }
    if split.column.is_none() && matches!(selection.relation, Relation::Query(_)) {
        return invalid("a query cannot be split without a column", "add `column` to `split`");
    }
    Ok(())
}

struct PostgresSource {
    connection: Name,
    selection: Selection,
    split: Option<Split>,
}

/// What the database says about the relation.
struct Described {
    columns: Vec<ReadColumn>,
    wires: Vec<Wire>,
    /// The columns as they are asked for.
    select: String,
    /// Types of all columns of the relation, by name.
    types: BTreeMap<String, Type>,
    remarks: Vec<String>,
}

#[async_trait]
impl Source for PostgresSource {
    async fn discover(&self, context: &Context, past: &Past) -> Result<Discovery> {
        let session = Session::open(context, &self.connection).await?;
        session.execute(BEGIN).await?;
        let described = self.describe(&session).await?;
        let mut discovery = Discovery { remarks: described.remarks, ..Discovery::default() };
        let Some(cursor) = &self.selection.cursor else {
            discovery.inputs = vec![Input::Whole { sha256: self.definition_hash() }];
            discovery.is_new = true;
            return Ok(discovery);
        };
        let cursor_type = cursor_type(&described.types, &cursor.column)?;
        let last = self.selection.last_range(past);
        let nulls = self.count_nulls(&session, cursor).await?;
        discovery.remarks.extend(self.selection.cursor_remarks(nulls));
        if let Some(range) = self.next_range(&session, cursor, &cursor_type, last).await? {
            discovery.inputs = vec![Input::Range(range)];
            discovery.is_new = true;
        }
        Ok(discovery)
    }

    async fn read(&self, context: &Context, request: ReadRequest) -> Result<Batches> {
        let session = Session::open(context, &self.connection).await?;
        session.execute(BEGIN).await?;
        let described = self.describe(&session).await?;
        let schema = read_schema(&described.columns);
        if request.inputs.is_empty() {
            return Ok(Batches::empty(schema));
        }
        let range = request.inputs.iter().find_map(|input| match input {
            Input::Range(range) => Some(range),
            _ => None,
        });
        let parts = match (&self.split, request.sample) {
            (Some(split), None) => self.parts(&session, split, &described.types).await?,
            _ => vec![None],
        };
        let sessions = self.sessions_at_one_instant(context, session, parts.len()).await?;
        let mut partitions: Vec<BatchStream> = Vec::with_capacity(parts.len());
        let parts_count = parts.len();
        for (at, (part, session)) in parts.into_iter().zip(sessions).enumerate() {
            let sql = self.copy_sql(&described, range, part.as_deref(), request.sample)?;
            let file = match parts_count {
                1 => format!("{}.{}", self.connection, self.selection.label()),
                _ => format!("{}.{}[{}]", self.connection, self.selection.label(), at + 1),
            };
            let stream = session.copy_out(&sql).await?;
            let reading = Reading {
                stream: Box::pin(stream),
                decoder: Decoder::new(described.wires.clone()),
                rows: RowBatcher::new(&described.columns, file, Arc::clone(&request.rejects)),
                bytes: Arc::clone(&request.bytes),
                bytes_left: request.sample.map(|sample| sample.bytes),
                session,
                is_done: false,
            };
            partitions.push(stream::try_unfold(reading, Reading::step).boxed());
        }
        Ok(Batches::new(schema, partitions).sorted_by_origin())
    }
}

impl PostgresSource {
    async fn describe(&self, session: &Session) -> Result<Described> {
        // Prepared alone, a text that is more than one SELECT is a syntax error.
        let statement = session.prepare(&self.selection.base_query()).await?;
        let given = statement.columns();
        let names: Vec<String> = given.iter().map(|column| column.name().to_owned()).collect();
        let chosen = self.selection.choose(&names)?;
        let mut described = Described {
            columns: Vec::new(),
            wires: Vec::new(),
            select: String::new(),
            types: BTreeMap::new(),
            remarks: Vec::new(),
        };
        for column in given {
            described.types.insert(column.name().to_owned(), column.type_().clone());
        }
        let mut select = Vec::new();
        let mut without_zone = Vec::new();
        for at in chosen {
            let (column, name) = (&given[at], &names[at]);
            let plan = match self.selection.types.get(name) {
                Some(wanted) => Plan::chosen(column.type_(), name, wanted)?,
                None => Plan::new(column.type_(), column.type_modifier()),
            };
            if *column.type_() == Type::TIMESTAMP {
                without_zone.push(name.as_str());
            }
            select.push(format!("{}{}", quote(name), plan.cast));
            described.wires.push(plan.wire);
            described.columns.push(ReadColumn { name: name.clone(), data_type: plan.data_type });
        }
        described.select = select.join(", ");
        if !without_zone.is_empty() {
            described.remarks.push(format!(
                "{} of `{}` have no time zone and are read as UTC",
                stdx::text::list(without_zone),
                self.selection.label()
            ));
        }
        Ok(described)
    }

    /// A hash of what is read; its content cannot be known without reading it.
    fn definition_hash(&self) -> String {
        let definition = format!("{}\n{:?}", self.connection, self.selection);
        Sha256::digest(definition).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    async fn count_nulls(&self, session: &Session, cursor: &Cursor) -> Result<u64> {
        let conditions = self.conditions(vec![format!("{} IS NULL", quote(&cursor.column))]);
        let sql = format!("SELECT count(*) FROM {}{conditions}", self.selection.source_clause());
        let rows = session.query(&sql, &[]).await?;
        let count: i64 = rows.first().map(|row| row.get(0)).unwrap_or_default();
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// What lies above the last range, if anything does.
    async fn next_range(
        &self,
        session: &Session,
        cursor: &Cursor,
        cursor_type: &CursorType,
        last: Option<&Range>,
    ) -> Result<Option<Range>> {
        let column = quote(&cursor.column);
        let last_high = last.map(|range| cursor_type.literal(&range.high));
        let is_new = match &last_high {
            Some(high) => format!("max({column}) > {high}"),
            None => "true".to_owned(),
        };
        let from = self.selection.source_clause();
        let conditions = self.conditions(Vec::new());
        let sql = format!("SELECT max({column})::text, {is_new} FROM {from}{conditions}");
        let rows = session.query(&sql, &[]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let (high, is_new): (Option<String>, Option<bool>) = (row.get(0), row.get(1));
        let (Some(high), Some(true)) = (high, is_new) else { return Ok(None) };
        let low = match last_high {
            None => None,
            Some(high) => {
                let low = cursor_type.minus(&high, self.selection.lag)?;
                let rows = session.query(&format!("SELECT ({low})::text"), &[]).await?;
                let low: Option<String> = rows.first().and_then(|row| row.get(0));
                low.map(|low| cursor_type.value(low))
            }
        };
        let high = cursor_type.value(high);
        Ok(Some(Range { cursor: cursor.column.clone(), low, high }))
    }

    /// WHERE with the person's condition and others.
    fn conditions(&self, mut conditions: Vec<String>) -> String {
        if let Some(condition) = &self.selection.condition {
            conditions.insert(0, format!("({condition})"));
        }
        match conditions.is_empty() {
            true => String::new(),
            false => format!(" WHERE {}", conditions.join(" AND ")),
        }
    }

    fn copy_sql(
        &self,
        described: &Described,
        range: Option<&Range>,
        part: Option<&str>,
        sample: Option<Sample>,
    ) -> Result<String> {
        let mut conditions = Vec::new();
        if let Some(range) = range {
            let cursor_type = cursor_type(&described.types, &range.cursor)?;
            let column = quote(&range.cursor);
            if let Some(low) = &range.low {
                // Without lag, the last run has read its upper end.
                let above = if self.selection.lag.is_some() { ">=" } else { ">" };
                conditions.push(format!("{column} {above} {}", cursor_type.literal(low)));
            }
            conditions.push(format!("{column} <= {}", cursor_type.literal(&range.high)));
        }
        conditions.extend(part.map(str::to_owned));
        let conditions = self.conditions(conditions);
        let limit = match sample {
            Some(sample) => format!(" LIMIT {}", sample.rows),
            None => String::new(),
        };
        let (select, from) = (&described.select, self.selection.source_clause());
        Ok(format!(
            "COPY (SELECT {select} FROM {from}{conditions}{limit}) TO STDOUT (FORMAT binary)"
        ))
    }

    /// Conditions that cut the rows into parts; together they hold for every row once.
    async fn parts(
        &self,
        session: &Session,
        split: &Split,
        types: &BTreeMap<String, Type>,
    ) -> Result<Vec<Option<String>>> {
        let (key, bounds) = match &split.column {
            Some(column) => {
                let cursor_type = cursor_type(types, column)?;
                (quote(column), self.value_bounds(session, column, &cursor_type, split).await?)
            }
            None => ("ctid".to_owned(), self.page_bounds(session, split).await?),
        };
        let Some((first, last)) = bounds.first().zip(bounds.last()) else {
            return Ok(vec![None]);
        };
        let mut parts = vec![Some(format!("({key} < {first} OR {key} IS NULL)"))];
        for pair in bounds.windows(2) {
            parts.push(Some(format!("{key} >= {} AND {key} < {}", pair[0], pair[1])));
        }
        parts.push(Some(format!("{key} >= {last}")));
        Ok(parts)
    }

    /// Values at equal distances between the least and the greatest one.
    async fn value_bounds(
        &self,
        session: &Session,
        column: &str,
        cursor_type: &CursorType,
        split: &Split,
    ) -> Result<Vec<String>> {
        let (name, column) = (cursor_type.name, quote(column));
        let between = match cursor_type.kind {
            CursorKind::Whole => {
                format!("trunc(low + (high::numeric - low) * i / parts)::{name}")
            }
            CursorKind::Number => format!("(low + (high - low) * i / parts)::{name}"),
            CursorKind::Date => "low + ((high - low)::bigint * i / parts)::int".to_owned(),
            CursorKind::Instant => "low + (high - low) * (i::float8 / parts)".to_owned(),
            CursorKind::Text => {
                return Err(Problem::new(
                    &codes::TYPE_MISMATCH,
                    format!("{column} holds texts, whose range cannot be cut into parts"),
                )
                .hint("split by a number, a date or a timestamp"));
            }
        };
        let sql = format!(
            "SELECT DISTINCT ({between})::{name} AS bound FROM \
             (SELECT min({column}) AS low, max({column}) AS high FROM {}{}) AS ends, \
             (SELECT {}::int AS parts) AS wanted, generate_series(1, parts - 1) AS i \
             WHERE low < high ORDER BY bound",
            self.selection.source_clause(),
            self.conditions(Vec::new()),
            split.parts
        );
        let sql = format!("SELECT bound::text FROM ({sql}) AS bounds ORDER BY bounds.bound");
        let rows = session.query(&sql, &[]).await?;
        let bound = |row: &tokio_postgres::Row| {
            cursor_type.literal(&Value::String(row.get::<_, String>(0)))
        };
        Ok(rows.iter().map(bound).collect())
    }

    /// Page numbers at equal distances, as row addresses.
    async fn page_bounds(&self, session: &Session, split: &Split) -> Result<Vec<String>> {
        let sql = format!(
            "SELECT pg_relation_size({}::regclass) / current_setting('block_size')::bigint",
            literal(&self.selection.source_clause())
        );
        let rows = session.query(&sql, &[]).await?;
        let pages: i64 = rows.first().map(|row| row.get(0)).unwrap_or_default();
        let parts = i64::from(split.parts);
        let mut bounds: Vec<i64> = (1..parts).map(|part| pages * part / parts).collect();
        bounds.dedup();
        bounds.retain(|page| *page > 0);
        Ok(bounds.into_iter().map(|page| format!("'({page},0)'::tid")).collect())
    }

    /// As many sessions as parts, all of which see what the first one sees.
    async fn sessions_at_one_instant(
        &self,
        context: &Context,
        first: Session,
        count: usize,
    ) -> Result<Vec<Session>> {
        let mut sessions = vec![first];
        if count < 2 {
            return Ok(sessions);
        }
        let rows = sessions[0].query("SELECT pg_export_snapshot()", &[]).await?;
        let snapshot: String = rows.first().map(|row| row.get(0)).unwrap_or_default();
        for _ in 1..count {
            let session = Session::open(context, &self.connection).await?;
            let snapshot = literal(&snapshot);
            session.execute(&format!("{BEGIN}; SET TRANSACTION SNAPSHOT {snapshot}")).await?;
            sessions.push(session);
        }
        Ok(sessions)
    }
}

/// One part while it is read.
struct Reading {
    stream: Pin<Box<CopyOutStream>>,
    decoder: Decoder,
    rows: RowBatcher,
    bytes: Arc<AtomicU64>,
    /// How much of a sample is left.
    bytes_left: Option<u64>,
    session: Session,
    is_done: bool,
}

impl Reading {
    async fn step(mut self) -> Result<Option<(RecordBatch, Self)>> {
        while !self.is_done {
            let mut batch_bytes = 0;
            while self.rows.rows() < BATCH_ROWS && batch_bytes < BATCH_BYTES {
                // Most messages are here already: then no timer is needed.
                let message = match self.stream.try_next().now_or_never() {
                    Some(message) => message.map_err(|error| self.session.problem(&error))?,
                    None => self.session.within(self.stream.try_next()).await?,
                };
                let Some(message) = message else {
                    self.is_done = true;
                    break;
                };
                batch_bytes += message.len();
                self.decoder.decode(&message, &mut self.rows)?;
            }
            self.bytes.fetch_add(batch_bytes as u64, Ordering::Relaxed);
            if let Some(left) = &mut self.bytes_left {
                *left = left.saturating_sub(batch_bytes as u64);
                self.is_done |= *left == 0;
            }
            if let Some(batch) = self.rows.finish()? {
                return Ok(Some((batch, self)));
            }
        }
        Ok(None)
    }
}
