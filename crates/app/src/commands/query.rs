//! `affluent query`: SQL over lake tables and files.

use super::{Outcome, Session};
use crate::ad_hoc::{self, Format};
use crate::output::ExitCode;
use clap::Args;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:\n\
\x20 affluent query \"select * from gold.daily order by day desc limit 10\"\n\
\x20 affluent query \"select count(*) from 'data/orders-*.csv'\"\n\
\x20 affluent query \"select * from gold.daily@v12\" --format csv --out daily.csv";

/// Arguments of `affluent query`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// One SELECT
    pub sql: String,
    /// How rows are written
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// File to write to instead of the terminal
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

pub(crate) async fn execute(session: &Session, arguments: Arguments) -> Outcome {
    let one = |problem| vec![problem];
    let format = match (arguments.format, session.output.json) {
        (Format::Table, true) => Format::Json,
        (format, _) => format,
    };
    let workbench = session.open_or_bare()?;
    let rows = ad_hoc::run(&workbench, &arguments.sql).await.map_err(one)?;
    ad_hoc::write(rows, format, arguments.out.as_deref(), session.output).await.map_err(one)?;
    Ok(ExitCode::Done)
}
