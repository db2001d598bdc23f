//! Documents, looked at without being run.

use super::rows::{first, page};
use crate::commands::preview::preview as run_preview;
use crate::commands::{check, lineage};
use crate::workbench::Workbench;
use api::definitions::{Explanation, NodePlan, Preview};
use api::query::Column;
use api::tables::Lineage;
use engine::outline;
use model::problem::StoredProblem;
use model::{Name, Problem, TableName, codes};
use server::{PipelinePlan, PreviewQuestion};

type Found<T> = Result<T, Vec<Problem>>;

pub(super) async fn check(opened: Found<Workbench>) -> Vec<StoredProblem> {
    let found = match &opened {
        Ok(workbench) => check::check(workbench).await.err().unwrap_or_default(),
        Err(problems) => problems.clone(),
    };
    found.iter().map(Problem::to_stored).collect()
}

pub(super) fn plans(workbench: &Workbench) -> Found<Vec<PipelinePlan>> {
    let files = &workbench.folder.pipelines;
    let plans = crate::plans::plans(files, &workbench.registry)?.into_iter();
    let planned = plans.map(|(name, plan)| {
        let pipeline = &files[&name].pipeline;
        PipelinePlan {
            plan,
            description: pipeline.description.clone(),
            tags: pipeline.tags.clone(),
        }
    });
    Ok(planned.collect())
}

pub(super) async fn lineage(
    workbench: &Workbench,
    table: &TableName,
    column: Option<&str>,
) -> Found<Lineage> {
    let edges = lineage::edges(workbench).await?;
    let wanted = lineage::wanted(&edges, table, column).map_err(|problem| vec![problem])?;
    Ok(Lineage { items: lineage::shown(&edges, &wanted) })
}

pub(super) async fn explain(
    workbench: &Workbench,
    pipeline: &Name,
    node: Option<Name>,
) -> Found<Explanation> {
    let one = |problem| vec![problem];
    let file = workbench.folder.pipeline(pipeline.as_str()).map_err(one)?;
    let graph = workbench.graph(file)?;
    let parts = outline::of(graph, &workbench.context, &workbench.query).await.map_err(one)?;
    let known: Vec<String> = parts.iter().map(|part| part.node.to_string()).collect();
    let is_wanted = |part: &outline::Part| node.as_ref().is_none_or(|node| *node == part.node);
    let nodes: Vec<NodePlan> = parts.into_iter().filter(is_wanted).map(shown).collect();
    match (&node, nodes.is_empty()) {
        (Some(node), true) => {
            let fact = format!("pipeline `{pipeline}` has no node `{node}`");
            let known = stdx::text::list(known.iter().map(String::as_str));
            Err(one(Problem::new(&codes::NAME_UNKNOWN, fact)
                .arg("node", node)
                .hint(format!("its nodes are {known}"))))
        }
        _ => Ok(Explanation { nodes }),
    }
}

fn shown(part: outline::Part) -> NodePlan {
    let column = |(name, data_type)| Column { name, data_type, nullable: true, header: None };
    NodePlan {
        stage: part.stage as u64,
        node: part.node.to_string(),
        module: part.module.to_owned(),
        sql: part.sql,
        plan: part.plan,
        columns: part.columns.into_iter().map(column).collect(),
    }
}

pub(super) async fn preview(workbench: &Workbench, wanted: &PreviewQuestion) -> Found<Preview> {
    let one = |problem| vec![problem];
    let (pipeline, node) = (wanted.pipeline.as_str(), &wanted.node);
    let seen = run_preview(workbench, pipeline, node, &wanted.port).await?;
    let (batches, _) = first(seen.rows.read(), wanted.limit).await.map_err(one)?;
    Ok(Preview {
        rows: page(&seen.rows.schema, &batches).map_err(one)?,
        row_count: seen.count as u64,
        reject_count: seen.rejects as u64,
        is_sample: seen.is_sample,
        findings: seen.findings,
        sql: seen.sql,
    })
}
