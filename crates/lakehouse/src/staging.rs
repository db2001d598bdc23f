//! Rows on their way into a merge: kept as Parquet where no reader looks, checked for their keys.

use crate::constraints::Constraints;
use crate::durable_store::STAGING;
use crate::errors::{from_arrow, from_datafusion};
use crate::lake::Inner;
use crate::prepare::{Shaped, unknown_column};
use crate::provider::LakeTable;
use crate::schema::{Shape, batch_of};
use crate::sql::{self, DELETED, ROW_ID, quoted};
use crate::writer::{self, Target, Written};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::array::{TimestampMicrosecondArray, new_null_array};
use arrow::compute::{filter_record_batch, not, prep_null_mask_filter};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use contracts::arrow_types::UTC;
use contracts::table::{IS_CURRENT, SINCE, TableWrite, VALID_FROM, VALID_TO, WriteMode};
use contracts::{BatchStream, Batches};
use datafusion::prelude::SessionContext;
use futures::{StreamExt, TryStreamExt};
use model::{Problem, Result, TableName, codes};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Keys named in a problem.
const KEYS_MAX: usize = 5;

/// Staged rows: the table's columns, [`DELETED`] and [`ROW_ID`].
pub(crate) struct Staged {
    pub(crate) target: Target,
    pub(crate) files: Vec<Written>,
    pub(crate) rows: u64,
    /// What the rows took in memory.
    pub(crate) bytes: u64,
}

impl Staged {
    /// The rows as a table for queries.
    pub(crate) fn provider(&self, lake: &Inner) -> Result<LakeTable> {
        LakeTable::of_files(&lake.root, &self.target, &self.files)
    }

    /// A place beside these rows for what is worked out from them.
    pub(crate) fn beside(&self, schema: &SchemaRef) -> Target {
        Target { schema: Arc::clone(schema), ..self.target.clone() }
    }
}

/// The columns of a merge as its settings name them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keys {
    pub(crate) key: Vec<String>,
    pub(crate) delete_flag: Option<String>,
    /// The instant from which new versions hold; none for a plain merge.
    pub(crate) valid_from_us: Option<i64>,
    /// Whether each row says since when it holds: a history is rebuilt.
    pub(crate) is_rebuilt: bool,
}

impl Keys {
    /// Checks the settings against the incoming columns.
    pub(crate) fn new(write: &TableWrite, incoming: &Schema) -> Result<Self> {
        let keys = match &write.mode {
            WriteMode::Merge { key, delete_flag } => {
                Self { key: key.clone(), delete_flag: delete_flag.clone(), ..Self::default() }
            }
            WriteMode::Scd2 { key, valid_from_us, .. } => {
                Self { key: key.clone(), valid_from_us: Some(*valid_from_us), ..Self::default() }
            }
            _ => Self::default(),
        };
        let is_rebuilt = write.rebuild && keys.valid_from_us.is_some();
        let keys = Self { is_rebuilt, ..keys };
        keys.check(&write.table, incoming)?;
        Ok(keys)
    }

    fn check(&self, table: &TableName, incoming: &Schema) -> Result<()> {
        if self.key.is_empty() {
            return Err(Problem::new(
                &codes::SETTING_INVALID,
                format!("rows of `{table}` cannot be told apart without a key"),
            )
            .hint("name the columns that identify a row in `key`"));
        }
        for column in &self.key {
            let field = incoming
                .field_with_name(column)
                .map_err(|_| unknown_column(table, incoming, "key", column))?;
            if field.data_type().is_nested() {
                return Err(Problem::new(
                    &codes::TYPE_MISMATCH,
                    format!("`{column}` is a list or struct and cannot be a key of `{table}`"),
                )
                .arg("column", column)
                .hint("choose columns with single values"));
            }
        }
        if let Some(flag) = &self.delete_flag {
            let field = incoming
                .field_with_name(flag)
                .map_err(|_| unknown_column(table, incoming, "delete_flag", flag))?;
            if field.data_type() != &DataType::Boolean || self.key.contains(flag) {
                return Err(Problem::new(
                    &codes::TYPE_MISMATCH,
                    format!("`{flag}` cannot say which rows of `{table}` are deleted"),
                )
                .arg("column", flag)
                .hint("`delete_flag` names a boolean column that is not part of the key"));
            }
        }
        let reserved = [VALID_FROM, VALID_TO, IS_CURRENT];
        let taken = reserved.iter().find(|name| incoming.index_of(name).is_ok());
        match taken {
            Some(taken) if self.valid_from_us.is_some() => Err(Problem::new(
                &codes::NAME_TAKEN,
                format!("the column `{taken}` is kept by the history of `{table}` itself"),
            )
            .arg("column", taken)
            .hint("rename or drop the incoming column")),
            _ => Ok(()),
        }
    }

