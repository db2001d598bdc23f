//! `affluent init`: a new project.

use super::{Outcome, Session};
use crate::demo::project;
use crate::output::ExitCode;
use clap::{Args, ValueEnum};
use model::{Name, Problem, codes};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:\n\
\x20 affluent init my_project\n\
\x20 affluent init my_shop --example boutique";

/// Arguments of `affluent init`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Folder of the project; made when it is not there
    pub dir: PathBuf,
    /// Begin with a sample project
    #[arg(long, value_enum)]
    pub example: Option<Example>,
}

/// Sample projects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Example {
    /// A small shop: CSV, JSON, SQLite and REST to gold tables
    Boutique,
}

const PIPELINE: &str = "\
# One CSV file from data/ to a table with types. Change it to your own, then: affluent run
affluent: 1
kind: pipeline
name: people
description: People as received, then typed
nodes:
  - {id: file, use: csv, with: {path: data/people*.csv}}
  - {id: bronze, use: write_table, from: file, with: {table: bronze.people, mode: append}}
  - {id: typed, use: cast, from: file, with: {columns: {id: integer, born: date}}}
  - {id: valid, use: validate, from: typed, with: {checks: [{not_null: [id, name]}]}}
  - {id: silver, use: write_table, from: valid, with: {table: silver.people, mode: merge, key: [id]}}
";

const DATA: &str = "id,name,born\n1,Ada,1815-12-10\n2,Grace,1906-12-09\n3,,1912-06-23\n";

pub(crate) async fn execute(session: &Session, arguments: Arguments) -> Outcome {
    let dir = &arguments.dir;
    let one = |problem: Problem| vec![problem];
    if dir.join(engine::project::PROJECT_FILE).exists() {
        return Err(one(Problem::new(
            &codes::NAME_TAKEN,
            format!("`{}` is a project already", dir.display()),
        )
        .hint("choose another folder")));
    }
    if arguments.example == Some(Example::Boutique) {
        project::write(dir).map_err(one)?;
        session.output.line(format!(
            "the boutique is in `{}`; its data come with `affluent demo {}`",
            dir.display(),
            dir.display()
        ));
        return Ok(ExitCode::Done);
    }
    let stem = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = model::lake_column_names(&[stem]).pop().unwrap_or_default();
    let name = Name::new(name).map_err(one)?;
    let project = format!("affluent: 1\nname: {name}\ntime_zone: Europe/Paris\n");
    let files = [
        ("affluent.yaml", project.as_str()),
        ("pipelines/people.yaml", PIPELINE),
        ("data/people.csv", DATA),
        (".gitignore", "/.affluent/\n/lake/\n"),
    ];
    for (path, text) in files {
        write(&dir.join(path), text).map_err(one)?;
    }
    session.output.line(format!(
        "a project is in `{}`; now:\n  cd {}\n  affluent run",
        dir.display(),
        dir.display()
    ));
    Ok(ExitCode::Done)
}

fn write(path: &Path, text: &str) -> model::Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).and_then(|()| fs::write(path, text)).map_err(|error| {
        let code = match error.kind() {
            io::ErrorKind::PermissionDenied => &codes::PERMISSION_DENIED,
            io::ErrorKind::StorageFull => &codes::STORAGE_FULL,
            _ => &codes::STORAGE_FAILED,
        };
        Problem::new(code, format!("`{}` cannot be written", path.display())).detail(error)
    })
}
