//! The audit trail: who has changed what, from where, with what was before and after.
//!
//! The router writes it, so that no handler can forget: whatever a changing request has done, an
//! entry follows before the answer. A handler only says what the path does not.

use crate::access::Origin;
use crate::app::App;
use crate::identity::caller::Caller;
use crate::identity::master_key::MasterKey;
use hmac::{Hmac, Mac};
use model::{Problem, Result, codes};
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::{AuditCheckpoint, AuditEntry, NewAuditEntry, Signer, Store, User, UserId, WorkspaceId};

mod verify;

pub use verify::{AuditState, check_head, verify_audit};
pub(crate) use verify::{sign_again, verify};

/// A segment has so many entries, unless it is closed sooner because they are old.
const SEGMENT_ENTRIES: i64 = 256;
/// A segment is closed when its last entry is so old, however few there are.
const OPEN_US_MAX: i64 = 24 * 3_600_000_000;
const SALT_BYTES: usize = 16;
const PURPOSE: &str = "audit checkpoints";
/// Words in the names of fields whose values are never written down.
const MASKED: &[&str] =
    &["credential", "email", "hash", "key", "password", "private", "secret", "token"];
const MASK: &str = "***";

/// What the audit trail says of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audit {
    /// The route changes nothing.
    Nothing,
    /// What it has done is an entry with this action, `thing.verb`.
    Entry(&'static str),
    /// It changes something, but that is kept elsewhere, or nobody has wanted it: why.
    Elsewhere(&'static str),
    /// It changes something and has no name for it yet.
    Unnamed,
}

/// Who does something.
#[derive(Debug, Clone, Default)]
pub(crate) struct Author {
    user: Option<(UserId, String)>,
    /// What stands for who it is when it is not a person.
    stands_for: Option<&'static str>,
    key: Option<String>,
    workspace: Option<WorkspaceId>,
}

impl Author {
    /// The sender of a request, in a workspace or in the installation as a whole.
    pub(crate) fn of(caller: &Caller, workspace: Option<&WorkspaceId>) -> Self {
        let key = caller.key.as_ref().map(|key| key.id.to_string());
        Self { key, ..Self::person(&caller.user, workspace) }
    }

    /// A person.
    pub(crate) fn person(user: &User, workspace: Option<&WorkspaceId>) -> Self {
        let user = Some((user.id.clone(), user.email.clone()));
        Self { user, workspace: workspace.cloned(), ..Self::default() }
    }
}

/// What a handler tells the audit trail. Cheap to clone; telling it nothing is fine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trail(Arc<Mutex<Told>>);

#[derive(Debug, Default)]
struct Told {
    author: Author,
    subject: Option<String>,
    before: Option<Value>,
    after: Option<Value>,
}

impl Trail {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says who does it, where the guard could not know.
    pub(crate) fn author(&self, author: Author) {
        self.told().author = author;
    }

    /// Says what it is done to, where the path does not.
    pub(crate) fn subject(&self, id: impl ToString) {
        self.told().subject = Some(id.to_string());
    }

    /// Says how it was. Secrets are masked.
    pub(crate) fn before(&self, before: impl Serialize) {
        self.told().before = serde_json::to_value(before).ok();
    }

    /// Says how it is now. Secrets are masked.
    pub(crate) fn after(&self, after: impl Serialize) {
        self.told().after = serde_json::to_value(after).ok();
    }
}

/// A request whose success will be an entry.
pub(crate) struct Witness {
    action: String,
    subject: Option<String>,
    origin: Origin,
    trail: Trail,
}

impl Witness {
    /// Of a request to a route; `subject` is what its path names.
    pub(crate) fn new(audit: Audit, subject: Option<String>, origin: Origin) -> Option<Self> {
        let action = match audit {
            Audit::Nothing | Audit::Elsewhere(_) => return None,
            Audit::Entry(action) => action.to_owned(),
            Audit::Unnamed => "request.send".to_owned(),
        };
        Some(Self { action, subject, origin, trail: Trail::default() })
    }

    /// Where the handler says more.
    pub(crate) fn trail(&self) -> Trail {
        self.trail.clone()
    }

    /// Writes the entry.
    ///
    /// # Errors
    ///
    /// What was done stays done; whoever asked is told that it could not be written down.
    pub(crate) async fn write(self, app: &App) -> Result<()> {
        let told = std::mem::take(&mut *self.trail.told());
        let done = Done {
            subject: told.subject.or(self.subject),
            changes: changes(told.before, told.after, told.author.key.as_deref()),
            author: told.author,
            action: self.action,
            origin: Some(self.origin),
        };
        app.auditor.write(&app.store, done, app.now_us()).await
    }
}

fn changes(before: Option<Value>, after: Option<Value>, key: Option<&str>) -> Value {
    let mut changes = Map::new();
    let parts = [("before", before.map(masked)), ("after", after.map(masked))];
    changes.extend(parts.into_iter().filter_map(|(name, part)| Some((name.to_owned(), part?))));
    if let Some(key) = key {
        changes.insert("by_key".to_owned(), json!(key));
    }
    Value::Object(changes)
}

/// Without values that should not be written down, and without addresses of people.
pub(crate) fn masked(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let field = |(name, value): (String, Value)| {
                let lower = name.to_lowercase();
                let is_secret = MASKED.iter().any(|word| lower.contains(word));
                let is_plain = matches!(value, Value::Null | Value::Bool(_));
                let value = match is_secret && !is_plain {
                    true => Value::String(MASK.to_owned()),
                    false => masked(value),
                };
                (name, value)
            };
            Value::Object(fields.into_iter().map(field).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(masked).collect()),
        Value::String(text) => Value::String(without_password(text)),
        other => other,
    }
}

