//! `affluent check`: are all documents right, without running anything?

use super::{Outcome, Session};
use crate::output::ExitCode;
use crate::selection::Dependencies;
use clap::Args;
use std::collections::BTreeSet;

/// Example:
///
///   affluent check
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {}

pub(crate) async fn execute(session: &Session, _: Arguments) -> Outcome {
    let workbench = session.open()?;
    let graphs = workbench.graphs()?;
    let all: BTreeSet<_> = graphs.keys().cloned().collect();
    Dependencies::new(&graphs).order(&all).map_err(|problem| vec![problem])?;
    let nodes: usize = graphs.values().map(|graph| graph.pipeline.nodes.len()).sum();
    session.output.line(format!("{} pipelines with {nodes} nodes are right", graphs.len()));
    session.output.value(&serde_json::json!({"pipelines": graphs.len(), "nodes": nodes}));
    Ok(ExitCode::Done)
}
