//! `affluent test`: pipelines on the rows of `tests/*.yaml`, compared with what is expected.

mod compare;
mod given;

use super::{Outcome, Session};
use crate::output::{Colour, ExitCode, Output, duration};
use crate::workbench::Workbench;
use clap::Args;
use compare::Difference;
use contracts::source::Sample;
use engine::graph::Graph;
use engine::params::sample_params;
use engine::trial::{Trial, TrialOutcome};
use model::test::Test;
use model::yaml::Document;
use model::{DataType, Name, Problem, Result, codes};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;
use stdx::clock::{Clock, SystemClock};

/// Rows and bytes that a source of a test reads at most: tests are small.
const SAMPLE: Sample = Sample { rows: 1_000_000, bytes: 256 << 20 };

const EXAMPLES: &str = "\
Examples:\n\
\x20 affluent test\n\
\x20 affluent test french_dates";

/// Arguments of `affluent test`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Only tests with this name, or of this pipeline
    pub names: Vec<String>,
}

/// A test with the document it was read from.
struct TestFile {
    test: Test,
    document: Document,
}

/// How a test ended, for programs.
#[derive(Debug, Serialize)]
struct Report {
    test: String,
    pipeline: String,
    passed: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    differences: Vec<Difference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Value>,
    ms: u64,
}

pub(crate) async fn execute(session: &Session, arguments: Arguments) -> Outcome {
    let workbench = session.open()?;
    let mut files = load(&workbench.context.project)?;
    choose(&mut files, &arguments.names).map_err(|problem| vec![problem])?;
    if files.is_empty() {
        session.output.line("there are no tests; write one as `tests/NAME.yaml`");
        return Ok(ExitCode::Done);
    }
    let mut failed = Vec::new();
    for file in &files {
        let started = Instant::now();
        let outcome = run(session, &workbench, file).await;
        let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        failed.extend(tell(session.output, file, outcome, ms));
    }
    if failed.is_empty() {
        let tests = if files.len() == 1 { "test" } else { "tests" };
        session.output.line(format!("{} {tests} passed", files.len()));
        return Ok(ExitCode::Done);
    }
    let fact = format!("{} of {} tests failed", failed.len(), files.len());
    let problem = Problem::new(&codes::TEST_FAILED, fact).detail(stdx::text::list(failed));
    Err(vec![problem.hint("mend the pipeline, or what the test expects, and run it again")])
}

/// Prints how a test ended; gives its name when it failed.
fn tell(
    output: Output,
    file: &TestFile,
    outcome: Result<Vec<Difference>, Vec<Problem>>,
    ms: u64,
) -> Option<&str> {
    let test = &file.test;
    let passed = outcome.as_ref().is_ok_and(Vec::is_empty);
    let (word, colour) = if passed { ("ok", Colour::Green) } else { ("FAILED", Colour::Red) };
    output.line(format!("{}  {}  {}", output.paint(colour, word), test.name, duration(ms)));
    let mut report = Report {
        test: test.name.to_string(),
        pipeline: test.pipeline.to_string(),
        passed,
        differences: Vec::new(),
        problem: None,
        ms,
    };
    match outcome {
        Ok(differences) => {
            for difference in &differences {
                output.raw_for_people(&compare::text(difference, output));
            }
            report.differences = differences;
        }
        Err(problems) => {
            for problem in &problems {
                let text = crate::output::describe(problem, output.terminal);
                output.line(format!("  {}", text.replace('\n', "\n  ")));
            }
            report.problem = problems.first().map(|problem| json!(problem.to_stored()));
        }
    }
    output.value(&report);
    (!passed).then_some(test.name.as_str())
}

/// Every test document below `tests/`, in the order of their paths.
fn load(project: &Path) -> Result<Vec<TestFile>, Vec<Problem>> {
    let mut paths = Vec::new();
    find(&project.join("tests"), &mut paths).map_err(|problem| vec![problem])?;
    paths.sort();
    let mut files: Vec<TestFile> = Vec::new();
    let mut problems = Vec::new();
    for path in paths {
        let shown = path.strip_prefix(project).unwrap_or(&path).display().to_string();
        let read = fs::read_to_string(&path).map_err(|error| unreadable(&path, &error));
        let parsed = read
            .and_then(|text| Document::parse(&shown, &text))
            .and_then(|document| Ok(TestFile { test: document.read("")?, document }));
        match parsed {
            Ok(file) if files.iter().any(|other| other.test.name == file.test.name) => {
                let fact = format!("two tests are called `{}`", file.test.name);
                let problem = Problem::new(&codes::NAME_TAKEN, fact);
                let problem = problem.hint("give one of them another name");
                problems.push(file.document.locate(problem, "/name"));
            }
            Ok(file) => files.push(file),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(files) } else { Err(problems) }
}

fn find(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder).map_err(|error| unreadable(folder, &error))?.flatten() {
        let path = entry.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if path.is_dir() {
            find(&path, paths)?;
        } else if matches!(extension, Some("yaml" | "yml")) {
            paths.push(path);
        }
    }
    Ok(())
}

