//! What expressions can name: `params`, `outputs`, `run`, `interval`, `problems`.

use chrono::{DateTime, SecondsFormat};
use contracts::action::Scope;
use minijinja::value::{Enumerator, Object, Serde, Value, merge_maps};
use serde_json::{Map, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What expressions can name, and its value.
#[derive(Debug, Clone)]
pub(crate) struct Words(Value);

impl Words {
    /// The names that expressions of all actions know.
    pub(crate) const NAMES: &'static [&'static str] =
        &["params", "outputs", "run", "interval", "problems"];
    /// Fields of `run`.
    pub(crate) const RUN: &'static [&'static str] =
        &["id", "pipeline", "workspace", "task", "attempt", "time"];

    /// What an action in `scope` may name.
    pub(crate) fn of(scope: &Scope) -> Self {
        let run = json!({
            "id": scope.run,
            "pipeline": scope.pipeline,
            "workspace": scope.workspace,
            "task": scope.task,
            "attempt": scope.attempt,
            "time": instant(scope.run_time_us),
        });
        let mut words = BTreeMap::from([
            ("params", Value::from(Serde(&scope.params))),
            ("outputs", Value::from_object(Outputs::new(&scope.outputs_by_node()))),
            ("run", Value::from(Serde(&run))),
            ("problems", Value::from(Serde(&scope.problems))),
        ]);
        if let Some((start_us, end_us)) = scope.interval_us {
            let interval = json!({"start": instant(start_us), "end": instant(end_us)});
            words.insert("interval", Value::from(Serde(&interval)));
        }
        Self(Value::from_pairs(words))
    }

    /// The same, and `item` and `index`.
    pub(crate) fn with_item(&self, item: &serde_json::Value, index: usize) -> Self {
        let own = [("item", Value::from(Serde(item))), ("index", Value::from(index))];
        Self(merge_maps([Value::from_pairs(own), self.0.clone()]))
    }

    pub(super) fn as_value(&self) -> &Value {
        &self.0
    }
}

fn instant(us: i64) -> String {
    let instant = DateTime::from_timestamp_micros(us).unwrap_or_default();
    instant.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// The outputs by node. A node that has given nothing has given an empty map, so that
/// `outputs.node.field | default(0)` is possible where a branch was not taken.
#[derive(Debug)]
struct Outputs(BTreeMap<String, Value>);

impl Outputs {
    fn new(outputs: &Map<String, serde_json::Value>) -> Self {
        let values = outputs.iter();
        Self(values.map(|(node, output)| (node.clone(), Value::from(Serde(output)))).collect())
    }
}

impl Object for Outputs {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let node = key.as_str()?;
        Some(self.0.get(node).cloned().unwrap_or_else(|| Value::from_pairs(NOTHING)))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.keys().map(Value::from).collect())
    }
}

const NOTHING: [(&str, Value); 0] = [];
