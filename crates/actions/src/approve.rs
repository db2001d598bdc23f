//! `approve`: a person says yes or no, and fills in a form.

use async_trait::async_trait;
use chrono::NaiveDate;
use contracts::Example;
use contracts::action::{
    Action, ActionModule, Answer, Field, FieldKind, Form, Scope, Services, Step,
};
use model::{Name, Problem, Result, Role, Span, codes};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

const FIELDS_MAX: usize = 50;
const VALUE_BYTES_MAX: usize = 16 * 1024;

/// Settings of `approve`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// What it is about, in a line.
    title: String,
    /// What the person should know, in Markdown.
    #[serde(default)]
    text: String,
    /// What the person fills in.
    #[serde(default)]
    form: Vec<Field>,
    /// The least role of those who may answer; all who may start the pipeline when none is given.
    #[serde(default)]
    role: Option<Role>,
    /// How long to wait for an answer, such as `2d`; then the node fails.
    #[serde(default)]
    timeout: Option<Span>,
}

/// The module.
pub(crate) struct Approve;

impl ActionModule for Approve {
    type Config = Settings;
    const NAME: &'static str = "approve";
    const SUMMARY: &'static str =
        "Waits until a person says yes; when the person says no, the node fails.";
    const EXAMPLES: &'static [Example] = &[Example {
        title: "ask before something is published",
        config: r#"{"title": "Publish the sales of {{ params.day }}?", "role": "editor",
                    "text": "{{ outputs.load.rows }} rows", "timeout": "2d",
                    "form": [{"name": "reason", "label": "Why", "required": true},
                             {"name": "audience", "type": "choice",
                              "choices": ["team", "everybody"], "default": "team"}]}"#,
        inputs: &[],
        outputs: &[],
    }];

    fn build(config: Settings) -> Result<Box<dyn Action>> {
        check_form(&config.form)
            .map_err(|(path, problem)| problem.in_setting(format!("/form{path}")))?;
        Ok(Box::new(config))
    }
}

fn check_form(fields: &[Field]) -> Result<(), (String, Problem)> {
    let refuse = |path: String, fact: String, hint: String| {
        Err((path, Problem::new(&codes::SETTING_INVALID, fact).hint(hint)))
    };
    if fields.len() > FIELDS_MAX {
        let fact = format!("{} fields are too many", fields.len());
        return refuse(String::new(), fact, format!("use {FIELDS_MAX} at most"));
    }
    let mut names = BTreeSet::new();
    for (at, field) in fields.iter().enumerate() {
        let Field { name, kind, choices, default, .. } = field;
        if !names.insert(name) {
            let fact = format!("two fields are called `{name}`");
            return refuse(format!("/{at}/name"), fact, "give one another name".to_owned());
        }
        if (*kind == FieldKind::Choice) == choices.is_empty() {
            let fact = format!("the field `{name}` does not say what can be chosen, or need not");
            let hint = "write `type: choice` and `choices: [one, another]` together";
            return refuse(format!("/{at}"), fact, hint.to_owned());
        }
        let is_template = default.as_str().is_some_and(|text| text.contains("{{"));
        if !default.is_null() && !is_template && !fits(field, default) {
            let fact = format!("the default of `{name}` is not {}", wanted(field));
            return refuse(format!("/{at}/default"), fact, "write one that is".to_owned());
        }
    }
    Ok(())
}

/// Whether an answer fits its form. Who takes answers asks this before it keeps one.
pub fn check_answer(form: &Form, answer: &Answer) -> Result<()> {
    let refuse = |fact: String| Problem::new(&codes::REQUEST_INVALID, fact);
    let known = |name: &String| form.fields.iter().any(|field| field.name.as_str() == name);
    if let Some(name) = answer.fields.keys().find(|name| !known(name)) {
        let names = form.fields.iter().map(|field| field.name.as_str());
        let hint = format!("fields are {}", stdx::text::list(names));
        return Err(refuse(format!("there is no field `{name}`")).arg("field", name).hint(hint));
    }
    for field in &form.fields {
        let name = &field.name;
        match answer.fields.get(name.as_str()) {
            None | Some(Value::Null) if field.required && answer.approved => {
                return Err(refuse(format!("the field `{name}` is not filled in"))
                    .arg("field", name)
                    .hint(format!("it takes {}", wanted(field))));
            }
            None | Some(Value::Null) => {}
            Some(value) if fits(field, value) => {}
            Some(_) => {
                return Err(refuse(format!("the field `{name}` takes {}", wanted(field)))
                    .arg("field", name)
                    .hint("fill it in once more"));
            }
        }
    }
    Ok(())
}

fn fits(field: &Field, value: &Value) -> bool {
    match (field.kind, value) {
        (FieldKind::String, Value::String(text)) => {
            text.len() <= VALUE_BYTES_MAX && !(field.required && text.trim().is_empty())
        }
        (FieldKind::Integer, value) => value.is_i64(),
        (FieldKind::Number, value) => value.is_number(),
        (FieldKind::Boolean, value) => value.is_boolean(),
        (FieldKind::Date, Value::String(text)) => text.parse::<NaiveDate>().is_ok(),
        (FieldKind::Choice, Value::String(text)) => field.choices.contains(text),
        _ => false,
    }
}

fn wanted(field: &Field) -> String {
    match field.kind {
        FieldKind::String => format!("a text of {} KiB at most", VALUE_BYTES_MAX >> 10),
        FieldKind::Integer => "a whole number".to_owned(),
        FieldKind::Number => "a number".to_owned(),
        FieldKind::Boolean => "true or false".to_owned(),
        FieldKind::Date => "a day such as `2026-01-31`".to_owned(),
        FieldKind::Choice => {
            format!("one of {}", stdx::text::list(field.choices.iter().map(String::as_str)))
        }
    }
}

