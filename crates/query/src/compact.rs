//! Batches that hold on to no more memory than they need.
//!
//! A batch of views may keep whole pages of a file alive for a few rows of it, pieces of a batch
//! keep all of it, and each column of a batch that was on disk keeps the whole block that it was
//! read with. Operations that count memory, or write batches to disk, would see all that again
//! and again.

use crate::pass_through::{PassThrough, Passing};
use arrow::array::{Array, ArrayRef, AsArray, GenericByteViewArray, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{ByteViewType, DataType};
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream::StreamExt;
use std::sync::Arc;

/// Less than this of a column is not worth a copy in memory.
pub(crate) const WASTE_BYTES_MIN: usize = 64 << 10;

/// The batch, its columns copied where most of what they keep alive is not theirs, and
/// more than `waste_bytes_min` of a column.
pub(crate) fn compact(batch: RecordBatch, waste_bytes_min: usize) -> Result<RecordBatch> {
    let columns = batch.columns().iter().map(|column| compacted(column, waste_bytes_min));
    let columns: Vec<Option<ArrayRef>> = columns.collect();
    if columns.iter().all(Option::is_none) {
        return Ok(batch);
    }
    let columns = columns.into_iter().zip(batch.columns());
    let columns = columns.map(|(new, old)| new.unwrap_or_else(|| Arc::clone(old))).collect();
    Ok(RecordBatch::try_new(batch.schema(), columns)?)
}

fn compacted(column: &ArrayRef, waste_bytes_min: usize) -> Option<ArrayRef> {
    match column.data_type() {
        DataType::Utf8View => compacted_views(column.as_string_view(), waste_bytes_min),
        DataType::BinaryView => compacted_views(column.as_binary_view(), waste_bytes_min),
        data_type if data_type.is_nested() => None,
        _ => {
            let needed = column.to_data().get_slice_memory_size().ok()?;
            if !is_waste(column.get_buffer_memory_size(), needed, waste_bytes_min) {
                return None;
            }
            let rows = UInt32Array::from_iter_values(0..u32::try_from(column.len()).ok()?);
            take(column, &rows, None).ok()
        }
    }
}

/// Whether most of what is kept is not needed, and it is more than a little.
fn is_waste(kept: usize, needed: usize, waste_bytes_min: usize) -> bool {
    kept.saturating_sub(needed) > needed.max(waste_bytes_min)
}

fn compacted_views<T: ByteViewType>(
    views: &GenericByteViewArray<T>,
    waste_bytes_min: usize,
) -> Option<ArrayRef> {
    let kept: usize = views.data_buffers().iter().map(|buffer| buffer.capacity()).sum();
    let is_waste =
        kept > waste_bytes_min && is_waste(kept, views.total_buffer_bytes_used(), waste_bytes_min);
    is_waste.then(|| Arc::new(views.gc()) as _)
}

/// Compacts what is read from files and what operations gather in memory. (What was partitioned
/// or filtered comes in blocks of up to a megabyte a column, however few its rows; what was merged
/// refers to every batch it was merged from.) It is the last
/// rule, so that no other has to know the node.
#[derive(Debug)]
pub(crate) struct CompactInputs;

impl PhysicalOptimizerRule for CompactInputs {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let wrap = |node: Arc<dyn ExecutionPlan>| {
            if node.is::<DataSourceExec>() {
                return Ok(Transformed::yes(Compact::over(node)));
            }
            if !gathers(node.as_ref()) {
                return Ok(Transformed::no(node));
            }
            let children = node.children().into_iter().map(Arc::clone).map(Compact::over);
            let children = children.collect();
            node.replace_children(children, as_before()).map(Transformed::yes)
        };
        plan.transform_up(wrap).data()
    }

    fn name(&self) -> &'static str {
        "CompactInputs"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Children of the same properties.
fn as_before() -> ReplaceChildrenOptions {
    ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep)
}

/// Whether the operation keeps the batches it is given, all or many of them.
fn gathers(node: &dyn ExecutionPlan) -> bool {
    node.is::<SortExec>()
        || node.is::<SortPreservingMergeExec>()
        || node.is::<HashJoinExec>()
        || node.is::<NestedLoopJoinExec>()
        || node.is::<CrossJoinExec>()
}

/// Passes batches on, compacted.
#[derive(Debug, Clone)]
struct Compact;

impl Compact {
    fn over(input: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        match input.is::<PassThrough<Self>>() {
            true => input,
            false => Arc::new(PassThrough::new(Self, input)),
        }
    }
}

impl Passing for Compact {
    const NAME: &'static str = "CompactExec";

    fn pass(&self, rows: SendableRecordBatchStream) -> SendableRecordBatchStream {
        let schema = rows.schema();
        let batches = rows.map(|batch| compact(batch?, WASTE_BYTES_MIN));
        Box::pin(RecordBatchStreamAdapter::new(schema, batches))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringViewArray};

    #[test]
    fn a_piece_lets_go_of_the_rest() {
        let texts = (0..20_000).map(|n| Some(format!("a text longer than a view {n}")));
        let texts: ArrayRef = Arc::new(texts.collect::<StringViewArray>());
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..20_000));
        let whole = RecordBatch::try_from_iter([("text", texts), ("number", numbers)]).unwrap();
        let piece = whole.slice(100, 50);
        let small = compact(piece.clone(), WASTE_BYTES_MIN).unwrap();
        assert_eq!(small, piece);
        assert!(small.get_array_memory_size() < 10_000);
        assert_eq!(compact(whole.clone(), WASTE_BYTES_MIN).unwrap(), whole);
    }
}
