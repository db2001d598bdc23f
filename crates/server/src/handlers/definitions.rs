//! Documents: saved, changed, compared, restored.

use crate::access::Access;
use crate::documents::{self, difference, stored_kind};
use crate::headers::{Conditional, Expected, Versioned};
use crate::input::{Body, InPath, InQuery};
use crate::output::{Answer, Done};
use crate::route::Route;
use api::definitions::{
    AllDefinitions, Definition, DefinitionHead, DefinitionPage, DefinitionPath,
    DefinitionVersionPath, Kind, KindPath, PatchDefinition, RestoreDefinition, SaveDefinition,
    TextDifference, VersionHead, VersionPage, VersionsQuery,
};
use api::page::PageQuery;
use api::permission::{DefinitionRead, DefinitionWrite};
use axum::http::Method;
use model::{Problem, Result, codes};
use serde_json::json;
use store::{DefinitionKey, NewVersion, Version};

const KIND: &str = "/api/v1/workspaces/{workspace}/definitions/{kind}";
const ONE: &str = "/api/v1/workspaces/{workspace}/definitions/{kind}/{name}";
/// What an author says about a version is no longer, in characters.
const MESSAGE_MAX: usize = 1000;
/// Changes of one request.
const PATCHES_MAX: usize = 1000;

pub(super) fn routes() -> Vec<Route> {
    let get = Method::GET;
    vec![
        Route::new(
            get.clone(),
            "/api/v1/workspaces/{workspace}/definitions",
            "All documents with their texts.",
            all,
        ),
        Route::new(get.clone(), KIND, "Documents of a kind, by name.", list),
        Route::new(get.clone(), ONE, "A document; its version is the `ETag`.", one),
        Route::new(
            Method::PUT,
            ONE,
            "Save a document: on top of the version in `If-Match`, or as a new one with \
             `If-None-Match: *`.",
            save,
        )
        .audited("definition.save"),
        Route::new(
            Method::PATCH,
            ONE,
            "Change parts of a document; every other byte of its text stays as it is.",
            patch,
        )
        .audited("definition.patch"),
        Route::new(Method::DELETE, ONE, "Delete a document. Its versions stay.", delete)
            .audited("definition.delete"),
        Route::new(
            get.clone(),
            "/api/v1/workspaces/{workspace}/definitions/{kind}/{name}/versions",
            "Versions of a document, the newest first, also of a deleted one.",
            versions,
        ),
        Route::new(
            get.clone(),
            "/api/v1/workspaces/{workspace}/definitions/{kind}/{name}/versions/{version}",
            "A version of a document.",
            version,
        ),
        Route::new(
            get,
            "/api/v1/workspaces/{workspace}/definitions/{kind}/{name}/difference",
            "What differs between two versions of a document.",
            compare,
        ),
        Route::new(
            Method::POST,
            "/api/v1/workspaces/{workspace}/definitions/{kind}/{name}/restore",
            "Save the text of an old version once more.",
            restore,
        )
        .audited("definition.restore"),
    ]
}

async fn all(access: Access<DefinitionRead>, (): ()) -> Result<Answer<AllDefinitions>> {
    let found = access.workspace.definitions().at(i64::MAX).await?;
    let items = found.into_iter().filter_map(|definition| {
        let kind = documents::kind(definition.kind)?;
        Some(shown(kind, definition.name, definition.version))
    });
    Ok(Answer(AllDefinitions { items: items.collect() }))
}

async fn list(
    access: Access<DefinitionRead>,
    (InPath(path), InQuery(page)): (InPath<KindPath>, InQuery<PageQuery>),
) -> Result<Answer<DefinitionPage>> {
    let definitions = access.workspace.definitions();
    let kind = stored_kind(path.kind);
    let found = definitions.list(kind, page.after.as_deref(), page.items_max()).await?;
    let items = found
        .items
        .into_iter()
        .map(|definition| shown(path.kind, definition.name, definition.version).head);
    Ok(Answer(DefinitionPage { items: items.collect(), next: found.next }))
}

/// A version as the interface shows it.
pub(super) fn shown(kind: Kind, name: String, version: Version) -> Definition {
    Definition {
        head: DefinitionHead {
            kind,
            name,
            version: version.number,
            sha256: version.sha256,
            saved_at_us: version.at_us,
        },
        text: version.text,
    }
}

fn versioned(kind: Kind, key: &DefinitionKey, version: Version) -> Versioned<Answer<Definition>> {
    let number = version.number;
    Versioned { version: number, answer: Answer(shown(kind, key.name.to_string(), version)) }
}

async fn one(
    access: Access<DefinitionRead>,
    InPath(path): InPath<DefinitionPath>,
) -> Result<Versioned<Answer<Definition>>> {
    let key = documents::key(path.kind, &path.name)?;
    let found = access.workspace.definitions().get(&key).await?;
    Ok(versioned(path.kind, &key, found.version))
}

/// The newest version is another one than the client knows: the condition of the request fails.
fn stale(problem: Problem) -> Problem {
    if !problem.is(&codes::CONFLICT) {
        return problem;
    }
    let stale = Problem::new(&codes::VERSION_STALE, problem.message());
    let stale =
        problem.arguments().iter().fold(stale, |stale, (name, value)| stale.arg(name, value));
    stale.hint("read the newest version, and put your change on top of it")
}

fn message(text: &str) -> Result<String> {
    match text.chars().count() {
        0..=MESSAGE_MAX => Ok(text.to_owned()),
        _ => Err(Problem::new(&codes::REQUEST_TOO_LARGE, "the message is too long")
            .hint("say in a sentence what changes; details belong into the document")
            .in_setting("/message")),
    }
}

