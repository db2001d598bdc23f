//! The command line as a client of a server.

use crate::variables::variable;
use api::definitions::{AllDefinitions, Applied, ApplyDefinitions};
use api::problem::ProblemBody;
use clap::Args;
use model::problem::StoredProblem;
use model::{Fault, Name, Problem, Result, Secret, codes};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Certificate, RequestBuilder, Url};
use serde::de::DeserializeOwned;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The key itself, for CI systems that keep secrets in variables.
const API_KEY: &str = "AFFLUENT_API_KEY";
/// The file that means standard input.
const STANDARD_INPUT: &str = "-";
/// A key is not longer.
const KEY_BYTES_MAX: u64 = 4096;
/// An answer is not longer, in bytes.
const ANSWER_BYTES_MAX: u64 = 256 << 20;
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
const ANSWER_WITHIN: Duration = Duration::from_secs(120);

/// Which server, which workspace, and who asks.
#[derive(Debug, Args)]
pub struct Server {
    /// Address of the server, as in `https://data.example.org`
    #[arg(long = "server", value_name = "URL", env = "AFFLUENT_SERVER")]
    pub url: String,
    /// The workspace; that of the project unless given
    #[arg(long, value_name = "NAME")]
    pub workspace: Option<String>,
    /// File with an API key, `-` for standard input; without it the variable `AFFLUENT_API_KEY`
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// PEM file with the certificate of an authority of your own
    #[arg(long, value_name = "FILE")]
    pub authority: Option<PathBuf>,
}

/// A workspace of a server.
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
}

impl Client {
    /// Opens nothing yet. `own` is the workspace of the project, if there is one here.
    pub(crate) fn new(server: &Server, own: Option<Name>) -> Result<Self> {
        let base = address(&server.url)?;
        let workspace = match &server.workspace {
            Some(name) => Name::new(name.as_str())?,
            None => own.ok_or_else(|| {
                Problem::new(&codes::COMMAND_INVALID, "no workspace is named")
                    .hint("give `--workspace NAME`, or work in the folder of a project")
            })?,
        };
        let base = base.join(&format!("api/v1/workspaces/{workspace}/")).map_err(internal)?;
        let key = key(server.key_file.as_deref())?;
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", key.reveal()))
            .map_err(|_| no_key("the API key has characters that no key has"))?;
        bearer.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, bearer);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let mut http = reqwest::Client::builder()
            .default_headers(headers)
            // The key goes to the server that was named and to no other.
            .redirect(Policy::none())
            .connect_timeout(CONNECT_WITHIN)
            .timeout(ANSWER_WITHIN);
        if let Some(authority) = &server.authority {
            http = http.add_root_certificate(certificate(authority)?);
        }
        Ok(Self { http: http.build().map_err(internal)?, base })
    }

    /// All documents of the workspace.
    pub(crate) async fn definitions(&self) -> Result<AllDefinitions> {
        self.send(self.http.get(self.url("definitions")?)).await
    }

    /// Makes the documents be these, or says what would change.
    pub(crate) async fn apply(&self, documents: &ApplyDefinitions) -> Result<Applied> {
        self.send(self.http.post(self.url("definitions/apply")?).json(documents)).await
    }

    fn url(&self, path: &str) -> Result<Url> {
        self.base.join(path).map_err(internal)
    }

    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T> {
        let response = request.send().await.map_err(|error| self.unreached(&error))?;
        let status = response.status();
        if response.content_length().is_some_and(|length| length > ANSWER_BYTES_MAX) {
            return Err(Problem::new(&codes::RESPONSE_TOO_LARGE, "the answer is too long"));
        }
        let text = response.bytes().await.map_err(|error| self.unreached(&error))?;
        if status.is_success() {
            return serde_json::from_slice(&text).map_err(|error| {
                Problem::new(&codes::RESPONSE_INVALID, "the answer is not that of Affluent")
                    .detail(error)
                    .hint("is there an Affluent server of this version at the address?")
            });
        }
        Err(match serde_json::from_slice::<ProblemBody>(&text) {
            Ok(body) => problem(body),
            Err(_) => {
                Problem::new(&codes::RESPONSE_INVALID, format!("the server answers {status}"))
                    .hint("is there an Affluent server at the address?")
            }
        })
    }

    fn unreached(&self, error: &reqwest::Error) -> Problem {
        let host = self.base.host_str().unwrap_or_default();
        let code = match error.is_timeout() {
            true => &codes::CONNECTION_TIMEOUT,
            false => &codes::CONNECTION_FAILED,
        };
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        Problem::new(code, format!("`{host}` cannot be asked"))
            .detail(cause)
            .hint("check the address, and that the server runs")
    }
}

