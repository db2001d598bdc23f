//! `write_http`: rows to an HTTP service, at least once.
//!
//! Rows are spooled as finished requests first, and sent when the commit comes. A run that dies
//! between two requests sends all of them again, as they were; each has an `Idempotency-Key` of
//! run, node and number, so a service that minds the key takes every request once.

use super::client::{Limits, Service, shown};
use super::spool::{Receipt, Shelf, Spool};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use contracts::{
    Batches, Context, Example, NamedInput, Prepared, Sink, SinkModule, SinkRequest, Target, rows,
};
use futures::TryStreamExt;
use model::run::Committed;
use model::{Name, Problem, Result, codes};
use reqwest::Method;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use url::Url;
use url::form_urlencoded::byte_serialize;

/// Settings of `write_http`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A connection of type `http`, with address, credentials and headers.
    #[serde(default)]
    connection: Option<Name>,
    /// The address, or with a connection what comes behind its own. With `send: row`, `{column}`
    /// stands for the value of a column, as in `contacts/{id}`.
    url: String,
    /// The method.
    #[serde(default)]
    method: SendMethod,
    /// What one request holds.
    #[serde(default)]
    send: Unit,
    /// With `send: list`: rows of one request, at most.
    #[serde(default = "default_rows")]
    #[schemars(range(min = 1, max = 100_000))]
    rows: u32,
    /// With `send: list`: the key under which the list stands; without it the list is the body.
    #[serde(default)]
    under: Option<String>,
    /// Whether `_file` and `_row` are sent too.
    #[serde(default)]
    origin: bool,
    /// Headers of each request.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Patience and limits.
    #[serde(default)]
    limits: Limits,
}

fn default_rows() -> u32 {
    100
}

/// The method of a request that writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum SendMethod {
    /// `POST`.
    #[default]
    Post,
    /// `PUT`.
    Put,
    /// `PATCH`.
    Patch,
}

/// What one request holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Unit {
    /// A list of rows.
    #[default]
    List,
    /// One row.
    Row,
}

/// `write_http`.
pub struct WriteHttp;

impl SinkModule for WriteHttp {
    type Config = Config;
    const NAME: &'static str = "write_http";
    const SUMMARY: &'static str = "Send rows to an HTTP service, at least once.";
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "lists of at most 50 rows",
            config: r#"{"connection": "crm", "url": "contacts/batch", "rows": 50,
                "under": "contacts"}"#,
            inputs: &[],
            outputs: &[],
        },
        Example {
            title: "one request per row",
            config: r#"{"connection": "crm", "url": "contacts/{id}", "method": "put",
                "send": "row"}"#,
            inputs: &[],
            outputs: &[],
        },
    ];

    fn build(config: Config) -> Result<Box<dyn Sink>> {
        if config.send == Unit::List && !columns_of(&config.url).is_empty() {
            return Err(Problem::new(
                &codes::SETTING_INVALID,
                "the address of a list cannot have the value of a column",
            )
            .in_setting("/url")
            .hint("write `send: row`"));
        }
        Ok(Box::new(HttpSink { config }))
    }
}

/// Names in braces.
fn columns_of(url: &str) -> Vec<&str> {
    let parts = url.split('{').skip(1);
    parts.filter_map(|part| part.split_once('}').map(|(name, _)| name)).collect()
}

#[derive(Debug, Clone)]
struct HttpSink {
    config: Config,
}

#[async_trait]
impl Sink for HttpSink {
    fn target(&self) -> Target {
        Target::Outside(self.target_name())
    }

    fn appends(&self) -> bool {
        self.config.method == SendMethod::Post
    }

    fn plan(&self, input: &NamedInput, _: Option<&SchemaRef>) -> Result<SchemaRef> {
        for column in columns_of(&self.config.url) {
            input.column(column, "/url")?;
        }
        Ok(Arc::clone(&input.schema))
    }

    async fn committed(
        &self,
        context: &Context,
        request: &SinkRequest,
    ) -> Result<Option<Committed>> {
        // A service cannot be asked what it has taken, but it may have taken all.
        let receipt = Shelf::new(&context.state, &request.key).receipt()?;
        Ok(receipt.map(|receipt| Committed { already: true, ..self.taken(&receipt) }))
    }

    async fn prepare(
        &self,
        context: &Context,
        request: SinkRequest,
        input: Batches,
    ) -> Result<Box<dyn Prepared>> {
        for column in columns_of(&self.config.url) {
            if input.schema.field_with_name(column).is_err() {
                return Err(Problem::new(
                    &codes::COLUMN_UNKNOWN,
                    format!("there is no column `{column}` to be part of the address"),
                )
                .arg("column", column)
                .in_setting("/url"));
            }
        }
        let address = self.config.url.replace(['{', '}'], "");
        let (service, _) = self.service(context, &address)?;
        let shelf = Shelf::new(&context.state, &request.key);
        shelf.sweep();
        let mut spool = Spool::new(shelf)?;
        let mut pending: Vec<Value> = Vec::new();
        let mut count = 0;
        for mut partition in input.partitions {
            while let Some(batch) = partition.try_next().await? {
                count += batch.num_rows() as u64;
                self.add(&batch, &mut pending, &mut spool)?;
            }
        }
        if !pending.is_empty() {
            self.spool_list(std::mem::take(&mut pending), &mut spool)?;
        }
        spool.finish()?;
        let (sink, context) = (self.clone(), context.clone());
        Ok(Box::new(HttpPrepared { sink, context, request, service, spool, rows: count }))
    }
}

