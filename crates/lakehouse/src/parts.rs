//! Our batches as a DataFusion plan, and a plan's output as our batches.

use crate::errors::{from_datafusion, into_datafusion};
use arrow::datatypes::SchemaRef;
use contracts::{BatchStream, Batches};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::{StreamExt, TryStreamExt, stream};
use model::{Problem, Result, codes};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// A plan that gives rows which are on their way already; it can be executed once.
pub(crate) fn to_plan(batches: Batches) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = batches.schema;
    let partitions = batches
        .partitions
        .into_iter()
        .map(|stream| {
            let once = Once { schema: Arc::clone(&schema), stream: Mutex::new(Some(stream)) };
            Arc::new(once) as Arc<dyn PartitionStream>
        })
        .collect();
    let plan = StreamingTableExec::try_new(schema, partitions, None, Vec::new(), false, None)
        .map_err(|error| from_datafusion(&error))?;
    Ok(Arc::new(plan))
}

/// Starts all partitions of a plan.
pub(crate) fn from_plan(
    plan: &Arc<dyn ExecutionPlan>,
    context: &Arc<TaskContext>,
) -> Result<Batches> {
    let partitions = (0..plan.output_partitioning().partition_count())
        .map(|partition| {
            let stream = plan
                .execute(partition, Arc::clone(context))
                .map_err(|error| from_datafusion(&error))?;
            Ok(stream.map_err(|error| from_datafusion(&error)).boxed())
        })
        .collect::<Result<Vec<BatchStream>>>()?;
    Ok(Batches::new(plan.schema(), partitions))
}

struct Once {
    schema: SchemaRef,
    stream: Mutex<Option<BatchStream>>,
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Once")
    }
}

impl PartitionStream for Once {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let taken = self.stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        let rows = match taken {
            Some(rows) => rows.map_err(into_datafusion).boxed(),
            None => {
                let problem = Problem::new(&codes::INTERNAL, "rows were asked for twice");
                stream::iter([Err(into_datafusion(problem))]).boxed()
            }
        };
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows))
    }
}
