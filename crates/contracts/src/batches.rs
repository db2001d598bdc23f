//! Streams of record batches, always in several partitions so that every core works.

use crate::query::RowCounter;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use model::Result;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

/// One partition: batches in order.
pub type BatchStream = Pin<Box<dyn Stream<Item = Result<RecordBatch>> + Send>>;

/// Rows on their way: a schema and the partitions to read side by side.
pub struct Batches {
    /// Schema of every batch.
    pub schema: SchemaRef,
    /// The partitions; at least one.
    pub partitions: Vec<BatchStream>,
    /// Whether each partition is sorted by `_file`, `_row`. What needs that order then need not
    /// sort or wait.
    pub in_origin_order: bool,
}

impl Batches {
    /// Rows from streams. An empty list becomes one empty partition.
    pub fn new(schema: SchemaRef, mut partitions: Vec<BatchStream>) -> Self {
        if partitions.is_empty() {
            partitions.push(stream::empty().boxed());
        }
        Self { schema, partitions, in_origin_order: false }
    }

    /// Says that each partition is sorted by `_file`, `_row`.
    #[must_use]
    pub fn sorted_by_origin(mut self) -> Self {
        self.in_origin_order = true;
        self
    }

    /// Rows that are in memory already, in one partition.
    pub fn from_memory(schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        Self::new(schema, vec![stream::iter(batches.into_iter().map(Ok)).boxed()])
    }

    /// No rows.
    pub fn empty(schema: SchemaRef) -> Self {
        Self::new(schema, Vec::new())
    }

    /// The same rows, counted as they pass.
    #[must_use]
    pub fn counted(self, counter: &Arc<RowCounter>) -> Self {
        self.map_partitions(|partition| {
            counter.open();
            let counter = Arc::clone(counter);
            let end = Arc::clone(&counter);
            partition
                .inspect_ok(move |batch| counter.add(batch.num_rows()))
                .chain(stream::once(async move { end.end() }).filter_map(|()| async { None }))
                .boxed()
        })
    }

    /// Each partition changed by `change`; schema and order stay.
    #[must_use]
    pub fn map_partitions(self, change: impl FnMut(BatchStream) -> BatchStream) -> Self {
        let partitions = self.partitions.into_iter().map(change).collect();
        Self { partitions, ..self }
    }

    /// Reads everything into memory, partition after partition.
    pub async fn collect(self) -> Result<Vec<RecordBatch>> {
        let mut batches = Vec::new();
        for mut partition in self.partitions {
            while let Some(batch) = partition.try_next().await? {
                batches.push(batch);
            }
        }
        Ok(batches)
    }
}

impl fmt::Debug for Batches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batches")
            .field("schema", &self.schema)
            .field("partitions", &self.partitions.len())
            .finish()
    }
}
