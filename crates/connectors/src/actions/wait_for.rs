//! `wait_for`: a file, rows, a table, a service — holding no slot meanwhile.

use crate::databases::sql_execute::rows_of;
use crate::files::find::find;
use crate::http::{Call, send};
use crate::storage::{self, Scheme};
use async_trait::async_trait;
use contracts::Example;
use contracts::action::{Action, ActionModule, Outside, Scope, Step};
use model::{Name, Problem, Result, Span, TableName, codes};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use stdx::clock::{Clock, SystemClock};

const EVERY_MIN: Span = Span::from_us(1_000_000);
const FILES_MAX: usize = 1_000;

/// Settings of `wait_for`. Exactly one of `file`, `rows`, `table` and `http`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// A file, or a pattern such as `data/orders-*.csv`; `s3://` needs `connection`.
    #[serde(default)]
    file: Option<String>,
    /// For a file in an object store, a connection of type `s3`.
    #[serde(default)]
    connection: Option<Name>,
    /// Rows in a database.
    #[serde(default)]
    rows: Option<Rows>,
    /// Rows in a lake table.
    #[serde(default)]
    table: Option<Table>,
    /// An answer of a service: one of the statuses in `expect`.
    #[serde(default)]
    http: Option<Call>,
    /// How often to look.
    #[serde(default = "minute")]
    every: Span,
    /// How long to wait in all; then the node fails.
    #[serde(default = "day")]
    timeout: Span,
}

fn minute() -> Span {
    Span::from_us(60_000_000)
}

fn day() -> Span {
    Span::from_us(86_400_000_000)
}

/// Rows in a database that are waited for.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rows {
    /// A connection of type `postgres` or `sqlite`.
    connection: Name,
    /// A query; the wait is over when it gives a row.
    #[schemars(extend("x-widget" = "sql"))]
    query: String,
    /// Values for `$name` in the query. They may be templates.
    #[serde(default)]
    params: Map<String, Value>,
}

/// Rows in a lake table that are waited for.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    /// The table, as `silver.orders`.
    name: TableName,
    /// How many rows it must have.
    #[serde(default = "one")]
    rows: u64,
}

fn one() -> u64 {
    1
}

/// The module.
pub(crate) struct WaitFor;

impl ActionModule for WaitFor {
    type Config = Settings;
    const NAME: &'static str = "wait_for";
    const SUMMARY: &'static str =
        "Waits for a file, rows or the answer of a service, and holds no slot meanwhile.";
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "a file that somebody delivers",
            config: r#"{"file": "in/orders-{{ params.day }}.csv", "every": "30s",
                        "timeout": "6h"}"#,
            inputs: &[],
            outputs: &[],
        },
        Example {
            title: "rows in a database",
            config: r#"{"rows": {"connection": "erp",
                        "query": "select 1 from closings where day = $day",
                        "params": {"day": "{{ params.day }}"}}}"#,
            inputs: &[],
            outputs: &[],
        },
        Example {
            title: "a job that a service does",
            config: r#"{"http": {"connection": "crm",
                        "url": "jobs/{{ outputs.start.json.id }}/result"}}"#,
            inputs: &[],
            outputs: &[],
        },
    ];

    fn build(config: Settings) -> Result<Box<dyn Action>> {
        let refuse = |setting: &str, fact: &str, hint: &str| {
            let problem = Problem::new(&codes::SETTING_INVALID, fact);
            Err(problem.in_setting(setting).hint(hint.to_owned()))
        };
        let Settings { file, connection, rows, table, http, every, .. } = &config;
        let given = [file.is_some(), rows.is_some(), table.is_some(), http.is_some()];
        if given.into_iter().filter(|is_given| *is_given).count() != 1 {
            let hint = "write one of `file`, `rows`, `table` and `http`; to wait for two things, \
                        use two nodes; a time is waited for with `wait`";
            return refuse("", "this does not say what one thing to wait for", hint);
        }
        if *every < EVERY_MIN {
            return refuse("/every", "nobody is asked so often", "write `1s` or more");
        }
        if connection.is_some() && file.is_none() {
            let hint = "`rows` and `http` have a `connection` of their own";
            return refuse("/connection", "this connection is for a file", hint);
        }
        if let Some(http) = http {
            http.check().map_err(|problem| {
                let setting = problem.context().setting.clone().unwrap_or_default();
                // Only the innermost place counts, so it is told anew.
                let told = Problem::new(&problem.code(), problem.message());
                told.hint(problem.hint_text().unwrap_or_default())
                    .in_setting(format!("/http{setting}"))
            })?;
        }
        if rows.as_ref().is_some_and(|rows| rows.query.contains("{{")) {
            let hint = "write `$name` in the SQL, and `params: {name: \"{{ … }}\"}`";
            return refuse("/rows/query", "SQL takes no templates", hint);
        }
        let is_web = |file: &String| matches!(Scheme::of(file), Ok(Scheme::Http));
        if file.as_ref().is_some_and(is_web) {
            return refuse(
                "/file",
                "this is the address of a service",
                "write it as `http: {url: …}`",
            );
        }
        Ok(Box::new(config))
    }
}

