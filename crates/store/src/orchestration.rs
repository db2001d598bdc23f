//! The metadata database as the scheduler's leader sees it: who leads, what there is, and the
//! conditional writes that change it.
//!
//! The words `state`, `origin` and `body` are the scheduler's: they are stored as it writes them.

mod apply;
mod load;
mod writes;

pub use load::Everything;
pub use writes::{
    AttemptBegun, AttemptEnded, BackfillChange, LeaseChange, NewBackfill, RunChange, RunReport,
    SignalSeen, SignalsUsed, TaskChange, TaskResult, Writes,
};

use crate::entity::{leader, run, task, wish};
use crate::failure::Attempt;
use crate::rows;
use crate::runs;
use crate::store::Store;
use crate::transactions::Tx;
use crate::values::{RunIdText, Stored};
use model::run::RunId;
use model::{Problem, Result, codes};
use sea_orm::ActiveValue::Set;
use sea_orm::prelude::*;
use sea_orm::sea_query::Query;
use sea_orm::{DbBackend, QueryOrder, QuerySelect, Statement};
use std::collections::HashMap;

/// Who leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leader {
    /// Who.
    pub holder: String,
    /// How often the lead has changed hands.
    pub epoch: i64,
    /// µs since the epoch, by the clock of the database.
    pub expires_us: i64,
}

/// What the leader's row becomes when somebody asks for the lead; none leaves it to whoever has
/// it. Given: the row, who asks, and the time by the database's clock.
pub type Claim = fn(Option<Leader>, &str, i64) -> Option<Leader>;

/// What the scheduler's leader works with.
#[derive(Debug, Clone)]
pub struct Orchestration {
    store: Store,
}

impl Orchestration {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Who leads, or has led last.
    pub async fn leader(&self) -> Result<Option<Leader>> {
        Ok(leader(self.store.read()).await?)
    }

    /// Asks for the lead. Gives what the row is then, and the time by the clock of the database;
    /// `clock_us` is that time on SQLite, which has no other clock than ours.
    pub async fn lead(&self, holder: &str, claim: Claim, clock_us: i64) -> Result<(Leader, i64)> {
        let input = (holder.to_owned(), claim, clock_us);
        self.store
            .write(input, |tx, (holder, claim, clock_us)| {
                Box::pin(lead(tx, holder, *claim, *clock_us))
            })
            .await
    }

    /// Lets somebody else lead at once, if it is `holder` who leads.
    pub async fn resign(&self, holder: &str) -> Result<()> {
        self.store
            .write(holder.to_owned(), |tx, holder| {
                Box::pin(async move {
                    let change = leader::ActiveModel { expires_us: Set(0), ..Default::default() };
                    let mine = leader::Column::Holder.eq(holder.as_str());
                    leader::Entity::update_many().set(change).filter(mine).exec(tx).await?;
                    Ok(())
                })
            })
            .await
    }

    /// Everything that decides what runs next.
    pub async fn load(&self) -> Result<Everything> {
        Ok(load::load(self.store.read()).await?)
    }

    /// Writes all or nothing, as long as the leader's epoch is `epoch`; durable when this returns.
    ///
    /// # Errors
    ///
    /// `run_locked` when somebody else leads, or when a row is not as the write expects it.
    pub async fn apply(&self, epoch: i64, writes: Writes, clock_us: i64) -> Result<()> {
        let input = (epoch, writes, clock_us);
        self.store
            .write(input, |tx, (epoch, writes, clock_us)| {
                Box::pin(async move {
                    demand_epoch(tx, *epoch).await?;
                    let now_us = now_us(tx, *clock_us).await?;
                    apply::apply(tx, writes, now_us).await
                })
            })
            .await
    }

    /// A run with its tasks as they are now, or `run_not_found`.
    pub async fn run(&self, id: &RunId) -> Result<(run::Model, Vec<task::Model>)> {
        Ok(read_run(self.store.read(), id).await?)
    }

    /// The runs that a task of another run has started, with those of their tasks that have
    /// given something.
    pub async fn children(&self, parent: &str) -> Result<Vec<(run::Model, Vec<task::Model>)>> {
        Ok(read_children(self.store.read(), parent).await?)
    }

    /// Leaves a wish for the server that leads.
    pub async fn wish(&self, id: &str, body: serde_json::Value, now_us: i64) -> Result<()> {
        let row = wish::Model { id: id.to_owned(), body: Stored(body), created_at_us: now_us };
        self.store.write(row, |tx, row| Box::pin(rows::insert(tx, row.clone()))).await
    }

    /// The wishes that nobody has taken up, the oldest first.
    pub async fn wishes(&self) -> Result<Vec<(String, serde_json::Value)>> {
        Ok(wishes(self.store.read()).await?)
    }

    /// Forgets a wish that has been taken up.
    pub async fn forget_wish(&self, id: &str) -> Result<()> {
        self.store
            .write(id.to_owned(), |tx, id| {
                Box::pin(async move {
                    wish::Entity::delete_by_id(id.clone()).exec(tx).await?;
                    Ok(())
                })
            })
            .await
    }
}

