//! `http`: rows from an HTTP service, page by page.

use super::client::{Limits, Service, shown};
use super::landing::{Note, Round, newest_page};
use super::pages::{self, Format, Pagination, address, is_above, look, set_param};
use arrow::datatypes::Schema;
use async_trait::async_trait;
use contracts::arrow_types::origin_fields;
use contracts::{Batches, Context, Discovery, Example, Past, ReadRequest, Source, SourceModule};
use formats::file::{InputFile, ReadOptions};
use formats::{csv, json};
use model::run::{Arrival, Input, Range};
use model::{DataType, Name, Problem, Result, codes};
use reqwest::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use url::Url;

/// Settings of `http`.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A connection of type `http`, with address, credentials and headers.
    #[serde(default)]
    connection: Option<Name>,
    /// The address, or with a connection what comes behind its own.
    url: String,
    /// The method.
    #[serde(default)]
    method: Ask,
    /// Parameters of the query.
    #[serde(default)]
    params: BTreeMap<String, Value>,
    /// Headers of each request.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// What is sent along, as JSON, with method `post`.
    #[serde(default)]
    body: Option<Value>,
    /// What the service answers with.
    #[serde(default)]
    format: Format,
    /// For `json`: where the rows are in an answer, such as `$.data.items[*]`.
    #[serde(default)]
    record_path: Option<String>,
    /// How the service spreads its rows over several answers.
    #[serde(default)]
    pagination: Option<Pagination>,
    /// More pages than these are a problem, never cut off silently.
    #[serde(default = "default_pages_max")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pages_max: u32,
    /// Asks only for what is new since the last run.
    #[serde(default)]
    since: Option<Since>,
    /// Where the types of columns come from.
    #[serde(default)]
    types: Types,
    /// For `json` and `ndjson`: types of columns by their path, such as `customer.id`.
    #[serde(default)]
    columns: BTreeMap<String, DataType>,
    /// Patience and limits.
    #[serde(default)]
    limits: Limits,
}

fn default_pages_max() -> u32 {
    10_000
}

/// The method of a request that only reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Ask {
    /// `GET`.
    #[default]
    Get,
    /// `POST`, for services that take their question as a body.
    Post,
}

/// Asks only for what is new since the last run.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Since {
    /// The parameter that says from where on.
    param: String,
    /// Where the value is in each row, such as `updated_at`. The highest one of a run is what the
    /// next run asks with.
    path: String,
    /// What the first run asks with; without it, it asks for everything.
    #[serde(default)]
    start: Option<Value>,
}

/// Where the types of columns come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Types {
    /// JSON: from the values. CSV: every column is text.
    #[default]
    Auto,
    /// From what the values look like.
    Infer,
    /// Every value as text.
    Text,
}

/// `http`.
pub struct Http;

impl SourceModule for Http {
    type Config = Config;
    const NAME: &'static str = "http";
    const SUMMARY: &'static str = "Read rows from an HTTP service, page by page.";
    const REJECTS: bool = true;
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "numbered pages",
            config: r#"{"url": "https://api.example.org/stock", "record_path": "$.items[*]",
                "pagination": {"type": "page", "size_param": "per_page", "size": 100}}"#,
            inputs: &[],
            outputs: &[],
        },
        Example {
            title: "only what has changed, from a service that asks for a token",
            config: r#"{"connection": "crm", "url": "contacts",
                "record_path": "results", "pagination": {"type": "next_link", "path": "links.next"},
                "since": {"param": "updated_after", "path": "updated_at"},
                "limits": {"requests_per_s": 2}}"#,
            inputs: &[],
            outputs: &[],
        },
    ];

    fn build(config: Config) -> Result<Box<dyn Source>> {
        if config.body.is_some() && config.method == Ask::Get {
            return Err(Problem::new(&codes::SETTING_INVALID, "a `get` has no `body`")
                .in_setting("/body")
                .hint("write `method: post`, or put it into `params`"));
        }
        if config.format == Format::Csv && config.since.is_some() {
            return Err(Problem::new(&codes::SETTING_INVALID, "`since` needs answers in JSON")
                .in_setting("/since")
                .hint("leave `since` out, and keep the newest rows with `deduplicate`"));
        }
        let is_odd = |value: &&Value| value.is_array() || value.is_object() || value.is_null();
        if let Some(value) = config.params.values().find(is_odd) {
            return Err(Problem::new(
                &codes::SETTING_INVALID,
                format!("`{value}` cannot be a parameter"),
            )
            .in_setting("/params")
            .hint("parameters are texts, numbers, true or false"));
        }
        Ok(Box::new(HttpSource { config: Arc::new(config) }))
    }
}

struct HttpSource {
    config: Arc<Config>,
}

