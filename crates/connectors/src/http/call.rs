//! One call of a service by an action: sent once, answered with whatever the service says.

use super::client::{HttpConnection, TYPE, header, locate, shown, sign};
use super::egress;
use contracts::Context;
use contracts::action::Outside;
use futures::TryFutureExt;
use model::{Name, Problem, Result, Span, codes};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, SET_COOKIE};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::error::Error as _;
use std::time::Duration;
use url::Url;

/// What is taken of an answer.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// What is asked of a service.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Call {
    /// A connection of type `http`: where the service is, and how to sign in.
    #[serde(default)]
    pub(crate) connection: Option<Name>,
    /// The address; with a connection the path below its own.
    #[serde(default)]
    pub(crate) url: String,
    /// What is to be done.
    #[serde(default)]
    pub(crate) method: Verb,
    /// Parameters that are added to the address.
    #[serde(default)]
    pub(crate) query: BTreeMap<String, Value>,
    /// Headers.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// What is sent: a text as it is, anything else as JSON.
    #[serde(default)]
    pub(crate) body: Value,
    /// Statuses that mean success, such as `[200, 404]`; 200 to 299 when none are given.
    #[serde(default)]
    pub(crate) expect: Vec<u16>,
    /// How long the whole answer may take.
    #[serde(default = "half_a_minute")]
    pub(crate) timeout: Span,
}

fn half_a_minute() -> Span {
    Span::from_us(30_000_000)
}

/// What a service is asked to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verb {
    /// Give something.
    #[default]
    Get,
    /// Take something.
    Post,
    /// Put something in a place.
    Put,
    /// Change something.
    Patch,
    /// Remove something.
    Delete,
    /// Say what would be given.
    Head,
}

impl Verb {
    fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Post => Method::POST,
            Self::Put => Method::PUT,
            Self::Patch => Method::PATCH,
            Self::Delete => Method::DELETE,
            Self::Head => Method::HEAD,
        }
    }
}

/// What a service has answered.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The status.
    pub(crate) status: u16,
    /// The headers, their names in lower case.
    pub(crate) headers: Map<String, Value>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Call {
    /// Finds what can be seen to be wrong before anything is sent.
    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |setting: &str, fact: String, hint: &str| {
            let problem = Problem::new(&codes::SETTING_INVALID, fact);
            Err(problem.in_setting(setting).hint(hint.to_owned()))
        };
        if self.connection.is_none() && self.url.trim().is_empty() {
            let hint = "write `url: https://host/path`, or name a `connection`";
            return refuse("/url", "no address is given".to_owned(), hint);
        }
        if let Some(status) = self.expect.iter().find(|status| !(100..600).contains(*status)) {
            let fact = format!("{status} is not a status");
            return refuse("/expect", fact, "statuses are numbers from 100 to 599");
        }
        if self.timeout.us() == 0 {
            let fact = "nobody answers in no time".to_owned();
            return refuse("/timeout", fact, "write a length of time such as `30s`");
        }
        let has_body = !self.body.is_null();
        if has_body && matches!(self.method, Verb::Get | Verb::Head) {
            let fact = "nothing is sent with this method".to_owned();
            return refuse("/body", fact, "write `method: post`, or leave `body` out");
        }
        Ok(())
    }

    /// Whether a status is one that was hoped for.
    pub(crate) fn is_expected(&self, status: u16) -> bool {
        match self.expect.is_empty() {
            true => (200..300).contains(&status),
            false => self.expect.contains(&status),
        }
    }

    fn address(&self, settings: Option<&HttpConnection>) -> Result<Url> {
        let (_, mut url) = locate(settings, &self.url)?;
        if !self.query.is_empty() {
            let mut pairs = url.query_pairs_mut();
            for (name, value) in &self.query {
                match value {
                    Value::Null => {}
                    Value::String(text) => drop(pairs.append_pair(name, text)),
                    other => drop(pairs.append_pair(name, &other.to_string())),
                }
            }
        }
        Ok(url)
    }

    fn headers(&self, settings: Option<&HttpConnection>) -> Result<HeaderMap> {
        let mut all = HeaderMap::new();
        let own = settings.iter().flat_map(|settings| &settings.headers);
        for (name, value) in own.chain(&self.headers) {
            let (name, value) = header(name, value)?;
            all.insert(name, value);
        }
        Ok(all)
    }
}

/// Sends a call once. `marks` are headers for who does not give them. Any status is an answer.
pub(crate) async fn send(
    call: &Call,
    outside: &Outside<'_>,
    marks: &[(&str, &str)],
) -> Result<(Url, Reply)> {
    let settings = match &call.connection {
        Some(name) => {
            let connection = outside.context.connection(name, &[TYPE])?;
            Some(Context::settings::<HttpConnection>(connection)?)
        }
        None => None,
    };
    let url = call.address(settings.as_ref())?;
    let mut headers = call.headers(settings.as_ref())?;
    for (name, value) in marks {
        let (name, value) = header(name, value)?;
        headers.entry(name).or_insert(value);
    }
    let timeout = Duration::from_micros(u64::try_from(call.timeout.us()).unwrap_or(0));
    let client = egress::client(&url, outside.allowed, timeout).await?;
    let has_type = headers.contains_key(CONTENT_TYPE);
    let request = client.request(call.method.method(), url.clone()).headers(headers);
    let mut request = sign(request, settings.and_then(|settings| settings.auth).as_ref());
    request = match &call.body {
        Value::Null => request,
        Value::String(text) => request.body(text.clone()),
        value if has_type => request.body(value.to_string()),
        value => request.header(CONTENT_TYPE, "application/json").body(value.to_string()),
    };
    let mut response = request.send().map_err(|error| failed(&url, call, &error)).await?;
    let status = response.status().as_u16();
    let headers = plain(response.headers());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failed(&url, call, &error))? {
        if body.len() + chunk.len() > BODY_BYTES_MAX {
            let fact = format!("`{}` answers with more than 1 MiB", shown(&url));
            return Err(Problem::new(&codes::RESPONSE_TOO_LARGE, fact)
                .arg("url", shown(&url))
                .hint("ask for less; large data is read with the source `http`"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok((url, Reply { status, headers, body }))
}

/// Headers as JSON, without what signs somebody in.
fn plain(headers: &HeaderMap) -> Map<String, Value> {
    let shown = headers.iter().filter(|(name, _)| **name != SET_COOKIE);
    shown
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.into())))
        .collect()
}

fn failed(url: &Url, call: &Call, error: &reqwest::Error) -> Problem {
    let shown = shown(url);
    let (code, fact, hint) = match () {
        () if error.is_timeout() => (
            &codes::CONNECTION_TIMEOUT,
            format!("`{shown}` has not answered within {}", call.timeout),
            "try again later, or raise `timeout`",
        ),
        () if error.is_builder() => (
            &codes::SETTING_INVALID,
            format!("`{shown}` cannot be asked like this"),
            "check headers and parameters",
        ),
        () if error.is_connect() => (
            &codes::CONNECTION_FAILED,
            format!("`{shown}` cannot be reached"),
            "check the address and the network",
        ),
        () => (
            &codes::CONNECTION_FAILED,
            format!("`{shown}` broke off in the middle of its answer"),
            "try again; the service may have done what it was asked for",
        ),
    };
    let problem = Problem::new(code, fact).arg("url", shown).hint(hint);
    let mut cause = error.source();
    let mut detail = None;
    while let Some(error) = cause {
        detail = Some(error.to_string());
        cause = error.source();
    }
    match detail {
        Some(detail) => problem.detail(detail),
        None => problem,
    }
}
