//! One run: the states of its nodes, and who may begin when one of them ends.
//!
//! Each node counts the parents it still waits for. The end of a node lowers the counters of its
//! children and looks at nothing else, however many nodes wait.

use crate::graph::{Graph, NodeKind, Rule, position};
use crate::ids::{NodeIndex, NodeKey, RunKey, WorkerId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use stdx::clock::Micros;

/// Where a node of a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum NodeState {
    /// Its parents have not all ended. Nodes without a row are in this state.
    Waiting,
    /// It waits for a worker, in µs since the epoch.
    Ready {
        /// Since then.
        since_us: Micros,
    },
    /// It waits before the next attempt.
    Resting {
        /// Until then, in µs since the epoch.
        until_us: Micros,
    },
    /// A worker works at it.
    Leased(Lease),
    /// It waits for an answer from outside.
    Asking {
        /// Until then, in µs since the epoch; no answer is a failure.
        until_us: Micros,
    },
    /// It has ended.
    Ended {
        /// How.
        end: NodeEnd,
    },
}

/// The right to work at a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Who has it.
    pub worker: WorkerId,
    /// When the attempt began, in µs since the epoch.
    pub since_us: Micros,
    /// When it ends if it is not renewed, in µs since the epoch, by the database's clock.
    pub expires_us: Micros,
    /// Whether the worker has been told to stop, and why. Such a lease is not renewed.
    pub stop: Option<Stop>,
}

/// Why a worker is told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// The run was cancelled.
    Cancelled,
    /// The attempt took longer than the node may.
    TimedOut,
}

/// How a node ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeEnd {
    /// It did what it should.
    Succeeded,
    /// Its last attempt failed.
    Failed,
    /// Its rule did not let it begin.
    Skipped,
    /// Its run was cancelled before it had ended.
    Cancelled,
    /// It was put aside because workers died of it.
    Quarantined,
}

/// A node run as its row stores it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRow {
    /// Which node.
    pub key: NodeKey,
    /// Where it stands.
    pub state: NodeState,
    /// Leases that were ever given for it: the number of the current one.
    pub epoch: u64,
    /// Attempts that failed.
    pub failures: u32,
    /// Attempts whose worker was lost.
    pub losses: u32,
    /// Children it decided not to let begin.
    pub not_taken: Vec<NodeIndex>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunEnd {
    /// All nodes did what they should, or their failures were handled.
    Succeeded,
    /// A node failed or was put aside.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
    /// It took longer than it may.
    TimedOut,
    /// It never began, because of another run of its pipeline.
    Skipped,
}

/// The nodes of a run.
#[derive(Debug)]
pub(crate) struct Nodes {
    run: RunKey,
    graph: Arc<Graph>,
    nodes: Vec<NodeRun>,
    /// Nodes that have not ended.
    open: usize,
    /// Nodes that failed or were put aside.
    failed: Vec<NodeIndex>,
    cancelled: usize,
    /// Why the run is being stopped, if it is.
    stop: Option<RunEnd>,
    /// Counters that were changed, for the test that there are few.
    #[cfg(test)]
    pub(crate) touched: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct NodeRun {
    pub(crate) state: NodeState,
    pub(crate) epoch: u64,
    pub(crate) failures: u32,
    pub(crate) losses: u32,
    not_taken: Vec<NodeIndex>,
    parents: Parents,
}

/// What is known of a node's parents.
#[derive(Debug, Clone, Copy, Default)]
struct Parents {
    /// Not ended yet.
    open: u32,
    succeeded: u32,
    failed: u32,
}

impl Parents {
    fn count(&mut self, end: NodeEnd, taken: bool) {
        match end {
            NodeEnd::Succeeded => self.succeeded += u32::from(taken),
            NodeEnd::Failed | NodeEnd::Quarantined => self.failed += 1,
            NodeEnd::Skipped | NodeEnd::Cancelled => {}
        }
    }

