//! The documents of a project's folder.

use super::{PROJECT_NAME, TEXT_BYTES_MAX, model_setting};
use api::definitions::Kind;
use model::yaml::Document;
use model::{Name, Problem, Result, codes};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Folders below one another.
const DEPTH_MAX: usize = 8;
/// Documents of a folder.
const DOCUMENTS_MAX: usize = 10_000;

/// A document in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderDocument {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: Name,
    /// Where it is, below the folder.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// Where documents of a kind are, and how their names end.
const PLACES: &[(Kind, &str, &[&str])] = &[
    (Kind::Connection, "connections", &["yaml", "yml"]),
    (Kind::Pipeline, "pipelines", &["yaml", "yml"]),
    (Kind::Model, "models", &["sql"]),
    (Kind::Test, "tests", &["yaml", "yml"]),
];

/// Reads all documents of a project's folder, or gives every problem there is.
pub fn read(dir: &Path) -> Result<Vec<FolderDocument>, Vec<Problem>> {
    let mut paths = vec![(Kind::Project, PathBuf::from("affluent.yaml"))];
    let mut problems = Vec::new();
    for (kind, folder, endings) in PLACES {
        let mut found = Vec::new();
        if let Err(problem) = walk(dir, Path::new(folder), endings, 0, &mut found) {
            problems.push(problem);
        }
        found.sort();
        paths.extend(found.into_iter().map(|path| (*kind, path)));
    }
    if paths.len() > DOCUMENTS_MAX {
        problems.push(too_many(dir));
        return Err(problems);
    }
    let mut documents: Vec<FolderDocument> = Vec::new();
    for (kind, path) in paths {
        match read_one(dir, kind, &path) {
            Ok(document) => match documents.iter().find(|other| is_same(other, &document)) {
                Some(other) => problems.push(twice(&document, &other.path)),
                None => documents.push(document),
            },
            Err(problem) => problems.push(problem.in_file(path.display())),
        }
    }
    if problems.is_empty() { Ok(documents) } else { Err(problems) }
}

fn is_same(one: &FolderDocument, other: &FolderDocument) -> bool {
    one.kind == other.kind && one.name == other.name
}

fn twice(document: &FolderDocument, other: &Path) -> Problem {
    let (kind, name) = (document.kind.as_str(), &document.name);
    Problem::new(&codes::NAME_TAKEN, format!("two documents make a {kind} `{name}`"))
        .arg("name", name)
        .in_file(document.path.display())
        .hint(format!("the other is `{}`: give one of them another name", other.display()))
}

fn too_many(dir: &Path) -> Problem {
    let fact = format!("`{}` has more than {DOCUMENTS_MAX} documents", dir.display());
    Problem::new(&codes::FILE_TOO_LARGE, fact).hint("split the project")
}

/// Files of a folder; links to folders are not followed, so that there is an end.
fn walk(
    dir: &Path,
    folder: &Path,
    endings: &[&str],
    depth: usize,
    found: &mut Vec<PathBuf>,
) -> Result<()> {
    let entries = match fs::read_dir(dir.join(folder)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unreadable(folder, &error)),
    };
    for entry in entries {
        let entry = entry.map_err(|error| unreadable(folder, &error))?;
        let path = folder.join(entry.file_name());
        let kind = entry.file_type().map_err(|error| unreadable(&path, &error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if kind.is_dir() && depth < DEPTH_MAX {
            walk(dir, &path, endings, depth + 1, found)?;
        } else if !kind.is_dir()
            && endings.contains(&ending)
            && !name.starts_with('.')
            && !name.contains(".layout.")
        {
            found.push(path);
        }
        if found.len() > DOCUMENTS_MAX {
            return Err(too_many(dir));
        }
    }
    Ok(())
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    let code = match error.kind() {
        io::ErrorKind::NotFound => &codes::FILE_NOT_FOUND,
        io::ErrorKind::PermissionDenied => &codes::PERMISSION_DENIED,
        _ => &codes::FILE_UNREADABLE,
    };
    Problem::new(code, format!("`{}` cannot be read", path.display()))
        .arg("path", path.display())
        .detail(error)
}

fn read_one(dir: &Path, kind: Kind, path: &Path) -> Result<FolderDocument> {
    let full = dir.join(path);
    let about = fs::metadata(&full).map_err(|error| unreadable(path, &error))?;
    if about.len() > TEXT_BYTES_MAX as u64 {
        let fact = format!("`{}` is longer than 1 MiB", path.display());
        return Err(Problem::new(&codes::FILE_TOO_LARGE, fact)
            .hint("is it a document? put rows into `data/`"));
    }
    let text = fs::read_to_string(&full).map_err(|error| unreadable(path, &error))?;
    let name = name(kind, path, &text)?;
    Ok(FolderDocument { kind, name, path: path.to_owned(), text })
}

fn name(kind: Kind, path: &Path, text: &str) -> Result<Name> {
    match kind {
        Kind::Project => Name::new(PROJECT_NAME),
        Kind::Model => {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            Name::new(stem.as_ref()).or_else(|problem| match model_setting(text, "table") {
                Some(table) => Name::new(table.replace('.', "_")),
                None => Err(problem),
            })
        }
        _ => Document::parse(&path.to_string_lossy(), text)?.read("/name"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn documents_are_found_wherever_people_put_them() {
        let folder = folder(&[
            ("affluent.yaml", "affluent: 1\nname: shop\n"),
            ("connections/erp.yml", "name: erp\n"),
            ("pipelines/daily/sales.yaml", "name: orders\n"),
            ("pipelines/sales.layout.yaml", "x: 1\n"),
            ("pipelines/.#sales.yaml", "half of"),
            ("models/gold/Daily Sales.sql", "-- table: gold.daily\nSELECT 1"),
            ("tests/empty.yaml", "name: empty\n"),
            ("data/orders.csv", "id\n"),
        ]);
        let found = read(folder.path()).unwrap();
        let names: Vec<_> = found.iter().map(|d| (d.kind.as_str(), d.name.as_str())).collect();
        assert_eq!(
            names,
            [
                ("project", "affluent"),
                ("connection", "erp"),
                ("pipeline", "orders"),
                ("model", "gold_daily"),
                ("test", "empty"),
            ]
        );
    }

    #[test]
    fn every_problem_of_a_folder_is_given_with_its_place() {
        let folder = folder(&[
            ("affluent.yaml", "affluent: 1\nname: shop\n"),
            ("pipelines/a.yaml", "name: sales\n"),
            ("pipelines/b.yaml", "name: sales\n"),
            ("pipelines/c.yaml", "name: [\n"),
        ]);
        let problems = read(folder.path()).unwrap_err();
        let files: Vec<_> = problems.iter().map(|p| p.context().file.clone().unwrap()).collect();
        assert_eq!(files, ["pipelines/b.yaml", "pipelines/c.yaml"]);
        assert!(problems[0].is(&codes::NAME_TAKEN));
    }
}
