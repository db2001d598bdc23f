//! Queries over the tables of a workspace.

use crate::access::Access;
use crate::app::App;
use crate::desk::{PageQuestion, Question};
use crate::headers::{Accepting, download};
use crate::input::{Body, InPath, InQuery};
use crate::output::{Accepted, Answer};
use crate::queries::{Asker, Queries, Scratch, limited};
use crate::route::{Output, Route};
use api::permission::QueryRun;
use api::query::{
    AskRows, Cut, Queries as QueryList, Query, QueryPath, QueryResult, QueryStatus, RowFormat,
    RowPage, RowsQuery, StartQuery,
};
use axum::http::{HeaderValue, Method};
use axum::response::Response;
use model::{Name, Problem, Result, codes};
use serde_json::json;
use std::time::Duration;

const ALL: &str = "/api/v1/workspaces/{workspace}/queries";
const ONE: &str = "/api/v1/workspaces/{workspace}/queries/{query}";
/// A request waits no longer for a query.
const WAIT_MS_MAX: u64 = 30_000;
/// Rows of a page of JSON.
const PAGE_ROWS: u64 = 1000;
const PAGE_ROWS_MAX: u64 = 10_000;
/// Rows of a question that is answered at once.
const ASKED_ROWS: u64 = 100;
const ASKED_ROWS_MAX: u64 = 1000;
/// The longest text of a query, in bytes.
const SQL_BYTES_MAX: usize = 256 << 10;

pub(super) fn routes() -> Vec<Route> {
    let (get, post) = (Method::GET, Method::POST);
    vec![
        Route::new(
            post.clone(),
            ALL,
            "Ask one SELECT. It goes on by itself, with limits of rows, bytes and time; its rows \
             are kept for 15 minutes.",
            start,
        )
        .audited("query.start"),
        Route::new(get.clone(), ALL, "One's own queries, the newest first.", list),
        Route::new(get.clone(), ONE, "A query of one's own.", one),
        Route::new(
            get,
            "/api/v1/workspaces/{workspace}/queries/{query}/result",
            "The rows of a query: pages of JSON, or all of them as NDJSON, CSV, an Arrow stream or \
             a Parquet file. With a header `Affluent-Cut` there were more rows than were kept.",
            result,
        ),
        Route::new(
            Method::DELETE,
            ONE,
            "Stop a query that runs; forget the rows of one that has ended.",
            cancel,
        )
        .unaudited("queries are one's own, and live for minutes"),
        Route::new(
            post,
            "/api/v1/workspaces/{workspace}/query",
            "Ask one SELECT for a few rows, and wait for them.",
            ask,
        )
        .audited("query.ask"),
    ]
}

fn asker(access: &Access<QueryRun>) -> Asker {
    Asker { workspace: access.about.id.clone(), user: access.caller.user.id.clone() }
}

fn check_length(sql: &str) -> Result<()> {
    match sql.len() {
        0..=SQL_BYTES_MAX => Ok(()),
        _ => Err(Problem::new(&codes::REQUEST_TOO_LARGE, "the query is longer than 256 KiB")
            .hint("put long lists of values into a table")),
    }
}

async fn start(access: Access<QueryRun>, Body(start): Body<StartQuery>) -> Result<Accepted<Query>> {
    check_length(&start.sql)?;
    let (app, asker) = (&access.app, asker(&access));
    let workspace = Name::new(&access.about.slug)?;
    access.trail.after(json!({"sql": start.sql}));
    let query = Queries::start(app, workspace, asker.clone(), start.sql)?;
    access.trail.subject(&query.id);
    if start.wait_ms == 0 {
        return Ok(Accepted(query));
    }
    let time_max = Duration::from_millis(start.wait_ms.min(WAIT_MS_MAX));
    app.queries.wait(&query.id, time_max).await;
    Ok(Accepted(app.queries.get(&query.id, &asker, app.now_us())?))
}

async fn list(access: Access<QueryRun>, (): ()) -> Result<Answer<QueryList>> {
    let items = access.app.queries.list(&asker(&access), access.app.now_us());
    Ok(Answer(QueryList { items }))
}

