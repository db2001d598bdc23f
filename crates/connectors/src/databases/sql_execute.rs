//! `sql_execute`: statements in a database, once per run, and rows for later actions.

use super::postgres_client::{self, CommitAnswer, Session};
use super::postgres_target::{Ledger, ask_ledger};
use super::sqlite_client::{self, Database, blocking};
use super::statements::{Bound, bind, check};
use super::write_sqlite::{CREATE_LEDGER, find_commit};
use async_trait::async_trait;
use bytes::BytesMut;
use contracts::action::{Action, ActionModule, Outside, Scope, Step, Unfilled};
use contracts::settings::OneOrMany;
use contracts::{Context, Example};
use model::run::CommitKey;
use model::{Name, Problem, Result, codes};
use rusqlite::types::ValueRef;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::error::Error;
use tokio_postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};

/// Rows that go to later actions; more belong into tables.
const ROWS_MAX: usize = 1_000;
/// What the ledger says the statements wrote to.
const TARGET: &str = "sql_execute";

/// Settings of `sql_execute`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A connection of type `postgres` or `sqlite`.
    connection: Name,
    /// Statements, one in each text, such as `delete from sales where day = $day`. All run in one
    /// transaction.
    #[serde(default)]
    #[schemars(extend("x-widget" = "sql"))]
    statements: OneOrMany,
    /// A query whose rows are `rows` in the output, 1000 at most. It runs after the statements.
    #[serde(default)]
    #[schemars(extend("x-widget" = "sql"))]
    query: Option<String>,
    /// Values for `$name` in statements and query. They may be templates. Lists and maps are given
    /// as JSON.
    #[serde(default)]
    params: Map<String, Value>,
    /// Whether the statements run in one transaction, together with a row in the table
    /// `affluent_commits` that keeps them from being run twice by the same run. Without it, for
    /// statements such as `vacuum`, they may run again after a crash.
    #[serde(default = "yes")]
    transaction: bool,
}

fn yes() -> bool {
    true
}

/// The module.
pub struct SqlExecute;

impl ActionModule for SqlExecute {
    type Config = Config;
    const NAME: &'static str = "sql_execute";
    const SUMMARY: &'static str =
        "Runs statements in a database, once per run, and reads a few rows for later nodes.";
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "delete a day before it is loaded again",
            config: r#"{"connection": "erp", "statements": "delete from sales where day = $day",
                        "params": {"day": "{{ params.day }}"}}"#,
            inputs: &[],
            outputs: &[],
        },
        Example {
            title: "ask for a list, for `foreach`",
            config: r#"{"connection": "erp",
                        "query": "select id, name from shops where open order by id"}"#,
            inputs: &[],
            outputs: &[],
        },
    ];
    const UNFILLED: &'static [(&'static str, Unfilled)] =
        &[("statements", Unfilled::Verbatim), ("query", Unfilled::Verbatim)];

    fn build(config: Config) -> Result<Box<dyn Action>> {
        for (at, statement) in config.statements.iter().enumerate() {
            check(statement).map_err(|problem| problem.in_setting(format!("/statements/{at}")))?;
        }
        if let Some(query) = &config.query {
            check(query).map_err(|problem| problem.in_setting("/query"))?;
        }
        if config.statements.is_empty() && config.query.is_none() {
            return Err(Problem::new(&codes::SETTING_INVALID, "there is nothing to run")
                .hint("write `statements` or `query`"));
        }
        let texts = config.statements.iter().chain(config.query.as_deref());
        // A value from outside would become part of the statement.
        if texts.into_iter().any(|text| text.contains("{{")) {
            return Err(Problem::new(&codes::SETTING_INVALID, "SQL takes no templates")
                .hint("write `$name` in the SQL, and `params: {name: \"{{ … }}\"}`"));
        }
        Ok(Box::new(config))
    }
}

/// What statements have done.
#[derive(Debug, Default)]
struct Outcome {
    affected: u64,
    /// Whether an earlier attempt had done it.
    already: bool,
    rows: Vec<Value>,
}

impl Config {
    fn bound(&self, mark: char) -> Result<Vec<Bound>> {
        self.statements.iter().map(|sql| bind(sql, mark, &self.params)).collect()
    }

