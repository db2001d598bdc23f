//! Disks that report errors: every sync, name and write fails once. The run says so or overcomes
//! it, never says that something is done which is not, and the next run mends it.

use crate::crash::{Golden, State, calm};
use crate::program::{Ended, Project};
use crate::syscalls::{Disk, Moment, WATCHED, can_trace, long_tests, moments, traced};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::Postgres;

/// Calls go to threads differently each time: only so many runs in a row without one end a sweep.
const MISSES_IN_A_ROW: usize = 2;

/// Calls that the kernel refuses, how, and what the problem is called then.
const REFUSALS: &[(&str, &str, &str)] = &[
    ("fsync", "EIO", "storage_failed"),
    ("fdatasync", "EIO", "storage_failed"),
    ("linkat", "EIO", "storage_failed"),
    ("rename", "EIO", "storage_failed"),
    ("fsync", "ENOSPC", "storage_full"),
    ("linkat", "ENOSPC", "storage_full"),
    ("mkdir", "ENOSPC", "storage_full"),
];

/// What a failed run says: problems with this code that name a node or a file.
fn assert_told(ended: &Ended, code: &str, story: &str) {
    assert_eq!(ended.code, Some(3), "{story}: {}{}", ended.out, ended.err);
    let lines = ended.err.lines().filter(|line| line.starts_with('{'));
    let problems: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!problems.is_empty(), "{story}: no problem in {}", ended.err);
    for problem in problems {
        assert_eq!(problem["code"], code, "{story}: {problem}");
        let context = &problem["context"];
        let is_placed = context["node"].is_string() || context["file"].is_string();
        let names_state = problem["message"].as_str().unwrap().contains("/.affluent`");
        assert!(is_placed || names_state, "{story}: {problem}");
    }
    assert!(!ended.err.contains("panicked"), "{story}: {}", ended.err);
}

/// Runs with the N-th call of a kind refused, then in peace. How it ended; none when no call was.
fn refused(
    postgres: &Postgres,
    refusal: (&str, &str, &str),
    at: usize,
    expected: &State,
) -> Option<&'static str> {
    let (call, error, code) = refusal;
    let shop = Golden::new(postgres);
    let project = shop.project.path().canonicalize().unwrap();
    let trace = project.join("trace");
    let inject = format!("inject={call}:error={error}:when={at}");
    let tracing = ["-y", "-o", &trace.to_string_lossy(), "-e", WATCHED, "-e", &inject];
    let ended = traced(&shop.project, &tracing, &["--json", "--threads", "1", "run"]);
    let mut disk = Disk::default();
    let mut hits: Vec<PathBuf> = Vec::new();
    for moment in moments(&fs::read_to_string(&trace).unwrap()) {
        disk.watch(&moment, &project);
        if let Moment::End(call) = moment {
            hits.extend(call.injected.then(|| call.paths()).into_iter().flatten());
        }
    }
    let story = format!("{call} {at} reports {error} for {hits:?}");
    // Whatever was relied on in this run has lasted.
    assert_eq!(disk.violations, Vec::<String>::new(), "{story}");
    if hits.is_empty() {
        assert_eq!(ended.code, Some(0), "{story}: {}", ended.err);
        return None;
    }
    let how = match ended.code {
        Some(0) => "overcome",
        _ => {
            assert_told(&ended, code, &story);
            shop.project.ok(&["run"]);
            "told"
        }
    };
    shop.assert_like(expected, &story);
    Some(how)
}

#[test]
fn r_06_a_sync_or_a_name_that_fails_is_never_an_acknowledgement() {
    if !can_trace() {
        return;
    }
    let Some(postgres) = Postgres::start() else { return };
    let [expected, _] = calm(&postgres);
    let (mut told, mut overcome) = (0, 0);
    for (number, refusal) in REFUSALS.iter().enumerate() {
        let every = if long_tests() { 1 } else { 2 + number };
        let mut misses = 0;
        for at in (1..).step_by(every) {
            match refused(&postgres, *refusal, at, &expected) {
                Some("told") => told += 1,
                Some(_) => overcome += 1,
                None => misses += 1,
            }
            if misses == MISSES_IN_A_ROW {
                break;
            }
        }
    }
    println!("failing syncs and names: {told} told, {overcome} overcome, 0 violations");
    assert!(told >= 8, "only {told} errors were told");
}