#[async_trait]
impl Source for HttpSource {
    async fn discover(&self, context: &Context, past: &Past) -> Result<Discovery> {
        let config = &self.config;
        let (mut service, url) = self.service(context)?;
        let url = self.with_params(url, past);
        let definition = self.definition(&url)?;
        let mut round = Round::open(&context.landing, &definition, past, self.extension())?;
        self.fetch(&mut service, &url, &mut round).await?;
        let arrivals = arrivals_of(&round.notes);
        let latest: Vec<&Arrival> = past.latest.iter().filter_map(as_file).collect();
        let is_same = !past.full
            && latest.len() == arrivals.len()
            && latest.iter().zip(&arrivals).all(|(old, new)| old.sha256 == new.sha256);
        if is_same && latest.iter().all(|arrival| is_there(&context.landing, arrival)) {
            round.forget()?;
            return Ok(Discovery { inputs: past.latest.clone(), ..Discovery::default() });
        }
        let inputs = arrivals.into_iter().map(Input::File).collect();
        let mut discovery = Discovery { inputs, is_new: !is_same, ..Discovery::default() };
        let rows: u64 = round.notes.iter().map(|note| note.rows).sum();
        if let Some(since) = &config.since {
            if rows == 0 {
                round.forget()?;
                return Ok(Discovery::default());
            }
            match self.range(since, &round.notes, past) {
                Some(range) => discovery.inputs.push(Input::Range(range)),
                None => discovery.remarks.push(format!(
                    "no row of `{}` has `{}`: the next run asks for the same again",
                    shown(&url),
                    since.path
                )),
            }
        }
        Ok(discovery)
    }

    async fn read(&self, context: &Context, request: ReadRequest) -> Result<Batches> {
        let mut files = Vec::new();
        for arrival in request.inputs.iter().filter_map(as_file) {
            let landed = arrival.landed.as_deref().unwrap_or_default();
            if !is_there(&context.landing, arrival) {
                return Err(Problem::new(
                    &codes::FILE_CHANGED,
                    format!("a landed page of `{}` is gone or damaged", arrival.path),
                )
                .arg("path", landed)
                .hint("run with `--full-refresh` to ask for everything again"));
            }
            files.push(InputFile::new(context.landing.join(landed), arrival.path.clone()));
        }
        if !files.is_empty() {
            return self.open(files, read_options(&request)).await;
        }
        // Nothing to read: the columns are those of the last page that came in.
        let (_, url) = self.service(context)?;
        let definition = self.definition(&self.with_params(url, &Past::default()))?;
        match newest_page(&context.landing, &definition, self.extension()) {
            None => Ok(Batches::empty(Arc::new(Schema::new(origin_fields().to_vec())))),
            Some(page) => {
                let name = self.config.url.clone();
                let read = read_options(&request);
                let batches = self.open(vec![InputFile::new(page, name)], read).await?;
                Ok(Batches::empty(batches.schema))
            }
        }
    }
}

fn read_options(request: &ReadRequest) -> ReadOptions {
    ReadOptions {
        partitions: request.partitions,
        sample: request.sample,
        rejects: Arc::clone(&request.rejects),
        bytes: Arc::clone(&request.bytes),
    }
}

fn as_file(input: &Input) -> Option<&Arrival> {
    match input {
        Input::File(arrival) => Some(arrival),
        _ => None,
    }
}

/// Pages with rows; the first one also without, because it says what the columns are.
fn arrivals_of(notes: &[Note]) -> Vec<Arrival> {
    let pages = notes.iter().enumerate().filter(|(at, note)| *at == 0 || note.rows > 0);
    pages.map(|(_, note)| note.arrival.clone()).collect()
}

fn is_there(landing: &Path, arrival: &Arrival) -> bool {
    let landed = arrival.landed.as_ref().map(|landed| landing.join(landed));
    let length = landed.and_then(|landed| landed.metadata().ok()).map(|metadata| metadata.len());
    length == Some(arrival.size)
}

impl HttpSource {
    fn service(&self, context: &Context) -> Result<(Service, Url)> {
        let Config { connection, url, headers, limits, .. } = self.config.as_ref();
        Service::new(context, connection.as_ref(), url, headers, limits)
    }

