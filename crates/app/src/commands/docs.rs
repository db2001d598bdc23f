//! `affluent docs generate`: the reference, written from what the program knows about itself.

mod commands;
mod documents;
mod interface;
mod metrics;
mod modules;
mod settings;

use super::{Outcome, Session};
use crate::output::ExitCode;
use clap::Args;
use model::{Fault, Problem, codes};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Example:\n\
\x20 affluent docs generate docs/src/reference";

/// Arguments of `affluent docs`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// `generate`
    #[arg(value_parser = ["generate"])]
    pub what: String,
    /// Folder to write to
    pub dir: PathBuf,
}

pub(crate) async fn execute(session: &Session, arguments: Arguments) -> Outcome {
    let pages = pages();
    for (path, text) in &pages {
        write(&arguments.dir.join(path), text).map_err(|problem| vec![problem])?;
    }
    session.output.line(format!("{} pages in `{}`", pages.len(), arguments.dir.display()));
    Ok(ExitCode::Done)
}

/// Every generated page: its path below the reference, and its text.
pub fn pages() -> BTreeMap<String, String> {
    let mut pages = modules::pages();
    pages.insert("documents.md".to_owned(), documents::page());
    pages.insert("commands.md".to_owned(), commands::page());
    pages.insert("interface.md".to_owned(), interface::page());
    pages.insert("metrics.md".to_owned(), metrics::page());
    pages.insert("problems.md".to_owned(), problems());
    pages.insert("functions.md".to_owned(), functions_page());
    pages
}

fn write(path: &Path, text: &str) -> model::Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).and_then(|()| fs::write(path, text)).map_err(|error| {
        Problem::new(&codes::STORAGE_FAILED, format!("`{}` cannot be written", path.display()))
            .detail(error)
    })
}

fn problems() -> String {
    let mut text = String::from(
        "# Problems\n\nEvery problem has a code; `--json` gives it. The last column says whether \
         the same thing can go well when it is tried again.\n\n\
         | Code | What it means | Who can mend it | Again? |\n| --- | --- | --- | --- |\n",
    );
    for code in codes::ALL {
        let who = match code.fault {
            Fault::User => "you: documents, data, command",
            Fault::External => "a system outside",
            Fault::Us => "Affluent: please report it",
        };
        let again = if code.retry { "yes" } else { "" };
        let summary = settings::cell(code.summary);
        text.push_str(&format!("| `{}` | {summary} | {who} | {again} |\n", code.id));
    }
    text
}

fn functions_page() -> String {
    let mut text = String::from(
        "# Functions\n\nFunctions that SQL has here besides the usual ones. Those that begin with \
         `try_` give null where a value cannot be read.\n",
    );
    let mut functions = functions::for_people();
    functions.sort_by_key(|function| function.name);
    for function in functions {
        text.push_str(&format!(
            "\n## {}\n\n`{}`\n\n{}\n\n| Call | Result |\n| --- | --- |\n",
            function.name, function.syntax, function.summary
        ));
        for (call, result) in function.examples {
            let (call, result) = (settings::code(call), settings::code(result));
            text.push_str(&format!("| {call} | {result} |\n"));
        }
    }
    text
}
