//! All documents at once: for CI, and for the folder that a workspace is kept in.

use crate::access::Access;
use crate::desk::{CheckQuestion, Question};
use crate::documents::{self, difference};
use crate::input::Body;
use crate::output::{Answer, Done};
use crate::refusal;
use crate::route::Route;
use api::definitions::{
    Applied, AppliedChange, AppliedDefinition, ApplyDefinitions, Draft, Fate, FolderState, Kind,
    ResolveConflict,
};
use api::permission::{DefinitionRead, DefinitionWrite};
use axum::http::Method;
use model::problem::StoredProblem;
use model::{Name, Problem, Result, codes};
use std::collections::BTreeMap;
use store::{Definition, DefinitionChange, DefinitionKey, NewVersion};

/// Documents of one request.
const DOCUMENTS_MAX: usize = 10_000;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::POST,
            "/api/v1/workspaces/{workspace}/definitions/apply",
            "Make the documents be these, all or none, if they are right together. With `dry_run` \
             only say what would change.",
            apply,
        )
        .audited("definition.apply"),
        Route::new(
            Method::GET,
            "/api/v1/workspaces/{workspace}/folder",
            "How the folder of the workspace and its documents here stand to each other.",
            folder,
        ),
        Route::new(
            Method::POST,
            "/api/v1/workspaces/{workspace}/folder/resolve",
            "End a conflict: say which side of a document holds.",
            resolve,
        )
        .audited("folder.resolve"),
    ]
}

/// What is wanted, by kind and name.
type Wanted = BTreeMap<(Kind, Name), String>;
/// What there is, by kind and name.
type Found = BTreeMap<(Kind, Name), Definition>;

async fn apply(
    access: Access<DefinitionWrite>,
    Body(apply): Body<ApplyDefinitions>,
) -> Result<Answer<Applied>> {
    let (wanted, problems) = read(apply.documents)?;
    if !problems.is_empty() {
        let problems = problems.iter().map(refusal::body).collect();
        return Ok(Answer(Applied { changes: Vec::new(), problems }));
    }
    let definitions = access.workspace.definitions();
    let mut found = Found::new();
    for definition in definitions.at(i64::MAX).await? {
        if let Some(kind) = documents::kind(definition.kind) {
            found.insert((kind, Name::new(definition.name.as_str())?), definition);
        }
    }
    let changes = changes(&wanted, &found, apply.prune);
    let problems = match changes.is_empty() {
        true => Vec::new(),
        false => check(&access, &wanted, &changes).await?,
    };
    if problems.is_empty() && !apply.dry_run && !changes.is_empty() {
        let saved =
            changes.iter().map(|change| saved(&access, change, &wanted, &found, &apply.message));
        let saved = saved.collect::<Result<Vec<_>>>()?;
        definitions.change(saved, access.app.now_us()).await?;
        access.app.documents_changed(&access.about.id);
    }
    let problems = problems.iter().map(refusal::stored_body).collect();
    Ok(Answer(Applied { changes, problems }))
}

/// The documents by kind and name, and what is wrong with each by itself.
fn read(documents: Vec<AppliedDefinition>) -> Result<(Wanted, Vec<Problem>)> {
    if documents.len() > DOCUMENTS_MAX {
        return Err(Problem::new(
            &codes::REQUEST_TOO_LARGE,
            "there are more than 10 000 documents",
        )
        .hint("split the workspace"));
    }
    let (mut wanted, mut problems) = (Wanted::new(), Vec::new());
    for document in documents {
        let name = Name::new(document.name.as_str())?;
        if let Err(problem) = documents::check(document.kind, &name, &document.text) {
            problems.push(problem);
        }
        if wanted.insert((document.kind, name), document.text).is_some() {
            let fact =
                format!("two documents make a {} `{}`", document.kind.as_str(), document.name);
            problems.push(
                Problem::new(&codes::NAME_TAKEN, fact)
                    .arg("name", document.name)
                    .hint("give one of them another name"),
            );
        }
    }
    Ok((wanted, problems))
}

fn changes(wanted: &Wanted, found: &Found, prune: bool) -> Vec<AppliedChange> {
    let change = |kind: Kind, name: &Name, fate: Fate, before: &str, after: &str| {
        let path =
            documents::path(kind, name.as_str(), if after.is_empty() { before } else { after });
        let none = "/dev/null";
        let older = if fate == Fate::Added { none } else { path.as_str() };
        let newer = if fate == Fate::Deleted { none } else { path.as_str() };
        let difference = difference((older, before), (newer, after));
        AppliedChange { kind, name: name.to_string(), fate, difference }
    };
    let mut changes = Vec::new();
    for ((kind, name), text) in wanted {
        match found.get(&(*kind, name.clone())) {
            None => changes.push(change(*kind, name, Fate::Added, "", text)),
            Some(old) if old.version.text != *text => {
                changes.push(change(*kind, name, Fate::Changed, &old.version.text, text));
            }
            Some(_) => {}
        }
    }
    for ((kind, name), old) in found.iter().filter(|_| prune) {
        if !wanted.contains_key(&(*kind, name.clone())) {
            changes.push(change(*kind, name, Fate::Deleted, &old.version.text, ""));
        }
    }
    changes
}

/// What a desk finds wrong with the documents as they would be.
async fn check(
    access: &Access<DefinitionWrite>,
    wanted: &Wanted,
    changes: &[AppliedChange],
) -> Result<Vec<StoredProblem>> {
    let drafts = changes.iter().map(|change| {
        let name = Name::new(change.name.as_str())?;
        let text = wanted.get(&(change.kind, name)).filter(|_| change.fate != Fate::Deleted);
        Ok(Draft { kind: change.kind, name: change.name.clone(), text: text.cloned() })
    });
    let drafts = drafts.collect::<Result<Vec<_>>>()?;
    let definitions = access.workspace.definitions();
    let documents = documents::with_drafts(&definitions, &drafts).await?;
    let workspace = Name::new(&access.about.slug)?;
    let question = Question::Check(CheckQuestion { documents });
    access.app.desk.ask(&workspace, question).await?.read()
}

fn saved(
    access: &Access<DefinitionWrite>,
    change: &AppliedChange,
    wanted: &Wanted,
    found: &Found,
    message: &str,
) -> Result<DefinitionChange> {
    let at = (change.kind, Name::new(change.name.as_str())?);
    let new = wanted.get(&at).map(|text| NewVersion {
        text: text.clone(),
        sha256: documents::hash(text),
        author: Some(access.caller.user.id.clone()),
        message: message.chars().take(1000).collect(),
    });
    let expected = found.get(&at).map(|definition| definition.version.number);
    let key = DefinitionKey { kind: documents::stored_kind(at.0), name: at.1 };
    Ok(DefinitionChange { key, new, expected })
}

async fn folder(access: Access<DefinitionRead>, (): ()) -> Result<Answer<FolderState>> {
    Ok(Answer(access.app.folder.state(&Name::new(&access.about.slug)?)))
}

async fn resolve(
    access: Access<DefinitionWrite>,
    Body(resolve): Body<ResolveConflict>,
) -> Result<Done> {
    let workspace = Name::new(&access.about.slug)?;
    access.app.folder.resolve(&workspace, resolve).map(|()| Done)
}
