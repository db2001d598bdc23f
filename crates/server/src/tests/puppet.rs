//! A runner that does what the name of the pipeline says.

use crate::runs::{Line, PipelineInfo, Report, RunOrder, Runner, RunnerNews};
use async_trait::async_trait;
use model::run::NodeReport;
use model::{Name, Problem, Result, codes};
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use store::LogLevel;
use tokio::sync::{mpsc, watch};

/// The pipelines of the workspace `shop`.
const PIPELINES: &[&str] = &["quick", "endless", "failing", "deadly", "deadly_once", "panics_once"];

#[derive(Clone, Default)]
pub(super) struct Puppet {
    /// What was run, in order.
    pub(super) orders: Arc<Mutex<Vec<RunOrder>>>,
    /// Runs at work.
    at_work: Arc<AtomicUsize>,
    /// The most that there were at the same time.
    pub(super) at_work_max: Arc<AtomicUsize>,
}

#[async_trait]
impl Runner for Puppet {
    async fn pipelines(&self, workspace: &Name) -> Result<Vec<PipelineInfo>> {
        let names = PIPELINES.iter().filter(|_| workspace.as_str() == "shop");
        let info = |name: &&str| PipelineInfo {
            name: Name::new(*name).unwrap(),
            description: String::new(),
            tags: Vec::new(),
        };
        Ok(names.map(info).collect())
    }

    async fn run(
        &self,
        order: RunOrder,
        news: mpsc::Sender<RunnerNews>,
        mut cancel: watch::Receiver<bool>,
    ) -> Result<Report> {
        let name = order.pipeline.to_string();
        let earlier = {
            let mut orders = self.orders.lock().unwrap();
            orders.push(order.clone());
            orders.iter().filter(|other| other.run == order.run).count() - 1
        };
        let at_work = self.at_work.fetch_add(1, Ordering::SeqCst) + 1;
        self.at_work_max.fetch_max(at_work, Ordering::SeqCst);
        let ended = play(&name, earlier, &news, &mut cancel).await;
        self.at_work.fetch_sub(1, Ordering::SeqCst);
        ended
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
            Ok(Report { nodes, problems: vec![problem.to_stored()] })
        }
        _ => Ok(Report { nodes, problems: Vec::new() }),
    }
}
