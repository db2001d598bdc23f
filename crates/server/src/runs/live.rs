//! What goes on right now, for those who watch.

use model::Name;
use model::run::RunId;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use store::WorkspaceId;
use tokio::sync::watch;

/// Changes of runs that are remembered; whoever has missed more reads the list again.
const CHANGES_MAX: usize = 10_000;

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
#[derive(Debug)]
pub(crate) struct Live {
    runs: Mutex<HashMap<RunId, watch::Sender<Now>>>,
    changes: Mutex<VecDeque<Change>>,
    /// The number of the latest change.
    latest: watch::Sender<u64>,
}

/// That a run has changed.
#[derive(Debug, Clone)]
struct Change {
    number: u64,
    workspace: WorkspaceId,
    run: RunId,
}

/// The runs that have changed since a number.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Since {
    /// The number to ask with the next time.
    pub(crate) number: u64,
    /// The runs, each once; none when it is no longer known which.
    pub(crate) runs: Option<Vec<RunId>>,
}

impl Live {
    /// Numbers begin at `first`, so that those of an earlier process are known to be old.
    pub(crate) fn new(first: u64) -> Self {
        Self {
            runs: Mutex::default(),
            changes: Mutex::default(),
            latest: watch::Sender::new(first),
        }
    }

    /// Follows a run.
    pub(crate) fn watch(&self, run: &RunId) -> watch::Receiver<Now> {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody watches those any more, and nobody works on them.
        runs.retain(|_, sender| sender.receiver_count() > 0);
        runs.entry(run.clone()).or_default().subscribe()
    }

    /// Follows the numbers of changes.
    pub(crate) fn watch_changes(&self) -> watch::Receiver<u64> {
        self.latest.subscribe()
    }

    /// The runs of a workspace that have changed after the change `number`.
    pub(crate) fn since(&self, workspace: &WorkspaceId, number: u64) -> Since {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = *self.latest.borrow();
        let oldest = changes.front().map_or(latest + 1, |change| change.number);
        if number > latest || number + 1 < oldest {
            return Since { number: latest, runs: None };
        }
        let mut runs: Vec<RunId> = Vec::new();
        let new = changes.iter().rev().take_while(|change| change.number > number);
        for change in new.filter(|change| change.workspace == *workspace) {
            if !runs.contains(&change.run) {
                runs.push(change.run.clone());
            }
        }
        runs.reverse();
        Since { number: latest, runs: Some(runs) }
    }

    /// The run itself has changed in the database.
    pub(crate) fn run_changed(&self, workspace: &WorkspaceId, run: &RunId) {
        {
            let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
            let number = *self.latest.borrow() + 1;
            changes.push_back(Change { number, workspace: workspace.clone(), run: run.clone() });
            if changes.len() > CHANGES_MAX {
                changes.pop_front();
            }
            self.latest.send_replace(number);
        }
        self.changed(run);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_back_hears_what_it_has_missed_or_that_it_has_missed_too_much() {
        let (here, there) = (WorkspaceId::generate(1), WorkspaceId::generate(2));
        let live = Live::new(100);
        let runs: Vec<RunId> = (1..=3).map(|at| RunId::generate(at * 1000)).collect();
        for run in [&runs[0], &runs[1], &runs[0]] {
            live.run_changed(&here, run);
        }
        live.run_changed(&there, &runs[2]);
        let told = live.since(&here, 101);
        assert_eq!(told, Since { number: 104, runs: Some(vec![runs[1].clone(), runs[0].clone()]) });
        assert_eq!(live.since(&here, 104).runs, Some(Vec::new()));
        assert_eq!(live.since(&here, 99).runs, None, "an earlier process");
        assert_eq!(live.since(&here, 200).runs, None, "a clock that was put back");
        for _ in 0..CHANGES_MAX {
            live.run_changed(&here, &runs[0]);
        }
        assert_eq!(live.since(&here, 101).runs, None, "too long ago");
    }
}
