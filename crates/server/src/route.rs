//! Routes that describe themselves: one value is the handler, its rule and its documentation.
//!
//! A handler is `async fn(guard, input) -> Result<output>`. The type of the guard says who may
//! call it, the types of input and output say what goes in and out; the router, the walk of the
//! tests and `openapi.json` are all made from that. There is no other way to add a route.

use crate::access::Origin;
use crate::app::App;
use crate::auditing::{Audit, Author, Witness};
use crate::refusal::Refusal;
use api::permission::Permission;
use axum::Router;
use axum::extract::{Extension, FromRequestParts, RawPathParams, Request, State};
use axum::http::Method;
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, on};
use model::{Problem, Result, codes};
use std::convert::Infallible;
use std::time::Duration;
use tower_http::timeout::TimeoutLayer;
use tracing::Instrument;
use utoipa::openapi::path::{HttpMethod, Operation, OperationBuilder};
use utoipa::openapi::{Components, ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Paths};

/// A request is answered within this time, or not at all. (Streams go on.)
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

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

    /// Whom it has let pass, for the audit trail.
    fn author(&self) -> Author;
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
    /// What the audit trail says of it.
    pub audit: Audit,
    patience: Duration,
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
        let serve =
            move |State(app): State<App>, Extension(audit): Extension<Audit>, request: Request| {
                let served = serve::<G, I, O, H, F>(app, audit, request, handler.clone());
                async move {
                    match audit {
                        Audit::Nothing => served.await,
                        _ => to_its_end(served).await,
                    }
                }
            };
        let handler = on(filter(&method), serve);
        let audit = if method.is_safe() { Audit::Nothing } else { Audit::Unnamed };
        let patience = ANSWER_TIMEOUT;
        Self { method, path, summary, rule, audit, patience, operation, schemas, handler }
    }

    /// What the audit trail calls what it does: `thing.verb`.
    pub(crate) fn audited(self, action: &'static str) -> Self {
        Self { audit: Audit::Entry(action), ..self }
    }

    /// Leaves no entry in the audit trail, and why.
    pub(crate) fn unaudited(self, why: &'static str) -> Self {
        Self { audit: Audit::Elsewhere(why), ..self }
    }

    /// May take so long, for bodies that are long themselves.
    pub(crate) fn within(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }
}

/// Guard, input, handler, entry of the audit trail, answer.
async fn serve<G, I, O, H, F>(
    app: App,
    audit: Audit,
    request: Request,
    handler: H,
) -> Result<Response, Refusal>
where
    G: Guard,
    I: Input,
    O: Output,
    H: Fn(G, I) -> F,
    F: Future<Output = Result<O>>,
{
    let (mut parts, body) = request.into_parts();
    let subject = subject(&mut parts, &app).await;
    let witness = Witness::new(audit, subject, Origin::of(&parts, &app));
    let trail = witness.as_ref().map(Witness::trail).unwrap_or_default();
    parts.extensions.insert(trail.clone());
    let guard = G::pass(&mut parts, &app).await?;
    trail.author(guard.author());
    let input = I::read(Request::from_parts(parts, body)).await?;
    let answer = handler(guard, input).await?;
    if let Some(witness) = witness {
        witness.write(&app).await?;
    }
    Ok(answer.respond())
}

/// What the path names, but the workspace.
async fn subject(parts: &mut Parts, app: &App) -> Option<String> {
    let params = RawPathParams::from_request_parts(parts, app).await.ok()?;
    let names: Vec<&str> =
        params.iter().filter(|(name, _)| *name != "workspace").map(|(_, value)| value).collect();
    (!names.is_empty()).then(|| names.join("/"))
}

/// A change that has begun comes to its end, and to its entry, also when nobody waits any more.
async fn to_its_end(
    served: impl Future<Output = Result<Response, Refusal>> + Send + 'static,
) -> Result<Response, Refusal> {
    tokio::spawn(served.in_current_span()).await.unwrap_or_else(|error| {
        Err(Problem::new(&codes::INTERNAL, "a request panicked").detail(error).into())
    })
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
    let add = |router: Router<App>, route: Route| {
        let status = axum::http::StatusCode::GATEWAY_TIMEOUT;
        let timeout = TimeoutLayer::with_status_code(status, route.patience);
        let handler = route.handler.layer::<_, Infallible>(Extension(route.audit));
        router.route(route.path, handler.layer::<_, Infallible>(timeout))
    };
    routes.into_iter().fold(Router::new(), add)
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
