//! The HTTP server: sign-in, roles, people, workspaces, runs.
//!
//! A request passes [`protect`](protect::protect), then the route's guard (who asks?), then the
//! handler. What a handler can reach is what its guard gives it: a handler of a workspace has no
//! way to another one.

mod access;
mod alerts;
mod app;
mod auditing;
mod connections;
mod desk;
pub mod documents;
mod handlers;
mod headers;
mod housekeeping;
mod identity;
mod input;
mod listen;
mod mirror;
mod orchestrator;
mod output;
mod protect;
mod publishing;
mod queries;
mod refusal;
mod rotation;
mod route;
mod runs;
mod tls;
mod uploads;

#[cfg(test)]
mod tests;

pub use alerts::{AlertSettings, deliver_alerts};
pub use app::{App, Settings};
pub use auditing::{Audit, AuditState, check_head, note, verify_audit};
pub use connections::{
    ConnectionSecret, Connector, Look, LookOrder, Looked, SetSecret, secrets_of,
};
pub use desk::{
    Answer, Answered, CheckQuestion, Desk, DifferenceQuestion, Documents, ExplainQuestion,
    LineageQuestion, PageQuestion, PipelinePlan, PlansQuestion, PreviewQuestion, ProfileQuestion,
    QueryQuestion, Question, SampleQuestion, TableQuestion, problem_of,
};
pub use housekeeping::keep_house;
pub use identity::master_key::MasterKey;
pub use identity::people::{self, Entry, entry};
pub use listen::{Port, serve};
pub use mirror::{Place, mirror};
pub use monitor::channels::PrivateTargets;
pub use orchestrator::orchestrate;
pub use publishing::publish_documents;
pub use rotation::{Rotated, rotate};
pub use route::{Route, Rule};
pub use runs::{Job, Line, LogLevel, Report, RunOrder, Runner, RunnerEnd, RunnerNews};
pub use tls::read as read_tls;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};

/// All routes.
pub fn routes() -> Vec<Route> {
    handlers::routes()
}

/// `openapi.json`.
pub fn open_api() -> String {
    let document = route::open_api(&routes());
    let text = serde_json::to_string_pretty(&document).unwrap_or_default();
    format!("{text}\n")
}

/// Everything that answers.
pub fn router(app: App) -> Router {
    route::router(routes())
        .fallback(protect::nothing_here)
        .method_not_allowed_fallback(protect::other_method)
        .layer(from_fn_with_state(app.clone(), protect::protect))
        .layer(from_fn(handlers::metrics::measure))
        .with_state(app)
}
