//! Queries that a merge asks: sessions that spill, names, ranges.

use crate::errors::from_datafusion;
use crate::lake::Inner;
use crate::parts;
use crate::provider::LakeTable;
use contracts::Batches;
use datafusion::catalog::TableProvider;
use datafusion::common::Statistics;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, lit};
use datafusion::prelude::{SessionContext, ident};
use model::Result;
use std::sync::Arc;

/// Column of staged rows: whether the row deletes its key.
pub(crate) const DELETED: &str = "_affluent_deleted";
/// Column of staged rows: their number.
pub(crate) const ROW_ID: &str = "_affluent_row";
/// Column of a table in a merge: the path of the file that a row is in.
pub(crate) const PATH: &str = "_affluent_path";

/// A session in which joins with so many bytes on their small side stay within the memory.
pub(crate) fn session(lake: &Inner, small_side_bytes: u64) -> SessionContext {
    let memory = u64::try_from(lake.runtime.memory_bytes()).unwrap_or(u64::MAX);
    // A hash join cannot spill; a merge join can, but is planned for two partitions or more only.
    lake.runtime.session(lake.threads.max(2), small_side_bytes <= memory / 8)
}

/// A name for SQL text.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Gives a table a name in a session.
pub(crate) fn register(session: &SessionContext, name: &str, table: LakeTable) -> Result<()> {
    session.register_table(name, Arc::new(table)).map_err(|error| from_datafusion(&error))?;
    Ok(())
}

/// Registers a table without the rows whose keys lie outside of the range of other rows' keys.
pub(crate) fn register_in_range(
    session: &SessionContext,
    name: &str,
    table: LakeTable,
    key: &[String],
    others: &LakeTable,
) -> Result<()> {
    let Some(range) = range(key, others) else { return register(session, name, table) };
    let view = session
        .read_table(Arc::new(table))
        .and_then(|frame| frame.filter(range))
        .map_err(|error| from_datafusion(&error))?
        .into_view();
    session.register_table(name, view).map_err(|error| from_datafusion(&error))?;
    Ok(())
}

fn range(key: &[String], others: &LakeTable) -> Option<Expr> {
    let statistics: Statistics = others.statistics()?;
    let schema = others.schema();
    let bounds = key.iter().filter_map(|column| {
        let known = statistics.column_statistics.get(schema.index_of(column).ok()?)?;
        let lowest = known.min_value.get_value().filter(|value| !value.is_null())?;
        let highest = known.max_value.get_value().filter(|value| !value.is_null())?;
        Some(
            ident(column).gt_eq(lit(lowest.clone())).and(ident(column).lt_eq(lit(highest.clone()))),
        )
    });
    conjunction(bounds)
}

/// Starts a query.
pub(crate) async fn stream(session: &SessionContext, query: &str) -> Result<Batches> {
    let frame = session.sql(query).await.map_err(|error| from_datafusion(&error))?;
    let plan = frame.create_physical_plan().await.map_err(|error| from_datafusion(&error))?;
    parts::from_plan(&plan, &session.task_ctx())
}
