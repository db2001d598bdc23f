//! `affluent completions`: what a shell needs to complete commands.

use super::{Outcome, Session};
use crate::cli::Cli;
use crate::output::ExitCode;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

const EXAMPLES: &str = "\
Example:\n\
\x20 affluent completions bash > /etc/bash_completion.d/affluent";

/// Arguments of `affluent completions`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

pub(crate) async fn execute(session: &Session, arguments: Arguments) -> Outcome {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "affluent", &mut text);
    session.output.raw(&String::from_utf8_lossy(&text));
    Ok(ExitCode::Done)
}
