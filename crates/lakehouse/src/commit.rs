//! One commit to a table: looked up by its key, tried, recomputed when somebody was faster.

use crate::errors::from_delta;
use crate::lake::Inner;
use crate::log::OWN;
use crate::schema::to_delta;
use crate::table::{CONSTRAINT_PREFIX, Found, Table};
use arrow::datatypes::Schema;
use async_trait::async_trait;
use contracts::table::TableWrite;
use deltalake::DeltaTableError;
use deltalake::kernel::transaction::{CommitBuilder, CommitProperties, TransactionError};
use deltalake::kernel::{Action, Metadata, Protocol, Transaction};
use deltalake::protocol::DeltaOperation;
use model::run::{CommitKey, Committed};
use model::{Problem, Result, TableName, codes};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use stdx::retry::Backoff;

/// Version under which our application ids stand in the log.
const TRANSACTION_VERSION: i64 = 1;
/// How often a commit is sent again after an answer that says nothing about its fate.
const FAILURES_MAX: u32 = 3;

/// What a commit is going to do.
#[derive(Debug, Clone)]
pub(crate) struct Proposal {
    pub(crate) actions: Vec<Action>,
    pub(crate) operation: DeltaOperation,
    pub(crate) rows: u64,
    pub(crate) detail: BTreeMap<String, u64>,
}

/// A change that is ready to be committed on any version of its table.
#[async_trait]
pub(crate) trait Change: Send {
    /// What is to be done on this version of the table, `None` when there is no table yet.
    /// Called again when somebody else has committed since; files of the last call are then
    /// thrown away by the change itself.
    async fn propose(&mut self, table: Option<&Table>) -> Result<Proposal>;

    /// How often it may be recomputed.
    fn attempts_max(&self) -> u32;

    /// Throws everything written away: nothing of it was committed, nor can be.
    async fn withdraw(&mut self);

    /// Throws away what nobody needs after a commit.
    async fn clean(&mut self);
}

/// Commits a change; an earlier commit with the same key is success.
pub(crate) async fn commit(
    lake: &Inner,
    write: &TableWrite,
    change: &mut dyn Change,
) -> Result<Committed> {
    let lock = lake.commit_lock(&write.table);
    let _one_at_a_time = lock.lock().await;
    let mut attempts = Attempts::new(change.attempts_max());
    let mut last: Option<(Option<u64>, Proposal)> = None;
    loop {
        let table = match lake.load(&write.table, None).await {
            Ok(table) => table,
            Err(problem) if attempts.sent => return Err(unknown(write, &problem)),
            Err(problem) => return withdrawn(change, problem).await,
        };
        match find(table.as_ref(), &write.key, attempts.sent).await {
            Ok(Some(found)) => return Ok(found_by(found, &attempts, change).await),
            Ok(None) => {}
            Err(problem) if attempts.sent => return Err(problem),
            Err(problem) => return withdrawn(change, problem).await,
        }
        let version = table.as_ref().map(Table::version);
        let proposal = match last.take() {
            // It may still be on its way: the same again, and none of its files is thrown away.
            Some((proposed_on, proposal)) if proposed_on == version => proposal,
            _ => match change.propose(table.as_ref()).await {
                Ok(proposal) => proposal,
                Err(problem) => return withdrawn(change, problem).await,
            },
        };
        last = Some((version, proposal.clone()));
        let committed = committed(write, &proposal);
        match send(lake, write, table.as_ref(), proposal, &attempts.id).await {
            Sent::Committed(version) => {
                change.clean().await;
                return Ok(Committed { version: Some(version), ..committed });
            }
            Sent::Refused(problem) => return withdrawn(change, problem).await,
            Sent::Conflict => {
                // A store that lost its first answer says on a second try that the version is
                // there: it may be ours, and its files must stay.
                attempts.sent = true;
                if !attempts.again().await {
                    let problem = conflict(&write.table);
                    let settled = settle(lake, write, &attempts, change, problem).await;
                    // Every version that was tried is taken, so that nothing is on its way.
                    return match settled {
                        Err(problem) if problem.is(&codes::TABLE_CONFLICT) => {
                            withdrawn(change, problem).await
                        }
                        settled => settled,
                    };
                }
            }
            Sent::Unknown(problem) => {
                attempts.sent = true;
                if !attempts.failed().await {
                    return settle(lake, write, &attempts, change, problem).await;
                }
            }
        }
    }
}

