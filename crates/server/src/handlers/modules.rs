//! Modules, for whoever edits pipelines.

use crate::access::Access;
use crate::desk::Question;
use crate::input::InPath;
use crate::output::Answer;
use crate::route::Route;
use api::modules::{Module, ModulePath, Modules};
use api::permission::DefinitionRead;
use axum::http::Method;
use model::{Name, Problem, Result, codes};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/api/v1/workspaces/{workspace}/modules",
            "All modules, by name.",
            list,
        ),
        Route::new(
            Method::GET,
            "/api/v1/workspaces/{workspace}/modules/{module}",
            "A module: the JSON Schema of its settings, and examples.",
            one,
        ),
    ]
}

async fn modules(access: &Access<DefinitionRead>) -> Result<Vec<Module>> {
    let workspace = Name::new(&access.about.slug)?;
    access.app.desk.ask(&workspace, Question::Modules).await?.read()
}

async fn list(access: Access<DefinitionRead>, (): ()) -> Result<Answer<Modules>> {
    let items = modules(&access).await?.into_iter().map(|module| module.head);
    Ok(Answer(Modules { items: items.collect() }))
}

async fn one(
    access: Access<DefinitionRead>,
    InPath(path): InPath<ModulePath>,
) -> Result<Answer<Module>> {
    let found = modules(&access).await?.into_iter().find(|module| module.head.name == path.module);
    found.map(Answer).ok_or_else(|| {
        let fact = format!("there is no module `{}`", path.module);
        Problem::new(&codes::NAME_UNKNOWN, fact)
            .arg("module", &path.module)
            .hint("look it up in the list of modules")
    })
}
