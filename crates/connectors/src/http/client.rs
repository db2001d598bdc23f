//! Talking to an HTTP service: where it is, how to sign in, patience, limits.

use contracts::Context;
use futures::TryFutureExt;
use model::{Name, Problem, Result, Secret, codes};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, redirect};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use stdx::clock::{Clock, SystemClock};
use stdx::hash::{Random, stable_hash};
use stdx::retry::Backoff;
use url::Url;

/// The connection type of this file.
pub(crate) const TYPE: &str = "http";
const REDIRECTS_MAX: usize = 5;
/// Nobody waits longer than this inside of a run.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
const SAID_BYTES_MAX: usize = 500;

/// The settings of a connection of type `http`.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpConnection {
    /// What all addresses of the service begin with, such as `https://api.example.org/v2`.
    pub url: String,
    /// How to sign in.
    #[serde(default)]
    pub auth: Option<Auth>,
    /// Headers of every request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

/// How to sign in to a service.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "type", deny_unknown_fields)]
pub enum Auth {
    /// With a token, as `Authorization: Bearer …`.
    Bearer {
        /// The token, best as `${secret:…}`.
        token: Secret,
    },
    /// With a user and a password, as `Authorization: Basic …`.
    Basic {
        /// The user.
        user: String,
        /// The password, best as `${secret:…}`.
        password: Secret,
    },
    /// With a key in a header or in the query.
    ApiKey {
        /// Name of the header or parameter.
        name: String,
        /// The key, best as `${secret:…}`.
        value: Secret,
        /// Where it goes.
        #[serde(default, rename = "in")]
        place: KeyPlace,
    },
}

/// Where an API key goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyPlace {
    /// Into a header.
    #[default]
    Header,
    /// Into the query.
    Query,
}

/// How long and how often to try, and how much to take.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Attempts per request, the first included. Tried again: no connection, no answer, 429, 5xx.
    #[schemars(range(min = 1, max = 20))]
    pub attempts: u32,
    /// How long a connection may take, in seconds.
    #[schemars(range(min = 1, max = 600))]
    pub connect_timeout_s: u32,
    /// How long the service may stay silent, in seconds.
    #[schemars(range(min = 1, max = 3600))]
    pub read_timeout_s: u32,
    /// How long one answer may take in all, in seconds.
    #[schemars(range(min = 1, max = 86400))]
    pub timeout_s: u32,
    /// The largest answer that is taken, in MiB.
    #[schemars(range(min = 1, max = 4096))]
    pub body_mib: u32,
    /// Requests per second, at most; 0 means as fast as possible.
    #[schemars(range(min = 0.0, max = 10000.0))]
    pub requests_per_s: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            attempts: 5,
            connect_timeout_s: 10,
            read_timeout_s: 60,
            timeout_s: 300,
            body_mib: 64,
            requests_per_s: 0.0,
        }
    }
}

/// An answer with a good status.
#[derive(Debug)]
pub(super) struct Answer {
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// A service that is asked again and again.
pub(super) struct Service {
    client: Client,
    /// Where every request must go to.
    base: Url,
    auth: Option<Auth>,
    headers: HeaderMap,
    limits: Limits,
    backoff: Backoff,
    random: Random,
    next_request: tokio::time::Instant,
}

impl Service {
    /// The service of a connection, or of an address without one, and the address in full.
    pub(super) fn new(
        context: &Context,
        connection: Option<&Name>,
        address: &str,
        headers: &BTreeMap<String, String>,
        limits: &Limits,
    ) -> Result<(Self, Url)> {
        let settings = match connection {
            Some(name) => {
                Some(Context::settings::<HttpConnection>(context.connection(name, &[TYPE])?)?)
            }
            None => None,
        };
        let (base, url) = locate(settings.as_ref(), address)?;
        let mut all = HeaderMap::new();
        let own = settings.iter().flat_map(|settings| &settings.headers);
        for (name, value) in own.chain(headers) {
            let (name, value) = header(name, value)?;
            all.insert(name, value);
        }
        let random = Random::new(stable_hash(url.as_str().as_bytes()));
        let service = Self {
            client: client(&base, limits)?,
            base,
            auth: settings.and_then(|settings| settings.auth),
            headers: all,
            limits: limits.clone(),
            backoff: Backoff { attempts_max: limits.attempts.max(1), ..Backoff::default() },
            random,
            next_request: tokio::time::Instant::now(),
        };
        Ok((service, url))
    }

