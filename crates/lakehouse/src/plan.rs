//! Rows on their way into files: shaped, checked, spread over the cores, sorted where asked for.

use crate::balance::balance;
use crate::constraints::Constraints;
use crate::errors::from_datafusion;
use crate::parts;
use crate::runtime::Runtime;
use crate::schema::{Shape, batch_of};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, SchemaRef};
use contracts::{BatchStream, Batches};
use datafusion::physical_expr::expressions::col;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlanProperties, Partitioning};
use futures::{StreamExt, TryStreamExt};
use model::Result;
use std::sync::Arc;

/// Rows in the shape of the table; a row that breaks a constraint ends the stream.
pub(crate) fn shape(input: Batches, target: &SchemaRef, constraints: &Constraints) -> Batches {
    let shape = Shape::new(&input.schema, Arc::clone(target));
    let partitions = input
        .partitions
        .into_iter()
        .map(|stream| -> BatchStream {
            let shape = shape.clone();
            let constraints = constraints.clone();
            stream
                .and_then(move |batch| {
                    let shaped = shape.apply(&batch).and_then(|batch| {
                        constraints.check(&batch)?;
                        Ok(batch)
                    });
                    std::future::ready(shaped)
                })
                .boxed()
        })
        .collect();
    Batches::new(Arc::clone(target), partitions)
}

/// Rows spread over the cores; rows of one partition of the table together, sorted as files are.
pub(crate) async fn arrange(
    runtime: &Runtime,
    threads: usize,
    input: Batches,
    partition_by: &[String],
    cluster_by: &[String],
) -> Result<Batches> {
    let balanced = balance(input, threads).await?;
    if partition_by.is_empty() && cluster_by.is_empty() {
        return Ok(balanced);
    }
    let schema = Arc::clone(&balanced.schema);
    let mut plan = parts::to_plan(compacted(balanced))?;
    let columns = |names: &[String]| {
        names
            .iter()
            .map(|name| col(name, &schema).map_err(|error| from_datafusion(&error)))
            .collect::<Result<Vec<_>>>()
    };
    if !partition_by.is_empty() && plan.output_partitioning().partition_count() > 1 {
        let partitioning = Partitioning::Hash(columns(partition_by)?, threads);
        let repartition = RepartitionExec::try_new(plan, partitioning);
        plan = Arc::new(repartition.map_err(|error| from_datafusion(&error))?);
    }
    let keys = [partition_by, cluster_by].concat();
    let ascending = SortOptions::default();
    let ordering =
        columns(&keys)?.into_iter().map(|expression| PhysicalSortExpr::new(expression, ascending));
    if let Some(ordering) = LexOrdering::new(ordering) {
        plan = Arc::new(SortExec::new(ordering, plan).with_preserve_partitioning(true));
    }
    let context = runtime.session(threads, true).task_ctx();
    parts::from_plan(&plan, &context)
}

/// Rows whose texts keep no more bytes alive than they need, because a sort holds them.
fn compacted(input: Batches) -> Batches {
    let partitions = input.partitions.into_iter().map(|stream| -> BatchStream {
        stream.and_then(|batch| std::future::ready(compact(&batch))).boxed()
    });
    Batches::new(input.schema, partitions.collect())
}

fn compact(batch: &RecordBatch) -> Result<RecordBatch> {
    let column = |column: &ArrayRef| -> ArrayRef {
        match column.data_type() {
            DataType::Utf8View => match column.as_string_view() {
                texts if is_wasteful(column, texts.total_buffer_bytes_used()) => {
                    Arc::new(texts.gc())
                }
                _ => Arc::clone(column),
            },
            DataType::BinaryView => match column.as_binary_view() {
                bytes if is_wasteful(column, bytes.total_buffer_bytes_used()) => {
                    Arc::new(bytes.gc())
                }
                _ => Arc::clone(column),
            },
            _ => Arc::clone(column),
        }
    };
    batch_of(&batch.schema(), batch.columns().iter().map(column).collect(), batch.num_rows())
}

fn is_wasteful(column: &ArrayRef, used_bytes: usize) -> bool {
    let views_bytes = column.len() * size_of::<u128>();
    column.get_buffer_memory_size() > 2 * (used_bytes + views_bytes)
}
