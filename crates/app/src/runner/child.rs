//! The runner's side.

use super::protocol::{Job, Level, News, Order, line};
use crate::commands::Session;
use crate::panics::caught;
use crate::variables::variable;
use crate::workbench::{Settings, Workbench};
use contracts::action::{Allowed, Outside, Scope, Step};
use contracts::journal::{JournaledRun, RunJournal};
use engine::progress::{Event, Listener, NodeProgress};
use engine::run::RunOptions;
use model::run::{NodeReport, RunEvent, RunId};
use model::{Name, Problem, Result, Secret, codes};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::process;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// With `1`, projects that want it may run programs.
const ALLOW_SHELL: &str = "AFFLUENT_ALLOW_SHELL";
/// Hosts that actions may call though their address is a private one, with commas between them.
const PRIVATE_HOSTS: &str = "AFFLUENT_PRIVATE_HOSTS";
/// Counts are told so often.
const COUNTS_EVERY: Duration = Duration::from_millis(250);
/// What a runner ends with when its server has gone.
const ORPHANED: i32 = 70;
/// Beyond the memory of its operations a runner may have so much for everything else. It is the
/// last resort: an operation that respects its limit never comes near.
const MEMORY_BYTES_BESIDE: u64 = 2 << 30;

/// Reads the order, does it, tells how it ended.
pub(crate) async fn serve(session: &Session) -> Result<()> {
    let order = receive()?;
    std::thread::spawn(end_with_server);
    let is_action = matches!(order.job, Job::Action { .. });
    let ended = match caught(async { Ok(work(session, order).await) }).await {
        Ok(ended) => ended,
        Err(problem) if is_action => News::Stepped(Err(problem.to_stored())),
        Err(problem) => failed(&[problem]),
    };
    tell(&ended);
    Ok(())
}

fn receive() -> Result<Order> {
    let mut text = String::new();
    let read = io::stdin().lock().read_line(&mut text);
    let unreadable = |error: &dyn std::fmt::Display| {
        Problem::new(&codes::COMMAND_INVALID, "standard input holds no order for a runner")
            .detail(error)
            .hint("runners are started by `affluent up`")
    };
    read.map_err(|error| unreadable(&error))?;
    serde_json::from_str(&text).map_err(|error| unreadable(&error))
}

fn end_with_server() {
    let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
    process::exit(ORPHANED);
}

