//! `switch`: one of several branches.

use async_trait::async_trait;
use contracts::Example;
use contracts::action::{Action, ActionModule, Scope, Services, Step};
use model::pipeline::OUT;
use model::{Name, Problem, Result, codes};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Settings of `switch`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// What is looked at, such as `{{ params.country }}`.
    value: Value,
    /// The branches, and the value for which each is taken, or a list of such values.
    cases: BTreeMap<Name, Value>,
}

/// The branch for all other values.
const DEFAULT: &str = "default";

/// The module.
pub(crate) struct Switch;

impl ActionModule for Switch {
    type Config = Settings;
    const NAME: &'static str = "switch";
    const SUMMARY: &'static str =
        "Takes the branch whose value is the one given, or else the branch `default`.";
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "one branch per group of countries",
            config: r#"{"value": "{{ params.country }}",
                        "cases": {"france": "FR", "benelux": ["BE", "NL", "LU"]}}"#,
            inputs: &[("params", r#"{"country": "NL"}"#)],
            outputs: &[("output", r#"{"branch": "benelux"}"#), ("branch", "benelux")],
        },
        Example {
            title: "whatever is no case",
            config: r#"{"value": "{{ params.month }}", "cases": {"year_end": 12}}"#,
            inputs: &[("params", r#"{"month": 3}"#)],
            outputs: &[("output", r#"{"branch": "default"}"#), ("branch", "default")],
        },
    ];

    fn build(config: Settings) -> Result<Box<dyn Action>> {
        check(&config.cases).map_err(|problem| problem.in_setting("/cases"))?;
        Ok(Box::new(Choice { settings: config, default: Name::new(DEFAULT)? }))
    }
}

fn check(cases: &BTreeMap<Name, Value>) -> Result<()> {
    let refuse = |fact: String, hint: &str| {
        Err(Problem::new(&codes::SETTING_INVALID, fact).hint(hint.to_owned()))
    };
    if cases.is_empty() {
        return refuse("there are no cases".to_owned(), "write `cases: {name: value}`");
    }
    if let Some(name) = cases.keys().find(|name| [OUT, DEFAULT].contains(&name.as_str())) {
        return refuse(format!("no case can be called `{name}`"), "give it another name");
    }
    let values: Vec<(&Name, &Value)> = cases
        .iter()
        .flat_map(|(name, case)| values(case).map(move |value| (name, value)))
        .collect();
    for (at, (name, value)) in values.iter().enumerate() {
        if let Some((other, _)) = values[..at].iter().find(|(_, other)| is_same(other, value)) {
            let fact = format!("the cases `{other}` and `{name}` have the same value");
            return refuse(fact, "each value belongs to one case");
        }
    }
    Ok(())
}

fn values(case: &Value) -> impl Iterator<Item = &Value> {
    match case {
        Value::Array(values) => values.as_slice(),
        value => std::slice::from_ref(value),
    }
    .iter()
}

/// Whether two values are the same; `1` and `1.0` are.
fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

struct Choice {
    settings: Settings,
    default: Name,
}

#[async_trait]
impl Action for Choice {
    fn branches(&self) -> Vec<Name> {
        self.settings.cases.keys().chain([&self.default]).cloned().collect()
    }

    async fn decide(&self, _: &Scope, _: &dyn Services) -> Result<Step> {
        let Settings { value, cases } = &self.settings;
        let fits = |case: &Value| values(case).any(|known| is_same(known, value));
        let found = cases.iter().find(|(_, case)| fits(case));
        let branch = found.map_or(&self.default, |(name, _)| name);
        Ok(Step::Done { output: json!({"branch": branch}), taken: Some(vec![branch.clone()]) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_that_cannot_be_told_apart_are_refused() {
        for cases in [json!({"a": 1, "b": [2, 1.0]}), json!({"default": 1}), json!({"out": 1})] {
            let settings = serde_json::from_value(json!({"value": 1, "cases": cases})).unwrap();
            let problem = Switch::build(settings).err().unwrap();
            assert_eq!(problem.context().setting.as_deref(), Some("/cases"));
            assert!(problem.hint_text().is_some());
        }
    }
}
