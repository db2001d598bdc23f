//! Sessions with a PostgreSQL server: settings, timeouts, and problems instead of error codes.

use super::postgres_tls;
use contracts::Context;
use model::{Name, Problem, Result, Secret, codes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::error::Error as _;
use std::future::Future;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, CopyInSink, CopyOutStream, Row, Statement};

/// The connection type of this file.
pub(crate) const TYPE: &str = "postgres";

/// The settings of a connection of type `postgres`.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostgresConnection {
    /// Name or address of the server.
    pub host: String,
    /// Port of the server.
    #[serde(default = "default_port")]
    pub port: u16,
    /// The database.
    pub database: String,
    /// The user to sign in as.
    pub user: String,
    /// The user's password, best as `${secret:…}`.
    #[serde(default)]
    pub password: Option<Secret>,
    /// Whether the line is encrypted. `verify-full` unless the server is this machine: then
    /// `prefer`.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// A PEM file with the certificate of the authority that signed the server's, when it is
    /// none of those that browsers know. For `tls: verify-full`.
    #[serde(default)]
    pub root_certificate: Option<String>,
    /// How long a connection may take, in seconds.
    #[serde(default = "default_connect_timeout")]
    #[schemars(range(min = 1, max = 600))]
    pub connect_timeout_s: u32,
    /// How long the server may stay silent during a statement, in seconds.
    #[serde(default = "default_timeout")]
    #[schemars(range(min = 1, max = 86400))]
    pub timeout_s: u32,
}

/// Whether the line to a database is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tls {
    /// Never.
    Disable,
    /// If the server can; its certificate is not checked.
    Prefer,
    /// Always; the server's certificate is not checked.
    Require,
    /// Always, and the server proves that it is the host that was asked for.
    VerifyFull,
}

fn default_port() -> u16 {
    5432
}

fn default_connect_timeout() -> u32 {
    10
}

fn default_timeout() -> u32 {
    1800
}

/// Makes texts of values the same everywhere.
const SESSION_SETTINGS: &str = "SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; \
    SET IntervalStyle = 'iso_8601'; SET standard_conforming_strings = on; \
    SET bytea_output = 'hex'; SET statement_timeout = 0; \
    SET idle_in_transaction_session_timeout = 0; SET client_min_messages = warning";

const LOCK_TIMEOUT_S: u32 = 60;

/// One connection to a server. Dropped, it is closed at once, whatever is going on.
pub(super) struct Session {
    client: Client,
    driver: JoinHandle<()>,
    name: Name,
    timeout: Duration,
}

impl Drop for Session {
    fn drop(&mut self) {
        // Otherwise the rest of an unfinished COPY would still be read.
        self.driver.abort();
    }
}

impl Session {
    /// Signs in.
    pub(super) async fn open(context: &Context, name: &Name) -> Result<Self> {
        let connection = context.connection(name, &[TYPE])?;
        let settings: PostgresConnection = Context::settings(connection)?;
        let timeout = Duration::from_secs(settings.connect_timeout_s.into());
        let connecting = connect(context, name, &settings);
        let (client, driver) = match tokio::time::timeout(timeout, connecting).await {
            Ok(connected) => connected?,
            Err(_) => return Err(silent(name, &settings.host, timeout)),
        };
        let timeout = Duration::from_secs(settings.timeout_s.into());
        let session = Self { client, driver, name: name.clone(), timeout };
        let lock = format!("{SESSION_SETTINGS}; SET lock_timeout = '{LOCK_TIMEOUT_S}s'");
        session.execute(&lock).await?;
        Ok(session)
    }

    /// Runs statements that give no rows.
    pub(super) async fn execute(&self, sql: &str) -> Result<()> {
        self.within(self.client.batch_execute(sql)).await
    }

