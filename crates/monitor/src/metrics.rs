//! Metrics in the form that Prometheus reads.
//!
//! [`ALL`] is the one list. Each metric has a function that says what it counts; labels have few
//! values, so a server with a thousand workspaces shows some thousand series, and none grows with
//! the number of runs.

mod list;
mod process;

#[cfg(test)]
mod tests;

pub use list::{ALL, Kind, Metric, Unit};

use ::metrics::{
    Label, SharedString, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};
use list::{
    ALERTS_SENT, ALERTS_WAITING, BUILD_INFO, HTTP_REQUEST_SECONDS, HTTP_REQUESTS, IS_LEADER,
    LAKE_COMMITS, LEASES, LEASES_LOST, LOG_LINES_DROPPED, QUEUE_OLDEST_SECONDS, QUEUE_TASKS,
    ROWS_REJECTED, ROWS_WRITTEN, RUN_SECONDS, RUNS, SCHEDULER_TURN_SECONDS, STORE_COMMITS,
    TASK_START_DELAY_SECONDS,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
/// Observations are gathered so often, also when nobody asks for them.
const GATHER_EVERY: Duration = Duration::from_secs(5);
/// Methods that have a value of their own.
const METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunStatus {
    /// Every sink has committed.
    Succeeded,
    /// It will not be tried again by itself.
    Failed,
    /// Stopped by a person.
    Cancelled,
    /// It took longer than it may.
    TimedOut,
    /// It never began, because of another run of its pipeline.
    Skipped,
    /// Set aside because it took its workers with it.
    Quarantined,
}

impl RunStatus {
    /// The value of the label.
    fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
            Self::Skipped => "skipped",
            Self::Quarantined => "quarantined",
        }
    }
}

/// How an attempt to send a message ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertOutcome {
    /// The channel has taken it.
    Sent,
    /// It has not, and is asked again later.
    Failed,
    /// It has not, and is not asked again.
    GivenUp,
}

impl AlertOutcome {
    /// The value of the label.
    fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::GivenUp => "given_up",
        }
    }
}

/// Begins to count. What happened before is not counted; once more changes nothing.
pub fn install() {
    HANDLE.get_or_init(|| {
        let recorder = buckets(PrometheusBuilder::new()).build_recorder();
        let handle = recorder.handle();
        if ::metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another recorder of metrics is there: ours stay empty");
        }
        ALL.iter().for_each(describe);
        gauge!(BUILD_INFO.name, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        gather_forever(handle.clone());
        handle
    });
}

fn buckets(builder: PrometheusBuilder) -> PrometheusBuilder {
    let histograms = ALL.iter().filter(|metric| metric.kind == Kind::Histogram);
    histograms.fold(builder, |builder, metric| {
        let name = Matcher::Full(metric.name.to_owned());
        builder.set_buckets_for_metric(name, metric.buckets).expect("a histogram has buckets")
    })
}

/// Counters without labels are there from the beginning: a rate needs a value to start from.
fn describe(metric: &Metric) {
    match metric.kind {
        Kind::Counter => {
            describe_counter!(metric.name, metric.help);
            if metric.labels.is_empty() {
                counter!(metric.name).increment(0);
            }
        }
        Kind::Gauge => describe_gauge!(metric.name, metric.help),
        Kind::Histogram => describe_histogram!(metric.name, metric.help),
    }
}

/// The library keeps each observation until somebody gathers them.
fn gather_forever(handle: PrometheusHandle) {
    let gather = move || {
        loop {
            thread::sleep(GATHER_EVERY);
            handle.run_upkeep();
        }
    };
    if let Err(error) = thread::Builder::new().name("metrics".to_owned()).spawn(gather) {
        tracing::warn!(%error, "metrics are gathered only when somebody asks for them");
    }
}

/// All metrics as text, for `GET /metrics`.
pub fn render() -> String {
    install();
    let ours = HANDLE.get().map(PrometheusHandle::render).unwrap_or_default();
    ours + &process::render()
}

/// A run has ended, after so many seconds from when it was asked for.
pub fn run_ended(workspace: &str, status: RunStatus, seconds: f64) {
    let status = status.as_str();
    counter!(RUNS.name, "workspace" => workspace.to_owned(), "status" => status).increment(1);
    histogram!(RUN_SECONDS.name, "status" => status).record(seconds);
}

/// Rows that sinks have committed and rows that were rejected in a run.
pub fn rows(workspace: &str, written: u64, rejected: u64) {
    counter!(ROWS_WRITTEN.name, of(workspace)).increment(written);
    counter!(ROWS_REJECTED.name, of(workspace)).increment(rejected);
}

/// A table of the lake has a new version.
pub fn lake_commit(workspace: &str) {
    counter!(LAKE_COMMITS.name, of(workspace)).increment(1);
}

fn of(workspace: &str) -> Vec<Label> {
    vec![Label::new("workspace", SharedString::from(workspace.to_owned()))]
}

/// Tasks that are ready and wait for a worker, and for how many seconds the oldest of them has.
pub fn queue(tasks: u64, oldest_seconds: f64) {
    gauge!(QUEUE_TASKS.name).set(tasks as f64);
    gauge!(QUEUE_OLDEST_SECONDS.name).set(oldest_seconds);
}

/// A task that was ready has been given to a worker, so many seconds later.
pub fn task_started(delay_seconds: f64) {
    histogram!(TASK_START_DELAY_SECONDS.name).record(delay_seconds);
}

/// The scheduler has handled what has happened, and that took so many seconds.
pub fn scheduler_turn(seconds: f64) {
    histogram!(SCHEDULER_TURN_SECONDS.name).record(seconds);
}

/// Whether this server leads.
pub fn leader(leads: bool) {
    gauge!(IS_LEADER.name).set(if leads { 1.0 } else { 0.0 });
}

/// Tasks that workers have under a lease.
pub fn leases(held: u64) {
    gauge!(LEASES.name).set(held as f64);
}

/// A lease was not renewed in time: its worker is lost.
pub fn lease_lost() {
    counter!(LEASES_LOST.name).increment(1);
}

/// Transactions of the metadata database since the start.
pub fn store_commits(total: u64) {
    counter!(STORE_COMMITS.name).absolute(total);
}

/// A request was answered. `route` is the pattern of the path, none when no route has it.
pub fn http_request(method: &str, route: Option<&str>, status: u16, seconds: f64) {
    let method = METHODS.iter().find(|known| **known == method).copied().unwrap_or("other");
    let route = route.unwrap_or("none").to_owned();
    let status = status.to_string();
    counter!(HTTP_REQUESTS.name, "method" => method, "route" => route.clone(), "status" => status)
        .increment(1);
    histogram!(HTTP_REQUEST_SECONDS.name, "method" => method, "route" => route).record(seconds);
}

/// An attempt to send a message through a channel of this kind has ended.
pub fn alert(channel_kind: &'static str, outcome: AlertOutcome) {
    let outcome = outcome.as_str();
    counter!(ALERTS_SENT.name, "kind" => channel_kind, "outcome" => outcome).increment(1);
}

/// Messages that wait for their channel.
pub fn alerts_waiting(messages: u64) {
    gauge!(ALERTS_WAITING.name).set(messages as f64);
}

/// Lines of the log that could not be passed on, because too many wait or the receiver is away.
pub fn log_lines_dropped(lines: u64) {
    counter!(LOG_LINES_DROPPED.name).increment(lines);
}