    async fn on_postgres(&self, context: &Context, key: &str) -> Result<Outcome> {
        let statements = self.bound('$')?;
        let session = Session::open(context, &self.connection).await?;
        let mut outcome = match (statements.is_empty(), self.transaction) {
            (true, _) => Outcome::default(),
            (false, false) => {
                let affected = run(&session, &statements).await?;
                Outcome { affected, ..Outcome::default() }
            }
            (false, true) => self.once_on_postgres(context, &session, &statements, key).await?,
        };
        if let Some(query) = &self.query {
            outcome.rows = postgres_rows(&session, &bind(query, '$', &self.params)?).await?;
        }
        Ok(outcome)
    }

    /// The statements and the ledger's row in one transaction.
    async fn once_on_postgres(
        &self,
        context: &Context,
        session: &Session,
        statements: &[Bound],
        key: &str,
    ) -> Result<Outcome> {
        let done = |affected, already| Outcome { affected, already, rows: Vec::new() };
        let ledger = Ledger::of(session, &["affluent_commits".to_owned()]).await?;
        if let Some(affected) = ledger.find(session, key).await? {
            return Ok(done(affected, true));
        }
        ledger.create(session).await?;
        let backend = session.backend().await?;
        session.execute("BEGIN").await?;
        let affected = run(session, statements).await?;
        if !ledger.insert(session, key, TARGET, affected, &Map::new()).await? {
            session.execute("ROLLBACK").await?;
            let affected = ledger.find(session, key).await?.unwrap_or(affected);
            return Ok(done(affected, true));
        }
        match session.commit().await {
            CommitAnswer::Done => Ok(done(affected, false)),
            CommitAnswer::Refused(problem) => Err(problem),
            CommitAnswer::Unknown(lost) => {
                match ask_ledger(context, &self.connection, &ledger, key, backend).await {
                    Ok(Some(affected)) => Ok(done(affected, false)),
                    Ok(None) => Err(lost),
                    Err(problem) => Err(Problem::new(
                        &codes::COMMIT_UNKNOWN,
                        "the answer to the commit was lost, and the server cannot be asked",
                    )
                    .detail(problem)
                    .hint("try again when it can be reached: it looks at the ledger first")),
                }
            }
        }
    }

    fn on_sqlite(&self, database: &Database, key: &str) -> Result<Outcome> {
        let failed = |error: rusqlite::Error| database.problem(&error);
        let statements = self.bound('?')?;
        let connection = match statements.is_empty() {
            true => database.open_to_read()?,
            false => database.open_to_write()?,
        };
        let mut outcome = Outcome::default();
        if !statements.is_empty() && !self.transaction {
            outcome.affected = run_sqlite(&connection, &statements).map_err(failed)?;
        }
        if !statements.is_empty() && self.transaction {
            connection.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
            // Dropped before COMMIT, the connection rolls back.
            match find_commit(&connection, key).map_err(failed)? {
                Some(affected) => outcome = Outcome { affected, already: true, rows: Vec::new() },
                None => {
                    outcome.affected = run_sqlite(&connection, &statements).map_err(failed)?;
                    let rows = i64::try_from(outcome.affected).unwrap_or(i64::MAX);
                    connection.execute_batch(CREATE_LEDGER).map_err(failed)?;
                    let note = "INSERT INTO main.affluent_commits \
                                (app_id, target, rows, metadata) VALUES (?1, ?2, ?3, '{}')";
                    connection.execute(note, (key, TARGET, rows)).map_err(failed)?;
                }
            }
            connection.execute_batch("COMMIT").map_err(failed)?;
        }
        if let Some(query) = &self.query {
            outcome.rows = sqlite_rows(&connection, &bind(query, '?', &self.params)?, database)?;
        }
        Ok(outcome)
    }
}

async fn run(session: &Session, statements: &[Bound]) -> Result<u64> {
    let mut affected = 0;
    for statement in statements {
        let values: Vec<AsText> = statement.values.iter().map(AsText::new).collect();
        let params: Vec<&(dyn ToSql + Sync)> = values.iter().map(|v| v as _).collect();
        affected += session.execute_with(&statement.sql, &params).await?;
    }
    Ok(affected)
}

async fn postgres_rows(session: &Session, query: &Bound) -> Result<Vec<Value>> {
    let text = query.sql.trim().trim_end_matches(';');
    let sql = format!("SELECT to_jsonb(q) FROM ({text}\n) AS q LIMIT {}", ROWS_MAX + 1);
    let values: Vec<AsText> = query.values.iter().map(AsText::new).collect();
    let params: Vec<&(dyn ToSql + Sync)> = values.iter().map(|v| v as _).collect();
    let rows = session.query(&sql, &params).await?;
    few(rows.iter().map(|row| row.get(0)).collect())
}

