//! What follows from ends of runs.

use contracts::action::ChildEnd;
use scheduler::RunEnd;

/// How a run ended, for the action that has started it.
pub(super) fn child_end(end: RunEnd) -> ChildEnd {
    match end {
        RunEnd::Succeeded => ChildEnd::Succeeded,
        RunEnd::Failed | RunEnd::TimedOut => ChildEnd::Failed,
        RunEnd::Cancelled => ChildEnd::Cancelled,
        RunEnd::Skipped => ChildEnd::Skipped,
    }
}
