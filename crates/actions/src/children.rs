//! The runs that an action has started, told apart by name and attempt.

use contracts::action::{ChildEnd, ChildRun};
use model::{Problem, codes};
use std::collections::HashMap;

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

/// The latest run under each name.
pub(crate) struct Latest<'a>(HashMap<&'a str, (u32, &'a ChildRun)>);

impl<'a> Latest<'a> {
    /// Of the runs that a task has started.
    pub(crate) fn of(runs: &'a [ChildRun]) -> Self {
        let mut latest: HashMap<&str, (u32, &ChildRun)> = HashMap::with_capacity(runs.len());
        for run in runs {
            let Some((name, attempt)) = run.key.rsplit_once('/') else { continue };
            let Ok(attempt) = attempt.parse() else { continue };
            let known = latest.entry(name).or_insert((attempt, run));
            if known.0 <= attempt {
                *known = (attempt, run);
            }
        }
        Self(latest)
    }

    /// The run under `name`, as the attempt `attempt` sees it.
    pub(crate) fn find(&self, name: &str, attempt: u32) -> Child<'a> {
        match self.0.get(name) {
            None => Child::ToStart,
            Some((_, ChildRun { end: None, .. })) => Child::Running,
            Some((started, run @ ChildRun { end: Some(end), .. })) => {
                match *end == ChildEnd::Succeeded || *started >= attempt {
                    true => Child::Ended(run, *end),
                    false => Child::ToStart,
                }
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
