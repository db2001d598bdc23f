//! `affluent recover`: rebuilds a lost run journal from what the tables know, or gives up a run
//! that cannot go on.
//!
//! Every commit repeats its run and what that run has read, so that the tables are enough.

use super::{Outcome, Session};
use crate::output::ExitCode;
use crate::workbench::Workbench;
use clap::Args;
use contracts::journal::RunJournal;
use contracts::table::{TableCommit, TableStore};
use engine::abandon::{Fate, LeftBehind};
use engine::progress::Silent;
use model::run::{Committed, Input, Outcome as RunOutcome, RunEvent, RunId, RunKind, RunRecord};
use model::{Name, Problem, Result, TableName, codes};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use stdx::text::group_digits;

const EXAMPLES: &str = "\
Examples:\n\
\x20 affluent recover                      rebuild what the tables know of runs\n\
\x20 affluent recover --abandon 01J9ZK…    give up a run whose input is gone or has changed";

/// Arguments of `affluent recover`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Only say what would be written
    #[arg(long)]
    pub dry_run: bool,
    /// Give up this unfinished run for good: the next run reads its inputs as they are by then
    #[arg(long, value_name = "RUN", conflicts_with = "dry_run")]
    pub abandon: Option<String>,
    /// Do not ask before a run is given up
    #[arg(long, short, requires = "abandon")]
    pub yes: bool,
}

/// A run as the tables remember it.
struct Remembered {
    record: RunRecord,
    commits: BTreeMap<Name, Committed>,
}

pub(crate) async fn execute(session: &Session, arguments: Arguments) -> Outcome {
    let one = |problem: Problem| vec![problem];
    let workbench = session.open()?;
    if let Some(run) = &arguments.abandon {
        return give_up(session, &workbench, run, arguments.yes).await;
    }
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
            rebuild(&workbench, found, is_whole).map_err(one)?;
        }
    }
    let verb = if arguments.dry_run { "would be" } else { "were" };
    session.output.line(format!("{rebuilt} runs {verb} rebuilt from the tables"));
    Ok(ExitCode::Done)
}

/// Gives up a run, once somebody has seen what it leaves behind.
async fn give_up(session: &Session, workbench: &Workbench, run: &str, yes: bool) -> Outcome {
    let one = |problem: Problem| vec![problem];
    let output = session.output;
    let found = super::logs::find(workbench.journal.as_ref(), Some(run)).map_err(one)?;
    let RunRecord { run, pipeline, .. } = &found.record;
    let graph = workbench.graph(workbench.folder.pipeline(pipeline.as_str()).map_err(one)?)?;
    let engine = workbench.engine(Arc::new(Silent));
    let giving_up = engine.giving_up(graph, run).await.map_err(one)?;
    output.line(format!("{pipeline}: run {run} is unfinished"));
    for left in &giving_up.committed {
        let LeftBehind { sink, commit, fate } = left;
        let version = commit.version.map(|v| format!(", version {v}")).unwrap_or_default();
        let rows = group_digits(commit.rows);
        let fate = match fate {
            Fate::Written => "the next run writes it again".to_owned(),
            Fate::TakenOut => "the next run takes these rows out again".to_owned(),
            Fate::Stay(problem) => format!(
                "these rows stay, and the next run adds those of the same inputs: delete them \
                 first ({problem})"
            ),
        };
        output.line(format!(
            "  {sink} has written {rows} rows to {}{version}: {fate}",
            commit.target
        ));
    }
    let must_refresh = giving_up.is_refresh && !giving_up.committed.is_empty();
    if must_refresh {
        output.line("  tables are half refreshed: only another `--full-refresh` can follow");
    }
    if !yes && !confirmed() {
        return Err(one(Problem::new(&codes::RUN_REFUSED, "a run that is given up cannot go on")
            .arg("run", run)
            .hint("answer with yes, or pass `--yes`")));
    }
    engine.give_up(&giving_up).map_err(one)?;
    let committed = giving_up.committed.iter();
    let committed: Vec<_> =
        committed.map(|left| json!({"sink": left.sink, "commit": left.commit})).collect();
    output.value(&json!({"run": run, "pipeline": pipeline, "committed": committed}));
    let refresh = if must_refresh { " --full-refresh" } else { "" };
    output.line(format!("given up; go on with `affluent run {pipeline}{refresh}`"));
    Ok(ExitCode::Done)
}

fn confirmed() -> bool {
    if !io::stdin().is_terminal() {
        return false;
    }
    let _ = write!(io::stderr(), "give it up for good? Type yes: ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).is_ok() && answer.trim() == "yes"
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
        interval_us: None,
        run,
        pipeline,
        documents: String::new(),
        params: BTreeMap::new(),
        kind: RunKind::Normal,
        inputs,
        tables: BTreeMap::new(),
        facts: BTreeMap::new(),
        environment: None,
        replaces: BTreeMap::new(),
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

fn rebuild(workbench: &Workbench, found: Remembered, is_whole: bool) -> Result<()> {
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
