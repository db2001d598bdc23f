//! Runs that write sinks of an earlier run once more, on the inputs of that run.

use crate::graph::{Graph, Module};
use crate::history::{committed_nodes, is_over, is_repeat, succeeded, with_repeats};
use crate::params::fill_params;
use crate::run::{Engine, Repeat, RunOptions};
use contracts::Target;
use contracts::journal::JournaledRun;
use model::run::{CommitKey, Committed, RunEvent, RunId, RunKind, RunRecord};
use model::{Name, Problem, Result, TableName, codes};
use std::collections::BTreeMap;

fn refused(fact: impl Into<String>) -> Problem {
    Problem::new(&codes::RUN_REFUSED, fact)
}

impl Engine {
    /// The record of a run that repeats sinks of the last finished one.
    pub(crate) async fn repeat_record(
        &self,
        graph: &Graph,
        documents: &str,
        options: &RunOptions,
        repeat: &Repeat,
        runs: &[JournaledRun],
    ) -> Result<RunRecord> {
        if runs.last().is_some_and(|run| !is_over(run)) {
            return Err(refused("the last run of the pipeline is not finished")
                .hint("run it without `--from` and `--only` first: it goes on by itself"));
        }
        let last = runs.iter().rev().find(|run| succeeded(run) && !is_repeat(run));
        let Some(last) = last else {
            return Err(refused("no run of the pipeline has finished yet")
                .hint("run it without `--from` and `--only` first"));
        };
        let sinks = repeated_sinks(graph, repeat, options.replace_run)?;
        let mut replaces = BTreeMap::new();
        for at in &sinks {
            let node = &graph.nodes[*at].id;
            let earlier = self.appended_by(graph, *at, options, last, runs).await;
            if let Some(run) = earlier.map_err(|problem| problem.in_node(node))? {
                replaces.insert(node.clone(), vec![run]);
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
            replaces,
            ..last.record.clone()
        })
    }

    /// The run whose rows an appending sink has to take out when it is repeated: the repeated one,
    /// or the latest that has taken its place. None for other sinks.
    async fn appended_by(
        &self,
        graph: &Graph,
        at: usize,
        options: &RunOptions,
        last: &JournaledRun,
        runs: &[JournaledRun],
    ) -> Result<Option<RunId>> {
        let node = &graph.nodes[at];
        let Module::Sink(sink) = &node.module else { return Ok(None) };
        if !sink.appends() {
            return Ok(None);
        }
        if !options.replace_run {
            return Err(refused(format!("`{}` would add the same rows again", node.id)).hint(
                "`--replace-run` takes out what that run has added; `mode: merge` can be repeated",
            ));
        }
        let of = &last.record.run;
        let holder = with_repeats(runs, of)
            .rev()
            .find(|run| committed_nodes(run).any(|committed| *committed == node.id));
        let Some(holder) = holder else {
            return renamed(graph, at, &sink.target(), last).map_or(Ok(None), Err);
        };
        let run = holder.record.run.clone();
        sink.check_replaceable(&self.context, &self.key_of(graph, &node.id, &run)).await?;
        Ok(Some(run))
    }

    /// The key under which a sink has committed in a run.
    pub(crate) fn key_of(&self, graph: &Graph, node: &Name, run: &RunId) -> CommitKey {
        CommitKey {
            workspace: self.context.workspace.clone(),
            pipeline: graph.pipeline.name.clone(),
            node: node.clone(),
            run: run.clone(),
        }
    }

    /// Sinks that a repeat does not write are as the repeated run, or the latest that repeated it,
    /// left them.
    pub(crate) fn take_over(
        &self,
        graph: &Graph,
        record: &RunRecord,
        committed: &mut BTreeMap<usize, Committed>,
        tables: &mut BTreeMap<TableName, u64>,
    ) -> Result<()> {
        let RunKind::Repeat { of, nodes: repeated } = &record.kind else { return Ok(()) };
        let runs = self.journal.runs(&graph.pipeline.name)?;
        let earlier = with_repeats(&runs, of).filter(|run| run.record.run < record.run);
        for event in earlier.flat_map(|run| &run.events) {
            let RunEvent::Committed { node, commit } = event else { continue };
            let Ok(at) = graph.find(node) else { continue };
            if repeated.contains(node) {
                continue;
            }
            if let (Some(table), Some(version)) = (graph.nodes[at].table(), commit.version) {
                tables.insert(table, version);
            }
            committed.insert(at, Committed { already: true, ..commit.clone() });
        }
        // What the repeated run did not reject is not there to be found.
        for (at, node) in graph.nodes.iter().enumerate() {
            if node.is_sink() && !repeated.contains(&node.id) {
                committed.entry(at).or_insert(Committed { already: true, ..Committed::default() });
            }
        }
        Ok(())
    }
}

/// A problem when a node that is not there any more has written to the table of this one: its
/// rows would stay beside the new ones.
fn renamed(graph: &Graph, at: usize, target: &Target, last: &JournaledRun) -> Option<Problem> {
    let Target::Table(table) = target else { return None };
    if graph.nodes[at].is_implicit {
        return None;
    }
    let table = table.to_string();
    let old = last.events.iter().find_map(|event| match event {
        RunEvent::Committed { node, commit } if commit.target == table => {
            graph.find(node).is_err().then_some(node)
        }
        _ => None,
    })?;
    let fact = format!("the rows that are in `{table}` were written by a node `{old}`");
    Some(refused(fact).hint(format!(
        "call the node `{old}` again, or write everything again with `--full-refresh`"
    )))
}

/// Sinks that a repeat writes, by index. Those of rejects are among them when they can be: what
/// was rejected then is taken out.
fn repeated_sinks(graph: &Graph, repeat: &Repeat, replace: bool) -> Result<Vec<usize>> {
    let (Repeat::From(id) | Repeat::Only(id)) = repeat;
    let from = graph.find(id)?;
    let is_repeated = |at: &usize| match repeat {
        Repeat::From(_) => graph.reaches(from, *at) && (replace || !graph.nodes[*at].is_implicit),
        Repeat::Only(_) => *at == from,
    };
    let sinks = (from..graph.nodes.len()).filter(|at| graph.nodes[*at].is_sink());
    let sinks: Vec<usize> = sinks.filter(is_repeated).collect();
    if sinks.is_empty() {
        let fact = format!("`{id}` writes nothing");
        return Err(Problem::new(&codes::COMMAND_INVALID, fact)
            .arg("node", id)
            .hint("name a sink with `--only`, or a node above one with `--from`"));
    }
    Ok(sinks)
}
