//! Runs a pipeline exactly once: fixes what it reads, resumes what is unfinished, records the end.

use crate::graph::{Graph, Module};
use crate::history::{
    committed_nodes, given_up, half_refreshed, is_over, is_repeat, past, succeeded,
};
use crate::params::{fill_params, typed_params};
use crate::progress::{Event, Listener};
use crate::stage::{Attempt, Counters};
use contracts::journal::{JournaledRun, RunJournal};
use contracts::{Context, QueryEngine};
use model::run::{Committed, NodeReport, Outcome, RunEvent, RunId, RunKind, RunRecord};
use model::{Name, Problem, Result, TableName, codes};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use stdx::clock::Clock;

/// What runs pipelines.
pub struct Engine {
    /// The surroundings.
    pub context: Context,
    /// Plans and runs queries.
    pub query: Arc<dyn QueryEngine>,
    /// Keeps run records.
    pub journal: Arc<dyn RunJournal>,
    /// Hears what happens.
    pub listener: Arc<dyn Listener>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

/// What is asked of a run.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// Values of parameters.
    pub params: BTreeMap<String, Value>,
    /// The environment, if one was chosen.
    pub environment: Option<Name>,
    /// Read everything again and overwrite.
    pub full_refresh: bool,
    /// Fail when more rows are rejected.
    pub rejects_max: Option<u64>,
    /// Write some sinks of the last finished run once more, on the inputs of that run.
    pub repeat: Option<Repeat>,
    /// Sinks that append take out what the repeated run has added.
    pub replace_run: bool,
    /// Do not count rows inside of plans, and so do not check that none is lost there: to measure
    /// what counting costs.
    pub without_counts: bool,
    /// What `$interval_start` and `$interval_end` mean, µs since the epoch, UTC.
    pub interval_us: Option<(i64, i64)>,
    /// The id of the new run, when whoever asked for it has given it one. Asked for again, it is
    /// finished, never begun twice.
    pub run: Option<RunId>,
}

/// Which sinks are written once more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repeat {
    /// All that the rows of a node reach.
    From(Name),
    /// One.
    Only(Name),
}

/// What a run did.
#[derive(Debug, Clone)]
pub struct RunSummary {
    /// The run.
    pub run: RunId,
    /// Whether an earlier attempt had begun it.
    pub resumed: bool,
    /// Numbers per node, in topological order; implicit sinks left out.
    pub nodes: Vec<(Name, NodeReport)>,
    /// What was committed, in order, by what people call the sink.
    pub commits: Vec<(String, Committed)>,
    /// Why it failed; empty when it did not.
    pub problems: Vec<Problem>,
}

impl Engine {
    /// Finishes an unfinished run of the pipeline, then runs what is new. No summary means that
    /// there was nothing to do.
    pub async fn run(
        &self,
        graph: Graph,
        documents: &str,
        options: &RunOptions,
    ) -> Result<Vec<RunSummary>> {
        let graph = Arc::new(graph);
        let pipeline = &graph.pipeline.name;
        let _lock = self.journal.lock(pipeline)?;
        let mut summaries = Vec::new();
        let runs = self.journal.runs(pipeline)?;
        let is_wanted = |run: &JournaledRun| Some(&run.record.run) == options.run.as_ref();
        if runs.iter().any(|run| is_wanted(run) && is_over(run)) {
            return Ok(summaries);
        }
        if let Some(repeat) = &options.repeat {
            let record = self.repeat_record(&graph, documents, options, repeat, &runs).await;
            let record = record.map_err(|problem| problem.in_pipeline(pipeline))?;
            self.journal.begin(&record)?;
            summaries.push(self.attempt(&graph, record, &[], false, options).await?);
            return Ok(summaries);
        }
        if let Some(unfinished) = runs.last().filter(|run| !is_over(run)) {
            if self.is_outdated(&graph, unfinished, documents).await? {
                self.note_given_up(unfinished)?;
            } else {
                let summary = self.resume(&graph, unfinished, options).await?;
                let failed = !summary.problems.is_empty();
                summaries.push(summary);
                if failed || is_wanted(unfinished) {
                    return Ok(summaries);
                }
            }
        }
        let runs = self.journal.runs(pipeline)?;
        if let Some(half) = half_refreshed(&runs).filter(|_| !options.full_refresh) {
            let run = &half.record.run;
            let fact = format!("the full refresh {run} was given up half-way");
            return Err(Problem::new(&codes::RUN_REFUSED, fact).in_pipeline(pipeline).hint(
                format!("`affluent run {pipeline} --full-refresh` writes every table again"),
            ));
        }
        let record = self.new_record(&graph, documents, options, &runs).await;
        match record.map_err(|problem| problem.in_pipeline(pipeline))? {
            Some(record) => {
                let histories = self.check_histories(&graph, &record, &runs);
                histories.map_err(|problem| problem.in_pipeline(pipeline))?;
                self.journal.begin(&record)?;
                summaries.push(self.attempt(&graph, record, &[], false, options).await?);
            }
            None => {
                let last = runs.last();
                let documents_changed = last.is_some_and(|run| run.record.documents != documents);
                let pipeline = pipeline.clone();
                self.listener.on(Event::NothingNew { pipeline, documents_changed });
            }
        }
        Ok(summaries)
    }

