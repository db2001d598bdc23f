//! What handlers read: the body, the query, the path.

use crate::route::{Description, Input};
use axum::body::{Body as RawBody, to_bytes};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts, Path, Query, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use model::{Problem, Result, codes};
use serde::de::DeserializeOwned;
use utoipa::openapi::path::{ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::{ContentBuilder, Ref, Required, ResponseBuilder};
use utoipa::{IntoParams, PartialSchema, ToSchema};

/// JSON bodies are no longer than this.
pub(crate) const BODY_BYTES_MAX: usize = 10 << 20;

/// Nothing is read.
impl Input for () {
    fn describe(_: &mut Description) {}

    async fn read(_: Request) -> Result<Self> {
        Ok(())
    }
}

/// A JSON body.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned + ToSchema + Send + 'static> Input for Body<T> {
    fn describe(description: &mut Description) {
        let schema = Ref::from_schema_name(T::name());
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let body = RequestBodyBuilder::new()
            .content("application/json", content)
            .required(Some(Required::True))
            .build();
        description.change(|operation| operation.request_body(Some(body)));
        description.schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(&mut description.schemas);
    }

    async fn read(request: Request) -> Result<Self> {
        let (parts, body) = request.into_parts();
        check_is_json(&parts)?;
        let bytes = to_bytes(body, BODY_BYTES_MAX).await.map_err(|error| {
            Problem::new(&codes::REQUEST_TOO_LARGE, "the body is longer than 10 MiB, or broke off")
                .detail(error)
        })?;
        // The text of the request is not repeated: it may hold a password.
        let read = &mut serde_json::Deserializer::from_slice(&bytes);
        serde_path_to_error::deserialize(read).map(Self).map_err(|error| {
            let setting = format!("/{}", error.path().to_string().replace('.', "/"));
            Problem::new(&codes::REQUEST_INVALID, "the body is not what this request takes")
                .detail(error.inner())
                .in_setting(setting)
        })
    }
}

fn check_is_json(parts: &Parts) -> Result<()> {
    let given = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = given.and_then(|value| value.split(';').next()).map(str::trim);
    if essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    Err(Problem::new(&codes::REQUEST_INVALID, "the body is not JSON")
        .hint("send `Content-Type: application/json`"))
}

/// A body of any kind that is read while it comes.
pub(crate) struct Stream {
    /// Its length, if the client says so.
    pub(crate) length: Option<u64>,
    /// The bytes.
    pub(crate) body: RawBody,
}

impl Input for Stream {
    fn describe(description: &mut Description) {
        let content = ContentBuilder::new().build();
        let body = RequestBodyBuilder::new()
            .content("application/octet-stream", content)
            .required(Some(Required::True))
            .build();
        description.change(|operation| operation.request_body(Some(body)));
    }

    async fn read(request: Request) -> Result<Self> {
        let length = header(&request, "content-length").and_then(|length| length.parse().ok());
        Ok(Self { length, body: request.into_body() })
    }
}

/// Values of the query string.
pub(crate) struct InQuery<T>(pub(crate) T);

impl<T: DeserializeOwned + IntoParams + Send + 'static> Input for InQuery<T> {
    fn describe(description: &mut Description) {
        describe_parameters::<T>(description);
    }

    async fn read(request: Request) -> Result<Self> {
        let Query(value) = Query::try_from_uri(request.uri()).map_err(|error| {
            Problem::new(&codes::REQUEST_INVALID, "the query of the URL is not what is expected")
                .detail(error)
        })?;
        Ok(Self(value))
    }
}

/// Values of the path.
pub(crate) struct InPath<T>(pub(crate) T);

impl<T: DeserializeOwned + IntoParams + Send + 'static> Input for InPath<T> {
    fn describe(description: &mut Description) {
        describe_parameters::<T>(description);
    }

    async fn read(request: Request) -> Result<Self> {
        let (mut parts, _) = request.into_parts();
        in_path(&mut parts).await.map(Self)
    }
}

