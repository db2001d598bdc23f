//! A table whose rows come from streams, each of which can be read once.

use crate::compact::{WASTE_BYTES_MIN, compact};
use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use contracts::arrow_types::{FILE, ROW};
use contracts::{BatchStream, Batches};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, internal_datafusion_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{
    EquivalenceProperties, LexOrdering, Partitioning, PhysicalExpr, PhysicalSortExpr,
};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::stream::{self, StreamExt, TryStreamExt};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Streams under a name. Each scan takes the next reader.
pub(crate) struct StreamTable {
    name: String,
    schema: SchemaRef,
    in_origin_order: bool,
    readers: Mutex<Vec<Batches>>,
}

impl StreamTable {
    pub(crate) fn new(name: &str, schema: SchemaRef, in_origin_order: bool) -> Self {
        Self { name: name.to_owned(), schema, in_origin_order, readers: Mutex::default() }
    }

    /// Gives the readers that scans will take.
    pub(crate) fn fill(&self, readers: Vec<Batches>) {
        *self.readers.lock().unwrap_or_else(PoisonError::into_inner) = readers;
    }
}

impl fmt::Debug for StreamTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamTable").field("name", &self.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for StreamTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        // Without readers this is a plan to look at, not to run.
        let reader = readers.pop();
        let partitions = reader
            .map_or_else(|| vec![None], |reader| reader.partitions.into_iter().map(Some).collect());
        let scan = StreamScan::new(self, projection.cloned(), partitions)?;
        Ok(Arc::new(scan))
    }
}

/// Reads one reader of a [`StreamTable`].
struct StreamScan {
    name: String,
    projection: Option<Vec<usize>>,
    properties: Arc<PlanProperties>,
    partitions: Mutex<Vec<Option<BatchStream>>>,
}

impl StreamScan {
    fn new(
        table: &StreamTable,
        projection: Option<Vec<usize>>,
        partitions: Vec<Option<BatchStream>>,
    ) -> Result<Self> {
        let schema = match &projection {
            Some(columns) => Arc::new(table.schema.project(columns)?),
            None => Arc::clone(&table.schema),
        };
        let mut equivalence = EquivalenceProperties::new(Arc::clone(&schema));
        if table.in_origin_order
            && let Some(order) = origin_order(&schema)
        {
            equivalence.add_ordering(order);
        }
        let properties = PlanProperties::new(
            equivalence,
            Partitioning::UnknownPartitioning(partitions.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self {
            name: table.name.clone(),
            projection,
            properties: Arc::new(properties),
            partitions: Mutex::new(partitions),
        })
    }
}

fn origin_order(schema: &SchemaRef) -> Option<LexOrdering> {
    let sort = |name: &str| {
        let (at, _) = schema.column_with_name(name)?;
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(name, at));
        Some(PhysicalSortExpr::new_default(column).asc().nulls_last())
    };
    LexOrdering::new([sort(FILE)?, sort(ROW)?])
}

impl fmt::Debug for StreamScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamScan").field("name", &self.name).finish_non_exhaustive()
    }
}

impl DisplayAs for StreamScan {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamScan: {}", self.name)
    }
}

impl ExecutionPlan for StreamScan {
    fn name(&self) -> &'static str {
        "StreamScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let rows_max = context.session_config().batch_size();
        let mut partitions = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        let stream = partitions.get_mut(partition).and_then(Option::take).ok_or_else(|| {
            internal_datafusion_err!("partition {partition} of {} is read twice", self.name)
        })?;
        let schema = self.schema();
        let projection = self.projection.clone();
        let wanted = Arc::clone(&schema);
        let batches = stream.map(move |batch| {
            let batch = batch.map_err(|problem| DataFusionError::External(Box::new(problem)))?;
            pieces(project(&batch, projection.as_deref(), &wanted)?, rows_max)
        });
        let batches = batches.map_ok(|pieces| stream::iter(pieces.into_iter().map(Ok)));
        let batches = batches.try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}

/// The batch in pieces of at most `rows_max` rows, each with buffers of its own: an operation that
/// is short of memory has to find room for one of them.
fn pieces(batch: RecordBatch, rows_max: usize) -> Result<Vec<RecordBatch>> {
    let rows = batch.num_rows();
    if rows <= rows_max {
        return Ok(vec![compact(batch, WASTE_BYTES_MIN)?]);
    }
    (0..rows)
        .step_by(rows_max)
        .map(|first| {
            let end = (first + rows_max).min(rows);
            let places: UInt32Array = (first as u32..end as u32).collect();
            compact(take_record_batch(&batch, &places)?, WASTE_BYTES_MIN)
        })
        .collect()
}

/// The wanted columns under the plan's schema; field metadata may differ from the batch's.
fn project(
    batch: &RecordBatch,
    projection: Option<&[usize]>,
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let columns = match projection {
        Some(columns) => columns.iter().map(|at| Arc::clone(batch.column(*at))).collect(),
        None => batch.columns().to_vec(),
    };
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}
