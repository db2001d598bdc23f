//! What the kernel sees of a run: deaths at system calls, the order of syncs and names, disks that
//! report errors. None of it knows where the program itself sees its durable steps.

use crate::crash::{Golden, State};
use crate::program::{Ended, Project};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use testkit::Postgres;

/// Calls at which the program is killed, and every how many of them without the long tests.
const CALLS: &[(&str, usize)] = &[
    ("fsync", 1),
    ("fdatasync", 1),
    ("linkat", 1),
    ("renameat2", 1),
    ("rename", 1),
    ("sendto", 2),
    ("unlink", 2),
    ("mkdir", 2),
    ("pwrite64", 3),
    ("write", 11),
    ("openat", 11),
];

/// Threads share the calls differently each time: only so many survivals in a row end a sweep.
const SURVIVALS_IN_A_ROW: usize = 2;

pub(crate) fn long_tests() -> bool {
    std::env::var("AFFLUENT_LONG_TESTS").is_ok_and(|value| value == "1")
}

/// Whether `strace` may trace here; says so when not.
fn can_trace() -> bool {
    let output = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).output();
    if output.is_ok_and(|output| output.status.success()) {
        return true;
    }
    testkit::skip("strace, or the right to trace,");
    false
}

/// The program under `strace`, with one worker thread so that calls come in nearly one order.
fn traced(project: &Project, tracing: &[&str], arguments: &[&str]) -> Ended {
    let program = project.command(arguments);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq"]).args(tracing).arg("--").arg(program.get_program());
    strace.args(program.get_args()).env("TOKIO_WORKER_THREADS", "1");
    Ended::from(strace.output().unwrap())
}

/// One death: after the first delivery or the second, at the N-th call of a kind.
#[derive(Debug, Clone, Copy)]
struct Death {
    call: &'static str,
    at: usize,
    second: bool,
    threads: &'static str,
}

/// Runs a fresh shop until it dies, then in peace, and compares. False when it survived.
fn dies_and_recovers(postgres: &Postgres, death: Death, expected: &State) -> bool {
    let shop = Golden::new(postgres);
    if death.second {
        shop.project.ok(&["run"]);
        shop.deliver();
    }
    let Death { call, at, threads, .. } = death;
    let trace = format!("trace={call}");
    let inject = format!("inject={call}:signal=KILL:when={at}");
    let tracing = ["-o", "/dev/null", "-e", &trace, "-e", &inject];
    let ended = traced(&shop.project, &tracing, &["--threads", threads, "run"]);
    match ended.code {
        Some(0) => return false,
        None => {}
        code => panic!("{death:?}: code {code:?}\n{}\n{}", ended.out, ended.err),
    }
    shop.project.ok(&["run"]);
    shop.assert_like(expected, &format!("{death:?}"));
    true
}

/// Dies at every `every`-th call of one kind until the run is too short for it. Gives the deaths.
fn sweep(postgres: &Postgres, first: Death, every: usize, expected: &State) -> usize {
    let (mut deaths, mut survivals) = (0, 0);
    for at in (1..).step_by(every) {
        if dies_and_recovers(postgres, Death { at, ..first }, expected) {
            deaths += 1;
            survivals = 0;
        } else {
            survivals += 1;
        }
        if survivals == SURVIVALS_IN_A_ROW {
            break;
        }
    }
    deaths
}

#[test]
fn r_02_a_death_at_any_system_call_changes_nothing() {
    if !can_trace() {
        return;
    }
    let Some(postgres) = Postgres::start() else { return };
    let calm = Golden::new(&postgres);
    calm.project.ok(&["run"]);
    let after_first = calm.state();
    calm.deliver();
    calm.project.ok(&["run"]);
    let after_second = calm.state();
    let all = long_tests();
    let mut jobs = Vec::new();
    for &(call, every) in CALLS {
        for (second, threads) in [(false, "1"), (true, "1"), (false, "2"), (true, "2")] {
            // Without the long tests: only names and syncs, and only in the first run.
            if all || !second && threads == "1" {
                let every = if all { every.div_ceil(4) } else { every };
                jobs.push((Death { call, at: 1, second, threads }, every));
            }
        }
    }
    let (next, deaths) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(&(first, every)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let expected = if first.second { &after_second } else { &after_first };
                    let died = sweep(&postgres, first, every, expected);
                    println!("{} (second run: {}): {died} deaths", first.call, first.second);
                    deaths.fetch_add(died, Ordering::Relaxed);
                }
            });
        }
    });
    let deaths = deaths.into_inner();
    println!("system calls: {deaths} deaths, 0 violations");
    assert!(deaths >= if all { 120 } else { 30 }, "only {deaths} deaths");
}

