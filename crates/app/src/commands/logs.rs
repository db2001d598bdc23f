//! `affluent logs`: what a run read, did and met.

use super::tables::instant;
use super::{Outcome, Session};
use crate::output::{ExitCode, Output, duration, table};
use clap::Args;
use contracts::journal::{JournaledRun, RunJournal};
use model::run::{Input, RunEvent};
use model::{Problem, codes};
use std::time::Duration;
use stdx::text::group_digits;

const EXAMPLES: &str = "\
Examples:\n\
\x20 affluent logs                         the newest run\n\
\x20 affluent logs 01J9ZK…                 one run\n\
\x20 affluent logs -f                      the newest run, as it goes on";

/// Arguments of `affluent logs`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Id of the run, or a pipeline for its newest run
    pub run: Option<String>,
    /// Go on until the run has ended
    #[arg(long, short)]
    pub follow: bool,
}

pub(crate) async fn execute(session: &Session, arguments: Arguments) -> Outcome {
    let workbench = session.open()?;
    let journal = workbench.journal.as_ref();
    let mut shown = 0;
    loop {
        let run = find(journal, arguments.run.as_deref()).map_err(|problem| vec![problem])?;
        if shown == 0 {
            show_record(session.output, &run);
        }
        for event in &run.events[shown.min(run.events.len())..] {
            show_event(session.output, event);
        }
        shown = run.events.len();
        let ended = matches!(run.events.last(), Some(RunEvent::Finished { .. }));
        if !arguments.follow || ended {
            return Ok(ExitCode::Done);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

pub(super) fn find(journal: &dyn RunJournal, wanted: Option<&str>) -> model::Result<JournaledRun> {
    let mut runs = super::runs::collect(journal, None)?;
    runs.sort_by(|a, b| a.record.run.cmp(&b.record.run));
    let matches = |run: &&JournaledRun| match wanted {
        None => true,
        Some(text) => {
            run.record.run.as_str().starts_with(text) || run.record.pipeline.as_str() == text
        }
    };
    runs.iter().rev().find(matches).cloned().ok_or_else(|| {
        let fact = match wanted {
            Some(text) => format!("there is no run `{text}`"),
            None => "nothing has run yet".to_owned(),
        };
        Problem::new(&codes::RUN_NOT_FOUND, fact).hint("`affluent runs` lists them")
    })
}

fn show_record(output: Output, run: &JournaledRun) {
    output.value(&run.record);
    let record = &run.record;
    output.line(format!("{}  run {}  {}", record.pipeline, record.run, instant(record.time_us)));
    for (node, inputs) in &record.inputs {
        for input in inputs {
            let what = match input {
                Input::File(arrival) => {
                    format!("{} ({})", arrival.path, crate::output::bytes(arrival.size))
                }
                Input::Range(range) => match &range.low {
                    Some(low) => format!("{} from {low} to {}", range.cursor, range.high),
                    None => format!("{} up to {}", range.cursor, range.high),
                },
                Input::Table { table, version } => format!("{table} at version {version}"),
                Input::Whole { .. } => "everything".to_owned(),
            };
            output.line(format!("  {node} reads {what}"));
        }
    }
    for (name, version) in &record.tables {
        output.line(format!("  {name} is read at version {version}"));
    }
}

fn show_event(output: Output, event: &RunEvent) {
    output.value(event);
    match event {
        RunEvent::Started { time_us, process } => {
            output.line(format!("{}  process {process} begins", instant(*time_us)));
        }
        RunEvent::Fact { key, value } => output.line(format!("  {key} = {value}")),
        RunEvent::Pinned { table, version } => {
            output.line(format!("  {table} is read at version {version}"));
        }
        RunEvent::Committed { node, commit } => {
            let version = commit.version.map(|v| format!(", version {v}")).unwrap_or_default();
            let rows = group_digits(commit.rows);
            output.line(format!("  {node} committed {rows} rows to {}{version}", commit.target));
        }
        RunEvent::Finished { time_us, outcome, nodes, problems } => {
            let rows: Vec<Vec<String>> = nodes
                .iter()
                .map(|(node, report)| {
                    vec![
                        format!("  {node}"),
                        group_digits(report.rows_in),
                        group_digits(report.rows_out),
                        group_digits(report.rejects),
                        duration(report.elapsed_ms),
                    ]
                })
                .collect();
            output.raw_for_people(&table(&["  node", "in", "out", "rejected", "time"], &rows));
            let nodes: Vec<_> =
                nodes.iter().map(|(n, report)| (n.clone(), report.clone())).collect();
            output.raw_for_people(&super::run::reasons(&nodes));
            for problem in problems {
                output.line(format!("  {}: {}", problem.code, problem.message));
            }
            output.line(format!("{}  {outcome:?}", instant(*time_us)));
        }
    }
}
