//! What the kernel sees of a run: deaths at system calls, the order of syncs and names. None of it
//! knows where the program itself sees its durable steps.

use crate::crash::{Golden, State, calm, in_parallel};
use crate::program::{Ended, Project};
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
pub(crate) fn can_trace() -> bool {
    let output = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).output();
    if output.is_ok_and(|output| output.status.success()) {
        return true;
    }
    testkit::skip("strace, or the right to trace,");
    false
}

/// The program under `strace`, with one worker thread so that calls come in nearly one order.
pub(crate) fn traced(project: &Project, tracing: &[&str], arguments: &[&str]) -> Ended {
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
    let expected = calm(&postgres);
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
    let deaths = AtomicUsize::new(0);
    in_parallel(&jobs, |&(first, every)| {
        let died = sweep(&postgres, first, every, &expected[usize::from(first.second)]);
        println!("{} (second run: {}): {died} deaths", first.call, first.second);
        deaths.fetch_add(died, Ordering::Relaxed);
    });
    let deaths = deaths.into_inner();
    println!("system calls: {deaths} deaths, 0 violations");
    assert!(deaths >= if all { 120 } else { 30 }, "only {deaths} deaths");
}

/// Calls that change what a power cut could take.
pub(crate) const WATCHED: &str = "trace=write,writev,pwrite64,pwritev,ftruncate,copy_file_range,\
                                  fsync,fdatasync,link,linkat,rename,renameat,renameat2,mkdir,\
                                  mkdirat";

/// Files whose survival matters not: rows on their way, what is found out again, locks.
pub(crate) fn is_passing(path: &Path) -> bool {
    let passing = ["_staging", "spill", "schemas", ".gitignore"];
    path.iter().any(|part| passing.iter().any(|name| part == *name))
}

/// One system call of a trace, its paths resolved by `strace -y`.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) arguments: String,
    failed: bool,
    /// Whether `strace` has made it fail.
    pub(crate) injected: bool,
}

impl Call {
    /// The files that the call is about.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        match descriptor_path(&self.arguments) {
            Some(path) if !self.arguments.starts_with(['"', 'A']) => vec![path],
            _ => quoted(&self.arguments),
        }
    }
}

/// A moment of a trace.
#[derive(Debug)]
pub(crate) enum Moment {
    Begin(Call),
    End(Call),
}

/// Calls of all threads in the order of the trace, each with its beginning and its end.
pub(crate) fn moments(trace: &str) -> Vec<Moment> {
    let mut open: BTreeMap<&str, (String, String)> = BTreeMap::new();
    let mut moments = Vec::new();
    for line in trace.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(resumed) = rest.strip_prefix("<... ") {
            let Some((name, arguments)) = open.remove(thread) else { continue };
            moments.push(Moment::End(ended(name, arguments, resumed)));
        } else if let Some((name, arguments)) = rest.split_once('(') {
            let (name, arguments) = (name.to_owned(), arguments.to_owned());
            let begun = Call { name, arguments, failed: false, injected: false };
            let (name, arguments) = (begun.name.clone(), begun.arguments.clone());
            moments.push(Moment::Begin(begun));
            if arguments.ends_with("<unfinished ...>") {
                open.insert(thread, (name, arguments));
            } else {
                moments.push(Moment::End(ended(name, arguments.clone(), &arguments)));
            }
        }
    }
    moments
}

/// A call with the result that stands at the end of its line; `?` is that of a process that died.
fn ended(name: String, arguments: String, line: &str) -> Call {
    let result = line.rsplit_once(" = ").map_or("?", |(_, result)| result);
    let failed = result.starts_with("-1") || result.starts_with('?');
    Call { name, arguments, failed, injected: line.ends_with("(INJECTED)") }
}

/// The path of the first file descriptor: `11</path>`.
pub(crate) fn descriptor_path(arguments: &str) -> Option<PathBuf> {
    let (_, rest) = arguments.split_once('<')?;
    Some(PathBuf::from(rest.split_once('>')?.0))
}

