//! A runner that does what the name of the pipeline says.

use crate::runs::{Line, Report, RunOrder, Runner, RunnerEnd, RunnerNews};
use async_trait::async_trait;
use model::connection::Connection;
use model::pipeline::{RunPolicy, When};
use model::plan::{DATA, Parent, Plan, Task, Work};
use model::run::NodeReport;
use model::{Name, Problem, Result, codes};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use store::{LogLevel, NewPipeline};
use tokio::sync::{mpsc, watch};

/// The pipelines of data of the workspace `shop`.
const PIPELINES: &[&str] = &["quick", "endless", "failing", "deadly", "deadly_once", "panics_once"];

/// A task of a plan: its name, its module and settings, and what it waits for.
pub(super) type Action<'a> = (&'a str, &'a str, Value, &'a [(u32, Option<&'a str>)], When);

/// A pipeline of actions.
pub(super) fn actions(name: &str, tasks: &[Action<'_>]) -> NewPipeline {
    let task = |(id, module, with, parents, when): &Action<'_>| Task {
        id: (*id).to_owned(),
        work: match *module {
            "" => Work::Data,
            module => Work::Action {
                module: module.to_owned(),
                with: with.as_object().cloned().unwrap_or_default(),
                outside: module == "shell",
            },
        },
        parents: parents
            .iter()
            .map(|(task, branch)| Parent {
                task: *task,
                branch: branch.map(|branch| Name::new(branch).unwrap()),
            })
            .collect(),
        when: *when,
        retry: None,
        timeout_us: None,
        pool: None,
    };
    let tasks: Vec<Task> = tasks.iter().map(task).collect();
    let document = json!({"name": name, "params": {"day": {"default": "2026-01-01"}}});
    let plan = Plan {
        pipeline: Name::new(name).unwrap(),
        hash: format!("hash of {name} {}", serde_json::to_string(&tasks).unwrap()),
        document,
        policy: RunPolicy::default(),
        tasks,
    };
    NewPipeline { plan, description: String::new(), tags: Vec::new() }
}

/// A pipeline of data nodes alone.
pub(super) fn data(name: &str) -> NewPipeline {
    actions(name, &[(DATA, "", Value::Null, &[], When::Succeeded)])
}

#[derive(Clone, Default)]
pub(super) struct Puppet {
    /// What was run, in order.
    pub(super) orders: Arc<Mutex<Vec<RunOrder>>>,
    /// The connections that were looked behind, in order.
    pub(super) looks: Arc<Mutex<Vec<Connection>>>,
    /// Further pipelines of the workspace `shop`.
    pub(super) declared: Arc<Mutex<Vec<NewPipeline>>>,
    /// Runs at work.
    at_work: Arc<AtomicUsize>,
    /// The most that there were at the same time.
    pub(super) at_work_max: Arc<AtomicUsize>,
}

#[async_trait]
impl Runner for Puppet {
    async fn pipelines(&self, workspace: &Name) -> Result<Option<Vec<NewPipeline>>> {
        if workspace.as_str() != "shop" {
            return Ok(None);
        }
        let mut all: Vec<NewPipeline> = PIPELINES.iter().map(|name| data(name)).collect();
        all.extend(self.declared.lock().unwrap().iter().cloned());
        Ok(Some(all))
    }

    async fn run(
        &self,
        order: RunOrder,
        news: mpsc::Sender<RunnerNews>,
        mut cancel: watch::Receiver<bool>,
    ) -> Result<RunnerEnd> {
        let name = order.plan.pipeline.to_string();
        let earlier = {
            let mut orders = self.orders.lock().unwrap();
            orders.push(order.clone());
            orders.iter().filter(|other| other.run == order.run).count() - 1
        };
        let at_work = self.at_work.fetch_add(1, Ordering::SeqCst) + 1;
        self.at_work_max.fetch_max(at_work, Ordering::SeqCst);
        let ended = play(&name, earlier, &news, &mut cancel).await;
        self.at_work.fetch_sub(1, Ordering::SeqCst);
        ended.map(RunnerEnd::Data)
    }
}

async fn play(
    name: &str,
    earlier: usize,
    news: &mpsc::Sender<RunnerNews>,
    cancel: &mut watch::Receiver<bool>,
) -> Result<Report> {
    let node = Name::new("rows").unwrap();
    let line = |number: usize| {
        RunnerNews::Line(Line {
            level: LogLevel::Info,
            node: Some(node.clone()),
            message: "has committed".to_owned(),
            fields: json!({"number": number}),
        })
    };
    for number in 0..3 {
        let _ = news.send(line(number)).await;
        tokio::task::yield_now().await;
    }
    let _ = news.send(RunnerNews::Counts(vec![(node.clone(), 7, 2)])).await;
    let report = NodeReport { rows_in: 9, rows_out: 7, rejects: 2, ..NodeReport::default() };
    let nodes = vec![(node, report)];
    match name {
        "endless" => {
            let _ = cancel.wait_for(|cancel| *cancel).await;
            Err(Problem::new(&codes::RUN_CANCELLED, "the run was stopped"))
        }
        "deadly" => Err(Problem::new(&codes::RUNNER_LOST, "the runner died")),
        "deadly_once" if earlier == 0 => Err(Problem::new(&codes::RUNNER_LOST, "the runner died")),
        "panics_once" if earlier == 0 => panic!("what the dispatcher must survive"),
        "failing" => {
            let problem = Problem::new(&codes::FILE_NOT_FOUND, "`orders.csv` is not there");
            Ok(Report { nodes, tables: Vec::new(), problems: vec![problem.to_stored()] })
        }
        _ => {
            let tables = vec![("silver.rows".to_owned(), 1)];
            Ok(Report { nodes, tables, problems: Vec::new() })
        }
    }
}