    /// The incoming columns that are stored, and those that a history adds.
    pub(crate) fn stored_columns(&self, incoming: &Schema) -> Schema {
        let is_stored = |field: &&Arc<Field>| {
            let is_flag = self.delete_flag.as_ref() == Some(field.name());
            let is_since = self.is_rebuilt && field.name() == SINCE;
            !is_flag && !is_since
        };
        let mut fields: Vec<Field> =
            incoming.fields().iter().filter(is_stored).map(|f| f.as_ref().clone()).collect();
        if self.valid_from_us.is_some() {
            let instant = contracts::arrow_types::timestamp();
            fields.push(Field::new(VALID_FROM, instant.clone(), true));
            fields.push(Field::new(VALID_TO, instant, true));
            fields.push(Field::new(IS_CURRENT, DataType::Boolean, true));
        }
        Schema::new(fields)
    }
}

/// Writes the rows to the staging folder and checks their keys.
pub(crate) async fn stage(
    lake: &Inner,
    write: &TableWrite,
    shaped: &Shaped,
    keys: &Keys,
    input: Batches,
) -> Result<Staged> {
    let constraints =
        Constraints::compile(&lake.runtime, &write.table, &shaped.schema, &shaped.constraints)?;
    let mut fields: Vec<_> = shaped.schema.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(DELETED, DataType::Boolean, true)));
    fields.push(Arc::new(Field::new(ROW_ID, DataType::Int64, true)));
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let stager = Arc::new(Stager {
        table: write.table.clone(),
        shape: Shape::new(&input.schema, Arc::clone(&shaped.schema)),
        flag: keys.delete_flag.as_ref().and_then(|flag| input.schema.index_of(flag).ok()),
        since: input.schema.index_of(SINCE).ok().filter(|_| keys.is_rebuilt),
        keys: keys.clone(),
        constraints,
        schema: Arc::clone(&schema),
        next_row: AtomicI64::new(0),
        bytes: AtomicU64::new(0),
    });
    let partitions = input.partitions.into_iter().map(|rows| staged(&stager, rows)).collect();
    let rows = crate::balance::balance(Batches::new(schema, partitions), lake.threads).await?;
    let hash = stdx::hash::stable_hash(write.key.to_string().as_bytes());
    let target = Target {
        store: Arc::clone(&lake.root.store),
        folder: lake.root.table_folder(&write.table),
        below: format!("{STAGING}/{hash:016x}"),
        group_bytes: writer::group_bytes(lake.runtime.memory_bytes()),
        schema: Arc::clone(&rows.schema),
        partition_by: Vec::new(),
    };
    let files = writer::write(target.clone(), rows).await?;
    let rows = files.iter().map(|file| file.rows).sum();
    let staged = Staged { target, files, rows, bytes: stager.bytes.load(Ordering::Relaxed) };
    let mut unique = keys.key.clone();
    if keys.is_rebuilt {
        unique.push(VALID_FROM.to_owned());
    }
    if let Err(problem) = check_repeated(lake, &write.table, &staged, &unique).await {
        writer::delete(&staged.target, &staged.files).await;
        return Err(problem);
    }
    Ok(staged)
}

fn staged(stager: &Arc<Stager>, rows: BatchStream) -> BatchStream {
    let stager = Arc::clone(stager);
    rows.and_then(move |batch| std::future::ready(stager.apply(&batch))).boxed()
}

/// Brings batches into the staged form.
struct Stager {
    table: TableName,
    shape: Shape,
    flag: Option<usize>,
    since: Option<usize>,
    keys: Keys,
    constraints: Constraints,
    schema: SchemaRef,
    next_row: AtomicI64,
    bytes: AtomicU64,
}