impl Settings {
    /// What was waited for, if it is there.
    async fn look(&self, outside: &Outside<'_>) -> Result<Option<Value>> {
        if let Some(file) = &self.file {
            let store = storage::open(outside.context, file, self.connection.as_ref())?;
            let found = find(outside.context, store.as_ref(), file).await?;
            let files: Vec<&str> =
                found.iter().take(FILES_MAX).map(|file| file.path.as_str()).collect();
            return Ok((!files.is_empty()).then(|| json!({"files": files, "count": found.len()})));
        }
        if let Some(Rows { connection, query, params }) = &self.rows {
            let rows = rows_of(outside.context, connection, query, params).await?;
            return Ok((!rows.is_empty()).then(|| json!({"rows": rows})));
        }
        if let Some(Table { name, rows }) = &self.table {
            let info = outside.context.tables.describe(name, None).await?;
            let enough = info.filter(|info| info.rows.is_some_and(|have| have >= *rows));
            return Ok(enough.map(|info| json!({"version": info.version, "rows": info.rows})));
        }
        let Some(call) = &self.http else { return Ok(None) };
        let (_, reply) = send(call, outside, &[]).await?;
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        let body = serde_json::from_str(&text).map_or_else(
            |_| json!({"status": reply.status, "text": text}),
            |json: Value| json!({"status": reply.status, "json": json}),
        );
        Ok(call.is_expected(reply.status).then_some(body))
    }

    fn what(&self) -> String {
        match (&self.file, &self.rows, &self.table) {
            (Some(file), ..) => format!("file `{file}`"),
            (_, Some(rows), _) => format!("row in `{}`", rows.connection),
            (.., Some(table)) => format!("table `{}` with {} rows", table.name, table.rows),
            _ => "answer of the service".to_owned(),
        }
    }
}

#[async_trait]
impl Action for Settings {
    fn outside(&self) -> bool {
        true
    }

    async fn perform(&self, scope: &Scope, outside: &Outside<'_>) -> Result<Step> {
        // What can pass by itself is waited for as well: a server that is down may come up.
        let reason = match self.look(outside).await {
            Ok(Some(output)) => return Ok(Step::done(output)),
            Ok(None) => None,
            Err(problem) if problem.code().retry => Some(problem),
            Err(problem) => return Err(problem),
        };
        let waited_us = SystemClock.now_us().saturating_sub(scope.started_us);
        let left_us = self.timeout.us().saturating_sub(waited_us);
        if left_us > 0 {
            return Ok(Step::Again { after_us: self.every.us().min(left_us) });
        }
        let fact = format!("no {} within {}", self.what(), self.timeout);
        let problem = Problem::new(&codes::WAIT_OVER, fact)
            .hint("raise `timeout`, or ask whoever should have delivered it");
        Err(match reason {
            Some(reason) => problem.detail(reason),
            None => problem,
        })
    }
}
