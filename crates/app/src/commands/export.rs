//! `affluent export`: writes the documents of a server into a folder.

use super::{Outcome, Session};
use crate::client::{Client, Server};
use crate::output::ExitCode;
use api::definitions::{Definition, Kind};
use clap::Args;
use model::{Problem, codes};
use server::documents::{self, FolderDocument, read_folder};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use stdx::durable::{self, Publish};

const EXAMPLES: &str = "\
Examples:\n\
\x20 affluent export shop --server https://data.example.org --workspace shop\n\
\x20 affluent export . --server https://data.example.org --force --prune";

/// Arguments of `affluent export`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Folder to write to; made when it is not there
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    #[command(flatten)]
    pub server: Server,
    /// Write over documents that are not the same
    #[arg(long)]
    pub force: bool,
    /// Delete documents that the server has not
    #[arg(long)]
    pub prune: bool,
}

/// A document and the file it goes to.
struct Placed {
    definition: Definition,
    path: PathBuf,
    is_there: Option<bool>,
}

pub(crate) async fn execute(session: &Session, arguments: Arguments) -> Outcome {
    let one = |problem: Problem| vec![problem];
    let Arguments { dir, server, force, prune } = arguments;
    let there = match dir.join("affluent.yaml").exists() {
        true => read_folder(&dir)?,
        false => Vec::new(),
    };
    let client = Client::new(&server, super::apply::workspace(&there)).map_err(one)?;
    let placed = placed(client.definitions().await.map_err(one)?.items, &there);
    check(&placed, force)?;
    let mut written = 0;
    for document in placed.iter().filter(|document| document.is_there != Some(true)) {
        write(&dir.join(&document.path), &document.definition.text).map_err(one)?;
        session.output.line(format!("wrote    {}", document.path.display()));
        written += 1;
    }
    let known: BTreeSet<&Path> = placed.iter().map(|document| document.path.as_path()).collect();
    let gone = there.iter().filter(|document| prune && !known.contains(document.path.as_path()));
    let mut deleted = 0;
    for document in gone {
        fs::remove_file(dir.join(&document.path))
            .map_err(|error| one(unwritable(&document.path).detail(error)))?;
        session.output.line(format!("deleted  {}", document.path.display()));
        deleted += 1;
    }
    session.output.value(&serde_json::json!({
        "documents": placed.len(), "written": written, "deleted": deleted,
    }));
    session.output.line(format!("{} documents, {written} of them written", placed.len()));
    Ok(ExitCode::Done)
}

/// Documents where the folder has them already, or else in their usual places.
fn placed(definitions: Vec<Definition>, there: &[FolderDocument]) -> Vec<Placed> {
    let place = |definition: Definition| {
        let (kind, name): (Kind, &str) = (definition.head.kind, &definition.head.name);
        let same =
            there.iter().find(|document| document.kind == kind && document.name.as_str() == name);
        let path = match same {
            Some(document) => document.path.clone(),
            None => PathBuf::from(documents::path(kind, name, &definition.text)),
        };
        let is_there = same.map(|document| document.text == definition.text);
        Placed { definition, path, is_there }
    };
    definitions.into_iter().map(place).collect()
}

/// Without `force` nothing is lost that only the folder has.
fn check(placed: &[Placed], force: bool) -> Result<(), Vec<Problem>> {
    let other = placed.iter().filter(|document| !force && document.is_there == Some(false));
    let problems: Vec<Problem> = other
        .map(|document| {
            let fact = format!("`{}` is not what the server has", document.path.display());
            Problem::new(&codes::CONFLICT, fact)
                .in_file(document.path.display())
                .hint("look at it with `affluent diff`, then give `--force` to write over it")
        })
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

fn unwritable(path: &Path) -> Problem {
    Problem::new(&codes::STORAGE_FAILED, format!("`{}` cannot be written", path.display()))
        .hint("the folder must be writable")
}

fn write(path: &Path, text: &str) -> Result<(), Problem> {
    let parent = path.parent().unwrap_or(Path::new("."));
    durable::create_dir_all(parent)
        .and_then(|()| durable::write(path, text.as_bytes(), Publish::Replace))
        .map_err(|error| unwritable(path).detail(error))
}
