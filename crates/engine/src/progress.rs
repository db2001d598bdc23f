//! What a run tells while it goes on.

use contracts::RowCounter;
use model::run::{Committed, NodeReport, RunId};
use model::{Name, Problem};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Live numbers of one node.
#[derive(Debug)]
pub struct NodeProgress {
    /// The node.
    pub node: Name,
    /// What people call it.
    pub label: String,
    /// The module.
    pub module: String,
    /// Rows that came in, for a node with one input.
    pub rows_in: Option<Arc<RowCounter>>,
    /// Rows that went on.
    pub rows_out: Arc<RowCounter>,
    /// Rows that were rejected.
    pub rejects: Arc<RowCounter>,
    /// Bytes read, for sources.
    pub bytes: Arc<AtomicU64>,
    /// Whether the engine added the node.
    pub is_implicit: bool,
    /// When the node began.
    pub started: Instant,
}

impl NodeProgress {
    /// The numbers as they are now.
    pub fn report(&self) -> NodeReport {
        let rows_out = self.rows_out.rows();
        NodeReport {
            rows_in: self.rows_in.as_ref().map_or(rows_out, |counter| counter.rows()),
            rows_out,
            rejects: self.rejects.rows(),
            elapsed_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            findings: Default::default(),
            reasons: Vec::new(),
        }
    }

    /// Bytes read so far.
    pub fn bytes_read(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// Something that happened in a run.
#[derive(Debug, Clone)]
pub enum Event {
    /// A run begins, or goes on.
    RunStarted {
        /// The pipeline.
        pipeline: Name,
        /// The run.
        run: RunId,
        /// Whether an earlier attempt had begun it.
        resumed: bool,
    },
    /// There is nothing to read that has not been read.
    NothingNew {
        /// The pipeline.
        pipeline: Name,
        /// Whether the documents differ from those of the latest run.
        documents_changed: bool,
    },
    /// A remark of a source.
    Remark {
        /// The node.
        node: Name,
        /// In words.
        text: String,
    },
    /// A stage begins; its nodes can be watched.
    StageStarted {
        /// The nodes.
        nodes: Vec<Arc<NodeProgress>>,
    },
    /// A check found something and lets the run go on.
    Warning {
        /// The node.
        node: Name,
        /// In words.
        text: String,
    },
    /// A sink has committed.
    Committed {
        /// The sink.
        node: Name,
        /// What it did.
        commit: Committed,
    },
    /// The run has ended.
    RunEnded {
        /// The pipeline.
        pipeline: Name,
        /// Why it failed; empty when it did not.
        problems: Vec<Problem>,
    },
}

/// Takes the events of a run.
pub trait Listener: Send + Sync {
    /// Takes one; must not block.
    fn on(&self, event: Event);
}

/// Takes no notice.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Listener for Silent {
    fn on(&self, _: Event) {}
}
