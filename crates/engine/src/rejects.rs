//! Rejected rows on their way to whoever takes them.

use crate::queue::{Queue, read};
use crate::reasons::Reasons;
use arrow::array::RecordBatch;
use contracts::rejects::{rejects_batch, rejects_schema};
use contracts::{Batches, Reject, RejectSink, RowCounter};
use model::{Name, Result};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// Rows that are gathered before they become a batch.
const ROWS_PER_BATCH: usize = 1024;

/// How many rows were rejected, and why.
#[derive(Debug, Clone, Default)]
pub(crate) struct RejectCounters {
    pub(crate) rows: Arc<RowCounter>,
    pub(crate) reasons: Arc<Reasons>,
}

/// Takes the rejects of one node. When the last clone is dropped, the stream of them ends.
pub(crate) struct Rejects {
    node: Name,
    queue: Arc<Queue>,
    counters: RejectCounters,
    pending: Mutex<Vec<Reject>>,
}

impl Rejects {
    /// A collector and the rows that it will have collected.
    pub(crate) fn new(
        node: &Name,
        counters: &RejectCounters,
        spill: &Path,
    ) -> (Arc<Self>, Batches) {
        let queue = Arc::new(Queue::new(spill.to_owned(), Arc::new(Notify::new())));
        let rows = Batches::new(rejects_schema(), vec![read(Arc::clone(&queue))]);
        let (node, counters) = (node.clone(), counters.clone());
        (Arc::new(Self { node, queue, counters, pending: Mutex::default() }), rows)
    }

    /// Takes a batch on the schema of rejects.
    pub(crate) fn push(&self, batch: &RecordBatch) -> Result<()> {
        self.counters.rows.add(batch.num_rows());
        self.counters.reasons.count(batch);
        self.queue.push(batch)
    }

    fn flush(&self, rejects: &[Reject]) -> Result<()> {
        if rejects.is_empty() {
            return Ok(());
        }
        self.push(&rejects_batch(self.node.as_str(), rejects)?)
    }
}

impl RejectSink for Rejects {
    fn reject(&self, reject: Reject) -> Result<()> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.push(reject);
        if pending.len() < ROWS_PER_BATCH {
            return Ok(());
        }
        let rejects = std::mem::take(&mut *pending);
        drop(pending);
        self.flush(&rejects)
    }
}

impl Drop for Rejects {
    fn drop(&mut self) {
        let rejects =
            std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner));
        match self.flush(&rejects) {
            Ok(()) => self.queue.end(),
            Err(problem) => self.queue.fail(problem),
        }
    }
}
