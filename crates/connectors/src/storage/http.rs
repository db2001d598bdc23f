//! Files behind `http://` and `https://` URLs: read only.

use super::{Download, FileStore, StoredFile, changed, save, too_large};
use async_trait::async_trait;
use chrono::DateTime;
use futures::{StreamExt, TryStreamExt};
use model::{Problem, Result, codes};
use reqwest::header::{ETAG, HeaderMap, LAST_MODIFIED, RETRY_AFTER};
use reqwest::{Client, Method, Response, StatusCode, redirect};
use std::path::Path;
use std::time::Duration;
use stdx::clock::{Clock, SystemClock};
use stdx::hash::{Random, stable_hash};
use stdx::retry::Backoff;

const REDIRECTS_MAX: usize = 5;
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// A client for URLs.
pub struct HttpStore {
    client: Client,
    backoff: Backoff,
}

impl HttpStore {
    /// A client with the usual patience.
    pub fn new() -> Result<Self> {
        Self::with_backoff(Backoff::default())
    }

    /// A client that tries again as `backoff` says.
    pub fn with_backoff(backoff: Backoff) -> Result<Self> {
        let client = Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(Duration::from_secs(60))
            .redirect(redirect::Policy::limited(REDIRECTS_MAX))
            .user_agent(concat!("affluent/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| {
                Problem::new(&codes::INTERNAL, "an HTTP client cannot be made").detail(error)
            })?;
        Ok(Self { client, backoff })
    }

    /// Runs `attempt` until it succeeds, its problem cannot be helped, or patience ends.
    async fn retry<T, F>(&self, url: &str, mut attempt: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut random = Random::new(stable_hash(url.as_bytes()));
        let mut number = 1;
        loop {
            let failure = match attempt().await {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            if !failure.problem.code().retry || number >= self.backoff.attempts_max {
                return Err(failure.problem);
            }
            let wait = self.backoff.wait(number, &mut random);
            let wait = failure.retry_after.map_or(wait, |asked| asked.max(wait));
            if wait > RETRY_AFTER_MAX {
                return Err(failure.problem.hint(format!(
                    "the server asks to wait {} seconds: run again later",
                    wait.as_secs()
                )));
            }
            tracing::warn!(
                url,
                attempt = number,
                wait_ms = wait.as_millis() as u64,
                "trying again"
            );
            tokio::time::sleep(wait).await;
            number += 1;
        }
    }

    async fn request(&self, method: Method, url: &str) -> Result<Response, Failure> {
        let response = self.client.request(method, url).send().await;
        let response = response.map_err(|error| Failure::from_error(url, &error))?;
        match response.status() {
            status if status.is_success() => Ok(response),
            status => Err(Failure::from_status(url, status, response.headers())),
        }
    }

    async fn download_once(
        &self,
        url: &str,
        to: &Path,
        wanted: Option<&str>,
        bytes_max: u64,
    ) -> Result<Download, Failure> {
        let response = self.request(Method::GET, url).await?;
        let found = version(response.headers());
        if wanted.is_some() && wanted != found.as_deref() {
            return Err(changed(url).into());
        }
        if response.content_length().is_some_and(|length| length > bytes_max) {
            return Err(too_large(url, bytes_max).into());
        }
        let stream = response
            .bytes_stream()
            .map_err(|error| Failure::from_error(url, &error).problem)
            .boxed();
        let (size, sha256) = save(stream, url, to, bytes_max).await?;
        Ok(Download { size, version: found, sha256 })
    }
}

/// A problem, and how long the server asks to wait.
struct Failure {
    problem: Problem,
    retry_after: Option<Duration>,
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self { problem, retry_after: None }
    }
}

impl Failure {
    fn from_error(url: &str, error: &reqwest::Error) -> Self {
        let code = if error.is_timeout() {
            &codes::CONNECTION_TIMEOUT
        } else if error.is_builder() || error.is_redirect() {
            &codes::SETTING_INVALID
        } else {
            &codes::CONNECTION_FAILED
        };
        let fact = match code.id {
            "connection_timeout" => format!("`{url}` does not answer in time"),
            "setting_invalid" => format!("`{url}` cannot be asked"),
            _ => format!("`{url}` cannot be reached"),
        };
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        let hint = "check the URL and the network; try it with a browser on this machine";
        Problem::new(code, fact).arg("url", url).detail(cause).hint(hint).into()
    }