/// After the last attempt: asks the target once more. Deletes nothing when the commit is not
/// there, because it may be on its way.
async fn settle(
    lake: &Inner,
    write: &TableWrite,
    attempts: &Attempts,
    change: &mut dyn Change,
    problem: Problem,
) -> Result<Committed> {
    let table = lake.load(&write.table, None).await;
    let table = table.map_err(|problem| unknown(write, &problem))?;
    match find(table.as_ref(), &write.key, true).await? {
        Some(found) => Ok(found_by(found, attempts, change).await),
        None => Err(problem),
    }
}

async fn find(table: Option<&Table>, key: &CommitKey, sent: bool) -> Result<Option<Found>> {
    let Some(table) = table else { return Ok(None) };
    table
        .find(key)
        .await
        .map_err(|problem| if sent { unknown_commit(table.name(), key, &problem) } else { problem })
}

/// A commit with our key is in the log. When this attempt made it, its files are the table's;
/// when another one did, ours cannot come any more: the version that it was sent for is taken.
async fn found_by(found: Found, attempts: &Attempts, change: &mut dyn Change) -> Committed {
    let ours = match &found.attempt {
        Some(attempt) => *attempt == attempts.id,
        None => attempts.sent,
    };
    if ours {
        change.clean().await;
        return Committed { already: false, ..found.committed };
    }
    change.withdraw().await;
    found.committed
}

async fn withdrawn(change: &mut dyn Change, problem: Problem) -> Result<Committed> {
    change.withdraw().await;
    Err(problem)
}

/// Attempts so far, and the waits between them.
struct Attempts {
    /// Stands in the log with the commit, to know it again.
    id: String,
    left: u32,
    failures: u32,
    number: u32,
    /// Whether a commit of ours may be in the log, or on its way there.
    sent: bool,
    random: stdx::hash::Random,
}

impl Attempts {
    fn new(max: u32) -> Self {
        let id = uuid::Uuid::new_v4();
        let random = stdx::hash::Random::new(id.as_u64_pair().0);
        Self { id: id.to_string(), left: max, failures: 0, number: 0, sent: false, random }
    }

    /// Waits; false when there have been enough conflicts.
    async fn again(&mut self) -> bool {
        self.left = self.left.saturating_sub(1);
        self.wait(Duration::from_millis(5)).await;
        self.left > 0
    }

    /// Waits; false when there have been enough failures.
    async fn failed(&mut self) -> bool {
        self.failures += 1;
        if self.failures < FAILURES_MAX {
            self.wait(Duration::from_millis(200)).await;
        }
        self.failures < FAILURES_MAX
    }

    async fn wait(&mut self, first: Duration) {
        self.number += 1;
        let backoff = Backoff { attempts_max: u32::MAX, first, cap: Duration::from_secs(1) };
        tokio::time::sleep(backoff.wait(self.number.min(6), &mut self.random)).await;
    }
}

enum Sent {
    Committed(u64),
    /// Somebody else has this version.
    Conflict,
    /// Nothing was sent.
    Refused(Problem),
    /// It may have happened.
    Unknown(Problem),
}

async fn send(
    lake: &Inner,
    write: &TableWrite,
    table: Option<&Table>,
    proposal: Proposal,
    attempt: &str,
) -> Sent {
    let place = match lake.place(&write.table) {
        Ok(place) => place,
        Err(problem) => return Sent::Refused(problem),
    };
    let own = json!({
        "run": write.key.run.as_str(),
        "key": write.key.to_string(),
        "attempt": attempt,
        "rows": proposal.rows,
        "detail": proposal.detail,
        "metadata": write.metadata,
    });
    let now_ms = chrono::Utc::now().timestamp_millis();
    let transaction =
        Transaction::new_with_last_update(write.key.to_string(), TRANSACTION_VERSION, Some(now_ms));
    let properties = CommitProperties::default()
        .with_metadata([(OWN.to_owned(), own)])
        .with_application_transaction(transaction);
    commit_actions(place.log_store, table, proposal, properties).await
}