    /// Runs one statement and gives the number of rows it touched.
    pub(super) async fn execute_with(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<u64> {
        self.within(self.client.execute(sql, params)).await
    }

    /// Runs one query.
    pub(super) async fn query(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>> {
        self.within(self.client.query(sql, params)).await
    }

    /// Has the server look at a statement, without running it.
    pub(super) async fn prepare(&self, sql: &str) -> Result<Statement> {
        self.within(self.client.prepare(sql)).await
    }

    /// Begins to read with `COPY … TO STDOUT`.
    pub(super) async fn copy_out(&self, sql: &str) -> Result<CopyOutStream> {
        self.within(self.client.copy_out(sql)).await
    }

    /// Begins to write with `COPY … FROM STDIN`.
    pub(super) async fn copy_in(&self, sql: &str) -> Result<CopyInSink<bytes::Bytes>> {
        self.within(self.client.copy_in(sql)).await
    }

    /// Waits for the server, but not forever.
    pub(super) async fn within<T>(
        &self,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T> {
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(answer) => answer.map_err(|error| self.problem(&error)),
            Err(_) => Err(silent(&self.name, "the server", self.timeout)),
        }
    }

    /// The number of the server's process that serves this session.
    pub(super) async fn backend(&self) -> Result<i32> {
        let rows = self.query("SELECT pg_backend_pid()", &[]).await?;
        Ok(rows.first().map(|row| row.get(0)).unwrap_or_default())
    }

    /// Commits the transaction.
    pub(super) async fn commit(&self) -> CommitAnswer {
        let answer = tokio::time::timeout(self.timeout, self.client.batch_execute("COMMIT")).await;
        match answer {
            Ok(Ok(())) => CommitAnswer::Done,
            Ok(Err(error)) => {
                let problem = self.problem(&error);
                // A refusal undoes everything; a server that goes down may have committed.
                let is_refusal = error.as_db_error().is_some_and(|answer| {
                    answer.severity() == "ERROR" && !answer.code().code().starts_with("57P")
                });
                match is_refusal {
                    true => CommitAnswer::Refused(problem),
                    false => CommitAnswer::Unknown(problem),
                }
            }
            Err(_) => CommitAnswer::Unknown(silent(&self.name, "the server", self.timeout)),
        }
    }

    /// What went wrong, in our words.
    pub(super) fn problem(&self, error: &tokio_postgres::Error) -> Problem {
        problem(&self.name, error)
    }
}

/// What the server said to a commit.
pub(super) enum CommitAnswer {
    /// It has happened.
    Done,
    /// It has not, for certain.
    Refused(Problem),
    /// The answer was lost.
    Unknown(Problem),
}

async fn connect(
    context: &Context,
    name: &Name,
    settings: &PostgresConnection,
) -> Result<(Client, JoinHandle<()>)> {
    let host = settings.host.trim();
    if host.is_empty() || host.contains(['/', ',', ' ', '@']) {
        return Err(Problem::new(
            &codes::SETTING_INVALID,
            format!("`{host}` is not the name or address of a server"),
        )
        .in_file(format!("connections/{name}.yaml"))
        .in_setting("/host")
        .hint("write `host: db.example.org`; port, database and user have settings of their own"));
    }
    let is_local = matches!(host, "localhost" | "127.0.0.1" | "::1");
    let tls = settings.tls.unwrap_or(if is_local { Tls::Prefer } else { Tls::VerifyFull });
    let mut config = Config::new();
    config
        .host(host)
        .port(settings.port)
        .dbname(&settings.database)
        .user(&settings.user)
        .application_name("affluent")
        .connect_timeout(Duration::from_secs(settings.connect_timeout_s.into()))
        .tcp_user_timeout(Duration::from_secs(120))
        .keepalives_idle(Duration::from_secs(60))
        .ssl_mode(match tls {
            Tls::Disable => SslMode::Disable,
            Tls::Prefer => SslMode::Prefer,
            Tls::Require | Tls::VerifyFull => SslMode::Require,
        });
    if let Some(password) = &settings.password {
        config.password(password.reveal());
    }
    let connector = postgres_tls::connector(context, settings, tls)?;
    let connected = config.connect(connector).await;
    let (client, connection) = connected.map_err(|error| {
        let (host, port) = (&settings.host, settings.port);
        let unreachable = error.as_db_error().is_none();
        let problem = problem(name, &error).arg("host", host);
        match unreachable {
            true => problem.hint(unreachable_hint(&error, host, port)),
            false => problem,
        }
    })?;
    let driver = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a database connection ended");
        }
    });
    Ok((client, driver))
}

