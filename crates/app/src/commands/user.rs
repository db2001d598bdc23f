//! `affluent user`: accounts, made by whoever runs the server.

use super::{Outcome, Session};
use crate::metadata;
use crate::output::ExitCode;
use clap::{Args, Subcommand};
use model::{Problem, Result, Secret, codes};
use server::people::{self, NewAccount};
use std::io::{self, IsTerminal, Read};
use stdx::clock::{Clock, SystemClock};

const EXAMPLES: &str = "\
Examples:\n\
\x20 affluent user create claire@example.org --name 'Claire Durand' --owner\n\
\x20 affluent user password claire@example.org < password.txt\n\
\x20 affluent user list\n\
The password is asked for, or read from standard input; never given as an argument.";

/// Arguments of `affluent user`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an account
    Create {
        /// E-mail address to sign in with
        email: String,
        /// Name to show
        #[arg(long)]
        name: String,
        /// Manages the installation, and owns its first workspace
        #[arg(long)]
        owner: bool,
    },
    /// Set the password of an account; all its sessions end
    Password {
        /// E-mail address of the account
        email: String,
    },
    /// List the accounts
    List,
}

pub(crate) async fn execute(session: &Session, arguments: Arguments) -> Outcome {
    let workbench = session.open_without_secrets()?;
    let one = |problem: Problem| vec![problem];
    let store = metadata::open(&workbench).await.map_err(one)?;
    let now_us = SystemClock.now_us();
    match arguments.command {
        Command::Create { email, name, owner } => {
            let password = password().map_err(one)?;
            let account = NewAccount { email, name, password };
            let workspace = owner.then(|| workbench.folder.workspace());
            let user = people::create(&store, &account, workspace, now_us).await.map_err(one)?;
            session.output.value(&serde_json::json!({"id": user.id, "email": user.email}));
            session.output.line(format!("{} can sign in", user.email));
        }
        Command::Password { email } => {
            let password = password().map_err(one)?;
            people::set_password(&store, &email, &password, now_us).await.map_err(one)?;
            session.output.line(format!("{email} has a new password; all sessions have ended"));
        }
        Command::List => {
            for user in people::list(&store).await.map_err(one)? {
                session.output.value(&user);
                let state = if user.active { "" } else { "  (switched off)" };
                session.output.line(format!("{}  {}{state}", user.email, user.name));
            }
        }
    }
    Ok(ExitCode::Done)
}

/// Asks on a terminal, twice; otherwise reads the first line of standard input.
fn password() -> Result<Secret> {
    let failed = |error: io::Error| {
        Problem::new(&codes::COMMAND_INVALID, "the password cannot be read").detail(error)
    };
    if io::stdin().is_terminal() {
        let first = rpassword::prompt_password("password: ").map_err(failed)?;
        let again = rpassword::prompt_password("once more: ").map_err(failed)?;
        return match first == again {
            true => Ok(Secret::new(first)),
            false => Err(Problem::new(&codes::COMMAND_INVALID, "the two passwords differ")),
        };
    }
    let mut text = String::new();
    io::stdin().take(4096).read_to_string(&mut text).map_err(failed)?;
    Ok(Secret::new(text.lines().next().unwrap_or_default()))
}
