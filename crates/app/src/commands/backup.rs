//! `affluent backup`: metadata and table versions into one file, while the server works.

use super::{Outcome, Session};
use crate::backup::BackupFile;
use crate::metadata;
use crate::output::ExitCode;
use crate::workbench::Workbench;
use clap::Args;
use contracts::table::TableStore;
use model::{Result, TableName};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use stdx::clock::{Clock, SystemClock};
use stdx::text::group_digits;

const EXAMPLES: &str = "\
Examples:\n\
\x20 affluent backup /backups/shop-2026-11-20.zip\n\
\x20 affluent restore /backups/shop-2026-11-20.zip --check\n\
The file holds no key: keep the master key in another place.\n\
Tables are not copied; their versions are noted.";

/// Arguments of `affluent backup`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The file, which must not be there yet
    pub file: PathBuf,
}

pub(crate) async fn execute(session: &Session, arguments: Arguments) -> Outcome {
    let workbench = session.open_without_secrets()?;
    back_up(session, &workbench, arguments).await.map_err(|problem| vec![problem])?;
    Ok(ExitCode::Done)
}

async fn back_up(session: &Session, workbench: &Workbench, arguments: Arguments) -> Result<()> {
    let mut file = BackupFile::create(&arguments.file)?;
    let store = metadata::open(workbench).await?;
    let snapshot = store.snapshot().await?;
    // After the metadata: a table may know more than they do, which a run finds out by its key.
    // The other way round rows would be missing that the metadata say are there.
    file.add(&snapshot).await?;
    let tables = versions(workbench).await?;
    let workspace = workbench.folder.workspace();
    let now_us = SystemClock.now_us();
    let manifest = file.finish(snapshot.migration(), workspace, tables, now_us)?;
    let rows: u64 = manifest.parts.iter().map(|part| part.rows).sum();
    let count = manifest.tables.len();
    session.output.value(&json!({"file": arguments.file, "rows": rows, "tables": count}));
    session.output.line(format!(
        "{}: {} rows of metadata, versions of {count} tables",
        arguments.file.display(),
        group_digits(rows)
    ));
    Ok(())
}

/// The version of each table.
pub(super) async fn versions(workbench: &Workbench) -> Result<BTreeMap<TableName, u64>> {
    let mut versions = BTreeMap::new();
    for name in workbench.lake.list().await? {
        if let Some(info) = workbench.lake.describe(&name, None).await? {
            versions.insert(name, info.version);
        }
    }
    Ok(versions)
}
