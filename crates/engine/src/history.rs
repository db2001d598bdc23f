//! What the journal says of earlier runs.

use contracts::Past;
use contracts::journal::JournaledRun;
use model::Name;
use model::run::{Input, Outcome, RunEvent, RunId, RunKind};
use std::collections::BTreeMap;

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

/// Nodes whose sinks a run has committed, as its journal says.
pub(crate) fn committed_nodes(run: &JournaledRun) -> impl Iterator<Item = &Name> {
    run.events.iter().filter_map(|event| match event {
        RunEvent::Committed { node, .. } => Some(node),
        _ => None,
    })
}

/// A run, then those that have repeated it, oldest first.
pub(crate) fn with_repeats<'a>(
    runs: &'a [JournaledRun],
    of: &'a RunId,
) -> impl DoubleEndedIterator<Item = &'a JournaledRun> {
    runs.iter().filter(move |run| match &run.record.kind {
        RunKind::Repeat { of: repeated, .. } => repeated == of,
        _ => run.record.run == *of,
    })
}

/// Given-up runs whose rows are still where a sink has appended them, by sink. Their inputs are
/// read again, so that the next commit of the sink takes those rows out.
pub(crate) fn given_up(runs: &[JournaledRun]) -> BTreeMap<Name, Vec<RunId>> {
    let mut left: BTreeMap<Name, Vec<RunId>> = BTreeMap::new();
    for run in runs.iter().filter(|run| !is_repeat(run)) {
        for node in committed_nodes(run) {
            let left = left.entry(node.clone()).or_default();
            match run.record.kind {
                RunKind::FullRefresh => left.clear(),
                _ => left.retain(|old| {
                    let replaced = run.record.replaces.get(node);
                    !replaced.is_some_and(|replaced| replaced.contains(old))
                }),
            }
            if abandoned(run) && !left.contains(&run.record.run) {
                left.push(run.record.run.clone());
            }
        }
    }
    left.retain(|_, runs| !runs.is_empty());
    left
}

/// A full refresh that was given up after it had committed something: tables then hold more than
/// the journal's other runs have read.
pub(crate) fn half_refreshed(runs: &[JournaledRun]) -> Option<&JournaledRun> {
    let last = runs.iter().rev().find(|run| !is_repeat(run))?;
    let is_refresh = last.record.kind == RunKind::FullRefresh;
    let has_committed = committed_nodes(last).next().is_some();
    (is_refresh && abandoned(last) && has_committed).then_some(last)
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
