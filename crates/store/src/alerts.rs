//! News on its way to people: announced, held against the rules, sent.
//!
//! Each step is a row: announced news stay until every rule has been held against them, a message
//! stays until its channel has taken it. Whoever dies in between is followed by somebody who finds
//! the row, so a message may be sent twice and is never lost.

mod expand;

use crate::alert_channels;
use crate::entity::{alert_channel, alert_delivery, alert_notice};
use crate::failure::Attempt;
use crate::ids::{AlertId, WorkspaceId};
use crate::notifications::NewNotification;
use crate::rows;
use crate::store::Store;
use crate::transactions::Tx;
use crate::values::Stored;
use model::Result;
use model::notice::Notice;
use model::problem::StoredProblem;
use sea_orm::ActiveValue::Set;
use sea_orm::prelude::*;
use sea_orm::{QueryOrder, QuerySelect};

/// How news are put for the people of a workspace.
pub type Wording = fn(&Notice) -> NewNotification;

/// The news of one workspace.
#[derive(Debug, Clone)]
pub struct Alerts {
    store: Store,
    workspace: WorkspaceId,
}

impl Alerts {
    pub(crate) fn new(store: Store, workspace: WorkspaceId) -> Self {
        Self { store, workspace }
    }

    /// Takes news on, durably. Whoever works on [`AllAlerts`] holds the rules against them.
    pub async fn announce(&self, notice: Notice, now_us: i64) -> Result<()> {
        let input = (self.workspace.clone(), notice, now_us);
        self.store
            .write(input, |tx, (workspace, notice, now_us)| {
                Box::pin(announce(tx, workspace, notice, *now_us))
            })
            .await
    }
}

/// Takes news on, in the transaction of what has happened.
pub(crate) async fn announce(
    tx: &Tx,
    workspace: &WorkspaceId,
    notice: &Notice,
    now_us: i64,
) -> Attempt<()> {
    let row = alert_notice::Model {
        id: AlertId::generate(now_us),
        workspace_id: workspace.clone(),
        notice: Stored(notice.clone()),
        created_at_us: now_us,
    };
    rows::insert(tx, row).await
}

/// A message to be sent, and the channel for it.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Its id, the same in every attempt: receivers know repetitions by it.
    pub id: AlertId,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The channel.
    pub channel: alert_channel::Model,
    /// The news.
    pub notice: Notice,
    /// Further news that were held back since the message before.
    pub more: u64,
    /// Attempts that were begun, this one included.
    pub attempts: u32,
    /// When the news were taken on, µs since the epoch.
    pub created_at_us: i64,
}

/// What becomes of a message after an attempt to send it.
#[derive(Debug, Clone)]
pub enum Sent {
    /// The channel has taken it.
    Done,
    /// It has not, and shall be asked again at this time (µs since the epoch).
    Again(StoredProblem, i64),
    /// It has not, and will not be asked again.
    GivenUp(StoredProblem),
}

/// The news of all workspaces, as whoever sends them sees them.
#[derive(Debug, Clone)]
pub struct AllAlerts {
    store: Store,
}

impl AllAlerts {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Holds the rules against announced news, tells the members in their inboxes, and closes
    /// windows whose time is over. Says how much there was to do; less than `limit` means all.
    pub async fn expand(&self, limit: u64, wording: Wording, now_us: i64) -> Result<u64> {
        // Asked again and again; mostly there is nothing to write.
        if !expand::is_needed(self.store.read(), now_us).await? {
            return Ok(0);
        }
        let input = (limit, wording, now_us);
        self.store
            .write(input, |tx, (limit, wording, now_us)| {
                Box::pin(expand::expand(tx, *limit, *wording, *now_us))
            })
            .await
    }

    /// Takes messages whose time has come. Nobody else gets them before `until_us`.
    pub async fn claim(&self, limit: u64, until_us: i64, now_us: i64) -> Result<Vec<Delivery>> {
        if due(self.store.read(), 1, now_us).await?.is_empty() {
            return Ok(Vec::new());
        }
        let input = (limit, until_us, now_us);
        self.store
            .write(input, |tx, (limit, until_us, now_us)| {
                Box::pin(claim(tx, *limit, *until_us, *now_us))
            })
            .await
    }

