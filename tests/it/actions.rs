//! Pipelines with actions on the command line: rows move, actions are checked, told and left out.

use crate::program::Project;

const PIPELINE: &str = r#"affluent: 1
kind: pipeline
name: control
nodes:
  - {id: pause, use: wait, with: {for: 1h}}
  - {id: file, use: csv, after: [pause], with: {path: data/a.csv}}
  - {id: bronze, use: write_table, from: file, with: {table: bronze.a, mode: append}}
  - {id: any, use: if, after: [bronze], with: {condition: outputs.file.rows > 0}}
  - id: tell
    use: notify
    after: [any.then]
    with: {title: "{{ outputs.bronze.rows }} rows"}
"#;

fn project(pipeline: &str) -> Project {
    Project::new(&[("data/a.csv", "x\n1\n2\n"), ("pipelines/control.yaml", pipeline)])
}

#[test]
fn rows_move_and_actions_are_left_out() {
    let project = project(PIPELINE);
    project.ok(&["check"]);
    let said = project.ok(&["run"]);
    let left_out = "left out are `pause`, `any` and `tell`: actions run on a server";
    assert!(said.contains(left_out), "{said}");
    let rows = project.ok(&["query", "select count(*) as n from bronze.a", "--json"]);
    assert!(rows.contains("{\"n\":2}"), "{rows}");
    let explained = project.ok(&["explain", "control"]);
    assert!(explained.contains("action   any  (if)  after the data nodes"), "{explained}");
    assert!(explained.contains("action   tell  (notify)  after any.then"), "{explained}");
}

#[test]
fn a_pipeline_of_actions_has_nothing_to_run_here() {
    let text = "affluent: 1\nkind: pipeline\nname: control\nnodes:\n  \
                - {id: pause, use: wait, with: {for: 1h}}\n";
    let project = project(text);
    project.ok(&["check"]);
    let said = project.ok(&["run", "control"]);
    assert!(said.contains("left out are `pause`"), "{said}");
    assert!(said.contains("nothing to do"), "{said}");
    assert!(!project.path().join(".affluent/runs/control").exists());
}

#[test]
fn check_points_at_what_is_wrong_with_an_action() {
    let wrong = [
        ("after: [bronze], with: {condition", "after: [bronze], with: {conditio", 8),
        ("outputs.file.rows", "outputs.fiel.rows", 8),
        ("any.then", "any.than", 11),
        ("after: [pause]", "after: [any]", 6),
        ("{{ outputs.bronze.rows }}", "{{ outputs.bronze.rows }", 12),
        ("use: wait", "use: wiat", 5),
    ];
    for (right, written, line) in wrong {
        assert!(PIPELINE.contains(right), "{right}");
        let problem = project(&PIPELINE.replace(right, written)).problem(&["check"]);
        assert_eq!(problem["context"]["file"], "pipelines/control.yaml", "{written}: {problem}");
        let found = problem["context"]["line"].as_i64().unwrap();
        // A circle can be pointed at from either of its ends.
        assert!(found == line || written == "after: [any]", "{written}: {problem}");
        assert!(problem["hint"].is_string(), "{written}: {problem}");
    }
}
