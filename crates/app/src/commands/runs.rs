//! `affluent runs`: what has run, newest first.

use super::tables::instant;
use super::{Outcome, Session};
use crate::output::{ExitCode, table};
use clap::Args;
use contracts::journal::{JournaledRun, RunJournal};
use model::run::{Outcome as RunOutcome, RunEvent};
use model::{Name, Result};
use serde_json::json;

const EXAMPLES: &str = "\
Examples:\n\
\x20 affluent runs\n\
\x20 affluent runs sales --last 5";

/// Arguments of `affluent runs`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Only runs of this pipeline
    pub pipeline: Option<String>,
    /// How many to show
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub last: usize,
}

/// The state of a run in a word.
pub(crate) fn state(run: &JournaledRun) -> &'static str {
    let last = run.events.iter().rev().find_map(|event| match event {
        RunEvent::Finished { outcome, .. } => Some(*outcome),
        _ => None,
    });
    let begun_after = matches!(run.events.last(), Some(RunEvent::Finished { .. }) | None);
    match last {
        Some(RunOutcome::Succeeded) => "succeeded",
        Some(RunOutcome::Abandoned) => "given up",
        Some(RunOutcome::Failed) if begun_after => "failed",
        _ => "unfinished",
    }
}

pub(crate) async fn execute(session: &Session, arguments: Arguments) -> Outcome {
    let workbench = session.open()?;
    let runs = collect(workbench.journal.as_ref(), arguments.pipeline.as_deref());
    let mut runs = runs.map_err(|problem| vec![problem])?;
    runs.sort_by(|a, b| b.record.run.cmp(&a.record.run));
    runs.truncate(arguments.last);
    let mut rows = Vec::new();
    for run in &runs {
        let commits =
            run.events.iter().filter(|event| matches!(event, RunEvent::Committed { .. })).count();
        session.output.value(&json!({
            "run": run.record.run, "pipeline": run.record.pipeline, "state": state(run),
            "time_us": run.record.time_us, "commits": commits,
        }));
        rows.push(vec![
            run.record.run.to_string(),
            run.record.pipeline.to_string(),
            instant(run.record.time_us),
            state(run).to_owned(),
            commits.to_string(),
        ]);
    }
    if rows.is_empty() {
        session.output.line("nothing has run yet: `affluent run` runs every pipeline");
    } else {
        let heading = ["run", "pipeline", "time (UTC)", "state", "commits"];
        session.output.raw_for_people(&table(&heading, &rows));
    }
    Ok(ExitCode::Done)
}

pub(crate) fn collect(
    journal: &dyn RunJournal,
    pipeline: Option<&str>,
) -> Result<Vec<JournaledRun>> {
    let names = match pipeline {
        Some(name) => vec![Name::new(name)?],
        None => journal.pipelines()?,
    };
    let mut runs = Vec::new();
    for name in names {
        runs.extend(journal.runs(&name)?);
    }
    Ok(runs)
}