/// Texts in quotes: the paths of calls that take paths.
pub(crate) fn quoted(arguments: &str) -> Vec<PathBuf> {
    arguments.split('"').skip(1).step_by(2).map(PathBuf::from).collect()
}

/// What a power cut could take, as the calls go by.
#[derive(Default)]
pub(crate) struct Disk {
    /// Files with bytes that no sync has covered.
    dirty: BTreeSet<PathBuf>,
    /// Names in folders that no sync of the folder has covered.
    unnamed: BTreeSet<PathBuf>,
    /// What a sync that has begun will cover when it ends.
    syncing: Vec<(PathBuf, BTreeSet<PathBuf>)>,
    /// Names of finished files.
    published: BTreeSet<PathBuf>,
    pub(crate) violations: Vec<String>,
}

impl Disk {
    pub(crate) fn watch(&mut self, moment: &Moment, project: &Path) {
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
                // That a run begins again relies on nothing that the dead one has left.
                let begins = call.arguments.contains(r#"\"event\":\"started\""#);
                if is_journal && !begins {
                    self.expect_names(project, "a line of the journal");
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, call: &Call, project: &Path) {
        let covered = match call.name.as_str() {
            "fsync" | "fdatasync" => self.synced(call),
            _ => None,
        };
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
                let Some((path, covered)) = covered else { return };
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

    /// The sync that has ended, well or badly, and what it was to cover.
    fn synced(&mut self, call: &Call) -> Option<(PathBuf, BTreeSet<PathBuf>)> {
        let path = descriptor_path(&call.arguments)?;
        let at = self.syncing.iter().position(|(syncing, _)| *syncing == path)?;
        Some(self.syncing.remove(at))
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
        let tracing = ["-y", "-o", &trace.to_string_lossy(), "-e", WATCHED];
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

/// A run that dies at a sync leaves names that no sync has covered. Whatever the next run finds and
/// relies on gets its lasting name first.
#[test]
fn r_05_names_that_a_dead_run_has_left_are_synced_before_they_are_used() {
    if !can_trace() {
        return;
    }
    let Some(postgres) = Postgres::start() else { return };
    let (mut deaths, every) = (0, if long_tests() { 1 } else { 3 });
    for at in (1..).step_by(every) {
        let shop = Golden::new(&postgres);
        let project = shop.project.path().canonicalize().unwrap();
        let trace = project.join("trace");
        let trace = trace.to_string_lossy();
        let mut disk = Disk::default();
        let kill = format!("inject=fsync:signal=KILL:when={at}");
        let tracing = ["-y", "-o", &trace, "-e", WATCHED, "-e", &kill];
        let died = traced(&shop.project, &tracing, &["--threads", "1", "run"]);
        if died.code == Some(0) {
            break;
        }
        deaths += 1;
        for moment in moments(&fs::read_to_string(&*trace).unwrap()) {
            disk.watch(&moment, &project);
        }
        // A sync that was going on when the process died has covered nothing.
        disk.syncing.clear();
        assert_eq!(disk.violations, Vec::<String>::new(), "dead at sync {at}");
        let tracing = ["-y", "-o", &trace, "-e", WATCHED];
        let ended = traced(&shop.project, &tracing, &["--threads", "1", "run"]);
        assert_eq!(ended.code, Some(0), "{}{}", ended.out, ended.err);
        for moment in moments(&fs::read_to_string(&*trace).unwrap()) {
            disk.watch(&moment, &project);
        }
        disk.expect_names(&project, "the end of the run");
        disk.violations.dedup();
        assert_eq!(disk.violations, Vec::<String>::new(), "after a death at sync {at}");
    }
    println!("names left by the dead: {deaths} deaths, 0 violations");
    assert!(deaths >= 4, "only {deaths} deaths");
}
