//! The full refresh of a history: the rows of each earlier run again, one run after the other.
//!
//! A history says since when a row holds, and that is the time of the run that brought it. Read in
//! one go, all arrivals would hold since now; so every run is computed anew on its own inputs, and
//! the sink builds the history of the rows of all of them in one commit.

use crate::blocks::{Block, BlockFile};
use crate::graph::{Graph, Module};
use crate::history::{is_repeat, succeeded};
use crate::progress::{Event, Silent};
use crate::run::{Engine, RunOptions};
use crate::stage::{Attempt, Record};
use arrow::array::{ArrayRef, RecordBatch, TimestampMicrosecondArray, new_null_array};
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use contracts::arrow_types::{UTC, timestamp};
use contracts::journal::JournaledRun;
use contracts::table::SINCE;
use contracts::{Batches, Prepared};
use futures::stream::{self, StreamExt, TryStreamExt};
use model::run::{Arrival, Committed, Input, RunKind, RunRecord};
use model::{Name, Problem, Result, TableName, codes};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// The sink of an attempt whose rows are kept instead of written.
#[derive(Clone)]
pub(crate) struct Keep {
    pub(crate) sink: usize,
    pub(crate) rows: Arc<KeptRows>,
    /// The instant since when the rows of this attempt hold, µs since the epoch.
    pub(crate) since_us: i64,
}

/// Rows of several attempts, on disk.
pub(crate) struct KeptRows {
    file: Mutex<BlockFile>,
    blocks: Mutex<Vec<(i64, Block)>>,
    /// All columns that rows of any attempt have.
    fields: Mutex<Vec<FieldRef>>,
}

impl KeptRows {
    fn new(spill: &Path) -> Result<Arc<Self>> {
        let file = Mutex::new(BlockFile::create(spill)?);
        Ok(Arc::new(Self { file, blocks: Mutex::default(), fields: Mutex::default() }))
    }

    /// Reads rows to their end and keeps them.
    pub(crate) async fn keep(&self, batches: Batches, since_us: i64) -> Result<()> {
        self.add_fields(&batches.schema)?;
        let mut rows = stream::select_all(batches.partitions);
        while let Some(batch) = rows.try_next().await? {
            if batch.num_rows() == 0 {
                continue;
            }
            let block = self.file.lock().unwrap_or_else(PoisonError::into_inner).append(&batch)?;
            self.blocks.lock().unwrap_or_else(PoisonError::into_inner).push((since_us, block));
        }
        Ok(())
    }

    fn add_fields(&self, schema: &Schema) -> Result<()> {
        let mut fields = self.fields.lock().unwrap_or_else(PoisonError::into_inner);
        for field in schema.fields() {
            match fields.iter().find(|known| known.name() == field.name()) {
                None => fields.push(Arc::clone(field)),
                Some(known) if known.data_type() == field.data_type() => {}
                Some(_) => {
                    let name = field.name();
                    let fact = format!("`{name}` is not of the same type in all that was read");
                    return Err(Problem::new(&codes::SCHEMA_CHANGED, fact)
                        .arg("column", name)
                        .hint("give it one type with `cast` before the history"));
                }
            }
        }
        Ok(())
    }

    /// The rows with [`SINCE`], in so many partitions. None when no attempt gave a column.
    fn read(self: &Arc<Self>, partitions: usize) -> Option<Batches> {
        let mut fields = self.fields.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if fields.is_empty() {
            return None;
        }
        fields.push(Arc::new(Field::new(SINCE, timestamp(), true)));
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let share = blocks.len().div_ceil(partitions.max(1)).max(1);
        let streams = blocks.chunks(share).map(|blocks| {
            let (rows, schema) = (Arc::clone(self), Arc::clone(&schema));
            stream::iter(blocks.to_vec())
                .map(move |(since_us, block)| {
                    let file = rows.file.lock().unwrap_or_else(PoisonError::into_inner);
                    with_since(&file.read(block)?, since_us, &schema)
                })
                .boxed()
        });
        let streams = streams.collect();
        Some(Batches::new(schema, streams))
    }
}

/// A batch in the common columns, with the instant since when its rows hold.
fn with_since(batch: &RecordBatch, since_us: i64, schema: &SchemaRef) -> Result<RecordBatch> {
    let rows = batch.num_rows();
    let column = |field: &FieldRef| -> ArrayRef {
        if field.name() == SINCE {
            let since = TimestampMicrosecondArray::from(vec![since_us; rows]);
            return Arc::new(since.with_timezone(UTC));
        }
        match batch.column_by_name(field.name()) {
            Some(column) => Arc::clone(column),
            None => new_null_array(field.data_type(), rows),
        }
    };
    let columns = schema.fields().iter().map(column).collect();
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(|error| {
        Problem::new(&codes::INTERNAL, "kept rows do not form a batch").detail(error)
    })
}

