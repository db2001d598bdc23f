//! `KeepFirst`: for each key the first row in an order, planned in place of `DISTINCT ON`.
//!
//! The engine's own plan for `SELECT DISTINCT ON (keys) … ORDER BY keys, order` aggregates
//! `first_value` over every column. Here rows that arrive in order pass a set of keys and go on
//! at once; rows in no order are split by key and the first of each key is chosen at the end.
//! Both go to disk when memory runs out.

mod exec;
mod keys;
mod ordered;
mod unordered;

pub(crate) use exec::KeepFirstExec;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchemaRef, Result, internal_err};
use datafusion::logical_expr::{
    Distinct, Expr, Extension, LogicalPlan, LogicalPlanBuilder, SortExpr,
    UserDefinedLogicalNodeCore,
};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// For each key the first row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct KeepFirst {
    input: LogicalPlan,
    keys: Vec<Expr>,
    order: Vec<SortExpr>,
}

impl PartialOrd for KeepFirst {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.keys.partial_cmp(&other.keys)
    }
}

impl UserDefinedLogicalNodeCore for KeepFirst {
    fn name(&self) -> &'static str {
        "KeepFirst"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        self.keys.iter().cloned().chain(self.order.iter().map(|sort| sort.expr.clone())).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<String> = self.keys.iter().map(ToString::to_string).collect();
        let order: Vec<String> = self.order.iter().map(ToString::to_string).collect();
        write!(f, "KeepFirst: keys=[{}], order=[{}]", keys.join(", "), order.join(", "))
    }

    fn with_exprs_and_inputs(
        &self,
        mut expressions: Vec<Expr>,
        mut inputs: Vec<LogicalPlan>,
    ) -> Result<Self> {
        let (Some(input), true) = (inputs.pop(), expressions.len() >= self.keys.len()) else {
            return internal_err!("KeepFirst has one input, keys and an order");
        };
        let order = expressions.split_off(self.keys.len());
        let order = self
            .order
            .iter()
            .zip(order)
            .map(|(sort, expr)| SortExpr { expr, ..sort.clone() })
            .collect();
        Ok(Self { input, keys: expressions, order })
    }
}

/// Plans `DISTINCT ON` as [`KeepFirst`] under a projection.
#[derive(Debug)]
pub(crate) struct KeepFirstRule;

impl OptimizerRule for KeepFirstRule {
    fn name(&self) -> &'static str {
        "keep_first"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Distinct(Distinct::On(distinct)) = plan else {
            return Ok(Transformed::no(plan));
        };
        let key_count = distinct.on_expr.len();
        // The order begins with the keys themselves, which are equal among rival rows.
        let order = distinct.sort_expr.unwrap_or_default().into_iter().skip(key_count).collect();
        let node = KeepFirst {
            input: Arc::unwrap_or_clone(distinct.input),
            keys: distinct.on_expr,
            order,
        };
        let extension = LogicalPlan::Extension(Extension { node: Arc::new(node) });
        let projected =
            LogicalPlanBuilder::from(extension).project(distinct.select_expr)?.build()?;
        Ok(Transformed::yes(projected))
    }
}
