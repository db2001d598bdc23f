//! A queue of batches between two tasks that spills to disk instead of growing.

use crate::blocks::{Block, BlockFile};
use arrow::array::RecordBatch;
use contracts::BatchStream;
use futures::stream::{self, StreamExt};
use model::{Problem, Result};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Batches that wait in memory per queue.
const BATCHES_MAX: usize = 8;
/// Bytes that wait in memory per queue.
const BYTES_MAX: usize = 16 << 20;

/// One producer's end and one reader's end of a queue share this.
#[derive(Debug)]
pub(crate) struct Queue {
    spill: PathBuf,
    state: Mutex<State>,
    readable: Notify,
    /// Told whenever the reader has taken something or has gone.
    drained: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    memory: VecDeque<RecordBatch>,
    bytes: usize,
    /// Batches the reader has had.
    taken: u64,
    on_disk: VecDeque<Block>,
    file: Option<BlockFile>,
    ended: bool,
    problem: Option<Problem>,
    reader_gone: bool,
}

impl Queue {
    /// A queue that spills below `spill`; `drained` is told when there is room again.
    pub(crate) fn new(spill: PathBuf, drained: Arc<Notify>) -> Self {
        Self { spill, state: Mutex::default(), readable: Notify::new(), drained }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether more would have to go to disk.
    pub(crate) fn is_full(&self) -> bool {
        self.state().is_full()
    }

    /// How many batches the reader has taken.
    pub(crate) fn taken(&self) -> u64 {
        self.state().taken
    }

    /// Whether nobody will read any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.state().reader_gone
    }

    /// Adds a batch; on disk when memory is full. Never waits.
    pub(crate) fn push(&self, batch: &RecordBatch) -> Result<()> {
        let mut state = self.state();
        if state.reader_gone {
            return Ok(());
        }
        if state.is_full() {
            if state.file.is_none() {
                state.file = Some(BlockFile::create(&self.spill)?);
            }
            let block = state.file.as_mut().map(|file| file.append(batch)).transpose()?;
            state.on_disk.extend(block);
        } else {
            state.bytes += batch.get_array_memory_size();
            state.memory.push_back(batch.clone());
        }
        drop(state);
        self.readable.notify_one();
        Ok(())
    }

    /// No more batches will come.
    pub(crate) fn end(&self) {
        self.state().ended = true;
        self.readable.notify_one();
    }

    /// No more batches will come, because of `problem`.
    pub(crate) fn fail(&self, problem: Problem) {
        let mut state = self.state();
        state.problem = Some(problem);
        state.ended = true;
        drop(state);
        self.readable.notify_one();
    }

    /// Ends the queue with a problem, unless it has ended properly.
    pub(crate) fn close(&self, problem: impl FnOnce() -> Problem) {
        if !self.state().ended {
            self.fail(problem());
        }
    }

    /// What the reader finds now. That nothing waits and that nothing will come is one look: a
    /// producer may push and end in between two.
    fn pop(&self) -> Found {
        let mut state = self.state();
        match state.take() {
            Some(batch) => Found::Next(batch),
            None if state.ended => Found::End,
            None => Found::Nothing,
        }
    }

    /// Waits for the next batch. None after the last.
    async fn next(&self) -> Option<Result<RecordBatch>> {
        loop {
            let waiting = self.readable.notified();
            match self.pop() {
                Found::Next(batch) => {
                    self.drained.notify_waiters();
                    return Some(batch);
                }
                Found::End => return None,
                Found::Nothing => waiting.await,
            }
        }
    }
}

/// What a reader finds in a queue.
enum Found {
    Next(Result<RecordBatch>),
    /// Nothing yet.
    Nothing,
    /// Nothing, and nothing will come.
    End,
}

impl State {
    fn is_full(&self) -> bool {
        !self.reader_gone
            && (self.memory.len() >= BATCHES_MAX
                || self.bytes >= BYTES_MAX
                || !self.on_disk.is_empty())
    }

    /// The next batch, or the problem after the last.
    fn take(&mut self) -> Option<Result<RecordBatch>> {
        if let Some(batch) = self.memory.pop_front() {
            self.taken += 1;
            self.bytes = self.bytes.saturating_sub(batch.get_array_memory_size());
            return Some(Ok(batch));
        }
        if let Some(block) = self.on_disk.pop_front() {
            self.taken += 1;
            let batch = self.file.as_ref().map(|file| file.read(block));
            if self.on_disk.is_empty() {
                // The disk space is given back; a later lag begins a new file.
                self.file = None;
            }
            return batch;
        }
        self.problem.take().map(Err)
    }
}

/// The reader's end; when it is dropped the producer need not bother any more.
struct Reader {
    queue: Arc<Queue>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.queue.state();
        state.reader_gone = true;
        state.memory.clear();
        state.on_disk.clear();
        state.file = None;
        drop(state);
        self.queue.drained.notify_waiters();
    }
}

/// The rows of the queue. To be called once.
pub(crate) fn read(queue: Arc<Queue>) -> BatchStream {
    let reader = Reader { queue };
    stream::unfold(reader, |reader| async move {
        let batch = reader.queue.next().await?;
        Some((batch, reader))
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts::rows;
    use futures::TryStreamExt;
    use std::task::{Context, Poll, Waker};

    #[tokio::test]
    async fn a_lagging_reader_gets_everything_in_order_from_disk() {
        let dir = tempfile::tempdir().unwrap();
        let queue = Arc::new(Queue::new(dir.path().to_owned(), Arc::default()));
        let reader = read(Arc::clone(&queue));
        for number in 0..50 {
            queue.push(&rows::read(&format!("{{\"n\": {number}}}")).unwrap()).unwrap();
        }
        assert!(queue.is_full());
        queue.end();
        let batches: Vec<_> = reader.try_collect().await.unwrap();
        let expected: String = (0..50).map(|n| format!("{{\"n\":{n}}}\n")).collect();
        assert_eq!(rows::write(&batches).unwrap(), expected);
    }

    #[test]
    fn what_comes_just_before_the_end_is_read_too() {
        let dir = tempfile::tempdir().unwrap();
        let batch = rows::read("{\"n\": 1}").unwrap();
        for round in 0..20_000 {
            let queue = Arc::new(Queue::new(dir.path().to_owned(), Arc::default()));
            let mut reader = read(Arc::clone(&queue));
            let read = std::thread::scope(|threads| {
                threads.spawn(|| {
                    queue.push(&batch).unwrap();
                    // The reader has the first by now, and looks for the next.
                    (0..round % 200).for_each(|_| std::hint::spin_loop());
                    queue.push(&batch).unwrap();
                    queue.end();
                });
                let mut context = Context::from_waker(Waker::noop());
                let mut read = 0;
                loop {
                    match reader.poll_next_unpin(&mut context) {
                        Poll::Ready(Some(batch)) => read += batch.unwrap().num_rows(),
                        Poll::Ready(None) => break read,
                        Poll::Pending => std::hint::spin_loop(),
                    }
                }
            });
            assert_eq!(read, 2, "round {round}");
        }
    }
}
