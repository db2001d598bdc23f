//! Connections on a server: where they lead, which secrets they get, and looking behind them.
//!
//! A secret belongs to one connection and to where that leads. The binding is checked whenever the
//! secret is used, whichever way the document was changed, and it is part of what seals the value:
//! a connection that leads elsewhere gets nothing.

use crate::app::App;
use crate::auditing::note;
use crate::identity::master_key::MasterKey;
use crate::identity::seal::{Row, Sealed, Seals};
use api::connections::{Browsed, ConnectionType};
use async_trait::async_trait;
use model::connection::Connection;
use model::yaml::Document;
use model::{Name, Problem, Result, Secret, codes};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use store::{DefinitionKey, DefinitionKind, InWorkspace, NewSecret, SealedSecret, Store};

/// The kind of row that these secrets are sealed for.
const ROW: &str = "connection";
const PAGE: u64 = 500;
/// A secret is no longer than this.
const SECRET_BYTES_MAX: usize = 64 << 10;
/// Settings that do not say where a connection leads.
const ELSEWHERE: &[&str] = &["bucket", "database", "headers", "user"];
/// Words in the names of settings that hold secrets.
const SECRET_WORDS: &[&str] = &[
    "authorization",
    "cookie",
    "credential",
    "passphrase",
    "password",
    "private_key",
    "secret",
    "token",
];
/// Settings that hold secrets although their name does not say so.
const SECRET_SETTINGS: &[&str] = &["/auth/value"];
const HEADERS: &str = "/headers/";

/// Looks behind connections, in another process.
#[async_trait]
pub trait Connector: Send + Sync {
    /// The kinds of connections there are.
    fn types(&self) -> Vec<ConnectionType>;

    /// Looks. What takes long is given up.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the connection, and `runner_lost` when nobody could look.
    async fn look(&self, order: LookOrder) -> Result<Looked>;
}

/// A look behind a connection.
pub struct LookOrder {
    /// The workspace.
    pub workspace: Name,
    /// The connection, its secrets filled in.
    pub connection: Connection,
    /// What to look for.
    pub look: Look,
}

/// What to look for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Look {
    /// Whether it works.
    Test,
    /// What is there.
    Browse {
        /// What to look into.
        path: String,
        /// Only what begins so.
        prefix: String,
        /// At most so many.
        limit: usize,
    },
}

/// What was seen.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Looked {
    /// It works: what answered.
    Works(String),
    /// What is there.
    There(Browsed),
}

/// A secret of a connection, for whoever does the work.
#[derive(Debug, Clone)]
pub struct ConnectionSecret {
    /// The connection that may use it.
    pub connection: Name,
    /// Its name there.
    pub name: String,
    /// Its value.
    pub value: Secret,
}

/// Where a connection leads: its type and all settings that could make a difference.
pub(crate) fn leads_to(connection: &Connection) -> String {
    let mut parts = vec![connection.connection_type.clone()];
    let mut settings: Vec<(&String, &Value)> = connection.settings.iter().collect();
    settings.sort_by_key(|(name, _)| *name);
    for (name, value) in settings {
        let is_elsewhere = ELSEWHERE.contains(&name.as_str()) || name.ends_with("_s");
        if is_elsewhere || is_secret(&format!("/{name}")) {
            continue;
        }
        match value {
            Value::String(text) => parts.push(format!("{name}={}", origin(text))),
            Value::Number(_) | Value::Bool(_) => parts.push(format!("{name}={value}")),
            Value::Null => {}
            // How one signs in says nothing about where.
            Value::Object(_) if name == "auth" => {}
            other => parts.push(format!("{name}={other}")),
        }
    }
    parts.join(" ")
}

/// Scheme, host and port of an address.
fn origin(text: &str) -> &str {
    let Some((scheme, rest)) = text.split_once("://") else { return text };
    let length = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    &text[..scheme.len() + "://".len() + length]
}

