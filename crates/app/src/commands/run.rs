//! `affluent run`: finishes what is unfinished, then reads what is new.

use super::{Outcome, Session};
use crate::live::Live;
use crate::output::{Colour, ExitCode, duration, table};
use crate::panics::caught;
use crate::plans::actions_of;
use crate::selection::{Dependencies, select};
use crate::workbench::Workbench;
use clap::Args;
use contracts::journal::RunJournal;
use engine::graph::Graph;
use engine::run::{Repeat, RunOptions, RunSummary};
use model::run::{NodeReport, RejectReason};
use model::{Name, Problem, Result, codes};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::Instant;
use stdx::text::group_digits;

const EXAMPLES: &str = "\
Examples:\n\
\x20 affluent run                      all pipelines, in the order of their tables\n\
\x20 affluent run sales                one pipeline\n\
\x20 affluent run +gold_daily          a pipeline and everything it needs\n\
\x20 affluent run tag:hourly --param day=2026-01-31\n\
\x20 affluent run sales --full-refresh everything again, as one overwrite per table\n\
\x20 affluent run sales --from valid --replace-run";

/// Arguments of `affluent run`.
#[derive(Debug, Default, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Pipelines: NAME, +NAME (and what it needs), NAME+ (and what needs it), tag:WORD, changed
    pub pipelines: Vec<String>,
    /// Value of a parameter
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = key_value)]
    pub params: Vec<(String, String)>,
    /// Read everything again; every sink becomes one overwrite
    #[arg(long)]
    pub full_refresh: bool,
    /// Do not ask before a full refresh
    #[arg(long, short)]
    pub yes: bool,
    /// Write once more all that this node of the last finished run reaches, on the same inputs
    #[arg(long, value_name = "NODE", conflicts_with_all = ["full_refresh", "only"])]
    pub from: Option<String>,
    /// Write once more this sink of the last finished run, on the same inputs
    #[arg(long, value_name = "SINK", conflicts_with = "full_refresh")]
    pub only: Option<String>,
    /// With `--from` or `--only`: sinks that append take out what that run has added, in the commit
    /// that adds the new rows
    #[arg(long)]
    pub replace_run: bool,
    /// Fail, and commit nothing, when more rows than this are rejected
    #[arg(long, value_name = "N")]
    pub fail_on_rejects: Option<u64>,
    /// Do not count rows between nodes; only to measure what counting costs
    #[arg(long, hide = true)]
    pub without_counts: bool,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(format!("`{text}` has no value; write `{text}=VALUE`")),
    }
}

pub(crate) async fn execute(session: &Session, arguments: Arguments) -> Outcome {
    let workbench = session.open()?;
    let order = choose(&workbench, &arguments.pipelines)?;
    if arguments.full_refresh && !arguments.yes && !confirmed(&order) {
        return Err(vec![
            Problem::new(&codes::RUN_REFUSED, "a full refresh overwrites every table it writes")
                .hint("answer with yes, or pass `--yes`"),
        ]);
    }
    let repeat = repeat(&arguments).map_err(|problem| vec![problem])?;
    if arguments.replace_run && repeat.is_none() {
        return Err(vec![
            Problem::new(&codes::COMMAND_INVALID, "`--replace-run` needs `--from` or `--only`")
                .hint("say what is written once more: `affluent run PIPELINE --from NODE`"),
        ]);
    }
    if repeat.is_some() && order.len() != 1 {
        return Err(vec![
            Problem::new(&codes::COMMAND_INVALID, "`--from` and `--only` are for one pipeline")
                .hint("name it: `affluent run PIPELINE --from NODE`"),
        ]);
    }
    let started = Instant::now();
    let mut failed: BTreeSet<Name> = BTreeSet::new();
    let mut problems = Vec::new();
    let mut all = Vec::new();
    let graphs = workbench.graphs()?;
    let dependencies = Dependencies::new(&graphs);
    for (name, graph) in in_order(graphs, &order) {
        let cause = dependencies.before(&name).find(|before| failed.contains(before)).cloned();
        if let Some(cause) = cause {
            let text = format!("{name}: skipped, because `{cause}` failed");
            session.output.line(session.output.paint(Colour::Yellow, &text));
            failed.insert(name);
            continue;
        }
        if is_for_a_server(session, &workbench, &graph) {
            continue;
        }
        let mut options = options(session, &arguments, &workbench, &graph.pipeline.params)?;
        options.repeat.clone_from(&repeat);
        let live = Arc::new(Live::new(session.output));
        let engine = workbench.engine(Arc::clone(&live) as Arc<_>);
        let hash = &workbench.folder.pipelines[&name].hash;
        let result = caught(engine.run(graph, hash, &options)).await;
        live.end();
        match result {
            Ok(summaries) => {
                let bad = summaries.iter().flat_map(|summary| &summary.problems).cloned();
                let bad: Vec<Problem> = bad.collect();
                if !bad.is_empty() {
                    failed.insert(name.clone());
                }
                problems.extend(bad);
                all.extend(summaries.into_iter().map(|summary| (name.clone(), summary)));
            }
            Err(problem) => {
                failed.insert(name.clone());
                problems.push(problem.in_pipeline(&name));
            }
        }
    }
    report(session, &all, !problems.is_empty(), started);
    if problems.is_empty() { Ok(ExitCode::Done) } else { Err(problems) }
}