impl Stager {
    fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let since = self.since.map(|since| batch.column(since));
        let shaped = self.with_validity(self.shape.apply(batch)?, since)?;
        let deleted = match self.flag {
            Some(flag) => match batch.column(flag).as_boolean() {
                flags if flags.null_count() > 0 => prep_null_mask_filter(flags),
                flags => flags.clone(),
            },
            None => BooleanArray::from(vec![false; batch.num_rows()]),
        };
        self.check_keys(&shaped)?;
        let kept = not(&deleted)
            .and_then(|kept| filter_record_batch(&shaped, &kept))
            .map_err(|error| from_arrow(&error))?;
        self.constraints.check(&kept)?;
        let count = i64::try_from(batch.num_rows()).unwrap_or_default();
        let first = self.next_row.fetch_add(count, Ordering::Relaxed);
        let mut columns: Vec<ArrayRef> = shaped.columns().to_vec();
        columns.push(Arc::new(deleted));
        columns.push(Arc::new(Int64Array::from_iter_values(first..first + count)));
        let bytes = u64::try_from(shaped.get_array_memory_size()).unwrap_or_default();
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        batch_of(&self.schema, columns, batch.num_rows())
    }

    fn with_validity(&self, batch: RecordBatch, since: Option<&ArrayRef>) -> Result<RecordBatch> {
        let Some(valid_from_us) = self.keys.valid_from_us else { return Ok(batch) };
        let rows = batch.num_rows();
        let schema = batch.schema();
        let columns: Vec<ArrayRef> = schema
            .fields()
            .iter()
            .zip(batch.columns())
            .map(|(field, column)| -> ArrayRef {
                match field.name().as_str() {
                    VALID_FROM if since.is_some() => since.map_or(Arc::clone(column), Arc::clone),
                    VALID_FROM => {
                        let from = TimestampMicrosecondArray::from(vec![valid_from_us; rows]);
                        Arc::new(from.with_timezone(UTC))
                    }
                    VALID_TO => new_null_array(field.data_type(), rows),
                    IS_CURRENT => Arc::new(BooleanArray::from(vec![true; rows])),
                    _ => Arc::clone(column),
                }
            })
            .collect();
        batch_of(&schema, columns, rows)
    }

    fn check_keys(&self, batch: &RecordBatch) -> Result<()> {
        for name in &self.keys.key {
            let column = batch.column_by_name(name);
            let nulls = column.map_or(0, |column| column.null_count());
            if nulls > 0 {
                return Err(Problem::new(
                    &codes::CONSTRAINT_VIOLATED,
                    format!("{nulls} or more rows for `{}` have no `{name}`", self.table),
                )
                .arg("column", name)
                .arg("table", &self.table)
                .hint("a key column is never null: send such rows to rejects with `validate`"));
            }
        }
        Ok(())
    }
}

/// Two source rows for one key are refused: which one holds would be left to chance.
async fn check_repeated(
    lake: &Inner,
    table: &TableName,
    staged: &Staged,
    key: &[String],
) -> Result<()> {
    if staged.rows < 2 {
        return Ok(());
    }
    let session = sql::session(lake, staged.bytes);
    sql::register(&session, "s", staged.provider(lake)?)?;
    let columns = key.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ");
    let repeated = format!(
        "SELECT {columns}, count(*) AS times FROM s GROUP BY {columns} HAVING count(*) > 1 \
         LIMIT {KEYS_MAX}"
    );
    let found = collect(&session, &repeated).await?;
    let shown: Vec<String> = found.iter().flat_map(key_texts).collect();
    if shown.is_empty() {
        return Ok(());
    }
    let by = stdx::text::list(key.iter().map(String::as_str));
    Err(Problem::new(
        &codes::MERGE_KEY_REPEATED,
        format!("several rows for `{table}` have the same {by}: {}", shown.join(", ")),
    )
    .arg("table", table)
    .arg("keys", shown.join(", "))
    .hint("keep one row per key before the sink, with `deduplicate`"))
}

fn key_texts(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::new().with_null("null");
    let formatters: Vec<_> =
        batch.columns().iter().filter_map(|c| ArrayFormatter::try_new(c, &options).ok()).collect();
    let row = |row: usize| {
        let values: Vec<String> = formatters.iter().map(|f| f.value(row).to_string()).collect();
        match values.split_last() {
            Some((times, key)) => format!("`{}` ({times} times)", key.join("`, `")),
            None => String::new(),
        }
    };
    (0..batch.num_rows()).map(row).collect()
}

/// All rows of a small answer.
pub(crate) async fn collect(session: &SessionContext, query: &str) -> Result<Vec<RecordBatch>> {
    let frame = session.sql(query).await.map_err(|error| from_datafusion(&error))?;
    frame.collect().await.map_err(|error| from_datafusion(&error))
}
