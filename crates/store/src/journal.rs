//! The run journal of a workspace: what runs will read, and what has happened to them.

use crate::entity::{run_event as event, run_record as record};
use crate::failure::Attempt;
use crate::ids::WorkspaceId;
use crate::store::Store;
use crate::transactions::Tx;
use crate::values::RunIdText;
use crate::{rows, runs, workspaces};
use model::run::{RunEvent, RunId, RunRecord};
use model::{Name, Problem, Result, codes};
use sea_orm::prelude::*;
use sea_orm::{QueryOrder, QuerySelect, QueryTrait};
use std::collections::HashMap;

/// The journal of one workspace. Everything is durable when a call returns.
#[derive(Debug, Clone)]
pub struct Journal {
    store: Store,
    workspace: WorkspaceId,
}

/// A run as the journal knows it.
#[derive(Debug, Clone)]
pub struct JournaledRun {
    /// Written before the first row was read.
    pub record: RunRecord,
    /// What has happened since, in order.
    pub events: Vec<RunEvent>,
}

impl Journal {
    pub(crate) fn new(store: Store, workspace: WorkspaceId) -> Self {
        Self { store, workspace }
    }

    /// Writes the record of a new run. A run that has one is a `conflict`.
    pub async fn begin(&self, run: &RunRecord) -> Result<()> {
        let row = record::Model {
            run_id: RunIdText(run.run.clone()),
            workspace_id: self.workspace.clone(),
            pipeline: run.pipeline.to_string(),
            record: serde_json::to_string(run).map_err(|error| damaged(&run.run, &error))?,
        };
        self.store.write(row, |tx, row| Box::pin(begin(tx, row))).await
    }

    /// Adds what has happened to a run that has a record; else `run_not_found`.
    pub async fn append(&self, run: &RunId, happened: &RunEvent) -> Result<()> {
        let text = serde_json::to_string(happened).map_err(|error| damaged(run, &error))?;
        let input = (self.workspace.clone(), run.clone(), text);
        self.store
            .write(input, |tx, (workspace, run, text)| Box::pin(append(tx, workspace, run, text)))
            .await
    }

    /// All runs of a pipeline, the oldest first.
    pub async fn runs(&self, pipeline: &Name) -> Result<Vec<JournaledRun>> {
        Ok(read_runs(self.store.read(), &self.workspace, pipeline).await?)
    }

    /// Names of pipelines that have runs.
    pub async fn pipelines(&self) -> Result<Vec<Name>> {
        Ok(pipelines(self.store.read(), &self.workspace).await?)
    }
}

fn damaged(run: &RunId, error: &serde_json::Error) -> Problem {
    Problem::new(&codes::JOURNAL_CORRUPT, format!("the journal of run `{run}` is damaged"))
        .detail(error)
        .hint("`affluent recover` rebuilds the journal from the tables")
}

async fn begin(tx: &Tx, row: &record::Model) -> Attempt<()> {
    workspaces::find(tx, &row.workspace_id).await?;
    if record::Entity::find_by_id(row.run_id.clone()).one(tx).await?.is_some() {
        let message = format!("run `{}` has a record already", row.run_id.0);
        return Err(Problem::new(&codes::CONFLICT, message)
            .hint("resume the run instead of beginning it")
            .into());
    }
    rows::insert(tx, row.clone()).await
}

async fn append(tx: &Tx, workspace: &WorkspaceId, run: &RunId, text: &str) -> Attempt<()> {
    let run_id = RunIdText(run.clone());
    let filter = record::Column::WorkspaceId.eq(workspace.clone());
    let found = record::Entity::find_by_id(run_id.clone()).filter(filter).one(tx).await?;
    if found.is_none() {
        return Err(runs::not_found(run).into());
    }
    let last = event::Entity::find()
        .filter(event::Column::RunId.eq(run_id.clone()))
        .order_by_desc(event::Column::Seq)
        .one(tx)
        .await?;
    let row = event::Model {
        run_id,
        seq: last.map_or(1, |last| last.seq + 1),
        workspace_id: workspace.clone(),
        event: text.to_owned(),
    };
    rows::insert(tx, row).await
}

async fn read_runs(
    db: &impl ConnectionTrait,
    workspace: &WorkspaceId,
    pipeline: &Name,
) -> Attempt<Vec<JournaledRun>> {
    let of_pipeline = record::Entity::find()
        .filter(record::Column::WorkspaceId.eq(workspace.clone()))
        .filter(record::Column::Pipeline.eq(pipeline.as_str()));
    // Records first: what has happened to a run that is read is then read whole.
    // Ids are ULIDs: their order is that of time.
    let records = of_pipeline.clone().order_by_asc(record::Column::RunId).all(db).await?;
    let ids = of_pipeline.select_only().column(record::Column::RunId);
    let happened = event::Entity::find()
        .filter(event::Column::RunId.in_subquery(ids.into_query()))
        .order_by_asc(event::Column::RunId)
        .order_by_asc(event::Column::Seq)
        .all(db)
        .await?;
    let mut events: HashMap<String, Vec<RunEvent>> = HashMap::new();
    for row in happened {
        let read = serde_json::from_str(&row.event);
        let happened = read.map_err(|error| damaged(&row.run_id.0, &error))?;
        events.entry(row.run_id.0.to_string()).or_default().push(happened);
    }
    let mut runs = Vec::with_capacity(records.len());
    for row in records {
        let read = serde_json::from_str(&row.record);
        let record = read.map_err(|error| damaged(&row.run_id.0, &error))?;
        let events = events.remove(row.run_id.0.as_str()).unwrap_or_default();
        runs.push(JournaledRun { record, events });
    }
    Ok(runs)
}

async fn pipelines(db: &impl ConnectionTrait, workspace: &WorkspaceId) -> Attempt<Vec<Name>> {
    let names: Vec<String> = record::Entity::find()
        .select_only()
        .column(record::Column::Pipeline)
        .distinct()
        .filter(record::Column::WorkspaceId.eq(workspace.clone()))
        .order_by_asc(record::Column::Pipeline)
        .into_tuple()
        .all(db)
        .await?;
    Ok(names.into_iter().filter_map(|name| Name::new(name).ok()).collect())
}
