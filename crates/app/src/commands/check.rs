//! `affluent check`: are all documents right, without running anything?

use super::{Outcome, Session};
use crate::output::ExitCode;
use crate::selection::Dependencies;
use clap::Args;
use engine::outline;
use std::collections::BTreeSet;

const EXAMPLES: &str = "\
Example:\n\
\x20 affluent check";

/// Arguments of `affluent check`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {}

pub(crate) async fn execute(session: &Session, _: Arguments) -> Outcome {
    let workbench = session.open()?;
    let graphs = workbench.graphs()?;
    let all: BTreeSet<_> = graphs.keys().cloned().collect();
    Dependencies::new(&graphs).order(&all).map_err(|problem| vec![problem])?;
    let mut problems = Vec::new();
    for (name, graph) in &graphs {
        let document = &workbench.folder.pipelines[name].document;
        let found = outline::problems(graph, &workbench.context, &workbench.query).await;
        problems.extend(found.into_iter().map(|(at, problem)| {
            let setting = problem.context().setting.clone().unwrap_or_default();
            let pointer = format!("{}/with{setting}", graph.nodes[at].pointer);
            document.locate(problem, &pointer)
        }));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let nodes: usize = graphs.values().map(|graph| graph.pipeline.nodes.len()).sum();
    session.output.line(format!("{} pipelines with {nodes} nodes are right", graphs.len()));
    session.output.value(&serde_json::json!({"pipelines": graphs.len(), "nodes": nodes}));
    Ok(ExitCode::Done)
}