/// Whether the setting at a JSON pointer is one that holds a secret.
fn is_secret(pointer: &str) -> bool {
    let last = pointer.rsplit('/').next().unwrap_or_default().to_lowercase();
    let has_word = |words: &[&str]| words.iter().any(|word| last.contains(word));
    has_word(SECRET_WORDS)
        || SECRET_SETTINGS.contains(&pointer)
        || (pointer.starts_with(HEADERS) && last.contains("key"))
}

/// Names that a text refers to as `${secret:NAME}`.
fn references(text: &str) -> impl Iterator<Item = &str> {
    text.split("${secret:").skip(1).filter_map(|rest| Some(rest.split_once('}')?.0))
}

/// Goes through all texts with their JSON pointers.
fn visit<'a>(value: &'a Value, pointer: &str, see: &mut impl FnMut(&str, &'a str)) {
    match value {
        Value::String(text) => see(pointer, text),
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                visit(item, &format!("{pointer}/{at}"), see);
            }
        }
        Value::Object(map) => visit_map(map, pointer, see),
        _ => {}
    }
}

fn visit_map<'a>(map: &'a Map<String, Value>, pointer: &str, see: &mut impl FnMut(&str, &'a str)) {
    for (name, item) in map {
        visit(item, &format!("{pointer}/{name}"), see);
    }
}

/// The secrets that a connection names.
pub(crate) fn secrets_named(connection: &Connection) -> Vec<String> {
    let mut names = Vec::new();
    visit_map(&connection.settings, "", &mut |_, text| {
        names.extend(references(text).map(str::to_owned));
    });
    names.sort();
    names.dedup();
    names
}

/// Checks what a connection on a server must hold to: secrets are never written into documents,
/// and are sent as secrets only.
///
/// # Errors
///
/// The problem with the JSON pointer of the setting.
pub(crate) fn check(connection: &Connection) -> Result<(), (String, Problem)> {
    let mut found = None;
    visit_map(&connection.settings, "", &mut |pointer, text| {
        if found.is_none() {
            found = fault(pointer, text).map(|problem| (pointer.to_owned(), problem));
        }
    });
    match found {
        Some((pointer, problem)) => Err((pointer, problem)),
        None => Ok(()),
    }
}

fn fault(pointer: &str, text: &str) -> Option<Problem> {
    let secret = is_secret(pointer);
    let refers = references(text).next().is_some();
    if secret && !refers && !text.is_empty() && !text.starts_with("${env:") {
        let fact = format!("the setting `{pointer}` holds a secret in clear");
        return Some(Problem::new(&codes::SETTING_INVALID, fact).hint(
            "write `${secret:NAME}` there, and set the secret of the connection: everybody who \
             sees the workspace sees its documents",
        ));
    }
    let in_url = text
        .split_once("://")
        .is_some_and(|(_, rest)| rest.split('/').next().is_some_and(|host| host.contains('@')));
    if in_url {
        let fact = format!("the setting `{pointer}` holds a user or password in a URL");
        return Some(
            Problem::new(&codes::SETTING_INVALID, fact)
                .hint("use the settings for signing in, with `${secret:NAME}`"),
        );
    }
    if refers && !secret && !pointer.starts_with(HEADERS) {
        let fact = format!("the setting `{pointer}` may not hold a secret");
        return Some(
            Problem::new(&codes::SETTING_INVALID, fact)
                .hint("secrets go into passwords, tokens and headers only"),
        );
    }
    None
}

/// Reads a document of kind connection and checks it.
pub(crate) fn read(name: &Name, text: &str) -> Result<Connection> {
    let document = Document::parse(&format!("connections/{name}.yaml"), text)?;
    let connection: Connection = document.read("")?;
    if connection.name != *name {
        let fact = format!("the document is called `{}`", connection.name);
        let problem = Problem::new(&codes::DOCUMENT_INVALID, fact)
            .hint(format!("write `name: {name}`, or save it under its own name"));
        return Err(document.locate(problem, "/name"));
    }
    check(&connection).map_err(|(pointer, problem)| document.locate(problem, &pointer))?;
    Ok(connection)
}

