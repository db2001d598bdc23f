//! One file per command.

pub mod apply;
pub mod audit;
pub mod backup;
pub mod check;
pub mod completions;
pub mod demo;
mod desk;
pub mod diff;
pub mod docs;
pub mod explain;
pub mod export;
pub mod init;
pub mod lineage;
pub mod logs;
mod look;
pub mod maintain;
pub mod modules;
pub mod preview;
pub mod profile;
pub mod query;
pub mod recover;
mod relation;
pub mod restore;
pub mod run;
mod runner;
pub mod runs;
pub mod schema;
pub mod secret;
pub mod sql;
pub mod tables;
pub mod test;
pub mod up;
pub mod user;

use crate::cli::{Cli, Command};
use crate::output::{ExitCode, Output};
use crate::panics::{caught, with_place};
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

    /// The same for commands that use none of its connections, so that they need no secrets.
    pub(crate) fn open_without_secrets(&self) -> Result<Workbench, Vec<Problem>> {
        Workbench::open(&Settings { without_secrets: true, ..self.settings.clone() })
    }

    /// The project, or an empty one outside of any.
    pub(crate) fn open_or_bare(&self) -> Result<Workbench, Vec<Problem>> {
        Workbench::open_or_bare(&self.settings)
    }
}

/// Runs the command; problems are printed.
pub async fn execute(cli: Cli) -> ExitCode {
    let global = cli.global;
    stdx::durable::inject(global.fault);
    let session = Session {
        settings: Settings {
            project: global.project,
            environment: global.env,
            memory_mib: global.memory,
            threads: global.threads,
            ..Settings::default()
        },
        output: Output::new(global.json),
    };
    let outcome = caught(async { Ok(dispatch(&session, cli.command).await) }).await;
    match outcome.unwrap_or_else(|problem| Err(vec![problem])) {
        Ok(code) => code,
        Err(problems) => {
            let problems: Vec<Problem> = problems.into_iter().map(with_place).collect();
            problems.iter().for_each(|problem| session.output.problem(problem));
            problems.iter().map(ExitCode::from).max().unwrap_or(ExitCode::Done)
        }
    }
}

async fn dispatch(session: &Session, command: Command) -> Outcome {
    match command {
        Command::Run(arguments) => run::execute(session, arguments).await,
        Command::Up(arguments) => up::execute(session, arguments).await,
        Command::User(arguments) => user::execute(session, arguments).await,
        Command::Runner => runner::execute(session).await,
        Command::Secret(arguments) => secret::execute(session, arguments).await,
        Command::Audit(arguments) => audit::execute(session, arguments).await,
        Command::Backup(arguments) => backup::execute(session, arguments).await,
        Command::Restore(arguments) => restore::execute(session, arguments).await,
        Command::Look => look::execute(session).await,
        Command::Apply(arguments) => apply::execute(session, arguments).await,
        Command::Export(arguments) => export::execute(session, arguments).await,
        Command::Diff(arguments) => diff::execute(session, arguments).await,
        Command::Desk => desk::execute(session).await,
        Command::Check(arguments) => check::execute(session, arguments).await,
        Command::Completions(arguments) => completions::execute(session, arguments).await,
        Command::Docs(arguments) => docs::execute(session, arguments).await,
        Command::Demo(arguments) => demo::execute(session, arguments).await,
        Command::Init(arguments) => init::execute(session, arguments).await,
        Command::Preview(arguments) => preview::execute(session, arguments).await,
        Command::Schema(arguments) => schema::execute(session, arguments).await,
        Command::Recover(arguments) => recover::execute(session, arguments).await,
        Command::Query(arguments) => query::execute(session, arguments).await,
        Command::Profile(arguments) => profile::execute(session, arguments).await,
        Command::Sql(arguments) => sql::execute(session, arguments).await,
        Command::Test(arguments) => test::execute(session, arguments).await,
        Command::Tables(arguments) => tables::execute(session, arguments).await,
        Command::Runs(arguments) => runs::execute(session, arguments).await,
        Command::Logs(arguments) => logs::execute(session, arguments).await,
        Command::Explain(arguments) => explain::execute(session, arguments).await,
        Command::Lineage(arguments) => lineage::execute(session, arguments).await,
        Command::Maintain(arguments) => maintain::execute(session, arguments).await,
        Command::Modules(arguments) => modules::execute(session, arguments).await,
    }
}
