//! The files of `deploy/`, tried on the programs that they are for.

use crate::metrics;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use testkit::http::{Reply, Server};
use testkit::{Certificate, Nginx, Prometheus, free_port, promtool};

fn deploy(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(path)
}

fn text(path: &str) -> String {
    fs::read_to_string(deploy(path)).unwrap()
}

/// Replaces what stands there exactly once.
fn replaced(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "`{from}`");
    text.replace(from, to)
}

#[test]
fn promtool_accepts_configuration_and_alert_rules() {
    let Some(rules) = promtool("rules", &deploy("prometheus/alerts.yml")) else { return };
    assert_eq!(rules, Ok(()));
    // The file of the token is there in the container only.
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, "t").unwrap();
    let config = replaced(
        &text("prometheus/prometheus.yml"),
        "/run/secrets/metrics_token",
        &token.display().to_string(),
    );
    fs::write(folder.path().join("prometheus.yml"), config).unwrap();
    fs::copy(deploy("prometheus/alerts.yml"), folder.path().join("alerts.yml")).unwrap();
    assert_eq!(promtool("config", &folder.path().join("prometheus.yml")), Some(Ok(())));
}

/// The queries of all panels, as they are after the variables were filled in.
fn dashboard_queries() -> Vec<String> {
    let mut queries = Vec::new();
    for file in ["grafana/dashboards/pipelines.json", "grafana/dashboards/server.json"] {
        let dashboard: Value = serde_json::from_str(&text(file)).unwrap();
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().unwrap() {
                let query = target["expr"].as_str().unwrap();
                queries.push(query.replace("$__rate_interval", "1m").replace("$workspace", ".+"));
            }
        }
    }
    assert!(queries.len() > 20 && queries.iter().all(|query| !query.contains('$')), "{queries:?}");
    queries
}

/// What a text calls metrics: words that begin as ours or as those of the process do.
fn metrics_named(text: &str) -> BTreeSet<&str> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let words = text.split(|letter| !is_part(letter));
    words.filter(|word| word.starts_with("affluent_") || word.starts_with("process_")).collect()
}

#[test]
fn a_real_prometheus_scrapes_and_evaluates_every_query_and_rule() {
    metrics::install();
    metrics::run_ended("shop", metrics::RunStatus::Succeeded, 2.0);
    metrics::leader(true);
    let served = metrics::render();
    let server =
        Server::start(|request| match (request.path.as_str(), request.header("authorization")) {
            ("/metrics", Some("Bearer for Prometheus alone")) => Reply::new(200, metrics::render())
                .header("content-type", "text/plain; version=0.0.4"),
            _ => Reply::new(401, "no"),
        });
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, "for Prometheus alone").unwrap();
    let mut config = text("prometheus/prometheus.yml").replace("_interval: 15s", "_interval: 1s");
    let changes = [
        ("/run/secrets/metrics_token", token.display().to_string()),
        ("- alerts.yml", format!("- {}", deploy("prometheus/alerts.yml").display())),
        ("\"affluent:7878\"", format!("\"127.0.0.1:{}\"", server.port())),
    ];
    for (from, to) in changes {
        config = replaced(&config, from, &to);
    }
    let Some(prometheus) = Prometheus::start(&config) else { return };
    assert_eq!(prometheus.wait_for("up{job=\"affluent\"} == 1"), 1.0);
    assert_eq!(prometheus.wait_for("affluent_runs_total{status=\"succeeded\"}"), 1.0);
    let rules = text("prometheus/alerts.yml");
    for query in dashboard_queries() {
        prometheus.query(&query).unwrap_or_else(|why| panic!("{query}: {why}"));
        for metric in metrics_named(&query) {
            let ends = ["_bucket", "_sum", "_count"];
            let base = ends.iter().find_map(|end| metric.strip_suffix(end)).unwrap_or(metric);
            assert!(served.contains(&format!("# TYPE {base} ")) || known(base), "{metric}");
        }
    }
    for metric in metrics_named(&rules) {
        assert!(served.contains(&format!("# TYPE {metric} ")) || known(metric), "{metric}");
    }
    // Every alert that a healthy server has is at rest, and Prometheus has evaluated each of them.
    let healthy = prometheus.query("ALERTS{alertstate=\"firing\"}").unwrap();
    assert_eq!(healthy["result"], serde_json::json!([]));
    let evaluated = prometheus.rules();
    assert_eq!(evaluated.len(), rules.matches("- alert:").count());
    for (query, error) in evaluated {
        assert_eq!(error, "", "{query}");
    }
}

