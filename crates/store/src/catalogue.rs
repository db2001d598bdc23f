//! What is known about the tables of a workspace: their columns, size, and where they come from.

use crate::entity::{lake_table, lineage_edge as edge};
use crate::failure::Attempt;
use crate::ids::WorkspaceId;
use crate::store::Store;
use crate::transactions::Tx;
use crate::values::{RunIdText, Stored};
use crate::{rows, workspaces};
use model::run::RunId;
use model::{Name, Problem, Result, TableName, codes};
use sea_orm::prelude::*;
use sea_orm::{Condition, QueryOrder};

/// The catalogue of one workspace.
#[derive(Debug, Clone)]
pub struct Catalogue {
    store: Store,
    workspace: WorkspaceId,
}

/// A table of the lake.
#[derive(Debug, Clone, PartialEq)]
pub struct LakeTable {
    /// `zone.table`.
    pub name: TableName,
    /// Names and types.
    pub columns: serde_json::Value,
    /// The newest version.
    pub version: Option<i64>,
    /// Rows of that version.
    pub rows: Option<i64>,
    /// Bytes of that version.
    pub bytes: Option<i64>,
    /// What people say about it.
    pub description: String,
    /// The pipeline that wrote it last.
    pub pipeline: Option<String>,
    /// The node that wrote it last.
    pub node: Option<String>,
    /// The run that wrote it last.
    pub run: Option<RunId>,
    /// µs since the epoch.
    pub updated_at_us: i64,
}

/// That a column comes from another one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LineageEdge {
    /// `zone.table`, or the connection's words for it.
    pub source_table: String,
    /// Empty when it is the table as a whole.
    pub source_column: String,
    /// `zone.table`, or the connection's words for it.
    pub target_table: String,
    /// Empty when it is the table as a whole.
    pub target_column: String,
    /// The node that makes it so.
    pub node: String,
}

impl Catalogue {
    pub(crate) fn new(store: Store, workspace: WorkspaceId) -> Self {
        Self { store, workspace }
    }

    /// Puts down what is known about a table, in the place of what was known.
    pub async fn put(&self, table: LakeTable) -> Result<()> {
        let row = lake_table::Model {
            workspace_id: self.workspace.clone(),
            name: table.name.to_string(),
            columns: Stored(table.columns),
            version: table.version,
            row_count: table.rows,
            bytes: table.bytes,
            description: table.description,
            pipeline: table.pipeline,
            node: table.node,
            run_id: table.run.map(RunIdText),
            updated_at_us: table.updated_at_us,
        };
        self.store.write(row, |tx, row| Box::pin(put(tx, row))).await
    }

    /// The table, or `table_not_found`.
    pub async fn get(&self, name: &TableName) -> Result<LakeTable> {
        let found = find(self.store.read(), &self.workspace, name).await?;
        found.map(LakeTable::try_from).transpose()?.ok_or_else(|| not_found(name))
    }

    /// All tables by name.
    pub async fn list(&self) -> Result<Vec<LakeTable>> {
        Ok(list(self.store.read(), &self.workspace).await?)
    }

    /// Forgets a table, or `table_not_found`. Its data stay where they are.
    pub async fn remove(&self, name: &TableName) -> Result<()> {
        let input = (self.workspace.clone(), name.clone());
        self.store.write(input, |tx, (workspace, name)| Box::pin(remove(tx, workspace, name))).await
    }

    /// Replaces all that a pipeline says about where columns come from.
    pub async fn put_lineage(&self, pipeline: &Name, edges: Vec<LineageEdge>) -> Result<()> {
        let input = (self.workspace.clone(), pipeline.clone(), edges);
        self.store
            .write(input, |tx, (workspace, pipeline, edges)| {
                Box::pin(put_lineage(tx, workspace, pipeline, edges))
            })
            .await
    }

    /// The edges that begin or end at a table, in order; all of the workspace without one.
    pub async fn lineage(&self, table: Option<&str>) -> Result<Vec<LineageEdge>> {
        Ok(lineage(self.store.read(), &self.workspace, table).await?)
    }
}

impl TryFrom<lake_table::Model> for LakeTable {
    type Error = Problem;

