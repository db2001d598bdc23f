//! How many records came in, and what became of them.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one reading: `records` = `loaded` + `rejected`, always.
#[derive(Debug, Default)]
pub struct Counts {
    records: AtomicU64,
    loaded: AtomicU64,
    rejected: AtomicU64,
}

impl Counts {
    /// Records in the files; blank lines, comments and header rows are none.
    pub fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// Records that became rows.
    pub fn loaded(&self) -> u64 {
        self.loaded.load(Ordering::Relaxed)
    }

    /// Records that became rejects.
    pub fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, records: u64, loaded: u64, rejected: u64) {
        self.records.fetch_add(records, Ordering::Relaxed);
        self.loaded.fetch_add(loaded, Ordering::Relaxed);
        self.rejected.fetch_add(rejected, Ordering::Relaxed);
    }
}
