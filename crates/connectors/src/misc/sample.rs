//! Cuts streams short when only a sample is wanted, and counts the bytes that pass.

use contracts::Batches;
use contracts::source::Sample;
use futures::StreamExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The same rows, counted, and ended at the bounds of `sample`.
pub(crate) fn limit(batches: Batches, sample: Option<Sample>, bytes: &Arc<AtomicU64>) -> Batches {
    let taken = Arc::new(Taken::default());
    batches.map_partitions(|partition| {
        let (taken, bytes) = (Arc::clone(&taken), Arc::clone(bytes));
        let at_start = Arc::clone(&taken);
        partition
            .take_while(move |_| std::future::ready(!at_start.is_full(sample)))
            .map(move |batch| {
                let batch = batch?;
                let size = batch.get_array_memory_size() as u64;
                bytes.fetch_add(size, Ordering::Relaxed);
                let rows = batch.num_rows() as u64;
                let before = taken.rows.fetch_add(rows, Ordering::Relaxed);
                taken.bytes.fetch_add(size, Ordering::Relaxed);
                let wanted = sample.map_or(rows, |sample| sample.rows.saturating_sub(before));
                Ok(batch.slice(0, usize::try_from(wanted.min(rows)).unwrap_or(0)))
            })
            .boxed()
    })
}

#[derive(Default)]
struct Taken {
    rows: AtomicU64,
    bytes: AtomicU64,
}

impl Taken {
    fn is_full(&self, sample: Option<Sample>) -> bool {
        sample.is_some_and(|sample| {
            self.rows.load(Ordering::Relaxed) >= sample.rows
                || self.bytes.load(Ordering::Relaxed) >= sample.bytes
        })
    }
}
