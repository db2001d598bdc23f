//! Who has done what: chains of entries, of which each carries the hash of the one before.
//!
//! A chain is cut into segments. The checkpoint that closes a segment is signed by the holder of
//! the key and stays for ever; the entries of a closed segment go away together when they are old.

use crate::entity::{audit_checkpoint as checkpoint, audit_entry as entry};
use crate::failure::Attempt;
use crate::ids::UserId;
use crate::page::{self, Page};
use crate::rows;
use crate::store::Store;
use crate::transactions::Tx;
use crate::values::Stored;
use model::Result;
use sea_orm::prelude::*;
use sea_orm::sea_query::{ExprTrait, LikeExpr};
use sea_orm::{ActiveValue::Set, Condition, QueryOrder, QuerySelect};
use std::sync::Arc;

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
    /// What was before and what is after. It names nobody but by id.
    pub changes: serde_json::Value,
    /// Random; goes into `person_hash`.
    pub person_salt: String,
    /// Salted hash of user, actor, address and program.
    pub person_hash: String,
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
    /// Of this action.
    pub action: Option<String>,
    /// Not before, µs since the epoch.
    pub from_us: Option<i64>,
    /// Before, µs since the epoch.
    pub until_us: Option<i64>,
    /// With this text in actor, action or resource.
    pub text: Option<String>,
}

/// Hashes an entry: its place, time, action, resource, changes, `person_hash` and the hash before.
pub type HashEntry = fn(&entry::Model) -> String;

/// Signs checkpoints, for whoever holds the key.
#[derive(Clone)]
pub struct Signer {
    /// Which key that is.
    pub key_id: String,
    /// Signs all columns of a checkpoint but `signature`.
    pub sign: Arc<dyn Fn(&checkpoint::Model) -> String + Send + Sync>,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

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

    /// Closes the segment that is open: all entries since the last checkpoint that were made at
    /// `until_us` or before. None when there are none.
    pub async fn close(&self, until_us: i64, signer: Signer) -> Result<Option<checkpoint::Model>> {
        let input = (self.chain.clone(), until_us, signer);
        self.store
            .write(input, |tx, (chain, until_us, signer)| {
                Box::pin(close(tx, chain, *until_us, signer))
            })
            .await
    }

    /// The checkpoints after the one with this number, oldest first.
    pub async fn checkpoints(&self, after: i64, limit: u64) -> Result<Vec<checkpoint::Model>> {
        let limit = page::limit(limit);
        Ok(checkpoints(self.store.read(), &self.chain, after, limit).await?)
    }

    /// Signs all checkpoints with another key, and says how many. What they say stays; the caller
    /// has verified it.
    pub async fn sign_again(&self, signer: Signer) -> Result<u64> {
        let input = (self.chain.clone(), signer);
        self.store.write(input, |tx, (chain, signer)| Box::pin(sign_again(tx, chain, signer))).await
    }

    /// The entries after the one with this number, oldest first.
    pub async fn entries(&self, after: i64, limit: u64) -> Result<Vec<entry::Model>> {
        let limit = page::limit(limit);
        Ok(entries(self.store.read(), &self.chain, after, limit).await?)
    }
}

/// Number and hash of the last entry of a chain, also when it was cleaned up since.
async fn end(db: &impl ConnectionTrait, chain: &str) -> Attempt<(i64, String)> {
    let last = entry::Entity::find()
        .filter(entry::Column::Chain.eq(chain))
        .order_by_desc(entry::Column::Seq)
        .one(db)
        .await?;
    if let Some(last) = last {
        return Ok((last.seq, last.hash));
    }
    let closed = last_checkpoint(db, chain).await?;
    Ok(closed.map(|closed| (closed.last_seq, closed.last_hash)).unwrap_or_default())
}

async fn last_checkpoint(
    db: &impl ConnectionTrait,
    chain: &str,
) -> Attempt<Option<checkpoint::Model>> {
    Ok(checkpoint::Entity::find()
        .filter(checkpoint::Column::Chain.eq(chain))
        .order_by_desc(checkpoint::Column::Number)
        .one(db)
        .await?)
}

async fn checkpoints(
    db: &impl ConnectionTrait,
    chain: &str,
    after: i64,
    limit: u64,
) -> Attempt<Vec<checkpoint::Model>> {
    Ok(checkpoint::Entity::find()
        .filter(checkpoint::Column::Chain.eq(chain))
        .filter(checkpoint::Column::Number.gt(after))
        .order_by_asc(checkpoint::Column::Number)
        .limit(limit)
        .all(db)
        .await?)
}