/// Sends one commit; never retried inside of the library, which would not look our key up.
async fn commit_actions(
    log_store: deltalake::logstore::LogStoreRef,
    table: Option<&Table>,
    proposal: Proposal,
    properties: CommitProperties,
) -> Sent {
    let snapshot = table.map(Table::eager);
    let reference = snapshot
        .as_ref()
        .map(|snapshot| snapshot as &dyn deltalake::kernel::transaction::TableReference);
    let prepared = CommitBuilder::from(properties.with_max_retries(0))
        .with_actions(proposal.actions)
        .build(reference, log_store, proposal.operation)
        .into_prepared_commit_future()
        .await;
    let prepared = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return Sent::Refused(from_delta(&error)),
    };
    match prepared.await {
        Ok(done) => {
            let version = done.version;
            // Checkpoints make reading faster; the commit stands without them.
            if let Err(error) = done.await {
                tracing::warn!(version, %error, "a checkpoint could not be written");
            }
            Sent::Committed(version)
        }
        Err(error) if is_conflict(&error) => Sent::Conflict,
        Err(error) => Sent::Unknown(from_delta(&error)),
    }
}

/// Commits actions that carry no key of a run: maintenance. `None` when somebody was faster.
pub(crate) async fn commit_maintenance(
    table: &Table,
    actions: Vec<Action>,
    operation: DeltaOperation,
) -> Result<Option<u64>> {
    let proposal = Proposal { actions, operation, rows: 0, detail: BTreeMap::new() };
    let log_store = Arc::clone(&table.place.log_store);
    match commit_actions(log_store, Some(table), proposal, CommitProperties::default()).await {
        Sent::Committed(version) => Ok(Some(version)),
        Sent::Conflict => Ok(None),
        Sent::Refused(problem) | Sent::Unknown(problem) => Err(problem),
    }
}

fn is_conflict(error: &DeltaTableError) -> bool {
    matches!(
        error,
        DeltaTableError::VersionAlreadyExists(_)
            | DeltaTableError::Transaction {
                source: TransactionError::MaxCommitAttempts(_)
                    | TransactionError::VersionAlreadyExists(_)
                    | TransactionError::CommitConflict(_)
            }
    )
}

fn committed(write: &TableWrite, proposal: &Proposal) -> Committed {
    Committed {
        target: write.table.to_string(),
        version: None,
        rows: proposal.rows,
        detail: proposal.detail.clone(),
        already: false,
    }
}

fn conflict(table: &TableName) -> Problem {
    Problem::new(
        &codes::TABLE_CONFLICT,
        format!("others kept committing to `{table}` while this write was computed"),
    )
    .arg("table", table)
    .hint("run again when the table is quieter, or let one pipeline write it")
}

fn unknown(write: &TableWrite, problem: &Problem) -> Problem {
    unknown_commit(&write.table, &write.key, problem)
}

fn unknown_commit(table: &TableName, key: &CommitKey, problem: &Problem) -> Problem {
    Problem::new(
        &codes::COMMIT_UNKNOWN,
        format!("it is not known whether the commit to `{table}` has happened"),
    )
    .arg("table", table)
    .arg("key", key)
    .detail(problem)
    .hint("run again: the table is asked first, and nothing is written twice")
}

/// How a table is to look after a commit.
#[derive(Debug)]
pub(crate) struct Layout<'a> {
    pub(crate) schema: &'a Schema,
    pub(crate) partition_by: &'a [String],
    pub(crate) constraints: &'a BTreeMap<String, String>,
    /// Whether schema and constraints take the place of what was there.
    pub(crate) replace: bool,
}