/// A disk that reports an error is believed: nothing is acknowledged, and nothing is lost.
#[test]
fn r_06_a_sync_that_fails_is_a_problem_and_never_an_acknowledgement() {
    if !can_trace() {
        return;
    }
    let Some(postgres) = Postgres::start() else { return };
    let calm = Golden::new(&postgres);
    calm.project.ok(&["run"]);
    let expected = calm.state();
    let (mut failures, every) = (0, if long_tests() { 1 } else { 2 });
    for call in ["fsync", "fdatasync", "linkat", "rename"] {
        let mut survivals = 0;
        for at in (1..).step_by(every) {
            let shop = Golden::new(&postgres);
            let trace = format!("trace={call}");
            let inject = format!("inject={call}:error=EIO:when={at}");
            let tracing = ["-o", "/dev/null", "-e", &trace, "-e", &inject];
            let ended = traced(&shop.project, &tracing, &["--json", "--threads", "1", "run"]);
            if ended.code == Some(0) {
                survivals += 1;
                if survivals == SURVIVALS_IN_A_ROW {
                    break;
                }
                continue;
            }
            survivals = 0;
            failures += 1;
            let story = format!("{call} {at} fails");
            let line = ended.err.lines().next().unwrap_or_default();
            let problem: Value = serde_json::from_str(line).unwrap_or_else(|_| {
                panic!("{story}: {:?}, not a problem: {}", ended.code, ended.err)
            });
            assert_eq!(problem["code"], "storage_failed", "{story}: {problem}");
            shop.project.ok(&["run"]);
            shop.assert_like(&expected, &story);
        }
    }
    println!("failing disks: {failures} errors, 0 violations");
    assert!(failures >= 8, "only {failures} errors were seen");
}

/// Files whose survival matters not: rows on their way, what is found out again, locks.
fn is_passing(path: &Path) -> bool {
    let passing = ["_staging", "spill", "schemas", ".gitignore"];
    path.iter().any(|part| passing.iter().any(|name| part == *name))
}

/// One system call of a trace, its paths resolved by `strace -y`.
#[derive(Debug)]
struct Call {
    name: String,
    arguments: String,
    failed: bool,
}

/// A moment of a trace.
#[derive(Debug)]
enum Moment {
    Begin(Call),
    End(Call),
}

/// Calls of all threads in the order of the trace, each with its beginning and its end.
fn moments(trace: &str) -> Vec<Moment> {
    let mut open: BTreeMap<&str, (String, String)> = BTreeMap::new();
    let mut moments = Vec::new();
    for line in trace.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(resumed) = rest.strip_prefix("<... ") {
            let Some((name, arguments)) = open.remove(thread) else { continue };
            let failed = resumed.contains(") = -1 ") || resumed.contains(")  = -1 ");
            moments.push(Moment::End(Call { name, arguments, failed }));
        } else if let Some((name, arguments)) = rest.split_once('(') {
            let (name, arguments) = (name.to_owned(), arguments.to_owned());
            let call = |failed| Call { name: name.clone(), arguments: arguments.clone(), failed };
            moments.push(Moment::Begin(call(false)));
            if arguments.ends_with("<unfinished ...>") {
                open.insert(thread, (name, arguments));
            } else {
                let result = arguments.rsplit_once(" = ").map_or("", |(_, result)| result);
                moments.push(Moment::End(call(result.starts_with("-1"))));
            }
        }
    }
    moments
}

/// The path of the first file descriptor: `11</path>`.
fn descriptor_path(arguments: &str) -> Option<PathBuf> {
    let (_, rest) = arguments.split_once('<')?;
    Some(PathBuf::from(rest.split_once('>')?.0))
}

/// Texts in quotes: the paths of calls that take paths.
fn quoted(arguments: &str) -> Vec<PathBuf> {
    arguments.split('"').skip(1).step_by(2).map(PathBuf::from).collect()
}

/// What a power cut could take, as the calls go by.
#[derive(Default)]
struct Disk {
    /// Files with bytes that no sync has covered.
    dirty: BTreeSet<PathBuf>,
    /// Names in folders that no sync of the folder has covered.
    unnamed: BTreeSet<PathBuf>,
    /// What a sync that has begun will cover when it ends.
    syncing: Vec<(PathBuf, BTreeSet<PathBuf>)>,
    /// Names of finished files.
    published: BTreeSet<PathBuf>,
    violations: Vec<String>,
}

impl Disk {
    fn watch(&mut self, moment: &Moment, project: &Path) {
        match moment {
            Moment::Begin(call) => self.begin(call, project),
            Moment::End(call) => self.end(call, project),
        }
    }