async fn entries(
    db: &impl ConnectionTrait,
    chain: &str,
    after: i64,
    limit: u64,
) -> Attempt<Vec<entry::Model>> {
    Ok(entry::Entity::find()
        .filter(entry::Column::Chain.eq(chain))
        .filter(entry::Column::Seq.gt(after))
        .order_by_asc(entry::Column::Seq)
        .limit(limit)
        .all(db)
        .await?)
}

async fn close(
    tx: &Tx,
    chain: &str,
    until_us: i64,
    signer: &Signer,
) -> Attempt<Option<checkpoint::Model>> {
    let before = last_checkpoint(tx, chain).await?;
    let (number, closed, previous_signature) = match before {
        Some(before) => (before.number + 1, before.last_seq, before.signature),
        None => (1, 0, String::new()),
    };
    let open = entry::Entity::find()
        .filter(entry::Column::Chain.eq(chain))
        .filter(entry::Column::Seq.gt(closed));
    let last = open
        .clone()
        .filter(entry::Column::AtUs.lte(until_us))
        .order_by_desc(entry::Column::Seq)
        .one(tx)
        .await?;
    let Some(last) = last else { return Ok(None) };
    // Clocks go back sometimes, so the last entry need not be the newest.
    let newest = open
        .filter(entry::Column::Seq.lte(last.seq))
        .order_by_desc(entry::Column::AtUs)
        .one(tx)
        .await?;
    let mut row = checkpoint::Model {
        chain: chain.to_owned(),
        number,
        first_seq: closed + 1,
        last_seq: last.seq,
        last_hash: last.hash,
        newest_at_us: newest.map_or(last.at_us, |newest| newest.at_us),
        previous_signature,
        key_id: signer.key_id.clone(),
        signature: String::new(),
    };
    row.signature = (signer.sign)(&row);
    rows::insert(tx, row.clone()).await?;
    Ok(Some(row))
}

async fn sign_again(tx: &Tx, chain: &str, signer: &Signer) -> Attempt<u64> {
    let (mut number, mut signature) = (0, String::new());
    loop {
        let page = checkpoints(tx, chain, number, page::PAGE_MAX).await?;
        if page.is_empty() {
            return Ok(u64::try_from(number).unwrap_or(0));
        }
        for mut row in page {
            number = row.number;
            row.previous_signature = signature;
            row.key_id.clone_from(&signer.key_id);
            row.signature = (signer.sign)(&row);
            signature = row.signature.clone();
            let change = checkpoint::ActiveModel {
                previous_signature: Set(row.previous_signature),
                key_id: Set(row.key_id),
                signature: Set(row.signature),
                ..Default::default()
            };
            checkpoint::Entity::update_many()
                .set(change)
                .filter(checkpoint::Column::Chain.eq(chain))
                .filter(checkpoint::Column::Number.eq(number))
                .exec(tx)
                .await?;
        }
    }
}

async fn append(
    tx: &Tx,
    chain: &str,
    new: &NewAuditEntry,
    hash: HashEntry,
    now_us: i64,
) -> Attempt<entry::Model> {
    let (seq, previous_hash) = end(tx, chain).await?;
    let seq = seq + 1;
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
        person_salt: Some(new.person_salt.clone()),
        person_hash: new.person_hash.clone(),
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
    if let Some(action) = &filter.action {
        select = select.filter(entry::Column::Action.eq(action.as_str()));
    }
    if let Some(from_us) = filter.from_us {
        select = select.filter(entry::Column::AtUs.gte(from_us));
    }
    if let Some(until_us) = filter.until_us {
        select = select.filter(entry::Column::AtUs.lt(until_us));
    }
    if let Some(text) = &filter.text {
        select = select.filter(has_text(text));
    }
    if let Some(after) = after {
        select = select.filter(entry::Column::Seq.lt(page::number(after)?));
    }
    Ok(Page::cut(select.all(db).await?, limit, |row| row.seq.to_string()))
}

/// That a text is somewhere in the words of an entry, whatever its case.
fn has_text(text: &str) -> Condition {
    use entry::Column::{Action, Actor, ResourceId};
    let text = text.to_lowercase().replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    let pattern = format!("%{text}%");
    let has = |column: entry::Column| {
        let lower = sea_orm::sea_query::Func::lower(Expr::col(column));
        Expr::expr(lower).like(LikeExpr::new(pattern.as_str()).escape('\\'))
    };
    [Actor, Action, ResourceId].into_iter().map(has).fold(Condition::any(), Condition::add)
}