async fn one(access: Access<QueryRun>, InPath(path): InPath<QueryPath>) -> Result<Answer<Query>> {
    let app = &access.app;
    Ok(Answer(app.queries.get(&path.query, &asker(&access), app.now_us())?))
}

async fn cancel(
    access: Access<QueryRun>,
    InPath(path): InPath<QueryPath>,
) -> Result<Answer<Query>> {
    let app = &access.app;
    Ok(Answer(app.queries.cancel(&path.query, &asker(&access), app.now_us())?))
}

async fn result(
    access: Access<QueryRun>,
    Accepting { format, input: (InPath(path), InQuery(rows)) }: Accepting<(
        InPath<QueryPath>,
        InQuery<RowsQuery>,
    )>,
) -> Result<Response> {
    let app = &access.app;
    let query = app.queries.get(&path.query, &asker(&access), app.now_us())?;
    let result = rows_of(&query)?;
    let after = match rows.after.as_deref() {
        None => 0,
        Some(after) => after.parse().map_err(|_| {
            Problem::new(&codes::REQUEST_INVALID, format!("`{after}` is not the cursor of a page"))
                .hint("give what the page before named as `next`")
        })?,
    };
    let format = rows.format.or(format).unwrap_or(RowFormat::Json);
    let limit = match format {
        RowFormat::Json => rows.limit.unwrap_or(PAGE_ROWS).clamp(1, PAGE_ROWS_MAX),
        _ => rows.limit.unwrap_or(u64::MAX),
    };
    let question = PageQuestion { file: app.queries.file(&query.id), after, limit, format };
    let workspace = Name::new(&access.about.slug)?;
    let mut response = match format {
        RowFormat::Json => {
            let mut page = page(app, &workspace, question).await?;
            let end = after.saturating_add(page.items.len() as u64);
            page.next = (end < result.rows).then(|| end.to_string());
            page.cut = result.cut;
            Answer(page).respond()
        }
        _ => {
            let answer = app.desk.ask(&workspace, Question::Page(question)).await?;
            let bytes = answer.body.ok_or_else(|| {
                Problem::new(&codes::INTERNAL, "a desk has sent no rows as bytes")
            })?;
            download(format, "query", bytes)
        }
    };
    if let Some(cut) = result.cut {
        let cut = match cut {
            Cut::Rows => "rows",
            Cut::Bytes => "bytes",
        };
        response.headers_mut().insert("affluent-cut", HeaderValue::from_static(cut));
    }
    Ok(response)
}

fn rows_of(query: &Query) -> Result<&QueryResult> {
    query.result.as_ref().ok_or_else(|| match query.status {
        QueryStatus::Running => Problem::new(&codes::CONFLICT, "the query is still at work")
            .hint("look at its status until it has ended, or give `wait_ms` when you ask"),
        _ => Problem::new(&codes::NOT_FOUND, "the query has no rows")
            .hint("its status says why; ask again"),
    })
}

async fn page(app: &App, workspace: &Name, question: PageQuestion) -> Result<RowPage> {
    app.desk.ask(workspace, Question::Page(question)).await?.read()
}

async fn ask(access: Access<QueryRun>, Body(asked): Body<AskRows>) -> Result<Answer<RowPage>> {
    check_length(&asked.sql)?;
    let app = &access.app;
    let workspace = Name::new(&access.about.slug)?;
    let limit = asked.limit.unwrap_or(ASKED_ROWS).clamp(1, ASKED_ROWS_MAX);
    access.trail.after(json!({"sql": asked.sql}));
    let scratch = Scratch::new(&app.queries)?;
    let question = limited(asked.sql, scratch.path().to_owned(), limit);
    let result: QueryResult = app.desk.ask(&workspace, question).await?.read()?;
    let question =
        PageQuestion { file: scratch.path().to_owned(), after: 0, limit, format: RowFormat::Json };
    let mut page = page(app, &workspace, question).await?;
    page.cut = result.cut;
    Ok(Answer(page))
}
