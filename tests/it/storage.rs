//! Lakes under pressure: a full disk, many writers at once, an object store that errs.

use crate::program::Project;
use crate::syscalls::long_tests;
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A small file system in memory, unmounted with the test.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Needs the right to mount, which only root has.
    fn mount(dir: &Path, mib: usize) -> Option<Self> {
        fs::create_dir_all(dir).unwrap();
        let size = format!("size={mib}m");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir);
        let mounted = command.stderr(Stdio::null()).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(dir.to_owned()));
        }
        println!("skipped: no right to mount a small disk");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

const SMALL: &str = r#"
affluent: 1
kind: pipeline
name: small
nodes:
  - {id: rows, use: generate, with: {rows: 1000, columns: {id: {kind: sequence}, code: {kind: uuid}}}}
  - {id: kept, use: write_table, from: rows, with: {table: bronze.small, mode: overwrite}}
"#;

const LARGE: &str = r#"
affluent: 1
kind: pipeline
name: large
nodes:
  - {id: rows, use: generate, with: {rows: 200000, columns: {id: {kind: sequence}, a: {kind: uuid}, b: {kind: uuid}}}}
  - {id: kept, use: write_table, from: rows, with: {table: bronze.large, mode: append}}
  - {id: sorted, use: sort, from: rows, with: {order_by: [a]}}
  - {id: merged, use: write_table, from: sorted, with: {table: silver.large, mode: merge, key: [id]}}
"#;

#[test]
fn r_07_a_full_disk_is_named_and_nothing_half_written_is_visible() {
    let parent = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&parent.path().join("disk"), 96) else { return };
    let project = Project::new(&[("pipelines/small.yaml", SMALL), ("pipelines/large.yaml", LARGE)]);
    project
        .write("affluent.yaml", format!("affluent: 1\nname: test\nlake: {}\n", disk.0.display()));
    project.ok(&["run", "small"]);
    let sums = "select count(*) as n, sum(id) as s, count(distinct code) as c from bronze.small";
    let before = project.query(sums);
    // From hardly any space to nearly enough: the disk is full at another moment each time.
    for left in [16, 200, 2_000, 6_000, 9_000, 13_000] {
        let ballast = fill(&disk.0, left);
        let problem = project.problem(&["run", "large"]);
        assert_eq!(problem["code"], "storage_full", "{left} KiB left: {problem}");
        let node = problem["node"].as_str().or_else(|| problem["context"]["node"].as_str());
        assert!(node.is_some_and(|node| ["kept", "merged"].contains(&node)), "{left}: {problem}");
        assert_eq!(project.query(sums), before, "{left} KiB left");
        for table in ["bronze.large", "silver.large"] {
            let ended = project.run(&["query", &format!("select count(*) from {table}")]);
            let nothing = ended.code != Some(0) && ended.err.contains("no table");
            assert!(nothing, "{left} KiB left, {table}: {}{}", ended.out, ended.err);
        }
        fs::remove_file(ballast).unwrap();
    }
    let started = Instant::now();
    let out = project.ok(&["run", "large"]);
    println!("after a full disk: {} ms\n{out}", started.elapsed().as_millis());
    for table in ["bronze.large", "silver.large"] {
        let sums = format!("select count(*), sum(id), count(distinct id) from {table}");
        let rows = project.query(&sums);
        let values: Vec<&Value> = rows[0].as_object().unwrap().values().collect();
        assert_eq!(values, [200_000, 20_000_100_000_i64, 200_000], "{table}");
    }
    assert_eq!(project.query(sums), before);
}

/// A file that leaves so many KiB of a disk.
fn fill(disk: &Path, left: usize) -> PathBuf {
    let path = disk.join("ballast");
    let mut file = fs::File::create(&path).unwrap();
    let block = vec![7; 64 * 1024];
    while file.write_all(&block).is_ok() {}
    let full = file.metadata().unwrap().len();
    file.set_len(full.saturating_sub(left as u64 * 1024)).unwrap();
    path
}