/// Whoever leads and is silent for so long amid its writes has them taken back by PostgreSQL: it
/// holds what the next one waits for.
const SILENCE: &str = "3s";

/// The time by the clock that leases are judged by.
async fn now_us(tx: &Tx, clock_us: i64) -> Attempt<i64> {
    if tx.get_database_backend() != DbBackend::Postgres {
        return Ok(clock_us);
    }
    let query = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
    let row = tx.query_one_raw(Statement::from_string(DbBackend::Postgres, query)).await?;
    Ok(row.map(|row| row.try_get_by_index(0)).transpose()?.unwrap_or(clock_us))
}

async fn leader(db: &impl ConnectionTrait) -> Attempt<Option<Leader>> {
    let row = leader::Entity::find_by_id(1_i64).one(db).await?;
    Ok(row.map(|row| Leader { holder: row.holder, epoch: row.epoch, expires_us: row.expires_us }))
}

async fn lead(tx: &Tx, holder: &str, claim: Claim, clock_us: i64) -> Attempt<(Leader, i64)> {
    let now_us = now_us(tx, clock_us).await?;
    let row = leader::Entity::find_by_id(1_i64).one(tx).await?;
    let there =
        row.map(|row| Leader { holder: row.holder, epoch: row.epoch, expires_us: row.expires_us });
    let Some(new) = claim(there.clone(), holder, now_us) else {
        let there = there.ok_or_else(|| refused("nobody leads, and nobody may"))?;
        return Ok((there, now_us));
    };
    if there.is_some() {
        let change = leader::ActiveModel {
            holder: Set(new.holder.clone()),
            epoch: Set(new.epoch),
            expires_us: Set(new.expires_us),
            ..Default::default()
        };
        leader::Entity::update_many().set(change).exec(tx).await?;
    } else {
        let Leader { holder, epoch, expires_us } = new.clone();
        rows::insert(tx, leader::Model { id: 1, holder, epoch, expires_us }).await?;
    }
    Ok((new, now_us))
}

async fn demand_epoch(tx: &Tx, epoch: i64) -> Attempt<()> {
    if tx.get_database_backend() == DbBackend::Postgres {
        let limit = format!("SET LOCAL idle_in_transaction_session_timeout = '{SILENCE}'");
        tx.execute_unprepared(&limit).await?;
    }
    // Nobody takes the lead before these writes are there or given up. Without the lock they could
    // come to light after the next leader has read everything.
    let row = leader::Entity::find_by_id(1_i64).lock_shared().one(tx).await?;
    match row.is_some_and(|row| row.epoch == epoch) {
        true => Ok(()),
        false => Err(refused("another server leads").into()),
    }
}

/// The problem that the database is not as whoever writes thinks it is.
fn refused(fact: &str) -> Problem {
    Problem::new(&codes::RUN_LOCKED, fact).hint("read the state again and decide anew")
}

async fn read_run(
    db: &impl ConnectionTrait,
    id: &RunId,
) -> Attempt<(run::Model, Vec<task::Model>)> {
    let row = run::Entity::find_by_id(RunIdText(id.clone())).one(db).await?;
    let row = row.ok_or_else(|| runs::not_found(id))?;
    let tasks = task::Entity::find()
        .filter(task::Column::RunId.eq(row.id.clone()))
        .order_by_asc(task::Column::Number)
        .all(db)
        .await?;
    Ok((row, tasks))
}

async fn read_children(
    db: &impl ConnectionTrait,
    parent: &str,
) -> Attempt<Vec<(run::Model, Vec<task::Model>)>> {
    let of_parent = run::Column::Parent.eq(parent);
    let ids = Query::select()
        .column(run::Column::Id)
        .from(run::Entity)
        .and_where(of_parent.clone())
        .to_owned();
    let mut tasks: HashMap<String, Vec<task::Model>> = HashMap::new();
    let found = task::Entity::find()
        .filter(task::Column::RunId.in_subquery(ids))
        .filter(task::Column::Output.is_not_null())
        .all(db)
        .await?;
    for task in found {
        tasks.entry(task.run_id.run().to_string()).or_default().push(task);
    }
    let runs = run::Entity::find().filter(of_parent).order_by_asc(run::Column::Id).all(db).await?;
    let with_tasks = |run: run::Model| {
        let tasks = tasks.remove(run.id.run().as_str()).unwrap_or_default();
        (run, tasks)
    };
    Ok(runs.into_iter().map(with_tasks).collect())
}

async fn wishes(db: &impl ConnectionTrait) -> Attempt<Vec<(String, serde_json::Value)>> {
    let rows = wish::Entity::find()
        .order_by_asc(wish::Column::CreatedAtUs)
        .order_by_asc(wish::Column::Id)
        .all(db)
        .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.body.0)).collect())
}
