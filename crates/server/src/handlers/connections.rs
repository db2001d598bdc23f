//! Connections: listed, tested, browsed. Their documents are definitions like all others.

use crate::access::{Access, SignedIn};
use crate::connections::{self, Look, LookOrder, Looked};
use crate::desk::problem_of;
use crate::input::{Body, InPath, InQuery};
use crate::output::Answer;
use crate::refusal;
use crate::route::Route;
use api::connections::{
    BrowseQuery, Browsed, ConnectionHead, ConnectionPath, ConnectionTypes, ConnectionVerdict,
    Connections, SecretUse, TestConnection,
};
use api::permission::{ConnectionTest, WorkspaceRead};
use axum::http::Method;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::connection::Connection;
use model::{Name, Problem, Result, Secret, codes};
use std::time::Instant;

const ITEMS_DEFAULT: u64 = 100;
const ITEMS_MAX: u64 = 1000;
/// Secrets that are shorter are too common as words to be taken out of texts.
const REDACTED_MIN: usize = 4;

pub(super) fn routes() -> Vec<Route> {
    let get = Method::GET;
    vec![
        Route::new(
            get.clone(),
            "/api/v1/connection-types",
            "The kinds of connections, with the schemas of their settings.",
            types,
        ),
        Route::new(
            get.clone(),
            "/api/v1/workspaces/{workspace}/connections",
            "The connections: where they lead, and which secrets they need.",
            list,
        ),
        Route::new(
            Method::POST,
            "/api/v1/workspaces/{workspace}/connections/{connection}/test",
            "Test a connection, as it is saved or as it would be.",
            test,
        )
        .audited("connection.test"),
        Route::new(
            get,
            "/api/v1/workspaces/{workspace}/connections/{connection}/browse",
            "What is behind a connection: schemas, tables, columns, folders, files.",
            browse,
        ),
    ]
}

async fn types(me: SignedIn, (): ()) -> Result<Answer<ConnectionTypes>> {
    Ok(Answer(ConnectionTypes { items: me.app.connector.types() }))
}

async fn list(access: Access<WorkspaceRead>, (): ()) -> Result<Answer<Connections>> {
    let stored = access.workspace.secrets().list().await?;
    let found = connections::all(&access.workspace).await?;
    let items = found.into_values().map(|connection| {
        let leads_to = connections::leads_to(&connection);
        let secrets = connections::secrets_named(&connection).into_iter().map(|name| {
            let of_it = stored
                .iter()
                .find(|head| head.connection == connection.name.as_str() && head.name == name);
            let bound_to = of_it.and_then(|head| head.bound_host.as_deref());
            SecretUse { set: of_it.is_some(), usable: bound_to == Some(&leads_to), name }
        });
        ConnectionHead {
            secrets: secrets.collect(),
            name: connection.name.to_string(),
            connection_type: connection.connection_type,
            description: connection.description,
            leads_to,
        }
    });
    Ok(Answer(Connections { items: items.collect() }))
}

async fn test(
    access: Access<ConnectionTest>,
    (InPath(path), Body(body)): (InPath<ConnectionPath>, Body<TestConnection>),
) -> Result<Answer<ConnectionVerdict>> {
    let name = Name::new(&path.connection)?;
    let connection = match &body.text {
        Some(text) => connections::read(&name, text)?,
        None => connections::one(&access.workspace, &name).await?,
    };
    let begin = Instant::now();
    let looked = look(&access, connection, Look::Test).await;
    let elapsed_ms = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (answered, problem) = match looked {
        Ok(Looked::Works(answered)) => (Some(answered), None),
        Ok(Looked::There(_)) => return Err(other_answer()),
        Err(problem) => (None, Some(refusal::stored_body(&problem.to_stored()))),
    };
    let works = problem.is_none();
    access.trail.after(serde_json::json!({"works": works}));
    Ok(Answer(ConnectionVerdict { works, answered, problem, elapsed_ms }))
}

async fn browse(
    access: Access<ConnectionTest>,
    (InPath(path), InQuery(query)): (InPath<ConnectionPath>, InQuery<BrowseQuery>),
) -> Result<Answer<Browsed>> {
    let connection = connections::one(&access.workspace, &Name::new(&path.connection)?).await?;
    let limit = query.limit.unwrap_or(ITEMS_DEFAULT).clamp(1, ITEMS_MAX);
    let what = Look::Browse {
        path: query.path.unwrap_or_default(),
        prefix: query.prefix.unwrap_or_default(),
        limit: usize::try_from(limit).unwrap_or(usize::MAX),
    };
    match look(&access, connection, what).await? {
        Looked::There(there) => Ok(Answer(there)),
        Looked::Works(_) => Err(other_answer()),
    }
}

fn other_answer() -> Problem {
    Problem::new(&codes::INTERNAL, "another question was answered than was asked")
}

/// Fills the secrets in, looks, and takes them out of what comes back.
async fn look(
    access: &Access<ConnectionTest>,
    connection: Connection,
    look: Look,
) -> Result<Looked> {
    let (connection, secrets) =
        connections::filled(&access.app, &access.workspace, connection).await?;
    let workspace = Name::new(&access.about.slug)?;
    let looked = access.app.connector.look(LookOrder { workspace, connection, look }).await;
    match looked {
        Ok(Looked::Works(text)) => Ok(Looked::Works(redacted(text, &secrets))),
        Ok(there) => Ok(there),
        Err(problem) => Err(redacted_problem(problem, &secrets)),
    }
}

/// A text without the secrets, however they are written.
fn redacted(text: String, secrets: &[Secret]) -> String {
    let long = secrets.iter().map(Secret::reveal).filter(|secret| secret.len() >= REDACTED_MIN);
    long.fold(text, |text, secret| {
        text.replace(secret, "***").replace(&STANDARD.encode(secret), "***")
    })
}

fn redacted_problem(problem: Problem, secrets: &[Secret]) -> Problem {
    let mut stored = problem.to_stored();
    let clean = |text: String| redacted(text, secrets);
    stored.message = clean(stored.message);
    stored.detail = stored.detail.map(clean);
    stored.hint = stored.hint.map(clean);
    for value in stored.arguments.values_mut() {
        *value = clean(std::mem::take(value));
    }
    problem_of(stored)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_do_not_repeat_secrets() {
        let secrets = [Secret::new("hunter2"), Secret::new("ab")];
        let text = "ab: no entry for `hunter2` (aHVudGVyMg==)".to_owned();
        assert_eq!(redacted(text, &secrets), "ab: no entry for `***` (***)");
        let problem = Problem::new(&codes::CONNECTION_REFUSED, "hunter2 is wrong")
            .arg("password", "hunter2")
            .detail("FATAL: hunter2")
            .hint("not hunter2");
        let redacted = redacted_problem(problem, &secrets);
        assert!(redacted.is(&codes::CONNECTION_REFUSED));
        assert!(!format!("{redacted:?}").contains("hunter2"), "{redacted:?}");
    }
}
