//! What follows from ends of runs, for actions that wait for them and for people.

use super::book::{RunEntry, first_problem};
use super::draft::Draft;
use contracts::action::ChildEnd;
use model::notice::Notice;
use model::problem::StoredProblem;
use model::{Problem, codes};
use monitor::metrics;
use scheduler::{RunEnd, RunKey, RunStatus};

/// How a run ended, for the action that has started it.
pub(super) fn child_end(end: RunEnd) -> ChildEnd {
    match end {
        RunEnd::Succeeded => ChildEnd::Succeeded,
        RunEnd::Failed | RunEnd::TimedOut => ChildEnd::Failed,
        RunEnd::Cancelled => ChildEnd::Cancelled,
        RunEnd::Skipped => ChildEnd::Skipped,
    }
}

/// How a run ended, for the metrics.
pub(super) fn ended(end: RunEnd, entry: &RunEntry) -> metrics::RunStatus {
    match end {
        RunEnd::Succeeded => metrics::RunStatus::Succeeded,
        RunEnd::Failed if entry.is_quarantined => metrics::RunStatus::Quarantined,
        RunEnd::Failed => metrics::RunStatus::Failed,
        RunEnd::Cancelled => metrics::RunStatus::Cancelled,
        RunEnd::TimedOut => metrics::RunStatus::TimedOut,
        RunEnd::Skipped => metrics::RunStatus::Skipped,
    }
}

impl Draft<'_> {
    /// Tells people that a run is late.
    pub(super) fn announce_late(&mut self, run: RunKey) {
        let runs = self.book.open();
        let Some(entry) = runs.get(&run) else { return };
        let (pipeline, id) = (entry.pipeline.clone(), entry.id.clone());
        let workspace = entry.workspace.clone();
        let notice = Notice::RunLate { pipeline, run: Some(id), due_us: self.now_us };
        self.writes.notices.push((workspace, notice));
        self.effects.announced = true;
    }

    /// Tells people how a run ended. Parts of something larger tell nothing by themselves.
    pub(super) fn announce_end(&mut self, run: RunKey, end: RunEnd) {
        let runs = self.book.open();
        let Some(entry) = runs.get(&run).filter(|entry| !entry.is_part) else { return };
        let (pipeline, run) = (entry.pipeline.clone(), entry.id.clone());
        let notice = match end {
            RunEnd::Succeeded => Notice::RunSucceeded {
                pipeline,
                run,
                rows_out: entry.rows.0,
                rows_rejected: entry.rows.1,
                elapsed_ms: u64::try_from((self.now_us - entry.created_us) / 1000).unwrap_or(0),
            },
            RunEnd::Failed => {
                let problem = first_problem(entry).or_else(|| never_began_stored(end));
                let Some(problem) = problem else { return };
                Notice::RunFailed { pipeline, run, problem }
            }
            RunEnd::TimedOut => {
                let fact = "the run took longer than it may";
                let problem = Problem::new(&codes::RUN_TIMED_OUT, fact).to_stored();
                Notice::RunFailed { pipeline, run, problem }
            }
            RunEnd::Cancelled | RunEnd::Skipped => return,
        };
        self.writes.notices.push((entry.workspace.clone(), notice));
        self.effects.announced = true;
    }
}

/// Why a run that never began did not.
pub(super) fn never_began(status: RunStatus) -> Option<Problem> {
    let RunStatus::Ended { end: RunEnd::Failed } = status else { return None };
    Some(
        Problem::new(&codes::RUN_LOCKED, "as many runs of the pipeline go on or wait as may")
            .hint("wait for them to end, or change `runs` of the pipeline"),
    )
}

fn never_began_stored(end: RunEnd) -> Option<StoredProblem> {
    never_began(RunStatus::Ended { end }).map(|problem| problem.to_stored())
}

/// What people see of where a run is.
pub(super) fn shown(status: RunStatus, entry: &RunEntry) -> store::RunStatus {
    use store::RunStatus as Shown;
    match status {
        RunStatus::Queued => Shown::Queued,
        RunStatus::Running => Shown::Running,
        RunStatus::Stopping { .. } => Shown::Stopping,
        RunStatus::Ended { end } => match end {
            RunEnd::Succeeded => Shown::Succeeded,
            RunEnd::Failed if entry.is_quarantined => Shown::Quarantined,
            RunEnd::Failed => Shown::Failed,
            RunEnd::Cancelled => Shown::Cancelled,
            RunEnd::TimedOut => Shown::TimedOut,
            RunEnd::Skipped => Shown::Skipped,
        },
    }
}
