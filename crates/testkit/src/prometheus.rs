//! A Prometheus of one's own, on a free port, in a folder that goes away with it.

use crate::{binary, free_port, skip};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const TIMEOUT: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(50);

/// A running server; dropped, it stops.
#[derive(Debug)]
pub struct Prometheus {
    process: Child,
    port: u16,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts a server with a configuration, or says that the test is skipped.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[allow(clippy::panic, reason = "a test helper fails by panicking")]
    pub fn start(config: &str) -> Option<Self> {
        let Some(program) = binary("prometheus", &["/usr/bin"]) else {
            skip("Prometheus (Debian package `prometheus`)");
            return None;
        };
        let folder = tempfile::tempdir().expect("a folder can be made");
        let file = folder.path().join("prometheus.yml");
        fs::write(&file, config).expect("a file can be written");
        let port = free_port();
        let log = fs::File::create(folder.path().join("log")).expect("a file can be written");
        // It goes when the test does.
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("Prometheus starts");
        let mut started = Self { process, port, _folder: folder };
        if !started.is_ready_in_time() {
            let log = fs::read_to_string(started._folder.path().join("log"));
            panic!("Prometheus does not start:\n{}", log.unwrap_or_default());
        }
        Some(started)
    }

    fn is_ready_in_time(&mut self) -> bool {
        let deadline = Instant::now() + TIMEOUT;
        while Instant::now() < deadline && matches!(self.process.try_wait(), Ok(None)) {
            if self.fetch("/-/ready").is_some_and(|(status, _)| status == 200) {
                return true;
            }
            thread::sleep(TICK);
        }
        false
    }

    /// What an expression is now: the `data` of the answer, or why it cannot be evaluated.
    pub fn query(&self, expression: &str) -> Result<Value, String> {
        let path = format!("/api/v1/query?query={}", percent(expression));
        let (_, body) = self.fetch(&path).ok_or("Prometheus does not answer")?;
        let answer: Value = serde_json::from_str(&body).map_err(|error| error.to_string())?;
        match answer["status"].as_str() {
            Some("success") => Ok(answer["data"].clone()),
            _ => Err(answer["error"].as_str().unwrap_or(&body).to_owned()),
        }
    }

    /// The expressions of all alert rules, once each has been evaluated, and what was wrong.
    ///
    /// # Panics
    ///
    /// When they are not evaluated in time.
    #[allow(clippy::panic, reason = "a test helper fails by panicking")]
    pub fn rules(&self) -> Vec<(String, String)> {
        let deadline = Instant::now() + TIMEOUT;
        while Instant::now() < deadline {
            let body = self.fetch("/api/v1/rules").map(|(_, body)| body).unwrap_or_default();
            let answer: Value = serde_json::from_str(&body).unwrap_or_default();
            let groups = answer["data"]["groups"].as_array().cloned().unwrap_or_default();
            let rules = groups.iter().flat_map(|group| group["rules"].as_array()).flatten();
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let rules: Vec<(Value, String, String)> = rules
                .map(|rule| {
                    (rule["health"].clone(), text(&rule["query"]), text(&rule["lastError"]))
                })
                .collect();
            if !rules.is_empty() && rules.iter().all(|(health, ..)| health != "unknown") {
                return rules.into_iter().map(|(_, query, error)| (query, error)).collect();
            }
            thread::sleep(TICK);
        }
        panic!("the rules are not evaluated: {:?}", self.fetch("/api/v1/rules"));
    }

    /// Waits until an expression has a result, and gives its first value.
    ///
    /// # Panics
    ///
    /// When it has none in time, or cannot be evaluated.
    #[allow(clippy::panic, reason = "a test helper fails by panicking")]
    pub fn wait_for(&self, expression: &str) -> f64 {
        let deadline = Instant::now() + TIMEOUT;
        while Instant::now() < deadline {
            let data = self.query(expression).unwrap_or_else(|why| panic!("{expression}: {why}"));
            if let Some(value) = data["result"][0]["value"][1].as_str() {
                return value.parse().expect("a value is a number");
            }
            thread::sleep(TICK);
        }
        panic!("{expression} has no result; targets: {:?}", self.fetch("/api/v1/targets"));
    }

    fn fetch(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(TIMEOUT)).ok()?;
        // In this version the line is closed after the answer, which is not cut into chunks.
        let request = format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        Some((head.split_whitespace().nth(1)?.parse().ok()?, body.to_owned()))
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Checks a file as `promtool check WHAT FILE` does; its words against it, if it has any. Says
/// that the test is skipped when there is no promtool.
///
/// # Panics
///
/// When promtool cannot be started.
pub fn promtool(what: &str, file: &Path) -> Option<Result<(), String>> {
    let Some(program) = binary("promtool", &["/usr/bin"]) else {
        skip("promtool (Debian package `prometheus`)");
        return None;
    };
    let mut command = Command::new(program);
    command.args(["check", what]);
    if what == "metrics" {
        command.stdin(fs::File::open(file).expect("the file is there"));
    } else {
        command.arg(file);
    }
    let output = command.output().expect("promtool starts");
    let words = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Some(if output.status.success() { Ok(()) } else { Err(words) })
}
