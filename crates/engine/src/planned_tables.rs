//! Lake tables as the pipelines of a project will leave them: for planning what reads them before
//! anything has run.

use crate::graph::Graph;
use arrow::datatypes::SchemaRef;
use contracts::Context;
use model::{Fault, Problem, Result, TableName, codes};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What is known of tables. Pipelines are planned in the order in which they run; each adds the
/// tables it writes.
#[derive(Debug, Clone, Default)]
pub struct PlannedTables {
    /// Tables that a pipeline writes; none when the pipelines are not known.
    written: Option<BTreeSet<TableName>>,
    schemas: BTreeMap<TableName, SchemaRef>,
}

impl PlannedTables {
    /// Of a project with these pipelines; none of them is planned yet.
    pub fn of<'a>(graphs: impl IntoIterator<Item = &'a Graph>) -> Self {
        let nodes = graphs.into_iter().flat_map(|graph| &graph.nodes);
        let written = nodes.filter_map(|node| node.table()).collect();
        Self { written: Some(written), schemas: BTreeMap::new() }
    }

    /// Says what columns a table has once it is written.
    pub(crate) fn add(&mut self, table: TableName, schema: SchemaRef) {
        self.schemas.insert(table, schema);
    }

    /// The columns that a table will have.
    pub(crate) fn planned(&self, table: &TableName) -> Option<SchemaRef> {
        self.schemas.get(table).cloned()
    }

    /// The columns that a table will have, or else those it has. None when only a run can tell;
    /// a problem when no pipeline writes it either.
    pub(crate) async fn schema(
        &self,
        table: &TableName,
        context: &Context,
    ) -> Result<Option<SchemaRef>> {
        if let Some(schema) = self.present(table, context).await? {
            return Ok(Some(schema));
        }
        match &self.written {
            Some(written) if !written.contains(table) => Err(self.unknown(table, context).await),
            _ => Ok(None),
        }
    }

    /// The columns that a table will have, or else those it has.
    pub(crate) async fn present(
        &self,
        table: &TableName,
        context: &Context,
    ) -> Result<Option<SchemaRef>> {
        if let Some(schema) = self.schemas.get(table) {
            return Ok(Some(Arc::clone(schema)));
        }
        match context.tables.describe(table, None).await {
            Ok(info) => Ok(info.map(|info| info.schema)),
            // A store that is down says nothing about the documents.
            Err(problem) if problem.code().fault == Fault::External => Ok(None),
            Err(problem) => Err(problem),
        }
    }

    async fn unknown(&self, table: &TableName, context: &Context) -> Problem {
        let mut known: BTreeSet<String> =
            self.written.iter().flatten().map(TableName::to_string).collect();
        let present = context.tables.list().await.unwrap_or_default();
        known.extend(present.iter().map(TableName::to_string));
        let near = stdx::text::nearest(&table.to_string(), known.iter().map(String::as_str));
        let hint = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => "no pipeline writes it; `affluent tables` lists what is there".to_owned(),
        };
        Problem::new(&codes::TABLE_NOT_FOUND, format!("there is no table `{table}`"))
            .arg("table", table)
            .hint(hint)
    }
}