/// Rows that are kept: there is nothing to commit.
pub(crate) struct NothingToCommit;

#[async_trait]
impl Prepared for NothingToCommit {
    async fn commit(self: Box<Self>) -> Result<Committed> {
        Ok(Committed::default())
    }

    async fn discard(self: Box<Self>) {}
}

impl Engine {
    /// Refuses a full refresh of a history that cannot be rebuilt, before anything is begun.
    pub(crate) fn check_histories(
        &self,
        graph: &Graph,
        record: &RunRecord,
        runs: &[JournaledRun],
    ) -> Result<()> {
        if record.kind != RunKind::FullRefresh {
            return Ok(());
        }
        for at in histories(graph) {
            let passes = self.passes(graph, at, record, runs);
            passes.map_err(|problem| problem.in_node(&graph.nodes[at].id))?;
        }
        Ok(())
    }

    /// Rebuilds the histories of a full refresh, each in one commit.
    pub(crate) async fn replay_histories(
        &self,
        attempt: &mut Attempt,
        options: &RunOptions,
        write: Record<'_>,
    ) -> Result<()> {
        if attempt.record.kind != RunKind::FullRefresh {
            return Ok(());
        }
        let graph = Arc::clone(&attempt.graph);
        for at in histories(&graph) {
            if !attempt.committed.contains_key(&at) && attempt.overwrites(at) {
                let replayed = self.replay(attempt, at, options, write).await;
                replayed.map_err(|problem| problem.in_node(&graph.nodes[at].id))?;
            }
        }
        Ok(())
    }

    async fn replay(
        &self,
        attempt: &mut Attempt,
        at: usize,
        options: &RunOptions,
        write: Record<'_>,
    ) -> Result<()> {
        let graph = Arc::clone(&attempt.graph);
        let node = graph.nodes[at].id.clone();
        let runs = self.journal.runs(&graph.pipeline.name)?;
        let passes = self.passes(&graph, at, &attempt.record, &runs)?;
        let text = format!("the history is rebuilt from {} runs", passes.len());
        self.listener.on(Event::Remark { node: node.clone(), text });
        let rows = KeptRows::new(&attempt.spill())?;
        let mut since_us = i64::MIN;
        let mut rejects = 0;
        for pass in passes {
            // Two runs of the same instant come after one another all the same.
            since_us = pass.run.time_us().max(since_us.saturating_add(1));
            let keep = Keep { sink: at, rows: Arc::clone(&rows), since_us };
            rejects += self.pass(&graph, pass, keep, options).await?;
            if options.rejects_max.is_some_and(|allowed| rejects > allowed) {
                let fact = format!("{rejects} rows were rejected on the way to a history");
                return Err(
                    Problem::new(&codes::TOO_MANY_REJECTS, fact).hint("nothing has been committed")
                );
            }
        }
        let Some(rows) = rows.read(self.context.threads) else { return Ok(()) };
        let Module::Sink(sink) = &graph.nodes[at].module else { return Ok(()) };
        let prepared = sink.prepare(&self.context, attempt.sink_request(at), rows).await?;
        let commit = attempt.commit(at, prepared, write).await?;
        self.listener.on(Event::Committed { node, commit: commit.clone() });
        attempt.committed.insert(at, commit);
        Ok(())
    }

    /// Computes what one run brings to a history. Gives the number of rejected rows.
    async fn pass(
        &self,
        graph: &Arc<Graph>,
        record: RunRecord,
        keep: Keep,
        options: &RunOptions,
    ) -> Result<u64> {
        let mut attempt = self.begin(graph, record, &[], options)?;
        attempt.listener = Arc::new(Silent);
        for (other, node) in graph.nodes.iter().enumerate() {
            if node.is_sink() && other != keep.sink {
                attempt.committed.insert(other, Committed::default());
            }
        }
        attempt.keep = Some(keep);
        attempt.pending = attempt.useful();
        while let Some(outcome) = attempt.next_stage(&|_| Ok(())).await? {
            if let Some(problem) = outcome.problems.into_iter().next() {
                return Err(problem);
            }
        }
        Ok(attempt.counters.iter().map(|counters| counters.rejects.rows.rows()).sum())
    }

