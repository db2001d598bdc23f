//! `affluent recover`: rebuilds a lost run journal from what the tables know.
//!
//! Every commit repeats its run and what that run has read, so that the tables are enough.

use super::{Outcome, Session};
use crate::output::ExitCode;
use crate::workbench::Workbench;
use clap::Args;
use contracts::journal::RunJournal;
use contracts::table::{TableCommit, TableStore};
use model::run::{Committed, Input, Outcome as RunOutcome, RunEvent, RunId, RunKind, RunRecord};
use model::{Name, Problem, Result, TableName};
use serde_json::Value;
use std::collections::BTreeMap;

const EXAMPLES: &str = "\
Example:\n\
\x20 affluent recover";

/// Arguments of `affluent recover`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Only say what would be written
    #[arg(long)]
    pub dry_run: bool,
}

/// A run as the tables remember it.
struct Remembered {
    record: RunRecord,
    commits: BTreeMap<Name, Committed>,
}

pub(crate) async fn execute(session: &Session, arguments: Arguments) -> Outcome {
    let one = |problem: Problem| vec![problem];
    let workbench = session.open()?;
    let runs = remembered(&workbench).await.map_err(one)?;
    let graphs = workbench.graphs()?;
    let mut rebuilt = 0;
    for (run, found) in runs {
        let pipeline = found.record.pipeline.clone();
        let known = workbench.journal.runs(&pipeline).map_err(one)?;
        if known.iter().any(|known| known.record.run == run) {
            continue;
        }
        rebuilt += 1;
        // The implicit sinks of rejects commit only when something was rejected.
        let is_whole = graphs.get(&pipeline).is_none_or(|graph| {
            let sinks =
                graph.nodes.iter().filter(|node| node.table().is_some() && !node.is_implicit);
            sinks.into_iter().all(|node| found.commits.contains_key(&node.id))
        });
        let state = if is_whole { "finished" } else { "unfinished" };
        session
            .output
            .line(format!("{pipeline}: run {run}, {} commits, {state}", found.commits.len()));
        if !arguments.dry_run {
            write(&workbench, found, is_whole).map_err(one)?;
        }
    }
    let verb = if arguments.dry_run { "would be" } else { "were" };
    session.output.line(format!("{rebuilt} runs {verb} rebuilt from the tables"));
    Ok(ExitCode::Done)
}

async fn remembered(workbench: &Workbench) -> Result<BTreeMap<RunId, Remembered>> {
    let mut runs: BTreeMap<RunId, Remembered> = BTreeMap::new();
    for table in workbench.lake.list().await? {
        for commit in workbench.lake.history(&table).await? {
            let Some((node, record)) = parse(&commit) else { continue };
            let commits = BTreeMap::new();
            let run = runs.entry(record.run.clone()).or_insert(Remembered { record, commits });
            run.commits.insert(node, as_committed(&table, &commit));
        }
    }
    Ok(runs)
}

/// The node and record that a commit's metadata repeats; none when no run made it.
fn parse(commit: &TableCommit) -> Option<(Name, RunRecord)> {
    let text = |key: &str| commit.metadata.get(key).and_then(Value::as_str);
    let run = RunId::parse(text("affluent.run")?)?;
    let pipeline = Name::new(text("affluent.pipeline")?).ok()?;
    let node = Name::new(text("affluent.node")?).ok()?;
    let inputs = commit.metadata.get("affluent.inputs")?;
    // Some readers of the log give nested values as text.
    let inputs: BTreeMap<Name, Vec<Input>> = match inputs {
        Value::String(text) => serde_json::from_str(text).ok()?,
        other => serde_json::from_value(other.clone()).ok()?,
    };
    let record = RunRecord {
        time_us: run.time_us(),
        run,
        pipeline,
        documents: String::new(),
        params: BTreeMap::new(),
        kind: RunKind::Normal,
        inputs,
        tables: BTreeMap::new(),
        facts: BTreeMap::new(),
        environment: None,
    };
    Some((node, record))
}

fn as_committed(table: &TableName, commit: &TableCommit) -> Committed {
    Committed {
        target: table.to_string(),
        version: Some(commit.version),
        already: true,
        ..Committed::default()
    }
}

fn write(workbench: &Workbench, found: Remembered, is_whole: bool) -> Result<()> {
    let Remembered { record, commits } = found;
    let (pipeline, run) = (record.pipeline.clone(), record.run.clone());
    let journal = &workbench.journal;
    journal.begin(&record)?;
    for (node, commit) in commits {
        journal.append(&pipeline, &run, &RunEvent::Committed { node, commit })?;
    }
    if is_whole {
        let event = RunEvent::Finished {
            time_us: record.time_us,
            outcome: RunOutcome::Succeeded,
            nodes: BTreeMap::new(),
            problems: Vec::new(),
        };
        journal.append(&pipeline, &run, &event)?;
    }
    Ok(())
}
