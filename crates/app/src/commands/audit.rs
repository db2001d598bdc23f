//! `affluent audit`: whether the audit trail is what was written.

use super::{Outcome, Session};
use crate::metadata;
use crate::output::ExitCode;
use clap::{Args, Subcommand};
use model::{Problem, codes};
use server::AuditState;
use stdx::clock::{Clock, SystemClock};
use stdx::text::group_digits;

const EXAMPLES: &str = "\
Examples:\n\
\x20 affluent audit verify\n\
\x20 affluent audit verify --head shop=1204:9f86d081…   nothing is missing since then\n\
What `verify` prints as head is worth noting in another place.";

/// Arguments of `affluent audit`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Verify links, hashes and signatures of all entries
    Verify {
        /// A head that was noted earlier: `WORKSPACE=NUMBER:HASH`, `=NUMBER:HASH` outside of any
        #[arg(long = "head", value_name = "HEAD")]
        heads: Vec<String>,
    },
}

pub(crate) async fn execute(session: &Session, arguments: Arguments) -> Outcome {
    let one = |problem: Problem| vec![problem];
    let workbench = session.open_without_secrets()?;
    let store = metadata::open(&workbench).await.map_err(one)?;
    let key = metadata::master_key().map_err(one)?;
    let Command::Verify { heads } = arguments.command;
    let mut states = server::verify_audit(&store, &key, SystemClock.now_us()).await.map_err(one)?;
    for head in &heads {
        server::check_head(&store, &mut states, head).await.map_err(one)?;
    }
    for state in &states {
        session.output.value(state);
        session.output.line(sentence(state));
    }
    let broken = states.iter().find_map(|state| state.broken.clone());
    match broken {
        None => Ok(ExitCode::Done),
        Some(broken) => {
            Err(one(Problem::new(&codes::AUDIT_BROKEN, "the audit trail is not what was written")
                .detail(broken)
                .hint("compare it with a backup, and find out who can write into the database")))
        }
    }
}

fn sentence(state: &AuditState) -> String {
    let name = state.workspace.as_deref().unwrap_or("(installation)");
    let (entries, segments) = (group_digits(state.entries), group_digits(state.segments));
    match (&state.broken, &state.head) {
        (Some(broken), _) => format!("{name}: broken: {broken}"),
        (None, Some(head)) => {
            format!("{name}: whole, {entries} entries, {segments} closed segments, head {head}")
        }
        (None, None) => format!("{name}: empty"),
    }
}
