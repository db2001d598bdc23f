//! Whether an audit trail is what was written.

use super::{PURPOSE, hash_entry, key_id, signature, signer};
use crate::identity::master_key::MasterKey;
use model::{Name, Problem, Result, codes};
use serde::Serialize;
use store::{Audit, AuditCheckpoint, AuditEntry, Store};

const PAGE: u64 = 500;
/// Entries that are younger are not removed by anybody who should.
const KEPT_US: i64 = 180 * 24 * 3_600_000_000;

/// What a chain of entries is found to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditState {
    /// Name of the workspace; none for what concerns none.
    pub workspace: Option<String>,
    /// Entries that are there.
    pub entries: u64,
    /// Segments that were closed, also those whose entries are gone.
    pub segments: u64,
    /// Number and hash of the last entry. Noted elsewhere, they show whether the end was cut off.
    pub head: Option<String>,
    /// What is wrong, if anything is.
    pub broken: Option<String>,
}

/// Verifies all chains: links, hashes, signatures.
pub async fn verify_audit(
    store: &Store,
    master_key: &MasterKey,
    now_us: i64,
) -> Result<Vec<AuditState>> {
    let mut states = vec![verify(&store.audit(), None, master_key, now_us).await?];
    for workspace in store.workspaces().list().await? {
        let audit = store.workspace(&workspace.id).audit();
        states.push(verify(&audit, Some(workspace.slug), master_key, now_us).await?);
    }
    Ok(states)
}

/// Looks whether the entry that was the last one of a chain is still there: `WORKSPACE=NUMBER:HASH`
/// as a state has shown it, `=NUMBER:HASH` for what concerns no workspace. What is wrong is noted
/// in the state of the chain.
///
/// # Errors
///
/// A text that is no head, or the name of no workspace.
pub async fn check_head(store: &Store, states: &mut [AuditState], head: &str) -> Result<()> {
    let unreadable = || {
        Problem::new(&codes::COMMAND_INVALID, format!("`{head}` is not the head of an audit trail"))
            .hint("write `WORKSPACE=NUMBER:HASH`, as `affluent audit verify` has shown it")
    };
    let (name, rest) = head.split_once('=').ok_or_else(unreadable)?;
    let (number, hash) = rest.split_once(':').ok_or_else(unreadable)?;
    let number: i64 = number.parse().map_err(|_| unreadable())?;
    let name = (!name.is_empty()).then_some(name);
    let state = states.iter_mut().find(|state| state.workspace.as_deref() == name);
    let state = state.ok_or_else(unreadable)?;
    let audit = match name {
        None => store.audit(),
        Some(name) => {
            let workspace = store.workspaces().by_slug(&Name::new(name)?).await?;
            store.workspace(&workspace.id).audit()
        }
    };
    let found = audit.entries(number - 1, 1).await?.into_iter().next();
    let found = found.filter(|entry| entry.seq == number).map(|entry| entry.hash);
    let closed = match found {
        Some(found) => Some(found),
        None => hash_of_closed(&audit, number).await?,
    };
    if closed.as_deref() != Some(hash) && state.broken.is_none() {
        state.broken = Some(format!("entry {number} is not the one that was noted"));
    }
    Ok(())
}

/// The hash of the last entry of a segment, also when its entries are gone.
async fn hash_of_closed(audit: &Audit, seq: i64) -> Result<Option<String>> {
    let mut after = 0;
    loop {
        let page = audit.checkpoints(after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(None) };
        after = last.number;
        if let Some(row) = page.into_iter().find(|row| row.last_seq == seq) {
            return Ok(Some(row.last_hash));
        }
    }
}

/// Verifies one chain.
pub(crate) async fn verify(
    audit: &Audit,
    workspace: Option<String>,
    master_key: &MasterKey,
    now_us: i64,
) -> Result<AuditState> {
    let keys = master_key.derive_all(PURPOSE);
    let mut state = AuditState { workspace, entries: 0, segments: 0, head: None, broken: None };
    let mut closed = Closed::default();
    loop {
        let page = audit.checkpoints(closed.number, PAGE).await?;
        if page.is_empty() {
            break;
        }
        for row in &page {
            if let Some(fault) = closed.fault(row, &keys) {
                state.broken = Some(fault);
                return Ok(state);
            }
            closed.take(row, now_us);
        }
    }
    state.segments = closed.ends.len() as u64;
    follow(audit, &closed, &mut state).await?;
    Ok(state)
}

