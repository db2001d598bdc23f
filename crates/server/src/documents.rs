//! Documents of a workspace: where each stands in a folder, and what must be true of it.

mod difference;
mod folder;
mod patch;

pub use difference::difference;
pub use folder::{FolderDocument, read as read_folder};
pub(crate) use patch::patched;

use crate::connections;
use crate::desk::Documents;
use api::definitions::{Draft, Kind};
use model::connection::Connection;
use model::pipeline::Pipeline;
use model::project::Project;
use model::test::Test;
use model::yaml::Document;
use model::{Name, Problem, Result, codes};
use sha2::{Digest, Sha256};
use store::{Definition, DefinitionKey, DefinitionKind, Definitions};

/// The name of the project's own document.
pub const PROJECT_NAME: &str = "affluent";
/// A document is no longer than this, in bytes.
pub const TEXT_BYTES_MAX: usize = 1 << 20;

/// Where a document stands in a folder.
pub fn path(kind: Kind, name: &str, text: &str) -> String {
    match kind {
        Kind::Project => "affluent.yaml".to_owned(),
        Kind::Connection => format!("connections/{name}.yaml"),
        Kind::Pipeline => format!("pipelines/{name}.yaml"),
        Kind::Test => format!("tests/{name}.yaml"),
        Kind::Model => match model_zone(text) {
            Some(zone) => format!("models/{zone}/{name}.sql"),
            None => format!("models/{name}.sql"),
        },
    }
}

/// The zone of the table that a model makes.
fn model_zone(text: &str) -> Option<Name> {
    let table = model_setting(text, "table")?;
    Name::new(table.split_once('.')?.0).ok()
}

/// A setting among the first comments of a model.
fn model_setting<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let comments = text.lines().map_while(|line| line.trim().strip_prefix("--"));
    let mut settings = comments.filter_map(|line| line.split_once(':'));
    settings.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
}

/// SHA-256 of a text, in hexadecimal.
pub fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The kind as it is stored.
pub(crate) fn stored_kind(kind: Kind) -> DefinitionKind {
    match kind {
        Kind::Project => DefinitionKind::Project,
        Kind::Connection => DefinitionKind::Connection,
        Kind::Pipeline => DefinitionKind::Pipeline,
        Kind::Model => DefinitionKind::Model,
        Kind::Test => DefinitionKind::Test,
    }
}

/// The kind as it travels; none for what is no document of a folder.
pub(crate) fn kind(stored: DefinitionKind) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| stored_kind(*kind) == stored)
}

/// Which document is meant, or `name_invalid`.
pub(crate) fn key(kind: Kind, name: &str) -> Result<DefinitionKey> {
    Ok(DefinitionKey { kind: stored_kind(kind), name: Name::new(name)? })
}

/// The documents of a workspace as they are now; none when the server has none of its own.
pub(crate) async fn current(definitions: &Definitions) -> Result<Option<Documents>> {
    at(definitions, i64::MAX).await
}

/// The documents of a workspace as they were at an instant, µs since the epoch: what a run that
/// was taken on then is bound to. None when the server has none of its own.
pub(crate) async fn at(definitions: &Definitions, instant_us: i64) -> Result<Option<Documents>> {
    let documents = in_folder(definitions.at(instant_us).await?);
    Ok((!documents.is_empty()).then_some(documents))
}

fn in_folder(definitions: Vec<Definition>) -> Documents {
    let placed = definitions.into_iter().filter_map(|definition| {
        let path = path(kind(definition.kind)?, &definition.name, &definition.version.text);
        Some((path, definition.version.text))
    });
    placed.collect()
}

/// The documents as they would be with the drafts.
pub(crate) async fn with_drafts(
    definitions: &Definitions,
    drafts: &[Draft],
) -> Result<Option<Documents>> {
    if drafts.is_empty() {
        return current(definitions).await;
    }
    let mut found = definitions.at(i64::MAX).await?;
    found.retain(|definition| {
        !drafts.iter().any(|draft| {
            stored_kind(draft.kind) == definition.kind && draft.name == definition.name
        })
    });
    let mut documents = in_folder(found);
    for draft in drafts {
        let name = Name::new(draft.name.as_str())?;
        if let Some(text) = &draft.text {
            check_length(text)?;
            documents.insert(path(draft.kind, name.as_str(), text), text.clone());
        }
    }
    Ok(Some(documents))
}

fn check_length(text: &str) -> Result<()> {
    match text.len() {
        0..=TEXT_BYTES_MAX => Ok(()),
        _ => Err(Problem::new(&codes::FILE_TOO_LARGE, "the document is longer than 1 MiB")
            .hint("put rows into files of their own, and split long pipelines")),
    }
}

/// Checks what a document must be to be saved: readable, of its kind, and of its name. Whether it
/// goes together with the others, a desk says.
pub(crate) fn check(kind: Kind, name: &Name, text: &str) -> Result<()> {
    check_length(text)?;
    let file = path(kind, name.as_str(), text);
    if kind == Kind::Model {
        return match model_setting(text, "table") {
            Some(_) => Ok(()),
            None => Err(Problem::new(&codes::DOCUMENT_INVALID, "the model names no table")
                .hint("begin the text with `-- table: gold.daily`")
                .in_file(file)),
        };
    }
    let document = Document::parse(&file, text)?;
    let found = match kind {
        Kind::Project => {
            document.read::<Project>("")?;
            Name::new(PROJECT_NAME)?
        }
        Kind::Connection => {
            let connection: Connection = document.read("")?;
            connections::check(&connection)
                .map_err(|(pointer, problem)| document.locate(problem, &pointer))?;
            connection.name
        }
        Kind::Pipeline => document.read::<Pipeline>("")?.name,
        Kind::Test | Kind::Model => document.read::<Test>("")?.name,
    };
    if found == *name {
        return Ok(());
    }
    let problem =
        Problem::new(&codes::DOCUMENT_INVALID, format!("the document is called `{found}`"))
            .arg("name", name)
            .hint(format!("write `name: {name}`, or save it under its own name"));
    Err(document.locate(problem, "/name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_place() {
        assert_eq!(path(Kind::Project, "affluent", ""), "affluent.yaml");
        assert_eq!(path(Kind::Pipeline, "sales", ""), "pipelines/sales.yaml");
        let model = "-- description: days\n-- table: gold.daily\nSELECT 1";
        assert_eq!(path(Kind::Model, "daily", model), "models/gold/daily.sql");
        assert_eq!(path(Kind::Model, "daily", "SELECT 1"), "models/daily.sql");
        // A zone that is none cannot lead out of the folder.
        assert_eq!(path(Kind::Model, "daily", "-- table: ../x.daily"), "models/daily.sql");
    }

    #[test]
    fn what_is_saved_is_readable_of_its_kind_and_of_its_name() {
        let name = Name::new("sales").unwrap();
        let pipeline = "affluent: 1\nkind: pipeline\nname: sales\nnodes: []\n";
        check(Kind::Pipeline, &name, pipeline).unwrap();
        let other = check(Kind::Pipeline, &Name::new("orders").unwrap(), pipeline).unwrap_err();
        assert_eq!((other.context().line, other.context().column), (Some(3), Some(7)));
        assert!(check(Kind::Connection, &name, pipeline).is_err());
        assert!(check(Kind::Pipeline, &name, "a: [").unwrap_err().is(&codes::DOCUMENT_SYNTAX));
        assert!(check(Kind::Model, &name, "SELECT 1").is_err());
        check(Kind::Model, &name, "-- table: gold.sales\nSELECT 1").unwrap();
    }
}