/// A URL without what stands between its scheme and its host.
fn without_password(text: String) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text };
    let host_ends = rest.find('/').unwrap_or(rest.len());
    match rest[..host_ends].rfind('@') {
        Some(at) => format!("{scheme}://{MASK}{}", &rest[at..]),
        None => text,
    }
}

/// Something that was done.
struct Done {
    author: Author,
    action: String,
    subject: Option<String>,
    origin: Option<Origin>,
    changes: Value,
}

/// Writes entries and signs checkpoints.
#[derive(Clone)]
pub(crate) struct Auditor {
    signer: Signer,
}

impl Auditor {
    /// Signs with a key that is made from the master key.
    pub(crate) fn new(master_key: &MasterKey) -> Self {
        Self { signer: signer(master_key) }
    }

    async fn write(&self, store: &Store, done: Done, now_us: i64) -> Result<()> {
        let audit = match &done.author.workspace {
            Some(workspace) => store.workspace(workspace).audit(),
            None => store.audit(),
        };
        let action = done.action.clone();
        let written = async {
            let entry = audit.append(new_entry(done)?, hash_entry, now_us).await?;
            if entry.seq % SEGMENT_ENTRIES == 0 {
                audit.close(i64::MAX, self.signer.clone()).await?;
            }
            Ok(())
        };
        written.await.map_err(|problem: Problem| {
            tracing::error!(%action, %problem, "the audit trail cannot be written");
            Problem::new(&codes::STORE_FAILED, "it is done, but the audit trail cannot be written")
                .detail(problem)
                .hint("look whether it is done before you ask for it once more")
        })
    }

    /// Closes segments whose entries are a day old, so that they can go when their time comes.
    pub(crate) async fn close_segments(&self, store: &Store, now_us: i64) -> Result<()> {
        let until_us = now_us - OPEN_US_MAX;
        store.audit().close(until_us, self.signer.clone()).await?;
        for workspace in store.workspaces().list().await? {
            let audit = store.workspace(&workspace.id).audit();
            audit.close(until_us, self.signer.clone()).await?;
        }
        Ok(())
    }
}

/// Notes something that the program itself, or whoever runs it, has done outside of a request.
pub async fn note(
    store: &Store,
    master_key: &MasterKey,
    action: &str,
    subject: Option<String>,
    after: Value,
    now_us: i64,
) -> Result<()> {
    let done = Done {
        author: Author { stands_for: Some("the command line"), ..Author::default() },
        action: action.to_owned(),
        subject,
        origin: None,
        changes: changes(None, Some(after), None),
    };
    Auditor::new(master_key).write(store, done, now_us).await
}

fn new_entry(done: Done) -> Result<NewAuditEntry> {
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt).map_err(|error| {
        Problem::new(&codes::INTERNAL, "the system gives no random bytes").detail(error)
    })?;
    let (user, actor) = match done.author.user {
        Some((user, email)) => (Some(user), email),
        None => (None, done.author.stands_for.unwrap_or("nobody signed in").to_owned()),
    };
    let resource_kind = done.action.split('.').next().unwrap_or_default().to_owned();
    let mut new = NewAuditEntry {
        ip: done.origin.as_ref().map(|origin| origin.ip.to_string()),
        user_agent: done.origin.map(|origin| origin.user_agent),
        person_salt: hex(&salt),
        person_hash: String::new(),
        resource_id: done.subject,
        action: done.action,
        changes: done.changes,
        resource_kind,
        actor,
        user,
    };
    let user = new.user.as_ref().map(UserId::as_str);
    let (ip, program) = (new.ip.as_deref(), new.user_agent.as_deref());
    new.person_hash = person_hash(&new.person_salt, [user, Some(&new.actor), ip, program]);
    Ok(new)
}