    /// The records of all runs whose rows are in a history, and of the one that rebuilds it, each
    /// with what no run before it has taken.
    fn passes(
        &self,
        graph: &Graph,
        at: usize,
        record: &RunRecord,
        runs: &[JournaledRun],
    ) -> Result<Vec<RunRecord>> {
        check_inputs(graph, at)?;
        let above = |from: &usize| graph.reaches(*from, at);
        let sources: Vec<&Name> = (0..at)
            .filter(above)
            .filter(|from| matches!(graph.nodes[*from].module, Module::Source(_)))
            .map(|from| &graph.nodes[from].id)
            .collect();
        let earlier = runs
            .iter()
            .filter(|run| run.record.run < record.run && succeeded(run) && !is_repeat(run))
            .map(|run| &run.record);
        let mut taken = HashSet::new();
        let mut passes = Vec::new();
        for past in earlier.chain([record]) {
            let mut inputs = BTreeMap::new();
            for source in &sources {
                let now = record.inputs.get(*source).map_or(&[][..], Vec::as_slice);
                let mut own = Vec::new();
                for input in past.inputs.get(*source).into_iter().flatten() {
                    if self.is_to_replay(source, input, now, &mut taken)? {
                        own.push(input.clone());
                    }
                }
                inputs.insert((*source).clone(), own);
            }
            if inputs.values().all(Vec::is_empty) {
                continue;
            }
            let mut params = record.params.clone();
            let declared = |name: &&String| record.params.contains_key(*name);
            let own = past.params.keys().filter(declared).cloned().collect::<Vec<_>>();
            params.extend(own.into_iter().map(|name| (name.clone(), past.params[&name].clone())));
            passes.push(RunRecord {
                documents: record.documents.clone(),
                kind: RunKind::Normal,
                inputs,
                params,
                facts: BTreeMap::new(),
                replaces: BTreeMap::new(),
                ..past.clone()
            });
        }
        Ok(passes)
    }

    /// Whether an input is to be read in a pass: files once, tables at each version. A problem
    /// when it cannot be read as it was.
    fn is_to_replay<'a>(
        &self,
        source: &'a Name,
        input: &'a Input,
        now: &[Input],
        taken: &mut HashSet<(&'a Name, &'a str, u64, &'a str)>,
    ) -> Result<bool> {
        match input {
            Input::Table { .. } => Ok(true),
            Input::File(arrival) => {
                let Arrival { path, size, version, .. } = arrival;
                if !taken.insert((source, path, *size, version)) {
                    return Ok(false);
                }
                if self.is_there(arrival, now) {
                    return Ok(true);
                }
                let fact =
                    format!("`{path}` is not there any more as it was when the history took it in");
                Err(refused(fact).arg("path", path))
            }
            Input::Range(_) | Input::Whole { .. } => {
                Err(refused(format!("`{source}` cannot give again what earlier runs have read")))
            }
        }
    }

    fn is_there(&self, arrival: &Arrival, now: &[Input]) -> bool {
        let is_same = |input: &Input| match input {
            Input::File(there) => {
                there.path == arrival.path
                    && there.size == arrival.size
                    && there.version == arrival.version
            }
            _ => false,
        };
        match &arrival.landed {
            Some(landed) => self.context.landing.join(landed).exists(),
            None => now.iter().any(is_same),
        }
    }
}

/// Sinks that keep a history.
fn histories(graph: &Graph) -> Vec<usize> {
    let keeps = |at: &usize| match &graph.nodes[*at].module {
        Module::Sink(sink) => sink.keeps_history(),
        _ => false,
    };
    (0..graph.nodes.len()).filter(keeps).collect()
}

/// What is made from tables that the same run rebuilds is not known as it was.
fn check_inputs(graph: &Graph, at: usize) -> Result<()> {
    let written: BTreeSet<TableName> = graph.nodes.iter().filter_map(|node| node.table()).collect();
    for from in (0..at).filter(|from| graph.reaches(*from, at)) {
        let node = &graph.nodes[from];
        let named = graph.named_tables(from).into_iter().find(|table| written.contains(table));
        if let Some(table) = node.table().or(named) {
            let fact = format!("it is made from `{table}`, which this pipeline writes as well");
            return Err(refused(fact).arg("table", table));
        }
    }
    Ok(())
}

fn refused(why: String) -> Problem {
    Problem::new(&codes::RUN_REFUSED, "the history cannot be rebuilt").detail(why).hint(
        "without `--full-refresh` it goes on as it is; to begin it anew, write to another table; \
         in a pipeline of its own it is no hindrance to the refresh of other tables",
    )
}
