//! `Count`: a plan node that counts the rows that pass, transparent to projections, opaque to
//! predicates and limits.

use crate::pass_through::Passing;
use contracts::RowCounter;
use datafusion::common::{DFSchemaRef, Result, internal_err};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
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
#[derive(Debug, Clone)]
pub(crate) struct Counting {
    step: String,
    counter: Arc<RowCounter>,
}

impl Counting {
    pub(crate) fn new(node: &Count) -> Self {
        Self { step: node.step.clone(), counter: Arc::clone(&node.counter) }
    }
}

impl Passing for Counting {
    const NAME: &'static str = "CountExec";

    fn detail(&self) -> &str {
        &self.step
    }

    fn pass(&self, rows: SendableRecordBatchStream) -> SendableRecordBatchStream {
        let counter = Arc::clone(&self.counter);
        counter.open();
        let end = Arc::clone(&counter);
        let schema = rows.schema();
        let rows = rows
            .inspect_ok(move |batch| counter.add(batch.num_rows()))
            .chain(stream::once(async move { end.end() }).filter_map(|()| async { None }));
        Box::pin(RecordBatchStreamAdapter::new(schema, rows))
    }
}
