//! Lines of the log for Loki, in batches.

use super::background::Background;
use crate::metrics;
use model::{Problem, Result, codes};
use reqwest::Client;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::mpsc as blocking;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use stdx::hash::Random;
use stdx::retry::Backoff;
use tokio::sync::mpsc;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use url::Url;

/// Lines that may wait.
const WAITING_MAX: usize = 10_000;
/// Lines of one request.
const BATCH_MAX: usize = 1_000;
/// A line waits so long for others.
const GATHER_FOR: Duration = Duration::from_secs(1);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const BACKOFF: Backoff =
    Backoff { attempts_max: 4, first: Duration::from_millis(250), cap: Duration::from_secs(5) };
/// Longer texts of a line are cut.
const TEXT_BYTES_MAX: usize = 16 << 10;
/// What sends the lines logs lines itself: they would never end.
const OWN_TARGETS: &[&str] = &["hyper", "reqwest", "rustls", "h2", "opentelemetry"];

#[derive(Debug)]
enum Item {
    Line(Line),
    /// Everything before this has been sent, or given up.
    Flush(blocking::SyncSender<()>),
}

#[derive(Debug)]
struct Line {
    nanoseconds: u128,
    level: &'static str,
    text: String,
}

/// Takes lines.
pub(super) struct Loki {
    lines: mpsc::Sender<Item>,
}

/// Sends them.
#[derive(Debug)]
pub(super) struct Pump {
    items: mpsc::Sender<Item>,
}

impl Loki {
    /// Lines go to `url` from now on.
    pub(super) fn start(url: Url, instance: &str, background: &Background) -> Result<(Self, Pump)> {
        let client = Client::builder().timeout(REQUEST_TIMEOUT).build().map_err(|error| {
            Problem::new(&codes::INTERNAL, "the client for logs cannot be made").detail(error)
        })?;
        let (lines, waiting) = mpsc::channel(WAITING_MAX);
        let sending = send_all(client, url, instance.to_owned(), waiting);
        background.handle().spawn(sending);
        Ok((Self { lines: lines.clone() }, Pump { items: lines }))
    }
}

impl Pump {
    /// Waits until the lines so far are sent.
    pub(super) fn flush(&self, timeout: Duration) {
        let (done, wait) = blocking::sync_channel(1);
        if self.items.try_send(Item::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(timeout);
        }
    }
}

impl<S: Subscriber> Layer<S> for Loki {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if OWN_TARGETS.iter().any(|target| metadata.target().starts_with(target)) {
            return;
        }
        let level = match *metadata.level() {
            tracing::Level::ERROR => "error",
            tracing::Level::WARN => "warn",
            tracing::Level::INFO => "info",
            tracing::Level::DEBUG => "debug",
            tracing::Level::TRACE => "trace",
        };
        let mut fields = Fields(Map::new());
        fields.0.insert("target".to_owned(), metadata.target().into());
        event.record(&mut fields);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let text = Value::Object(fields.0).to_string();
        let line = Line { nanoseconds: since.as_nanos(), level, text };
        if self.lines.try_send(Item::Line(line)).is_err() {
            metrics::log_lines_dropped(1);
        }
    }
}

struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        self.0.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let end = value.floor_char_boundary(TEXT_BYTES_MAX);
        self.put(field, value[..end].into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

async fn send_all(client: Client, url: Url, instance: String, mut items: mpsc::Receiver<Item>) {
    let mut random = Random::new(u64::from(std::process::id()));
    loop {
        let mut batch = Vec::new();
        if items.recv_many(&mut batch, BATCH_MAX).await == 0 {
            return;
        }
        let gathered = tokio::time::Instant::now() + GATHER_FOR;
        let is_pressing = |batch: &[Item]| batch.iter().any(|item| matches!(item, Item::Flush(_)));
        while batch.len() < BATCH_MAX && !is_pressing(&batch) {
            let room = BATCH_MAX - batch.len();
            let more = items.recv_many(&mut batch, room);
            match tokio::time::timeout_at(gathered, more).await {
                Ok(count) if count > 0 => {}
                _ => break,
            }
        }
        let (lines, flushes) = apart(batch);
        if !lines.is_empty() {
            send(&client, &url, &instance, &lines, &mut random).await;
        }
        // Whoever waits may have gone.
        for done in flushes {
            let _ = done.send(());
        }
    }
}

fn apart(batch: Vec<Item>) -> (Vec<Line>, Vec<blocking::SyncSender<()>>) {
    let (mut lines, mut flushes) = (Vec::new(), Vec::new());
    for item in batch {
        match item {
            Item::Line(line) => lines.push(line),
            Item::Flush(done) => flushes.push(done),
        }
    }
    (lines, flushes)
}

async fn send(client: &Client, url: &Url, instance: &str, lines: &[Line], random: &mut Random) {
    let body = body(instance, lines).to_string();
    for attempt in 1..=BACKOFF.attempts_max {
        let request = client.post(url.clone()).header("content-type", "application/json");
        match request.body(body.clone()).send().await {
            Ok(response) if response.status().is_success() => return,
            // Lines that Loki does not want today it will not want tomorrow.
            Ok(response)
                if response.status().is_client_error() && response.status().as_u16() != 429 =>
            {
                break;
            }
            _ => {}
        }
        if attempt < BACKOFF.attempts_max {
            tokio::time::sleep(BACKOFF.wait(attempt, random)).await;
        }
    }
    metrics::log_lines_dropped(lines.len() as u64);
}

/// One stream for each level: few labels, so that Loki keeps few streams.
fn body(instance: &str, lines: &[Line]) -> Value {
    let mut streams: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for line in lines {
        let entry = json!([line.nanoseconds.to_string(), line.text]);
        streams.entry(line.level).or_default().push(entry);
    }
    let stream = |(level, values): (&str, Vec<Value>)| {
        let labels = json!({"job": "affluent", "instance": instance, "level": level});
        json!({"stream": labels, "values": values})
    };
    json!({"streams": streams.into_iter().map(stream).collect::<Vec<_>>()})
}
