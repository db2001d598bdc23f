//! Programs that are run, that fail, that go on too long, and that are not allowed.

use super::*;
use crate::testing::{context, scope};
use contracts::action::Allowed;
use std::fs;
use std::time::Instant;

async fn run(config: Value, allowed: bool) -> Result<Value> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("here.txt"), "x").unwrap();
    let context = context(folder.path());
    let allowed = Allowed { shell: allowed, private_hosts: Vec::new() };
    let outside = Outside { context: &context, allowed: &allowed };
    let entry = contracts::Entry::action::<Shell>();
    let mut scope = scope();
    scope.params.insert("day".to_owned(), json!("it's \"$(date)\""));
    match crate::perform(&entry, config.as_object().unwrap(), &scope, &outside).await? {
        Step::Done { output, taken: None } => Ok(output),
        step => panic!("{step:?}"),
    }
}

async fn sh(script: &str) -> Result<Value> {
    run(json!({"command": "sh", "args": ["-c", script], "timeout": "20s"}), true).await
}

#[tokio::test]
async fn a_program_runs_in_the_project_with_the_environment_it_is_given() {
    let config = json!({"command": "sh", "env": {"A": "1"},
                        "args": ["-c", "ls; env | sort; echo \"$1\"; echo oh >&2", "sh",
                                 "{{ params.day }}"]});
    let output = run(config, true).await.unwrap();
    assert_eq!((&output["code"], &output["stderr"]), (&json!(0), &json!("oh")));
    let said = output["stdout"].as_str().unwrap();
    let lines: Vec<&str> = said.lines().filter(|line| !line.starts_with("PWD=")).collect();
    // A shell adds these two by itself.
    let lines: Vec<&str> =
        lines.into_iter().filter(|l| !l.starts_with("_=") && !l.starts_with("SHLVL=")).collect();
    let path = format!("PATH={PATH}");
    assert_eq!(lines, ["here.txt", "A=1", "LANG=C.UTF-8", &path, "it's \"$(date)\""]);
}

#[tokio::test]
async fn nothing_is_run_where_it_is_not_allowed() {
    let problem = run(json!({"command": "true"}), false).await.unwrap_err();
    assert!(problem.is(&codes::ACTION_REFUSED), "{problem}");
}

#[tokio::test]
async fn failures_tell_what_the_program_said() {
    let problem = sh("echo reason >&2; exit 3").await.unwrap_err();
    assert!(problem.is(&codes::CHILD_FAILED), "{problem}");
    assert_eq!(problem.detail_text(), Some("reason"));
    let config = json!({"command": "sh", "args": ["-c", "exit 3"], "success": [0, 3]});
    assert_eq!(run(config, true).await.unwrap()["code"], 3);
    let problem = run(json!({"command": "./nothing"}), true).await.unwrap_err();
    assert_eq!(problem.message(), "`./nothing` does not start");
    assert!(sh("kill -9 $$").await.is_err());
}

#[tokio::test]
async fn what_goes_on_too_long_is_killed_with_what_it_has_started() {
    let began = Instant::now();
    let script = "sleep 60 & echo $! >&2; wait";
    let config = json!({"command": "sh", "args": ["-c", script], "timeout": "300ms"});
    let problem = run(config, true).await.unwrap_err();
    assert!(problem.message().contains("has not ended within 300ms"), "{problem}");
    let grandchild = problem.detail_text().unwrap().trim().to_owned();
    let stat = fs::read_to_string(format!("/proc/{grandchild}/stat")).unwrap_or_default();
    assert!(stat.is_empty() || stat.contains(") Z "), "{stat}");
    // A program that ends and leaves somebody behind does not hold the action up.
    assert_eq!(sh("sleep 60 & echo done").await.unwrap()["stdout"], "done");
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn only_the_end_of_much_output_is_kept() {
    let output = sh("yes abcdefg | head -c 1000000; printf end").await.unwrap();
    let said = output["stdout"].as_str().unwrap();
    assert!(said.len() <= OUTPUT_BYTES_MAX && said.ends_with("end"));
}

#[tokio::test]
async fn printed_json_can_be_read() {
    let config = |script: &str| json!({"command": "sh", "args": ["-c", script], "json": true});
    let output = run(config("echo '{\"rows\": 7}'"), true).await.unwrap();
    assert_eq!(output["json"]["rows"], 7);
    let problem = run(config("echo text"), true).await.unwrap_err();
    assert_eq!(problem.message(), "`sh` did not print one JSON value");
}

#[tokio::test]
async fn a_folder_outside_of_the_project_is_refused() {
    let problem = run(json!({"command": "true", "dir": "../.."}), true).await.unwrap_err();
    assert!(problem.is(&codes::PATH_REFUSED), "{problem}");
}
