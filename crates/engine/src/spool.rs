//! Rows that a later stage reads, any number of times.

use crate::blocks::{Block, BlockFile};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use contracts::{BatchStream, Batches};
use futures::stream::{self, StreamExt, TryStreamExt};
use model::Result;
use std::path::Path;
use std::sync::Arc;

/// Bytes that a partition keeps in memory.
const MEMORY_BYTES_MAX: usize = 8 << 20;

/// Rows read to their end and kept.
#[derive(Debug, Clone)]
pub(crate) struct Spool {
    schema: SchemaRef,
    in_origin_order: bool,
    partitions: Vec<Arc<Partition>>,
}

#[derive(Debug, Default)]
struct Partition {
    memory: Vec<RecordBatch>,
    on_disk: Vec<Block>,
    file: Option<BlockFile>,
}

impl Spool {
    /// Reads `batches` to the end, all partitions side by side.
    pub(crate) async fn fill(batches: Batches, spill: &Path) -> Result<Self> {
        let Batches { schema, partitions, in_origin_order } = batches;
        let tasks: Vec<_> = partitions
            .into_iter()
            .map(|partition| tokio::spawn(fill_partition(partition, spill.to_owned())))
            .collect();
        let mut filled = Vec::with_capacity(tasks.len());
        for task in tasks {
            let partition = task.await.map_err(crate::stage::task_failed)??;
            filled.push(Arc::new(partition));
        }
        Ok(Self { schema, in_origin_order, partitions: filled })
    }

    /// Columns of the rows.
    pub(crate) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Whether each partition is sorted by origin.
    pub(crate) fn in_origin_order(&self) -> bool {
        self.in_origin_order
    }

    /// The rows from the beginning.
    pub(crate) fn read(&self) -> Batches {
        let partitions = self.partitions.iter().map(read_partition).collect();
        let batches = Batches::new(Arc::clone(&self.schema), partitions);
        if self.in_origin_order { batches.sorted_by_origin() } else { batches }
    }
}

async fn fill_partition(mut rows: BatchStream, spill: std::path::PathBuf) -> Result<Partition> {
    let mut partition = Partition::default();
    let mut bytes = 0;
    while let Some(batch) = rows.try_next().await? {
        bytes += batch.get_array_memory_size();
        if bytes <= MEMORY_BYTES_MAX {
            partition.memory.push(batch);
            continue;
        }
        if partition.file.is_none() {
            partition.file = Some(BlockFile::create(&spill)?);
        }
        let block = partition.file.as_mut().map(|file| file.append(&batch)).transpose()?;
        partition.on_disk.extend(block);
    }
    Ok(partition)
}

fn read_partition(partition: &Arc<Partition>) -> BatchStream {
    let partition = Arc::clone(partition);
    let total = partition.memory.len() + partition.on_disk.len();
    stream::iter(0..total)
        .map(move |at| match partition.memory.get(at) {
            Some(batch) => Ok(batch.clone()),
            None => {
                let block = partition.on_disk[at - partition.memory.len()];
                let file = partition.file.as_ref().expect("blocks on disk have a file");
                file.read(block)
            }
        })
        .boxed()
}
