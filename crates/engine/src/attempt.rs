//! What an attempt finds done, what it has still to do, and what it reports.

use crate::graph::Module;
use crate::stage::{Attempt, Record};
use model::run::{Committed, NodeReport, RunEvent};
use model::{Name, Result};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Attempt {
    /// Asks the target of every sink that the journal does not know: a crash may have come between
    /// the commit and the journal.
    pub(crate) async fn look_for_commits(&mut self, write: Record<'_>) -> Result<()> {
        let graph = Arc::clone(&self.graph);
        for (at, node) in graph.nodes.iter().enumerate() {
            let Module::Sink(sink) = &node.module else { continue };
            if self.committed.contains_key(&at) {
                continue;
            }
            let request = self.sink_request(at);
            let found = sink.committed(&self.context, &request).await;
            let Some(commit) = found.map_err(|problem| problem.in_node(&node.id))? else {
                continue;
            };
            write(&RunEvent::Committed { node: node.id.clone(), commit: commit.clone() })?;
            if let (Some(table), Some(version)) = (node.table(), commit.version) {
                self.tables.insert(table, version);
            }
            self.committed.insert(at, Committed { already: true, ..commit });
        }
        Ok(())
    }

    /// Nodes from which a sink is reached that has not committed.
    pub(crate) fn useful(&self) -> BTreeSet<usize> {
        let mut useful = BTreeSet::new();
        for at in (0..self.graph.nodes.len()).rev() {
            let node = &self.graph.nodes[at];
            let wanted = match node.is_sink() {
                true => !self.committed.contains_key(&at) && self.has_something_to_read(at),
                false => self.graph.consumers(at).any(|(to, _)| useful.contains(&to)),
            };
            if wanted && self.view(at).is_none() {
                useful.insert(at);
            }
        }
        useful
    }

    /// Whether any source above a sink reads something in this run. A sink whose sources have
    /// nothing new is left alone: as an overwrite it would empty its table.
    fn has_something_to_read(&self, sink: usize) -> bool {
        let mut sources = (0..sink)
            .filter(|at| matches!(self.graph.nodes[*at].module, Module::Source(_)))
            .filter(|at| self.graph.reaches(*at, sink))
            .peekable();
        sources.peek().is_none()
            || sources.any(|at| {
                let inputs = self.record.inputs.get(&self.graph.nodes[at].id);
                inputs.is_some_and(|inputs| !inputs.is_empty())
            })
    }

    /// Numbers of every node that took part.
    pub(crate) fn report(&self) -> Vec<(Name, NodeReport)> {
        let mut reports = Vec::new();
        for (at, node) in self.graph.nodes.iter().enumerate() {
            let Some(started) = self.counters[at].started else { continue };
            if node.is_implicit {
                continue;
            }
            let counters = &self.counters[at];
            let rows_out = counters.rows_out.rows();
            let findings = self.findings.get(&at).into_iter().flatten();
            reports.push((
                node.id.clone(),
                NodeReport {
                    rows_in: self.rows_in(at).map_or(rows_out, |counter| counter.rows()),
                    rows_out,
                    rejects: counters.rejects.rows.rows(),
                    elapsed_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
                    findings: findings
                        .map(|finding| (finding.check.label.clone(), finding.rows))
                        .collect(),
                    reasons: counters.rejects.reasons.top(),
                },
            ));
        }
        reports
    }
}
