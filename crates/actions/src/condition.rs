//! `if`: one branch or the other.

use crate::template::{Words, holds};
use async_trait::async_trait;
use contracts::Example;
use contracts::action::{Action, ActionModule, Scope, Services, Step, Unfilled};
use model::{Name, Result};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

/// Settings of `if`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// An expression that is true or false, such as `outputs.load.rows > 0`, without braces.
    condition: String,
}

/// The module.
pub(crate) struct If;

impl ActionModule for If {
    type Config = Settings;
    const NAME: &'static str = "if";
    const SUMMARY: &'static str =
        "Takes the branch `then` when a condition holds, and the branch `else` when not.";
    const EXAMPLES: &'static [Example] = &[Example {
        title: "go on only when rows were loaded",
        config: r#"{"condition": "outputs.load.rows > 0"}"#,
        inputs: &[("outputs", r#"{"load": {"rows": 0}}"#)],
        outputs: &[("output", r#"{"holds": false}"#), ("branch", "else")],
    }];
    const UNFILLED: &'static [(&'static str, Unfilled)] = &[("condition", Unfilled::Expression)];

    fn build(config: Settings) -> Result<Box<dyn Action>> {
        Ok(Box::new(Condition {
            expression: config.condition,
            then: Name::new("then")?,
            otherwise: Name::new("else")?,
        }))
    }
}

struct Condition {
    expression: String,
    then: Name,
    otherwise: Name,
}

#[async_trait]
impl Action for Condition {
    fn branches(&self) -> Vec<Name> {
        vec![self.then.clone(), self.otherwise.clone()]
    }

    async fn decide(&self, scope: &Scope, _: &dyn Services) -> Result<Step> {
        let holds = holds(&self.expression, &Words::of(scope))
            .map_err(|problem| problem.in_setting("/condition"))?;
        let taken = if holds { &self.then } else { &self.otherwise };
        Ok(Step::Done { output: json!({"holds": holds}), taken: Some(vec![taken.clone()]) })
    }
}
