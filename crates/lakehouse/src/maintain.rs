//! Maintenance: small files put together, files that nobody needs deleted.

use crate::commit::commit_maintenance;
use crate::constraints::Constraints;
use crate::durable_store::LOG;
use crate::errors::{from_datafusion, from_store};
use crate::lake::{Inner, no_table};
use crate::prepare::{RECOMPUTE_ATTEMPTS_MAX, add_action};
use crate::provider::LakeTable;
use crate::table::{DataFile, Table};
use crate::writer::{self, Target, Written};
use crate::{parts, plan};
use contracts::table::{Maintenance, MaintenanceReport};
use deltalake::kernel::Action;
use deltalake::protocol::DeltaOperation;
use futures::TryStreamExt;
use model::{Problem, Result, TableName, codes};
use object_store::ObjectMeta;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use stdx::durable::TEMPORARY_SUFFIX;

/// Files smaller than this are put together.
const SMALL_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// Compacts and cleans up one table.
pub(crate) async fn maintain(
    lake: &Inner,
    name: &TableName,
    what: Maintenance,
) -> Result<MaintenanceReport> {
    let mut report = MaintenanceReport::default();
    if what.optimize {
        optimize(lake, name, what.dry_run, &mut report).await?;
    }
    if what.vacuum {
        vacuum(lake, name, what, &mut report).await?;
    }
    Ok(report)
}

async fn load(lake: &Inner, name: &TableName) -> Result<Table> {
    lake.load(name, None).await?.ok_or_else(|| no_table(name))
}

/// Writes small files of the same partition together. Rows stay the same, so that nobody who
/// reads or appends is disturbed.
async fn optimize(
    lake: &Inner,
    name: &TableName,
    dry_run: bool,
    report: &mut MaintenanceReport,
) -> Result<()> {
    let table = load(lake, name).await?;
    let small = small_files(table.files()?);
    report.files_compacted = count(small.len());
    if small.is_empty() || dry_run {
        return Ok(());
    }
    let (target, files) = compact(lake, &table, small.clone()).await?;
    report.files_written = count(files.len());
    if replace(lake, name, &small, &files).await? {
        return Ok(());
    }
    writer::delete(&target, &files).await;
    Err(Problem::new(
        &codes::TABLE_CONFLICT,
        format!("somebody rewrote `{name}` while its small files were put together"),
    )
    .arg("table", name)
    .hint("try again when no run writes the table"))
}

/// Small files that share their partition with another one.
fn small_files(files: Vec<DataFile>) -> Vec<DataFile> {
    let mut partitions: BTreeMap<_, Vec<DataFile>> = BTreeMap::new();
    for file in files.into_iter().filter(|file| file.bytes() < SMALL_FILE_BYTES) {
        partitions.entry(file.partition()).or_default().push(file);
    }
    partitions.into_values().filter(|files| files.len() > 1).flatten().collect()
}

async fn compact(
    lake: &Inner,
    table: &Table,
    small: Vec<DataFile>,
) -> Result<(Target, Vec<Written>)> {
    let session = lake.runtime.session(lake.threads, true);
    let provider = LakeTable::some(&lake.root, table, small)?;
    let frame = session.read_table(Arc::new(provider)).map_err(|error| from_datafusion(&error))?;
    let physical = frame.create_physical_plan().await.map_err(|error| from_datafusion(&error))?;
    let rows = parts::from_plan(&physical, &session.task_ctx())?;
    let none = Constraints::compile(&lake.runtime, table.name(), &table.schema, &BTreeMap::new())?;
    let rows = plan::shape(rows, &table.schema, &none);
    let partition_by = &table.partition_by;
    let arranged = plan::arrange(&lake.runtime, lake.threads, rows, partition_by, &[]).await?;
    let target = Target {
        store: Arc::clone(&lake.root.store),
        folder: table.place.folder.clone(),
        below: String::new(),
        group_bytes: writer::group_bytes(lake.runtime.memory_bytes()),
        schema: Arc::clone(&table.schema),
        partition_by: partition_by.clone(),
    };
    let files = writer::write(target.clone(), arranged).await?;
    Ok((target, files))
}

