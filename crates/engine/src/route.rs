//! Shares the rows of a routing query out: good rows on, rejected ones aside, checks counted.

use crate::rejects::Rejects;
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringViewArray,
    new_null_array,
};
use arrow::compute::{cast, filter_record_batch, is_not_null, is_null};
use arrow::datatypes::{DataType, Int64Type, Schema, SchemaRef};
use contracts::arrow_types::{FILE, ROW, timestamp};
use contracts::rejects::{ERRORS, NODE, NOTES, OFFSET, PORT, RECORD, rejects_schema};
use contracts::relational::CheckTest;
use contracts::{Batches, Check};
use futures::TryStreamExt;
use futures::stream::StreamExt;
use model::{Name, Problem, Result, codes};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Columns that are the engine's, not the user's.
const EXTRA: &[&str] = &[ERRORS, RECORD, NOTES, PORT];

/// The columns that go on.
pub(crate) fn visible(schema: &Schema) -> SchemaRef {
    let fields: Vec<_> = schema
        .fields()
        .iter()
        .filter(|field| !EXTRA.contains(&field.name().as_str()))
        .cloned()
        .collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

fn visible_rows(batch: &RecordBatch) -> Result<RecordBatch> {
    let keep: Vec<usize> = batch
        .schema()
        .fields()
        .iter()
        .enumerate()
        .filter(|(_, field)| !EXTRA.contains(&field.name().as_str()))
        .map(|(at, _)| at)
        .collect();
    batch.project(&keep).map_err(internal)
}

fn internal(error: impl std::fmt::Display) -> Problem {
    Problem::new(&codes::INTERNAL, "rows cannot be routed").detail(error)
}

/// The good rows of a query with `_errors`; the others go to `rejects`.
pub(crate) fn split_rejects(batches: Batches, rejects: Arc<Rejects>, node: &Name) -> Batches {
    let schema = visible(&batches.schema);
    let node = node.clone();
    let split = batches.map_partitions(|partition| {
        let rejects = Arc::clone(&rejects);
        let node = node.clone();
        partition
            .and_then(move |batch| {
                let result = split_batch(&batch, &rejects, &node);
                async move { result }
            })
            .boxed()
    });
    Batches { schema, ..split }
}

fn split_batch(batch: &RecordBatch, rejects: &Rejects, node: &Name) -> Result<RecordBatch> {
    let errors = batch.column_by_name(ERRORS).ok_or_else(|| internal("`_errors` is missing"))?;
    let good = visible_rows(batch)?;
    if errors.null_count() == errors.len() {
        return Ok(good);
    }
    let marks: BooleanArray = is_not_null(errors).map_err(internal)?;
    let bad = filter_record_batch(batch, &marks).map_err(internal)?;
    rejects.push(&as_rejects(&bad, node)?)?;
    filter_record_batch(&good, &is_null(errors).map_err(internal)?).map_err(internal)
}

fn as_rejects(batch: &RecordBatch, node: &Name) -> Result<RecordBatch> {
    let rows = batch.num_rows();
    let columns = rejects_schema()
        .fields()
        .iter()
        .map(|field| {
            let column: ArrayRef = match (field.name().as_str(), batch.column_by_name(field.name()))
            {
                (NODE, _) => Arc::new(StringViewArray::from(vec![node.as_str(); rows])),
                (FILE | ROW | OFFSET | ERRORS | RECORD, Some(column)) => {
                    cast(column, field.data_type()).map_err(internal)?
                }
                _ => new_null_array(field.data_type(), rows),
            };
            Ok(column)
        })
        .collect::<Result<Vec<_>>>()?;
    RecordBatch::try_new(rejects_schema(), columns).map_err(internal)
}

/// The rows of one port of a query with `_port`.
pub(crate) fn port_rows(batches: Batches, port: usize) -> Batches {
    let schema = visible(&batches.schema);
    let picked = batches.map_partitions(|partition| {
        partition
            .and_then(move |batch| {
                let result = pick(&batch, port);
                async move { result }
            })
            .boxed()
    });
    Batches { schema, ..picked }
}

fn pick(batch: &RecordBatch, port: usize) -> Result<RecordBatch> {
    let ports = batch.column_by_name(PORT).ok_or_else(|| internal("`_port` is missing"))?;
    let ports = cast(ports, &DataType::Int64).map_err(internal)?;
    let ports: &Int64Array = ports.as_primitive::<Int64Type>();
    let wanted = port as i64;
    let marks: BooleanArray = ports.iter().map(|port| Some(port == Some(wanted))).collect();
    filter_record_batch(&visible_rows(batch)?, &marks).map_err(internal)
}

/// Counts what checks find while rows pass.
#[derive(Debug)]
pub(crate) struct CheckTally {
    checks: Vec<Check>,
    state: Mutex<TallyState>,
}

#[derive(Debug, Default)]
struct TallyState {
    rows: u64,
    noted: BTreeMap<usize, u64>,
    newest_us: BTreeMap<usize, i64>,
}

/// What a check has found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Finding {
    /// The check.
    pub(crate) check: Check,
    /// Rows it concerns; for checks of the whole, 1.
    pub(crate) rows: u64,
    /// The fact in words.
    pub(crate) fact: String,
}

