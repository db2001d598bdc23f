//! The list of metrics; the reference page is made from it.

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, and begins at 0 when the server starts.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts observations by size.
    Histogram,
}

/// What the values of a metric are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A number of things.
    Count,
    /// Seconds.
    Seconds,
    /// Yes is 1, no is 0.
    YesOrNo,
}

/// A metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// What its values are.
    pub unit: Unit,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// Upper ends of the classes of a histogram.
    pub(super) buckets: &'static [f64],
    /// What it says, one sentence.
    pub help: &'static str,
}

/// From a request that is answered from memory to one that times out.
const SHORT: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];
/// From a run of a few rows to one of a night.
const LONG: &[f64] =
    &[0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1_800.0, 3_600.0, 10_800.0, 43_200.0];

macro_rules! metrics {
    ($($metric:ident = $name:literal, $kind:ident, $unit:ident, $labels:expr, $buckets:expr,
        $help:literal;)*) => {
        $(
            #[doc = $help]
            pub(super) const $metric: Metric = Metric {
                name: $name,
                kind: Kind::$kind,
                unit: Unit::$unit,
                labels: &$labels,
                buckets: &$buckets,
                help: $help,
            };
        )*

        /// Every metric of ours; those of the process come from the operating system.
        pub const ALL: &[Metric] = &[$($metric),*];
    };
}

metrics! {
    BUILD_INFO = "affluent_build_info", Gauge, Count, ["version"], [],
        "The version that is running; always 1.";
    RUNS = "affluent_runs_total", Counter, Count, ["workspace", "status"], [],
        "Runs that have ended.";
    RUN_SECONDS = "affluent_run_duration_seconds", Histogram, Seconds, ["status"], *LONG,
        "Time from when a run was asked for to its end.";
    ROWS_WRITTEN = "affluent_rows_written_total", Counter, Count, ["workspace"], [],
        "Rows that sinks have committed.";
    ROWS_REJECTED = "affluent_rows_rejected_total", Counter, Count, ["workspace"], [],
        "Rows that were rejected.";
    LAKE_COMMITS = "affluent_lake_commits_total", Counter, Count, ["workspace"], [],
        "Versions of tables that runs have made.";
    QUEUE_TASKS = "affluent_queue_tasks", Gauge, Count, [], [],
        "Tasks that are ready and wait for a worker.";
    QUEUE_OLDEST_SECONDS = "affluent_queue_oldest_seconds", Gauge, Seconds, [], [],
        "How long the oldest task that is ready has waited.";
    TASK_START_DELAY_SECONDS = "affluent_task_start_delay_seconds", Histogram, Seconds, [], *SHORT,
        "Time from when a task was ready until a worker had it.";
    SCHEDULER_TURN_SECONDS = "affluent_scheduler_turn_seconds", Histogram, Seconds, [], *SHORT,
        "Time in which the scheduler has handled what had happened, once around.";
    IS_LEADER = "affluent_scheduler_leader", Gauge, YesOrNo, [], [],
        "Whether this server schedules; one of several does.";
    LEASES = "affluent_leases", Gauge, Count, [], [],
        "Tasks that workers have under a lease.";
    LEASES_LOST = "affluent_leases_lost_total", Counter, Count, [], [],
        "Leases that were not renewed in time: workers that died or froze.";
    STORE_COMMITS = "affluent_store_commits_total", Counter, Count, [], [],
        "Transactions of the metadata database.";
    HTTP_REQUESTS = "affluent_http_requests_total", Counter, Count,
        ["method", "route", "status"], [],
        "Requests that were answered.";
    HTTP_REQUEST_SECONDS = "affluent_http_request_duration_seconds", Histogram, Seconds,
        ["method", "route"], *SHORT,
        "Time until a request was answered; of a stream, until it began.";
    ALERTS_SENT = "affluent_alert_attempts_total", Counter, Count, ["kind", "outcome"], [],
        "Attempts to send a message through a channel.";
    ALERTS_WAITING = "affluent_alerts_waiting", Gauge, Count, [], [],
        "Messages that wait for their channel.";
    LOG_LINES_DROPPED = "affluent_log_lines_dropped_total", Counter, Count, [], [],
        "Lines of the log that were not passed on to Loki.";
}
