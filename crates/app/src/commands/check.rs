//! `affluent check`: are all documents right, without running anything?

use super::{Outcome, Session};
use crate::output::ExitCode;
use crate::plans::plans;
use crate::selection::Dependencies;
use crate::workbench::Workbench;
use clap::Args;
use engine::outline;
use engine::planned_tables::PlannedTables;
use model::Problem;
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
    let Checked { pipelines, nodes } = check(&workbench).await?;
    session.output.line(format!("{pipelines} pipelines with {nodes} nodes are right"));
    session.output.value(&serde_json::json!({"pipelines": pipelines, "nodes": nodes}));
    Ok(ExitCode::Done)
}

/// What was found right.
pub(crate) struct Checked {
    pub(crate) pipelines: usize,
    pub(crate) nodes: usize,
}

/// Checks all documents of a project; gives every problem that can be seen without running them.
pub(crate) async fn check(workbench: &Workbench) -> Result<Checked, Vec<Problem>> {
    let graphs = workbench.graphs()?;
    plans(&workbench.folder.pipelines, &workbench.registry)?;
    let all: BTreeSet<_> = graphs.keys().cloned().collect();
    let order = Dependencies::new(&graphs).order(&all).map_err(|problem| vec![problem])?;
    let mut problems = Vec::new();
    // What one pipeline writes is planned before those that read it.
    let mut tables = PlannedTables::of(graphs.values());
    for name in &order {
        let graph = &graphs[name];
        let document = &workbench.folder.pipelines[name].document;
        let (context, query) = (&workbench.context, &workbench.query);
        let found = outline::problems(graph, context, query, &mut tables).await;
        problems.extend(found.into_iter().map(|(at, problem)| {
            let setting = problem.context().setting.clone().unwrap_or_default();
            let pointer = format!("{}/with{setting}", graph.nodes[at].pointer);
            document.locate(problem, &pointer)
        }));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let nodes = graphs.values().map(|graph| graph.pipeline.nodes.len()).sum();
    Ok(Checked { pipelines: graphs.len(), nodes })
}
