//! One file per command.

pub mod check;
pub mod run;

use crate::cli::{Cli, Command};
use crate::output::{ExitCode, Output};
use crate::workbench::{Settings, Workbench};
use model::Problem;

/// What a command ends with: all problems it met.
pub(crate) type Outcome = Result<ExitCode, Vec<Problem>>;

/// What every command gets.
pub(crate) struct Session {
    pub(crate) settings: Settings,
    pub(crate) output: Output,
}

impl Session {
    /// The project that the command line names.
    pub(crate) fn open(&self) -> Result<Workbench, Vec<Problem>> {
        Workbench::open(&self.settings)
    }
}

/// Runs the command; problems are printed.
pub async fn execute(cli: Cli) -> ExitCode {
    let global = cli.global;
    stdx::durable::die_at(global.die_at);
    let session = Session {
        settings: Settings {
            project: global.project,
            environment: global.env,
            memory_mib: global.memory,
            threads: global.threads,
        },
        output: Output::new(global.json),
    };
    let outcome = match cli.command {
        Command::Run(arguments) => run::execute(&session, arguments).await,
        Command::Check(arguments) => check::execute(&session, arguments).await,
    };
    match outcome {
        Ok(code) => code,
        Err(problems) => {
            problems.iter().for_each(|problem| session.output.problem(problem));
            problems.iter().map(ExitCode::from).max().unwrap_or(ExitCode::Done)
        }
    }
}
