//! `affluent apply`: gives the documents of a folder to a server.

use super::{Outcome, Session};
use crate::client::{self, Client, Server};
use crate::output::{Colour, ExitCode, Output};
use api::definitions::{Applied, AppliedChange, AppliedDefinition, ApplyDefinitions, Fate, Kind};
use clap::Args;
use model::{Name, Problem};
use server::documents::{FolderDocument, read_folder};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:\n\
\x20 affluent apply --server https://data.example.org --dry-run\n\
\x20 affluent apply --server https://data.example.org --prune --message \"release 12\"\n\
\x20 affluent apply shop --server https://data.example.org --key-file key.txt";

/// Arguments of `affluent apply`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Folder of the project; the one that `-C` names unless given
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
    #[command(flatten)]
    pub server: Server,
    /// Delete documents that the folder has not
    #[arg(long)]
    pub prune: bool,
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
    /// What changes, in a sentence
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub message: String,
}

pub(crate) async fn execute(session: &Session, arguments: Arguments) -> Outcome {
    let Arguments { dir, server, prune, dry_run, message } = arguments;
    let dir = project(session, dir.as_deref()).map_err(|problem| vec![problem])?;
    let applied = send(&dir, &server, Wanted { prune, dry_run, message }).await?;
    show(session.output, &applied, dry_run);
    Ok(ExitCode::Done)
}

/// The folder of the project that is meant.
pub(crate) fn project(session: &Session, dir: Option<&Path>) -> Result<PathBuf, Problem> {
    engine::project::find(dir.unwrap_or(&session.settings.project))
}

/// What is to be done with the documents of a folder.
pub(crate) struct Wanted {
    pub(crate) prune: bool,
    pub(crate) dry_run: bool,
    pub(crate) message: String,
}

/// Sends the documents of a folder; what is wrong with them is given.
pub(crate) async fn send(
    dir: &Path,
    server: &Server,
    wanted: Wanted,
) -> Result<Applied, Vec<Problem>> {
    let one = |problem: Problem| vec![problem];
    let documents = read_folder(dir)?;
    let client = Client::new(server, workspace(&documents)).map_err(one)?;
    let documents = documents.into_iter().map(|document| AppliedDefinition {
        kind: document.kind,
        name: document.name.to_string(),
        text: document.text,
    });
    let Wanted { prune, dry_run, message } = wanted;
    let apply = ApplyDefinitions { documents: documents.collect(), prune, dry_run, message };
    let mut applied = client.apply(&apply).await.map_err(one)?;
    match std::mem::take(&mut applied.problems) {
        problems if problems.is_empty() => Ok(applied),
        problems => Err(problems.into_iter().map(client::problem).collect()),
    }
}

/// The workspace that a project feeds.
pub(crate) fn workspace(documents: &[FolderDocument]) -> Option<Name> {
    let project = documents.iter().find(|document| document.kind == Kind::Project)?;
    let document = model::yaml::Document::parse("affluent.yaml", &project.text).ok()?;
    document.read("/workspace").or_else(|_| document.read("/name")).ok()
}

fn show(output: Output, applied: &Applied, dry_run: bool) {
    output.value(applied);
    for change in &applied.changes {
        output.line(line(output, change));
    }
    match (applied.changes.is_empty(), dry_run) {
        (true, _) => output.line("nothing to do: the server has these documents"),
        (false, true) => output.line("nothing was done: this is what would be"),
        (false, false) => output.line(format!("{} documents changed", applied.changes.len())),
    }
}

/// A change on one line.
pub(crate) fn line(output: Output, change: &AppliedChange) -> String {
    let (word, colour) = match change.fate {
        Fate::Added => ("added", Colour::Green),
        Fate::Changed => ("changed", Colour::Yellow),
        Fate::Deleted => ("deleted", Colour::Red),
    };
    let (kind, name) = (change.kind.as_str(), &change.name);
    let difference = &change.difference;
    let lines = format!("+{} -{}", difference.lines_added, difference.lines_removed);
    format!("{}  {kind} {name}  {lines}", output.paint(colour, &format!("{word:<8}")))
}