impl Settings {
    fn form(&self) -> Form {
        let Self { title, text, form, role, .. } = self.clone();
        Form { title, text, fields: form, role }
    }

    /// What was filled in; where nothing was, what stood there already.
    fn filled(&self, answer: &Answer) -> Map<String, Value> {
        let value = |name: &Name, default: &Value| {
            answer.fields.get(name.as_str()).cloned().unwrap_or_else(|| default.clone())
        };
        let fields = self.form.iter();
        fields.map(|field| (field.name.to_string(), value(&field.name, &field.default))).collect()
    }
}

#[async_trait]
impl Action for Settings {
    async fn decide(&self, scope: &Scope, services: &dyn Services) -> Result<Step> {
        if let Some(answer) = services.answer().await? {
            return match answer.approved {
                true => {
                    let fields = self.filled(&answer);
                    Ok(Step::done(json!({"by": answer.by, "fields": fields})))
                }
                false => Err(Problem::new(
                    &codes::APPROVAL_REFUSED,
                    format!("`{}` has said no to `{}`", answer.by, self.title),
                )
                .arg("by", &answer.by)
                .hint("nodes with `when: failed` after this one say what happens then")),
            };
        }
        let left = self.timeout.map(|timeout| {
            scope.started_us.saturating_add(timeout.us()).saturating_sub(services.now_us())
        });
        match (left, self.timeout) {
            (Some(left_us), Some(timeout)) if left_us <= 0 => Err(Problem::new(
                &codes::WAIT_OVER,
                format!("nobody has answered `{}` within {timeout}", self.title),
            )
            .hint("raise `timeout`, or tell people with `notify` before they are asked")),
            _ => Ok(Step::Ask { form: self.form(), after_us: left }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Fake, decide, scope};

    fn config() -> Value {
        json!({"title": "Go?", "timeout": "1h", "form": [
            {"name": "why", "required": true}, {"name": "n", "type": "integer", "default": 3}]})
    }

    fn answer(approved: bool, fields: Value) -> Answer {
        let fields = fields.as_object().cloned().unwrap();
        Answer { approved, by: "ada@example.org".to_owned(), fields }
    }

    #[tokio::test]
    async fn it_asks_until_somebody_answers() {
        let (fake, scope) = (Fake::default(), scope());
        let step = decide("approve", config(), &scope, &fake).await.unwrap();
        let Step::Ask { form, after_us: Some(3_600_000_000) } = step else { panic!("{step:?}") };
        assert_eq!((form.title.as_str(), form.fields.len()), ("Go?", 2));
        fake.say(answer(true, json!({"why": "because"})));
        let step = decide("approve", config(), &scope, &fake).await.unwrap();
        let output = json!({"by": "ada@example.org", "fields": {"why": "because", "n": 3}});
        assert_eq!(step, Step::done(output));
    }

    #[tokio::test]
    async fn no_and_silence_are_failures() {
        let (fake, scope) = (Fake::default(), scope());
        fake.set_now(scope.started_us + 3_600_000_000);
        let problem = decide("approve", config(), &scope, &fake).await.unwrap_err();
        assert!(problem.is(&codes::WAIT_OVER), "{problem}");
        fake.say(answer(false, json!({})));
        let problem = decide("approve", config(), &scope, &fake).await.unwrap_err();
        assert!(problem.is(&codes::APPROVAL_REFUSED), "{problem}");
        assert!(!problem.code().retry);
    }

    #[test]
    fn answers_fit_their_form() {
        let fields = json!([
            {"name": "s", "required": true}, {"name": "i", "type": "integer"},
            {"name": "b", "type": "boolean"}, {"name": "d", "type": "date"},
            {"name": "c", "type": "choice", "choices": ["x", "y"]}, {"name": "n", "type": "number"},
        ]);
        let fields = serde_json::from_value(fields).unwrap();
        let form = Form { title: String::new(), text: String::new(), fields, role: None };
        let good = [
            (true, json!({"s": "a", "i": 1, "b": true, "d": "2026-01-31", "c": "y", "n": 1.5})),
            (true, json!({"s": "a", "c": null})),
            (false, json!({})),
        ];
        for (approved, fields) in good {
            check_answer(&form, &answer(approved, fields)).unwrap();
        }
        let bad = [
            json!({}),
            json!({"s": " "}),
            json!({"s": "a", "i": 1.5}),
            json!({"s": "a", "d": "31.1.2026"}),
            json!({"s": "a", "c": "z"}),
            json!({"s": "a", "b": "yes"}),
            json!({"s": "a", "other": 1}),
        ];
        for fields in bad {
            let problem = check_answer(&form, &answer(true, fields.clone())).unwrap_err();
            assert!(problem.hint_text().is_some(), "{fields}");
        }
    }

    #[test]
    fn forms_that_make_no_sense_are_refused() {
        let forms = [
            (json!([{"name": "a"}, {"name": "a"}]), "/form/1/name"),
            (json!([{"name": "a", "type": "choice"}]), "/form/0"),
            (json!([{"name": "a", "choices": ["x"]}]), "/form/0"),
            (json!([{"name": "a", "type": "integer", "default": "x"}]), "/form/0/default"),
        ];
        for (form, setting) in forms {
            let settings = serde_json::from_value(json!({"title": "t", "form": form})).unwrap();
            let problem = Approve::build(settings).err().unwrap();
            assert_eq!(problem.context().setting.as_deref(), Some(setting));
        }
    }
}