/// Values of the path, and whatever follows.
impl<T, I> Input for (InPath<T>, I)
where
    T: DeserializeOwned + IntoParams + Send + 'static,
    I: Input,
{
    fn describe(description: &mut Description) {
        describe_parameters::<T>(description);
        I::describe(description);
    }

    async fn read(request: Request) -> Result<Self> {
        let (mut parts, body) = request.into_parts();
        let path = in_path(&mut parts).await?;
        Ok((InPath(path), I::read(Request::from_parts(parts, body)).await?))
    }
}

/// Values of the query string, and whatever follows.
impl<T, I> Input for (InQuery<T>, I)
where
    T: DeserializeOwned + IntoParams + Send + 'static,
    I: Input,
{
    fn describe(description: &mut Description) {
        describe_parameters::<T>(description);
        I::describe(description);
    }

    async fn read(request: Request) -> Result<Self> {
        let (parts, body) = request.into_parts();
        let query = InQuery::read(Request::from_parts(parts.clone(), RawBody::empty())).await?;
        Ok((query, I::read(Request::from_parts(parts, body)).await?))
    }
}

/// What follows, with the client's own name for the request: sent again, it means the same thing.
pub(crate) struct Keyed<I> {
    pub(crate) key: Option<String>,
    pub(crate) input: I,
}

impl<I: Input> Input for Keyed<I> {
    fn describe(description: &mut Description) {
        let about = "Names the request: the same one sent again with it means the same thing.";
        describe_header(description, "Idempotency-Key", about);
        I::describe(description);
    }

    async fn read(request: Request) -> Result<Self> {
        let key = header(&request, "idempotency-key").map(str::to_owned);
        Ok(Self { key, input: I::read(request).await? })
    }
}

/// What follows, and the last event of a stream that the client has.
pub(crate) struct Resumed<I> {
    pub(crate) last_event: Option<u64>,
    pub(crate) input: I,
}

impl<I: Input> Input for Resumed<I> {
    fn describe(description: &mut Description) {
        let about = "Number of the last event that the client has; browsers send it by themselves.";
        describe_header(description, "Last-Event-ID", about);
        I::describe(description);
    }

    async fn read(request: Request) -> Result<Self> {
        let last_event = header(&request, "last-event-id").and_then(|id| id.parse().ok());
        Ok(Self { last_event, input: I::read(request).await? })
    }
}

/// The value of a header.
pub(crate) fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}

/// Says that a header is read.
pub(crate) fn describe_header(description: &mut Description, name: &str, about: &str) {
    let parameter = ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(about))
        .schema(Some(String::schema()))
        .build();
    description.change(|operation| operation.parameter(parameter));
}

/// Reads values of the path.
pub(crate) async fn in_path<T: DeserializeOwned + Send>(parts: &mut Parts) -> Result<T> {
    let Path(value) = Path::from_request_parts(parts, &()).await.map_err(|error| {
        Problem::new(&codes::REQUEST_INVALID, "the path is not what is expected").detail(error)
    })?;
    Ok(value)
}

fn describe_parameters<T: IntoParams>(description: &mut Description) {
    for parameter in T::into_params(|| None) {
        description.change(|operation| operation.parameter(parameter));
    }
}

/// That the client wants to go on with a WebSocket.
pub(crate) struct Socket {
    pub(crate) upgrade: WebSocketUpgrade,
    /// The page that asks, in a browser.
    pub(crate) origin: Option<String>,
}

impl Input for Socket {
    fn describe(description: &mut Description) {
        let response = ResponseBuilder::new().description("The WebSocket begins.").build();
        description.change(|operation| operation.response("101", response));
    }

    async fn read(request: Request) -> Result<Self> {
        let origin = header(&request, "origin").map(str::to_owned);
        let (mut parts, _) = request.into_parts();
        let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).await;
        let upgrade = upgrade.map_err(|error| {
            Problem::new(&codes::REQUEST_INVALID, "this path takes WebSockets alone").detail(error)
        })?;
        Ok(Self { upgrade, origin })
    }
}
