//! The one task that writes to SQLite: many writes share one transaction and one sync.

use crate::address;
use crate::failure::{Attempt, Failure};
use crate::transactions::{Tx, Work};
use futures::future::BoxFuture;
use futures::{FutureExt, TryFutureExt};
use model::{Problem, Result, codes};
use sea_orm::{DatabaseConnection, SqliteTransactionMode, TransactionOptions, TransactionTrait};
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{mpsc, oneshot};

/// Writes that share one transaction at most.
const BATCH_MAX: usize = 256;
/// Writes that wait; more callers wait for a place.
const QUEUE_MAX: usize = 1024;

/// Where writes are handed in.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    queue: mpsc::Sender<Box<dyn Job>>,
}

impl Writer {
    /// Starts the task; it ends when the last handle is gone. `commits` counts transactions.
    pub(crate) fn start(
        path: PathBuf,
        connection: DatabaseConnection,
        commits: Arc<AtomicU64>,
    ) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(Task { path, connection: Some(connection), commits }.serve(jobs));
        Self { queue }
    }

    /// Does `work` and answers when it is on the disk.
    pub(crate) async fn write<I, T>(&self, input: I, work: Work<I, T>) -> Result<T>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job = Write { input, work, answer, outcome: None };
        self.queue.send(Box::new(job)).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }
}

fn stopped() -> Problem {
    Problem::new(&codes::STORE_FAILED, "the server is stopping")
        .hint("try again when it has started")
}

/// A write of any type.
trait Job: std::fmt::Debug + Send {
    /// Does the work and says whether it shall be kept; the outcome waits for the commit.
    fn run<'t>(&'t mut self, tx: &'t Tx) -> BoxFuture<'t, bool>;
    /// Tells the caller: the outcome, or why the commit did not come.
    fn answer(self: Box<Self>, refusal: Option<Problem>);
}

struct Write<I, T> {
    input: I,
    work: Work<I, T>,
    answer: oneshot::Sender<Result<T>>,
    outcome: Option<Result<T>>,
}

impl<I, T> std::fmt::Debug for Write<I, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Write").finish_non_exhaustive()
    }
}

impl<I: Send + Sync, T: Send> Job for Write<I, T> {
    fn run<'t>(&'t mut self, tx: &'t Tx) -> BoxFuture<'t, bool> {
        Box::pin(async move {
            // A panic of one write must not take the others with it.
            let guarded = AssertUnwindSafe((self.work)(tx, &self.input)).catch_unwind();
            let outcome = guarded.await.unwrap_or_else(|_| Err(panicked().into()));
            let outcome = self.outcome.insert(outcome.map_err(Problem::from));
            outcome.is_ok()
        })
    }

    fn answer(self: Box<Self>, refusal: Option<Problem>) {
        let outcome = match refusal {
            Some(problem) => Err(problem),
            None => self.outcome.unwrap_or_else(|| Err(panicked())),
        };
        // A caller that has gone away needs no answer.
        let _ = self.answer.send(outcome);
    }
}

fn panicked() -> Problem {
    Problem::new(&codes::INTERNAL, "a write to the metadata database panicked")
        .hint("please report this with the log")
}

struct Task {
    path: PathBuf,
    /// None after a transaction that ended in an unknown state.
    connection: Option<DatabaseConnection>,
    commits: Arc<AtomicU64>,
}

impl Task {
    async fn serve(mut self, mut jobs: mpsc::Receiver<Box<dyn Job>>) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while jobs.recv_many(&mut batch, BATCH_MAX).await > 0 {
            let refusal = self.commit(&mut batch).await.err().map(Problem::from);
            for job in batch.drain(..) {
                job.answer(refusal.clone());
            }
        }
    }

    /// One transaction for all of `batch`. Whatever goes wrong with it as a whole, the connection
    /// is left, and SQLite undoes what it had begun.
    async fn commit(&mut self, batch: &mut [Box<dyn Job>]) -> Attempt<()> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => address::connect_sqlite_writer(&self.path).await?,
        };
        run(&connection, batch).map_err(Failure::from).await?;
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.connection = Some(connection);
        Ok(())
    }
}

async fn run(
    connection: &DatabaseConnection,
    batch: &mut [Box<dyn Job>],
) -> std::result::Result<(), sea_orm::DbErr> {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let tx = connection.begin_with_options(options).await?;
    for job in batch {
        let savepoint = tx.begin().await?;
        match job.run(&savepoint).await {
            true => savepoint.commit().await?,
            false => savepoint.rollback().await?,
        }
    }
    tx.commit().await
}