/// The connections of a workspace whose documents can be read, by name.
pub(crate) async fn all(workspace: &InWorkspace) -> Result<BTreeMap<Name, Connection>> {
    let mut connections = BTreeMap::new();
    let mut after = None;
    loop {
        let definitions = workspace.definitions();
        let page = definitions.list(DefinitionKind::Connection, after.as_deref(), PAGE).await?;
        for definition in page.items {
            let name = Name::new(&definition.name)?;
            match read(&name, &definition.version.text) {
                Ok(connection) => {
                    connections.insert(name, connection);
                }
                // Whoever uses it is told; the others are not held up.
                Err(problem) => tracing::debug!(%name, %problem, "a connection cannot be read"),
            }
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(connections),
        }
    }
}

/// A connection of a workspace as its document has it, or `not_found`.
pub(crate) async fn one(workspace: &InWorkspace, name: &Name) -> Result<Connection> {
    let key = DefinitionKey { kind: DefinitionKind::Connection, name: name.clone() };
    let definition = workspace.definitions().get(&key).await?;
    read(name, &definition.version.text)
}

/// The row that a secret of a connection is sealed for. Where it may go is part of it.
fn row_name(connection: &str, name: &str, bound_to: &str) -> String {
    format!("{connection}/{name}/{bound_to}")
}

/// Opens a stored secret for a connection that leads to where the secret is bound to.
fn open(app: &App, stored: &SealedSecret, connection: &Connection) -> Result<Secret> {
    let leads_to = leads_to(connection);
    if stored.bound_host.as_deref() != Some(leads_to.as_str()) {
        let fact = format!(
            "the secret `{}` of connection `{}` was set for another place",
            stored.name, stored.connection
        );
        return Err(Problem::new(&codes::SECRET_MISSING, fact)
            .arg("connection", &stored.connection)
            .arg("name", &stored.name)
            .hint("set it anew: a secret is never sent to where it was not meant for"));
    }
    let name = row_name(&stored.connection, &stored.name, &leads_to);
    let row = Row { workspace: stored.workspace_id.as_str(), kind: ROW, name: &name };
    app.seals.open(&row, &sealed(stored))
}

fn sealed(stored: &SealedSecret) -> Sealed {
    Sealed {
        key_id: stored.key_id.clone(),
        nonce: stored.nonce.clone(),
        ciphertext: stored.ciphertext.clone(),
    }
}

/// Sets a secret of a connection, for where the connection leads now, and says where that is.
pub(crate) async fn set(
    seals: &Seals,
    workspace: &InWorkspace,
    (connection, name): (&Name, &Name),
    value: &Secret,
    now_us: i64,
) -> Result<String> {
    let length = value.reveal().len();
    if !(1..=SECRET_BYTES_MAX).contains(&length) {
        return Err(Problem::new(
            &codes::REQUEST_INVALID,
            format!("the secret has {length} bytes"),
        )
        .in_setting("/value")
        .hint("a secret has 1 to 65,536 bytes"));
    }
    let connection = one(workspace, connection).await?;
    let bound_to = leads_to(&connection);
    let row_name = row_name(connection.name.as_str(), name.as_str(), &bound_to);
    let row = Row { workspace: workspace.id().as_str(), kind: ROW, name: &row_name };
    let sealed = seals.seal(&row, value)?;
    let new = NewSecret {
        connection: connection.name,
        name: name.to_string(),
        ciphertext: sealed.ciphertext,
        nonce: sealed.nonce,
        key_id: sealed.key_id,
        bound_host: Some(bound_to.clone()),
    };
    workspace.secrets().put(new, now_us).await?;
    Ok(bound_to)
}

