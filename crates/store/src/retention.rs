//! How long what is kept, and removing what is older.

use crate::entity::{
    audit_checkpoint, audit_entry, invitation, notification, password_reset, pipeline, plan,
    preview, run, run_log, session, set_up_token, sign_in,
};
use crate::failure::Attempt;
use crate::store::Store;
use crate::transactions::{Tx, Work};
use model::Result;
use sea_orm::prelude::*;
use sea_orm::sea_query::ExprTrait;
use sea_orm::{Condition, QuerySelect, QueryTrait};

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

/// Rows that one transaction removes, so that nobody waits long for it.
const SLICE: u64 = 2_000;

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
    /// Audit entries go in whole segments that were closed.
    pub async fn clean_up(&self, now_us: i64) -> Result<CleanedUp> {
        let cleaned = CleanedUp {
            previews: self.remove(now_us, |tx, now| Box::pin(previews(tx, *now))).await?,
            log_lines: self.remove(now_us, |tx, now| Box::pin(log_lines(tx, *now))).await?,
            runs: self.remove(now_us, |tx, now| Box::pin(runs(tx, *now))).await?,
            audit_entries: self.remove(now_us, |tx, now| Box::pin(audit_entries(tx, *now))).await?,
            sign_ins: self.remove(now_us, |tx, now| Box::pin(sign_ins(tx, *now))).await?,
            notifications: self.remove(now_us, |tx, now| Box::pin(notifications(tx, *now))).await?,
            tokens: self.remove(now_us, |tx, now| Box::pin(tokens(tx, *now))).await?,
        };
        self.remove(now_us, |tx, now| Box::pin(plans(tx, *now))).await?;
        Ok(cleaned)
    }

    /// Repeats `slice`, each time in a transaction of its own, until there is less than a slice.
    async fn remove(&self, now_us: i64, slice: Work<i64, u64>) -> Result<u64> {
        let mut removed = 0;
        loop {
            let more = self.write(now_us, slice).await?;
            removed += more;
            if more < SLICE {
                return Ok(removed);
            }
        }
    }
}

/// Removes up to [`SLICE`] rows that are `old`; `key` are the columns of the primary key.
async fn remove_slice<E: EntityTrait>(tx: &Tx, key: &[E::Column], old: Condition) -> Attempt<u64> {
    let columns = || key.iter().map(|column| Expr::col(*column));
    let slice = E::find().select_only().columns(key.iter().copied()).filter(old).limit(SLICE);
    let in_slice = Expr::tuple(columns()).in_subquery(slice.into_query());
    Ok(E::delete_many().filter(in_slice).exec(tx).await?.rows_affected)
}

async fn previews(tx: &Tx, now_us: i64) -> Attempt<u64> {
    use preview::Column::{CreatedAtUs, Node, Pipeline, WorkspaceId};
    let old = CreatedAtUs.lte(now_us - PREVIEWS_US);
    remove_slice::<preview::Entity>(tx, &[WorkspaceId, Pipeline, Node], all([old])).await
}

async fn log_lines(tx: &Tx, now_us: i64) -> Attempt<u64> {
    use run_log::Column::{AtUs, RunId, Seq};
    remove_slice::<run_log::Entity>(tx, &[RunId, Seq], all([AtUs.lte(now_us - LOGS_US)])).await
}

/// Plans that no run and no pipeline has any more.
async fn plans(tx: &Tx, _: i64) -> Attempt<u64> {
    use plan::Column::{Hash, WorkspaceId};
    let of_runs = run::Entity::find().select_only().column(run::Column::Plan).into_query();
    let of_pipelines =
        pipeline::Entity::find().select_only().column(pipeline::Column::Plan).into_query();
    let old = [Hash.not_in_subquery(of_runs), Hash.not_in_subquery(of_pipelines)];
    remove_slice::<plan::Entity>(tx, &[WorkspaceId, Hash], all(old)).await
}

/// Attempts, nodes, checks and logs go with their runs.
async fn runs(tx: &Tx, now_us: i64) -> Attempt<u64> {
    let old = run::Column::EndedAtUs.lte(now_us - RUNS_US);
    remove_slice::<run::Entity>(tx, &[run::Column::Id], all([old])).await
}

/// Whole segments go, behind their checkpoints: what is left still follows from something signed.
async fn audit_entries(tx: &Tx, now_us: i64) -> Attempt<u64> {
    use audit_checkpoint::Column as Closed;
    use audit_entry::Column::{Chain, Seq};
    let ends: Vec<(String, i64)> = audit_checkpoint::Entity::find()
        .select_only()
        .column(Closed::Chain)
        .column_as(Closed::LastSeq.max(), "last_seq")
        .filter(Closed::NewestAtUs.lte(now_us - AUDIT_US))
        .group_by(Closed::Chain)
        .into_tuple()
        .all(tx)
        .await?;
    let mut removed = 0;
    for (chain, end) in ends {
        let old = [Chain.eq(chain), Seq.lte(end)];
        removed += remove_slice::<audit_entry::Entity>(tx, &[Chain, Seq], all(old)).await?;
    }
    Ok(removed)
}

async fn sign_ins(tx: &Tx, now_us: i64) -> Attempt<u64> {
    let old = sign_in::Column::AtUs.lte(now_us - AUDIT_US);
    remove_slice::<sign_in::Entity>(tx, &[sign_in::Column::Id], all([old])).await
}

async fn notifications(tx: &Tx, now_us: i64) -> Attempt<u64> {
    let old = notification::Column::CreatedAtUs.lte(now_us - AUDIT_US);
    remove_slice::<notification::Entity>(tx, &[notification::Column::Id], all([old])).await
}

async fn tokens(tx: &Tx, now_us: i64) -> Attempt<u64> {
    let end = now_us - TOKENS_US;
    let old = all([session::Column::ExpiresAtUs.lte(end)]);
    let sessions = remove_slice::<session::Entity>(tx, &[session::Column::Id], old).await?;
    let old = all([invitation::Column::ExpiresAtUs.lte(end)]);
    let guests = remove_slice::<invitation::Entity>(tx, &[invitation::Column::Id], old).await?;
    let old = all([password_reset::Column::ExpiresAtUs.lte(end)]);
    let key = [password_reset::Column::Id];
    let resets = remove_slice::<password_reset::Entity>(tx, &key, old).await?;
    let old = all([set_up_token::Column::ExpiresAtUs.lte(end)]);
    let set_ups =
        remove_slice::<set_up_token::Entity>(tx, &[set_up_token::Column::Id], old).await?;
    Ok(sessions + guests + resets + set_ups)
}

fn all<const N: usize>(conditions: [Expr; N]) -> Condition {
    conditions.into_iter().fold(Condition::all(), Condition::add)
}
