//! Tables of the lake.

use crate::access::Access;
use crate::desk::{
    DifferenceQuestion, LineageQuestion, ProfileQuestion, Question, SampleQuestion, TableQuestion,
};
use crate::documents;
use crate::input::{InPath, InQuery};
use crate::output::Answer;
use crate::route::Route;
use api::page::PageQuery;
use api::permission::TableRead;
use api::query::RowPage;
use api::tables::{
    CheckHistory, CheckRecord, DifferenceQuery, Lineage, LineageQuery, Profile, ProfileQuery,
    SampleQuery, Table, TableDifference, TablePage, TablePath, TableStatistics, TableVersion,
    TableVersions, VersionQuery,
};
use axum::http::Method;
use model::{Name, Problem, Result, TableName, codes};
use serde::de::DeserializeOwned;
use store::RunFilter;

/// Rows that are shown of a table.
const ROWS: u64 = 100;
const ROWS_MAX: u64 = 1000;
/// Values and patterns of a profile.
const TOP: u64 = 5;
const TOP_MAX: u64 = 50;
/// Runs whose checks are looked at.
const RUNS_OF_CHECKS: u64 = 50;

pub(super) fn routes() -> Vec<Route> {
    let get = Method::GET;
    vec![
        Route::new(
            get.clone(),
            "/api/v1/workspaces/{workspace}/tables",
            "Tables by name, each with its columns.",
            list,
        ),
        Route::new(
            get.clone(),
            "/api/v1/workspaces/{workspace}/tables/{table}",
            "A table at one of its versions.",
            one,
        ),
        Route::new(
            get.clone(),
            "/api/v1/workspaces/{workspace}/tables/{table}/versions",
            "Versions of a table, the newest first.",
            versions,
        ),
        Route::new(
            get.clone(),
            "/api/v1/workspaces/{workspace}/tables/{table}/statistics",
            "Smallest, largest and missing values by column, from the log: no row is read.",
            statistics,
        ),
        Route::new(
            get.clone(),
            "/api/v1/workspaces/{workspace}/tables/{table}/sample",
            "Some rows of a table.",
            sample,
        ),
        Route::new(
            get.clone(),
            "/api/v1/workspaces/{workspace}/tables/{table}/difference",
            "Rows and columns that differ between two versions of a table.",
            difference,
        ),
        Route::new(
            get.clone(),
            "/api/v1/workspaces/{workspace}/tables/{table}/profile",
            "What is in the columns of a table. All rows are read.",
            profile,
        ),
        Route::new(
            get.clone(),
            "/api/v1/workspaces/{workspace}/tables/{table}/lineage",
            "Where the columns of a table come from.",
            lineage,
        ),
        Route::new(
            get,
            "/api/v1/workspaces/{workspace}/tables/{table}/checks",
            "What checks have found in the last runs of the pipeline that writes a table.",
            checks,
        ),
    ]
}

/// Asks a desk about the workspace.
async fn ask<T: DeserializeOwned>(access: &Access<TableRead>, question: Question) -> Result<T> {
    let workspace = Name::new(&access.about.slug)?;
    access.app.desk.ask(&workspace, question).await?.read()
}

fn rows(limit: Option<u64>) -> u64 {
    limit.unwrap_or(ROWS).clamp(1, ROWS_MAX)
}

async fn list(
    access: Access<TableRead>,
    InQuery(page): InQuery<PageQuery>,
) -> Result<Answer<TablePage>> {
    let limit = page.items_max();
    let question = Question::Tables { after: page.after, limit: limit + 1 };
    let mut items: Vec<Table> = ask(&access, question).await?;
    let next = cut(&mut items, limit, |table| table.table.clone());
    Ok(Answer(TablePage { items, next }))
}

/// Leaves `limit` items; the cursor of the last when there were more.
fn cut<T>(items: &mut Vec<T>, limit: u64, cursor: impl Fn(&T) -> String) -> Option<String> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if items.len() <= limit {
        return None;
    }
    items.truncate(limit);
    items.last().map(cursor)
}

async fn one(
    access: Access<TableRead>,
    (InPath(path), InQuery(query)): (InPath<TablePath>, InQuery<VersionQuery>),
) -> Result<Answer<Table>> {
    let table = TableName::parse(&path.table)?;
    let question = Question::Table(TableQuestion { table, version: query.version });
    ask(&access, question).await.map(Answer)
}

