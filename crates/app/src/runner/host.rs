//! The server's side.

use super::protocol::{Job, Level, News, Order, line};
use crate::workbench::{Settings, registry};
use async_trait::async_trait;
use engine::project::ProjectFolder;
use model::{Name, Problem, Result, codes};
use rustix::process::{Pid, Signal, kill_process_group};
use server::{ConnectionSecret, Line, LogLevel, Report, RunOrder, Runner, RunnerEnd, RunnerNews};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use store::NewPipeline;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::{mpsc, watch};

/// This very program, also when its file has been replaced since.
const THIS_PROGRAM: &str = "/proc/self/exe";
/// What only the server itself may know.
const WITHHELD: &[&str] = crate::metadata::WITHHELD;
/// So much of what a runner says before it dies is kept.
const LAST_WORDS_BYTES_MAX: u64 = 4096;

/// Starts a runner per run, for the project that the server was started in.
pub(crate) struct Host {
    /// The project's folder, environment and limits, as the server was given them.
    pub(crate) settings: Settings,
    /// The workspace that the folder feeds.
    pub(crate) workspace: Name,
}

#[async_trait]
impl Runner for Host {
    async fn pipelines(&self, workspace: &Name) -> Result<Option<Vec<NewPipeline>>> {
        if *workspace != self.workspace {
            return Ok(None);
        }
        let Settings { project, environment, .. } = self.settings.clone();
        let plan = move || plans(&project, environment.as_ref());
        let planned = tokio::task::spawn_blocking(plan).await.map_err(internal)?;
        planned.map(Some).map_err(|problems| {
            problems.into_iter().next().unwrap_or_else(|| internal("no problem is given"))
        })
    }

    async fn run(
        &self,
        order: RunOrder,
        news: mpsc::Sender<RunnerNews>,
        mut cancel: watch::Receiver<bool>,
    ) -> Result<RunnerEnd> {
        let mut runner = self.start(&order).await?;
        let ended = tokio::select! {
            ended = listen(&mut runner, &news) => ended,
            _ = cancelled(&mut cancel) => {
                Err(Problem::new(&codes::RUN_CANCELLED, "the run was stopped"))
            }
        };
        runner.end().await;
        ended
    }
}

async fn cancelled(cancel: &mut watch::Receiver<bool>) {
    if cancel.wait_for(|cancel| *cancel).await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn internal(error: impl std::fmt::Display) -> Problem {
    Problem::new(&codes::INTERNAL, "a runner cannot be talked to").detail(error)
}

/// Names of pipelines are read without what their connections hide.
struct NoSecrets;

impl engine::project::Variables for NoSecrets {
    fn environment(&self, _: &str) -> Option<String> {
        Some(String::new())
    }

    fn secret(&self, _: &str) -> Option<String> {
        Some(String::new())
    }
}

/// A runner at work. Dropped, it is killed with all that it has started.
struct Running {
    process: Child,
    group: Option<Pid>,
    news: Lines<BufReader<ChildStdout>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = self.group.take() {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Running {
    /// Kills what is left of it.
    async fn end(mut self) {
        if let Some(group) = self.group.take() {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.process.wait().await;
    }

    /// What it said before it died.
    async fn last_words(&mut self) -> String {
        let mut words = Vec::new();
        if let Some(errors) = self.process.stderr.take() {
            let _ = errors.take(LAST_WORDS_BYTES_MAX).read_to_end(&mut words).await;
        }
        String::from_utf8_lossy(&words).trim().to_owned()
    }
}

impl Host {
    async fn start(&self, order: &RunOrder) -> Result<Running> {
        let mut command = Command::new(THIS_PROGRAM);
        let Settings { project, environment, memory_mib, threads, .. } = &self.settings;
        command.arg("-C").arg(project);
        if let Some(environment) = environment {
            command.args(["--env", environment.as_str()]);
        }
        if let Some(memory) = memory_mib {
            command.args(["--memory", &memory.to_string()]);
        }
        if let Some(threads) = threads {
            command.args(["--threads", &threads.to_string()]);
        }
        command.arg("work");
        for name in WITHHELD {
            command.env_remove(name);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A group of its own: what it starts can be killed with it.
        let mut process = command.process_group(0).kill_on_drop(true).spawn().map_err(internal)?;
        let group = process.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let news = process.stdout.take().map(|out| BufReader::new(out).lines());
        let news = news.ok_or_else(|| internal("it has no standard output"))?;
        let order = Order {
            run: order.run.clone(),
            plan: Arc::clone(&order.plan),
            params: order.params.clone(),
            interval_us: order.interval_us,
            job: job(order),
            secrets: order.secrets.iter().map(given).collect(),
        };
        let text = line(&order)?;
        if let Some(input) = process.stdin.as_mut() {
            input.write_all(text.as_bytes()).await.map_err(internal)?;
        }
        Ok(Running { process, group, news })
    }
}

fn given(secret: &ConnectionSecret) -> (Name, String, String) {
    (secret.connection.clone(), secret.name.clone(), secret.value.reveal().to_owned())
}

fn job(order: &RunOrder) -> Job {
    match &order.job {
        server::Job::Data => Job::Data,
        server::Job::Action { module, with, scope } => {
            Job::Action { module: module.clone(), with: with.clone(), scope: scope.clone() }
        }
    }
}

/// The plans of a project's pipelines; all problems when one cannot be planned.
fn plans(project: &Path, environment: Option<&Name>) -> Result<Vec<NewPipeline>, Vec<Problem>> {
    let folder = ProjectFolder::load(project, environment, &NoSecrets)?;
    let plans = crate::plans::plans(&folder.pipelines, &registry())?;
    let described = |(name, plan)| {
        let pipeline = &folder.pipelines[&name].pipeline;
        let (description, tags) = (pipeline.description.clone(), pipeline.tags.clone());
        NewPipeline { plan, description, tags }
    };
    Ok(plans.into_iter().map(described).collect())
}

/// Passes news on until the last.
async fn listen(runner: &mut Running, news: &mpsc::Sender<RunnerNews>) -> Result<RunnerEnd> {
    while let Some(text) = runner.news.next_line().await.map_err(internal)? {
        let told = match serde_json::from_str(&text).map_err(internal)? {
            News::Ended { nodes, tables, problems } => {
                return Ok(RunnerEnd::Data(Report { nodes, tables, problems }));
            }
            News::Stepped(step) => return Ok(RunnerEnd::Action(step)),
            News::Counts(counts) => RunnerNews::Counts(counts),
            News::Line { level, node, message, fields } => {
                let level = match level {
                    Level::Info => LogLevel::Info,
                    Level::Warn => LogLevel::Warn,
                    Level::Error => LogLevel::Error,
                };
                RunnerNews::Line(Line { level, node, message, fields })
            }
        };
        // Nobody listens any more when the server stops.
        let _ = news.send(told).await;
    }
    let words = runner.last_words().await;
    let fact = "the runner died";
    let problem = Problem::new(&codes::RUNNER_LOST, fact)
        .hint("the run is resumed by another one; after three deaths it is set aside");
    Err(if words.is_empty() { problem } else { problem.detail(words) })
}
