//! `affluent restore`: a backup into an empty database, on SQLite or PostgreSQL.

use super::backup::versions;
use super::{Outcome, Session};
use crate::backup::Backup;
use crate::metadata;
use crate::output::ExitCode;
use crate::workbench::Workbench;
use clap::Args;
use contracts::table::{SchemaPolicy, TableStore, TableWrite, WriteMode};
use model::run::{CommitKey, RunId};
use model::{Name, Problem, Result, TableName, codes};
use serde_json::{Map, json};
use std::path::PathBuf;
use stdx::clock::{Clock, SystemClock};
use store::Existing;

const EXAMPLES: &str = "\
Examples:\n\
\x20 affluent restore shop.zip --check            is it whole? what would differ?\n\
\x20 affluent restore shop.zip                    into an empty database; stop the server first\n\
\x20 AFFLUENT_DATABASE=postgres://… affluent restore shop.zip      from SQLite to PostgreSQL\n\
\x20 affluent restore shop.zip --replace --set-tables-back";

/// Arguments of `affluent restore`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The file that `affluent backup` has written
    pub file: PathBuf,
    /// Only check the file, and list tables that have other versions
    #[arg(long)]
    pub check: bool,
    /// Delete the metadata that are there
    #[arg(long, conflicts_with = "check")]
    pub replace: bool,
    /// Set tables that have gone on back to their versions in the backup
    #[arg(long, conflicts_with = "check")]
    pub set_tables_back: bool,
}

pub(crate) async fn execute(session: &Session, arguments: Arguments) -> Outcome {
    let workbench = session.open_without_secrets()?;
    restore(session, &workbench, arguments).await.map_err(|problem| vec![problem])?;
    Ok(ExitCode::Done)
}

/// A table that is not as it was.
struct Moved {
    table: TableName,
    then: u64,
    now: Option<u64>,
}

async fn restore(session: &Session, workbench: &Workbench, arguments: Arguments) -> Result<()> {
    let backup = Backup::open(&arguments.file)?;
    let manifest = backup.manifest.clone();
    let rows: u64 = manifest.parts.iter().map(|part| part.rows).sum();
    let output = session.output;
    output.line(format!("{} is whole: {rows} rows", arguments.file.display()));
    let workspace = workbench.folder.workspace();
    if workspace != manifest.workspace {
        let fact = format!("the backup is of the workspace `{}`", manifest.workspace);
        return Err(Problem::new(&codes::CONFLICT, fact)
            .hint(format!("go into its project; this one feeds `{workspace}`")));
    }
    if !arguments.check {
        let existing = if arguments.replace { Existing::Replace } else { Existing::Keep };
        let store = backup.restore(&metadata::address(workbench), existing).await?;
        let key = metadata::master_key()?;
        server::note(
            &store,
            &key,
            "backup.restore",
            None,
            json!({"made_at_us": manifest.created_at_us, "rows": rows}),
            SystemClock.now_us(),
        )
        .await?;
        output.line("the metadata are restored");
    }
    let moved = moved(workbench, &manifest.tables).await?;
    let listed = moved
        .iter()
        .map(|Moved { table, then, now }| json!({"table": table, "backup": then, "now": now}));
    output.value(&json!({"rows": rows, "tables": listed.collect::<Vec<_>>()}));
    for Moved { table, then, now } in &moved {
        output.line(match now {
            Some(now) => format!("{table} is at version {now}, in the backup at {then}"),
            None => format!("{table} is gone; in the backup it is at version {then}"),
        });
    }
    let ahead = moved.iter().filter(|moved| moved.now.is_some_and(|now| now > moved.then));
    match (arguments.set_tables_back, ahead.clone().count()) {
        (_, 0) => {}
        (false, _) => output.line("`--set-tables-back` sets those back that have gone on"),
        (true, _) => {
            for moved in ahead {
                let version = set_back(workbench, moved).await?;
                output.line(format!(
                    "{} is as at version {}, now {version}",
                    moved.table, moved.then
                ));
            }
        }
    }
    Ok(())
}

async fn moved(
    workbench: &Workbench,
    then: &std::collections::BTreeMap<TableName, u64>,
) -> Result<Vec<Moved>> {
    let now = versions(workbench).await?;
    let moved = then.iter().map(|(table, then)| Moved {
        table: table.clone(),
        then: *then,
        now: now.get(table).copied(),
    });
    Ok(moved.filter(|moved| moved.now != Some(moved.then)).collect())
}

/// Writes the rows of the old version once more: nothing of the history is lost.
async fn set_back(workbench: &Workbench, moved: &Moved) -> Result<u64> {
    let lake = &workbench.lake;
    let (table, version) = (&moved.table, moved.then);
    let old = lake.describe(table, Some(version)).await?.ok_or_else(|| {
        Problem::new(
            &codes::TABLE_NOT_FOUND,
            format!("`{table}` has no version {version} any more"),
        )
        .hint("its files were deleted by `affluent maintain --vacuum`")
    })?;
    let rows = lake.read(table, version, workbench.context.threads).await?;
    let write = TableWrite {
        table: table.clone(),
        mode: WriteMode::Overwrite,
        partition_by: old.partition_by,
        cluster_by: Vec::new(),
        schema_policy: SchemaPolicy::Evolve,
        constraints: old.constraints,
        rebuild: true,
        replaces: Vec::new(),
        key: CommitKey {
            workspace: workbench.folder.workspace(),
            pipeline: Name::new("restore")?,
            node: Name::new("set_back")?,
            run: RunId::generate(SystemClock.now_us()),
        },
        metadata: Map::from_iter([("restored_version".to_owned(), json!(version))]),
    };
    let committed = lake.prepare(write, rows).await?.commit().await?;
    Ok(committed.version.unwrap_or_default())
}
