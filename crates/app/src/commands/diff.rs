//! `affluent diff`: what differs between a folder and a server.

use super::apply::{Wanted, line, project, send};
use super::{Outcome, Session};
use crate::client::Server;
use crate::output::ExitCode;
use clap::Args;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:\n\
\x20 affluent diff --server https://data.example.org\n\
\x20 affluent diff shop --server https://data.example.org --prune\n\
Ends with 1 when something differs, so that CI can ask.";

/// Arguments of `affluent diff`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Folder of the project; the one that `-C` names unless given
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
    #[command(flatten)]
    pub server: Server,
    /// Also show documents that the folder has not
    #[arg(long)]
    pub prune: bool,
}

pub(crate) async fn execute(session: &Session, arguments: Arguments) -> Outcome {
    let Arguments { dir, server, prune } = arguments;
    let dir = project(session, dir.as_deref()).map_err(|problem| vec![problem])?;
    let wanted = Wanted { prune, dry_run: true, message: String::new() };
    let applied = send(&dir, &server, wanted).await?;
    session.output.value(&applied);
    for change in &applied.changes {
        session.output.line(line(session.output, change));
        session.output.raw_for_people(&change.difference.unified);
    }
    match applied.changes.is_empty() {
        true => {
            session.output.line("nothing differs");
            Ok(ExitCode::Done)
        }
        false => Ok(ExitCode::User),
    }
}