/// Says which actions are left out. Whether nothing is left then.
fn is_for_a_server(session: &Session, workbench: &Workbench, graph: &Graph) -> bool {
    let actions = actions_of(&graph.pipeline, &workbench.registry);
    if actions.is_empty() {
        return false;
    }
    let name = &graph.pipeline.name;
    let listed = stdx::text::list(actions.iter().map(|action| action.as_str()));
    let text = format!("{name}: left out are {listed}: actions run on a server, `affluent up`");
    session.output.line(session.output.paint(Colour::Yellow, &text));
    session.output.value(&json!({"pipeline": name, "left_out": actions}));
    graph.nodes.is_empty()
}

fn in_order<G>(mut graphs: BTreeMap<Name, G>, order: &[Name]) -> Vec<(Name, G)> {
    order.iter().filter_map(|name| Some((name.clone(), graphs.remove(name)?))).collect()
}

fn choose(workbench: &Workbench, selectors: &[String]) -> Result<Vec<Name>, Vec<Problem>> {
    let graphs = workbench.graphs()?;
    if graphs.is_empty() {
        return Err(vec![
            Problem::new(&codes::NAME_UNKNOWN, "the project has no pipelines")
                .hint("put one into `pipelines/`, or try `affluent demo`"),
        ]);
    }
    let dependencies = Dependencies::new(&graphs);
    let is_changed = |name: &Name| {
        let runs = workbench.journal.runs(name)?;
        let hash = &workbench.folder.pipelines[name].hash;
        Ok(runs.last().is_none_or(|run| run.record.documents != *hash))
    };
    select(selectors, &graphs, &dependencies, is_changed).map_err(|problem| vec![problem])
}