    fn begin(&mut self, call: &Call, project: &Path) {
        match call.name.as_str() {
            "fsync" | "fdatasync" => {
                let Some(path) = descriptor_path(&call.arguments) else { return };
                let names = self.unnamed.iter().filter(|name| name.parent() == Some(&path));
                let covered = names.cloned().collect();
                self.syncing.push((path, covered));
            }
            "link" | "linkat" | "rename" | "renameat" | "renameat2" => {
                let paths = quoted(&call.arguments);
                let [from, to] = paths.as_slice() else { return };
                if !to.starts_with(project) || is_passing(to) {
                    return;
                }
                if self.dirty.contains(from) {
                    self.violations.push(format!("{} is named before a sync", to.display()));
                }
                if to.to_string_lossy().contains("/_delta_log/") {
                    let table = to.parent().and_then(Path::parent).unwrap_or(to);
                    self.expect_names(table, &format!("the commit {}", to.display()));
                }
            }
            "write" | "writev" => {
                let path = descriptor_path(&call.arguments).unwrap_or_default();
                let is_journal = path.starts_with(project.join(".affluent/runs"))
                    && path.extension().is_some_and(|extension| extension == "log");
                if is_journal {
                    self.expect_names(project, "a line of the journal");
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, call: &Call, project: &Path) {
        if call.failed {
            return;
        }
        match call.name.as_str() {
            "write" | "writev" | "pwrite64" | "pwritev" | "ftruncate" | "copy_file_range" => {
                let path = descriptor_path(&call.arguments).unwrap_or_default();
                if path.starts_with(project) {
                    self.dirty.insert(path);
                }
            }
            "fsync" | "fdatasync" => {
                let Some(path) = descriptor_path(&call.arguments) else { return };
                let Some(at) = self.syncing.iter().position(|(syncing, _)| *syncing == path) else {
                    return;
                };
                let (path, covered) = self.syncing.remove(at);
                self.dirty.remove(&path);
                self.unnamed.retain(|name| !covered.contains(name));
            }
            "mkdir" | "mkdirat" => self.named(quoted(&call.arguments).pop(), project),
            "link" | "linkat" | "rename" | "renameat" | "renameat2" => {
                let paths = quoted(&call.arguments);
                if let [from, to] = paths.as_slice() {
                    if self.dirty.remove(from) {
                        self.dirty.insert(to.clone());
                    }
                    if to.starts_with(project) && !is_passing(to) {
                        self.published.insert(to.clone());
                    }
                    self.named(Some(to.clone()), project);
                }
            }
            _ => {}
        }
    }

    fn named(&mut self, path: Option<PathBuf>, project: &Path) {
        if let Some(path) = path.filter(|path| path.starts_with(project) && !is_passing(path)) {
            self.unnamed.insert(path);
        }
    }

    /// Every finished file below `dir`, and every folder on the way to it, must have a name that
    /// survives.
    fn expect_names(&mut self, dir: &Path, before: &str) {
        let needed = self.published.iter().filter(|path| path.starts_with(dir));
        let needed: BTreeSet<&Path> = needed.flat_map(|path| path.ancestors()).collect();
        for name in self.unnamed.iter().filter(|name| needed.contains(name.as_path())) {
            self.violations.push(format!("{} has no lasting name before {before}", name.display()));
        }
    }
}

/// Bytes are synced before they get their name, and names before anything relies on them.
#[test]
fn r_05_files_are_synced_before_they_are_named_and_names_before_they_are_used() {
    if !can_trace() {
        return;
    }
    let Some(postgres) = Postgres::start() else { return };
    let shop = Golden::new(&postgres);
    let project = shop.project.path().canonicalize().unwrap();
    let mut disk = Disk::default();
    for delivery in 0..2 {
        if delivery == 1 {
            shop.deliver();
        }
        let trace = project.join("trace");
        let calls = "trace=write,writev,pwrite64,pwritev,ftruncate,copy_file_range,fsync,\
                     fdatasync,link,linkat,rename,renameat,renameat2,mkdir,mkdirat";
        let tracing = ["-y", "-o", &trace.to_string_lossy(), "-e", calls];
        let ended = traced(&shop.project, &tracing, &["run"]);
        assert_eq!(ended.code, Some(0), "{}{}", ended.out, ended.err);
        for moment in moments(&fs::read_to_string(&trace).unwrap()) {
            disk.watch(&moment, &project);
        }
        disk.expect_names(&project, "the end of the run");
    }
    let commits = disk.published.iter().filter(|p| p.to_string_lossy().contains("/_delta_log/"));
    assert!(commits.count() >= 10, "the trace misses commits: {:?}", disk.published);
    let runs = disk.published.iter().filter(|p| p.starts_with(project.join(".affluent/runs")));
    assert!(runs.count() >= 4, "the trace misses run records: {:?}", disk.published);
    println!("{} files got names, {} violations", disk.published.len(), disk.violations.len());
    disk.violations.sort();
    disk.violations.dedup();
    assert_eq!(disk.violations, Vec::<String>::new());
}
