//! Reads rows of a SQLite database.

use super::cells::{ReadColumn, RowBatcher, read_schema};
use super::selection::{Cursor, LagBy, Selection, quote, quote_list};
use super::sqlite_client::Database;
use super::sqlite_values::{append, declared_type, earlier, shown, widen};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use contracts::source::Sample;
use contracts::{Batches, Discovery, Past, ReadRequest, RejectSink};
use futures::StreamExt;
use model::run::{Input, Range};
use model::{DataType, Problem, Result, codes};
use rusqlite::types::{Value as Stored, ValueRef};
use rusqlite::{Connection, params_from_iter};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;
use tokio::sync::{mpsc, oneshot};

const BATCH_ROWS: usize = 8192;
const BATCH_BYTES: usize = 8 * 1024 * 1024;
const BATCHES_QUEUED_MAX: usize = 2;
/// Columns without a declared type are known by this many rows.
const LOOK_ROWS: usize = 1000;

fn broke_off() -> Problem {
    Problem::new(&codes::INTERNAL, "the reader of a SQLite file broke off")
}

/// Where a reader puts what it finds.
struct Output {
    schema: Option<oneshot::Sender<Result<SchemaRef>>>,
    batches: mpsc::Sender<Result<RecordBatch>>,
}

/// Reads what is selected from a database.
pub(super) struct Reader {
    pub(super) database: Database,
    pub(super) selection: Arc<Selection>,
}

impl Reader {
    /// The rows, read by a thread of its own, because it waits for whoever takes them.
    pub(super) async fn read(self, request: ReadRequest) -> Result<Batches> {
        let (batches, received) = mpsc::channel(BATCHES_QUEUED_MAX);
        let (schema, known) = oneshot::channel();
        let output = Output { schema: Some(schema), batches };
        let thread = std::thread::Builder::new().name("sqlite-reader".to_owned());
        let work = move || self.run_to_the_end(&request, output);
        thread.spawn(work).map_err(|error| {
            Problem::new(&codes::INTERNAL, "a reader of SQLite cannot start").detail(error)
        })?;
        let schema = known.await.map_err(|_| broke_off())??;
        let stream = futures::stream::unfold(received, |mut received| async move {
            received.recv().await.map(|batch| (batch, received))
        });
        Ok(Batches::new(schema, vec![stream.boxed()]).sorted_by_origin())
    }

    /// What there is to read.
    pub(super) fn discover(&self, past: &Past) -> Result<Discovery> {
        let connection = self.open()?;
        let columns = self.columns(&connection)?;
        let mut discovery = Discovery::default();
        let zoneless: Vec<&str> = columns
            .iter()
            .filter(|column| column.data_type == DataType::Timestamp)
            .map(|column| column.name.as_str())
            .collect();
        if !zoneless.is_empty() {
            discovery.remarks.push(format!(
                "{} of `{}` are read as UTC where they have no time zone",
                stdx::text::list(zoneless),
                self.selection.label()
            ));
        }
        let Some(cursor) = &self.selection.cursor else {
            discovery.inputs = vec![Input::Whole { sha256: self.fingerprint(&connection)? }];
            discovery.is_new = past.full || past.latest != discovery.inputs;
            return Ok(discovery);
        };
        let nulls = self.count_nulls(&connection, cursor)?;
        discovery.remarks.extend(self.selection.cursor_remarks(nulls));
        if let Some(range) = self.next_range(&connection, cursor, past)? {
            discovery.inputs = vec![Input::Range(range)];
            discovery.is_new = true;
        }
        Ok(discovery)
    }

    /// One transaction, so that everything is of the same instant.
    fn open(&self) -> Result<Connection> {
        let connection = self.database.open_to_read()?;
        connection.execute_batch("BEGIN").map_err(|error| self.problem(&error))?;
        Ok(connection)
    }

    fn problem(&self, error: &rusqlite::Error) -> Problem {
        self.database.problem(error)
    }

