//! Operations on far more data than the memory limit stay within it.

use crate::program::Project;
use crate::syscalls::long_tests;
use serde_json::Value;
use std::process::Command;
use std::time::Instant;

/// The limit given to the program, in MiB, and what its peak may lie above it.
const LIMIT_MIB: u64 = 64;
const ALLOWANCE_MIB: u64 = 300;

/// Runs a program and writes the peak of its memory, in KiB, as the last line of standard error.
const MEASURE: &str = "import os, sys\n\
    child = os.fork()\n\
    if child == 0: os.execv(sys.argv[1], sys.argv[1:])\n\
    _, status, used = os.wait4(child, 0)\n\
    print(used.ru_maxrss, file=sys.stderr)\n\
    sys.exit(os.waitstatus_to_exitcode(status))";

const MAKE: &str = r#"
affluent: 1
kind: pipeline
name: make
nodes:
  - id: rows
    use: generate
    with:
      rows: ROWS
      columns:
        id: {kind: sequence}
        part: {kind: integer, min: 1, max: 1000000}
        amount: {kind: decimal, min: 0, max: 1000}
        a: {kind: uuid}
        b: {kind: uuid}
        c: {kind: uuid}
        name: {kind: full_name}
        mail: {kind: email}
  - {id: kept, use: write_table, from: rows, with: {table: bronze.big, mode: overwrite}}
"#;

/// Rows of which 10 times the limit is made: about 260 bytes each in memory.
fn rows() -> u64 {
    let bytes_per_row = 260;
    let times = if long_tests() { 10 } else { 3 };
    times * (LIMIT_MIB << 20) / bytes_per_row
}

/// A pipeline that applies an operation to the big table and writes what comes out.
fn operation(name: &str, node: &str, sink: &str) -> String {
    format!(
        "affluent: 1\nkind: pipeline\nname: {name}\nnodes:\n  \
         - {{id: rows, use: table, with: {{table: bronze.big}}}}\n  \
         - {{id: done, {node}}}\n  \
         - {{id: kept, use: write_table, from: done, with: {{table: silver.{name}, {sink}}}}}\n"
    )
}

/// Runs under the limit; says what went wrong, if anything did.
fn run_within(project: &Project, pipeline: &str) -> Result<(), String> {
    let limit = LIMIT_MIB.to_string();
    let program = project.command(&["--memory", &limit, "run", pipeline]);
    let mut python = Command::new("python3");
    python.args(["-c", MEASURE]).arg(program.get_program()).args(program.get_args());
    let started = Instant::now();
    let output = python.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let peak = errors.lines().last().and_then(|line| line.trim().parse::<u64>().ok());
    let peak = peak.unwrap_or_else(|| panic!("{pipeline}: {errors}")) / 1024;
    println!("{pipeline}: peak {peak} MiB, {:.1} s", started.elapsed().as_secs_f64());
    if !output.status.success() {
        return Err(format!("{pipeline}: {errors}"));
    }
    match peak <= LIMIT_MIB + ALLOWANCE_MIB {
        true => Ok(()),
        false => Err(format!("{pipeline}: {peak} MiB")),
    }
}

#[test]
fn memory_stays_within_the_limit_on_data_many_times_as_large() {
    let rows = rows();
    let project =
        Project::new(&[("pipelines/make.yaml", &MAKE.replace("ROWS", &rows.to_string()))]);
    project.ok(&["--memory", "1024", "run", "make"]);
    let overwrite = "mode: overwrite";
    let merge = "mode: merge, key: [id]";
    let same = "use: filter, from: rows, with: {where: \"id > 0\"}";
    let join = "use: join, from: {left: rows, right: rows}, with: {kind: inner, on: [id]}";
    let operations = [
        ("append", same, "mode: append"),
        ("sort", "use: sort, from: rows, with: {order_by: [a]}", overwrite),
        (
            "aggregate",
            "use: aggregate, from: rows, with: {group_by: [a], \
             aggregations: {n: \"count(*)\", last: \"max(b)\"}}",
            overwrite,
        ),
        (
            "deduplicate",
            "use: deduplicate, from: rows, with: {keys: [a], keep: last, order_by: [id]}",
            overwrite,
        ),
        (
            "validate",
            "use: validate, from: rows, with: {checks: [{unique: [a], order_by: id}]}",
            overwrite,
        ),
        ("join", join, overwrite),
        ("merge", same, merge),
    ];
    let mut problems = Vec::new();
    for (name, node, sink) in operations {
        project.write(&format!("pipelines/{name}.yaml"), operation(name, node, sink));
        let ended = run_within(&project, name);
        if !ended.as_ref().is_err_and(|problem| problem.contains("error")) {
            let kept = project.value(&format!("select count(*) from silver.{name}"));
            assert_eq!(kept, Value::from(rows), "{name}");
        }
        problems.extend(ended.err());
    }
    assert_eq!(problems, Vec::<String>::new(), "limit {LIMIT_MIB} + {ALLOWANCE_MIB} MiB");
}

/// Rows that go through the disk are written once, not once for each part of them.
#[test]
fn deduplicating_more_than_memory_takes_little_disk() {
    let rows = 400_000;
    let project =
        Project::new(&[("pipelines/make.yaml", &MAKE.replace("ROWS", &rows.to_string()))]);
    project.write("affluent.yaml", "affluent: 1\nname: test\nlimits: {spill_mib: 400}\n");
    project.ok(&["run", "make"]);
    let node = "use: deduplicate, from: rows, with: {keys: [a], keep: last, order_by: [id]}";
    project.write("pipelines/once.yaml", operation("once", node, "mode: overwrite"));
    project.ok(&["--memory", "32", "run", "once"]);
    assert_eq!(project.value("select count(*) from silver.once"), rows);
    // Keys that come again in other batches, and so from the disk.
    let node = "use: deduplicate, from: rows, with: {keys: [part], keep: last, order_by: [id]}";
    project.write("pipelines/newest.yaml", operation("newest", node, "mode: overwrite"));
    project.ok(&["--memory", "32", "run", "newest"]);
    let newest = "select part, max(id) as id from bronze.big group by part";
    let same = format!("select count(*) from silver.newest join ({newest}) as m using (part, id)");
    let keys = project.value("select count(distinct part) from bronze.big");
    assert!(keys.as_u64().is_some_and(|keys| keys < rows));
    assert_eq!(project.value("select count(*) from silver.newest"), keys);
    assert_eq!(project.value(&same), keys);
}