fn confirmed(order: &[Name]) -> bool {
    if !io::stdin().is_terminal() {
        return false;
    }
    let names = stdx::text::list(order.iter().map(Name::as_str));
    let _ = write!(io::stderr(), "overwrite every table of {names}? Type yes: ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).is_ok() && answer.trim() == "yes"
}

fn options(
    session: &Session,
    arguments: &Arguments,
    workbench: &Workbench,
    declared: &BTreeMap<Name, model::pipeline::Param>,
) -> Result<RunOptions, Vec<Problem>> {
    let environment = session.settings.environment.clone();
    let project = &workbench.folder.project;
    let mut params: BTreeMap<String, Value> = BTreeMap::new();
    if let Some(environment) = environment.as_ref().and_then(|name| project.environments.get(name))
    {
        let known = environment.params.iter().filter(|(name, _)| declared.contains_key(name));
        params.extend(known.map(|(name, value)| (name.to_string(), value.clone())));
    }
    for (name, value) in &arguments.params {
        params.insert(name.clone(), Value::String(value.clone()));
    }
    Ok(RunOptions {
        params,
        environment,
        full_refresh: arguments.full_refresh,
        rejects_max: arguments.fail_on_rejects,
        repeat: None,
        replace_run: arguments.replace_run,
        without_counts: arguments.without_counts,
        run: None,
        interval_us: None,
    })
}

fn repeat(arguments: &Arguments) -> Result<Option<Repeat>> {
    Ok(match (&arguments.from, &arguments.only) {
        (Some(node), _) => Some(Repeat::From(Name::new(node)?)),
        (_, Some(sink)) => Some(Repeat::Only(Name::new(sink)?)),
        _ => None,
    })
}

fn report(session: &Session, summaries: &[(Name, RunSummary)], failed: bool, started: Instant) {
    let output = session.output;
    let mut rows = Vec::new();
    for (pipeline, summary) in summaries {
        output.value(&as_json(pipeline, summary));
        for (node, commit) in &summary.commits {
            let what = match (commit.already, commit.version) {
                (true, _) => "done before".to_owned(),
                (false, Some(version)) => format!("version {version}"),
                (false, None) => "written".to_owned(),
            };
            let detail: Vec<String> = commit
                .detail
                .iter()
                .map(|(what, rows)| format!("{} {what}", group_digits(*rows)))
                .collect();
            rows.push(vec![
                format!("{pipeline}.{node}"),
                commit.target.clone(),
                group_digits(commit.rows),
                what,
                detail.join(", "),
            ]);
        }
    }
    if !rows.is_empty() {
        output.line("");
        output.raw_for_people(&table(&["sink", "target", "rows", "commit", ""], &rows));
    }
    for (pipeline, summary) in summaries {
        let rejects: u64 = summary.nodes.iter().map(|(_, report)| report.rejects).sum();
        if rejects == 0 {
            continue;
        }
        let count = if rejects == 1 {
            "1 row was".to_owned()
        } else {
            format!("{} rows were", group_digits(rejects))
        };
        let text = output.paint(Colour::Magenta, &format!("{count} rejected"));
        output.line(format!("\n{text}"));
        output.raw_for_people(&reasons(&summary.nodes));
        let table = format!("quarantine.{pipeline}");
        if rows.iter().any(|row| row[1] == table) {
            output.line(format!(
                "see them: affluent query \"select _node, _row, _errors from {table}\""
            ));
        }
    }
    if summaries.is_empty() && failed {
        return;
    }
    let elapsed = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let runs = match summaries.len() {
        0 => "nothing to do".to_owned(),
        1 => "1 run".to_owned(),
        count => format!("{count} runs"),
    };
    output.line(format!("{runs}, {}", duration(elapsed)));
}

/// The most frequent reasons for which each node rejected rows.
pub(crate) fn reasons<'a>(nodes: impl IntoIterator<Item = &'a (Name, NodeReport)>) -> String {
    let mut rows = Vec::new();
    for (node, report) in nodes {
        for RejectReason { column, reason, count } in &report.reasons {
            let (node, count) = (format!("  {node}"), group_digits(*count));
            rows.push(vec![node, count, column.clone(), reason.clone()]);
        }
    }
    match rows.is_empty() {
        true => String::new(),
        false => table(&["  node", "times", "column", "reason"], &rows),
    }
}

fn as_json(pipeline: &Name, summary: &RunSummary) -> Value {
    let nodes = summary.nodes.iter();
    let nodes = nodes.map(|(node, report)| json!({"node": node, "report": report}));
    let commits = summary.commits.iter();
    let commits = commits.map(|(node, commit)| json!({"node": node, "commit": commit}));
    json!({
        "pipeline": pipeline,
        "run": summary.run,
        "resumed": summary.resumed,
        "nodes": nodes.collect::<Vec<_>>(),
        "commits": commits.collect::<Vec<_>>(),
        "problems": summary.problems.iter().map(Problem::to_stored).collect::<Vec<_>>(),
    })
}