/// In the list, though nothing has happened yet that it counts.
fn known(metric: &str) -> bool {
    metrics::ALL.iter().any(|listed| listed.name == metric)
}

fn nginx_config(certificate: &Certificate, backend: u16, tls: u16) -> String {
    let changes = [
        ("server affluent:7878;", format!("server 127.0.0.1:{backend};")),
        ("listen 80;", format!("listen 127.0.0.1:{};", free_port())),
        ("listen 443 ssl http2;", format!("listen 127.0.0.1:{tls} ssl http2;")),
        ("/etc/nginx/tls/cert.pem", certificate.file().display().to_string()),
        ("/etc/nginx/tls/key.pem", certificate.key().display().to_string()),
    ];
    let config = text("nginx/affluent.conf");
    changes.iter().fold(config, |config, (from, to)| replaced(&config, from, to))
}

#[tokio::test]
async fn nginx_passes_on_who_asks_and_nothing_that_clients_make_up() {
    let (certificate, tls) = (Certificate::create(), free_port());
    let backend = Server::start(|_| Reply::new(200, "hello"));
    let config = nginx_config(&certificate, backend.port(), tls);
    let Some(_nginx) = Nginx::start(&config, tls) else { return };
    let root = reqwest::Certificate::from_pem(certificate.text().as_bytes()).unwrap();
    let client = reqwest::Client::builder().add_root_certificate(root).build().unwrap();
    let url = format!("https://localhost:{tls}");
    let answer = client
        .get(format!("{url}/api/v1/me?a=1"))
        .header("x-forwarded-for", "203.0.113.9")
        .send()
        .await
        .unwrap();
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (200, "hello"));
    let request = backend.requests().remove(0);
    assert_eq!(request.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(request.header("host"), Some(format!("localhost:{tls}").as_str()));
    assert_eq!((request.path.as_str(), request.param("a")), ("/api/v1/me", Some("1")));
    let hidden = client.get(format!("{url}/metrics")).send().await.unwrap();
    assert_eq!((hidden.status().as_u16(), backend.requests().len()), (404, 1));
}

/// Answers one request for a WebSocket and sends everything back that comes then.
fn echo(listener: &TcpListener) {
    let (mut stream, _) = listener.accept().unwrap();
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    assert!(head.contains("upgrade: websocket") && head.contains("connection: upgrade"), "{head}");
    let answer = "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    stream.write_all(answer.as_bytes()).unwrap();
    let mut frame = [0; 4];
    stream.read_exact(&mut frame).unwrap();
    stream.write_all(&frame).unwrap();
}

#[test]
fn nginx_passes_websockets_on_over_tls() {
    let (certificate, tls) = (Certificate::create(), free_port());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = nginx_config(&certificate, listener.local_addr().unwrap().port(), tls);
    let Some(_nginx) = Nginx::start(&config, tls) else { return };
    let backend = thread::spawn(move || echo(&listener));
    let mut client = Command::new("openssl")
        .args(["s_client", "-quiet", "-verify_return_error", "-connect"])
        .arg(format!("localhost:{tls}"))
        .arg("-CAfile")
        .arg(certificate.file())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let request = "GET /live HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
                   Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let mut to = client.stdin.take().unwrap();
    to.write_all(request.as_bytes()).unwrap();
    let mut from = client.stdout.take().unwrap();
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        from.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    to.write_all(b"ping").unwrap();
    let mut frame = [0; 4];
    from.read_exact(&mut frame).unwrap();
    assert_eq!(&frame, b"ping");
    backend.join().unwrap();
    let _ = client.kill();
    let _ = client.wait();
}

#[test]
fn systemd_accepts_the_unit() {
    let Ok(version) = Command::new("systemd-analyze").arg("--version").output() else {
        return testkit::skip("systemd-analyze");
    };
    assert!(version.status.success());
    // The program and its user are not there where the tests run.
    let unit = text("systemd/affluent.service");
    let unit = replaced(&unit, "/usr/local/bin/affluent up", "/bin/true up");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("affluent.service");
    fs::write(&file, unit).unwrap();
    let output = Command::new("systemd-analyze").arg("verify").arg(&file).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    let about_it: Vec<&str> =
        words.lines().filter(|line| line.contains("affluent.service")).collect();
    assert_eq!(about_it, [""; 0], "{words}");
}