fn unreachable_hint(error: &tokio_postgres::Error, host: &str, port: u16) -> String {
    let text = chain(error);
    if text.contains("ertificate") {
        return "give the authority's certificate with `root_certificate`, or encrypt without \
                checking it with `tls: require`"
            .to_owned();
    }
    if text.contains("TLS") || text.contains("tls") {
        return "if the server cannot encrypt, write `tls: disable`".to_owned();
    }
    if text.contains("password") {
        return "give the connection a `password`".to_owned();
    }
    format!("check that a server listens at {host}:{port}")
}

fn silent(name: &Name, who: &str, timeout: Duration) -> Problem {
    let seconds = timeout.as_secs();
    Problem::new(
        &codes::CONNECTION_TIMEOUT,
        format!("connection `{name}`: {who} has not answered for {seconds} s"),
    )
    .arg("connection", name)
    .arg("seconds", seconds)
    .hint("check host and port, or raise `connect_timeout_s` or `timeout_s` of the connection")
}

/// An error and what caused it, in one line.
fn chain(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// What went wrong, in our words.
fn problem(name: &Name, error: &tokio_postgres::Error) -> Problem {
    let Some(answer) = error.as_db_error() else {
        let text = chain(error);
        let password = text.contains("password");
        let code = if password { &codes::CONNECTION_REFUSED } else { &codes::CONNECTION_FAILED };
        let fact = match error.is_closed() {
            true => format!("connection `{name}` was cut"),
            false => format!("connection `{name}` cannot be made or was lost"),
        };
        return Problem::new(code, fact).arg("connection", name).detail(text);
    };
    let state = answer.code();
    let (code, fact, hint) = describe(state, name);
    let mut detail = answer.message().to_owned();
    if let Some(more) = answer.detail() {
        detail = format!("{detail}; {more}");
    }
    let problem = Problem::new(code, fact)
        .arg("connection", name)
        .arg("sqlstate", state.code())
        .detail(stdx::text::truncate(&detail, 2000));
    match answer.hint().map(str::to_owned).or(hint.map(str::to_owned)) {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}

fn describe(state: &SqlState, name: &Name) -> (&'static model::Code, String, Option<&'static str>) {
    let fact = |what: &str| format!("connection `{name}`: {what}");
    match state.code() {
        "28P01" | "28000" => (
            &codes::CONNECTION_REFUSED,
            fact("the server refuses this user or password"),
            Some("check `user` and `password` of the connection"),
        ),
        "3D000" => (
            &codes::CONNECTION_REFUSED,
            fact("there is no such database"),
            Some("check `database` of the connection"),
        ),
        "25006" => (
            &codes::SQL_REFUSED,
            fact("the query tries to change something"),
            Some("a source only reads"),
        ),
        "42501" => (
            &codes::PERMISSION_DENIED,
            fact("the user may not do this"),
            Some("grant the user the right, or use another one"),
        ),
        "42P01" | "3F000" => (
            &codes::QUERY_FAILED,
            fact("there is no such table"),
            Some("write `schema.table` exactly as the database spells it"),
        ),
        "42703" => (&codes::COLUMN_UNKNOWN, fact("there is no such column"), None),
        "53100" => (&codes::STORAGE_FULL, fact("the server's disk is full"), None),
        "55P03" => (
            &codes::TABLE_CONFLICT,
            fact("somebody else holds the table"),
            Some(
                "wait until the other transaction ends; two sinks of one run cannot both create \
                  or truncate a table: put their rows together with `union`",
            ),
        ),
        "40001" | "40P01" => {
            (&codes::TABLE_CONFLICT, fact("another transaction came in between"), None)
        }
        "53300" | "57P03" | "57P01" | "57P02" => {
            (&codes::CONNECTION_FAILED, fact("the server takes no more connections now"), None)
        }
        code if code.starts_with("23") => {
            (&codes::CONSTRAINT_VIOLATED, fact("a row breaks a constraint of the table"), None)
        }
        code if code.starts_with("22") => {
            (&codes::TYPE_MISMATCH, fact("a value does not fit its column"), None)
        }
        code if code.starts_with("08") => {
            (&codes::CONNECTION_FAILED, fact("the connection was lost"), None)
        }
        _ => (&codes::QUERY_FAILED, fact("the server refused a statement"), None),
    }
}
