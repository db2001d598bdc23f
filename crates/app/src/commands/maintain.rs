//! `affluent maintain`: small files together, old files away.

use super::{Outcome, Session};
use crate::output::ExitCode;
use clap::Args;
use contracts::table::{Maintenance, TableStore};
use model::{Problem, TableName, codes};
use serde_json::json;

const EXAMPLES: &str = "\
Examples:\n\
\x20 affluent maintain silver.orders --optimize\n\
\x20 affluent maintain silver.orders --vacuum --dry-run\n\
\x20 affluent maintain --optimize --vacuum          every table";

/// Arguments of `affluent maintain`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Table, as `zone.table`; all when none is named
    pub table: Option<String>,
    /// Put small files together
    #[arg(long)]
    pub optimize: bool,
    /// Delete files that no retained version needs, and rubbish of dead runs
    #[arg(long)]
    pub vacuum: bool,
    /// How long files of old versions are kept
    #[arg(long, default_value_t = 168, value_name = "HOURS")]
    pub retention_hours: u64,
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
}

pub(crate) async fn execute(session: &Session, arguments: Arguments) -> Outcome {
    let one = |problem: Problem| vec![problem];
    if !arguments.optimize && !arguments.vacuum {
        return Err(one(Problem::new(&codes::COMMAND_INVALID, "there is nothing to do")
            .hint("say `--optimize`, `--vacuum` or both")));
    }
    let workbench = session.open()?;
    let names = match &arguments.table {
        Some(name) => vec![TableName::parse(name).map_err(one)?],
        None => workbench.lake.list().await.map_err(one)?,
    };
    let what = Maintenance {
        optimize: arguments.optimize,
        vacuum: arguments.vacuum,
        retention_hours: arguments.retention_hours,
        dry_run: arguments.dry_run,
    };
    for name in names {
        if workbench.lake.describe(&name, None).await.map_err(one)?.is_none() {
            return Err(one(super::tables::unknown(&workbench, &name).await));
        }
        let report = workbench.lake.maintain(&name, what).await.map_err(one)?;
        let (would, deleted) = match arguments.dry_run {
            true => ("would put", "would delete"),
            false => ("put", "deleted"),
        };
        session.output.value(&json!({"table": name, "report": report}));
        session.output.line(format!(
            "{name}: {would} {} files together into {}, {deleted} {}",
            report.files_compacted,
            report.files_written,
            report.files_deleted.len()
        ));
        for file in report.files_deleted.iter().filter(|_| arguments.dry_run) {
            session.output.line(format!("  {file}"));
        }
    }
    Ok(ExitCode::Done)
}