/// A secret that whoever runs the server sets on the command line.
#[derive(Debug, Clone)]
pub struct SetSecret {
    /// The workspace.
    pub workspace: Name,
    /// The connection.
    pub connection: Name,
    /// Its name there.
    pub name: Name,
}

impl SetSecret {
    /// Sets it, and says where it may be sent.
    pub async fn set(
        &self,
        store: &Store,
        master_key: &MasterKey,
        value: &Secret,
        now_us: i64,
    ) -> Result<String> {
        let found = store.workspaces().by_slug(&self.workspace).await?;
        let workspace = store.workspace(&found.id);
        let seals = Seals::new(master_key);
        let which = (&self.connection, &self.name);
        let bound_to = set(&seals, &workspace, which, value, now_us).await?;
        let subject = format!("{}/{}/{}", self.workspace, self.connection, self.name);
        let after = serde_json::json!({"bound_to": bound_to});
        note(store, master_key, "secret.set", Some(subject), after, now_us).await?;
        Ok(bound_to)
    }
}

/// A stored secret whose data key is wrapped by the newest key; none when it is already.
pub(crate) fn rewrap(seals: &Seals, stored: &SealedSecret) -> Result<Option<Sealed>> {
    let bound_to = stored.bound_host.as_deref().unwrap_or_default();
    let name = row_name(&stored.connection, &stored.name, bound_to);
    let row = Row { workspace: stored.workspace_id.as_str(), kind: ROW, name: &name };
    seals.rewrap(&row, &sealed(stored))
}

/// The secrets of all connections of a workspace that may be used: set, named by the document of
/// their connection, and bound to where it leads. What else a document names is missing to it.
pub async fn secrets_of(app: &App, workspace: &InWorkspace) -> Result<Vec<ConnectionSecret>> {
    let mut secrets = Vec::new();
    for (name, connection) in all(workspace).await? {
        for secret in secrets_named(&connection) {
            match value(app, workspace, &connection, &secret).await {
                Ok(value) => {
                    let connection = name.clone();
                    secrets.push(ConnectionSecret { connection, name: secret, value });
                }
                Err(problem) if problem.is(&codes::SECRET_MISSING) => {
                    tracing::warn!(connection = %name, %secret, %problem, "a secret is missing");
                }
                Err(problem) => return Err(problem),
            }
        }
    }
    Ok(secrets)
}

async fn value(
    app: &App,
    workspace: &InWorkspace,
    connection: &Connection,
    name: &str,
) -> Result<Secret> {
    let stored = workspace.secrets().get(&connection.name, name).await?;
    open(app, &stored, connection)
}

/// The connection with its secrets filled in, and those secrets.
pub(crate) async fn filled(
    app: &App,
    workspace: &InWorkspace,
    connection: Connection,
) -> Result<(Connection, Vec<Secret>)> {
    let mut values = BTreeMap::new();
    for name in secrets_named(&connection) {
        let value = value(app, workspace, &connection, &name).await?;
        values.insert(name, value);
    }
    let mut settings = Value::Object(connection.settings.clone());
    replace(&mut settings, &values);
    let settings = settings.as_object().cloned().unwrap_or_default();
    Ok((Connection { settings, ..connection }, values.into_values().collect()))
}

