//! Looking behind connections to databases.

use super::postgres_client::Session;
use super::sqlite_client::{Database, blocking};
use crate::look::{Found, Place};
use contracts::Context;
use model::{Name, Result};
use tokio_postgres::types::ToSql;

const POSTGRES_SELF: &str = "SELECT current_setting('server_version'), current_database()::text, \
     current_user::text, \
     COALESCE((SELECT ssl FROM pg_catalog.pg_stat_ssl WHERE pid = pg_backend_pid()), false)";
const POSTGRES_SCHEMAS: &str = "SELECT nspname::text, 'schema', NULL::text \
     FROM pg_catalog.pg_namespace \
     WHERE has_schema_privilege(oid, 'USAGE') AND nspname !~ '^pg_' \
     AND nspname <> 'information_schema' AND starts_with(lower(nspname::text), lower($1)) \
     ORDER BY 1 LIMIT $2";
const POSTGRES_TABLES: &str = "SELECT relname::text, \
     CASE WHEN relkind IN ('v', 'm') THEN 'view' ELSE 'table' END, NULL::text \
     FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace \
     WHERE nspname = $3 AND relkind IN ('r', 'p', 'v', 'm', 'f') \
     AND starts_with(lower(relname::text), lower($1)) ORDER BY 1 LIMIT $2";
const POSTGRES_COLUMNS: &str = "SELECT attname::text, 'column', \
     pg_catalog.format_type(atttypid, atttypmod) \
     FROM pg_catalog.pg_attribute JOIN pg_catalog.pg_class c ON c.oid = attrelid \
     JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace \
     WHERE nspname = $3 AND relname = $4 AND attnum > 0 AND NOT attisdropped \
     AND starts_with(lower(attname::text), lower($1)) ORDER BY attnum LIMIT $2";

/// Signs in, and says as whom and where.
pub(crate) async fn test_postgres(context: &Context, name: &Name) -> Result<String> {
    let session = Session::open(context, name).await?;
    let rows = session.query(POSTGRES_SELF, &[]).await?;
    let text = |at: usize| rows.first().map(|row| row.get::<_, String>(at)).unwrap_or_default();
    let encrypted = rows.first().is_some_and(|row| row.get(3));
    let line = if encrypted { "encrypted" } else { "not encrypted" };
    Ok(format!(
        "PostgreSQL {} answers: database `{}`, user `{}`, the line is {line}",
        text(0),
        text(1),
        text(2)
    ))
}

/// Schemas, the tables of a schema, or the columns of a table.
pub(crate) async fn browse_postgres(
    context: &Context,
    name: &Name,
    place: &Place,
) -> Result<Vec<Found>> {
    let session = Session::open(context, name).await?;
    let limit = i64::try_from(place.limit).unwrap_or(i64::MAX);
    let (schema, table) = match place.path.split_once('.') {
        Some((schema, table)) => (schema, Some(table)),
        None => (place.path.as_str(), None),
    };
    let table_name = table.unwrap_or_default();
    let values: [&(dyn ToSql + Sync); 4] = [&place.prefix, &limit, &schema, &table_name];
    let (sql, count) = match (schema, table) {
        ("", _) => (POSTGRES_SCHEMAS, 2),
        (_, None) => (POSTGRES_TABLES, 3),
        (_, Some(_)) => (POSTGRES_COLUMNS, 4),
    };
    let rows = session.query(sql, &values[..count]).await?;
    let found = rows.iter().map(|row| Found {
        name: row.get(0),
        kind: match row.get::<_, &str>(1) {
            "schema" => "schema",
            "view" => "view",
            "column" => "column",
            _ => "table",
        },
        detail: row.get(2),
    });
    Ok(found.collect())
}

/// Opens the file, and says what is in it.
pub(crate) async fn test_sqlite(context: &Context, name: &Name) -> Result<String> {
    let database = Database::locate(context, Some(name), None)?;
    blocking(move || {
        let connection = database.open_to_read()?;
        let count = "SELECT count(*) FROM sqlite_master WHERE type = 'table'";
        let tables: i64 = connection
            .query_row(count, [], |row| row.get(0))
            .map_err(|error| database.problem(&error))?;
        let version = rusqlite::version();
        Ok(format!("a SQLite database with {tables} tables, read with SQLite {version}"))
    })
    .await
}

/// Tables and views, or the columns of a table.
pub(crate) async fn browse_sqlite(
    context: &Context,
    name: &Name,
    place: Place,
) -> Result<Vec<Found>> {
    let database = Database::locate(context, Some(name), None)?;
    blocking(move || {
        let connection = database.open_to_read()?;
        let sql = match place.path.as_str() {
            "" => {
                "SELECT name, type, NULL FROM sqlite_master \
                 WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
                 AND lower(substr(name, 1, length(?1))) = lower(?1) AND ?2 = '' \
                 ORDER BY name LIMIT ?3"
            }
            _ => {
                "SELECT name, 'column', nullif(type, '') FROM pragma_table_info(?2) \
                 WHERE lower(substr(name, 1, length(?1))) = lower(?1) LIMIT ?3"
            }
        };
        let limit = i64::try_from(place.limit).unwrap_or(i64::MAX);
        let found = connection.prepare(sql).and_then(|mut statement| {
            let rows = statement.query_map((&place.prefix, &place.path, limit), |row| {
                let kind: String = row.get(1)?;
                Ok(Found {
                    name: row.get(0)?,
                    kind: match kind.as_str() {
                        "view" => "view",
                        "column" => "column",
                        _ => "table",
                    },
                    detail: row.get(2)?,
                })
            })?;
            rows.collect()
        });
        found.map_err(|error| database.problem(&error))
    })
    .await
}
