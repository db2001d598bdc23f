//! Transactions on PostgreSQL: serializable, and begun anew when they lose a race.

use crate::failure::{Attempt, Failure};
use futures::future::BoxFuture;
use model::{Problem, Result, codes};
use sea_orm::{DatabaseConnection, DatabaseTransaction, IsolationLevel, TransactionTrait};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use stdx::hash::Random;
use stdx::retry::Backoff;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A transaction on either database.
pub(crate) type Tx = DatabaseTransaction;

/// What a write does. A function without state, so that it can be done once more from the start.
pub(crate) type Work<I, T> = for<'t> fn(&'t Tx, &'t I) -> BoxFuture<'t, Attempt<T>>;

/// Attempts beside the other writes of this process; the later ones have it for themselves.
const SHARED_ATTEMPTS_MAX: u32 = 4;
const BACKOFF: Backoff =
    Backoff { attempts_max: 12, first: Duration::from_millis(5), cap: Duration::from_millis(500) };

/// Runs writes on PostgreSQL.
#[derive(Debug)]
pub(crate) struct Transactions {
    connections: DatabaseConnection,
    /// Held for reading by ordinary attempts, for writing by one that has lost too often.
    turns: RwLock<()>,
    commits: AtomicU64,
}

/// Kept while an attempt goes on.
enum Turn<'a> {
    Shared { _guard: RwLockReadGuard<'a, ()> },
    Alone { _guard: RwLockWriteGuard<'a, ()> },
}

impl Transactions {
    /// Writes through `connections`.
    pub(crate) fn new(connections: DatabaseConnection) -> Self {
        Self { connections, turns: RwLock::new(()), commits: AtomicU64::new(0) }
    }

    /// The connections.
    pub(crate) fn connections(&self) -> &DatabaseConnection {
        &self.connections
    }

    /// Transactions committed so far.
    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Does `work`, as if no other transaction went on at the same time.
    pub(crate) async fn write<I: Sync, T>(&self, input: &I, work: Work<I, T>) -> Result<T> {
        let mut random = Random::new(ulid::Ulid::new().0 as u64);
        let mut attempt = 1;
        loop {
            let failure = match self.attempt(attempt, input, work).await {
                Ok(outcome) => return Ok(outcome),
                Err(failure) => failure,
            };
            if attempt >= failure.attempts_max().min(BACKOFF.attempts_max) {
                return Err(failure.into());
            }
            tokio::time::sleep(BACKOFF.wait(attempt, &mut random)).await;
            attempt += 1;
        }
    }

    async fn attempt<I: Sync, T>(&self, attempt: u32, input: &I, work: Work<I, T>) -> Attempt<T> {
        let _turn = match attempt <= SHARED_ATTEMPTS_MAX {
            true => Turn::Shared { _guard: self.turns.read().await },
            false => Turn::Alone { _guard: self.turns.write().await },
        };
        let level = Some(IsolationLevel::Serializable);
        let tx = self.connections.begin_with_config(level, None).await?;
        let outcome = match work(&tx, input).await {
            Ok(outcome) => outcome,
            Err(failure) => {
                // The first failure says why; that of the rollback only that the line is cut.
                let _ = tx.rollback().await;
                return Err(failure);
            }
        };
        match tx.commit().await.map_err(Failure::from) {
            Ok(()) => {
                self.commits.fetch_add(1, Ordering::Relaxed);
                Ok(outcome)
            }
            Err(failure) if failure.is_line_cut() => Err(commit_unknown(failure).into()),
            Err(failure) => Err(failure),
        }
    }
}

/// The line was cut while the server committed: repeating could do the same thing twice.
fn commit_unknown(failure: Failure) -> Problem {
    Problem::new(&codes::COMMIT_UNKNOWN, "the metadata database did not confirm a change")
        .detail(Problem::from(failure))
        .hint("look whether the change is there before making it once more")
}