    fn extension(&self) -> &'static str {
        match self.config.format {
            Format::Json => "json",
            Format::Ndjson => "ndjson",
            Format::Csv => "csv",
        }
    }

    /// The address with the parameters of the settings and of `since`.
    fn with_params(&self, mut url: Url, past: &Past) -> Url {
        for (name, value) in &self.config.params {
            set_param(&mut url, name, &param_text(value));
        }
        if let Some(since) = &self.config.since {
            let last = past.range.as_ref().filter(|range| !past.full && range.cursor == since.path);
            let from = last.map(|range| &range.high).or(since.start.as_ref());
            if let Some(from) = from {
                set_param(&mut url, &since.param, &param_text(from));
            }
        }
        url
    }

    /// What is asked for, as a text: settings and place, without credentials.
    fn definition(&self, url: &Url) -> Result<String> {
        let settings = serde_json::to_string(self.config.as_ref()).map_err(|error| {
            Problem::new(&codes::INTERNAL, "settings cannot be written down").detail(error)
        })?;
        Ok(format!("{}\n{settings}", shown(url)))
    }

    /// Asks for the pages that are not here yet, and lands each before the next.
    async fn fetch(&self, service: &mut Service, url: &Url, round: &mut Round) -> Result<()> {
        let config = &self.config;
        let pagination = config.pagination.as_ref();
        let method = if config.method == Ask::Post { Method::POST } else { Method::GET };
        let body = config.body.as_ref().map(Value::to_string);
        let headers: &[(&str, &str)] = match body {
            Some(_) => &[("content-type", "application/json")],
            None => &[],
        };
        let mut position = match round.notes.last() {
            None => Some(pages::first(pagination)),
            Some(note) => note.next.clone(),
        };
        while let Some(here) = position {
            if round.notes.len() >= config.pages_max as usize {
                return Err(Problem::new(
                    &codes::RESPONSE_TOO_LARGE,
                    format!("`{}` has more than {} pages", shown(url), config.pages_max),
                )
                .arg("pages", config.pages_max)
                .hint("check `pagination`, or raise `pages_max`; pages so far are kept"));
            }
            let page_url = address(url, pagination, &here)?;
            let answer = service
                .send(&method, &page_url, headers, body.as_deref().map(str::as_bytes))
                .await?;
            let (record_path, since) = (
                config.record_path.as_deref(),
                config.since.as_ref().map(|since| since.path.as_str()),
            );
            let facts = look(&answer, config.format, record_path, since, pagination, &here)?;
            if facts.next.as_ref() == Some(&here) {
                return Err(Problem::new(
                    &codes::RESPONSE_INVALID,
                    format!("`{}` says that the next page is the same page", shown(url)),
                )
                .hint("check `pagination`"));
            }
            let path = self.page_name(&page_url);
            round.land(path, &answer.body, facts.rows, facts.high, facts.next.clone())?;
            position = facts.next;
        }
        Ok(())
    }

    /// The address as it goes into `_file`: parameters of settings may be secret, positions not.
    fn page_name(&self, url: &Url) -> String {
        let keep = match &self.config.pagination {
            Some(
                Pagination::Page { param, .. }
                | Pagination::Offset { param, .. }
                | Pagination::Cursor { param, .. },
            ) => vec![param.as_str()],
            Some(Pagination::NextLink { .. } | Pagination::LinkHeader) => vec!["page", "offset"],
            None => Vec::new(),
        };
        let kept: Vec<String> = url
            .query_pairs()
            .filter(|(name, _)| keep.contains(&name.as_ref()))
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        match kept.is_empty() {
            true => shown(url),
            false => format!("{}?{}", shown(url), kept.join("&")),
        }
    }

    /// From where on the next run will ask.
    fn range(&self, since: &Since, notes: &[Note], past: &Past) -> Option<Range> {
        let last = past.range.as_ref().filter(|range| range.cursor == since.path);
        let low = last.map(|range| range.high.clone());
        let highs = notes.iter().filter_map(|note| note.high.clone());
        let high = highs.fold(low.clone(), |so_far, high| match so_far {
            Some(old) if !is_above(&high, &old) => Some(old),
            _ => Some(high),
        })?;
        Some(Range { cursor: since.path.clone(), low, high })
    }

    async fn open(&self, files: Vec<InputFile>, read: ReadOptions) -> Result<Batches> {
        let config = Arc::clone(&self.config);
        tokio::task::spawn_blocking(move || config.open(files, read)).await.map_err(|error| {
            Problem::new(&codes::INTERNAL, "reading landed pages broke off").detail(error)
        })?
    }
}

impl Config {
    fn open(&self, files: Vec<InputFile>, read: ReadOptions) -> Result<Batches> {
        if self.format == Format::Csv {
            let types = match self.types {
                Types::Infer => csv::Types::Infer,
                Types::Auto | Types::Text => csv::Types::Text,
            };
            let options = csv::CsvOptions { types, ..csv::CsvOptions::default() };
            return csv::open(&files, &options, read);
        }
        let options = json::JsonOptions {
            layout: match self.format {
                Format::Ndjson => json::Layout::Lines,
                _ => json::Layout::Document,
            },
            path: self.record_path.clone(),
            types: match self.types {
                Types::Text => json::Types::Text,
                Types::Auto | Types::Infer => json::Types::Infer,
            },
            columns: self.columns.clone(),
            ..json::JsonOptions::default()
        };
        json::open(files, &options, read)
    }
}

fn param_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
