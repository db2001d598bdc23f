//! One stream for several readers: computed once, and no reader can block another for ever.
//!
//! A producer waits for a reader that lags as long as that reader moves. One that stands still
//! while another is hungry may be waiting for that other one: then its batches go to disk, so
//! that a diamond cannot deadlock.

use crate::queue::{Queue, read};
use contracts::{BatchStream, Batches};
use futures::TryStreamExt;
use model::{Problem, Result, codes};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// Splits `batches` into `readers` equal copies. The producing tasks are added to `tasks`.
pub(crate) fn fan_out(
    batches: Batches,
    readers: usize,
    spill: &Path,
    tasks: &mut JoinSet<Result<()>>,
) -> Vec<Batches> {
    if readers <= 1 {
        return vec![batches];
    }
    let Batches { schema, partitions, in_origin_order } = batches;
    let mut copies: Vec<Vec<BatchStream>> = (0..readers).map(|_| Vec::new()).collect();
    for partition in partitions {
        let drained = Arc::new(Notify::new());
        let queues: Vec<Arc<Queue>> = (0..readers)
            .map(|_| Arc::new(Queue::new(spill.to_owned(), Arc::clone(&drained))))
            .collect();
        for (copy, queue) in copies.iter_mut().zip(&queues) {
            copy.push(read(Arc::clone(queue)));
        }
        tasks.spawn(produce(partition, queues, drained));
    }
    copies
        .into_iter()
        .map(|partitions| {
            let copy = Batches::new(Arc::clone(&schema), partitions);
            if in_origin_order { copy.sorted_by_origin() } else { copy }
        })
        .collect()
}

async fn produce(
    mut partition: BatchStream,
    queues: Vec<Arc<Queue>>,
    drained: Arc<Notify>,
) -> Result<()> {
    // When this task is cancelled, readers must not wait for ever.
    let closing = CloseOnDrop { queues: &queues };
    let mut laggards: Vec<Laggard> = queues.iter().map(|_| Laggard::default()).collect();
    loop {
        wait_for_room(&queues, &mut laggards, &drained).await;
        if queues.iter().all(|queue| queue.is_abandoned()) {
            break;
        }
        match partition.try_next().await {
            Ok(Some(batch)) => {
                for queue in &queues {
                    if let Err(problem) = queue.push(&batch) {
                        closing.fail(&problem);
                        return Err(problem);
                    }
                }
            }
            Ok(None) => {
                queues.iter().for_each(|queue| queue.end());
                break;
            }
            Err(problem) => {
                closing.fail(&problem);
                return Err(problem);
            }
        }
    }
    Ok(())
}

/// A reader that has taken nothing for so long is not only slow. (Writers stop for as long as a
/// file is synced.)
const PATIENCE: Duration = Duration::from_millis(250);

/// What is known of a reader that lags.
#[derive(Default)]
struct Laggard {
    /// What it had taken when it was looked at.
    taken: u64,
    /// Whether the producer has waited for it in vain since.
    stands_still: bool,
}

async fn wait_for_room(queues: &[Arc<Queue>], laggards: &mut [Laggard], drained: &Notify) {
    loop {
        let waiting = drained.notified();
        tokio::pin!(waiting);
        // Registered before looking, so that a reader in between is not missed.
        waiting.as_mut().enable();
        let open = queues.iter().filter(|queue| !queue.is_abandoned()).count();
        let full = queues.iter().filter(|queue| queue.is_full()).count();
        if full == 0 {
            return;
        }
        for (queue, laggard) in queues.iter().zip(laggards.iter_mut()) {
            let taken = queue.taken();
            if laggard.taken != taken {
                *laggard = Laggard { taken, stands_still: false };
            }
        }
        let moves =
            |(queue, laggard): (&Arc<Queue>, &Laggard)| queue.is_full() && !laggard.stands_still;
        if full == open {
            waiting.await;
        } else if !queues.iter().zip(laggards.iter()).any(moves) {
            return;
        } else if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            for (queue, laggard) in queues.iter().zip(laggards.iter_mut()) {
                laggard.stands_still |= queue.is_full() && laggard.taken == queue.taken();
            }
        }
    }
}

struct CloseOnDrop<'a> {
    queues: &'a [Arc<Queue>],
}

impl CloseOnDrop<'_> {
    fn fail(&self, problem: &Problem) {
        for queue in self.queues {
            queue.fail(problem.clone());
        }
    }
}

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        for queue in self.queues {
            queue.close(|| Problem::new(&codes::RUN_CANCELLED, "the rows above stopped coming"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts::rows;

    fn numbers(count: usize) -> Batches {
        let batches: Vec<_> =
            (0..count).map(|n| rows::read(&format!("{{\"n\": {n}}}")).unwrap()).collect();
        Batches::from_memory(batches[0].schema(), batches)
    }

    #[tokio::test]
    async fn one_reader_after_the_other_does_not_deadlock() {
        let dir = tempfile::tempdir().unwrap();
        let mut tasks = JoinSet::new();
        for copy in fan_out(numbers(100), 3, dir.path(), &mut tasks) {
            let batches = copy.collect().await.unwrap();
            assert_eq!(rows::count(&batches), 100);
        }
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn a_reader_that_leaves_does_not_hold_the_others_up() {
        let dir = tempfile::tempdir().unwrap();
        let mut tasks = JoinSet::new();
        let mut copies = fan_out(numbers(100), 2, dir.path(), &mut tasks);
        drop(copies.pop());
        assert_eq!(rows::count(&copies.pop().unwrap().collect().await.unwrap()), 100);
    }
}