    fn from_status(url: &str, status: StatusCode, headers: &HeaderMap) -> Self {
        let problem = |code, fact: &str, hint: &str| {
            Problem::new(code, format!("`{url}` {fact}"))
                .arg("url", url)
                .detail(status)
                .hint(hint.to_owned())
        };
        let problem = match status.as_u16() {
            404 | 410 => problem(&codes::FILE_NOT_FOUND, "does not exist", "check the URL"),
            401 | 403 | 407 => problem(
                &codes::CONNECTION_REFUSED,
                "refuses access",
                "files behind a sign-in are read with the source `http` and a connection",
            ),
            408 | 429 | 500 | 502 | 503 | 504 => problem(
                &codes::CONNECTION_FAILED,
                "is not available now",
                "run again later; the run goes on where it stopped",
            ),
            _ => problem(&codes::RESPONSE_INVALID, "cannot be read", "check the URL"),
        };
        Self { problem, retry_after: retry_after(headers, SystemClock.now_us()) }
    }
}

/// How long `Retry-After` asks to wait: seconds, or until a date.
fn retry_after(headers: &HeaderMap, now_us: i64) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let until = DateTime::parse_from_rfc2822(text).ok()?;
    u64::try_from(until.timestamp_micros() - now_us).ok().map(Duration::from_micros)
}

fn version(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(ETAG).or_else(|| headers.get(LAST_MODIFIED))?;
    Some(value.to_str().ok()?.trim_matches('"').to_owned())
}

fn read_only(url: &str) -> Problem {
    Problem::new(&codes::SETTING_INVALID, format!("nothing can be written or listed at `{url}`"))
        .arg("url", url)
        .hint("URLs are for reading one file; write to a local path or to `s3://`")
}

#[async_trait]
impl FileStore for HttpStore {
    async fn list(&self, folder: &str) -> Result<Vec<StoredFile>> {
        Err(read_only(folder))
    }

    async fn head(&self, path: &str) -> Result<Option<StoredFile>> {
        let got = self.retry(path, || self.request(Method::HEAD, path)).await;
        let headers = match got {
            Ok(response) => response.headers().clone(),
            Err(problem) if problem.is(&codes::FILE_NOT_FOUND) => return Ok(None),
            // Many servers know GET only; what they have is found out by asking for it.
            Err(problem)
                if problem.is(&codes::RESPONSE_INVALID)
                    || problem.is(&codes::CONNECTION_REFUSED) =>
            {
                HeaderMap::new()
            }
            Err(problem) => return Err(problem),
        };
        let length = headers.get(reqwest::header::CONTENT_LENGTH);
        let size = length.and_then(|length| length.to_str().ok()?.parse().ok());
        Ok(Some(StoredFile { path: path.to_owned(), size, version: version(&headers) }))
    }

    async fn download(
        &self,
        path: &str,
        to: &Path,
        wanted: Option<&str>,
        bytes_max: u64,
    ) -> Result<Download> {
        self.retry(path, || self.download_once(path, to, wanted, bytes_max)).await
    }

    async fn get(&self, path: &str) -> Result<Option<Vec<u8>>> {
        Err(read_only(path))
    }

    async fn publish(&self, _: &Path, path: &str) -> Result<()> {
        Err(read_only(path))
    }

    async fn create(&self, path: &str, _: &[u8]) -> Result<bool> {
        Err(read_only(path))
    }

    async fn delete(&self, path: &str) -> Result<()> {
        Err(read_only(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_may_ask_to_wait_in_seconds_or_until_a_date() {
        let headers = |text: &str| [(RETRY_AFTER, text.parse().unwrap())].into_iter().collect();
        let second = Duration::from_secs(1);
        assert_eq!(retry_after(&headers("120"), 0), Some(second * 120));
        let date = headers("Thu, 01 Jan 1970 00:00:09 GMT");
        assert_eq!(retry_after(&date, 2_000_000), Some(second * 7));
        assert_eq!(retry_after(&date, 20_000_000), None);
        assert_eq!(retry_after(&headers("soon"), 0), None);
    }
}
