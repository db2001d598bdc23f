//! Problems as HTTP answers: the one table of statuses.

use api::problem::ProblemBody;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use model::problem::StoredProblem;
use model::{Code, Fault, Problem, codes};
use std::collections::BTreeMap;

/// A problem on its way out.
#[derive(Debug)]
pub(crate) struct Refusal(Problem);

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

/// Seconds after which a client may try again when nothing better is known.
const RETRY_AFTER_SECONDS: &str = "5";
/// The argument of a problem that says how many seconds to wait.
pub(crate) const WAIT_SECONDS: &str = "wait_seconds";

const STATUSES: &[(Code, StatusCode)] = &[
    (codes::SIGN_IN_NEEDED, StatusCode::UNAUTHORIZED),
    (codes::SIGN_IN_FAILED, StatusCode::UNAUTHORIZED),
    (codes::PERMISSION_MISSING, StatusCode::FORBIDDEN),
    (codes::REQUEST_REFUSED, StatusCode::FORBIDDEN),
    (codes::NOT_FOUND, StatusCode::NOT_FOUND),
    (codes::NAME_UNKNOWN, StatusCode::NOT_FOUND),
    (codes::RUN_NOT_FOUND, StatusCode::NOT_FOUND),
    (codes::TABLE_NOT_FOUND, StatusCode::NOT_FOUND),
    (codes::SET_UP_DONE, StatusCode::GONE),
    (codes::TOKEN_INVALID, StatusCode::GONE),
    (codes::LAST_OWNER, StatusCode::CONFLICT),
    (codes::CONFLICT, StatusCode::CONFLICT),
    (codes::VERSION_STALE, StatusCode::PRECONDITION_FAILED),
    (codes::NAME_TAKEN, StatusCode::CONFLICT),
    (codes::RUN_LOCKED, StatusCode::CONFLICT),
    (codes::QUOTA_EXCEEDED, StatusCode::FORBIDDEN),
    (codes::REQUEST_TOO_LARGE, StatusCode::PAYLOAD_TOO_LARGE),
    (codes::TOO_MANY_ATTEMPTS, StatusCode::TOO_MANY_REQUESTS),
    (codes::STORE_FAILED, StatusCode::SERVICE_UNAVAILABLE),
    (codes::BUSY, StatusCode::SERVICE_UNAVAILABLE),
    (codes::STORAGE_FULL, StatusCode::INSUFFICIENT_STORAGE),
];

/// The status that a kind of problem is answered with.
pub(crate) fn status(code: Code) -> StatusCode {
    let listed = STATUSES.iter().find(|(listed, _)| listed.id == code.id);
    listed.map_or_else(|| status_of_fault(code.fault), |(_, status)| *status)
}

fn status_of_fault(fault: Fault) -> StatusCode {
    match fault {
        Fault::User => StatusCode::BAD_REQUEST,
        Fault::External => StatusCode::BAD_GATEWAY,
        Fault::Us => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The form that travels. What went wrong inside of us stays in the log.
pub(crate) fn body(problem: &Problem) -> ProblemBody {
    let status = Some(status(problem.code()).as_u16());
    ProblemBody { status, ..stored_body(&problem.to_stored()) }
}

/// The form of a problem that was stored with a run.
pub(crate) fn stored_body(stored: &StoredProblem) -> ProblemBody {
    let inside = stored.fault == Fault::Us;
    let context = serde_json::to_value(&stored.context).ok();
    let context = context.as_ref().and_then(serde_json::Value::as_object);
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let title = match inside {
        true => "something went wrong inside".to_owned(),
        false => stored.message.clone(),
    };
    ProblemBody {
        status: None,
        code: stored.code.clone(),
        title,
        detail: stored.detail.clone().filter(|_| !inside),
        hint: stored.hint.clone(),
        arguments: if inside { BTreeMap::new() } else { stored.arguments.clone() },
        retry: stored.retry,
        context: context
            .map(|context| context.iter().map(|(key, value)| (key.clone(), text(value))).collect())
            .unwrap_or_default(),
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(problem) = self;
        if problem.code().fault == Fault::Us {
            tracing::error!(code = problem.code().id, %problem, "a request failed inside of us");
        }
        let body = body(&problem);
        let status = status(problem.code());
        let text = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = (status, text).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if body.retry {
            let wait = problem.arguments().get(WAIT_SECONDS);
            let wait = wait.map_or(RETRY_AFTER_SECONDS, String::as_str);
            if let Ok(wait) = HeaderValue::from_str(wait) {
                headers.insert(RETRY_AFTER, wait);
            }
        }
        response
    }
}