/// Whoever cannot be told any more is gone, and so is the runner in a moment.
fn tell(news: &News) {
    if let Ok(text) = line(news) {
        let mut out = io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

async fn work(session: &Session, order: Order) -> News {
    let secrets = order.secrets.iter().map(|(connection, name, value)| {
        ((connection.clone(), name.clone()), Secret::new(value.clone()))
    });
    let secrets = Arc::new(secrets.collect());
    let settings = Settings { secrets, ..session.settings.clone() };
    let workbench = match Workbench::open(&settings) {
        Ok(workbench) => workbench,
        Err(problems) => return unopened(&order.job, &problems),
    };
    if let Err(problem) = confine(workbench.context.memory_bytes) {
        return unopened(&order.job, &[problem]);
    }
    match order.job {
        Job::Data => run(session, &workbench, order).await,
        Job::Action { module, with, scope } => {
            let step = act(&workbench, &module, &with, &scope).await;
            News::Stepped(step.map_err(|problem| problem.to_stored()))
        }
    }
}

fn unopened(job: &Job, problems: &[Problem]) -> News {
    match (job, problems.first()) {
        (Job::Action { .. }, Some(problem)) => News::Stepped(Err(problem.to_stored())),
        _ => failed(problems),
    }
}

fn failed(problems: &[Problem]) -> News {
    let problems = problems.iter().map(Problem::to_stored).collect();
    News::Ended { nodes: Vec::new(), tables: Vec::new(), problems }
}

async fn act(
    workbench: &Workbench,
    module: &str,
    with: &Map<String, Value>,
    scope: &Scope,
) -> Result<Step> {
    let entry = workbench.registry.get(module)?;
    let allowed = allowed(workbench);
    let outside = Outside { context: &workbench.context, allowed: &allowed };
    actions::perform(entry, with, scope, &outside).await
}

/// The project may be written by people whom the owner of the server does not know, so the owner
/// has the last word.
fn allowed(workbench: &Workbench) -> Allowed {
    let hosts = variable(PRIVATE_HOSTS).unwrap_or_default();
    let hosts = hosts.split(',').map(str::trim).filter(|host| !host.is_empty());
    let is_shell_allowed = variable(ALLOW_SHELL).as_deref() == Some("1");
    Allowed {
        shell: workbench.folder.project.allow_shell && is_shell_allowed,
        private_hosts: hosts.map(str::to_owned).collect(),
    }
}

async fn run(session: &Session, workbench: &Workbench, order: Order) -> News {
    let pipeline = order.plan.pipeline.clone();
    let one = |problem: Problem| failed(&[problem.in_pipeline(&pipeline)]);
    let file = match engine::plan::pipeline_file(&order.plan) {
        Ok(file) => file,
        Err(problem) => return one(problem),
    };
    let graph = match workbench.graph(&file) {
        Ok(graph) => graph,
        Err(problems) => return failed(&problems),
    };
    let shown = graph.nodes.iter().filter(|node| !node.is_implicit);
    let names: Vec<Name> = shown.map(|node| node.id.clone()).collect();
    let options = RunOptions {
        params: order.params.into_iter().collect(),
        environment: session.settings.environment.clone(),
        interval_us: order.interval_us,
        run: Some(order.run.clone()),
        ..RunOptions::default()
    };
    let teller = Arc::new(Teller { run: order.run, stage: Mutex::default() });
    let counting = tokio::spawn(tell_counts(Arc::clone(&teller)));
    let result = workbench.engine(Arc::clone(&teller) as _).run(graph, &file.hash, &options).await;
    counting.abort();
    let summaries = match result {
        Ok(summaries) => summaries,
        Err(problem) => return one(problem),
    };
    let problems = summaries.iter().flat_map(|summary| &summary.problems);
    let problems = problems.map(Problem::to_stored).collect();
    match workbench.journal.runs(&pipeline) {
        Ok(runs) => {
            let (nodes, tables) = done(&runs, &teller.run, names);
            News::Ended { nodes, tables, problems }
        }
        Err(problem) => one(problem),
    }
}

type Done = (Vec<(Name, NodeReport)>, Vec<(String, u64)>);

/// What all attempts of a run have done together, and the tables that have new versions: an
/// earlier one may have committed and then died before it could say so. A run that has found
/// nothing new has done nothing, with every node.
fn done(runs: &[JournaledRun], run: &RunId, names: Vec<Name>) -> Done {
    let (mut nodes, mut tables) = (BTreeMap::new(), BTreeMap::new());
    let events = runs.iter().filter(|known| known.record.run == *run).flat_map(|run| &run.events);
    for event in events {
        match event {
            RunEvent::Committed { node, commit } => {
                let report = NodeReport { rows_in: commit.rows, ..NodeReport::default() };
                keep_larger(&mut nodes, node, report);
                if let Some(version) = commit.version {
                    tables.insert(commit.target.clone(), version);
                }
            }
            RunEvent::Finished { nodes: reported, .. } => {
                for (node, report) in reported {
                    keep_larger(&mut nodes, node, report.clone());
                }
            }
            RunEvent::Started { .. } | RunEvent::Fact { .. } | RunEvent::Pinned { .. } => {}
        }
    }
    let report = |name: Name| {
        let report = nodes.remove(&name).unwrap_or_default();
        (name, report)
    };
    (names.into_iter().map(report).collect(), tables.into_iter().collect())
}

/// A later attempt finds a sink committed and reads nothing for it.
fn keep_larger(nodes: &mut BTreeMap<Name, NodeReport>, node: &Name, report: NodeReport) {
    let rows = |report: &NodeReport| report.rows_in + report.rows_out + report.rejects;
    let known = nodes.entry(node.clone()).or_default();
    if rows(&report) >= rows(known) {
        *known = report;
    }
}

fn confine(memory_bytes: usize) -> Result<()> {
    let memory = u64::try_from(memory_bytes).unwrap_or(u64::MAX);
    for (resource, most) in
        [(Resource::Data, memory.saturating_add(MEMORY_BYTES_BESIDE)), (Resource::Core, 0)]
    {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) }).map_err(
            |error| {
                Problem::new(&codes::INTERNAL, "a runner cannot be given its limits").detail(error)
            },
        )?;
    }
    Ok(())
}

async fn tell_counts(teller: Arc<Teller>) {
    let mut told = Vec::new();
    loop {
        tokio::time::sleep(COUNTS_EVERY).await;
        let counts = teller.counts();
        if counts != told {
            tell(&News::Counts(counts.clone()));
            told = counts;
        }
    }
}

/// Tells what happens in a run.
struct Teller {
    run: RunId,
    stage: Mutex<Vec<Arc<NodeProgress>>>,
}

impl Teller {
    fn counts(&self) -> Vec<(Name, u64, u64)> {
        let stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = stage.iter().filter(|node| !node.is_implicit);
        shown.map(|node| (node.node.clone(), node.rows_out.rows(), node.rejects.rows())).collect()
    }
}

fn say(level: Level, node: Option<Name>, message: &str, fields: Value) {
    tell(&News::Line { level, node, message: message.to_owned(), fields });
}

impl Listener for Teller {
    fn on(&self, event: Event) {
        match event {
            Event::RunStarted { run, resumed: true, .. } if run == self.run => {
                say(Level::Info, None, "goes on after an interruption", json!({}));
            }
            Event::RunStarted { run, resumed: true, .. } => {
                say(Level::Info, None, "first finishes an earlier run", json!({"run": run}));
            }
            Event::RunStarted { .. } => say(Level::Info, None, "begins", json!({})),
            Event::NothingNew { documents_changed, .. } => {
                let fields = json!({"documents_changed": documents_changed});
                say(Level::Info, None, "has nothing new to read", fields);
            }
            Event::Remark { node, text } => say(Level::Info, Some(node), &text, json!({})),
            Event::Warning { node, text } => say(Level::Warn, Some(node), &text, json!({})),
            Event::StageStarted { nodes } => {
                *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = nodes;
            }
            Event::Committed { node, commit } => {
                say(Level::Info, Some(node), "has committed", json!(commit));
            }
            Event::RunEnded { problems, .. } => {
                for problem in problems {
                    let node = problem.context().node.as_deref().and_then(|id| Name::new(id).ok());
                    let fields = json!({"problem": problem.to_stored()});
                    say(Level::Error, node, &problem.to_string(), fields);
                }
            }
        }
    }
}