async fn versions(
    access: Access<TableRead>,
    (InPath(path), InQuery(page)): (InPath<TablePath>, InQuery<PageQuery>),
) -> Result<Answer<TableVersions>> {
    let limit = page.items_max();
    let before: Option<u64> = match page.after.as_deref() {
        None => None,
        Some(after) => Some(after.parse().map_err(|_| {
            Problem::new(&codes::REQUEST_INVALID, format!("`{after}` is not the cursor of a page"))
                .hint("give what the page before named as `next`")
        })?),
    };
    let question = Question::Versions { table: TableName::parse(&path.table)? };
    let mut items: Vec<TableVersion> = ask(&access, question).await?;
    items.retain(|version| before.is_none_or(|before| version.version < before));
    let next = cut(&mut items, limit, |version| version.version.to_string());
    Ok(Answer(TableVersions { items, next }))
}

async fn statistics(
    access: Access<TableRead>,
    (InPath(path), InQuery(query)): (InPath<TablePath>, InQuery<VersionQuery>),
) -> Result<Answer<TableStatistics>> {
    let table = TableName::parse(&path.table)?;
    let question = Question::Statistics(TableQuestion { table, version: query.version });
    ask(&access, question).await.map(Answer)
}

async fn sample(
    access: Access<TableRead>,
    (InPath(path), InQuery(query)): (InPath<TablePath>, InQuery<SampleQuery>),
) -> Result<Answer<RowPage>> {
    let table = TableName::parse(&path.table)?;
    let limit = rows(query.limit);
    let question = Question::Sample(SampleQuestion { table, version: query.version, limit });
    ask(&access, question).await.map(Answer)
}

async fn difference(
    access: Access<TableRead>,
    (InPath(path), InQuery(query)): (InPath<TablePath>, InQuery<DifferenceQuery>),
) -> Result<Answer<TableDifference>> {
    let question = Question::Difference(DifferenceQuestion {
        table: TableName::parse(&path.table)?,
        from: query.from,
        to: query.to,
        limit: rows(query.limit),
    });
    ask(&access, question).await.map(Answer)
}

async fn profile(
    access: Access<TableRead>,
    (InPath(path), InQuery(query)): (InPath<TablePath>, InQuery<ProfileQuery>),
) -> Result<Answer<Profile>> {
    let columns = query.columns.unwrap_or_default();
    let columns = columns.split(',').map(str::trim).filter(|name| !name.is_empty());
    let question = Question::Profile(ProfileQuestion {
        table: TableName::parse(&path.table)?,
        version: query.version,
        columns: columns.map(str::to_owned).collect(),
        top: query.top.unwrap_or(TOP).min(TOP_MAX),
    });
    ask(&access, question).await.map(Answer)
}

async fn lineage(
    access: Access<TableRead>,
    (InPath(path), InQuery(query)): (InPath<TablePath>, InQuery<LineageQuery>),
) -> Result<Answer<Lineage>> {
    let question = Question::Lineage(LineageQuestion {
        table: TableName::parse(&path.table)?,
        column: query.column,
        documents: documents::current(&access.workspace.definitions()).await?,
    });
    ask(&access, question).await.map(Answer)
}

async fn checks(
    access: Access<TableRead>,
    InPath(path): InPath<TablePath>,
) -> Result<Answer<CheckHistory>> {
    let table = TableName::parse(&path.table)?;
    let question = Question::Versions { table };
    let versions: Vec<TableVersion> = ask(&access, question).await?;
    let pipeline = versions.iter().find_map(|version| {
        let pipeline = version.metadata.get("affluent.pipeline")?;
        Name::new(pipeline.as_str()?).ok()
    });
    let Some(pipeline) = pipeline else { return Ok(Answer(CheckHistory { items: Vec::new() })) };
    let runs = access.workspace.runs();
    let filter = RunFilter { pipeline: Some(pipeline), ..RunFilter::default() };
    let mut items = Vec::new();
    for run in runs.list(&filter, None, RUNS_OF_CHECKS).await?.items {
        let detail = runs.detail(&run.id).await?;
        items.extend(detail.checks.into_iter().map(|check| CheckRecord {
            run: run.id.to_string(),
            pipeline: run.pipeline.clone(),
            node: check.node,
            check: check.check,
            offending: check.offending,
            at_us: check.at_us,
        }));
    }
    Ok(Answer(CheckHistory { items }))
}