fn unreadable(path: &Path, error: &std::io::Error) -> Problem {
    Problem::new(&codes::FILE_UNREADABLE, format!("`{}` cannot be read", path.display()))
        .detail(error)
}

fn choose(files: &mut Vec<TestFile>, names: &[String]) -> Result<()> {
    let is_meant = |file: &TestFile, name: &String| {
        file.test.name.as_str() == name || file.test.pipeline.as_str() == name
    };
    for name in names {
        if !files.iter().any(|file| is_meant(file, name)) {
            let known: Vec<&str> = files.iter().map(|file| file.test.name.as_str()).collect();
            let hint = match stdx::text::nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if known.is_empty() => "write one as `tests/NAME.yaml`".to_owned(),
                None => format!("tests are {}", stdx::text::list(known)),
            };
            return Err(Problem::new(&codes::NAME_UNKNOWN, format!("there is no test `{name}`"))
                .arg("test", name)
                .hint(hint));
        }
    }
    files.retain(|file| names.is_empty() || names.iter().any(|name| is_meant(file, name)));
    Ok(())
}

/// Runs a test in a lake of its own, which is thrown away.
async fn run(
    session: &Session,
    workbench: &Workbench,
    file: &TestFile,
) -> Result<Vec<Difference>, Vec<Problem>> {
    let name = format!("{}-{}", file.test.name, std::process::id());
    let lake = workbench.context.state.join("tests").join(name);
    let outcome = run_in(session, &lake, file).await;
    // What is left behind is in `.affluent` and is found by the next cleaning.
    let _ = fs::remove_dir_all(&lake);
    outcome
}

async fn run_in(
    session: &Session,
    lake: &Path,
    file: &TestFile,
) -> Result<Vec<Difference>, Vec<Problem>> {
    let test = &file.test;
    let workbench = Workbench::open_on(&session.settings, lake)?;
    let at = |problem: Problem, pointer: &str| vec![file.document.locate(problem, pointer)];
    let pipeline = workbench.folder.pipeline(test.pipeline.as_str());
    let mut pipeline = pipeline.map_err(|problem| at(problem, "/pipeline"))?.clone();
    given::check(&pipeline.pipeline, test).map_err(|(p, pointer)| at(p, &pointer))?;
    given::put_files_in_place(&mut pipeline.pipeline, test);
    let graph = workbench.graph(&pipeline)?;
    let mut targets = Vec::new();
    for port in test.expect.keys() {
        let found = graph.find(&port.node).map_err(|problem| at(problem, "/expect"))?;
        given::check_port(&graph, found, port).map_err(|problem| at(problem, "/expect"))?;
        targets.push(found);
    }
    given::fill_tables(&workbench, test).await.map_err(|(p, pointer)| at(p, &pointer))?;
    let given = given::rows(&workbench, &graph, test, &targets).await;
    let given = given.map_err(|(problem, pointer)| at(problem, &pointer))?;
    let outcome = trial(&workbench, &graph, test, given, &targets).await;
    let outcome = outcome.map_err(|problem| {
        vec![match problem.is(&codes::TABLE_NOT_FOUND) {
            true => problem.hint("a test starts with an empty lake: give rows under `tables:`"),
            false => problem,
        }]
    })?;
    let mut differences = Vec::new();
    for (port, target) in test.expect.keys().zip(&targets) {
        let got = outcome.port(*target, port.port.as_str());
        let expected = &test.expect[port];
        let found = compare::compare(port, expected, &got.batches, test.ordered);
        differences.extend(found.map_err(|problem| at(problem, "/expect"))?);
    }
    Ok(differences)
}

async fn trial(
    workbench: &Workbench,
    graph: &Graph,
    test: &Test,
    given: BTreeMap<Name, contracts::Batches>,
    targets: &[usize],
) -> Result<TrialOutcome> {
    let now = match &test.now {
        Some(text) => chrono::DateTime::parse_from_rfc3339(text).map_err(|error| {
            Problem::new(&codes::SETTING_INVALID, format!("`now: {text}` is not an instant"))
                .detail(error)
                .hint("write it as 2026-01-31T08:00:00Z")
        })?,
        None => {
            chrono::DateTime::from_timestamp_micros(SystemClock.now_us()).unwrap_or_default().into()
        }
    };
    let mut params = sample_params(graph);
    for (name, value) in &test.params {
        let Some(param) = params.get_mut(name.as_str()) else {
            let fact = format!("pipeline `{}` has no parameter `{name}`", test.pipeline);
            let known = graph.pipeline.params.keys().map(Name::as_str);
            return Err(Problem::new(&codes::NAME_UNKNOWN, fact)
                .hint(format!("its parameters are {}", stdx::text::list(known))));
        };
        param.value = value.clone();
    }
    let instant = now.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    for name in ["run_time", "interval_start", "interval_end"] {
        if let Some(param) = params.get_mut(name)
            && param.data_type == DataType::Timestamp
            && param.value.is_null()
        {
            param.value = json!(instant);
        }
    }
    let trial = Trial {
        graph,
        context: &workbench.context,
        query: &workbench.query,
        given,
        number_given: true,
        sample: SAMPLE,
        params,
        now_us: now.timestamp_micros(),
    };
    trial.run(targets).await
}
