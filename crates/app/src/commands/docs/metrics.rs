//! The page of the metrics.

use super::settings::cell;
use monitor::metrics::{ALL, Kind, Unit};

/// The page.
pub(super) fn page() -> String {
    let mut text = String::from(
        "# Metrics\n\nWhat `GET /metrics` answers, in the text form of Prometheus. Besides these \
         there are the usual ones of a process: `process_cpu_seconds_total`, \
         `process_resident_memory_bytes`, `process_open_fds`, `process_max_fds`, \
         `process_start_time_seconds`. No label has a value for each run.\n\n\
         | Metric | Kind | Values | Labels | What it says |\n| --- | --- | --- | --- | --- |\n",
    );
    for metric in ALL {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let unit = match metric.unit {
            Unit::Count => "number",
            Unit::Seconds => "seconds",
            Unit::YesOrNo => "1 or 0",
        };
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let (labels, help) = (labels.join(" "), cell(metric.help));
        text.push_str(&format!("| `{}` | {kind} | {unit} | {labels} | {help} |\n", metric.name));
    }
    text
}
