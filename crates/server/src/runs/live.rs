//! What goes on right now, for those who watch.

use model::Name;
use model::run::RunId;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use tokio::sync::watch;

/// Rows given on and rejected so far, by node.
pub(crate) type Counts = Vec<(Name, u64, u64)>;

/// What is known of a run at work beyond the database.
#[derive(Debug, Clone, Default)]
pub(crate) struct Now {
    /// Grows whenever the log or the run has changed in the database.
    pub(crate) changes: u64,
    /// The latest counts.
    pub(crate) counts: Counts,
}

/// The runs that somebody works on or watches.
#[derive(Debug, Default)]
pub(crate) struct Live {
    runs: Mutex<HashMap<RunId, watch::Sender<Now>>>,
}

impl Live {
    /// Follows a run.
    pub(crate) fn watch(&self, run: &RunId) -> watch::Receiver<Now> {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody watches those any more, and nobody works on them.
        runs.retain(|_, sender| sender.receiver_count() > 0);
        runs.entry(run.clone()).or_default().subscribe()
    }

    /// The database has something new about the run.
    pub(crate) fn changed(&self, run: &RunId) {
        self.tell(run, |now| now.changes += 1);
    }

    /// The nodes of the run have come further.
    pub(crate) fn count(&self, run: &RunId, counts: Counts) {
        self.tell(run, |now| now.counts = counts);
    }

    fn tell(&self, run: &RunId, change: impl FnOnce(&mut Now)) {
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = runs.get(run) {
            sender.send_modify(change);
        }
    }
}