/// One of many pipelines that append to the same table.
fn appender(number: usize) -> String {
    format!(
        "affluent: 1\nkind: pipeline\nname: p{number}\nnodes:\n  \
         - {{id: rows, use: csv, with: {{path: \"data/{number}/*.csv\", delimiter: \",\", header: true}}}}\n  \
         - {{id: typed, use: cast, from: rows, with: {{columns: {{id: integer}}}}}}\n  \
         - {{id: kept, use: write_table, from: typed, with: {{table: bronze.all, mode: append}}}}\n"
    )
}

/// Appends from `writers` processes at once, `arrivals` files of `rows` rows each.
fn append_at_once(project: &Project, writers: usize, arrivals: usize, rows: usize) -> usize {
    for writer in 0..writers {
        project.write(&format!("pipelines/p{writer}.yaml"), appender(writer));
    }
    let failures = AtomicUsize::new(0);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for writer in 0..writers {
            let failures = &failures;
            scope.spawn(move || {
                for arrival in 0..arrivals {
                    let first = (writer * arrivals + arrival) * rows;
                    let mut text = "id,text\n".to_owned();
                    (first..first + rows).for_each(|id| text.push_str(&format!("{id},row {id}\n")));
                    project.write(&format!("data/{writer}/{arrival}.csv"), text);
                    run_until_done(project, &format!("p{writer}"), failures);
                }
            });
        }
    });
    let seconds = started.elapsed().as_secs_f64();
    let commits = writers * arrivals;
    println!(
        "{writers} writers: {commits} commits in {seconds:.1} s, {:.1} per second, {} runs repeated",
        commits as f64 / seconds,
        failures.load(Ordering::Relaxed)
    );
    let sums = "select count(*), count(distinct id), sum(id) from bronze.all";
    let found = project.query(sums);
    let found: Vec<&Value> = found[0].as_object().unwrap().values().collect();
    let total = commits * rows;
    assert_eq!(found, [total, total, total * (total - 1) / 2]);
    let history = project.ok(&["--json", "tables", "bronze.all", "--history"]);
    let mut versions: Vec<u64> = history
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|commit| commit["run"].is_string())
        .map(|commit| commit["version"].as_u64().unwrap())
        .collect();
    versions.sort_unstable();
    assert_eq!(versions, (0..commits as u64).collect::<Vec<_>>());
    failures.into_inner()
}

/// Runs a pipeline; a problem that says "try again" is believed three times.
fn run_until_done(project: &Project, pipeline: &str, failures: &AtomicUsize) {
    for _ in 0..3 {
        let ended = project.run(&["--json", "--threads", "1", "run", pipeline]);
        if ended.code == Some(0) {
            return;
        }
        failures.fetch_add(1, Ordering::Relaxed);
        assert_eq!(ended.code, Some(3), "{pipeline}: {}{}", ended.out, ended.err);
        println!("{pipeline}: {}", ended.err.lines().next().unwrap_or_default());
    }
    panic!("{pipeline} does not get through");
}

#[test]
fn l_01_eight_processes_append_to_one_table_at_once() {
    let project = Project::new(&[]);
    let arrivals = if long_tests() { 50 } else { 5 };
    let repeated = append_at_once(&project, 8, arrivals, 100);
    assert_eq!(repeated, 0, "no run may fail because others write too");
}

/// A stand-in for S3, stopped with the test.
struct Moto {
    server: Child,
    port: u16,
}

impl Moto {
    fn start() -> Option<Self> {
        let home = std::env::var("HOME").unwrap_or_default();
        let program = std::env::var("AFFLUENT_MOTO")
            .unwrap_or_else(|_| format!("{home}/.cache/affluent/venv/bin/moto_server"));
        if !Path::new(&program).is_file() {
            testkit::skip("moto_server (scripts/setup test)");
            return None;
        }
        let port = testkit::free_port();
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let server = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let moto = Self { server, port };
        let deadline = Instant::now() + Duration::from_secs(60);
        while !exchange(port, b"PUT /lake HTTP/1.1\r\nHost: s3\r\nContent-Length: 0\r\n\r\n")
            .is_ok_and(|answer| answer.starts_with(b"HTTP/1.1 200"))
        {
            assert!(Instant::now() < deadline, "moto_server does not start");
            std::thread::sleep(Duration::from_millis(100));
        }
        Some(moto)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Sends one request, reads the answer to its end.
fn exchange(port: u16, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let split = request.windows(2).position(|bytes| bytes == b"\r\n").unwrap_or(0) + 2;
    stream.write_all(&request[..split])?;
    stream.write_all(b"Connection: close\r\n")?;
    stream.write_all(&request[split..])?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// Between the program and the store: every so-manieth write is answered with an error, and after
/// some of those errors the write has happened all the same.
struct Errors {
    port: u16,
    injected: Arc<AtomicUsize>,
}

impl Errors {
    /// The thread lives as long as the test process.
    fn start(store: u16, every: usize) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let injected = Arc::new(AtomicUsize::new(0));
        let (writes, errors) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&injected));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (writes, errors) = (Arc::clone(&writes), Arc::clone(&errors));
                std::thread::spawn(move || pass_on(stream, store, every, &writes, &errors));
            }
        });
        Self { port, injected }
    }
}

