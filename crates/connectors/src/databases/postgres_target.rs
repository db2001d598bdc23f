//! The table that `write_postgres` writes to, as the server describes it, and the ledger beside it.

use super::postgres_client::Session;
use super::postgres_encode::Store;
use super::selection::{quote, quote_list, quote_parts};
use crate::storage::io_problem;
use arrow::datatypes::{Field, SchemaRef};
use contracts::Context;
use contracts::table::SchemaPolicy;
use model::{Name, Problem, Result, codes};
use serde_json::{Map, Value};
use std::time::Duration;
use tokio_postgres::types::{Json, Oid};

/// Where commits are noted, in the schema of the table.
const LEDGER: &str = "affluent_commits";

/// A table as it is now.
#[derive(Debug, Default)]
pub(super) struct TargetTable {
    /// Whether it is there.
    pub exists: bool,
    columns: Vec<TargetColumn>,
    /// Columns of each unique index that covers all rows.
    unique: Vec<Vec<String>>,
}

#[derive(Debug)]
struct TargetColumn {
    name: String,
    oid: Oid,
    /// The type without length or precision, as SQL.
    sql_type: String,
    modifier: i32,
    /// Computed by the server, or only numbered by it.
    is_generated: bool,
}

impl TargetTable {
    /// Asks the server.
    pub(super) async fn describe(session: &Session, table: &[String]) -> Result<Self> {
        let name = quote_parts(table);
        let sql = "SELECT a.attname::text, a.atttypid, format_type(a.atttypid, NULL), \
                   a.atttypmod, a.attgenerated <> '' OR a.attidentity = 'a' \
                   FROM pg_attribute a WHERE a.attrelid = to_regclass($1::text) \
                   AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";
        let rows = session.query(sql, &[&name]).await?;
        let columns: Vec<TargetColumn> = rows
            .iter()
            .map(|row| TargetColumn {
                name: row.get(0),
                oid: row.get(1),
                sql_type: row.get(2),
                modifier: row.get(3),
                is_generated: row.get(4),
            })
            .collect();
        let sql = "SELECT array_agg(a.attname::text) FROM pg_index i JOIN pg_attribute a \
                   ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) \
                   WHERE i.indrelid = to_regclass($1::text) AND i.indisunique AND i.indisvalid \
                   AND i.indpred IS NULL AND i.indexprs IS NULL GROUP BY i.indexrelid";
        let rows = session.query(sql, &[&name]).await?;
        let unique = rows.iter().map(|row| row.get(0)).collect();
        Ok(Self { exists: !columns.is_empty(), columns, unique })
    }

    /// Statements that make the table, and its schema where that is missing.
    pub(super) fn create_sql(
        &self,
        table: &[String],
        schema: &SchemaRef,
        key: &[String],
    ) -> Vec<String> {
        let mut columns: Vec<String> = schema
            .fields()
            .iter()
            .map(|field| format!("{} {}", quote(field.name()), Store::natural(field).sql()))
            .collect();
        if !key.is_empty() {
            columns.push(format!("PRIMARY KEY ({})", quote_list(key)));
        }
        vec![format!("CREATE TABLE {} ({})", quote_parts(table), columns.join(", "))]
    }

    fn column(&self, name: &str) -> Option<&TargetColumn> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Which incoming columns are written, and statements that add those that are missing.
    pub(super) fn fit(
        &self,
        table: &[String],
        schema: &SchemaRef,
        policy: SchemaPolicy,
    ) -> Result<(Vec<usize>, Vec<String>)> {
        let mut projection = Vec::new();
        let mut added = Vec::new();
        for (at, field) in schema.fields().iter().enumerate() {
            match (self.column(field.name()), policy) {
                (Some(column), _) => {
                    column.check(field)?;
                    projection.push(at);
                }
                (None, SchemaPolicy::Discard) => {}
                (None, SchemaPolicy::Evolve) => {
                    projection.push(at);
                    added.push(format!(
                        "ALTER TABLE {} ADD COLUMN {} {}",
                        quote_parts(table),
                        quote(field.name()),
                        Store::natural(field).sql()
                    ));
                }
                (None, SchemaPolicy::Freeze) => {
                    return Err(Problem::new(
                        &codes::SCHEMA_CHANGED,
                        format!("`{}` has no column `{}`", table.join("."), field.name()),
                    )
                    .arg("column", field.name())
                    .hint("leave it out with `select`, or allow it with `schema: evolve`"));
                }
            }
        }
        Ok((projection, added))
    }

