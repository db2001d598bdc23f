//! What holds for every request: which hosts it may name, how large it may be, and the headers
//! that tell browsers to be strict.

use crate::app::App;
use crate::refusal::Refusal;
use axum::extract::{Request, State};
use axum::http::header::{HOST, HeaderName, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use model::{Problem, codes};

/// The longest URL, in bytes.
const URL_BYTES_MAX: usize = 8 << 10;
/// All headers together, in bytes.
const HEADER_BYTES_MAX: usize = 16 << 10;

/// Nothing may be loaded from elsewhere, run that is not ours, or put our pages into a frame.
const HEADERS: &[(&str, &str)] = &[
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
         font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; \
         frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
    ("strict-transport-security", "max-age=31536000"),
    ("cache-control", "no-store"),
];

/// Goes around every route.
pub(crate) async fn protect(State(app): State<App>, request: Request, next: Next) -> Response {
    let mut response = match refused(&request, &app) {
        None => next.run(request).await,
        Some(refused) => refused,
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        let name = HeaderName::from_static(name);
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// The answer to a request that does not even reach a route.
fn refused(request: &Request, app: &App) -> Option<Response> {
    if request.uri().to_string().len() > URL_BYTES_MAX {
        return Some(StatusCode::URI_TOO_LONG.into_response());
    }
    let bytes = |headers: &HeaderMap| -> usize {
        headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
    };
    if bytes(request.headers()) > HEADER_BYTES_MAX {
        return Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE.into_response());
    }
    // A page elsewhere whose name has been pointed at this machine still names its own host.
    let named = request.uri().authority().map(|authority| authority.as_str());
    let host = request.headers().get(HOST).and_then(|value| value.to_str().ok());
    if named.or(host).is_some_and(|host| app.hosts.iter().any(|ours| ours == host)) {
        return None;
    }
    let problem = Problem::new(&codes::REQUEST_REFUSED, "the request names another host")
        .hint("start the server with `--host NAME` for each name it is reached by");
    let mut response = Refusal::from(problem).into_response();
    *response.status_mut() = StatusCode::MISDIRECTED_REQUEST;
    Some(response)
}

/// What is not a route.
pub(crate) async fn nothing_here() -> Refusal {
    Refusal::from(Problem::new(&codes::NOT_FOUND, "there is nothing at this path"))
}

/// A route, but not with this method.
pub(crate) async fn other_method() -> Response {
    let problem = Problem::new(&codes::REQUEST_INVALID, "this path does not take this method");
    let mut response = Refusal::from(problem).into_response();
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response
}
