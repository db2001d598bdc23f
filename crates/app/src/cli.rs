//! The command line: every command with an example.

use crate::commands;
use clap::{Args, Parser, Subcommand};
use model::Name;
use std::path::PathBuf;
use stdx::durable::Fault;

/// A complete data platform in one program.
#[derive(Debug, Parser)]
#[command(name = "affluent", version, about, propagate_version = true, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = "\
Exit codes: 0 done or nothing to do, 1 documents, data or the command are at fault, \
2 the command line was not understood, 3 a system outside is at fault (try again), \
4 Affluent is at fault (please report it).

Start with:  affluent demo   or   affluent init my_project";

/// Options of every command.
#[derive(Debug, Args)]
pub struct Global {
    /// Folder of the project, or one below it
    #[arg(long, short = 'C', global = true, default_value = ".", value_name = "DIR")]
    pub project: PathBuf,
    /// Environment of `affluent.yaml`
    #[arg(long, global = true, value_name = "NAME", value_parser = name)]
    pub env: Option<Name>,
    /// JSON for programs instead of text for people
    #[arg(long, global = true)]
    pub json: bool,
    /// Memory for joins, sorts and queues, in MiB
    #[arg(long, global = true, value_name = "MIB")]
    pub memory: Option<u64>,
    /// Threads; one per core when not given
    #[arg(long, global = true, value_name = "N")]
    pub threads: Option<usize>,
    /// Fail before the N-th durable step: `kill@N`, `exit@N`, `panic@N`, `error@N`, `error@N+`,
    /// `hang@N`, `delay@N` (debug builds; for crash tests)
    #[arg(long, alias = "die-at", global = true, hide = true, value_name = "KIND@N")]
    pub fault: Option<Fault>,
}

fn name(text: &str) -> Result<Name, String> {
    Name::new(text).map_err(|problem| problem.to_string())
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a sample shop and run it from messy files to gold tables
    Demo(commands::demo::Arguments),
    /// Make a new project
    Init(commands::init::Arguments),
    /// Run pipelines: finish what is unfinished, then read what is new
    Run(commands::run::Arguments),
    /// Serve the project to people and programs
    Up(commands::up::Arguments),
    /// Give the documents of a folder to a server
    Apply(commands::apply::Arguments),
    /// Write the documents of a server into a folder
    Export(commands::export::Arguments),
    /// Show what differs between a folder and a server
    Diff(commands::diff::Arguments),
    /// Make accounts for a server, set passwords
    User(commands::user::Arguments),
    /// Set secrets of a server's connections, exchange its master key
    Secret(commands::secret::Arguments),
    /// Verify who has changed what on a server
    Audit(commands::audit::Arguments),
    /// Back up a server's metadata and the versions of its tables
    Backup(commands::backup::Arguments),
    /// Restore a backup, on SQLite or PostgreSQL
    Restore(commands::restore::Arguments),
    /// Check all documents without running anything
    Check(commands::check::Arguments),
    /// Show rows after a node, on the first rows of its sources
    Preview(commands::preview::Arguments),
    /// Ask lake tables and files in SQL
    Query(commands::query::Arguments),
    /// Ask in SQL, one query after another
    Sql(commands::sql::Arguments),
    /// Show what is in the columns of a table or file
    Profile(commands::profile::Arguments),
    /// Run pipelines on the rows of `tests/`, compare what comes out
    Test(commands::test::Arguments),
    /// List tables, or show one: schema, history, files, statistics
    Tables(commands::tables::Arguments),
    /// List runs
    Runs(commands::runs::Arguments),
    /// Show what a run did
    Logs(commands::logs::Arguments),
    /// Rebuild a lost run journal from the tables, or give up a run that cannot go on
    Recover(commands::recover::Arguments),
    /// Show the SQL, stages and plan of a pipeline or node
    Explain(commands::explain::Arguments),
    /// Show where a table or column comes from
    Lineage(commands::lineage::Arguments),
    /// Put small files together, delete what nobody needs
    Maintain(commands::maintain::Arguments),
    /// List modules, or show one with its settings and examples
    Modules(commands::modules::Arguments),
    /// Print JSON Schemas, for editors
    Schema(commands::schema::Arguments),
    /// Do user work for a server
    // Not `runner`: that would be proposed to whoever mistypes `run` or `runs`.
    #[command(name = "work", hide = true)]
    Runner,
    /// Look behind a connection for a server
    #[command(name = "look", hide = true)]
    Look,
    /// Answer questions for a server
    #[command(name = "desk", hide = true)]
    Desk,
    /// Write the reference pages
    #[command(hide = true)]
    Docs(commands::docs::Arguments),
    /// Print completions for a shell
    Completions(commands::completions::Arguments),
}
