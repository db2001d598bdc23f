//! `affluent lineage`: where a table or column comes from.

use super::{Outcome, Session};
use crate::output::ExitCode;
use crate::workbench::Workbench;
use api::tables::{LineageColumn, LineageEdge};
use clap::{Args, ValueEnum};
use engine::outline;
use model::{Problem, Result, TableName, codes};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

const EXAMPLES: &str = "\
Examples:\n\
\x20 affluent lineage gold.sales_daily_metrics\n\
\x20 affluent lineage gold.sales_daily_metrics.revenue\n\
\x20 affluent lineage gold.sales_daily_metrics --format mermaid";

/// Arguments of `affluent lineage`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// `zone.table` or `zone.table.column`
    pub target: String,
    /// How it is shown
    #[arg(long, value_enum, default_value_t = Shape::Tree)]
    pub format: Shape,
}

/// How lineage is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// An indented tree
    Tree,
    /// A JSON array of edges
    Json,
    /// A Mermaid flowchart
    Mermaid,
}

/// A column of a table, file or database.
pub(crate) type Column = (String, String);
/// For each column, those it is made from.
pub(crate) type Edges = BTreeMap<Column, BTreeSet<Column>>;

pub(crate) async fn execute(session: &Session, arguments: Arguments) -> Outcome {
    let one = |problem: Problem| vec![problem];
    let workbench = session.open()?;
    let mut parts = arguments.target.splitn(3, '.');
    let zone_and_table: Vec<&str> = parts.by_ref().take(2).collect();
    let table = TableName::parse(&zone_and_table.join(".")).map_err(one)?;
    let column = parts.next();
    let edges = edges(&workbench).await?;
    let wanted = wanted(&edges, &table, column).map_err(one)?;
    let shape = if session.output.json { Shape::Json } else { arguments.format };
    match shape {
        Shape::Tree => {
            for column in &wanted {
                let mut path = Vec::new();
                show_tree(session, &edges, column, 0, &mut path);
            }
        }
        Shape::Json => {
            session.output.raw(&format!("{}\n", json!(shown(&edges, &wanted))));
        }
        Shape::Mermaid => {
            session.output.raw("flowchart LR\n");
            for (to, from) in reachable(&edges, &wanted) {
                let line = format!("  {}.{} --> {}.{}\n", from.0, from.1, to.0, to.1);
                session.output.raw(&line.replace(['*', '/', ' '], "_"));
            }
        }
    }
    Ok(ExitCode::Done)
}

/// Where all columns that pipelines write come from.
pub(crate) async fn edges(workbench: &Workbench) -> Result<Edges, Vec<Problem>> {
    let mut edges = Edges::new();
    for file in workbench.folder.pipelines.values() {
        let graph = workbench.graph(file)?;
        let found = outline::columns(graph, &workbench.context, &workbench.query).await;
        for (to, from) in found.map_err(|problem| vec![problem])? {
            edges.entry(to).or_default().extend(from);
        }
    }
    Ok(edges)
}

/// The columns of a table that pipelines write, or the one that is meant.
pub(crate) fn wanted(
    edges: &Edges,
    table: &TableName,
    column: Option<&str>,
) -> Result<Vec<Column>> {
    let is_wanted = |(relation, name): &&Column| {
        *relation == table.to_string() && column.is_none_or(|column| column == name)
    };
    let wanted: Vec<Column> = edges.keys().filter(is_wanted).cloned().collect();
    if !wanted.is_empty() {
        return Ok(wanted);
    }
    let what = column.map(|column| format!("column `{column}` of ")).unwrap_or_default();
    let fact = format!("no pipeline writes {what}table `{table}`");
    Err(Problem::new(&codes::TABLE_NOT_FOUND, fact).hint("`affluent tables` lists what there is"))
}

/// Everything that the wanted columns come from, as the interface shows it.
pub(crate) fn shown(edges: &Edges, wanted: &[Column]) -> Vec<LineageEdge> {
    let column = |(relation, column): Column| LineageColumn { relation, column };
    let pairs = reachable(edges, wanted).into_iter();
    pairs.map(|(to, from)| LineageEdge { from: column(from), to: column(to) }).collect()
}

fn show_tree(
    session: &Session,
    edges: &Edges,
    column: &Column,
    depth: usize,
    path: &mut Vec<Column>,
) {
    let indent = "  ".repeat(depth);
    let again = if path.contains(column) { " (see above)" } else { "" };
    session.output.line(format!("{indent}{}.{}{again}", column.0, column.1));
    if !again.is_empty() {
        return;
    }
    path.push(column.clone());
    for from in edges.get(column).into_iter().flatten() {
        show_tree(session, edges, from, depth + 1, path);
    }
    path.pop();
}

fn reachable(edges: &Edges, wanted: &[Column]) -> BTreeSet<(Column, Column)> {
    let mut pairs = BTreeSet::new();
    let mut open: Vec<Column> = wanted.to_vec();
    while let Some(to) = open.pop() {
        for from in edges.get(&to).into_iter().flatten() {
            if pairs.insert((to.clone(), from.clone())) {
                open.push(from.clone());
            }
        }
    }
    pairs
}
