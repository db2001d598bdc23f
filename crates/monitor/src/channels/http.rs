//! Requests to addresses that people have typed in: checked, bounded, never redirected.

use super::SEND_TIMEOUT;
use model::{Problem, Result, Secret, codes};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use stdx::network::is_public;
use url::{Host, Url};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// So much of an answer is read, and so much of that is shown.
const ANSWER_BYTES_MAX: usize = 4_096;
const ANSWER_CHARACTERS_SHOWN: usize = 200;

/// Whether messages may go to this machine and to private networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PrivateTargets {
    /// They may not: whoever writes a channel could else reach what only the server can.
    #[default]
    Refused,
    /// They may, also without encryption.
    Allowed,
}

/// Sends JSON.
pub(super) async fn post_json(url: &Secret, body: &Value, private: PrivateTargets) -> Result<()> {
    post(url, &[], body.to_string().into_bytes(), private).await
}

/// Sends a body of JSON and waits until the other side has taken it.
pub(super) async fn post(
    url: &Secret,
    headers: &[(&str, &str)],
    body: Vec<u8>,
    private: PrivateTargets,
) -> Result<()> {
    let url = parse(url, private)?;
    let client = client(&url, private).await?;
    let mut request = client.post(url.clone()).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let host = url.host_str().unwrap_or_default();
    let response = request.body(body).send().await.map_err(|error| failed(host, error))?;
    match response.status() {
        status if status.is_success() => Ok(()),
        status => Err(refused(host, status, response).await),
    }
}

/// The host of a channel's address, which may be shown.
pub fn host_of(url: &Secret) -> Result<String> {
    let url = parse(url, PrivateTargets::Allowed)?;
    Ok(url.host_str().unwrap_or_default().to_owned())
}

/// Addresses are secrets: no problem repeats them.
fn parse(url: &Secret, private: PrivateTargets) -> Result<Url> {
    let invalid = |why: &str| {
        Problem::new(&codes::SETTING_INVALID, format!("the address of the channel {why}"))
            .in_setting("/settings/url")
            .hint("give the whole address, such as `https://chat.example.org/hooks/…`")
    };
    let url = Url::parse(url.reveal()).map_err(|_| invalid("cannot be read"))?;
    match (url.scheme(), private) {
        ("https", _) | ("http", PrivateTargets::Allowed) => Ok(url),
        _ => Err(invalid("does not begin with `https://`")),
    }
}

/// A client that connects to the addresses that were checked, whatever the name means next.
async fn client(url: &Url, private: PrivateTargets) -> Result<Client> {
    let port = url.port_or_known_default().unwrap_or(443);
    let (name, addresses) = match url.host() {
        Some(Host::Domain(name)) => (name, addresses(name, port, private).await?),
        Some(Host::Ipv4(address)) => ("", checked(vec![(address, port).into()], private)?),
        Some(Host::Ipv6(address)) => ("", checked(vec![(address, port).into()], private)?),
        None => ("", Vec::new()),
    };
    Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(SEND_TIMEOUT)
        .resolve_to_addrs(name, &addresses)
        .user_agent(concat!("affluent/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| {
            Problem::new(&codes::INTERNAL, "the client for requests cannot be made").detail(error)
        })
}

/// The addresses of a host, all of them where messages may go.
pub(super) async fn addresses(
    host: &str,
    port: u16,
    private: PrivateTargets,
) -> Result<Vec<SocketAddr>> {
    let unknown = || {
        Problem::new(&codes::CONNECTION_FAILED, format!("the host `{host}` has no address"))
            .arg("host", host)
            .hint("check the name of the host")
    };
    let found = tokio::time::timeout(CONNECT_TIMEOUT, tokio::net::lookup_host((host, port))).await;
    let found = found.map_err(|_| unknown())?.map_err(|error| unknown().detail(error))?;
    let found: Vec<SocketAddr> = found.collect();
    if found.is_empty() {
        return Err(unknown());
    }
    checked(found, private)
}

fn checked(addresses: Vec<SocketAddr>, private: PrivateTargets) -> Result<Vec<SocketAddr>> {
    let is_private = addresses.iter().any(|address| !is_public(address.ip()));
    if is_private && private == PrivateTargets::Refused {
        let message = "the address of the channel is in a private network";
        return Err(Problem::new(&codes::REQUEST_REFUSED, message)
            .hint("whoever runs the server can allow such addresses with `--private-targets`"));
    }
    Ok(addresses)
}

fn failed(host: &str, error: reqwest::Error) -> Problem {
    let (code, what) = match error.is_timeout() {
        true => (&codes::CONNECTION_TIMEOUT, "does not answer in time"),
        false => (&codes::CONNECTION_FAILED, "cannot be reached"),
    };
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    let problem = Problem::new(code, format!("`{host}` {what}")).arg("host", host);
    problem.detail(cause.unwrap_or_else(|| error.without_url().to_string()))
}

async fn refused(host: &str, status: StatusCode, mut response: Response) -> Problem {
    let mut answer = Vec::new();
    while let Ok(Some(bytes)) = response.chunk().await {
        answer.extend_from_slice(&bytes);
        if answer.len() >= ANSWER_BYTES_MAX {
            break;
        }
    }
    let answer = String::from_utf8_lossy(&answer);
    let shown: String = answer
        .chars()
        .filter(|letter| !letter.is_control())
        .take(ANSWER_CHARACTERS_SHOWN)
        .collect();
    let code = match status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        true => &codes::CONNECTION_FAILED,
        false => &codes::CONNECTION_REFUSED,
    };
    let message = format!("`{host}` does not take the message: it answers {status}");
    Problem::new(code, message).arg("host", host).detail(shown)
}
