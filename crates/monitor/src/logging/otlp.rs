//! Traces for whoever takes OTLP over HTTP, in its JSON form.

use super::background::Background;
use model::{Problem, Result, codes};
use opentelemetry::trace::{Event, SpanKind, Status};
use opentelemetry::{Array, KeyValue, SpanId, Value as Attribute};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use reqwest::Client;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::runtime::Handle;
use url::Url;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// What gathers spans and sends them to `url`.
pub(super) fn provider(
    url: Url,
    instance: &str,
    background: &Background,
) -> Result<SdkTracerProvider> {
    let client = Client::builder().timeout(REQUEST_TIMEOUT).build().map_err(|error| {
        Problem::new(&codes::INTERNAL, "the client for traces cannot be made").detail(error)
    })?;
    let resource = Resource::builder_empty()
        .with_service_name("affluent")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("service.instance.id", instance.to_owned()))
        .build();
    let exporter = Exporter {
        client,
        url,
        handle: background.handle().clone(),
        resource: attributes(resource.iter().map(|(key, value)| (key.as_str(), value))),
    };
    // Spans that nobody takes in time are dropped by the library: at most 2048 wait.
    Ok(SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build())
}

#[derive(Debug)]
struct Exporter {
    client: Client,
    url: Url,
    /// The library asks from a thread without a runtime.
    handle: Handle,
    resource: Value,
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let failed = |why: String| OTelSdkError::InternalFailure(why);
        let body = body(&self.resource, &batch).to_string();
        let request = self.client.post(self.url.clone()).header("content-type", "application/json");
        let sent = self.handle.spawn(async move { request.body(body).send().await }).await;
        let sent = sent.map_err(|error| failed(error.to_string()))?;
        let response = sent.map_err(|error| failed(error.without_url().to_string()))?;
        match response.status() {
            status if status.is_success() => Ok(()),
            status => Err(failed(format!("the receiver of traces answers {status}"))),
        }
    }
}

fn body(resource: &Value, batch: &[SpanData]) -> Value {
    let spans: Vec<Value> = batch.iter().map(span).collect();
    json!({"resourceSpans": [{
        "resource": {"attributes": resource},
        "scopeSpans": [{"scope": {"name": "affluent"}, "spans": spans}],
    }]})
}

fn span(span: &SpanData) -> Value {
    let pairs =
        |list: &[KeyValue]| attributes(list.iter().map(|pair| (pair.key.as_str(), &pair.value)));
    let event = |event: &Event| {
        json!({
            "name": event.name,
            "timeUnixNano": nanoseconds(event.timestamp),
            "attributes": pairs(&event.attributes),
        })
    };
    let parent = match span.parent_span_id {
        SpanId::INVALID => String::new(),
        parent => parent.to_string(),
    };
    json!({
        "traceId": span.span_context.trace_id().to_string(),
        "spanId": span.span_context.span_id().to_string(),
        "parentSpanId": parent,
        "name": span.name,
        "kind": kind(&span.span_kind),
        "startTimeUnixNano": nanoseconds(span.start_time),
        "endTimeUnixNano": nanoseconds(span.end_time),
        "attributes": pairs(&span.attributes),
        "events": span.events.iter().map(event).collect::<Vec<_>>(),
        "status": status(&span.status),
    })
}

fn kind(kind: &SpanKind) -> u8 {
    match kind {
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
        SpanKind::Producer => 4,
        SpanKind::Consumer => 5,
    }
}

fn status(status: &Status) -> Value {
    match status {
        Status::Unset => json!({}),
        Status::Ok => json!({"code": 1}),
        Status::Error { description } => json!({"code": 2, "message": description}),
    }
}

/// Numbers of 64 bits are texts in this form.
fn nanoseconds(time: SystemTime) -> String {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}

fn attributes<'a>(pairs: impl Iterator<Item = (&'a str, &'a Attribute)>) -> Value {
    pairs.map(|(key, value)| json!({"key": key, "value": attribute(value)})).collect()
}

fn attribute(value: &Attribute) -> Value {
    match value {
        Attribute::Bool(value) => json!({"boolValue": value}),
        Attribute::I64(value) => json!({"intValue": value.to_string()}),
        Attribute::F64(value) => json!({"doubleValue": value}),
        Attribute::Array(values) => json!({"arrayValue": {"values": list(values)}}),
        value => json!({"stringValue": value.as_str()}),
    }
}

fn list(values: &Array) -> Vec<Value> {
    match values {
        Array::Bool(values) => values.iter().map(|value| json!({"boolValue": value})).collect(),
        Array::I64(values) => {
            values.iter().map(|value| json!({"intValue": value.to_string()})).collect()
        }
        Array::F64(values) => values.iter().map(|value| json!({"doubleValue": value})).collect(),
        Array::String(values) => {
            values.iter().map(|value| json!({"stringValue": value.as_str()})).collect()
        }
        _ => Vec::new(),
    }
}
