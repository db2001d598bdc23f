//! The words of messages, one file per language.

mod english;
mod french;

use super::message::Language;
use chrono::DateTime;
use model::notice::Notice;

/// What a language says.
pub(super) struct Words {
    /// A few words about a notice.
    pub(super) title: fn(&Notice) -> String,
    /// A sentence about it.
    pub(super) sentence: fn(&Notice) -> String,
    /// That so many more news were held back.
    pub(super) more: fn(u64) -> String,
    /// The words of the link.
    pub(super) open: &'static str,
    pipeline: &'static str,
    run: &'static str,
    problem: &'static str,
    detail: &'static str,
    hint: &'static str,
    node: &'static str,
    check: &'static str,
    offending: &'static str,
    table: &'static str,
    added: &'static str,
    removed: &'static str,
    changed: &'static str,
    rows_out: &'static str,
    rows_rejected: &'static str,
    seconds: &'static str,
}

/// The words of a language.
pub(super) fn of(language: Language) -> &'static Words {
    match language {
        Language::English => &english::WORDS,
        Language::French => &french::WORDS,
    }
}

/// Names and values that belong to a notice.
pub(super) fn facts(notice: &Notice, words: &Words) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if let Some(pipeline) = notice.pipeline() {
        facts.push((words.pipeline, pipeline.to_string()));
    }
    match notice {
        Notice::RunFailed { problem, .. } => {
            facts.push((words.problem, format!("{} ({})", problem.message, problem.code)));
            facts.extend(problem.context.node.clone().map(|node| (words.node, node)));
            facts.extend(problem.detail.clone().map(|detail| (words.detail, detail)));
            facts.extend(problem.hint.clone().map(|hint| (words.hint, hint)));
        }
        Notice::RunSucceeded { rows_out, rows_rejected, elapsed_ms, .. } => {
            facts.push((words.rows_out, rows_out.to_string()));
            facts.push((words.rows_rejected, rows_rejected.to_string()));
            facts.push((words.seconds, format!("{:.1}", *elapsed_ms as f64 / 1000.0)));
        }
        Notice::CheckFailed { node, check, offending, .. } => {
            facts.push((words.node, node.to_string()));
            facts.push((words.check, check.clone()));
            facts.push((words.offending, offending.to_string()));
        }
        Notice::SchemaChanged { table, added, removed, changed, .. } => {
            facts.push((words.table, table.clone()));
            let lists = [(words.added, added), (words.removed, removed), (words.changed, changed)];
            let filled = lists.into_iter().filter(|(_, columns)| !columns.is_empty());
            facts.extend(filled.map(|(name, columns)| (name, columns.join(", "))));
        }
        Notice::RunRecovered { .. } | Notice::RunLate { .. } | Notice::Test { .. } => {}
    }
    facts.extend(notice.run().map(|run| (words.run, run.to_string())));
    facts
}

/// An instant to the minute.
fn time(at_us: i64) -> String {
    let time = DateTime::from_timestamp_micros(at_us).unwrap_or_default();
    time.format("%Y-%m-%d %H:%M UTC").to_string()
}
