//! What the journal says of earlier runs.

use contracts::Past;
use contracts::journal::JournaledRun;
use model::Name;
use model::run::{Input, Outcome, RunEvent, RunKind};

pub(crate) fn is_repeat(run: &JournaledRun) -> bool {
    matches!(run.record.kind, RunKind::Repeat { .. })
}

pub(crate) fn is_over(run: &JournaledRun) -> bool {
    run.events.iter().any(|event| {
        matches!(event, RunEvent::Finished { outcome: Outcome::Succeeded | Outcome::Abandoned, .. })
    })
}

pub(crate) fn succeeded(run: &JournaledRun) -> bool {
    run.events
        .iter()
        .any(|event| matches!(event, RunEvent::Finished { outcome: Outcome::Succeeded, .. }))
}

pub(crate) fn abandoned(run: &JournaledRun) -> bool {
    run.events
        .iter()
        .any(|event| matches!(event, RunEvent::Finished { outcome: Outcome::Abandoned, .. }))
}

/// What earlier runs have taken from a source.
pub(crate) fn past(node: &Name, runs: &[JournaledRun], full: bool) -> Past {
    let mut past = Past { full, ..Past::default() };
    for run in runs.iter().filter(|run| !abandoned(run) && !is_repeat(run)) {
        let Some(inputs) = run.record.inputs.get(node) else { continue };
        for input in inputs {
            match input {
                Input::File(arrival) => {
                    let version = arrival.version.clone();
                    past.arrivals.insert((arrival.path.clone(), arrival.size, version));
                }
                Input::Range(range) => past.range = Some(range.clone()),
                Input::Table { .. } | Input::Whole { .. } => {}
            }
        }
        if !inputs.is_empty() {
            past.latest.clone_from(inputs);
        }
    }
    past
}