fn internal(error: impl std::fmt::Display) -> Problem {
    Problem::new(&codes::INTERNAL, "a request cannot be made").detail(error)
}

/// A key is sent in clear to this machine alone.
fn address(text: &str) -> Result<Url> {
    let refused = |fact: String| {
        Problem::new(&codes::COMMAND_INVALID, fact).hint("write it as `https://data.example.org`")
    };
    let mut url = Url::parse(text)
        .map_err(|error| refused(format!("`{text}` is no address")).detail(error))?;
    let host = url.host_str().unwrap_or_default();
    let is_here = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    match url.scheme() {
        "https" => {}
        "http" if is_here => {}
        "http" => return Err(refused(format!("the key would go to `{host}` without TLS"))),
        _ => return Err(refused(format!("`{text}` is no address of a server"))),
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

fn no_key(fact: &str) -> Problem {
    Problem::new(&codes::COMMAND_INVALID, fact).hint(format!(
        "make a key in the workspace, and put it into the variable `{API_KEY}`, or into a file \
         that `--key-file` names"
    ))
}

/// The key, from where it was put. It is never an argument: those are seen by everybody.
fn key(file: Option<&Path>) -> Result<Secret> {
    let text = match file {
        None => variable(API_KEY).ok_or_else(|| no_key("there is no API key"))?,
        Some(path) => {
            let failed = |error: io::Error| {
                no_key(&format!("the key cannot be read from `{}`", path.display())).detail(error)
            };
            let mut text = String::new();
            let input: Box<dyn Read> = match path == Path::new(STANDARD_INPUT) {
                true => Box::new(io::stdin()),
                false => Box::new(fs::File::open(path).map_err(failed)?),
            };
            input.take(KEY_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
            text
        }
    };
    match text.trim() {
        "" => Err(no_key("the API key is empty")),
        key => Ok(Secret::new(key)),
    }
}

fn certificate(path: &Path) -> Result<Certificate> {
    let failed = |error: &dyn std::fmt::Display| {
        let fact = format!("`{}` is no certificate", path.display());
        Problem::new(&codes::SETTING_INVALID, fact).detail(error).hint("name a PEM file")
    };
    let pem = fs::read(path).map_err(|error| failed(&error))?;
    Certificate::from_pem(&pem).map_err(|error| failed(&error))
}

/// The problem that has travelled as `body`.
pub(crate) fn problem(body: ProblemBody) -> Problem {
    let context = serde_json::json!(body.context);
    // Positions travel as texts.
    let number = |name: &str| body.context.get(name).and_then(|text| text.parse().ok());
    let text = |name: &str| context.get(name).and_then(|text| text.as_str()).map(str::to_owned);
    server::problem_of(StoredProblem {
        code: body.code,
        message: body.title,
        arguments: body.arguments,
        fault: Fault::User,
        retry: body.retry,
        detail: body.detail,
        hint: body.hint,
        context: model::problem::Context {
            pipeline: text("pipeline"),
            node: text("node"),
            file: text("file"),
            line: number("line"),
            column: number("column"),
            setting: text("setting"),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_sent_in_clear_to_this_machine_alone() {
        for good in ["https://data.example.org", "http://localhost:7878", "http://127.0.0.1:1/x"] {
            assert!(address(good).unwrap().path().ends_with('/'), "{good}");
        }
        for bad in ["http://data.example.org", "ftp://localhost", "data.example.org", ""] {
            assert!(address(bad).unwrap_err().is(&codes::COMMAND_INVALID), "{bad}");
        }
    }

    #[test]
    fn keys_are_read_from_files_without_the_end_of_the_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, "afk_abc\n").unwrap();
        assert_eq!(key(Some(&path)).unwrap().reveal(), "afk_abc");
        fs::write(&path, "\n").unwrap();
        assert!(key(Some(&path)).is_err());
    }
}
