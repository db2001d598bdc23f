//! Gives up a run that cannot go on, for instance because a file it was to read has changed.
//!
//! Its inputs are then free: the next run reads what is there by then. What a sink of the given-up
//! run has appended is taken out in the commit that adds the same inputs again.

use crate::graph::{Graph, Module};
use crate::history::is_over;
use crate::run::{Engine, RunOptions};
use contracts::journal::{JournaledRun, PipelineLock};
use model::run::{Committed, Outcome, RunEvent, RunId, RunKind};
use model::{Problem, Result, codes};
use std::collections::BTreeMap;
use std::sync::Arc;

/// An unfinished run that is about to be given up; nobody else runs its pipeline meanwhile.
pub struct GivingUp {
    /// Its sinks that have committed.
    pub committed: Vec<LeftBehind>,
    /// Whether it was a full refresh: with something committed, only another one can follow.
    pub is_refresh: bool,
    run: JournaledRun,
    _lock: Box<dyn PipelineLock>,
}

/// What a sink of a given-up run leaves behind.
#[derive(Debug, Clone)]
pub struct LeftBehind {
    /// What people call the sink.
    pub sink: String,
    /// Its commit.
    pub commit: Committed,
    /// What becomes of the rows.
    pub fate: Fate,
}

/// What becomes of rows that a given-up run has committed.
#[derive(Debug, Clone)]
pub enum Fate {
    /// The next run writes the same keys, partitions or table again.
    Written,
    /// The next run takes them out in the commit that adds its own.
    TakenOut,
    /// They stay, and the next run adds those of the same inputs: why they cannot be taken out.
    Stay(Problem),
}

impl Engine {
    /// Looks at an unfinished run and at what it leaves behind; nothing is changed yet.
    pub async fn giving_up(&self, graph: Graph, run: &RunId) -> Result<GivingUp> {
        let graph = Arc::new(graph);
        let pipeline = graph.pipeline.name.clone();
        let lock = self.journal.lock(&pipeline)?;
        let runs = self.journal.runs(&pipeline)?;
        let found = runs.into_iter().find(|known| known.record.run == *run).ok_or_else(|| {
            Problem::new(&codes::RUN_NOT_FOUND, format!("there is no run `{run}`"))
                .hint("`affluent runs` lists them")
        })?;
        if is_over(&found) {
            let fact = format!("run `{run}` has ended, so there is nothing to give up");
            return Err(Problem::new(&codes::RUN_REFUSED, fact)
                .hint("`affluent runs` says which run is unfinished"));
        }
        let mut attempt =
            self.begin(&graph, found.record.clone(), &found.events, &RunOptions::default())?;
        // A crash may have come between a commit and the journal.
        let write = |event: &RunEvent| self.journal.append(&pipeline, run, event);
        attempt.look_for_commits(&write).await?;
        let is_refresh = found.record.kind == RunKind::FullRefresh;
        let mut committed = Vec::new();
        for (at, commit) in &attempt.committed {
            let node = &graph.nodes[*at];
            let Module::Sink(sink) = &node.module else { continue };
            let is_own = match &found.record.kind {
                RunKind::Repeat { nodes, .. } => nodes.contains(&node.id),
                _ => true,
            };
            if !is_own {
                continue;
            }
            let reads_again = found.record.kind == RunKind::Normal;
            let fate = match sink.appends() && reads_again {
                false => Fate::Written,
                true => {
                    let key = self.key_of(&graph, &node.id, run);
                    match sink.check_replaceable(&self.context, &key).await {
                        Ok(()) => Fate::TakenOut,
                        Err(problem) => Fate::Stay(problem),
                    }
                }
            };
            let (sink, commit) = (graph.label(*at), commit.clone());
            committed.push(LeftBehind { sink, commit, fate });
        }
        Ok(GivingUp { committed, is_refresh, run: found, _lock: lock })
    }

    /// Gives the run up for good; durable when this returns.
    pub fn give_up(&self, giving_up: &GivingUp) -> Result<()> {
        self.note_given_up(&giving_up.run)
    }

    pub(crate) fn note_given_up(&self, run: &JournaledRun) -> Result<()> {
        let event = RunEvent::Finished {
            time_us: self.clock.now_us(),
            outcome: Outcome::Abandoned,
            nodes: BTreeMap::new(),
            problems: Vec::new(),
        };
        self.journal.append(&run.record.pipeline, &run.record.run, &event)
    }
}