    /// The type as which a column can be copied straight into the table.
    pub(super) fn direct_store(&self, field: &Field) -> Option<Store> {
        Store::direct(field, self.column(field.name())?.oid)
    }

    /// A staged column as an expression of the table's type.
    pub(super) fn cast(&self, name: &str, store: &Store) -> String {
        let quoted = quote(name);
        match self.column(name) {
            // A cast to these would cut long texts; the assignment refuses them.
            Some(column) if column.sql_type.starts_with("character") => match store {
                Store::Text => quoted,
                _ => format!("{quoted}::text"),
            },
            Some(column) => format!("{quoted}::{}", column.sql_type),
            None => quoted,
        }
    }

    /// An upsert needs an index to find rows by.
    pub(super) fn check_unique(&self, table: &[String], key: &[String]) -> Result<()> {
        let is_key = |columns: &Vec<String>| {
            columns.len() == key.len() && key.iter().all(|column| columns.contains(column))
        };
        if self.unique.iter().any(is_key) {
            return Ok(());
        }
        let names = stdx::text::list(key.iter().map(String::as_str));
        Err(Problem::new(
            &codes::SETTING_INVALID,
            format!("`{}` has no unique index on {names}", table.join(".")),
        )
        .in_setting("/key")
        .hint(format!(
            "create unique index on {} ({})",
            quote_parts(table),
            quote_list(key)
        )))
    }
}

impl TargetColumn {
    /// Refuses what would silently lose digits, and columns that cannot be written.
    fn check(&self, field: &Field) -> Result<()> {
        let name = field.name();
        if self.is_generated {
            return Err(Problem::new(
                &codes::SCHEMA_CHANGED,
                format!("the server computes column `{name}` itself"),
            )
            .arg("column", name)
            .hint("leave it out with `select`"));
        }
        let incoming = match Store::natural(field) {
            Store::Numeric(_, scale) => scale,
            _ => return Ok(()),
        };
        let scale = ((self.modifier - 4) & 0x7ff) ^ 1024;
        let scale = scale - 1024;
        let is_limited = self.sql_type == "numeric" && self.modifier >= 4;
        let is_whole = matches!(self.sql_type.as_str(), "smallint" | "integer" | "bigint");
        if (is_limited && i32::from(incoming) > scale) || (is_whole && incoming > 0) {
            return Err(Problem::new(
                &codes::TYPE_MISMATCH,
                format!("`{name}` has more decimals than the column of the table"),
            )
            .arg("column", name)
            .hint("round it to the table's decimals with `cast` or `derive`"));
        }
        Ok(())
    }
}

/// The table `affluent_commits`: a row per commit, in the same transaction as its rows.
#[derive(Debug, Clone)]
pub(super) struct Ledger {
    schema: String,
    name: String,
}

impl Ledger {
    /// The ledger of a table: in the table's schema.
    pub(super) async fn of(session: &Session, table: &[String]) -> Result<Self> {
        let schema = match table {
            [schema, _] => schema.clone(),
            _ => {
                let sql = "SELECT coalesce((SELECT n.nspname FROM pg_class c \
                           JOIN pg_namespace n ON n.oid = c.relnamespace \
                           WHERE c.oid = to_regclass($1::text)), current_schema())::text";
                let rows = session.query(sql, &[&quote_parts(table)]).await?;
                let schema: Option<String> = rows.first().and_then(|row| row.get(0));
                schema.unwrap_or_else(|| "public".to_owned())
            }
        };
        let name = quote_parts(&[schema.clone(), LEDGER.to_owned()]);
        Ok(Self { schema, name })
    }

