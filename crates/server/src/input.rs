//! What handlers read: the body, the query, the path.

use crate::route::{Description, Input};
use axum::body::to_bytes;
use axum::extract::{FromRequestParts, Path, Query, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use model::{Problem, Result, codes};
use serde::de::DeserializeOwned;
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::{ContentBuilder, Ref, Required};
use utoipa::{IntoParams, ToSchema};

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