    /// Whether `rule` lets a node with `all` parents, which have all ended, begin.
    fn allow(self, rule: Rule, all: usize) -> bool {
        match rule {
            Rule::AllSucceeded => self.succeeded as usize == all,
            Rule::NoneFailed => self.failed == 0 && (self.succeeded > 0 || all == 0),
            Rule::AnyFailed => self.failed > 0,
            Rule::AllDone => true,
        }
    }
}

impl Nodes {
    /// The nodes of a run of `graph`, all waiting. [`Nodes::settle`] begins.
    pub(crate) fn new(run: RunKey, graph: Arc<Graph>) -> Self {
        let waiting = NodeRun {
            state: NodeState::Waiting,
            epoch: 0,
            failures: 0,
            losses: 0,
            not_taken: Vec::new(),
            parents: Parents::default(),
        };
        let nodes = vec![waiting; graph.len()];
        let open = graph.len();
        Self {
            run,
            graph,
            nodes,
            open,
            failed: Vec::new(),
            cancelled: 0,
            stop: None,
            #[cfg(test)]
            touched: 0,
        }
    }

    /// Puts a node where its row says. [`Nodes::settle`] follows.
    pub(crate) fn restore(&mut self, row: &NodeRow) {
        let Some(node) = self.nodes.get_mut(position(row.key.node)) else { return };
        node.state = row.state;
        node.epoch = row.epoch;
        node.failures = row.failures;
        node.losses = row.losses;
        node.not_taken.clone_from(&row.not_taken);
    }

    /// Lets nodes that failed or were cancelled begin again from nothing, and with them everything
    /// that follows from them, be it an error path or a `finally` that succeeded. Branches that
    /// were not taken stay so. [`Nodes::settle`] follows.
    pub(crate) fn reset_unsuccessful(&mut self) -> Vec<NodeIndex> {
        let graph = Arc::clone(&self.graph);
        let mut is_reset = vec![false; graph.len()];
        let mut reset = Vec::new();
        for index in self.indexes() {
            let node = &mut self.nodes[position(index)];
            let stays = matches!(
                node.state,
                NodeState::Ended { end: NodeEnd::Succeeded | NodeEnd::Skipped }
            );
            let parents = &graph.node(index).parents;
            if !stays || parents.iter().any(|parent| is_reset[position(*parent)]) {
                is_reset[position(index)] = true;
                node.state = NodeState::Waiting;
                node.failures = 0;
                node.losses = 0;
                node.not_taken.clear();
                reset.push(index);
            }
        }
        reset
    }

    /// Counts everything anew and lets begin what can: at the start of a run, and when it is built
    /// again from its rows. Gives the nodes whose state changed.
    pub(crate) fn settle(&mut self, now_us: Micros) -> Vec<NodeIndex> {
        let graph = Arc::clone(&self.graph);
        let mut changed = Vec::new();
        (self.open, self.cancelled) = (graph.len(), 0);
        self.failed.clear();
        // Parents come first, so one pass is enough.
        for index in 0..node_count(&graph) {
            let mut parents = Parents::default();
            for parent in &graph.node(index).parents {
                let parent = &self.nodes[position(*parent)];
                match parent.state {
                    NodeState::Ended { end } => {
                        parents.count(end, !parent.not_taken.contains(&index));
                    }
                    _ => parents.open += 1,
                }
            }
            self.nodes[position(index)].parents = parents;
            let is_waiting = self.nodes[position(index)].state == NodeState::Waiting;
            if is_waiting && parents.open == 0 {
                self.nodes[position(index)].state = self.decide(index, now_us);
                changed.push(index);
            }
            if let NodeState::Ended { end } = self.nodes[position(index)].state {
                self.count_end(index, end);
            }
        }
        changed
    }

    /// Ends a node and everything that follows from it, and lets begin what can. Gives the nodes
    /// whose state changed.
    pub(crate) fn end(
        &mut self,
        index: NodeIndex,
        end: NodeEnd,
        not_taken: Vec<NodeIndex>,
        now_us: Micros,
    ) -> Vec<NodeIndex> {
        let node = &mut self.nodes[position(index)];
        assert!(!matches!(node.state, NodeState::Ended { .. }), "a node ends once");
        node.state = NodeState::Ended { end };
        node.not_taken = not_taken;
        self.count_end(index, end);
        let mut changed = vec![index];
        let mut next = 0;
        while let Some(ended) = changed.get(next).copied() {
            next += 1;
            if let NodeState::Ended { end } = self.nodes[position(ended)].state {
                self.tell_children(ended, end, now_us, &mut changed);
            }
        }
        changed
    }

