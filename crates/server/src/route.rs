//! Routes that describe themselves: one value is the handler, its rule and its documentation.
//!
//! A handler is `async fn(guard, input) -> Result<output>`. The type of the guard says who may
//! call it, the types of input and output say what goes in and out; the router, the walk of the
//! tests and `openapi.json` are all made from that. There is no other way to add a route.

use crate::app::App;
use crate::refusal::Refusal;
use api::permission::Permission;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, on};
use model::Result;
use utoipa::openapi::path::{HttpMethod, Operation, OperationBuilder};
use utoipa::openapi::{Components, ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Paths};

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Everybody.
    Anonymous,
    /// Whoever is signed in.
    SignedIn,
    /// Whoever manages the installation.
    Installation,
    /// Members of the workspace in the path whose role has the permission.
    Workspace(Permission),
}

/// Lets a request pass, or not.
pub(crate) trait Guard: Sized + Send + 'static {
    /// Whom it lets pass.
    fn rule() -> Rule;

    /// Looks at everything but the body.
    fn pass(parts: &mut Parts, app: &App) -> impl Future<Output = Result<Self>> + Send;
}

/// What a handler reads from a request.
pub(crate) trait Input: Sized + Send + 'static {
    /// Says what is read.
    fn describe(description: &mut Description);

    /// Reads it.
    fn read(request: Request) -> impl Future<Output = Result<Self>> + Send;
}

/// What a handler answers.
pub(crate) trait Output: Send + 'static {
    /// Says what is answered.
    fn describe(description: &mut Description);

    /// The answer.
    fn respond(self) -> Response;
}

/// An operation under description, and the schemas it refers to.
#[derive(Default)]
pub(crate) struct Description {
    pub(crate) operation: OperationBuilder,
    pub(crate) schemas: Vec<Schema>,
}

/// A named schema.
pub(crate) type Schema = (String, utoipa::openapi::RefOr<utoipa::openapi::schema::Schema>);

impl Description {
    /// Changes the operation.
    pub(crate) fn change(&mut self, change: impl FnOnce(OperationBuilder) -> OperationBuilder) {
        self.operation = change(std::mem::take(&mut self.operation));
    }
}

/// A method and path with all that belongs to it.
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path; parts in braces stand for values.
    pub path: &'static str,
    /// What it does, one sentence.
    pub summary: &'static str,
    /// Who may call it.
    pub rule: Rule,
    operation: Operation,
    pub(crate) schemas: Vec<Schema>,
    handler: MethodRouter<App>,
}

impl Route {
    /// A route whose guard, input and output are those of `handler`.
    pub(crate) fn new<G, I, O, H, F>(
        method: Method,
        path: &'static str,
        summary: &'static str,
        handler: H,
    ) -> Self
    where
        G: Guard,
        I: Input,
        O: Output,
        H: Fn(G, I) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<O>> + Send + 'static,
    {
        let mut description = Description::default();
        I::describe(&mut description);
        O::describe(&mut description);
        let rule = G::rule();
        let (operation, schemas) = document(description, rule, summary);
        let serve = move |State(app): State<App>, request: Request| {
            let handler = handler.clone();
            async move {
                let (mut parts, body) = request.into_parts();
                let guard = G::pass(&mut parts, &app).await?;
                let input = I::read(Request::from_parts(parts, body)).await?;
                Ok::<_, Refusal>(handler(guard, input).await?.respond())
            }
        };
        let handler = on(filter(&method), serve);
        Self { method, path, summary, rule, operation, schemas, handler }
    }
}

fn document(description: Description, rule: Rule, summary: &str) -> (Operation, Vec<Schema>) {
    let who = match rule {
        Rule::Anonymous => "For everybody.".to_owned(),
        Rule::SignedIn => "For whoever is signed in.".to_owned(),
        Rule::Installation => "For whoever manages the installation.".to_owned(),
        Rule::Workspace(permission) => {
            format!("Needs `{}`, which members from {} on have.", permission.id, permission.least)
        }
    };
    let operation = description.operation.summary(Some(summary)).description(Some(who)).build();
    (operation, description.schemas)
}

fn filter(method: &Method) -> MethodFilter {
    MethodFilter::try_from(method.clone()).unwrap_or(MethodFilter::GET)
}

/// The router of all routes.
pub(crate) fn router(routes: Vec<Route>) -> Router<App> {
    routes.into_iter().fold(Router::new(), |router, route| router.route(route.path, route.handler))
}

/// The document that describes all routes.
pub(crate) fn open_api(routes: &[Route]) -> OpenApi {
    let mut paths = Paths::new();
    let mut components = ComponentsBuilder::new();
    for route in routes {
        let method = http_method(&route.method);
        paths.add_path_operation(route.path, vec![method], route.operation.clone());
        components = components.schemas_from_iter(route.schemas.clone());
    }
    let components: Components = components.build();
    let info = InfoBuilder::new()
        .title("Affluent")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("Pipelines, runs, tables and people of an Affluent server."))
        .build();
    OpenApiBuilder::new().info(info).paths(paths).components(Some(components)).build()
}

fn http_method(method: &Method) -> HttpMethod {
    match *method {
        Method::POST => HttpMethod::Post,
        Method::PUT => HttpMethod::Put,
        Method::PATCH => HttpMethod::Patch,
        Method::DELETE => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}