/// The actions that make or change a table's protocol and metadata; none when nothing changes.
pub(crate) fn layout_actions(table: Option<&Table>, layout: &Layout<'_>) -> Result<Vec<Action>> {
    let Some(table) = table else {
        let metadata = json!({
            "id": uuid::Uuid::new_v4().to_string(),
            "format": {"provider": "parquet", "options": {}},
            "schemaString": to_delta(layout.schema).to_string(),
            "partitionColumns": layout.partition_by,
            "configuration": new_properties(layout.constraints),
            "createdTime": chrono::Utc::now().timestamp_millis(),
        });
        let writer = if layout.constraints.is_empty() { 2 } else { 3 };
        let protocol = json!({"minReaderVersion": 1, "minWriterVersion": writer});
        return Ok(vec![
            Action::Protocol(stored::<Protocol>(protocol)?),
            Action::Metadata(stored::<Metadata>(metadata)?),
        ]);
    };
    let before = as_value(table.metadata())?;
    let after = changed_metadata(before.clone(), layout)?;
    let mut actions = Vec::new();
    if let Some(protocol) = changed_protocol(table, layout.constraints)? {
        actions.push(Action::Protocol(protocol));
    }
    if after != before {
        actions.push(Action::Metadata(stored::<Metadata>(after)?));
    }
    Ok(actions)
}

fn new_properties(constraints: &BTreeMap<String, String>) -> Map<String, Value> {
    let own = [
        ("delta.setTransactionRetentionDuration", "interval 90 days"),
        ("delta.checkpointInterval", "10"),
    ];
    let mut properties: Map<String, Value> =
        own.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    for (name, expression) in constraints {
        properties.insert(format!("{CONSTRAINT_PREFIX}{name}"), json!(expression));
    }
    properties
}

fn changed_metadata(mut metadata: Value, layout: &Layout<'_>) -> Result<Value> {
    let wanted = to_delta(layout.schema);
    let written = metadata.get("schemaString").and_then(Value::as_str).unwrap_or("{}");
    let mut schema: Value = serde_json::from_str(written).map_err(|error| internal(&error))?;
    if layout.replace {
        schema = wanted;
    } else if let Some(fields) = schema.get_mut("fields").and_then(Value::as_array_mut) {
        // Fields that are there stay exactly as their writer described them.
        let known: Vec<Value> = fields.iter().filter_map(|f| f.get("name").cloned()).collect();
        let new = wanted.get("fields").and_then(Value::as_array).cloned().unwrap_or_default();
        let is_new = |field: &Value| field.get("name").is_some_and(|name| !known.contains(name));
        fields.extend(new.into_iter().filter(is_new));
    }
    let text = schema.to_string();
    let unchanged = serde_json::from_str::<Value>(written).is_ok_and(|before| before == schema);
    if !unchanged {
        metadata["schemaString"] = json!(text);
    }
    if layout.replace {
        metadata["partitionColumns"] = json!(layout.partition_by);
    }
    if let Some(properties) = metadata.get_mut("configuration").and_then(Value::as_object_mut) {
        if layout.replace {
            properties.retain(|key, _| !key.starts_with(CONSTRAINT_PREFIX));
        }
        for (name, expression) in layout.constraints {
            properties.insert(format!("{CONSTRAINT_PREFIX}{name}"), json!(expression));
        }
    }
    Ok(metadata)
}

/// Constraints need a newer writer than a plain table does.
fn changed_protocol(
    table: &Table,
    constraints: &BTreeMap<String, String>,
) -> Result<Option<Protocol>> {
    if constraints.is_empty() {
        return Ok(None);
    }
    let mut protocol = as_value(table.protocol())?;
    let before = protocol.clone();
    let writer = protocol.get("minWriterVersion").and_then(Value::as_i64).unwrap_or_default();
    if writer < 3 {
        protocol["minWriterVersion"] = json!(3);
    } else if writer >= 7
        && let Some(features) = protocol.get_mut("writerFeatures").and_then(Value::as_array_mut)
        && !features.contains(&json!("checkConstraints"))
    {
        features.push(json!("checkConstraints"));
    }
    if protocol == before { Ok(None) } else { stored(protocol).map(Some) }
}

fn as_value<T: serde::Serialize>(stored: &T) -> Result<Value> {
    serde_json::to_value(stored).map_err(|error| internal(&error))
}

fn stored<T: DeserializeOwned>(value: Value) -> Result<T> {
    serde_json::from_value(value).map_err(|error| internal(&error))
}

fn internal(error: &serde_json::Error) -> Problem {
    Problem::new(&codes::INTERNAL, "the description of a table cannot be put together")
        .detail(error)
}
