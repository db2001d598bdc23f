//! What leaves the program, as those who take it see it.

use super::*;
use model::Secret;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use testkit::http::{Reply, Server};

/// Keeps what is written.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// Logs while `act` runs, then sends what waits; gives what stood in the terminal.
fn log(settings: &Settings, act: impl FnOnce()) -> String {
    let paper = Paper::default();
    let output = paper.clone();
    let (logging, subscriber) = Logging::build(settings, move || output.clone()).unwrap();
    tracing::subscriber::with_default(subscriber, act);
    logging.shut_down();
    paper.text()
}

fn settings(filter: &str) -> Settings {
    Settings { filter: filter.to_owned(), instance: "here".to_owned(), ..Settings::default() }
}

#[test]
fn lines_of_json_are_filtered_and_hide_secrets() {
    let settings = Settings { format: Format::Json, ..settings("info,quiet=off") };
    let text = log(&settings, || {
        let password = Secret::new("canary-81c2");
        tracing::info!(run = "01J", rows = 7, ?password, "committed\n\"twice\"");
        tracing::debug!("too quiet");
        tracing::info!(target: "quiet", "not wanted");
    });
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 1, "{text}");
    assert_eq!(
        (&lines[0]["message"], &lines[0]["rows"]),
        (&"committed\n\"twice\"".into(), &7.into())
    );
    assert_eq!(lines[0]["level"], "INFO");
    assert!(!text.contains("canary") && text.contains("Secret(***)"), "{text}");
    assert!(log(&self::settings("error"), || tracing::error!("x")).contains("ERROR"));
    assert_eq!(log(&self::settings("off"), || tracing::error!("x")), "");
}

#[test]
fn settings_that_cannot_be_read_are_problems() {
    let bad = [
        settings("info,=="),
        Settings { loki: Some("loki:3100".to_owned()), ..settings("info") },
        Settings { otlp: Some("no address".to_owned()), ..settings("info") },
    ];
    for settings in bad {
        let problem = Logging::build(&settings, io::sink).map(drop).unwrap_err();
        assert!(
            problem.is(&codes::SETTING_INVALID) && problem.hint_text().is_some(),
            "{settings:?}"
        );
    }
}

#[test]
fn loki_gets_batches_by_level_in_order_and_once_more_when_it_was_away() {
    let server = Server::start(|request| match request.number {
        0 => Reply::new(503, "starting"),
        _ => Reply::new(204, ""),
    });
    let settings = Settings { loki: Some(format!("{}/", server.url())), ..settings("debug") };
    log(&settings, || {
        for number in 0..50 {
            tracing::info!(number, "counted");
        }
        tracing::error!(code = "store_failed", "away");
        tracing::info!(target: "hyper::client", "our own line");
    });
    let requests = server.requests();
    assert!(requests.iter().all(|request| request.path == "/loki/api/v1/push"));
    assert_eq!(requests[0].body, requests[1].body, "sent once more");
    let mut lines: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for request in &requests[1..] {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        for stream in body["streams"].as_array().unwrap() {
            assert_eq!(
                (&stream["stream"]["job"], &stream["stream"]["instance"]),
                (&"affluent".into(), &"here".into())
            );
            let level = stream["stream"]["level"].as_str().unwrap().to_owned();
            for value in stream["values"].as_array().unwrap() {
                assert!(
                    value[0].as_str().unwrap().parse::<u64>().unwrap() > 1_700_000_000_000_000_000
                );
                let line = serde_json::from_str(value[1].as_str().unwrap()).unwrap();
                lines.entry(level.clone()).or_default().push(line);
            }
        }
    }
    let numbers: Vec<u64> =
        lines["info"].iter().map(|line| line["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..50).collect::<Vec<_>>());
    assert_eq!(
        (&lines["error"][0]["message"], &lines["error"][0]["code"]),
        (&"away".into(), &"store_failed".into())
    );
}

#[test]
fn a_loki_that_hangs_stops_nobody_and_what_is_lost_is_counted() {
    crate::metrics::install();
    let server = Server::start(|_| Reply::hang());
    let settings = Settings { loki: Some(server.url()), ..settings("info") };
    let began = Instant::now();
    let (_logging, subscriber) = Logging::build(&settings, io::sink).unwrap();
    tracing::subscriber::with_default(subscriber, || {
        for number in 0..15_000 {
            tracing::info!(number, "counted");
        }
    });
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let text = crate::metrics::render();
    let dropped =
        text.lines().find_map(|line| line.strip_prefix("affluent_log_lines_dropped_total "));
    let dropped: u64 = dropped.unwrap().parse().unwrap();
    assert!((3_000..=5_000).contains(&dropped), "{dropped}");
}

#[test]
fn traces_keep_who_follows_whom_also_from_another_process() {
    let server = Server::start(|_| Reply::new(200, "{}"));
    let settings = Settings { otlp: Some(server.url()), ..settings("info") };
    let mut parent = None;
    log(&settings, || {
        let run =
            tracing::info_span!("run", pipeline = "orders", rows = 7, ratio = 0.5, good = true);
        run.in_scope(|| {
            tracing::info_span!("node", id = "load").in_scope(|| tracing::error!("no rows"));
        });
        parent = traceparent(&run);
    });
    let parent = parent.unwrap();
    log(&settings, || {
        let elsewhere = tracing::info_span!("attempt");
        follow(&elsewhere, &parent);
        elsewhere.in_scope(|| {});
        let alone = tracing::info_span!("alone");
        follow(&alone, "00-nothing-of-this-kind");
        alone.in_scope(|| {});
    });
    let spans: Vec<Value> = server
        .requests()
        .iter()
        .inspect(|request| assert_eq!(request.path, "/v1/traces"))
        .flat_map(|request| {
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            let resource = &body["resourceSpans"][0];
            let service =
                serde_json::json!({"key": "service.name", "value": {"stringValue": "affluent"}});
            assert!(resource["resource"]["attributes"].as_array().unwrap().contains(&service));
            resource["scopeSpans"][0]["spans"].as_array().unwrap().clone()
        })
        .collect();
    let span = |name: &str| spans.iter().find(|span| span["name"] == name).unwrap();
    let (run, node, attempt) = (span("run"), span("node"), span("attempt"));
    assert_eq!((&run["parentSpanId"], &node["parentSpanId"]), (&"".into(), &run["spanId"]));
    assert_eq!((&attempt["parentSpanId"], &attempt["traceId"]), (&run["spanId"], &run["traceId"]));
    assert_eq!(span("alone")["parentSpanId"], "");
    assert_ne!(span("alone")["traceId"], run["traceId"]);
    assert_eq!(run["traceId"].as_str().unwrap().len(), 32);
    let value = |key: &str| {
        let list = run["attributes"].as_array().unwrap();
        list.iter().find(|pair| pair["key"] == key).unwrap()["value"].clone()
    };
    assert_eq!(value("pipeline"), serde_json::json!({"stringValue": "orders"}));
    assert_eq!(value("rows"), serde_json::json!({"intValue": "7"}));
    assert_eq!(value("ratio"), serde_json::json!({"doubleValue": 0.5}));
    assert_eq!(value("good"), serde_json::json!({"boolValue": true}));
    assert_eq!(node["events"][0]["name"], "no rows");
    assert_eq!(node["status"]["code"], 2);
    let time = |key: &str| run[key].as_str().unwrap().parse::<u64>().unwrap();
    assert!(time("startTimeUnixNano") <= time("endTimeUnixNano"));
}
