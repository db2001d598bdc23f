//! `affluent explain`: what a pipeline compiles to.

use super::{Outcome, Session};
use crate::output::ExitCode;
use crate::plans::plan;
use clap::Args;
use engine::outline;
use model::Problem;
use model::plan::{DATA, Plan, Task, Work};
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
    let plan = plan(file, &workbench.registry)?;
    for task in plan.tasks.iter().filter(|task| node.is_none_or(|node| task.id == node)) {
        let Work::Action { module, .. } = &task.work else { continue };
        shown += 1;
        show_action(session, &plan, task, module);
    }
    if let (0, Some(node)) = (shown, node) {
        let known = file.pipeline.nodes.iter().map(|node| node.id.as_str());
        let fact = format!("pipeline `{pipeline}` has no node `{node}`");
        return Err(one(Problem::new(&model::codes::NAME_UNKNOWN, fact)
            .hint(format!("its nodes are {}", stdx::text::list(known)))));
    }
    Ok(ExitCode::Done)
}

/// An action and what it waits for, in the order in which a server would come to it.
fn show_action(session: &Session, plan: &Plan, task: &Task, module: &str) {
    let before: Vec<String> = task
        .parents
        .iter()
        .filter_map(|parent| {
            let id = match plan.tasks.get(usize::try_from(parent.task).ok()?)?.id.as_str() {
                DATA => "the data nodes",
                id => id,
            };
            Some(match &parent.branch {
                Some(branch) => format!("{id}.{branch}"),
                None => id.to_owned(),
            })
        })
        .collect();
    session.output.value(&json!({
        "action": task.id, "module": module, "after": before, "when": task.when,
    }));
    let after = match before.is_empty() {
        true => String::new(),
        false => format!("  after {}", before.join(", ")),
    };
    session.output.line(format!("action   {}  ({module}){after}", task.id));
}
