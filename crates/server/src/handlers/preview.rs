//! Looking at documents without running them: validation, plans, rows after a node.

use crate::access::Access;
use crate::desk::{CheckQuestion, ExplainQuestion, PreviewQuestion, Question};
use crate::documents;
use crate::input::{Body, InPath};
use crate::output::Answer;
use crate::refusal;
use crate::route::Route;
use api::definitions::{
    Drafts, ExplainPipeline, Explanation, NodePath, Preview, PreviewNode, Validation,
};
use api::permission::{DefinitionRead, QueryRun};
use api::runs::PipelinePath;
use axum::http::Method;
use model::problem::StoredProblem;
use model::{Name, Result};

/// Rows of a preview.
const ROWS: u64 = 100;
const ROWS_MAX: u64 = 1000;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::POST,
            "/api/v1/workspaces/{workspace}/definitions/validate",
            "Every problem of the documents, as they are or as they would be with drafts.",
            validate,
        )
        .unaudited("it changes nothing"),
        Route::new(
            Method::POST,
            "/api/v1/workspaces/{workspace}/pipelines/{pipeline}/explain",
            "What the nodes of a pipeline compile to: SQL, plan, columns.",
            explain,
        )
        .unaudited("it changes nothing"),
        Route::new(
            Method::POST,
            "/api/v1/workspaces/{workspace}/pipelines/{pipeline}/nodes/{node}/preview",
            "Rows after a node, on the first rows of its sources. Nothing is written.",
            preview,
        )
        .unaudited("it changes nothing"),
    ]
}

async fn validate(
    access: Access<DefinitionRead>,
    Body(drafts): Body<Drafts>,
) -> Result<Answer<Validation>> {
    let definitions = access.workspace.definitions();
    let documents = documents::with_drafts(&definitions, &drafts.drafts).await?;
    let workspace = Name::new(&access.about.slug)?;
    let question = Question::Check(CheckQuestion { documents });
    let found: Vec<StoredProblem> = access.app.desk.ask(&workspace, question).await?.read()?;
    Ok(Answer(Validation { problems: found.iter().map(refusal::stored_body).collect() }))
}

async fn explain(
    access: Access<DefinitionRead>,
    (InPath(path), Body(wanted)): (InPath<PipelinePath>, Body<ExplainPipeline>),
) -> Result<Answer<Explanation>> {
    let definitions = access.workspace.definitions();
    let question = Question::Explain(ExplainQuestion {
        pipeline: Name::new(path.pipeline)?,
        node: wanted.node.map(Name::new).transpose()?,
        documents: documents::with_drafts(&definitions, &wanted.drafts).await?,
    });
    let workspace = Name::new(&access.about.slug)?;
    access.app.desk.ask(&workspace, question).await?.read().map(Answer)
}

async fn preview(
    access: Access<QueryRun>,
    (InPath(path), Body(wanted)): (InPath<NodePath>, Body<PreviewNode>),
) -> Result<Answer<Preview>> {
    let definitions = access.workspace.definitions();
    let question = Question::Preview(PreviewQuestion {
        pipeline: Name::new(path.pipeline)?,
        node: Name::new(path.node)?,
        port: wanted.port.unwrap_or_else(|| "out".to_owned()),
        limit: wanted.limit.unwrap_or(ROWS).clamp(1, ROWS_MAX),
        documents: documents::with_drafts(&definitions, &wanted.drafts).await?,
    });
    let workspace = Name::new(&access.about.slug)?;
    access.app.desk.ask(&workspace, question).await?.read().map(Answer)
}
