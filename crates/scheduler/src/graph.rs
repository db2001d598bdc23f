//! The graph of a run as the scheduler sees it: who waits for whom, and under which conditions.

use crate::ids::{NodeIndex, PoolId};
use crate::retry::RetryPolicy;
use model::{Problem, Result, codes};
use serde::{Deserialize, Serialize};
use stdx::clock::Micros;

/// A run has at most this many nodes, the copies of loops included.
pub const NODES_MAX: usize = 1_000_000;

/// Which ends of its parents let a node begin. Rules are looked at when all parents have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// All of them succeeded.
    #[default]
    AllSucceeded,
    /// One of them succeeded, none failed: where branches meet again.
    NoneFailed,
    /// One of them failed: the error path.
    AnyFailed,
    /// Whatever happened, even when the run is cancelled: `finally`.
    AllDone,
}

/// Who does the work of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeKind {
    /// A worker, under a lease.
    #[default]
    Work,
    /// Nobody: it waits for an answer from outside (a person, a file, a table) and holds no slot.
    Wait,
}

/// Slots that a node holds while it is worked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// The pool, one of the same workspace.
    pub pool: PoolId,
    /// How many of its slots; one at least. Who asks for more than there are takes all.
    pub slots: u32,
}

/// A node as it is declared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// The nodes it waits for, each once. They come before it in the graph.
    pub parents: Vec<NodeIndex>,
    /// Who does the work.
    pub kind: NodeKind,
    /// Which ends of its parents let it begin.
    pub rule: Rule,
    /// What happens when an attempt fails.
    pub retry: RetryPolicy,
    /// How long one attempt, or the wait for an answer, may take, in µs.
    pub timeout_us: Micros,
    /// Slots it holds meanwhile.
    pub need: Option<Need>,
}

/// How long a node may take when nobody has said so: a day.
pub const TIMEOUT_US: Micros = 24 * 60 * 60 * 1_000_000;

impl Default for Node {
    fn default() -> Self {
        Self {
            parents: Vec::new(),
            kind: NodeKind::default(),
            rule: Rule::default(),
            retry: RetryPolicy::default(),
            timeout_us: TIMEOUT_US,
            need: None,
        }
    }
}

/// Nodes in an order in which parents come before their children, so there is no circle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Node>", into = "Vec<Node>")]
pub struct Graph {
    nodes: Vec<Node>,
    children: Vec<Vec<NodeIndex>>,
}

impl Graph {
    /// Checks the nodes and finds the children of each.
    pub fn new(nodes: Vec<Node>) -> Result<Self> {
        if nodes.len() > NODES_MAX {
            return Err(invalid(format!("a run of {} nodes is too large", nodes.len()))
                .hint(format!("use {NODES_MAX} nodes at most: split it into several pipelines")));
        }
        let mut children = vec![Vec::new(); nodes.len()];
        for (index, node) in (0..).zip(&nodes) {
            check(index, node)?;
            for parent in &node.parents {
                let siblings: &mut Vec<NodeIndex> = &mut children[position(*parent)];
                if siblings.last() == Some(&index) {
                    let fact = format!("node {index} names its parent {parent} twice");
                    return Err(invalid(fact).hint("name each parent once"));
                }
                siblings.push(index);
            }
        }
        Ok(Self { nodes, children })
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Whether there is a node `index`.
    pub fn contains(&self, index: NodeIndex) -> bool {
        position(index) < self.nodes.len()
    }

    /// A node that [`Graph::contains`].
    pub fn node(&self, index: NodeIndex) -> &Node {
        &self.nodes[position(index)]
    }

    /// The nodes that wait for a node that [`Graph::contains`], in ascending order.
    pub fn children(&self, index: NodeIndex) -> &[NodeIndex] {
        &self.children[position(index)]
    }
}

impl TryFrom<Vec<Node>> for Graph {
    type Error = Problem;

    fn try_from(nodes: Vec<Node>) -> Result<Self> {
        Self::new(nodes)
    }
}

impl From<Graph> for Vec<Node> {
    fn from(graph: Graph) -> Self {
        graph.nodes
    }
}

/// Where a node stands in a list of all nodes.
pub(crate) fn position(index: NodeIndex) -> usize {
    index as usize
}

fn invalid(fact: String) -> Problem {
    Problem::new(&codes::GRAPH_INVALID, fact)
}

fn check(index: NodeIndex, node: &Node) -> Result<()> {
    if let Some(parent) = node.parents.iter().find(|parent| **parent >= index) {
        let fact = format!("node {index} waits for node {parent}, which does not come before it");
        return Err(Problem::new(&codes::GRAPH_CYCLE, fact)
            .hint("order the nodes so that parents come first; a circle cannot be ordered"));
    }
    if node.timeout_us <= 0 {
        let fact = format!("node {index} may take no time at all");
        return Err(invalid(fact).hint("use a time-out of more than zero"));
    }
    if node.need.is_some_and(|need| need.slots == 0) {
        let fact = format!("node {index} asks for no slots of its pool");
        return Err(invalid(fact).hint("ask for one slot or more, or for no pool"));
    }
    node.retry.check().map_err(|problem| problem.in_node(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(parents: &[NodeIndex]) -> Node {
        Node { parents: parents.to_vec(), ..Node::default() }
    }

    #[test]
    fn children_are_the_other_side_of_parents() {
        let graph = Graph::new(vec![node(&[]), node(&[0]), node(&[0, 1])]).unwrap();
        assert_eq!(graph.children(0), [1, 2]);
        assert_eq!(graph.children(1), [2]);
        assert!(graph.children(2).is_empty());
    }

    #[test]
    fn what_cannot_run_is_refused() {
        let no_time = Node { timeout_us: 0, ..Node::default() };
        let no_slots = Node { need: Some(Need { pool: PoolId(1), slots: 0 }), ..Node::default() };
        for nodes in [vec![node(&[0])], vec![node(&[1]), node(&[])]] {
            assert!(Graph::new(nodes).unwrap_err().is(&codes::GRAPH_CYCLE));
        }
        for nodes in [vec![no_time], vec![no_slots], vec![node(&[]), node(&[0, 0])]] {
            let problem = Graph::new(nodes).unwrap_err();
            assert!(problem.is(&codes::GRAPH_INVALID), "{problem}");
            assert!(problem.hint_text().is_some());
        }
    }
}
