//! What holds for every action: the conformance test, examples, and what leaves an action.

use super::*;
use crate::testing::{Fake, context, decide as ask, scope};
use contracts::action::{Allowed, Level};
use serde_json::json;

#[test]
fn modules_hold_to_the_rules() {
    contracts::testing::check(ALL);
}

#[tokio::test]
async fn examples_give_what_they_say() {
    let mut checked = 0;
    for entry in ALL {
        for example in entry.examples.iter().filter(|example| !example.outputs.is_empty()) {
            let mut scope = scope();
            for (part, json) in example.inputs {
                let value: Map<String, Value> = serde_json::from_str(json).unwrap();
                match *part {
                    "params" => scope.params = value,
                    "outputs" => scope.outputs = value,
                    other => panic!("`{}`: a scope has no `{other}`", entry.name),
                }
            }
            let config = serde_json::from_str(example.config).unwrap();
            let step = ask(entry.name, config, &scope, &Fake::default()).await.unwrap();
            let Step::Done { output, taken } = step else { panic!("`{}` is not done", entry.name) };
            for (part, expected) in example.outputs {
                match *part {
                    "output" => {
                        let expected: Value = serde_json::from_str(expected).unwrap();
                        assert_eq!(output, expected, "`{}`, {}", entry.name, example.title);
                    }
                    "branch" => {
                        let taken: Vec<&str> =
                            taken.iter().flatten().map(model::Name::as_str).collect();
                        assert_eq!(taken, [*expected], "`{}`, {}", entry.name, example.title);
                    }
                    other => panic!("`{}`: an action gives no `{other}`", entry.name),
                }
            }
            checked += 1;
        }
    }
    assert!(checked >= 6, "{checked}");
}

#[tokio::test]
async fn a_message_is_filled_in_and_fits() {
    let (fake, mut scope) = (Fake::default(), scope());
    scope.params.insert("who".to_owned(), json!("a\nb"));
    let text = "é".repeat(20_000);
    let config = json!({"title": "To {{ params.who }}", "text": text, "level": "warning"});
    ask("notify", config, &scope, &fake).await.unwrap();
    let messages = fake.messages();
    assert_eq!((messages[0].title.as_str(), messages[0].level), ("To a b", Level::Warning));
    assert!(messages[0].text.len() <= 16 * 1024);
}

#[tokio::test]
async fn problems_tell_node_pipeline_and_setting() {
    let config = json!({"title": "{{ params.nothing }}"});
    let problem = ask("notify", config, &scope(), &Fake::default()).await.unwrap_err();
    let place = problem.context();
    assert_eq!(place.pipeline.as_deref(), Some("control"));
    assert_eq!(place.node.as_deref(), Some("task"));
    assert_eq!(place.setting.as_deref(), Some("/title"));
}

#[tokio::test]
async fn an_output_has_a_limit() {
    let mut scope = scope();
    scope.params.insert("long".to_owned(), json!("x".repeat(600_000)));
    let config = json!({"values": {"a": "{{ params.long }}", "b": "{{ params.long }}"}});
    let problem = ask("set_output", config, &scope, &Fake::default()).await.unwrap_err();
    assert!(problem.is(&codes::SETTING_INVALID), "{problem}");
}

#[tokio::test]
async fn an_action_is_done_where_it_belongs() {
    let folder = tempfile::tempdir().unwrap();
    let (context, allowed) = (context(folder.path()), Allowed::default());
    let outside = Outside { context: &context, allowed: &allowed };
    for entry in ALL {
        let config = serde_json::from_str(entry.examples[0].config).unwrap();
        let Value::Object(with) = config else { panic!("`{}`", entry.name) };
        let mut scope = scope();
        scope.params = json!({"day": "d", "country": "FR"}).as_object().cloned().unwrap();
        scope.outputs = json!({"load": {"rows": 1}}).as_object().cloned().unwrap();
        let is_outside = prepare(entry, &with, &scope).unwrap().outside();
        let wrong = match is_outside {
            true => decide(entry, &with, &scope, &Fake::default()).await,
            false => perform(entry, &with, &scope, &outside).await,
        };
        assert!(wrong.unwrap_err().is(&codes::INTERNAL), "`{}`", entry.name);
    }
}
