//! `set_output`: values for later actions, and for the pipeline that started this one.

use async_trait::async_trait;
use contracts::Example;
use contracts::action::{Action, ActionModule, Scope, Services, Step};
use model::{Name, Result};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Settings of `set_output`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// The values by name. They may be templates, and lists and maps of them.
    values: BTreeMap<Name, Value>,
}

/// The module.
pub(crate) struct SetOutput;

impl ActionModule for SetOutput {
    type Config = Settings;
    const NAME: &'static str = "set_output";
    const SUMMARY: &'static str =
        "Gives values to later actions, and to the pipeline that started this one.";
    const EXAMPLES: &'static [Example] = &[Example {
        title: "how many rows were loaded",
        config: r#"{"values": {"rows": "{{ outputs.load.rows }}", "day": "{{ params.day }}"}}"#,
        inputs: &[("params", r#"{"day": "2026-01-31"}"#), ("outputs", r#"{"load": {"rows": 7}}"#)],
        outputs: &[("output", r#"{"rows": 7, "day": "2026-01-31"}"#)],
    }];

    fn build(config: Settings) -> Result<Box<dyn Action>> {
        Ok(Box::new(config))
    }
}

#[async_trait]
impl Action for Settings {
    async fn decide(&self, _: &Scope, _: &dyn Services) -> Result<Step> {
        Ok(Step::done(json!(self.values)))
    }
}