/// Errors with whether the write happens all the same. The store answers the first two only to
/// requests that set a condition: those are commits.
const INJECTED: &[(&str, &str, bool)] = &[
    ("409 Conflict", "ConditionalRequestConflict", false),
    ("412 Precondition Failed", "PreconditionFailed", false),
    ("500 Internal Server Error", "InternalError", true),
    ("500 Internal Server Error", "InternalError", false),
    ("503 Slow Down", "SlowDown", true),
];

/// One connection: one request, one answer.
fn pass_on(
    mut client: TcpStream,
    store: u16,
    every: usize,
    writes: &AtomicUsize,
    errors: &AtomicUsize,
) -> Option<()> {
    client.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    let request = read_request(&mut client)?;
    let is_write = request.starts_with(b"PUT ") || request.starts_with(b"POST ");
    let number = if is_write { writes.fetch_add(1, Ordering::SeqCst) + 1 } else { 0 };
    let answer = if is_write && number.is_multiple_of(every) {
        let text = String::from_utf8_lossy(&request).to_lowercase();
        let possible = if text.contains("if-none-match") { INJECTED } else { &INJECTED[2..] };
        let (status, code, happens) = possible[number / every % possible.len()];
        errors.fetch_add(1, Ordering::SeqCst);
        if happens {
            let _ = exchange(store, &request);
        }
        let body = format!("<Error><Code>{code}</Code><Message>injected</Message></Error>");
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        )
        .into_bytes()
    } else {
        exchange(store, &request).ok()?
    };
    client.write_all(&answer).ok()?;
    client.shutdown(Shutdown::Both).ok()
}

fn read_request(client: &mut TcpStream) -> Option<Vec<u8>> {
    let mut request = Vec::new();
    let mut block = [0; 16 * 1024];
    loop {
        if let Some(head) = request.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&request[..head]).to_lowercase();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
            if request.len() >= head + 4 + length {
                return Some(request);
            }
        }
        let read = client.read(&mut block).ok().filter(|read| *read > 0)?;
        request.extend_from_slice(&block[..read]);
    }
}

fn s3_project(port: u16, prefix: &str) -> Project {
    let connection = format!(
        "affluent: 1\nkind: connection\nname: lake\ntype: s3\nendpoint: http://127.0.0.1:{port}\n\
         region: us-east-1\naccess_key_id: test\nsecret_access_key: test\nallow_http: true\n"
    );
    Project::new(&[
        ("affluent.yaml", &format!("affluent: 1\nname: test\nlake: s3://lake/{prefix}\n")),
        ("connections/lake.yaml", &connection),
    ])
}

#[test]
fn l_02_four_processes_append_to_one_table_on_s3() {
    let Some(moto) = Moto::start() else { return };
    let arrivals = if long_tests() { 25 } else { 4 };
    let project = s3_project(moto.port, "calm");
    assert_eq!(append_at_once(&project, 4, arrivals, 100), 0, "a run failed without an error");
}

#[test]
fn l_02_errors_of_the_store_lose_and_double_nothing() {
    let Some(moto) = Moto::start() else { return };
    let errors = Errors::start(moto.port, 5);
    let project = s3_project(errors.port, "stormy");
    let arrivals = if long_tests() { 25 } else { 4 };
    append_at_once(&project, 4, arrivals, 100);
    let injected = errors.injected.load(Ordering::SeqCst);
    println!("{injected} errors of the store");
    assert!(injected >= 5, "only {injected} errors were injected");
}