    async fn exists(&self, session: &Session) -> Result<bool> {
        let rows = session.query("SELECT to_regclass($1::text) IS NOT NULL", &[&self.name]).await?;
        Ok(rows.first().is_some_and(|row| row.get(0)))
    }

    /// Makes the ledger, and the schema, where they are missing. In transactions of its own, so
    /// that two sinks do not wait for one another.
    pub(super) async fn create(&self, session: &Session) -> Result<()> {
        const ATTEMPTS_MAX: u32 = 5;
        for attempt in 1..=ATTEMPTS_MAX {
            if self.exists(session).await? {
                return Ok(());
            }
            let Err(problem) = self.try_create(session).await else { return Ok(()) };
            // Somebody else may have made it in between, which the server calls a violation.
            let is_race = problem.is(&codes::CONSTRAINT_VIOLATED) && attempt < ATTEMPTS_MAX;
            if !is_race && !self.exists(session).await? {
                return Err(problem);
            }
        }
        Ok(())
    }

    async fn try_create(&self, session: &Session) -> Result<()> {
        let sql = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)";
        let rows = session.query(sql, &[&self.schema]).await?;
        let has_schema: bool = rows.first().is_some_and(|row| row.get(0));
        if !has_schema {
            let schema = quote(&self.schema);
            session.execute(&format!("CREATE SCHEMA IF NOT EXISTS {schema}")).await?;
        }
        let name = &self.name;
        stdx::durable::step(&format!("create {name}")).map_err(|error| io_problem(name, &error))?;
        session
            .execute(&format!(
                "CREATE TABLE IF NOT EXISTS {name} (app_id text PRIMARY KEY, \
                 target text NOT NULL, rows bigint NOT NULL, metadata jsonb NOT NULL, \
                 committed_at timestamptz NOT NULL DEFAULT clock_timestamp())"
            ))
            .await
    }

    /// The number of rows that the commit with this key has written, if it has happened.
    pub(super) async fn find(&self, session: &Session, key: &str) -> Result<Option<u64>> {
        if !self.exists(session).await? {
            return Ok(None);
        }
        let sql = format!("SELECT rows FROM {} WHERE app_id = $1", self.name);
        let rows = session.query(&sql, &[&key]).await?;
        let rows: Option<i64> = rows.first().map(|row| row.get(0));
        Ok(rows.map(|rows| u64::try_from(rows).unwrap_or(0)))
    }

    /// Notes a commit; false when it has been noted before.
    pub(super) async fn insert(
        &self,
        session: &Session,
        key: &str,
        target: &str,
        rows: u64,
        metadata: &Map<String, Value>,
    ) -> Result<bool> {
        let sql = format!(
            "INSERT INTO {} (app_id, target, rows, metadata) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (app_id) DO NOTHING",
            self.name
        );
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        let metadata = Json(Value::Object(metadata.clone()));
        let noted = session.execute_with(&sql, &[&key, &target, &rows, &metadata]).await?;
        Ok(noted == 1)
    }
}

/// Asks once the old transaction has certainly ended.
pub(super) async fn ask_ledger(
    context: &Context,
    connection: &Name,
    ledger: &Ledger,
    key: &str,
    backend: i32,
) -> Result<Option<u64>> {
    const POLLS_MAX: u32 = 100;
    const POLL: Duration = Duration::from_millis(100);
    let session = Session::open(context, connection).await?;
    for poll in 1..=POLLS_MAX {
        if let Some(rows) = ledger.find(&session, key).await? {
            return Ok(Some(rows));
        }
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1";
        let alive: i64 =
            session.query(sql, &[&backend]).await?.first().map(|row| row.get(0)).unwrap_or(0);
        if alive == 0 {
            return ledger.find(&session, key).await;
        }
        if poll == POLLS_MAX / 2 {
            // It waits for a client that is gone; ending it decides the matter either way.
            session.query("SELECT pg_terminate_backend($1)", &[&backend]).await?;
        }
        tokio::time::sleep(POLL).await;
    }
    Err(Problem::new(&codes::COMMIT_UNKNOWN, "the server has not ended the transaction"))
}