/// What an entry knows of a person, so that it can be checked and, without the salt, not guessed.
fn person_hash(salt: &str, parts: [Option<&str>; 4]) -> String {
    let mut hash = Fields::new("affluent person");
    hash.text(salt);
    parts.into_iter().for_each(|part| hash.optional(part));
    hash.end()
}

/// The hash of an entry. That of an entry whose person does not fit is none.
fn hash_entry(entry: &AuditEntry) -> String {
    if let Some(salt) = &entry.person_salt {
        let user = entry.user_id.as_ref().map(UserId::as_str);
        let (ip, program) = (entry.ip.as_deref(), entry.user_agent.as_deref());
        if person_hash(salt, [user, Some(&entry.actor), ip, program]) != entry.person_hash {
            return String::new();
        }
    }
    let mut hash = Fields::new("affluent audit entry");
    hash.text(&entry.chain);
    hash.number(entry.seq);
    hash.number(entry.at_us);
    hash.text(&entry.action);
    hash.text(&entry.resource_kind);
    hash.optional(entry.resource_id.as_deref());
    hash.text(&entry.changes.0.to_string());
    hash.text(&entry.person_hash);
    hash.text(&entry.previous_hash);
    hash.end()
}

/// Fields under a hash; lengths keep their borders.
struct Fields(Sha256);

impl Fields {
    fn new(what: &str) -> Self {
        let mut fields = Self(Sha256::new());
        fields.text(what);
        fields
    }

    fn text(&mut self, text: &str) {
        self.0.update((text.len() as u64).to_be_bytes());
        self.0.update(text);
    }

    fn number(&mut self, number: i64) {
        self.text(&number.to_string());
    }

    fn optional(&mut self, text: Option<&str>) {
        self.0.update([u8::from(text.is_some())]);
        self.text(text.unwrap_or_default());
    }

    fn end(self) -> String {
        hex(&self.0.finalize())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Signs with the newest key.
pub(crate) fn signer(master_key: &MasterKey) -> Signer {
    let key = master_key.derive(PURPOSE);
    Signer { key_id: key_id(&key), sign: Arc::new(move |row| signature(&key, row)) }
}

fn key_id(key: &[u8; 32]) -> String {
    let mut fields = Fields::new("affluent audit key");
    fields.text(&hex(key));
    fields.end()[..16].to_owned()
}

fn signature(key: &[u8; 32], row: &AuditCheckpoint) -> String {
    let mut fields = Fields::new("affluent audit checkpoint");
    fields.text(&row.chain);
    [row.number, row.first_seq, row.last_seq, row.newest_at_us]
        .into_iter()
        .for_each(|number| fields.number(number));
    [&row.last_hash, &row.previous_signature, &row.key_id]
        .into_iter()
        .for_each(|text| fields.text(text));
    let mut mac =
        <Hmac<Sha256> as Mac>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(fields.end().as_bytes());
    hex(&mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_is_masked_at_every_depth() {
        let given = json!({
            "host": "db.example.org", "port": 5432, "Password": "p1", "api_key": {"id": 7},
            "urls": ["postgres://ann:p2@h:1/d?x=a@b", "https://example.org/a@b"],
            "deep": [{"access_token": ["p3"], "has_password": true}],
        });
        let expected = json!({
            "host": "db.example.org", "port": 5432, "Password": "***", "api_key": "***",
            "urls": ["postgres://***@h:1/d?x=a@b", "https://example.org/a@b"],
            "deep": [{"access_token": "***", "has_password": true}],
        });
        assert_eq!(masked(given), expected);
    }

    #[test]
    fn the_borders_of_fields_are_part_of_the_hash() {
        let hash = |parts: [Option<&str>; 4]| person_hash("salt", parts);
        assert_ne!(
            hash([Some("a"), Some("bc"), None, None]),
            hash([Some("ab"), Some("c"), None, None])
        );
        assert_ne!(hash([None, Some("a"), None, None]), hash([Some(""), Some("a"), None, None]));
    }
}