    /// The chosen columns. Those without a declared type have the type of their first values.
    fn columns(&self, connection: &Connection) -> Result<Vec<ReadColumn>> {
        // Prepared alone, a text that is more than one SELECT is an error.
        let statement = connection
            .prepare(&self.selection.base_query())
            .map_err(|error| self.problem(&error))?;
        if !statement.readonly() {
            return Err(Problem::new(&codes::SQL_REFUSED, "the query tries to change something")
                .hint("a source only reads"));
        }
        let given = statement.columns();
        let names: Vec<String> = given.iter().map(|column| column.name().to_owned()).collect();
        let mut columns = Vec::new();
        let mut unknown = Vec::new();
        for at in self.selection.choose(&names)? {
            let name = names[at].clone();
            let data_type = match self.selection.types.get(&name) {
                Some(wanted) => Some(checked_type(&name, wanted)?),
                None => declared_type(given[at].decl_type()),
            };
            if data_type.is_none() {
                unknown.push(columns.len());
            }
            columns.push(ReadColumn { name, data_type: data_type.unwrap_or(DataType::String) });
        }
        self.look(connection, &mut columns, &unknown)?;
        Ok(columns)
    }

    /// Finds types by looking at the first rows.
    fn look(
        &self,
        connection: &Connection,
        columns: &mut [ReadColumn],
        unknown: &[usize],
    ) -> Result<()> {
        if unknown.is_empty() {
            return Ok(());
        }
        let failed = |error: rusqlite::Error| self.problem(&error);
        let names = quote_list(unknown.iter().map(|at| columns[*at].name.as_str()));
        let (from, conditions) = (self.selection.source_clause(), self.conditions(&[]));
        let sql = format!("SELECT {names} FROM {from}{conditions} LIMIT {LOOK_ROWS}");
        let mut statement = connection.prepare(&sql).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        let mut found: Vec<Option<DataType>> = vec![None; unknown.len()];
        while let Some(row) = rows.next().map_err(failed)? {
            for (at, data_type) in found.iter_mut().enumerate() {
                *data_type = widen(data_type.take(), row.get_ref(at).map_err(failed)?);
            }
        }
        for (at, data_type) in unknown.iter().zip(found) {
            columns[*at].data_type = data_type.unwrap_or(DataType::String);
        }
        Ok(())
    }

    /// WHERE with the person's condition and others.
    fn conditions(&self, others: &[String]) -> String {
        let own = self.selection.condition.as_ref().map(|condition| format!("({condition})"));
        let conditions: Vec<String> = own.into_iter().chain(others.iter().cloned()).collect();
        match conditions.is_empty() {
            true => String::new(),
            false => format!(" WHERE {}", conditions.join(" AND ")),
        }
    }

