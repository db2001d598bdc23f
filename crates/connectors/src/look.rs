//! Looking behind connections: whether they work, and what is there. Nothing is changed.

use crate::{databases, http, storage};
use contracts::Context;
use model::{Name, Problem, Result, codes};
use schemars::Schema;

/// Something behind a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// `schema`, `table`, `view`, `column`, `folder` or `file`.
    pub kind: &'static str,
    /// The type of a column, the size of a file.
    pub detail: Option<String>,
}

/// Where to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// What to look into; empty for the top.
    pub path: String,
    /// Only what begins so, in any case.
    pub prefix: String,
    /// At most so many.
    pub limit: usize,
}

/// Types of connections, and the JSON Schemas of their settings.
pub fn types() -> Vec<(&'static str, Schema)> {
    let families = [databases::CONNECTION_TYPES, http::CONNECTION_TYPES, storage::CONNECTION_TYPES];
    families.into_iter().flatten().map(|(name, schema)| (*name, schema())).collect()
}

/// Whether a connection works: what answered, in a sentence.
///
/// # Errors
///
/// Why it does not.
pub async fn test(context: &Context, name: &Name) -> Result<String> {
    match type_of(context, name)? {
        databases::postgres_client::TYPE => databases::look::test_postgres(context, name).await,
        databases::sqlite_client::TYPE => databases::look::test_sqlite(context, name).await,
        http::look::TYPE => http::look::test(context, name).await,
        storage::s3::TYPE => storage::look::test(context, name).await,
        other => Err(unknown(name, other)),
    }
}

/// What is behind a connection, by name; true when there is more.
pub async fn browse(context: &Context, name: &Name, place: &Place) -> Result<(Vec<Found>, bool)> {
    // One more than is wanted shows whether there is more.
    let one_more = Place { limit: place.limit + 1, ..place.clone() };
    let mut found = match type_of(context, name)? {
        databases::postgres_client::TYPE => {
            databases::look::browse_postgres(context, name, &one_more).await?
        }
        databases::sqlite_client::TYPE => {
            databases::look::browse_sqlite(context, name, one_more).await?
        }
        http::look::TYPE => Vec::new(),
        storage::s3::TYPE => storage::look::browse(context, name, &one_more).await?,
        other => return Err(unknown(name, other)),
    };
    let more = found.len() > place.limit;
    found.truncate(place.limit);
    Ok((found, more))
}

fn type_of<'a>(context: &'a Context, name: &Name) -> Result<&'a str> {
    let known: Vec<&str> = context
        .connections
        .get(name)
        .map(|connection| connection.connection_type.as_str())
        .into_iter()
        .collect();
    Ok(context.connection(name, &known)?.connection_type.as_str())
}

fn unknown(name: &Name, other: &str) -> Problem {
    let known: Vec<&str> = types().iter().map(|(name, _)| *name).collect();
    Problem::new(&codes::SETTING_INVALID, format!("connection `{name}` is of type `{other}`"))
        .arg("connection", name)
        .hint(format!("types are {}", stdx::text::list(known.into_iter())))
}

#[cfg(test)]
mod tests;