    /// Notes what became of a message, at the message and at its channel.
    pub async fn settle(&self, delivery: &Delivery, sent: Sent, now_us: i64) -> Result<()> {
        let input = (delivery.clone(), sent, now_us);
        self.store
            .write(input, |tx, (delivery, sent, now_us)| {
                Box::pin(settle(tx, delivery, sent, *now_us))
            })
            .await
    }

    /// Messages that wait for their channel.
    pub async fn waiting(&self) -> Result<u64> {
        Ok(waiting(self.store.read()).await?)
    }

    /// The channels of all workspaces, whose secrets a new master key seals anew.
    pub async fn channels(&self) -> Result<Vec<alert_channel::Model>> {
        Ok(channels(self.store.read()).await?)
    }

    /// Puts the same secrets in under another seal, unless the channel has been changed meanwhile.
    pub async fn reseal(&self, channel: &alert_channel::Model, sealed: String) -> Result<()> {
        let input = (channel.clone(), sealed);
        self.store.write(input, |tx, (channel, sealed)| Box::pin(reseal(tx, channel, sealed))).await
    }
}

async fn waiting(db: &impl ConnectionTrait) -> Attempt<u64> {
    Ok(alert_delivery::Entity::find().count(db).await?)
}

async fn channels(db: &impl ConnectionTrait) -> Attempt<Vec<alert_channel::Model>> {
    Ok(alert_channel::Entity::find().order_by_asc(alert_channel::Column::Id).all(db).await?)
}

async fn reseal(tx: &Tx, channel: &alert_channel::Model, sealed: &str) -> Attempt<()> {
    let values =
        alert_channel::ActiveModel { sealed: Set(sealed.to_owned()), ..Default::default() };
    alert_channel::Entity::update_many()
        .set(values)
        .filter(alert_channel::Column::Id.eq(channel.id.clone()))
        .filter(alert_channel::Column::UpdatedAtUs.eq(channel.updated_at_us))
        .exec(tx)
        .await?;
    Ok(())
}

async fn due(
    db: &impl ConnectionTrait,
    limit: u64,
    now_us: i64,
) -> Attempt<Vec<alert_delivery::Model>> {
    Ok(alert_delivery::Entity::find()
        .filter(alert_delivery::Column::NextAtUs.lte(now_us))
        .order_by_asc(alert_delivery::Column::NextAtUs)
        .order_by_asc(alert_delivery::Column::Id)
        .limit(limit)
        .all(db)
        .await?)
}

async fn claim(tx: &Tx, limit: u64, until_us: i64, now_us: i64) -> Attempt<Vec<Delivery>> {
    let mut claimed = Vec::new();
    for row in due(tx, limit, now_us).await? {
        let attempts = row.attempts + 1;
        let values = alert_delivery::ActiveModel {
            next_at_us: Set(until_us),
            attempts: Set(attempts),
            ..Default::default()
        };
        let filter = alert_delivery::Column::Id.eq(row.id.clone());
        alert_delivery::Entity::update_many().set(values).filter(filter).exec(tx).await?;
        claimed.push(Delivery {
            channel: alert_channels::get(tx, &row.workspace_id, &row.channel_id).await?,
            id: row.id,
            workspace: row.workspace_id,
            notice: row.notice.0,
            more: u64::try_from(row.more).unwrap_or(0),
            attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
            created_at_us: row.created_at_us,
        });
    }
    Ok(claimed)
}

async fn settle(tx: &Tx, delivery: &Delivery, sent: &Sent, now_us: i64) -> Attempt<()> {
    let problem = match sent {
        Sent::Done => None,
        Sent::Again(problem, _) | Sent::GivenUp(problem) => Some(problem),
    };
    alert_channels::record(tx, &delivery.channel.id, problem, now_us).await?;
    if let Sent::Again(_, next_at_us) = sent {
        let values =
            alert_delivery::ActiveModel { next_at_us: Set(*next_at_us), ..Default::default() };
        let filter = alert_delivery::Column::Id.eq(delivery.id.clone());
        alert_delivery::Entity::update_many().set(values).filter(filter).exec(tx).await?;
        return Ok(());
    }
    alert_delivery::Entity::delete_by_id(delivery.id.clone()).exec(tx).await?;
    Ok(())
}
