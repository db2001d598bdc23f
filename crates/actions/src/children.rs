//! The runs that an action has started, told apart by name and attempt.

use contracts::action::{ChildEnd, ChildRun};
use model::{Problem, codes};

/// What a run is started under: a later attempt at the task starts it anew only if it failed.
pub(crate) fn key(name: &str, attempt: u32) -> String {
    format!("{name}/{attempt}")
}

/// The latest run under a name, and whether this attempt has to start another.
pub(crate) enum Child<'a> {
    /// There is none, or only one that failed in an earlier attempt.
    ToStart,
    /// It goes on.
    Running,
    /// It ended.
    Ended(&'a ChildRun, ChildEnd),
}

/// The run under `name` among those that the task has started.
pub(crate) fn find<'a>(runs: &'a [ChildRun], name: &str, attempt: u32) -> Child<'a> {
    let attempt_of = |run: &ChildRun| -> Option<u32> {
        let (of, attempt) = run.key.rsplit_once('/')?;
        (of == name).then(|| attempt.parse().ok()).flatten()
    };
    let numbered = runs.iter().filter_map(|run| Some((attempt_of(run)?, run)));
    match numbered.max_by_key(|(attempt, _)| *attempt) {
        None => Child::ToStart,
        Some((_, ChildRun { end: None, .. })) => Child::Running,
        Some((started, run @ ChildRun { end: Some(end), .. })) => {
            match *end == ChildEnd::Succeeded || started >= attempt {
                true => Child::Ended(run, *end),
                false => Child::ToStart,
            }
        }
    }
}

/// Runs that have not succeeded.
pub(crate) fn failed(fact: String) -> Problem {
    Problem::new(&codes::STARTED_RUN_FAILED, fact).hint(
        "see why in the runs it has started; when that is put right, go on from this node: what \
         has succeeded is not run again",
    )
}