impl HttpSink {
    fn target_name(&self) -> String {
        let address = self.config.url.split('?').next().unwrap_or_default();
        match &self.config.connection {
            Some(connection) => format!("{connection}/{address}"),
            None => address.to_owned(),
        }
    }

    fn taken(&self, receipt: &Receipt) -> Committed {
        Committed {
            target: self.target_name(),
            rows: receipt.rows,
            detail: BTreeMap::from([("requests".to_owned(), receipt.requests)]),
            ..Committed::default()
        }
    }

    fn service(&self, context: &Context, address: &str) -> Result<(Service, Url)> {
        let Config { connection, headers, limits, .. } = &self.config;
        Service::new(context, connection.as_ref(), address, headers, limits)
    }

    fn add(&self, batch: &RecordBatch, pending: &mut Vec<Value>, spool: &mut Spool) -> Result<()> {
        for line in rows::write(std::slice::from_ref(batch))?.lines() {
            let mut row: Value = serde_json::from_str(line).map_err(|error| {
                Problem::new(&codes::INTERNAL, "a row cannot be written as JSON").detail(error)
            })?;
            if let (Some(row), false) = (row.as_object_mut(), self.config.origin) {
                row.shift_remove(contracts::arrow_types::FILE);
                row.shift_remove(contracts::arrow_types::ROW);
            }
            if self.config.send == Unit::Row {
                let address = self.address_of(&row)?;
                spool.add(&address, &row.to_string())?;
                continue;
            }
            pending.push(row);
            if pending.len() >= self.config.rows as usize {
                self.spool_list(std::mem::take(pending), spool)?;
            }
        }
        Ok(())
    }

    fn spool_list(&self, rows: Vec<Value>, spool: &mut Spool) -> Result<()> {
        let body = match &self.config.under {
            None => Value::Array(rows),
            Some(key) => serde_json::json!({ key: rows }),
        };
        spool.add(&self.config.url, &body.to_string())
    }

    /// The address with values of the row in place of names in braces.
    fn address_of(&self, row: &Value) -> Result<String> {
        let mut address = self.config.url.clone();
        for column in columns_of(&self.config.url) {
            let value = match row.get(column) {
                Some(Value::String(text)) if !text.is_empty() => text.clone(),
                Some(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string(),
                _ => {
                    return Err(Problem::new(
                        &codes::CONSTRAINT_VIOLATED,
                        format!("a row has no `{column}` to be part of its address"),
                    )
                    .arg("column", column)
                    .hint("reject such rows with `validate` and `not_null`"));
                }
            };
            let encoded: String = byte_serialize(value.as_bytes()).collect();
            address = address.replace(&format!("{{{column}}}"), &encoded.replace('+', "%20"));
        }
        Ok(address)
    }
}

struct HttpPrepared {
    sink: HttpSink,
    context: Context,
    request: SinkRequest,
    service: Service,
    spool: Spool,
    rows: u64,
}

#[async_trait]
impl Prepared for HttpPrepared {
    async fn commit(mut self: Box<Self>) -> Result<Committed> {
        let target = self.sink.target_name();
        let begun = self.spool.begin()?;
        stdx::durable::step(&format!("send to {target}"))
            .map_err(|error| crate::storage::io_problem(&target, &error))?;
        let mut sent: u64 = 0;
        for request in begun.requests {
            if let Err(problem) = self.send(request?, sent).await {
                if begun.is_first && sent == 0 && !problem.code().retry {
                    // Refused outright: a mended pipeline may send something else.
                    self.spool.forget();
                }
                tracing::warn!(target, sent, "the service has only some of the rows");
                return Err(problem.arg("requests_sent", sent));
            }
            sent += 1;
        }
        let receipt = Receipt { rows: self.rows, requests: sent };
        self.spool.shelf().finish(&receipt)?;
        Ok(self.sink.taken(&receipt))
    }

    async fn discard(self: Box<Self>) {}
}

impl HttpPrepared {
    async fn send(&mut self, (address, body): (String, String), number: u64) -> Result<()> {
        let method = match self.sink.config.method {
            SendMethod::Post => Method::POST,
            SendMethod::Put => Method::PUT,
            SendMethod::Patch => Method::PATCH,
        };
        let (_, url) = self.sink.service(&self.context, &address)?;
        let key = format!("{}/{number}", self.request.key);
        let headers = [("content-type", "application/json"), ("idempotency-key", &key)];
        let answer = self.service.send(&method, &url, &headers, Some(body.as_bytes())).await;
        answer.map(drop).map_err(|problem| problem.arg("url", shown(&url)))
    }
}
