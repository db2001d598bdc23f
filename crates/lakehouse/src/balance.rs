//! Rows spread over the cores, whatever number of partitions they come in.

use crate::errors::from_join;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use contracts::{BatchStream, Batches};
use futures::{StreamExt, TryStreamExt, stream};
use model::Result;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

/// Less than this becomes one partition, and so one file.
const SMALL_BYTES: usize = 16 * 1024 * 1024;

/// Rows in as many partitions as there are cores, or in one when they are few. Which partition a
/// batch comes out of is left to who asks first, so that no core waits for another.
pub(crate) async fn balance(input: Batches, threads: usize) -> Result<Batches> {
    let schema = input.schema;
    let (sender, receiver) = mpsc::channel(threads * 2);
    let mut readers = JoinSet::new();
    for stream in input.partitions {
        readers.spawn(forward(stream, sender.clone()));
    }
    drop(sender);
    let mut queue = Queue { first: VecDeque::new(), receiver, readers };
    if queue.collect_small().await? {
        let first = std::mem::take(&mut queue.first);
        return Ok(Batches::from_memory(schema, first.into()));
    }
    Ok(shared(&schema, queue, threads))
}

fn shared(schema: &SchemaRef, queue: Queue, threads: usize) -> Batches {
    let queue = Arc::new(Mutex::new(queue));
    let partition = || -> BatchStream {
        stream::try_unfold(Arc::clone(&queue), |queue| async {
            let next = queue.lock().await.next().await?;
            Ok(next.map(|batch| (batch, queue)))
        })
        .boxed()
    };
    Batches::new(Arc::clone(schema), (0..threads).map(|_| partition()).collect())
}

async fn forward(mut stream: BatchStream, sender: mpsc::Sender<Result<RecordBatch>>) {
    loop {
        let next = match stream.try_next().await {
            Ok(None) => return,
            Ok(Some(batch)) if batch.num_rows() == 0 => continue,
            Ok(Some(batch)) => Ok(batch),
            Err(problem) => Err(problem),
        };
        let failed = next.is_err();
        if sender.send(next).await.is_err() || failed {
            return;
        }
    }
}

struct Queue {
    first: VecDeque<RecordBatch>,
    receiver: mpsc::Receiver<Result<RecordBatch>>,
    /// Ended when nobody asks for rows any more.
    readers: JoinSet<()>,
}

impl Queue {
    /// Takes up to [`SMALL_BYTES`]; true when that was all.
    async fn collect_small(&mut self) -> Result<bool> {
        let mut bytes = 0;
        while bytes < SMALL_BYTES {
            match self.receiver.recv().await {
                Some(batch) => {
                    let batch = batch?;
                    bytes += batch.get_array_memory_size();
                    self.first.push_back(batch);
                }
                None => return self.ended().await.map(|()| true),
            }
        }
        Ok(false)
    }

    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        if let Some(batch) = self.first.pop_front() {
            return Ok(Some(batch));
        }
        match self.receiver.recv().await {
            Some(batch) => batch.map(Some),
            None => self.ended().await.map(|()| None),
        }
    }

    /// The end of the rows is believed only when every reader has come to its end: one that
    /// panicked is silent too.
    async fn ended(&mut self) -> Result<()> {
        while let Some(reader) = self.readers.join_next().await {
            reader.map_err(|error| from_join(&error))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::Schema;
    use model::codes;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_reader_that_panics_is_not_the_end_of_the_rows() {
        let broken = stream::once(async { panic!("a bug in a source") }).boxed();
        let input = Batches::new(Arc::new(Schema::empty()), vec![broken]);
        let problem = balance(input, 2).await.err().unwrap();
        assert!(problem.is(&codes::INTERNAL));
    }
}
