//! The whole database as rows that any other can take: what backups are made of.
//!
//! A [`Snapshot`] is one read transaction: whoever writes meanwhile is not seen, and does not wait.
//! A [`Restore`] is one write transaction: an empty database becomes a copy, or stays empty.

use crate::address::{self, Address};
use crate::failure::{Attempt, Failure};
use crate::migrations;
use crate::store::Store;
use crate::tables::{Kind, Table};
use crate::transactions::Tx;
use model::{Problem, Result, codes};
use sea_orm::sea_query::{Alias, Expr, ExprTrait, Func, Order, Query};
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseConnection, DbBackend, IsolationLevel, QueryResult,
    TransactionTrait, Value as Bound,
};
use serde_json::{Value, json};

/// Rows that are read or written by one statement.
const ROWS_MAX: u64 = 500;

/// The database as it was at one instant.
pub struct Snapshot {
    tx: Tx,
    migration: usize,
}

/// A row: the values of a table's columns, in their order.
pub type Row = Vec<Value>;

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("migration", &self.migration).finish_non_exhaustive()
    }
}

impl Store {
    /// Looks at the database as it is now, for as long as what is returned is kept.
    pub async fn snapshot(&self) -> Result<Snapshot> {
        Ok(snapshot(self.read()).await?)
    }
}

async fn snapshot(connections: &DatabaseConnection) -> Attempt<Snapshot> {
    let tx = match connections.get_database_backend() {
        DbBackend::Postgres => {
            let level = Some(IsolationLevel::RepeatableRead);
            connections.begin_with_config(level, Some(AccessMode::ReadOnly)).await?
        }
        // A reading transaction sees what was there at its first statement.
        _ => connections.begin().await?,
    };
    let migration = migrations::last_number(&tx).await?;
    Ok(Snapshot { tx, migration })
}

impl Snapshot {
    /// The migration that the database has had last: a copy begins with the same.
    pub fn migration(&self) -> usize {
        self.migration
    }

    /// The names of the tables, those first that others refer to.
    pub fn tables(&self) -> Vec<&'static str> {
        migrations::tables(self.migration).map(|table| table.name).collect()
    }

    /// The columns of a table, in the order of the values of its rows.
    pub fn columns(&self, table: &str) -> Result<Vec<&'static str>> {
        Ok(find(self.migration, table)?.columns.iter().map(|column| column.name()).collect())
    }

    /// Rows of a table after one of them, by key; empty after the last.
    pub async fn rows(&self, table: &str, after: Option<&Row>) -> Result<Vec<Row>> {
        let table = find(self.migration, table)?;
        Ok(rows(&self.tx, table, after).await?)
    }
}

fn find(migration: usize, name: &str) -> Result<&'static Table> {
    migrations::tables(migration).find(|table| table.name == name).ok_or_else(|| {
        Problem::new(&codes::FILE_CORRUPT, format!("the metadata have no table `{name}`"))
            .arg("table", name)
    })
}

async fn rows(tx: &Tx, table: &Table, after: Option<&Row>) -> Attempt<Vec<Row>> {
    let column = |name: &str| Expr::col(Alias::new(name));
    let mut select = Query::select();
    select.from(Alias::new(table.name)).limit(ROWS_MAX);
    for each in table.columns {
        select.column(Alias::new(each.name()));
    }
    for name in table.key {
        select.order_by(Alias::new(*name), Order::Asc);
    }
    if let Some(after) = after {
        let seen = table.key.iter().map(|name| {
            let at = table.columns.iter().position(|each| each.name() == *name).unwrap_or(0);
            let value = bound(table.columns[at].kind(), &after[at]);
            value.map(Expr::val)
        });
        let seen: Vec<Expr> = seen.collect::<Result<_>>()?;
        let key = Expr::tuple(table.key.iter().map(|name| column(name)));
        select.and_where(key.gt(Expr::tuple(seen)));
    }
    let found = tx.query_all(&select).await?;
    found.iter().map(|row| read(row, table)).collect()
}

fn read(row: &QueryResult, table: &Table) -> Attempt<Row> {
    let value = |at: usize, kind: Kind| -> Attempt<Value> {
        Ok(match kind {
            Kind::Text => json!(row.try_get_by_index::<Option<String>>(at)?),
            Kind::Integer => json!(row.try_get_by_index::<Option<i64>>(at)?),
            Kind::Boolean => json!(row.try_get_by_index::<Option<bool>>(at)?),
            Kind::Bytes => json!(row.try_get_by_index::<Option<Vec<u8>>>(at)?.map(|b| hex(&b))),
        })
    };
    table.columns.iter().enumerate().map(|(at, column)| value(at, column.kind())).collect()
}