    /// Sends one request until it is answered well or patience ends.
    pub(super) async fn send(
        &mut self,
        method: &Method,
        url: &Url,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Result<Answer> {
        self.check_place(url)?;
        let mut attempt = 1;
        loop {
            self.wait_for_turn().await;
            let request = self.request(method, url, headers, body);
            let limit = Duration::from_secs(self.limits.timeout_s.into());
            let tried = tokio::time::timeout(limit, self.attempt(request, url));
            let failure = match tried.await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(failure)) => failure,
                Err(_) => Failure::new(silent(url, self.limits.timeout_s)),
            };
            if !failure.problem.code().retry || attempt >= self.backoff.attempts_max {
                return Err(failure.problem.arg("attempts", attempt));
            }
            let wait = self.backoff.wait(attempt, &mut self.random);
            let wait = failure.retry_after.map_or(wait, |asked| asked.max(wait));
            if wait > RETRY_AFTER_MAX {
                let seconds = wait.as_secs();
                let hint = format!("the service asks to wait {seconds} s: run it again later");
                return Err(failure.problem.hint(hint));
            }
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(url = shown(url), attempt, wait_ms, "trying again");
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    fn request(
        &self,
        method: &Method,
        url: &Url,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> RequestBuilder {
        let mut request = self.client.request(method.clone(), url.clone());
        request = request.headers(self.headers.clone());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request = sign(request, self.auth.as_ref());
        match body {
            Some(body) => request.body(body.to_vec()),
            None => request,
        }
    }

    async fn attempt(&self, request: RequestBuilder, url: &Url) -> Result<Answer, Failure> {
        let response = request.send().map_err(|error| failure_of(url, &error)).await?;
        let status = response.status();
        if !status.is_success() {
            return Err(refusal(url, response).await);
        }
        let headers = response.headers().clone();
        let encoding = headers.get("content-encoding").and_then(|value| value.to_str().ok());
        if encoding.is_some_and(|encoding| encoding != "identity") {
            return Err(Failure::new(
                Problem::new(
                    &codes::RESPONSE_INVALID,
                    format!("`{}` answers compressed, which was not asked for", shown(url)),
                )
                .hint("if the service has an option for it, ask for plain answers"),
            ));
        }
        let body = self.body(response, url).await?;
        Ok(Answer { headers, body })
    }

    async fn body(&self, mut response: Response, url: &Url) -> Result<Vec<u8>, Failure> {
        let limit = u64::from(self.limits.body_mib) * 1024 * 1024;
        let too_large = || {
            Failure::new(
                Problem::new(
                    &codes::RESPONSE_TOO_LARGE,
                    format!("`{}` answers with more than {} MiB", shown(url), limit >> 20),
                )
                .arg("url", shown(url))
                .hint("ask for smaller pages, or raise `limits.body_mib`"),
            )
        };
        if response.content_length().is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failure_of(url, &error))? {
            if (body.len() + chunk.len()) as u64 > limit {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    async fn wait_for_turn(&mut self) {
        if self.limits.requests_per_s > 0.0 {
            tokio::time::sleep_until(self.next_request).await;
            let pause = Duration::from_secs_f64(1.0 / self.limits.requests_per_s.max(0.001));
            self.next_request = tokio::time::Instant::now() + pause;
        }
    }

    /// What a service says about its next page may not lead elsewhere, credentials in hand.
    fn check_place(&self, url: &Url) -> Result<()> {
        if url.origin() == self.base.origin() {
            return Ok(());
        }
        Err(Problem::new(
            &codes::RESPONSE_INVALID,
            format!("`{}` leads to another place: `{}`", shown(&self.base), shown(url)),
        )
        .arg("url", shown(url))
        .hint("only addresses with the same scheme, host and port are followed"))
    }
}

/// Adds what signs a request in.
pub(super) fn sign(request: RequestBuilder, auth: Option<&Auth>) -> RequestBuilder {
    match auth {
        None => request,
        Some(Auth::Bearer { token }) => request.bearer_auth(token.reveal()),
        Some(Auth::Basic { user, password }) => request.basic_auth(user, Some(password.reveal())),
        Some(Auth::ApiKey { name, value, place: KeyPlace::Header }) => {
            request.header(name, value.reveal())
        }
        Some(Auth::ApiKey { name, value, place: KeyPlace::Query }) => {
            request.query(&[(name, value.reveal())])
        }
    }
}

fn client(base: &Url, limits: &Limits) -> Result<Client> {
    let origin = base.origin();
    let policy = redirect::Policy::custom(move |attempt| {
        let goes_on = attempt.previous().len() <= REDIRECTS_MAX;
        match goes_on && attempt.url().origin() == origin {
            true => attempt.follow(),
            // The answer with the redirect is then what the service says.
            false => attempt.stop(),
        }
    });
    Client::builder()
        .connect_timeout(Duration::from_secs(limits.connect_timeout_s.into()))
        .read_timeout(Duration::from_secs(limits.read_timeout_s.into()))
        .redirect(policy)
        .referer(false)
        .user_agent(concat!("affluent/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| {
            Problem::new(&codes::INTERNAL, "an HTTP client cannot be made").detail(error)
        })
}

/// The base and the address in full.
pub(super) fn locate(settings: Option<&HttpConnection>, address: &str) -> Result<(Url, Url)> {
    let is_absolute = address.contains("://");
    let Some(settings) = settings else {
        let url = parse(address)?;
        return Ok((url.clone(), url));
    };
    let base = parse(&settings.url)?;
    let url = match is_absolute {
        true => parse(address)?,
        false => {
            let (start, rest) =
                (settings.url.trim_end_matches('/'), address.trim_start_matches('/'));
            parse(&if rest.is_empty() { start.to_owned() } else { format!("{start}/{rest}") })?
        }
    };
    if url.origin() != base.origin() {
        return Err(Problem::new(
            &codes::SETTING_INVALID,
            format!("`{}` is not a place of the connection's service", shown(&url)),
        )
        .in_setting("/url")
        .hint(format!("write a path below `{}`, or leave `connection` out", shown(&base))));
    }
    Ok((base, url))
}

fn parse(text: &str) -> Result<Url> {
    let invalid = |fact: String| {
        Problem::new(&codes::SETTING_INVALID, fact)
            .in_setting("/url")
            .hint("write `https://host/path`; user and password belong into a connection")
    };
    let url = Url::parse(text)
        .map_err(|error| invalid(format!("`{text}` is not a URL")).detail(error))?;
    let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
    if !is_web || !url.username().is_empty() || url.password().is_some() {
        return Err(invalid(format!("`{}` is not a URL that can be asked", shown(&url))));
    }
    Ok(url)
}

pub(super) fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue)> {
    let parsed = name.parse::<HeaderName>().ok().zip(value.parse::<HeaderValue>().ok());
    parsed.ok_or_else(|| {
        Problem::new(&codes::SETTING_INVALID, format!("`{name}` is not a header"))
            .arg("header", name)
            .hint("names have letters, digits and `-`; values no line breaks")
    })
}

/// An address without its query, which may hold keys, and without user and password.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}

/// Why an attempt failed, and when the service wants to be asked again.
#[derive(Debug)]
struct Failure {
    problem: Problem,
    retry_after: Option<Duration>,
}

impl Failure {
    fn new(problem: Problem) -> Self {
        Self { problem, retry_after: None }
    }
}

fn silent(url: &Url, seconds: u32) -> Problem {
    Problem::new(
        &codes::CONNECTION_TIMEOUT,
        format!("`{}` has not answered in full within {seconds} s", shown(url)),
    )
    .arg("url", shown(url))
    .hint("ask for smaller pages, or raise `limits.timeout_s`")
}

fn failure_of(url: &Url, error: &reqwest::Error) -> Failure {
    let mut detail = String::new();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        detail = error.to_string();
        cause = error.source();
    }
    let (code, fact, hint) = match () {
        () if error.is_timeout() => (
            &codes::CONNECTION_TIMEOUT,
            "does not answer in time",
            "try again later, or raise `limits.read_timeout_s`",
        ),
        () if error.is_builder() => {
            (&codes::SETTING_INVALID, "cannot be asked like this", "check headers and parameters")
        }
        () if error.is_connect() => {
            (&codes::CONNECTION_FAILED, "cannot be reached", "check the address and the network")
        }
        () => (
            &codes::CONNECTION_FAILED,
            "broke off in the middle of its answer",
            "try again; if it happens again, ask whoever runs the service",
        ),
    };
    let shown = shown(url);
    let problem = Problem::new(code, format!("`{shown}` {fact}")).arg("url", &shown).hint(hint);
    Failure::new(if detail.is_empty() { problem } else { problem.detail(detail) })
}

async fn refusal(url: &Url, mut response: Response) -> Failure {
    let status = response.status();
    let retry_after = retry_after(response.headers());
    let mut said = Vec::new();
    while said.len() < SAID_BYTES_MAX {
        match response.chunk().await {
            Ok(Some(chunk)) => said.extend_from_slice(&chunk),
            _ => break,
        }
    }
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    let (code, hint) = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            (&codes::CONNECTION_REFUSED, "check `auth` of the connection, and its rights")
        }
        StatusCode::TOO_MANY_REQUESTS => {
            (&codes::CONNECTION_FAILED, "ask less often with `limits.requests_per_s`")
        }
        status if status.is_server_error() => {
            (&codes::CONNECTION_FAILED, "try again later, or ask whoever runs the service")
        }
        status if status.is_redirection() => (
            &codes::CONNECTION_REFUSED,
            "it points to another place; write that address if you trust it",
        ),
        _ => (&codes::CONNECTION_REFUSED, "check address, parameters and headers"),
    };
    let shown = shown(url);
    let problem = Problem::new(code, format!("`{shown}` answers {}", status.as_u16()))
        .arg("url", &shown)
        .arg("status", status.as_u16())
        .hint(hint);
    let problem = match said.is_empty() {
        true => problem,
        false => problem.detail(stdx::text::truncate(&said, SAID_BYTES_MAX)),
    };
    Failure { problem, retry_after }
}

/// `Retry-After`: seconds, or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let then = chrono::DateTime::parse_from_rfc2822(text).ok()?.timestamp_micros();
    let wait_us = then - SystemClock.now_us();
    u64::try_from(wait_us).ok().map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_stay_with_their_connection() {
        let settings: HttpConnection =
            serde_json::from_str(r#"{"url": "https://api.example.org/v2/"}"#).unwrap();
        let place =
            |address: &str| locate(Some(&settings), address).map(|(_, url)| url.to_string()).ok();
        assert_eq!(place("/items?x=1").unwrap(), "https://api.example.org/v2/items?x=1");
        assert_eq!(place("").unwrap(), "https://api.example.org/v2");
        assert!(place("https://api.example.org/other").is_some());
        assert!(place("https://evil.example.org/v2/items").is_none());
        assert!(place("http://api.example.org/v2/items").is_none());
        assert!(locate(None, "ftp://example.org/a").is_err());
        assert!(locate(None, "https://user:secret@example.org/a").is_err());
        assert_eq!(shown(&parse("https://a.b/c?key=k").unwrap()), "https://a.b/c");
    }
}