/// How a write fails, and what the problem is called; none when nobody may notice.
const WRITES: &[(&str, Option<&str>)] = &[
    ("EIO", Some("storage_failed")),
    ("full", Some("storage_full")),
    ("ENOSPC", Some("storage_full")),
    ("zero", Some("storage_failed")),
    ("short", None),
    ("EINTR", None),
];

/// The library that makes writes fail; none without a C compiler.
fn failing_writes(dir: &Path) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/it/failing_writes.c");
    let library = dir.join("failing_writes.so");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .status();
    match compiled {
        Ok(status) => {
            assert!(status.success(), "{} does not compile", source.display());
            Some(library)
        }
        Err(_) => {
            testkit::skip("a C compiler");
            None
        }
    }
}

/// Runs with the N-th write of a kind failing. None when the run has no such write.
fn with_failing_write(
    project: &Project,
    library: &Path,
    (call, how, at): (&str, &str, usize),
    code: Option<&str>,
) -> Option<&'static str> {
    let mut command = project.command(&["--json", "--threads", "1", "run"]);
    command.env("LD_PRELOAD", library).env("FAIL_BELOW", project.path().canonicalize().unwrap());
    command.env("FAIL_CALL", call).env("FAIL_AT", at.to_string()).env("FAIL_HOW", how);
    let ended = Ended::from(command.output().unwrap());
    let hit = ended.err.lines().find(|line| line.starts_with(&format!("{how} fails: ")));
    let story = format!("{call} {at}: {hit:?}");
    if hit.is_none() {
        assert_eq!(ended.code, Some(0), "{story}: {}", ended.err);
        return None;
    }
    match (ended.code, code) {
        (Some(0), _) => Some("overcome"),
        (_, Some(code)) => {
            assert_told(&ended, code, &story);
            Some("told")
        }
        (_, None) => panic!("{story}: {}{}", ended.out, ended.err),
    }
}

#[test]
fn r_06_a_write_that_fails_or_is_cut_short_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let Some(library) = failing_writes(dir.path()) else { return };
    let Some(postgres) = Postgres::start() else { return };
    let [expected, _] = calm(&postgres);
    let (mut told, mut overcome) = (0, 0);
    for (number, (how, code)) in WRITES.iter().enumerate() {
        // Without the long tests every write fails once, in turn by each of the ways.
        let (first, every) = if long_tests() { (1, 1) } else { (1 + number, WRITES.len()) };
        for at in (first..).step_by(every) {
            let shop = Golden::new(&postgres);
            match with_failing_write(&shop.project, &library, ("write", how, at), *code) {
                Some("told") => {
                    shop.project.ok(&["run"]);
                    told += 1;
                }
                Some(_) => overcome += 1,
                None => break,
            }
            shop.assert_like(&expected, &format!("write {at}: {how}"));
        }
    }
    println!("failing writes: {told} told, {overcome} overcome, 0 violations");
    assert!(told >= 8 && overcome >= 4, "{told} told, {overcome} overcome");
}

/// Large enough for files that are written in parts.
const LARGE: &str = r#"
affluent: 1
kind: pipeline
name: golden
nodes:
  - id: rows
    use: generate
    with: {rows: 400000, columns: {id: {kind: sequence}, a: {kind: uuid}, b: {kind: uuid}}}
  - {id: kept, use: write_table, from: rows, with: {table: bronze.large, mode: append}}
"#;

#[test]
fn r_06_a_part_of_a_large_file_that_fails_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let Some(library) = failing_writes(dir.path()) else { return };
    let (mut told, mut overcome) = (0, 0);
    for (number, (how, code)) in WRITES.iter().enumerate() {
        let (first, every) = if long_tests() { (1, 1) } else { (1 + number % 2, WRITES.len()) };
        for at in (first..).step_by(every) {
            let project = Project::new(&[("pipelines/golden.yaml", LARGE)]);
            match with_failing_write(&project, &library, ("pwrite64", how, at), *code) {
                Some("told") => {
                    project.ok(&["run"]);
                    told += 1;
                }
                Some(_) => overcome += 1,
                None => break,
            }
            let sums = "select count(*) as n, sum(id) as s, count(distinct a) as a, \
                        count(distinct b) as b from bronze.large";
            let found = project.query(sums);
            let found: Vec<&Value> = found[0].as_object().unwrap().values().collect();
            assert_eq!(found, [400_000_u64, 80_000_200_000, 400_000, 400_000], "{how} {at}");
        }
    }
    println!("failing parts of files: {told} told, {overcome} overcome, 0 violations");
    assert!(told >= 3 && overcome >= 2, "{told} told, {overcome} overcome");
}
