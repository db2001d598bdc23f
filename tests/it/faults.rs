//! Faults before durable steps: how each is asked for, and what a run may answer to it.

use crate::program::{Ended, Project};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use stdx::durable::{EXIT_CODE, Fault};

/// What can happen before a durable step; `error+` is a disk that stays broken.
pub(crate) const FAULTS: &[&str] = &["kill", "exit", "panic", "error", "error+", "hang", "delay"];

/// How a run took a fault.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Struck {
    /// It has no such step.
    No,
    /// The process has gone, without a word or by force.
    Died,
    /// It failed with problems that name the place.
    Told,
    /// It went on to the end and says that all is done.
    Over,
}

/// The text by which the program is told: `error+` at 3 is `error@3+`.
fn asked(fault: &str, at: u64) -> String {
    let text = match fault.strip_suffix('+') {
        Some(kind) => format!("{kind}@{at}+"),
        None => format!("{fault}@{at}"),
    };
    text.parse::<Fault>().unwrap().to_string()
}

impl Project {
    /// Runs with a fault before durable step `at`, and checks how it ends.
    pub(crate) fn strike(&self, fault: &str, at: u64) -> Struck {
        let asked = asked(fault, at);
        let arguments = ["--json", "--fault", &asked, "run"];
        if fault == "hang" {
            return self.hangs(&arguments);
        }
        let ended = self.run(&arguments);
        let story = format!("{asked}: code {:?}\n{}\n{}", ended.code, ended.out, ended.err);
        if !ended.err.contains(" before durable step ") {
            assert_eq!(ended.code, Some(0), "{story}");
            return Struck::No;
        }
        match (fault, ended.code) {
            ("kill", None) | ("exit", Some(EXIT_CODE)) => Struck::Died,
            // A commit is looked up and sent again; whether it is there is compared afterwards.
            ("delay" | "error" | "panic", Some(0)) => Struck::Over,
            ("error" | "error+" | "panic", Some(_)) => {
                assert_told(&ended, fault == "panic", &story);
                Struck::Told
            }
            _ => panic!("{story}"),
        }
    }

    /// Runs until it hangs; then nobody else may run, and it is killed from outside.
    fn hangs(&self, arguments: &[&str]) -> Struck {
        let mut command = self.command(arguments);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        errors.read_line(&mut line).unwrap();
        if !line.starts_with("hang before durable step ") {
            errors.read_to_string(&mut line).unwrap();
            assert_eq!(child.wait().unwrap().code(), Some(0), "{arguments:?}: {line}");
            return Struck::No;
        }
        let problem = self.problem(&["run"]);
        assert_eq!(problem["code"], "run_locked", "{line}{problem}");
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().code(), None, "{line}");
        Struck::Died
    }
}

/// The run ended with problems alone: who is at fault, where it was, and the right exit code.
fn assert_told(ended: &Ended, panicked: bool, story: &str) {
    let problems: Vec<Value> = ended
        .err
        .lines()
        .filter(|line| !line.contains(" before durable step ") || line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}\nin {story}")))
        .collect();
    assert!(!problems.is_empty(), "no problem: {story}");
    for problem in &problems {
        let context = &problem["context"];
        assert_eq!(context["pipeline"], "golden", "{story}");
        let code = problem["code"].as_str().unwrap();
        if panicked {
            assert_eq!(code, "internal", "{story}");
            let detail = problem["detail"].as_str().unwrap_or_default();
            assert!(detail.contains("durable/fault.rs"), "the place is not told: {story}");
        } else {
            let known = ["storage_failed", "connection_failed", "commit_unknown"];
            assert!(known.contains(&code), "{code}: {story}");
            let place = context["node"].as_str().or(context["file"].as_str());
            assert!(place.is_some(), "neither node nor file: {story}");
            assert!(!ended.err.contains("panicked"), "{story}");
        }
    }
    assert_eq!(ended.code, Some(if panicked { 4 } else { 3 }), "{story}");
}
