//! Metrics for Prometheus, and the counting of requests.

use crate::access::Installation;
use crate::app::App;
use crate::auditing::Author;
use crate::identity::token::fingerprint;
use crate::route::{Guard, Route, Rule};
use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use model::{Result, Secret};
use std::time::Instant;
use subtle::ConstantTimeEq;

const METRICS: &str = "/metrics";
const CONTENT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4");

pub(super) fn routes() -> Vec<Route> {
    let summary = "Metrics for Prometheus. Also opened by the server's own token for them.";
    vec![Route::new(Method::GET, METRICS, summary, show)]
}

/// Lets a program with the token for metrics pass, and whoever manages the installation.
struct MetricsReader {
    app: App,
}

impl Guard for MetricsReader {
    fn rule() -> Rule {
        Rule::Installation
    }

    async fn pass(parts: &mut Parts, app: &App) -> Result<Self> {
        if has_token(parts, app) {
            return Ok(Self { app: app.clone() });
        }
        let Installation { app, .. } = Installation::pass(parts, app).await?;
        Ok(Self { app })
    }

    fn author(&self) -> Author {
        Author::default()
    }
}

fn has_token(parts: &Parts, app: &App) -> bool {
    let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = header.and_then(|value| value.strip_prefix("Bearer "));
    let (Some(given), Some(token)) = (given, &app.metrics_token) else { return false };
    // Of the hashes, so that not even the length of the token shows in the time this takes.
    let hashes = [fingerprint(&Secret::new(given)), fingerprint(token)];
    hashes[0].as_str().as_bytes().ct_eq(hashes[1].as_str().as_bytes()).into()
}

async fn show(reader: MetricsReader, (): ()) -> Result<Response> {
    monitor::metrics::store_commits(reader.app.store.commits());
    monitor::metrics::alerts_waiting(reader.app.store.alerts().waiting().await?);
    Ok(([(CONTENT_TYPE, CONTENT)], monitor::metrics::render()).into_response())
}

/// Goes around every route and counts.
pub(crate) async fn measure(request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let route = route.as_ref().map(MatchedPath::as_str);
    let seconds = began.elapsed().as_secs_f64();
    monitor::metrics::http_request(method.as_str(), route, response.status().as_u16(), seconds);
    response
}