fn few(rows: Vec<Value>) -> Result<Vec<Value>> {
    if rows.len() > ROWS_MAX {
        let fact = format!("the query gives more than {ROWS_MAX} rows");
        return Err(Problem::new(&codes::RESPONSE_TOO_LARGE, fact)
            .hint("add `limit`, or read them with a data node"));
    }
    Ok(rows)
}

/// A value that the server reads as the type it needs.
#[derive(Debug)]
struct AsText(Option<String>);

impl AsText {
    fn new(value: &Value) -> Self {
        Self(match value {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        })
    }
}

impl ToSql for AsText {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match &self.0 {
            None => Ok(IsNull::Yes),
            Some(text) => {
                out.extend_from_slice(text.as_bytes());
                Ok(IsNull::No)
            }
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

fn run_sqlite(connection: &rusqlite::Connection, statements: &[Bound]) -> rusqlite::Result<u64> {
    let mut affected = 0;
    for statement in statements {
        let values = statement.values.iter().map(sqlite_value);
        let changed = connection.execute(&statement.sql, rusqlite::params_from_iter(values))?;
        affected += u64::try_from(changed).unwrap_or(0);
    }
    Ok(affected)
}

fn sqlite_value(value: &Value) -> rusqlite::types::Value {
    use rusqlite::types::Value as Stored;
    match value {
        Value::Null => Stored::Null,
        Value::Bool(value) => Stored::Integer(i64::from(*value)),
        Value::String(text) => Stored::Text(text.clone()),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Stored::Integer(whole),
            (None, Some(float)) => Stored::Real(float),
            (None, None) => Stored::Text(number.to_string()),
        },
        other => Stored::Text(other.to_string()),
    }
}

fn sqlite_rows(
    connection: &rusqlite::Connection,
    query: &Bound,
    database: &Database,
) -> Result<Vec<Value>> {
    let failed = |error: rusqlite::Error| database.problem(&error);
    let mut statement = connection.prepare(&query.sql).map_err(failed)?;
    if !statement.readonly() {
        return Err(Problem::new(&codes::SQL_REFUSED, "the query tries to change something")
            .in_setting("/query")
            .hint("put it into `statements`"));
    }
    let names: Vec<String> = statement.column_names().iter().map(ToString::to_string).collect();
    let values = rusqlite::params_from_iter(query.values.iter().map(sqlite_value));
    let mut found = statement.query(values).map_err(failed)?;
    let mut rows = Vec::new();
    while let Some(row) = found.next().map_err(failed)? {
        let mut map = Map::new();
        for (at, name) in names.iter().enumerate() {
            map.insert(name.clone(), as_json(row.get_ref(at).map_err(failed)?));
        }
        rows.push(Value::Object(map));
        if rows.len() > ROWS_MAX {
            break;
        }
    }
    few(rows)
}

fn as_json(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(whole) => whole.into(),
        ValueRef::Real(float) => json!(float),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned().into(),
        ValueRef::Blob(bytes) => {
            bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
        }
    }
}

/// The rows that a query gives, for who waits for some.
pub(crate) async fn rows_of(
    context: &Context,
    connection: &Name,
    query: &str,
    params: &Map<String, Value>,
) -> Result<Vec<Value>> {
    let config = Config {
        connection: connection.clone(),
        statements: OneOrMany::default(),
        query: Some(query.to_owned()),
        params: params.clone(),
        transaction: true,
    };
    Ok(config.go(context, String::new()).await?.rows)
}

impl Config {
    async fn go(&self, context: &Context, key: String) -> Result<Outcome> {
        let types = [postgres_client::TYPE, sqlite_client::TYPE];
        let connection = context.connection(&self.connection, &types)?;
        if connection.connection_type == postgres_client::TYPE {
            return self.on_postgres(context, &key).await;
        }
        let database = Database::locate(context, Some(&self.connection), None)?;
        let config = self.clone();
        blocking(move || config.on_sqlite(&database, &key)).await
    }
}

#[async_trait]
impl Action for Config {
    fn outside(&self) -> bool {
        true
    }

    async fn perform(&self, scope: &Scope, outside: &Outside<'_>) -> Result<Step> {
        let key = CommitKey {
            workspace: scope.workspace.clone(),
            pipeline: scope.pipeline.clone(),
            node: Name::new(&scope.task)?,
            run: scope.run.clone(),
        };
        let Outcome { affected, already, rows } = self.go(outside.context, key.to_string()).await?;
        let mut output = json!({"affected": affected, "already": already});
        if self.query.is_some() {
            output["rows"] = Value::Array(rows);
        }
        Ok(Step::done(output))
    }
}