/// Commits the new files in place of the old; false when the old ones are no longer there. After
/// any other failure the commit may have happened, and the new files are left to a vacuum.
async fn replace(
    lake: &Inner,
    name: &TableName,
    old: &[DataFile],
    new: &[Written],
) -> Result<bool> {
    let lock = lake.commit_lock(name);
    let _one_at_a_time = lock.lock().await;
    for _ in 0..RECOMPUTE_ATTEMPTS_MAX {
        let table = load(lake, name).await?;
        let present: BTreeSet<String> =
            table.files()?.into_iter().map(|file| file.add.path).collect();
        if !old.iter().all(|file| present.contains(&file.add.path)) {
            return Ok(false);
        }
        let target_size = i64::try_from(SMALL_FILE_BYTES).unwrap_or(i64::MAX);
        let operation = DeltaOperation::Optimize { predicate: None, target_size };
        if commit_maintenance(&table, exchange(old, new), operation).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The actions that put new files in the place of old ones with the same rows.
fn exchange(old: &[DataFile], new: &[Written]) -> Vec<Action> {
    let removes = old.iter().map(|file| {
        let mut remove = file.remove.clone();
        remove.data_change = false;
        Action::Remove(remove)
    });
    let adds = new.iter().map(add_action).map(|mut action| {
        if let Action::Add(add) = &mut action {
            add.data_change = false;
        }
        action
    });
    removes.chain(adds).collect()
}

/// Deletes files that no version within the retention needs, and rubbish of dead runs. A file
/// younger than the retention stays, because a run that is going on may be about to commit it.
async fn vacuum(
    lake: &Inner,
    name: &TableName,
    what: Maintenance,
    report: &mut MaintenanceReport,
) -> Result<()> {
    let table = load(lake, name).await?;
    let retention_ms = i64::try_from(what.retention_hours).unwrap_or(i64::MAX / 3_600_000);
    let now_ms = chrono::Utc::now().timestamp_millis();
    let oldest_ms = now_ms.saturating_sub(retention_ms.saturating_mul(3_600_000));
    let needed = needed(&table, oldest_ms, what.retention_hours).await?;
    let folder = &table.place.folder;
    let listed: Vec<ObjectMeta> = lake
        .root
        .store
        .list(Some(folder))
        .try_collect()
        .await
        .map_err(|error| from_store(&error))?;
    let mut unneeded: Vec<String> = listed
        .iter()
        .filter(|meta| meta.last_modified.timestamp_millis() <= oldest_ms)
        .filter_map(|meta| {
            let path = meta.location.as_ref().strip_prefix(folder.as_ref())?;
            Some(path.trim_start_matches('/').to_owned())
        })
        .filter(|path| is_rubbish(path, &needed))
        .collect();
    unneeded.sort();
    if !what.dry_run {
        let paths = unneeded.iter().map(String::as_str);
        writer::delete_paths(&lake.root.store, folder, paths).await;
    }
    report.files_deleted = unneeded;
    Ok(())
}

fn is_rubbish(path: &str, needed: &BTreeSet<String>) -> bool {
    if path.ends_with(TEMPORARY_SUFFIX) {
        return true;
    }
    let in_log = path.split('/').next() == Some(LOG);
    !in_log && !needed.contains(path)
}

/// Files of the newest version and of every version that was the newest since `oldest_ms`.
async fn needed(table: &Table, oldest_ms: i64, retention_hours: u64) -> Result<BTreeSet<String>> {
    let mut needed: BTreeSet<String> =
        table.files()?.into_iter().map(|file| file.add.path).collect();
    if retention_hours == 0 {
        return Ok(needed);
    }
    for version in table.place.log.versions().await? {
        let commit = table.place.log.read(version).await?;
        let time_ms = commit.info().get("timestamp").and_then(Value::as_i64).unwrap_or(i64::MAX);
        if time_ms < oldest_ms {
            break;
        }
        let removed = commit.actions.iter().filter_map(|action| action.pointer("/remove/path"));
        needed.extend(removed.filter_map(Value::as_str).map(decoded));
    }
    Ok(needed)
}

/// Paths in the log are written as in an address.
fn decoded(path: &str) -> String {
    let url_path = object_store::path::Path::from_url_path(path);
    url_path.map_or_else(|_| path.to_owned(), |path| path.as_ref().to_owned())
}

fn count(files: usize) -> u64 {
    u64::try_from(files).unwrap_or(u64::MAX)
}