/// Saves a text that has been looked at.
async fn store_text(
    access: &Access<DefinitionWrite>,
    key: &DefinitionKey,
    text: String,
    about: &str,
    expected: Option<i64>,
) -> Result<store::Definition> {
    let new = NewVersion {
        sha256: documents::hash(&text),
        text,
        author: Some(access.caller.user.id.clone()),
        message: message(about)?,
    };
    let definitions = access.workspace.definitions();
    let saved = definitions.save(key, new, expected, access.app.now_us()).await.map_err(stale)?;
    access.trail.before(json!({"version": expected}));
    access.trail.after(json!({"version": saved.version.number}));
    access.app.documents_changed(&access.about.id);
    Ok(saved)
}

async fn save(
    access: Access<DefinitionWrite>,
    Conditional { expected, input: (InPath(path), Body(save)) }: Conditional<(
        InPath<DefinitionPath>,
        Body<SaveDefinition>,
    )>,
) -> Result<Versioned<Answer<Definition>>> {
    let key = documents::key(path.kind, &path.name)?;
    let expected = expected.version()?;
    documents::check(path.kind, &key.name, &save.text)?;
    let saved = store_text(&access, &key, save.text, &save.message, expected).await?;
    Ok(versioned(path.kind, &key, saved.version))
}

async fn patch(
    access: Access<DefinitionWrite>,
    Conditional { expected, input: (InPath(path), Body(change)) }: Conditional<(
        InPath<DefinitionPath>,
        Body<PatchDefinition>,
    )>,
) -> Result<Versioned<Answer<Definition>>> {
    let key = documents::key(path.kind, &path.name)?;
    if path.kind == Kind::Model {
        let fact = "a model is one query, not a document with parts";
        return Err(Problem::new(&codes::REQUEST_INVALID, fact).hint("save its whole text"));
    }
    if change.patches.len() > PATCHES_MAX {
        return Err(Problem::new(&codes::REQUEST_TOO_LARGE, "there are more than 1000 patches")
            .hint("save the whole text"));
    }
    let found = access.workspace.definitions().get(&key).await?;
    // Without a version the change is for the newest: a path says well enough what is meant.
    let expected = match expected {
        Expected::Unsaid => found.version.number,
        other => other.version()?.unwrap_or_default(),
    };
    if expected != found.version.number {
        let fact = format!("`{}` has changed: it is at version {}", key.name, found.version.number);
        return Err(stale(Problem::new(&codes::CONFLICT, fact)));
    }
    let file = documents::path(path.kind, &path.name, &found.version.text);
    let text = documents::patched(&file, &found.version.text, &change.patches)?;
    documents::check(path.kind, &key.name, &text)?;
    let saved = store_text(&access, &key, text, &change.message, Some(expected)).await?;
    Ok(versioned(path.kind, &key, saved.version))
}

async fn delete(
    access: Access<DefinitionWrite>,
    Conditional { expected, input: InPath(path) }: Conditional<InPath<DefinitionPath>>,
) -> Result<Done> {
    let key = documents::key(path.kind, &path.name)?;
    let expected = expected.version()?.unwrap_or_default();
    let definitions = access.workspace.definitions();
    definitions.delete(&key, expected, access.app.now_us()).await.map_err(stale)?;
    access.app.documents_changed(&access.about.id);
    Ok(Done)
}

async fn versions(
    access: Access<DefinitionRead>,
    (InPath(path), InQuery(page)): (InPath<DefinitionPath>, InQuery<PageQuery>),
) -> Result<Answer<VersionPage>> {
    let key = documents::key(path.kind, &path.name)?;
    let definitions = access.workspace.definitions();
    let found = definitions.history(&key, page.after.as_deref(), page.items_max()).await?;
    let items = found.items.into_iter().map(|head| VersionHead {
        version: head.number,
        sha256: head.sha256,
        author: head.author_id.map(|author| author.to_string()),
        message: head.message,
        saved_at_us: head.at_us,
    });
    Ok(Answer(VersionPage { items: items.collect(), next: found.next }))
}

async fn version(
    access: Access<DefinitionRead>,
    InPath(path): InPath<DefinitionVersionPath>,
) -> Result<Answer<Definition>> {
    let key = documents::key(path.kind, &path.name)?;
    let found = access.workspace.definitions().version(&key, path.version).await?;
    Ok(Answer(shown(path.kind, key.name.to_string(), found)))
}

async fn compare(
    access: Access<DefinitionRead>,
    (InPath(path), InQuery(wanted)): (InPath<DefinitionPath>, InQuery<VersionsQuery>),
) -> Result<Answer<TextDifference>> {
    let key = documents::key(path.kind, &path.name)?;
    let definitions = access.workspace.definitions();
    let older = definitions.version(&key, wanted.from).await?;
    let newer = match wanted.to {
        Some(number) => definitions.version(&key, number).await?,
        None => definitions.get(&key).await?.version,
    };
    let title = |version: &Version| format!("{} version {}", key.name, version.number);
    let (before, after) = (title(&older), title(&newer));
    Ok(Answer(difference((&before, &older.text), (&after, &newer.text))))
}

async fn restore(
    access: Access<DefinitionWrite>,
    Conditional { expected, input: (InPath(path), Body(wanted)) }: Conditional<(
        InPath<DefinitionPath>,
        Body<RestoreDefinition>,
    )>,
) -> Result<Versioned<Answer<Definition>>> {
    let key = documents::key(path.kind, &path.name)?;
    let author = Some(access.caller.user.id.clone());
    let (expected, now_us) = (expected.version()?, access.app.now_us());
    let definitions = access.workspace.definitions();
    let restored = definitions.restore(&key, wanted.version, author, expected, now_us).await;
    let restored = restored.map_err(stale)?;
    access.app.documents_changed(&access.about.id);
    Ok(versioned(path.kind, &key, restored.version))
}