    fn try_from(row: lake_table::Model) -> Result<Self> {
        Ok(Self {
            name: TableName::parse(&row.name)?,
            columns: row.columns.0,
            version: row.version,
            rows: row.row_count,
            bytes: row.bytes,
            description: row.description,
            pipeline: row.pipeline,
            node: row.node,
            run: row.run_id.map(|run| run.0),
            updated_at_us: row.updated_at_us,
        })
    }
}

fn not_found(name: &TableName) -> Problem {
    Problem::new(&codes::TABLE_NOT_FOUND, format!("there is no table `{name}`"))
        .arg("table", name)
        .hint("look it up in the catalogue; a table appears there when a run has written it")
}

async fn put(tx: &Tx, row: &lake_table::Model) -> Attempt<()> {
    workspaces::find(tx, &row.workspace_id).await?;
    let key = (row.workspace_id.clone(), row.name.clone());
    lake_table::Entity::delete_by_id(key).exec(tx).await?;
    rows::insert(tx, row.clone()).await
}

async fn find(
    db: &impl ConnectionTrait,
    workspace: &WorkspaceId,
    name: &TableName,
) -> Attempt<Option<lake_table::Model>> {
    let key = (workspace.clone(), name.to_string());
    Ok(lake_table::Entity::find_by_id(key).one(db).await?)
}

async fn list(db: &impl ConnectionTrait, workspace: &WorkspaceId) -> Attempt<Vec<LakeTable>> {
    let rows = lake_table::Entity::find()
        .filter(lake_table::Column::WorkspaceId.eq(workspace.clone()))
        .order_by_asc(lake_table::Column::Name)
        .all(db)
        .await?;
    rows.into_iter().map(|row| Ok(LakeTable::try_from(row)?)).collect()
}

async fn remove(tx: &Tx, workspace: &WorkspaceId, name: &TableName) -> Attempt<()> {
    let key = (workspace.clone(), name.to_string());
    let removed = lake_table::Entity::delete_by_id(key).exec(tx).await?;
    match removed.rows_affected {
        0 => Err(not_found(name).into()),
        _ => Ok(()),
    }
}

async fn put_lineage(
    tx: &Tx,
    workspace: &WorkspaceId,
    pipeline: &Name,
    edges: &[LineageEdge],
) -> Attempt<()> {
    workspaces::find(tx, workspace).await?;
    edge::Entity::delete_many()
        .filter(edge::Column::WorkspaceId.eq(workspace.clone()))
        .filter(edge::Column::Pipeline.eq(pipeline.as_str()))
        .exec(tx)
        .await?;
    let mut sorted = edges.to_vec();
    sorted.sort();
    // Two nodes can say the same; the first is enough.
    sorted.dedup_by(|next, last| ends(next) == ends(last));
    let row = |edge: LineageEdge| edge::Model {
        workspace_id: workspace.clone(),
        pipeline: pipeline.to_string(),
        source_table: edge.source_table,
        source_column: edge.source_column,
        target_table: edge.target_table,
        target_column: edge.target_column,
        node: edge.node,
    };
    rows::insert_all(tx, sorted.into_iter().map(row).collect()).await
}

fn ends(edge: &LineageEdge) -> [&str; 4] {
    [&edge.source_table, &edge.source_column, &edge.target_table, &edge.target_column]
}

async fn lineage(
    db: &impl ConnectionTrait,
    workspace: &WorkspaceId,
    table: Option<&str>,
) -> Attempt<Vec<LineageEdge>> {
    let mut select = edge::Entity::find().filter(edge::Column::WorkspaceId.eq(workspace.clone()));
    if let Some(table) = table {
        let touches = Condition::any()
            .add(edge::Column::SourceTable.eq(table))
            .add(edge::Column::TargetTable.eq(table));
        select = select.filter(touches);
    }
    let read = |row: edge::Model| LineageEdge {
        source_table: row.source_table,
        source_column: row.source_column,
        target_table: row.target_table,
        target_column: row.target_column,
        node: row.node,
    };
    let mut edges: Vec<_> = select.all(db).await?.into_iter().map(read).collect();
    edges.sort();
    Ok(edges)
}