impl CheckTally {
    pub(crate) fn new(checks: Vec<Check>) -> Self {
        Self { checks, state: Mutex::default() }
    }

    /// The same rows, looked at as they pass.
    pub(crate) fn watch(self: &Arc<Self>, batches: Batches) -> Batches {
        batches.map_partitions(|partition| {
            let tally = Arc::clone(self);
            partition
                .and_then(move |batch| {
                    let result = tally.look(&batch).map(|()| batch);
                    async move { result }
                })
                .boxed()
        })
    }

    fn look(&self, batch: &RecordBatch) -> Result<()> {
        let mut newest = BTreeMap::new();
        for (at, check) in self.checks.iter().enumerate() {
            if let CheckTest::Freshness { column, .. } = &check.test
                && let Some(column) = batch.column_by_name(column)
            {
                let instants = cast(column, &timestamp()).map_err(internal)?;
                let instants =
                    instants.as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
                newest.extend(arrow::compute::max(instants).map(|instant| (at, instant)));
            }
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.rows += batch.num_rows() as u64;
        for (at, instant) in newest {
            let known = state.newest_us.entry(at).or_insert(instant);
            *known = (*known).max(instant);
        }
        if let Some(notes) = batch.column_by_name(NOTES)
            && notes.null_count() < notes.len()
        {
            for numbers in notes.as_list::<i32>().iter().flatten() {
                for number in numbers.as_primitive::<Int64Type>().iter().flatten() {
                    *state.noted.entry(number as usize).or_default() += 1;
                }
            }
        }
        Ok(())
    }

    /// What was found, once all rows have passed. `now_us` is the run's time.
    pub(crate) fn findings(&self, now_us: i64) -> Vec<Finding> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut findings = Vec::new();
        for (at, check) in self.checks.iter().enumerate() {
            let found = match &check.test {
                CheckTest::Noted => state.noted.get(&at).map(|rows| {
                    (*rows, format!("`{}` does not hold for {rows} rows", check.label))
                }),
                CheckTest::RowCount { min, max } => row_count(state.rows, *min, *max),
                CheckTest::Freshness { column, age_max } => {
                    let age_max_us = i64::try_from(age_max.as_micros()).unwrap_or(i64::MAX);
                    freshness(column, state.newest_us.get(&at).copied(), now_us, age_max_us)
                }
            };
            findings.extend(found.map(|(rows, fact)| Finding { check: check.clone(), rows, fact }));
        }
        findings
    }
}

fn row_count(rows: u64, min: Option<u64>, max: Option<u64>) -> Option<(u64, String)> {
    let too_few = min.is_some_and(|min| rows < min);
    let too_many = max.is_some_and(|max| rows > max);
    let bound = if too_few { min? } else { max? };
    let word = if too_few { "at least" } else { "at most" };
    (too_few || too_many).then(|| (1, format!("there are {rows} rows, expected {word} {bound}")))
}

fn freshness(
    column: &str,
    newest_us: Option<i64>,
    now_us: i64,
    age_max_us: i64,
) -> Option<(u64, String)> {
    let Some(newest_us) = newest_us else {
        return Some((1, format!("`{column}` has no value at all")));
    };
    let age_us = now_us.saturating_sub(newest_us);
    let hours = age_us / 3_600_000_000;
    (age_us > age_max_us).then(|| (1, format!("the newest `{column}` is {hours} hours old")))
}
