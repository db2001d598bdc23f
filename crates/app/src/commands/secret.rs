//! `affluent secret`: secrets of connections, and the master key that seals them.

use super::{Outcome, Session};
use crate::metadata;
use crate::output::ExitCode;
use clap::{Args, Subcommand};
use model::{Name, Problem, Result, Secret, codes};
use server::MasterKey;
use std::io::{self, IsTerminal, Read};
use stdx::clock::{Clock, SystemClock};

const EXAMPLES: &str = "\
Examples:\n\
\x20 affluent secret set erp password < password.txt\n\
\x20 affluent secret rotate                  a new master key; the server may go on\n\
\x20 affluent secret rotate --forget         former keys are removed from the file\n\
A value is asked for, or read from standard input; never given as an argument.";

/// A value is no longer than this, in bytes.
const VALUE_BYTES_MAX: u64 = 64 << 10;

/// Arguments of `affluent secret`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Set a secret of a connection of the server
    Set {
        /// The connection
        connection: String,
        /// The name that its document has in `${secret:NAME}`
        name: String,
    },
    /// Make a new master key and seal everything with it
    Rotate {
        /// Remove former keys, once all servers have been started anew
        #[arg(long)]
        forget: bool,
    },
}

pub(crate) async fn execute(session: &Session, arguments: Arguments) -> Outcome {
    let workbench = session.open_without_secrets()?;
    let done = async {
        let store = metadata::open(&workbench).await?;
        let now_us = SystemClock.now_us();
        match arguments.command {
            Command::Set { connection, name } => {
                let (connection, name) = (Name::new(connection)?, Name::new(name)?);
                let workspace = workbench.folder.workspace();
                let secret = server::SetSecret { workspace, connection, name };
                let bound_to =
                    secret.set(&store, &metadata::master_key()?, &value()?, now_us).await?;
                session.output.line(format!("set for {bound_to}"));
            }
            Command::Rotate { forget: false } => {
                let old = metadata::master_key()?;
                let file = metadata::key_file()?;
                let new = MasterKey::generate()?.after(&old);
                new.replace(&file)?;
                let rotated = server::rotate(&store, &new, now_us).await?;
                session.output.value(&rotated);
                session.output.line(format!(
                    "{} has a new key; sealed anew: {} secrets, {} channels, {} checkpoints",
                    file.display(),
                    rotated.secrets,
                    rotated.channels,
                    rotated.checkpoints
                ));
            }
            Command::Rotate { forget: true } => {
                let key = metadata::master_key()?;
                server::rotate(&store, &key, now_us).await?;
                match metadata::key_file() {
                    Ok(file) => {
                        key.without_former().replace(&file)?;
                        session.output.line("former keys are forgotten");
                    }
                    Err(_) => session.output.line("nothing needs former keys any more"),
                }
            }
        }
        Ok(ExitCode::Done)
    };
    done.await.map_err(|problem: Problem| vec![problem])
}

/// Asks on a terminal; otherwise reads standard input, without the end of its last line.
fn value() -> Result<Secret> {
    let failed = |error: io::Error| {
        Problem::new(&codes::COMMAND_INVALID, "the value cannot be read").detail(error)
    };
    if io::stdin().is_terminal() {
        return rpassword::prompt_password("value: ").map(Secret::new).map_err(failed);
    }
    let mut text = String::new();
    io::stdin().take(VALUE_BYTES_MAX + 2).read_to_string(&mut text).map_err(failed)?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
}
