//! What handlers answer.

use crate::route::{Description, Output};
use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{HeaderValue, SET_COOKIE};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::{ContentBuilder, Ref, ResponseBuilder};

/// Done; there is nothing to say.
pub(crate) struct Done;

impl Output for Done {
    fn describe(description: &mut Description) {
        let response = ResponseBuilder::new().description("Done.").build();
        description.change(|operation| operation.response("204", response));
    }

    fn respond(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

/// JSON, with 200.
pub(crate) struct Answer<T>(pub(crate) T);

impl<T: Serialize + ToSchema + Send + 'static> Output for Answer<T> {
    fn describe(description: &mut Description) {
        describe_json::<T>(description, StatusCode::OK, "The answer.");
    }

    fn respond(self) -> Response {
        Json(self.0).into_response()
    }
}

/// JSON of something new, with 201.
pub(crate) struct Created<T>(pub(crate) T);

impl<T: Serialize + ToSchema + Send + 'static> Output for Created<T> {
    fn describe(description: &mut Description) {
        describe_json::<T>(description, StatusCode::CREATED, "What has been made.");
    }

    fn respond(self) -> Response {
        (StatusCode::CREATED, Json(self.0)).into_response()
    }
}

/// JSON of something that goes on, with 202.
pub(crate) struct Accepted<T>(pub(crate) T);

impl<T: Serialize + ToSchema + Send + 'static> Output for Accepted<T> {
    fn describe(description: &mut Description) {
        describe_json::<T>(description, StatusCode::ACCEPTED, "What has been taken on, durably.");
    }

    fn respond(self) -> Response {
        (StatusCode::ACCEPTED, Json(self.0)).into_response()
    }
}

/// An answer that sets a cookie.
pub(crate) struct WithCookie<O> {
    pub(crate) cookie: HeaderValue,
    pub(crate) answer: O,
}

impl<O: Output> Output for WithCookie<O> {
    fn describe(description: &mut Description) {
        O::describe(description);
    }

    fn respond(self) -> Response {
        let mut response = self.answer.respond();
        response.headers_mut().append(SET_COOKIE, self.cookie);
        response
    }
}

/// A response made by hand: pages, redirects, streams.
impl Output for Response {
    fn describe(description: &mut Description) {
        let response = ResponseBuilder::new().description("See the description.").build();
        description.change(|operation| operation.response("200", response));
    }

    fn respond(self) -> Response {
        self
    }
}

fn describe_json<T: ToSchema>(description: &mut Description, status: StatusCode, what: &str) {
    let schema = Ref::from_schema_name(T::name());
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let response =
        ResponseBuilder::new().description(what).content("application/json", content).build();
    description.change(|operation| operation.response(status.as_str(), response));
    description.schemas.push((T::name().into_owned(), T::schema()));
    T::schemas(&mut description.schemas);
}
