//! Makes what a stage has prepared visible: sink after sink, below no failed check.

use crate::graph::Module;
use crate::progress::Event;
use crate::route::CheckTally;
use crate::stage::{Attempt, Record, StageOutcome};
use contracts::{Prepared, Severity};
use model::run::{Committed, RunEvent, RunKind};
use model::{Problem, Result, codes};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl Attempt {
    /// Commits the sinks that no failed check stands above, in order.
    pub(crate) async fn commit_all(
        &mut self,
        prepared: BTreeMap<usize, Box<dyn Prepared>>,
        tallies: &BTreeMap<usize, Arc<CheckTally>>,
        record: Record<'_>,
    ) -> Result<StageOutcome> {
        let mut problems = self.too_many_rejects().into_iter().collect::<Vec<_>>();
        let mut blocked: BTreeSet<usize> = match problems.is_empty() {
            true => BTreeSet::new(),
            false => prepared.keys().copied().collect(),
        };
        for (at, tally) in tallies {
            let node = self.graph.nodes[*at].id.clone();
            for finding in tally.findings(self.record.time_us) {
                if finding.check.severity == Severity::Fail {
                    problems.push(
                        Problem::new(&codes::CHECK_FAILED, finding.fact.clone())
                            .arg("check", &finding.check.label)
                            .hint("mend the data and run again; sinks below have not committed")
                            .in_node(&node),
                    );
                    blocked.extend(prepared.keys().filter(|sink| self.graph.reaches(*at, **sink)));
                } else {
                    let text = finding.fact.clone();
                    self.listener.on(Event::Warning { node: node.clone(), text });
                }
                self.findings.entry(*at).or_default().push(finding);
            }
        }
        let mut prepared = prepared.into_iter();
        while let Some((at, sink)) = prepared.next() {
            // Nothing was rejected: a version without rows would be noise.
            let is_empty_quarantine = self.graph.nodes[at].is_implicit
                && self.counters[at].rows_out.rows() == 0
                && !self.overwrites(at)
                && !self.record.replaces.contains_key(&self.graph.nodes[at].id);
            if blocked.contains(&at) || is_empty_quarantine {
                sink.discard().await;
                continue;
            }
            let node = self.graph.nodes[at].id.clone();
            match self.commit(at, sink, record).await {
                Ok(commit) => {
                    self.listener.on(Event::Committed { node, commit: commit.clone() });
                    self.committed.insert(at, commit);
                }
                Err(problem) => {
                    for (_, rest) in prepared {
                        rest.discard().await;
                    }
                    return Err(problem.in_node(node));
                }
            }
        }
        Ok(StageOutcome { problems })
    }

    pub(crate) async fn commit(
        &mut self,
        at: usize,
        sink: Box<dyn Prepared>,
        record: Record<'_>,
    ) -> Result<Committed> {
        let commit = sink.commit().await?;
        let node = self.graph.nodes[at].id.clone();
        record(&RunEvent::Committed { node, commit: commit.clone() })?;
        if let (Some(table), Some(version)) = (self.graph.nodes[at].table(), commit.version) {
            self.tables.insert(table, version);
        }
        Ok(commit)
    }

    fn too_many_rejects(&self) -> Option<Problem> {
        let rejects: u64 = self.counters.iter().map(|counters| counters.rejects.rows.rows()).sum();
        let allowed = self.rejects_max?;
        (rejects > allowed).then(|| {
            let fact = format!("{rejects} rows were rejected, {allowed} are allowed");
            Problem::new(&codes::TOO_MANY_REJECTS, fact)
                .hint("nothing of this stage has been committed")
        })
    }

    /// In a full refresh the first sink of a table takes the place of what is there, and the other
    /// sinks of the same table add to it.
    pub(crate) fn overwrites(&self, at: usize) -> bool {
        let target = |node: usize| match &self.graph.nodes[node].module {
            Module::Sink(sink) => Some(sink.target()),
            _ => None,
        };
        let earlier = self.committed.keys().chain(self.running.range(..at));
        self.record.kind == RunKind::FullRefresh
            && earlier.into_iter().all(|node| *node == at || target(*node) != target(at))
    }
}
