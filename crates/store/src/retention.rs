//! How long what is kept, and removing what is older.

use crate::audit;
use crate::entity::{
    audit_entry, fire, invitation, notification, password_reset, preview, run, run_log, session,
    set_up_token, sign_in,
};
use crate::failure::Attempt;
use crate::store::Store;
use crate::transactions::Tx;
use model::Result;
use sea_orm::QuerySelect;
use sea_orm::prelude::*;

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;

/// Previews.
pub(crate) const PREVIEWS_US: i64 = DAY_US;
/// Lines of logs.
const LOGS_US: i64 = 30 * DAY_US;
/// Runs that have ended. Their records and events stay: what a pipeline has read must be known.
const RUNS_US: i64 = 90 * DAY_US;
/// Audit entries, sign-ins and notifications.
const AUDIT_US: i64 = 180 * DAY_US;
/// Sessions and tokens, after their end.
const TOKENS_US: i64 = DAY_US;

/// How many rows were removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CleanedUp {
    /// Previews.
    pub previews: u64,
    /// Lines of logs.
    pub log_lines: u64,
    /// Runs.
    pub runs: u64,
    /// Audit entries.
    pub audit_entries: u64,
    /// Sign-ins.
    pub sign_ins: u64,
    /// Notifications.
    pub notifications: u64,
    /// Sessions, invitations and other tokens that have expired.
    pub tokens: u64,
}

impl Store {
    /// Removes what is older than it is kept: previews 24 hours, logs 30 days, runs 90 days, audit
    /// entries, sign-ins and notifications 180 days; expired tokens a day after their end.
    pub async fn clean_up(&self, now_us: i64) -> Result<CleanedUp> {
        // A transaction for each, so that nobody waits long.
        Ok(CleanedUp {
            previews: self.write(now_us, |tx, now| Box::pin(previews(tx, *now))).await?,
            log_lines: self.write(now_us, |tx, now| Box::pin(log_lines(tx, *now))).await?,
            runs: self.write(now_us, |tx, now| Box::pin(runs(tx, *now))).await?,
            audit_entries: self.write(now_us, |tx, now| Box::pin(audit_entries(tx, *now))).await?,
            sign_ins: self.write(now_us, |tx, now| Box::pin(sign_ins(tx, *now))).await?,
            notifications: self.write(now_us, |tx, now| Box::pin(notifications(tx, *now))).await?,
            tokens: self.write(now_us, |tx, now| Box::pin(tokens(tx, *now))).await?,
        })
    }
}

async fn previews(tx: &Tx, now_us: i64) -> Attempt<u64> {
    let old = preview::Column::CreatedAtUs.lte(now_us - PREVIEWS_US);
    Ok(preview::Entity::delete_many().filter(old).exec(tx).await?.rows_affected)
}

async fn log_lines(tx: &Tx, now_us: i64) -> Attempt<u64> {
    let old = run_log::Column::AtUs.lte(now_us - LOGS_US);
    Ok(run_log::Entity::delete_many().filter(old).exec(tx).await?.rows_affected)
}

/// Attempts, nodes, checks and logs go with their runs.
async fn runs(tx: &Tx, now_us: i64) -> Attempt<u64> {
    let old = fire::Column::FiredAtUs.lte(now_us - RUNS_US);
    fire::Entity::delete_many().filter(old).exec(tx).await?;
    let old = run::Column::EndedAtUs.lte(now_us - RUNS_US);
    Ok(run::Entity::delete_many().filter(old).exec(tx).await?.rows_affected)
}

/// The last entry of each chain stays: the next one follows from it.
async fn audit_entries(tx: &Tx, now_us: i64) -> Attempt<u64> {
    let chains: Vec<String> = audit_entry::Entity::find()
        .select_only()
        .column(audit_entry::Column::Chain)
        .distinct()
        .filter(audit_entry::Column::AtUs.lte(now_us - AUDIT_US))
        .into_tuple()
        .all(tx)
        .await?;
    let mut removed = 0;
    for chain in chains {
        let Some(last) = audit::last(tx, &chain).await? else { continue };
        removed += audit_entry::Entity::delete_many()
            .filter(audit_entry::Column::Chain.eq(chain))
            .filter(audit_entry::Column::AtUs.lte(now_us - AUDIT_US))
            .filter(audit_entry::Column::Seq.lt(last.seq))
            .exec(tx)
            .await?
            .rows_affected;
    }
    Ok(removed)
}

async fn sign_ins(tx: &Tx, now_us: i64) -> Attempt<u64> {
    let old = sign_in::Column::AtUs.lte(now_us - AUDIT_US);
    Ok(sign_in::Entity::delete_many().filter(old).exec(tx).await?.rows_affected)
}

async fn notifications(tx: &Tx, now_us: i64) -> Attempt<u64> {
    let old = notification::Column::CreatedAtUs.lte(now_us - AUDIT_US);
    Ok(notification::Entity::delete_many().filter(old).exec(tx).await?.rows_affected)
}

async fn tokens(tx: &Tx, now_us: i64) -> Attempt<u64> {
    let end = now_us - TOKENS_US;
    let expired = session::Column::ExpiresAtUs.lte(end);
    let mut removed = session::Entity::delete_many().filter(expired).exec(tx).await?.rows_affected;
    let expired = invitation::Column::ExpiresAtUs.lte(end);
    removed += invitation::Entity::delete_many().filter(expired).exec(tx).await?.rows_affected;
    let expired = password_reset::Column::ExpiresAtUs.lte(end);
    removed += password_reset::Entity::delete_many().filter(expired).exec(tx).await?.rows_affected;
    let expired = set_up_token::Column::ExpiresAtUs.lte(end);
    removed += set_up_token::Entity::delete_many().filter(expired).exec(tx).await?.rows_affected;
    Ok(removed)
}
