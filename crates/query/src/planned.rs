//! A planned query: counts its readers, explains itself, runs.

use crate::lineage;
use crate::problems::problem;
use crate::stream_table::StreamTable;
use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use arrow::util::display::FormatOptions;
use async_trait::async_trait;
use contracts::arrow_types::{FILE, ROW};
use contracts::query::Lineage;
use contracts::{BatchStream, Batches, Planned};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_expr::PhysicalSortExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, displayable};
use futures::StreamExt;
use model::Result;
use std::collections::HashMap;
use std::sync::Arc;

/// A query that is planned and optimised, its streams not yet connected.
pub(crate) struct PlannedQuery {
    session: SessionState,
    /// As the user wrote it, for lineage.
    logical: LogicalPlan,
    /// As it will run.
    optimized: LogicalPlan,
    streams: Vec<(String, Arc<StreamTable>)>,
    reads: Vec<usize>,
}

impl PlannedQuery {
    pub(crate) fn new(
        session: SessionState,
        logical: LogicalPlan,
        streams: Vec<(String, Arc<StreamTable>)>,
    ) -> Result<Self> {
        let optimized = session.optimize(&logical).map_err(problem)?;
        let mut scans: HashMap<String, usize> = HashMap::new();
        optimized
            .apply_with_subqueries(|node| {
                if let LogicalPlan::TableScan(scan) = node {
                    // A lake table has its zone as schema; an input has none, or `local`.
                    if scan.table_name.schema().is_none_or(|schema| schema == "local") {
                        *scans.entry(scan.table_name.table().to_owned()).or_default() += 1;
                    }
                }
                Ok(TreeNodeRecursion::Continue)
            })
            .map_err(problem)?;
        let reads = streams.iter().map(|(name, _)| scans.get(name).copied().unwrap_or(0)).collect();
        Ok(Self { session, logical, optimized, streams, reads })
    }

    async fn physical(&self) -> Result<Arc<dyn ExecutionPlan>> {
        let planner = Arc::clone(self.session.query_planner());
        planner.create_physical_plan(&self.optimized, &self.session).await.map_err(problem)
    }
}

#[async_trait]
impl Planned for PlannedQuery {
    fn schema(&self) -> SchemaRef {
        let arrow: &Schema = self.logical.schema().as_arrow();
        let fields: Vec<_> =
            arrow.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
        Arc::new(Schema::new(fields))
    }

    fn reads(&self) -> Vec<usize> {
        self.reads.clone()
    }

    async fn in_origin_order(&self) -> Result<bool> {
        Ok(keeps_origin_order(&self.physical().await?))
    }

    fn lineage(&self) -> Lineage {
        lineage::of(&self.logical)
    }

    async fn explain(&self) -> Result<String> {
        let physical = self.physical().await?;
        let logical = self.optimized.display_indent();
        Ok(format!("{logical}\n\n{}", displayable(physical.as_ref()).indent(false)))
    }

    async fn execute(self: Box<Self>, inputs: Vec<Vec<Batches>>) -> Result<Batches> {
        for ((_, stream), readers) in self.streams.iter().zip(inputs) {
            stream.fill(readers);
        }
        let schema = self.schema();
        let physical = self.physical().await?;
        let in_origin_order = keeps_origin_order(&physical);
        let context = self.session.task_ctx();
        let partitions = physical.output_partitioning().partition_count();
        let streams = (0..partitions)
            .map(|partition| {
                let stream = physical.execute(partition, Arc::clone(&context)).map_err(problem)?;
                let wanted = Arc::clone(&schema);
                let batches = stream.map(move |batch| {
                    let batch = batch.map_err(problem)?;
                    retag(&batch, &wanted)
                });
                Ok(batches.boxed() as BatchStream)
            })
            .collect::<Result<Vec<_>>>()?;
        let batches = Batches::new(schema, streams);
        Ok(if in_origin_order { batches.sorted_by_origin() } else { batches })
    }
}

/// The batch under the schema that was promised. Nullability and metadata may differ inside, and
/// rewritten aggregates may come with a wider decimal than was planned.
fn retag(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let fit = |(column, field): (&ArrayRef, &FieldRef)| match column.data_type() {
        data_type if data_type == field.data_type() => Ok(Arc::clone(column)),
        _ => cast_with_options(column, field.data_type(), &STRICT),
    };
    batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(fit)
        .collect::<Result<Vec<_>, _>>()
        .and_then(|columns| {
            RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        })
        .map_err(|error| problem(error.into()))
}

/// A value that does not fit is a problem, not a null.
const STRICT: CastOptions<'static> =
    CastOptions { safe: false, format_options: FormatOptions::new() };

fn keeps_origin_order(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let schema = plan.schema();
    let sort = |name: &str| {
        let (at, _) = schema.column_with_name(name)?;
        Some(PhysicalSortExpr::new_default(Arc::new(Column::new(name, at))).asc().nulls_last())
    };
    let (Some(file), Some(row)) = (sort(FILE), sort(ROW)) else { return false };
    plan.equivalence_properties().ordering_satisfy([file, row]).unwrap_or(false)
}
