//! The HTTP server: sign-in, roles, people, workspaces, runs.
//!
//! A request passes [`protect`](protect::protect), then the route's guard (who asks?), then the
//! handler. What a handler can reach is what its guard gives it: a handler of a workspace has no
//! way to another one.

mod access;
mod app;
mod handlers;
mod identity;
mod input;
mod listen;
mod output;
mod protect;
mod refusal;
mod route;
mod runs;
mod tls;

#[cfg(test)]
mod tests;

pub use app::{App, Settings};
pub use identity::master_key::MasterKey;
pub use identity::people::{self, Entry, entry};
pub use listen::{Port, serve};
pub use route::{Route, Rule};
pub use runs::{Line, LogLevel, PipelineInfo, Report, RunOrder, Runner, RunnerNews, dispatch};
pub use tls::read as read_tls;

use axum::Router;
use axum::middleware::from_fn_with_state;
use std::time::Duration;
use tower_http::timeout::TimeoutLayer;

/// A request is answered within this time, or not at all. (Streams go on.)
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

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
    let timeout =
        TimeoutLayer::with_status_code(axum::http::StatusCode::GATEWAY_TIMEOUT, ANSWER_TIMEOUT);
    route::router(routes())
        .fallback(protect::nothing_here)
        .method_not_allowed_fallback(protect::other_method)
        .layer(timeout)
        .layer(from_fn_with_state(app.clone(), protect::protect))
        .with_state(app)
}
