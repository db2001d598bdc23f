//! `Count`: a plan node that counts the rows that pass, transparent to projections, opaque to
//! predicates and limits.

use async_trait::async_trait;
use contracts::RowCounter;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchemaRef, Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::stream::{self, StreamExt, TryStreamExt};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Counts the rows of its input.
#[derive(Debug, Clone)]
pub(crate) struct Count {
    pub(crate) input: LogicalPlan,
    pub(crate) step: String,
    pub(crate) counter: Arc<RowCounter>,
}

impl PartialEq for Count {
    fn eq(&self, other: &Self) -> bool {
        self.step == other.step
            && Arc::ptr_eq(&self.counter, &other.counter)
            && self.input == other.input
    }
}

impl Eq for Count {}

impl PartialOrd for Count {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.step.partial_cmp(&other.step)
    }
}

impl Hash for Count {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.step.hash(state);
        self.input.hash(state);
    }
}

impl UserDefinedLogicalNodeCore for Count {
    fn name(&self) -> &'static str {
        "Count"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Count: {}", self.step)
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        match inputs.pop() {
            Some(input) if inputs.is_empty() => Ok(Self { input, ..self.clone() }),
            _ => internal_err!("Count has one input"),
        }
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![output_columns.to_vec()])
    }
}

/// Counts the rows of its input, partition by partition.
#[derive(Debug)]
pub(crate) struct CountExec {
    input: Arc<dyn ExecutionPlan>,
    step: String,
    counter: Arc<RowCounter>,
}

impl CountExec {
    pub(crate) fn new(node: &Count, input: Arc<dyn ExecutionPlan>) -> Self {
        Self { input, step: node.step.clone(), counter: Arc::clone(&node.counter) }
    }
}

impl DisplayAs for CountExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CountExec: {}", self.step)
    }
}

#[async_trait]
impl ExecutionPlan for CountExec {
    fn name(&self) -> &'static str {
        "CountExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match children.pop() {
            Some(input) if children.is_empty() => Ok(Arc::new(Self {
                input,
                step: self.step.clone(),
                counter: Arc::clone(&self.counter),
            })),
            _ => internal_err!("CountExec has one child"),
        }
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let counter = Arc::clone(&self.counter);
        counter.open();
        let end = Arc::clone(&counter);
        let rows = self
            .input
            .execute(partition, context)?
            .inspect_ok(move |batch| counter.add(batch.num_rows()))
            .chain(stream::once(async move { end.end() }).filter_map(|()| async { None }));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }
}
