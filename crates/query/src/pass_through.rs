//! A physical node that looks at the batches that pass, or changes them, and no more: schema,
//! partitions, order and number of rows are those of its input.

use async_trait::async_trait;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use std::fmt;
use std::sync::Arc;

/// What a [`PassThrough`] does to a partition's batches.
pub(crate) trait Passing: Clone + fmt::Debug + Send + Sync + 'static {
    /// The name of the node.
    const NAME: &'static str;

    /// What stands behind the name in a plan; nothing by default.
    fn detail(&self) -> &str {
        ""
    }

    /// The same rows in the same order.
    fn pass(&self, rows: SendableRecordBatchStream) -> SendableRecordBatchStream;
}

/// The node.
#[derive(Debug)]
pub(crate) struct PassThrough<P> {
    input: Arc<dyn ExecutionPlan>,
    passing: P,
}

impl<P> PassThrough<P> {
    pub(crate) fn new(passing: P, input: Arc<dyn ExecutionPlan>) -> Self {
        Self { input, passing }
    }
}

impl<P: Passing> DisplayAs for PassThrough<P> {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.passing.detail() {
            "" => f.write_str(P::NAME),
            detail => write!(f, "{}: {detail}", P::NAME),
        }
    }
}

#[async_trait]
impl<P: Passing> ExecutionPlan for PassThrough<P> {
    fn name(&self) -> &'static str {
        P::NAME
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
            Some(input) if children.is_empty() => {
                Ok(Arc::new(Self::new(self.passing.clone(), input)))
            }
            _ => internal_err!("{} has one child", P::NAME),
        }
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        Ok(self.passing.pass(self.input.execute(partition, context)?))
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }
}