    /// Changes whenever the file may have changed: sizes, times and the schema's version.
    fn fingerprint(&self, connection: &Connection) -> Result<String> {
        let version: i64 = connection
            .query_row("PRAGMA schema_version", [], |row| row.get(0))
            .map_err(|error| self.problem(&error))?;
        let mut hasher = Sha256::new();
        hasher.update(format!("{:?}\n{version}\n", self.selection));
        let mut journal = self.database.file.clone().into_os_string();
        journal.push("-wal");
        for file in [self.database.file.as_path(), Path::new(&journal)] {
            let Ok(metadata) = file.metadata() else { continue };
            let modified =
                metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
            let modified = modified.map(|since| since.as_nanos()).unwrap_or_default();
            // Readers may leave an empty journal behind.
            if metadata.len() > 0 {
                hasher.update(format!("{} {modified}\n", metadata.len()));
            }
        }
        Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    fn count_nulls(&self, connection: &Connection, cursor: &Cursor) -> Result<u64> {
        let conditions = self.conditions(&[format!("{} IS NULL", quote(&cursor.column))]);
        let sql = format!("SELECT count(*) FROM {}{conditions}", self.selection.source_clause());
        let count: i64 = connection
            .query_row(&sql, [], |row| row.get(0))
            .map_err(|error| self.problem(&error))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// What lies above the last range, if anything does.
    fn next_range(
        &self,
        connection: &Connection,
        cursor: &Cursor,
        past: &Past,
    ) -> Result<Option<Range>> {
        let last = self.selection.last_range(past).map(|range| &range.high);
        let column = quote(&cursor.column);
        let mut conditions = vec![format!("{column} IS NOT NULL")];
        if last.is_some() {
            conditions.push(format!("{column} > ?1"));
        }
        let sql = format!(
            "SELECT max({column}) FROM {}{}",
            self.selection.source_clause(),
            self.conditions(&conditions)
        );
        let params: Vec<Stored> = last.map(stored).into_iter().collect();
        let high: Stored = connection
            .query_row(&sql, params_from_iter(params), |row| row.get(0))
            .map_err(|error| self.problem(&error))?;
        let high = match high {
            Stored::Null => return Ok(None),
            Stored::Integer(number) => Value::from(number),
            Stored::Real(number) => Value::from(number),
            Stored::Text(text) => Value::from(text),
            Stored::Blob(_) => return Err(odd_cursor(&cursor.column)),
        };
        let low = last.map(|last| minus(&cursor.column, last, self.selection.lag)).transpose()?;
        Ok(Some(Range { cursor: cursor.column.clone(), low, high }))
    }

    /// Runs; a panic is a problem too, or it would pass for the end of the rows.
    fn run_to_the_end(&self, request: &ReadRequest, output: Output) {
        let batches = output.batches.clone();
        let run = AssertUnwindSafe(|| self.run(request, output));
        if catch_unwind(run).is_err() {
            drop(batches.blocking_send(Err(broke_off())));
        }
    }

    /// Sends the schema, then batch after batch. Whoever stops listening stops the work.
    fn run(&self, request: &ReadRequest, mut output: Output) {
        if let Err(problem) = self.send_rows(request, &mut output) {
            match output.schema.take() {
                Some(schema) => drop(schema.send(Err(problem))),
                None => drop(output.batches.blocking_send(Err(problem))),
            }
        }
    }

    fn send_rows(&self, request: &ReadRequest, output: &mut Output) -> Result<()> {
        let connection = self.open()?;
        let columns = self.columns(&connection)?;
        if let Some(schema) = output.schema.take() {
            let _ = schema.send(Ok(read_schema(&columns)));
        }
        if request.inputs.is_empty() {
            return Ok(());
        }
        let failed = |error: rusqlite::Error| self.problem(&error);
        let (sql, params) = self.select(&columns, &request.inputs, request.sample);
        let mut statement = connection.prepare(&sql).map_err(failed)?;
        let mut rows = statement.query(params_from_iter(params)).map_err(failed)?;
        let file = format!("{}.{}", self.database.label, self.selection.label());
        let rejects: Arc<dyn RejectSink> = Arc::clone(&request.rejects);
        let mut batcher = RowBatcher::new(&columns, file, rejects);
        let mut progress = Progress::new(request);
        while let Some(row) = rows.next().map_err(failed)? {
            for (at, column) in columns.iter().enumerate() {
                let value = row.get_ref(at).map_err(failed)?;
                progress.add(value);
                if let Err(reason) = append(batcher.cells(at), &column.data_type, value) {
                    batcher.fail(at, Some(shown(value)), reason);
                }
            }
            batcher.end_row();
            if batcher.rows() >= BATCH_ROWS || progress.batch_bytes >= BATCH_BYTES {
                if let Some(batch) = batcher.finish()?
                    && output.batches.blocking_send(Ok(batch)).is_err()
                {
                    return Ok(());
                }
                if progress.end_batch() {
                    return Ok(());
                }
            }
        }
        if let Some(batch) = batcher.finish()? {
            let _ = output.batches.blocking_send(Ok(batch));
        }
        progress.end_batch();
        Ok(())
    }

    fn select(
        &self,
        columns: &[ReadColumn],
        inputs: &[Input],
        sample: Option<Sample>,
    ) -> (String, Vec<Stored>) {
        let mut conditions = Vec::new();
        let mut params = Vec::new();
        for input in inputs {
            let Input::Range(range) = input else { continue };
            let column = quote(&range.cursor);
            params.push(stored(&range.high));
            conditions.push(format!("{column} <= ?{}", params.len()));
            if let Some(low) = &range.low {
                // Without lag, the last run has read its upper end.
                let above = if self.selection.lag.is_some() { ">=" } else { ">" };
                params.push(stored(low));
                conditions.push(format!("{column} {above} ?{}", params.len()));
            }
        }
        let names = quote_list(columns.iter().map(|column| column.name.as_str()));
        let limit = match sample {
            Some(sample) => format!(" LIMIT {}", sample.rows),
            None => String::new(),
        };
        let (from, conditions) = (self.selection.source_clause(), self.conditions(&conditions));
        (format!("SELECT {names} FROM {from}{conditions}{limit}"), params)
    }
}

/// Bytes read so far.
struct Progress {
    total: Arc<AtomicU64>,
    batch_bytes: usize,
    /// How much of a sample is left.
    left: Option<u64>,
}

impl Progress {
    fn new(request: &ReadRequest) -> Self {
        let left = request.sample.map(|sample| sample.bytes);
        Self { total: Arc::clone(&request.bytes), batch_bytes: 0, left }
    }

    fn add(&mut self, value: ValueRef<'_>) {
        self.batch_bytes += match value {
            ValueRef::Null => 0,
            ValueRef::Integer(_) | ValueRef::Real(_) => 8,
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len(),
        };
    }

    /// Whether a sample is complete.
    fn end_batch(&mut self) -> bool {
        let bytes = std::mem::take(&mut self.batch_bytes) as u64;
        self.total.fetch_add(bytes, Ordering::Relaxed);
        self.left = self.left.map(|left| left.saturating_sub(bytes));
        self.left == Some(0)
    }
}

/// Types that a value of SQLite can become.
fn checked_type(name: &str, wanted: &DataType) -> Result<DataType> {
    match wanted {
        DataType::List(_) | DataType::Struct(_) | DataType::Geometry => Err(Problem::new(
            &codes::TYPE_MISMATCH,
            format!("`{name}` cannot be read as `{wanted}`"),
        )
        .arg("column", name)
        .hint("read it as `json` or `binary`, and go on with `json_extract` or `cast`")),
        other => Ok(other.clone()),
    }
}

fn odd_cursor(column: &str) -> Problem {
    Problem::new(
        &codes::TYPE_MISMATCH,
        format!("`{column}` holds bytes, which have no order that a run could follow"),
    )
    .arg("column", column)
    .hint("choose a column with numbers, dates or timestamps")
}

/// A cursor value of a run record as SQLite has it.
fn stored(value: &Value) -> Stored {
    match value {
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Stored::Integer(whole),
            None => number.as_f64().map_or(Stored::Null, Stored::Real),
        },
        Value::String(text) => Stored::Text(text.clone()),
        other => Stored::Text(other.to_string()),
    }
}

/// `value` minus `lag`.
fn minus(column: &str, value: &Value, lag: Option<LagBy>) -> Result<Value> {
    let lower = match (lag, value) {
        (None, _) => Some(value.clone()),
        (Some(LagBy::Number(by)), Value::Number(number)) => match number.as_i64() {
            Some(whole) => Some(Value::from(whole.saturating_sub(by))),
            None => number.as_f64().map(|real| Value::from(real - by as f64)),
        },
        (Some(LagBy::Seconds(by)), Value::String(text)) => earlier(text, by).map(Value::from),
        _ => None,
    };
    lower.ok_or_else(|| {
        Problem::new(
            &codes::SETTING_INVALID,
            format!("the lag does not fit the values of `{column}`"),
        )
        .in_setting("/cursor/lag")
        .hint("numbers take a number; dates and timestamps as ISO texts a duration such as `15m`")
    })
}
