//! `affluent explain`: what a pipeline compiles to.

use super::{Outcome, Session};
use crate::output::ExitCode;
use clap::Args;
use engine::outline;
use model::Problem;
use serde_json::json;

const EXAMPLES: &str = "\
Examples:\n\
\x20 affluent explain sales\n\
\x20 affluent explain sales.daily";

/// Arguments of `affluent explain`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// A pipeline, or `pipeline.node`
    pub target: String,
}

pub(crate) async fn execute(session: &Session, arguments: Arguments) -> Outcome {
    let one = |problem: Problem| vec![problem];
    let workbench = session.open()?;
    let (pipeline, node) = match arguments.target.split_once('.') {
        Some((pipeline, node)) => (pipeline, Some(node)),
        None => (arguments.target.as_str(), None),
    };
    let file = workbench.folder.pipeline(pipeline).map_err(one)?;
    let graph = workbench.graph(file)?;
    let outline = outline::of(graph, &workbench.context, &workbench.query).await.map_err(one)?;
    let mut shown = 0;
    for part in &outline {
        if node.is_some_and(|node| part.node.as_str() != node) {
            continue;
        }
        shown += 1;
        session.output.value(&json!({
            "stage": part.stage, "node": part.node, "module": part.module, "sql": part.sql,
            "plan": part.plan, "columns": part.columns,
        }));
        session.output.line(format!("stage {}  {}  ({})", part.stage, part.node, part.module));
        if let Some(sql) = &part.sql {
            session.output.line(format!("  {sql}"));
        }
        if let (Some(plan), Some(_)) = (&part.plan, node) {
            session.output.line(format!("\n{plan}"));
        }
    }
    if let (0, Some(node)) = (shown, node) {
        let known = outline.iter().map(|part| part.node.as_str());
        let fact = format!("pipeline `{pipeline}` has no node `{node}`");
        return Err(one(Problem::new(&model::codes::NAME_UNKNOWN, fact)
            .hint(format!("its nodes are {}", stdx::text::list(known)))));
    }
    Ok(ExitCode::Done)
}