fn replace(value: &mut Value, secrets: &BTreeMap<String, Secret>) {
    match value {
        Value::String(text) if text.contains("${secret:") => {
            let mut filled = String::new();
            let mut parts = text.split("${secret:");
            filled.push_str(parts.next().unwrap_or_default());
            for part in parts {
                let (name, rest) = part.split_once('}').unwrap_or((part, ""));
                filled.push_str(secrets.get(name).map_or("", Secret::reveal));
                filled.push_str(rest);
            }
            *text = filled;
        }
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, secrets)),
        Value::Object(map) => map.values_mut().for_each(|item| replace(item, secrets)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn connection(settings: Value) -> Connection {
        let mut document = json!({"affluent": 1, "kind": "connection", "name": "erp",
            "type": "postgres"});
        for (name, value) in settings.as_object().unwrap() {
            document[name] = value.clone();
        }
        serde_json::from_value(document).unwrap()
    }

    #[test]
    fn s_10_whatever_could_lead_elsewhere_is_part_of_where_it_leads() {
        let base = json!({"host": "db.example.org", "port": 5432, "database": "shop",
            "user": "etl", "password": "${secret:pw}"});
        let leads = leads_to(&connection(base.clone()));
        assert_eq!(leads, "postgres host=db.example.org port=5432");
        let with = |name: &str, value: Value| {
            let mut changed = base.clone();
            changed[name] = value;
            leads_to(&connection(changed))
        };
        for (name, value) in [
            ("host", json!("attacker.example")),
            ("port", json!(6543)),
            ("tls", json!("disable")),
            ("root_certificate", json!("mine.pem")),
            ("endpoint", json!("https://attacker.example")),
            ("url", json!("https://attacker.example/x")),
            ("type", json!("http")),
            ("proxies", json!(["attacker.example"])),
        ] {
            assert_ne!(with(name, value), leads, "{name}");
        }
        for (name, value) in [
            ("database", json!("stock")),
            ("user", json!("ann")),
            ("timeout_s", json!(5)),
            ("password", json!("${secret:other}")),
            ("description", json!("words")),
        ] {
            assert_eq!(with(name, value), leads, "{name}");
        }
        let url = |url: &str| leads_to(&connection(json!({"url": url})));
        assert_eq!(url("https://a.example/v1"), url("https://a.example/v2?x=1"));
        assert_ne!(url("https://a.example"), url("https://a.example:8443"));
        assert_ne!(url("https://a.example"), url("http://a.example"));
    }

    #[test]
    fn secrets_stand_where_secrets_go_and_nowhere_in_clear() {
        let fine = [
            json!({"password": "${secret:pw}"}),
            json!({"password": ""}),
            json!({"auth": {"type": "bearer", "token": "${secret:t}"}}),
            json!({"auth": {"type": "api_key", "name": "X-Key", "value": "${secret:t}"}}),
            json!({"headers": {"Accept": "text/csv", "X-Sign": "v1 ${secret:t}"}}),
            json!({"secret_access_key": "${secret:s}", "access_key_id": "AKIA"}),
        ];
        for settings in fine {
            check(&connection(settings.clone())).unwrap_or_else(|_| panic!("{settings}"));
        }
        let refused = [
            (json!({"password": "hunter2"}), "/password"),
            (json!({"host": "${secret:pw}.attacker.example"}), "/host"),
            (json!({"user": "${secret:pw}"}), "/user"),
            (json!({"url": "https://ann:pw@example.org/"}), "/url"),
            (json!({"url": "https://example.org/?k=${secret:pw}"}), "/url"),
            (json!({"headers": {"Authorization": "Bearer abc"}}), "/headers/Authorization"),
            (json!({"headers": {"X-Api-Key": "abc"}}), "/headers/X-Api-Key"),
            (json!({"auth": {"type": "api_key", "value": "abc"}}), "/auth/value"),
        ];
        for (settings, pointer) in refused {
            let (found, problem) = check(&connection(settings.clone())).unwrap_err();
            assert_eq!(found, pointer, "{settings}");
            assert!(!problem.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn references_are_filled_and_nothing_else() {
        let mut value = json!({"a": ["x ${secret:one}-${secret:two}", 7], "b": "${env:HOME}"});
        let secrets = [("one", "1"), ("two", "${secret:one}")]
            .map(|(name, value)| (name.to_owned(), Secret::new(value)));
        replace(&mut value, &secrets.into());
        assert_eq!(value, json!({"a": ["x 1-${secret:one}", 7], "b": "${env:HOME}"}));
    }
}