    /// A run that has committed nothing and was planned from other documents is planned anew.
    async fn is_outdated(
        &self,
        graph: &Arc<Graph>,
        run: &JournaledRun,
        documents: &str,
    ) -> Result<bool> {
        let record = &run.record;
        if record.documents == documents || committed_nodes(run).next().is_some() {
            return Ok(false);
        }
        // A crash may have come between a commit and the journal.
        let mut attempt = self.begin(graph, record.clone(), &run.events, &RunOptions::default())?;
        let found = AtomicBool::new(false);
        let write = |event: &RunEvent| {
            found.store(true, Ordering::Relaxed);
            self.journal.append(&record.pipeline, &record.run, event)
        };
        attempt.look_for_commits(&write).await?;
        Ok(!found.load(Ordering::Relaxed))
    }

    /// Runs that the sinks of a new run take the place of: given-up ones that have appended what
    /// is read again.
    async fn replaced(
        &self,
        graph: &Graph,
        runs: &[JournaledRun],
    ) -> Result<BTreeMap<Name, Vec<RunId>>> {
        let mut replaces: BTreeMap<Name, Vec<RunId>> = BTreeMap::new();
        for (node, given_up) in given_up(runs) {
            let Ok(at) = graph.find(&node) else { continue };
            let Module::Sink(sink) = &graph.nodes[at].module else { continue };
            if !sink.appends() {
                continue;
            }
            for run in given_up {
                let key = self.key_of(graph, &node, &run);
                match sink.check_replaceable(&self.context, &key).await {
                    Ok(()) => replaces.entry(node.clone()).or_default().push(run),
                    Err(problem) => {
                        let text = format!("rows of the given-up run {run} stay: {problem}");
                        self.listener.on(Event::Warning { node: node.clone(), text });
                    }
                }
            }
        }
        Ok(replaces)
    }

    async fn resume(
        &self,
        graph: &Arc<Graph>,
        run: &JournaledRun,
        options: &RunOptions,
    ) -> Result<RunSummary> {
        self.attempt(graph, run.record.clone(), &run.events, true, options).await
    }

    /// The record of a new run, or none when there is nothing new.
    async fn new_record(
        &self,
        graph: &Arc<Graph>,
        documents: &str,
        options: &RunOptions,
        runs: &[JournaledRun],
    ) -> Result<Option<RunRecord>> {
        let mut is_new = options.full_refresh;
        let mut inputs = BTreeMap::new();
        for node in &graph.nodes {
            let Module::Source(source) = &node.module else { continue };
            let past = past(&node.id, runs, options.full_refresh);
            let discovery = source
                .discover(&self.context, &past)
                .await
                .map_err(|problem| problem.in_node(&node.id))?;
            for text in discovery.remarks {
                self.listener.on(Event::Remark { node: node.id.clone(), text });
            }
            is_new |= discovery.is_new;
            inputs.insert(node.id.clone(), discovery.inputs);
        }
        let tables = self.pin_tables(graph).await?;
        let latest = runs.iter().rev().find(|run| succeeded(run) && !is_repeat(run));
        let has_sources = !inputs.is_empty();
        let tables_moved = latest.is_none_or(|run| run.record.tables != tables);
        is_new |= tables_moved && (!tables.is_empty() || !has_sources);
        // What reads nothing at all is run once per version of its documents.
        is_new |= !has_sources && latest.is_none_or(|run| run.record.documents != documents);
        if !is_new {
            return Ok(None);
        }
        let replaces = match options.full_refresh {
            true => BTreeMap::new(),
            false => self.replaced(graph, runs).await?,
        };
        let now_us = self.clock.now_us();
        Ok(Some(RunRecord {
            run: options.run.clone().unwrap_or_else(|| RunId::generate(now_us)),
            pipeline: graph.pipeline.name.clone(),
            documents: documents.to_owned(),
            params: fill_params(graph, &options.params)?,
            time_us: now_us,
            interval_us: options.interval_us,
            kind: if options.full_refresh { RunKind::FullRefresh } else { RunKind::Normal },
            inputs,
            tables,
            facts: BTreeMap::new(),
            environment: options.environment.clone(),
            replaces,
        }))
    }