/// Checkpoints that were found right.
#[derive(Default)]
struct Closed {
    number: i64,
    signature: String,
    /// Last number and hash of each segment.
    ends: Vec<(i64, String)>,
    /// Up to here entries may have been cleaned up.
    may_be_gone: i64,
}

impl Closed {
    fn fault(&self, row: &AuditCheckpoint, keys: &[[u8; 32]]) -> Option<String> {
        let first = self.ends.last().map_or(1, |(seq, _)| seq + 1);
        let follows = row.number == self.number + 1
            && row.first_seq == first
            && row.last_seq >= row.first_seq
            && row.previous_signature == self.signature;
        if !follows {
            return Some(format!("checkpoint {} does not follow from the one before", row.number));
        }
        let key = keys.iter().find(|key| key_id(key) == row.key_id);
        match key {
            None => Some(format!("checkpoint {} is signed with an unknown key", row.number)),
            Some(key) if signature(key, row) != row.signature => {
                Some(format!("checkpoint {} is not what was signed", row.number))
            }
            Some(_) => None,
        }
    }

    fn take(&mut self, row: &AuditCheckpoint, now_us: i64) {
        self.number = row.number;
        self.signature.clone_from(&row.signature);
        self.ends.push((row.last_seq, row.last_hash.clone()));
        // What is old goes from the front.
        if row.newest_at_us <= now_us - KEPT_US {
            self.may_be_gone = row.last_seq;
        }
    }

    /// The hash that the entry with this number must have, if its segment ends there.
    fn hash_at(&self, seq: i64) -> Option<&str> {
        let at = self.ends.binary_search_by_key(&seq, |(end, _)| *end).ok()?;
        Some(&self.ends[at].1)
    }
}

/// Follows the entries that are left from the first to the last.
async fn follow(audit: &Audit, closed: &Closed, state: &mut AuditState) -> Result<()> {
    let mut last: Option<AuditEntry> = None;
    loop {
        let seen = last.as_ref().map_or(0, |entry| entry.seq);
        let page = audit.entries(seen, PAGE).await?;
        if page.is_empty() {
            break;
        }
        for entry in page {
            if let Some(fault) = fault(&entry, last.as_ref(), closed) {
                state.broken = Some(fault);
                return Ok(());
            }
            state.entries += 1;
            last = Some(entry);
        }
    }
    let (seq, hash) = match last {
        Some(last) => (last.seq, last.hash),
        None => closed.ends.last().cloned().unwrap_or_default(),
    };
    let end = closed.ends.last().map_or(0, |(end, _)| *end);
    if seq < end || (state.entries == 0 && end > closed.may_be_gone) {
        state.broken = Some(format!("entries up to {end} were closed, and are not there"));
    }
    state.head = (seq > 0).then(|| format!("{seq}:{hash}"));
    Ok(())
}

fn fault(entry: &AuditEntry, last: Option<&AuditEntry>, closed: &Closed) -> Option<String> {
    let seq = entry.seq;
    let follows = match last {
        Some(last) => seq == last.seq + 1 && entry.previous_hash == last.hash,
        None if seq == 1 => entry.previous_hash.is_empty(),
        // The first that is left follows from a segment that was cleaned up.
        None => {
            seq - 1 <= closed.may_be_gone
                && closed.hash_at(seq - 1) == Some(entry.previous_hash.as_str())
        }
    };
    if !follows {
        return Some(format!("entry {seq} does not follow from the one before"));
    }
    if hash_entry(entry) != entry.hash {
        return Some(format!("entry {seq} was changed"));
    }
    let signed = closed.hash_at(seq);
    signed.is_some_and(|hash| hash != entry.hash).then(|| format!("entry {seq} was exchanged"))
}

/// Signs all checkpoints with the newest key, after having verified them with the keys there are.
pub(crate) async fn sign_again(store: &Store, master_key: &MasterKey, now_us: i64) -> Result<u64> {
    for state in verify_audit(store, master_key, now_us).await? {
        if let Some(broken) = state.broken {
            return Err(Problem::new(&codes::AUDIT_BROKEN, "the audit trail is not whole")
                .detail(broken)
                .hint("look into it with `affluent audit verify` before the key is exchanged"));
        }
    }
    let mut signed = store.audit().sign_again(signer(master_key)).await?;
    for workspace in store.workspaces().list().await? {
        let audit = store.workspace(&workspace.id).audit();
        signed += audit.sign_again(signer(master_key)).await?;
    }
    Ok(signed)
}
