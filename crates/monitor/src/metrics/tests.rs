//! The text of the metrics, and what Prometheus makes of it.

use super::*;
use std::collections::BTreeSet;

/// Everything happens once.
fn everything() {
    install();
    run_ended("shop", RunStatus::Succeeded, 2.0);
    rows("shop", 10, 1);
    lake_commit("shop");
    queue(3, 1.5);
    task_started(0.02);
    scheduler_turn(0.001);
    leader(true);
    leases(2);
    lease_lost();
    store_commits(7);
    http_request("GET", Some("/api/v1/me"), 200, 0.01);
    http_request("BREW", None, 404, 0.01);
    alert("email", AlertOutcome::Sent);
    alerts_waiting(1);
    log_lines_dropped(0);
}

fn value(text: &str, series: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(series))?;
    rest.trim().parse().ok()
}

#[test]
fn what_happens_is_counted_under_its_labels() {
    everything();
    run_ended("shop", RunStatus::Succeeded, 2.0);
    let text = render();
    let cases = [
        ("affluent_runs_total{workspace=\"shop\",status=\"succeeded\"} ", 2.0),
        ("affluent_run_duration_seconds_bucket{status=\"succeeded\",le=\"1\"} ", 0.0),
        ("affluent_run_duration_seconds_bucket{status=\"succeeded\",le=\"5\"} ", 2.0),
        ("affluent_run_duration_seconds_sum{status=\"succeeded\"} ", 4.0),
        ("affluent_rows_rejected_total{workspace=\"shop\"} ", 1.0),
        ("affluent_queue_tasks ", 3.0),
        ("affluent_scheduler_leader ", 1.0),
        ("affluent_store_commits_total ", 7.0),
        ("affluent_http_requests_total{method=\"other\",route=\"none\",status=\"404\"} ", 1.0),
        ("affluent_leases_lost_total ", 1.0),
    ];
    for (series, expected) in cases {
        assert_eq!(value(&text, series), Some(expected), "{series} in\n{text}");
    }
}

#[test]
fn the_list_and_the_text_name_the_same_metrics_and_labels() {
    everything();
    let text = render();
    for metric in ALL {
        assert!(metric.help.ends_with('.'), "{}", metric.help);
        assert_eq!(metric.kind == Kind::Histogram, !metric.buckets.is_empty(), "{}", metric.name);
        let kind =
            format!("# TYPE {} {}", metric.name, format!("{:?}", metric.kind).to_lowercase());
        assert!(text.contains(&kind), "{kind} is missing in\n{text}");
        assert!(text.contains(&format!("# HELP {} {}\n", metric.name, metric.help)));
    }
    let listed: BTreeSet<&str> = ALL.iter().map(|metric| metric.name).collect();
    assert_eq!(listed.len(), ALL.len());
    for line in text.lines().filter(|line| line.starts_with("affluent_")) {
        let (name, labels) = line.split_once(['{', ' ']).unwrap();
        let ends = ["_bucket", "_sum", "_count"];
        let base = ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        let metric = ALL.iter().find(|metric| metric.name == base || metric.name == name).unwrap();
        for part in labels.split(',').filter(|part| part.contains('=')) {
            let label = part.split('=').next().unwrap();
            assert!(metric.labels.contains(&label) || label == "le", "{line}");
        }
    }
}

#[test]
fn promtool_finds_nothing_to_improve() {
    everything();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), render()).unwrap();
    let Some(checked) = testkit::promtool("metrics", file.path()) else { return };
    assert_eq!(checked, Ok(()));
}
