//! Runs a pipeline exactly once: fixes what it reads, resumes what is unfinished, records the end.

use crate::graph::{Graph, Module};
use crate::history::{is_over, is_repeat, past, succeeded};
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
        if let Some(repeat) = &options.repeat {
            let record = self.repeat_record(&graph, documents, options, repeat, &runs)?;
            self.journal.begin(&record)?;
            summaries.push(self.attempt(&graph, record, &[], false, options).await?);
            return Ok(summaries);
        }
        if let Some(unfinished) = runs.last().filter(|run| !is_over(run)) {
            if self.is_outdated(unfinished, documents) {
                self.give_up(unfinished)?;
            } else {
                let summary = self.resume(&graph, unfinished, options).await?;
                let failed = !summary.problems.is_empty();
                summaries.push(summary);
                if failed {
                    return Ok(summaries);
                }
            }
        }
        let runs = self.journal.runs(pipeline)?;
        let record = self.new_record(&graph, documents, options, &runs).await;
        match record.map_err(|problem| problem.in_pipeline(pipeline))? {
            Some(record) => {
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
    fn is_outdated(&self, run: &JournaledRun, documents: &str) -> bool {
        let committed = run.events.iter().any(|event| matches!(event, RunEvent::Committed { .. }));
        run.record.documents != documents && !committed
    }

    fn give_up(&self, run: &JournaledRun) -> Result<()> {
        let event = RunEvent::Finished {
            time_us: self.clock.now_us(),
            outcome: Outcome::Abandoned,
            nodes: BTreeMap::new(),
            problems: Vec::new(),
        };
        self.journal.append(&run.record.pipeline, &run.record.run, &event)
    }

    async fn resume(
        &self,
        graph: &Arc<Graph>,
        run: &JournaledRun,
        options: &RunOptions,
    ) -> Result<RunSummary> {
        self.attempt(graph, run.record.clone(), &run.events, true, options).await
    }

    /// The record of a run that repeats sinks of the last finished one.
    fn repeat_record(
        &self,
        graph: &Graph,
        documents: &str,
        options: &RunOptions,
        repeat: &Repeat,
        runs: &[JournaledRun],
    ) -> Result<RunRecord> {
        let refused = |fact: String| Problem::new(&codes::RUN_REFUSED, fact);
        if runs.last().is_some_and(|run| !is_over(run)) {
            return Err(refused("the last run of the pipeline is not finished".to_owned())
                .hint("run it without `--from` and `--only` first: it goes on by itself"));
        }
        let last = runs.iter().rev().find(|run| succeeded(run) && !is_repeat(run));
        let Some(last) = last else {
            return Err(refused("no run of the pipeline has finished yet".to_owned())
                .hint("run it without `--from` and `--only` first"));
        };
        let sinks = repeated_sinks(graph, repeat)?;
        for at in &sinks {
            let Module::Sink(sink) = &graph.nodes[*at].module else { continue };
            if sink.appends() {
                let fact = format!("`{}` would add the same rows again", graph.nodes[*at].id);
                return Err(refused(fact).in_node(&graph.nodes[*at].id).hint(
                    "`--full-refresh` writes everything again as one overwrite; \
                     `mode: merge` can be repeated",
                ));
            }
        }
        let now_us = self.clock.now_us();
        let nodes = sinks.iter().map(|at| graph.nodes[*at].id.clone()).collect();
        Ok(RunRecord {
            run: RunId::generate(now_us),
            documents: documents.to_owned(),
            params: fill_params(graph, &options.params)?,
            time_us: now_us,
            kind: RunKind::Repeat { of: last.record.run.clone(), nodes },
            facts: BTreeMap::new(),
            environment: options.environment.clone(),
            ..last.record.clone()
        })
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
        let now_us = self.clock.now_us();
        let run = RunId::generate(now_us);
        Ok(Some(RunRecord {
            run,
            pipeline: graph.pipeline.name.clone(),
            documents: documents.to_owned(),
            params: fill_params(graph, &options.params)?,
            time_us: now_us,
            kind: if options.full_refresh { RunKind::FullRefresh } else { RunKind::Normal },
            inputs,
            tables,
            facts: BTreeMap::new(),
            environment: options.environment.clone(),
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
        let result = self.go(&mut attempt, &write, &mut problems).await;
        problems.extend(result.err());
        let problems: Vec<Problem> =
            problems.into_iter().map(|problem| problem.in_pipeline(&pipeline)).collect();
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

    fn begin(
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
        if let RunKind::Repeat { of, nodes } = &record.kind {
            self.take_over(graph, of, nodes, &mut committed, &mut tables)?;
        }
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
            committed,
            tables,
            facts,
            pending: BTreeSet::new(),
            running: BTreeSet::new(),
            findings: BTreeMap::new(),
            spools: Default::default(),
        })
    }

    /// Sinks that a repeat does not write are as the repeated run left them.
    fn take_over(
        &self,
        graph: &Graph,
        of: &RunId,
        repeated: &[Name],
        committed: &mut BTreeMap<usize, Committed>,
        tables: &mut BTreeMap<TableName, u64>,
    ) -> Result<()> {
        let runs = self.journal.runs(&graph.pipeline.name)?;
        let events = runs.into_iter().filter(|run| run.record.run == *of);
        for event in events.flat_map(|run| run.events) {
            let RunEvent::Committed { node, commit } = event else { continue };
            let Ok(at) = graph.find(&node) else { continue };
            if repeated.contains(&node) || committed.contains_key(&at) {
                continue;
            }
            if let (Some(table), Some(version)) = (graph.nodes[at].table(), commit.version) {
                tables.insert(table, version);
            }
            committed.insert(at, Committed { already: true, ..commit });
        }
        // What the repeated run did not reject is not there to be found.
        for (at, node) in graph.nodes.iter().enumerate() {
            if node.is_sink() && !repeated.contains(&node.id) {
                committed.entry(at).or_insert(Committed { already: true, ..Committed::default() });
            }
        }
        Ok(())
    }

    async fn go(
        &self,
        attempt: &mut Attempt,
        write: &(dyn Fn(&RunEvent) -> Result<()> + Send + Sync),
        problems: &mut Vec<Problem>,
    ) -> Result<()> {
        attempt.look_for_commits(write).await?;
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

/// Sinks that a repeat writes, by index.
fn repeated_sinks(graph: &Graph, repeat: &Repeat) -> Result<Vec<usize>> {
    let (Repeat::From(id) | Repeat::Only(id)) = repeat;
    let from = graph.find(id)?;
    let sinks: Vec<usize> = match repeat {
        Repeat::From(_) => (from..graph.nodes.len())
            .filter(|at| graph.nodes[*at].is_sink() && graph.reaches(from, *at))
            .filter(|at| !graph.nodes[*at].is_implicit)
            .collect(),
        Repeat::Only(_) => Some(from).filter(|at| graph.nodes[*at].is_sink()).into_iter().collect(),
    };
    if sinks.is_empty() {
        let fact = format!("`{id}` writes nothing");
        return Err(Problem::new(&codes::COMMAND_INVALID, fact)
            .arg("node", id)
            .hint("name a sink with `--only`, or a node above one with `--from`"));
    }
    Ok(sinks)
}
