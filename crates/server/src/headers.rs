//! What handlers read from headers and answer in them: forms, versions.

use crate::input::{describe_header, header};
use crate::route::{Description, Input, Output};
use api::query::RowFormat;
use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, ETAG};
use axum::response::Response;
use futures::stream;
use model::{Problem, Result, codes};
use tokio::sync::mpsc;

/// What follows, with the form that is wanted.
pub(crate) struct Accepting<I> {
    /// None when anything will do.
    pub(crate) format: Option<RowFormat>,
    pub(crate) input: I,
}

impl<I: Input> Input for Accepting<I> {
    fn describe(description: &mut Description) {
        let known = RowFormat::ALL.map(RowFormat::media_type).join(", ");
        let about = format!("The form that is wanted: {known}.");
        describe_header(description, "Accept", &about);
        I::describe(description);
    }

    async fn read(request: Request) -> Result<Self> {
        let format = accepted(header(&request, "accept").unwrap_or("*/*"))?;
        Ok(Self { format, input: I::read(request).await? })
    }
}

/// The first form of a list that we have; none when anything will do.
fn accepted(list: &str) -> Result<Option<RowFormat>> {
    for item in list.split(',') {
        let essence = item.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if matches!(essence.as_str(), "" | "*/*" | "application/*") {
            return Ok(None);
        }
        let found = RowFormat::ALL.into_iter().find(|format| format.media_type() == essence);
        if found.is_some() {
            return Ok(found);
        }
    }
    let known = RowFormat::ALL.map(RowFormat::media_type).join(", ");
    Err(Problem::new(&codes::REQUEST_INVALID, format!("rows do not come as `{list}`"))
        .hint(format!("send `Accept` with one of {known}")))
}

/// What follows, with the version that the client has.
pub(crate) struct Conditional<I> {
    pub(crate) expected: Expected,
    pub(crate) input: I,
}

/// What a change is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// The client has not said.
    Unsaid,
    /// There is nothing yet: `If-None-Match: *`.
    Nothing,
    /// The version is still this one: `If-Match: "7"`.
    Version(i64),
}

impl Expected {
    /// The version that has to be the newest; none for something new.
    pub(crate) fn version(self) -> Result<Option<i64>> {
        match self {
            Self::Nothing => Ok(None),
            Self::Version(version) => Ok(Some(version)),
            Self::Unsaid => Err(Problem::new(
                &codes::REQUEST_INVALID,
                "the request does not say which version it changes",
            )
            .hint(
                "send `If-Match` with the `ETag` of the document as you know it, or \
                 `If-None-Match: *` to make a new one",
            )),
        }
    }
}

impl<I: Input> Input for Conditional<I> {
    fn describe(description: &mut Description) {
        let about = "The `ETag` of the version that is changed; refused when there is a newer one.";
        describe_header(description, "If-Match", about);
        let about = "`*` to make something new; refused when it is there already.";
        describe_header(description, "If-None-Match", about);
        I::describe(description);
    }

    async fn read(request: Request) -> Result<Self> {
        let expected = expected(header(&request, "if-match"), header(&request, "if-none-match"))?;
        Ok(Self { expected, input: I::read(request).await? })
    }
}

fn expected(matching: Option<&str>, none_matching: Option<&str>) -> Result<Expected> {
    let refused = |text: &str| {
        Problem::new(&codes::REQUEST_INVALID, format!("`{text}` is not an `ETag` of ours"))
            .hint("send it as it came, with its quotes, as in `If-Match: \"7\"`")
    };
    match (matching, none_matching) {
        (None, None) => Ok(Expected::Unsaid),
        (None, Some("*")) => Ok(Expected::Nothing),
        (Some(tag), None) => {
            let inside = tag.trim().strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
            let version = inside.and_then(|text| text.parse().ok()).ok_or_else(|| refused(tag))?;
            Ok(Expected::Version(version))
        }
        (None, Some(other)) => Err(refused(other)),
        (Some(_), Some(_)) => {
            let fact = "`If-Match` and `If-None-Match` do not go together";
            Err(Problem::new(&codes::REQUEST_INVALID, fact).hint("send one of them"))
        }
    }
}

/// An answer with the version that it shows.
pub(crate) struct Versioned<O> {
    pub(crate) version: i64,
    pub(crate) answer: O,
}

impl<O: Output> Output for Versioned<O> {
    fn describe(description: &mut Description) {
        O::describe(description);
    }

    fn respond(self) -> Response {
        let mut response = self.answer.respond();
        if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", self.version)) {
            response.headers_mut().insert(ETAG, tag);
        }
        response
    }
}

/// Rows as bytes, for a file called `name`. A stream that a problem ends is broken off, so that
/// nobody takes it for whole.
pub(crate) fn download(
    format: RowFormat,
    name: &str,
    bytes: mpsc::Receiver<Result<Vec<u8>>>,
) -> Response {
    let stream = stream::unfold(bytes, |mut bytes| async move {
        let part = bytes.recv().await?;
        if let Err(problem) = &part {
            tracing::warn!(%problem, "rows break off");
        }
        Some((part, bytes))
    });
    let mut response = Response::new(Body::from_stream(stream));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    let extension = match format {
        RowFormat::Json => "json",
        RowFormat::Ndjson => "ndjson",
        RowFormat::Csv => "csv",
        RowFormat::Arrow => "arrows",
        RowFormat::Parquet => "parquet",
    };
    let disposition = format!("attachment; filename=\"{name}.{extension}\"");
    if let Ok(disposition) = HeaderValue::from_str(&disposition) {
        headers.insert(CONTENT_DISPOSITION, disposition);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_form_that_we_have_is_taken() {
        let form = |list: &str| accepted(list).unwrap();
        assert_eq!(form("*/*"), None);
        assert_eq!(form("text/html, text/csv;q=0.9, */*"), Some(RowFormat::Csv));
        assert_eq!(form("Application/VND.apache.parquet"), Some(RowFormat::Parquet));
        assert!(accepted("text/html").unwrap_err().is(&codes::REQUEST_INVALID));
    }

    #[test]
    fn versions_are_read_from_both_headers() {
        assert_eq!(expected(None, None).unwrap(), Expected::Unsaid);
        assert_eq!(expected(None, Some("*")).unwrap(), Expected::Nothing);
        assert_eq!(expected(Some("\"12\""), None).unwrap(), Expected::Version(12));
        for (matching, none_matching) in [
            (Some("12"), None),
            (Some("W/\"12\""), None),
            (None, Some("\"1\"")),
            (Some("\"1\""), Some("*")),
        ] {
            assert!(expected(matching, none_matching).is_err());
        }
        assert!(Expected::Unsaid.version().is_err());
    }
}
