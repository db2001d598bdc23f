//! English.

use super::{Words, time};
use model::notice::Notice;

pub(super) const WORDS: Words = Words {
    title,
    sentence,
    more,
    open: "Open the run",
    pipeline: "Pipeline",
    run: "Run",
    problem: "Problem",
    detail: "Detail",
    hint: "What to do",
    node: "Node",
    check: "Check",
    offending: "Rows not accepted",
    table: "Table",
    added: "New columns",
    removed: "Missing columns",
    changed: "Columns of another type",
    rows_out: "Rows written",
    rows_rejected: "Rows rejected",
    seconds: "Seconds",
};

fn title(notice: &Notice) -> String {
    match notice {
        Notice::RunFailed { pipeline, .. } => format!("{pipeline} failed"),
        Notice::RunRecovered { pipeline, .. } => format!("{pipeline} works again"),
        Notice::RunSucceeded { pipeline, .. } => format!("{pipeline} succeeded"),
        Notice::RunLate { pipeline, .. } => format!("{pipeline} is late"),
        Notice::CheckFailed { pipeline, check, .. } => {
            format!("{pipeline}: check {check} failed")
        }
        Notice::SchemaChanged { pipeline, table, .. } => {
            format!("{pipeline}: columns for {table} have changed")
        }
        Notice::Test { .. } => "test message".to_owned(),
    }
}

fn sentence(notice: &Notice) -> String {
    match notice {
        Notice::RunFailed { pipeline, problem, .. } => {
            format!("A run of {pipeline} failed: {}.", problem.message)
        }
        Notice::RunRecovered { pipeline, failures, failing_since_us, .. } => {
            let times = if *failures == 1 { "time" } else { "times" };
            let since = time(*failing_since_us);
            format!(
                "A run of {pipeline} succeeded. It had failed {failures} {times} since {since}."
            )
        }
        Notice::RunSucceeded { pipeline, .. } => format!("A run of {pipeline} succeeded."),
        Notice::RunLate { pipeline, due_us, .. } => {
            format!("{pipeline} should have been done by {}.", time(*due_us))
        }
        Notice::CheckFailed { pipeline, node, check, offending, .. } => {
            let rows = if *offending == 1 { "row" } else { "rows" };
            format!("{check} does not accept {offending} {rows} of {node} in {pipeline}.")
        }
        Notice::SchemaChanged { table, .. } => {
            format!("The columns that come in for {table} are not those it has.")
        }
        Notice::Test { by } => format!("{by} tries this channel. It works."),
    }
}

fn more(count: u64) -> String {
    match count {
        1 => "And 1 more since the message before.".to_owned(),
        count => format!("And {count} more since the message before."),
    }
}