    /// Lowers the counters of the children of `parent`, which has ended.
    fn tell_children(
        &mut self,
        parent: NodeIndex,
        end: NodeEnd,
        now_us: Micros,
        changed: &mut Vec<NodeIndex>,
    ) {
        let graph = Arc::clone(&self.graph);
        for child in graph.children(parent) {
            #[cfg(test)]
            {
                self.touched += 1;
            }
            let taken = !self.nodes[position(parent)].not_taken.contains(child);
            let node = &mut self.nodes[position(*child)];
            node.parents.open -= 1;
            node.parents.count(end, taken);
            if node.parents.open == 0 && node.state == NodeState::Waiting {
                let state = self.decide(*child, now_us);
                self.nodes[position(*child)].state = state;
                if let NodeState::Ended { end } = state {
                    self.count_end(*child, end);
                }
                changed.push(*child);
            }
        }
    }

    /// What becomes of a node whose parents have all ended.
    fn decide(&self, index: NodeIndex, now_us: Micros) -> NodeState {
        let node = self.graph.node(index);
        let parents = self.nodes[position(index)].parents;
        if self.stop.is_some() && node.rule != Rule::AllDone {
            NodeState::Ended { end: NodeEnd::Cancelled }
        } else if !parents.allow(node.rule, node.parents.len()) {
            NodeState::Ended { end: NodeEnd::Skipped }
        } else {
            self.begin_state(index, now_us)
        }
    }

    /// The state in which an attempt at a node begins.
    pub(crate) fn begin_state(&self, index: NodeIndex, now_us: Micros) -> NodeState {
        let node = self.graph.node(index);
        match node.kind {
            NodeKind::Wait => {
                NodeState::Asking { until_us: now_us.saturating_add(node.timeout_us) }
            }
            NodeKind::Work => NodeState::Ready { since_us: now_us },
        }
    }

    fn count_end(&mut self, index: NodeIndex, end: NodeEnd) {
        self.open -= 1;
        match end {
            NodeEnd::Failed | NodeEnd::Quarantined => self.failed.push(index),
            NodeEnd::Cancelled => self.cancelled += 1,
            NodeEnd::Succeeded | NodeEnd::Skipped => {}
        }
    }

    /// From now on only `finally` nodes begin; the run will end as `end` unless all is done.
    pub(crate) fn stop(&mut self, end: RunEnd) {
        self.stop.get_or_insert(end);
    }

    /// Whether the run is being stopped.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stop.is_some()
    }

    /// How the run ended. None while a node has not.
    pub(crate) fn run_end(&self) -> Option<RunEnd> {
        if self.open > 0 {
            return None;
        }
        if let (Some(end), 1..) = (self.stop, self.cancelled) {
            return Some(end);
        }
        let all_handled = self.failed.iter().all(|index| self.is_handled(*index));
        Some(if all_handled { RunEnd::Succeeded } else { RunEnd::Failed })
    }

    /// Whether an error path took care of the failure of node `index`.
    fn is_handled(&self, index: NodeIndex) -> bool {
        self.graph.children(index).iter().any(|child| {
            self.graph.node(*child).rule == Rule::AnyFailed
                && self.node(*child).state == NodeState::Ended { end: NodeEnd::Succeeded }
        })
    }

    pub(crate) fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    /// A node that the graph contains.
    pub(crate) fn node(&self, index: NodeIndex) -> &NodeRun {
        &self.nodes[position(index)]
    }

    /// A node that the graph contains, to move it between states that are no end.
    pub(crate) fn node_mut(&mut self, index: NodeIndex) -> &mut NodeRun {
        &mut self.nodes[position(index)]
    }

    /// The row of a node that the graph contains.
    pub(crate) fn row(&self, index: NodeIndex) -> NodeRow {
        let node = self.node(index);
        NodeRow {
            key: NodeKey { run: self.run, node: index },
            state: node.state,
            epoch: node.epoch,
            failures: node.failures,
            losses: node.losses,
            not_taken: node.not_taken.clone(),
        }
    }

    /// All nodes.
    pub(crate) fn indexes(&self) -> std::ops::Range<NodeIndex> {
        0..node_count(&self.graph)
    }
}

fn node_count(graph: &Graph) -> NodeIndex {
    NodeIndex::try_from(graph.len()).expect("a graph has at most a million nodes")
}

#[cfg(test)]
mod tests;