/// The value as it is bound to a statement.
fn bound(kind: Kind, value: &Value) -> Result<Bound> {
    let read = match kind {
        Kind::Text => value.as_str().map(|text| Bound::from(text.to_owned())),
        Kind::Integer => value.as_i64().map(Bound::from),
        Kind::Boolean => value.as_bool().map(Bound::from),
        Kind::Bytes => value.as_str().and_then(unhex).map(Bound::from),
    };
    let missing = match kind {
        Kind::Text => Bound::String(None),
        Kind::Integer => Bound::BigInt(None),
        Kind::Boolean => Bound::Bool(None),
        Kind::Bytes => Bound::Bytes(None),
    };
    match value {
        Value::Null => Ok(missing),
        _ => read.ok_or_else(|| {
            Problem::new(&codes::FILE_CORRUPT, "a row holds a value of another type")
                .hint("take another copy of the backup")
        }),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| {
            u8::from_str_radix(std::str::from_utf8(pair).ok().filter(|p| p.len() == 2)?, 16).ok()
        })
        .collect()
}

/// What becomes of what is in the database already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It is kept: a database with people or workspaces in it is refused.
    Keep,
    /// It is deleted.
    Replace,
}

/// A database that becomes a copy.
pub struct Restore {
    tx: Tx,
    migration: usize,
    address: Address,
}

impl std::fmt::Debug for Restore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Restore").field("migration", &self.migration).finish_non_exhaustive()
    }
}

impl Restore {
    /// Begins to write into the database at `address`, which nobody else may use meanwhile.
    ///
    /// # Errors
    ///
    /// `store_newer` when the copy comes from a newer program, `conflict` when the database is not
    /// empty and shall be kept.
    pub async fn begin(address: &Address, migration: usize, existing: Existing) -> Result<Self> {
        Ok(begin(address, migration, existing).await?)
    }

    /// Adds rows to a table; `columns` are those of their values.
    pub async fn insert(&self, table: &str, columns: &[String], rows: &[Row]) -> Result<()> {
        let table = find(self.migration, table)?;
        Ok(insert(&self.tx, table, columns, rows).await?)
    }

    /// Makes everything durable, and brings the copy up to date with this program.
    pub async fn finish(self) -> Result<Store> {
        self.tx.commit().await.map_err(Failure::from)?;
        Store::open(&self.address).await
    }
}

async fn begin(address: &Address, migration: usize, existing: Existing) -> Attempt<Restore> {
    migrations::check_known(migration)?;
    let connections = match address {
        Address::Sqlite(path) => {
            address::create_sqlite_file(path)?;
            address::connect_sqlite_writer(path).await?
        }
        Address::Postgres(url) => address::connect_postgres(url).await?,
    };
    let found = migrations::run_until(&connections, migration).await?;
    let tx = connections.begin().await?;
    if existing == Existing::Keep {
        check_empty(&tx, found).await?;
    }
    if found > migration {
        let fact = format!("the database has migration {found}, the backup {migration}");
        return Err(Problem::new(&codes::CONFLICT, fact)
            .hint("restore into a database that is not there yet")
            .into());
    }
    let tables: Vec<&Table> = migrations::tables(migration).collect();
    for table in tables.iter().rev() {
        let delete = Query::delete().from_table(Alias::new(table.name)).to_owned();
        tx.execute(&delete).await?;
    }
    Ok(Restore { tx, migration, address: address.clone() })
}

async fn check_empty(tx: &Tx, migration: usize) -> Attempt<()> {
    for table in migrations::tables(migration) {
        let count = Func::count(Expr::val(1));
        let select = Query::select().expr(count).from(Alias::new(table.name)).to_owned();
        let row = tx.query_one(&select).await?;
        let count: i64 = row.map(|row| row.try_get_by_index(0)).transpose()?.unwrap_or(0);
        if count > 0 {
            let fact = format!("the database is not empty: `{}` has {count} rows", table.name);
            return Err(Problem::new(&codes::CONFLICT, fact)
                .arg("table", table.name)
                .hint("restore into another database, or pass `--replace` to delete what is there")
                .into());
        }
    }
    Ok(())
}

async fn insert(tx: &Tx, table: &Table, columns: &[String], rows: &[Row]) -> Attempt<()> {
    let mut kinds = Vec::new();
    for name in columns {
        let column = table.columns.iter().find(|column| column.name() == name);
        let column = column.ok_or_else(|| {
            let fact = format!("the table `{}` has no column `{name}`", table.name);
            Problem::new(&codes::FILE_CORRUPT, fact).hint("take another copy of the backup")
        })?;
        kinds.push(column.kind());
    }
    let at_once = usize::try_from(ROWS_MAX).unwrap_or(1);
    for some in rows.chunks(at_once) {
        let mut insert = Query::insert();
        insert.into_table(Alias::new(table.name)).columns(columns.iter().map(Alias::new));
        for row in some {
            if row.len() != kinds.len() {
                return Err(Problem::new(&codes::FILE_CORRUPT, "a row has too few values").into());
            }
            let values = kinds.iter().zip(row).map(|(kind, value)| bound(*kind, value));
            let values: Vec<Expr> =
                values.map(|value| value.map(Expr::val)).collect::<Result<_>>()?;
            insert.values_panic(values);
        }
        tx.execute(&insert).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_as_digits() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(unhex(&hex(&bytes)), Some(bytes));
        assert_eq!(unhex(""), Some(Vec::new()));
        for broken in ["0", "zz", "012", "é"] {
            assert_eq!(unhex(broken), None, "{broken}");
        }
    }
}