    /// Versions of the lake tables that are read and that no sink above the reader writes.
    async fn pin_tables(&self, graph: &Graph) -> Result<BTreeMap<TableName, u64>> {
        let mut pinned = BTreeMap::new();
        for at in 0..graph.nodes.len() {
            if matches!(graph.nodes[at].module, Module::Source(_)) {
                continue;
            }
            for table in graph.named_tables(at) {
                let written_before = graph.nodes.iter().enumerate().any(|(sink, node)| {
                    node.table().as_ref() == Some(&table) && !graph.reaches(at, sink)
                });
                if written_before {
                    continue;
                }
                if let Some(info) = self.context.tables.describe(&table, None).await? {
                    pinned.insert(table, info.version);
                }
            }
        }
        Ok(pinned)
    }

    /// One attempt at a run whose record is durable.
    async fn attempt(
        &self,
        graph: &Arc<Graph>,
        record: RunRecord,
        events: &[RunEvent],
        resumed: bool,
        options: &RunOptions,
    ) -> Result<RunSummary> {
        let (pipeline, run) = (record.pipeline.clone(), record.run.clone());
        self.listener.on(Event::RunStarted {
            pipeline: pipeline.clone(),
            run: run.clone(),
            resumed,
        });
        let write = |event: &RunEvent| self.journal.append(&pipeline, &run, event);
        let process = std::process::id();
        write(&RunEvent::Started { time_us: self.clock.now_us(), process })?;
        let mut attempt = self.begin(graph, record, events, options)?;
        let mut problems = Vec::new();
        let result = self.go(&mut attempt, options, &write, &mut problems).await;
        problems.extend(result.err());
        let problems: Vec<Problem> =
            problems.into_iter().map(|p| with_way_out(p, &run).in_pipeline(&pipeline)).collect();
        let outcome = if problems.is_empty() { Outcome::Succeeded } else { Outcome::Failed };
        let nodes = attempt.report();
        write(&RunEvent::Finished {
            time_us: self.clock.now_us(),
            outcome,
            nodes: nodes.iter().cloned().collect(),
            problems: problems.iter().map(Problem::to_stored).collect(),
        })?;
        self.listener
            .on(Event::RunEnded { pipeline: pipeline.clone(), problems: problems.clone() });
        let committed = attempt.committed.iter();
        let commits = committed.map(|(at, commit)| (graph.label(*at), commit.clone())).collect();
        Ok(RunSummary { run: run.clone(), resumed, nodes, commits, problems })
    }

    pub(crate) fn begin(
        &self,
        graph: &Arc<Graph>,
        record: RunRecord,
        events: &[RunEvent],
        options: &RunOptions,
    ) -> Result<Attempt> {
        let mut tables = record.tables.clone();
        let mut facts = record.facts.clone();
        let mut committed = BTreeMap::new();
        for event in events {
            match event {
                RunEvent::Fact { key, value } => {
                    facts.insert(key.clone(), value.clone());
                }
                RunEvent::Committed { node, commit } => {
                    let Ok(at) = graph.find(node) else { continue };
                    if let (Some(table), Some(version)) = (graph.nodes[at].table(), commit.version)
                    {
                        tables.insert(table, version);
                    }
                    committed.insert(at, Committed { already: true, ..commit.clone() });
                }
                RunEvent::Started { .. } | RunEvent::Pinned { .. } | RunEvent::Finished { .. } => {}
            }
        }
        self.take_over(graph, &record, &mut committed, &mut tables)?;
        let params = typed_params(graph, &record)?;
        Ok(Attempt {
            counters: graph.nodes.iter().map(|_| Counters::default()).collect(),
            graph: Arc::clone(graph),
            record,
            context: self.context.clone(),
            query: Arc::clone(&self.query),
            listener: Arc::clone(&self.listener),
            params,
            rejects_max: options.rejects_max,
            without_counts: options.without_counts,
            committed,
            tables,
            facts,
            pending: BTreeSet::new(),
            running: BTreeSet::new(),
            findings: BTreeMap::new(),
            spools: Default::default(),
            keep: None,
        })
    }

    async fn go(
        &self,
        attempt: &mut Attempt,
        options: &RunOptions,
        write: &(dyn Fn(&RunEvent) -> Result<()> + Send + Sync),
        problems: &mut Vec<Problem>,
    ) -> Result<()> {
        attempt.look_for_commits(write).await?;
        self.replay_histories(attempt, options, write).await?;
        attempt.pending = attempt.useful();
        while let Some(outcome) = attempt.next_stage(write).await? {
            let failed = !outcome.problems.is_empty();
            problems.extend(outcome.problems);
            if failed {
                break;
            }
        }
        Ok(())
    }
}

/// What is to be read is not what it was when the run was planned: the run cannot go on by itself.
fn with_way_out(problem: Problem, run: &RunId) -> Problem {
    if !problem.is(&codes::FILE_CHANGED) {
        return problem;
    }
    let way_out = format!(
        "put it back as it was and run again, or give the run up with \
         `affluent recover --abandon {run}`: the next run reads what is there by then"
    );
    let hint = match problem.hint_text() {
        Some(hint) => format!("{way_out}; {hint}"),
        None => way_out,
    };
    problem.hint(hint)
}
