//! Column lineage, read from the logical plan: what each output column is made from.

use contracts::query::{ColumnOrigin, Lineage};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::{Distinct, Expr, JoinType, LogicalPlan};
use std::collections::BTreeSet;

type Origins = BTreeSet<ColumnOrigin>;

/// The lineage of every column of `plan`.
pub(crate) fn of(plan: &LogicalPlan) -> Lineage {
    let names = plan.schema().fields().iter().map(|field| field.name().clone());
    names.zip(columns(plan)).map(|(name, origins)| (name, origins.into_iter().collect())).collect()
}

/// Origins per output column, in the order of the schema.
fn columns(plan: &LogicalPlan) -> Vec<Origins> {
    match plan {
        LogicalPlan::TableScan(scan) => match scan.source.get_logical_plan() {
            Some(view) => columns(&view),
            None => scan_columns(plan, &scan.table_name.to_string()),
        },
        LogicalPlan::Projection(node) => expressions(&node.expr, &[&node.input]),
        LogicalPlan::Aggregate(node) => {
            let all: Vec<Expr> = node.group_expr.iter().chain(&node.aggr_expr).cloned().collect();
            fit(plan, expressions(&all, &[&node.input]))
        }
        LogicalPlan::Window(node) => {
            let mut origins = columns(&node.input);
            origins.extend(expressions(&node.window_expr, &[&node.input]));
            origins
        }
        LogicalPlan::Join(node) => match node.join_type {
            JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => {
                fit(plan, columns(&node.left))
            }
            JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => {
                fit(plan, columns(&node.right))
            }
            _ => [columns(&node.left), columns(&node.right)].concat(),
        },
        LogicalPlan::Union(node) => {
            let mut merged = vec![Origins::new(); plan.schema().fields().len()];
            for input in &node.inputs {
                for (into, from) in merged.iter_mut().zip(columns(input)) {
                    into.extend(from);
                }
            }
            merged
        }
        LogicalPlan::Distinct(Distinct::On(node)) => expressions(&node.select_expr, &[&node.input]),
        other => match other.inputs().as_slice() {
            [input] => fit(plan, columns(input)),
            inputs => {
                let everything: Origins =
                    inputs.iter().flat_map(|input| columns(input)).flatten().collect();
                vec![everything; plan.schema().fields().len()]
            }
        },
    }
}

fn scan_columns(plan: &LogicalPlan, table: &str) -> Vec<Origins> {
    let relation = table.trim_start_matches("affluent.").trim_start_matches("local.");
    let origin = |name: &String| {
        let origin = ColumnOrigin { relation: relation.to_owned(), column: name.clone() };
        Origins::from([origin])
    };
    plan.schema().fields().iter().map(|field| origin(field.name())).collect()
}

/// A list as long as the schema: what is added by a node (marks, unnested fields) comes from all.
fn fit(plan: &LogicalPlan, mut origins: Vec<Origins>) -> Vec<Origins> {
    let wanted = plan.schema().fields().len();
    if origins.len() < wanted {
        let everything: Origins = origins.iter().flatten().cloned().collect();
        origins.resize(wanted, everything);
    }
    origins.truncate(wanted);
    origins
}

fn expressions(expressions: &[Expr], inputs: &[&LogicalPlan]) -> Vec<Origins> {
    let below: Vec<(&DFSchema, Vec<Origins>)> =
        inputs.iter().map(|input| (input.schema().as_ref(), columns(input))).collect();
    expressions.iter().map(|expression| expression_origins(expression, &below)).collect()
}

fn expression_origins(expression: &Expr, below: &[(&DFSchema, Vec<Origins>)]) -> Origins {
    let mut origins = Origins::new();
    let _ = expression.apply(|part| {
        match part {
            Expr::Column(column) => origins.extend(column_origins(column, below)),
            Expr::ScalarSubquery(subquery) => {
                origins.extend(columns(&subquery.subquery).into_iter().flatten());
            }
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    });
    origins
}

fn column_origins(column: &Column, below: &[(&DFSchema, Vec<Origins>)]) -> Origins {
    below
        .iter()
        .find_map(|(schema, origins)| {
            let at = schema.maybe_index_of_column(column)?;
            origins.get(at).cloned()
        })
        .unwrap_or_default()
}
