//! What expressions and templates give, and what they refuse.

use super::*;
use crate::testing::scope;
use proptest::prelude::*;
use serde_json::json;

fn words() -> Words {
    let mut scope = scope();
    scope.params = json!({"day": "2026-01-31", "n": 3, "none": null}).as_object().cloned().unwrap();
    scope.outputs = json!({
        "(data)": {"load": {"rows": 7}},
        "list": {"files": ["a.csv", "b.csv"], "runs": [{"id": "x"}, {"id": "y"}]},
    })
    .as_object()
    .cloned()
    .unwrap();
    scope.interval_us = Some((0, 86_400_000_000));
    Words::of(&scope)
}

fn filled(text: &str) -> Value {
    fill_text(text, &words()).unwrap()
}

fn refused(text: &str) -> String {
    let problem = fill_text(text, &words()).unwrap_err();
    assert!(problem.hint_text().is_some(), "{problem}");
    problem.message().to_owned()
}

#[test]
fn texts_are_filled_in_and_single_expressions_keep_their_type() {
    let cases = [
        ("as it is", json!("as it is")),
        ("{{ outputs.load.rows }}", json!(7)),
        (" {{ outputs.load.rows }}\n", json!(7)),
        ("{{ outputs.list.files }}", json!(["a.csv", "b.csv"])),
        ("{{ params.none }}", json!(null)),
        ("{{ outputs.load.rows > params.n }}", json!(true)),
        ("{{ outputs.load.rows }}{{ params.n }}", json!("73")),
        ("{{ params.day }}: {{ outputs.load.rows }} rows", json!("2026-01-31: 7 rows")),
        ("{{ {'a': {'b': 1}} }}", json!({"a": {"b": 1}})),
        ("{{ '}}' }} {{ '{{' }}", json!("}} {{")),
        ("{% not a block %} {# nor this #}", json!("{% not a block %} {# nor this #}")),
        ("{{ outputs.list.runs | map(attribute='id') | join('+') }}", json!("x+y")),
        ("{{ interval.start | date('%d.%m.%Y') }}", json!("01.01.1970")),
        ("{{ params.day | date('%Y/%m') }}", json!("2026/01")),
        ("{{ outputs.skipped.rows | default(0) }}", json!(0)),
        ("{{ 6 | times(7) }} {{ 'aXa' | replace('a', 'b') }}", json!("42 bXb")),
        ("{{ 'x' if params.n == 3 else 'y' }}", json!("x")),
        ("{{ run.id | length }}", json!(26)),
        ("{{ outputs.list.files[-1] }}", json!("b.csv")),
        ("**{{ params.n }}** * **{{ params.n }}**", json!("**3** * **3**")),
    ];
    for (text, expected) in cases {
        assert_eq!(filled(text), expected, "{text}");
    }
}

#[test]
fn mistakes_are_told_in_words() {
    let cases = [
        ("{{ params.dya }}", "`params.dya` reads something that is not there"),
        ("{{ nothing }}", "`nothing` reads something that is not there"),
        ("{{ outputs.skipped.rows }}", "`outputs.skipped.rows` reads something that is not there"),
        ("on {{ params.none }}", "`params.none` is null and stands in a text"),
        ("{{ params.day", "`{{ params.day` is not closed"),
        ("{{ params. }}", "`params.` cannot be understood"),
        ("{{ params.day | uper }}", "there is no filter `uper`"),
        ("{{ range(3) }}", "`range(3)` calls a function, and there are none"),
        ("{{ 'a' * 3 }}", "`'a' * 3` multiplies, which expressions cannot"),
        ("{{ 1 / 0 }}", "`1 / 0` cannot be computed"),
        ("{{ params.day | date('%!') }}", "`params.day | date('%!')` cannot be computed"),
    ];
    for (text, expected) in cases {
        assert_eq!(refused(text), expected, "{text}");
    }
}

#[test]
fn little_cannot_be_made_into_much() {
    let long = "x".repeat(1000);
    let grown = format!("{{{{ '{long}' | replace('x', '{long}') | replace('x', '{long}') }}}}");
    let many = format!("{{{{ {} params.n }}}}", "params.n + ".repeat(1000));
    for text in [grown, many] {
        let problem = fill_text(&text, &words()).unwrap_err();
        assert!(problem.is(&codes::TEMPLATE_INVALID), "{problem}");
    }
}

#[test]
fn a_condition_is_true_or_false() {
    assert!(
        holds("outputs.load.rows > 0 and params.day is startingwith '2026'", &words()).unwrap()
    );
    assert!(!holds("outputs.load.rows in [1, 2]", &words()).unwrap());
    let problem = holds("outputs.load.rows", &words()).unwrap_err();
    assert_eq!(problem.message(), "`outputs.load.rows` is a number, not true or false");
}

#[test]
fn settings_are_filled_in_where_they_stand() {
    let with = json!({"a": ["{{ params.n }}", {"b": "{{ params.day }}!"}], "c": "{{ raw }}"});
    let with = with.as_object().unwrap();
    let filled = fill_settings(with, &["c"], &words()).unwrap();
    assert_eq!(json!(filled), json!({"a": [3, {"b": "2026-01-31!"}], "c": "{{ raw }}"}));
    let wrong = json!({"a": ["x", {"b": "{{ params.nope }}"}]});
    let (path, _) = fill_settings(wrong.as_object().unwrap(), &[], &words()).unwrap_err();
    assert_eq!(path, "/a/1/b");
}

#[test]
fn what_templates_read_is_known_before_they_are_filled_in() {
    let value =
        json!({"a": ["{{ outputs.load.rows }} {{ params.n | default(params.m) }}"], "b": 1});
    let found = references(&value).unwrap();
    let found: Vec<(&str, &str)> = found.iter().map(|(p, r)| (p.as_str(), r.as_str())).collect();
    assert_eq!(found, [("/a/0", "outputs.load.rows"), ("/a/0", "params.m"), ("/a/0", "params.n")]);
    let (path, problem) = references(&json!(["ok", "{{ 1 + }}"])).unwrap_err();
    assert_eq!((path.as_str(), problem.message()), ("/1", "`1 +` cannot be understood"));
}

proptest! {
    #[test]
    fn any_text_gives_a_value_or_a_problem(text in "[{}%#'\"a-z*|. \\\\\\[\\]()0-9\n-]{0,40}") {
        match fill_text(&text, &words()) {
            Ok(Value::String(filled)) if !text.contains("{{") => prop_assert_eq!(filled, text),
            Ok(_) => {}
            Err(problem) => prop_assert!(problem.hint_text().is_some()),
        }
    }

    #[test]
    fn parts_put_together_are_the_text(text in "[{}'a \\\\]{0,24}") {
        if let Ok(parts) = parts(&text) {
            let mut whole = String::new();
            for part in &parts {
                match part {
                    Part::Text(text) => whole.push_str(text),
                    Part::Expression { text, .. } => whole.push_str(&format!("{{{{{text}}}}}")),
                }
            }
            let is_alone = matches!(parts[..], [Part::Expression { .. }]);
            prop_assert_eq!(whole, if is_alone { text.trim() } else { text.as_str() });
        }
    }
}
