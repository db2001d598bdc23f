//! Who has done what: chains of entries, of which each carries the hash of the one before.

use crate::entity::audit_entry as entry;
use crate::failure::Attempt;
use crate::ids::UserId;
use crate::page::{self, Page};
use crate::rows;
use crate::store::Store;
use crate::transactions::Tx;
use crate::values::Stored;
use model::Result;
use sea_orm::prelude::*;
use sea_orm::{QueryOrder, QuerySelect};

/// The chain of what concerns no workspace.
pub(crate) const INSTALLATION: &str = "installation";

/// One chain of audit entries. Entries are added; nothing changes or removes one before its time.
#[derive(Debug, Clone)]
pub struct Audit {
    store: Store,
    chain: String,
}

/// Something that was done.
#[derive(Debug, Clone)]
pub struct NewAuditEntry {
    /// The person, if there is one.
    pub user: Option<UserId>,
    /// Who it was, in words that stay when the person has gone.
    pub actor: String,
    /// What was done, such as `connection.update`.
    pub action: String,
    /// What it was done to.
    pub resource_kind: String,
    /// Which one.
    pub resource_id: Option<String>,
    /// Where it came from.
    pub ip: Option<String>,
    /// What the program called itself.
    pub user_agent: Option<String>,
    /// What was before and what is after.
    pub changes: serde_json::Value,
}

/// Which entries are asked for; none means all.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Of this person.
    pub user: Option<UserId>,
    /// Of this kind.
    pub resource_kind: Option<String>,
    /// Of this one.
    pub resource_id: Option<String>,
}

/// Hashes an entry: all of its columns but `hash`.
pub type HashEntry = fn(&entry::Model) -> String;

impl Audit {
    pub(crate) fn new(store: Store, chain: String) -> Self {
        Self { store, chain }
    }

    /// Adds an entry at the end of the chain; `hash` is asked when its place is known.
    pub async fn append(
        &self,
        new: NewAuditEntry,
        hash: HashEntry,
        now_us: i64,
    ) -> Result<entry::Model> {
        let input = (self.chain.clone(), new, hash, now_us);
        self.store
            .write(input, |tx, (chain, new, hash, now_us)| {
                Box::pin(append(tx, chain, new, *hash, *now_us))
            })
            .await
    }

    /// The entries, the newest first; `after` is a page's `next`.
    pub async fn list(
        &self,
        filter: &AuditFilter,
        after: Option<&str>,
        limit: u64,
    ) -> Result<Page<entry::Model>> {
        let limit = page::limit(limit);
        Ok(list(self.store.read(), &self.chain, filter, after, limit).await?)
    }

    /// The number of the first entry that does not follow from the one before, or whose hash is
    /// another one; none when the chain is whole.
    pub async fn first_broken(&self, hash: HashEntry) -> Result<Option<i64>> {
        Ok(first_broken(self.store.read(), &self.chain, hash).await?)
    }
}

/// The last entry of a chain.
pub(crate) async fn last(db: &impl ConnectionTrait, chain: &str) -> Attempt<Option<entry::Model>> {
    Ok(entry::Entity::find()
        .filter(entry::Column::Chain.eq(chain))
        .order_by_desc(entry::Column::Seq)
        .one(db)
        .await?)
}

async fn append(
    tx: &Tx,
    chain: &str,
    new: &NewAuditEntry,
    hash: HashEntry,
    now_us: i64,
) -> Attempt<entry::Model> {
    let (seq, previous_hash) = match last(tx, chain).await? {
        Some(last) => (last.seq + 1, last.hash),
        None => (1, String::new()),
    };
    let mut row = entry::Model {
        chain: chain.to_owned(),
        seq,
        at_us: now_us,
        user_id: new.user.clone(),
        actor: new.actor.clone(),
        action: new.action.clone(),
        resource_kind: new.resource_kind.clone(),
        resource_id: new.resource_id.clone(),
        ip: new.ip.clone(),
        user_agent: new.user_agent.clone(),
        changes: Stored(new.changes.clone()),
        previous_hash,
        hash: String::new(),
    };
    row.hash = hash(&row);
    rows::insert(tx, row.clone()).await?;
    Ok(row)
}

async fn list(
    db: &impl ConnectionTrait,
    chain: &str,
    filter: &AuditFilter,
    after: Option<&str>,
    limit: u64,
) -> Attempt<Page<entry::Model>> {
    let mut select = entry::Entity::find()
        .filter(entry::Column::Chain.eq(chain))
        .order_by_desc(entry::Column::Seq)
        .limit(limit + 1);
    if let Some(user) = &filter.user {
        select = select.filter(entry::Column::UserId.eq(user.clone()));
    }
    if let Some(kind) = &filter.resource_kind {
        select = select.filter(entry::Column::ResourceKind.eq(kind.as_str()));
    }
    if let Some(id) = &filter.resource_id {
        select = select.filter(entry::Column::ResourceId.eq(id.as_str()));
    }
    if let Some(after) = after {
        select = select.filter(entry::Column::Seq.lt(page::number(after)?));
    }
    Ok(Page::cut(select.all(db).await?, limit, |row| row.seq.to_string()))
}

async fn first_broken(
    db: &impl ConnectionTrait,
    chain: &str,
    hash: HashEntry,
) -> Attempt<Option<i64>> {
    let mut previous: Option<entry::Model> = None;
    loop {
        // The first entry that is left follows from one that was cleaned up.
        let seen = previous.as_ref().map_or(0, |row| row.seq);
        let rows = entry::Entity::find()
            .filter(entry::Column::Chain.eq(chain))
            .filter(entry::Column::Seq.gt(seen))
            .order_by_asc(entry::Column::Seq)
            .limit(page::PAGE_MAX)
            .all(db)
            .await?;
        if rows.is_empty() {
            return Ok(None);
        }
        for row in rows {
            let follows = previous
                .as_ref()
                .is_none_or(|last| row.seq == last.seq + 1 && row.previous_hash == last.hash);
            if !follows || hash(&row) != row.hash {
                return Ok(Some(row.seq));
            }
            previous = Some(row);
        }
    }
}
