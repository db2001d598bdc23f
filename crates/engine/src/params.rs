//! Parameters of a run: given, filled in, and typed for SQL.

use crate::graph::Graph;
use contracts::ParamValue;
use model::run::RunRecord;
use model::{DataType, Name, Problem, Result, codes};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Parameters of the pipeline with their defaults; unknown ones are refused.
pub(crate) fn fill_params(
    graph: &Graph,
    given: &BTreeMap<String, Value>,
) -> Result<BTreeMap<String, Value>> {
    let declared = &graph.pipeline.params;
    for name in given.keys() {
        if !declared.keys().any(|known| known.as_str() == name) {
            let known = declared.keys().map(Name::as_str);
            let hint = match stdx::text::nearest(name, known.clone()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("its parameters are {}", stdx::text::list(known)),
            };
            let fact = format!("pipeline `{}` has no parameter `{name}`", graph.pipeline.name);
            return Err(Problem::new(&codes::NAME_UNKNOWN, fact).arg("parameter", name).hint(hint));
        }
    }
    let mut filled = BTreeMap::new();
    for (name, param) in declared {
        let value = given.get(name.as_str()).or(param.default.as_ref());
        let Some(value) = value else {
            let fact = format!("the parameter `{name}` has no value");
            return Err(Problem::new(&codes::COMMAND_INVALID, fact)
                .arg("parameter", name)
                .hint(format!("give one, as in `--param {name}=…`")));
        };
        check_type(name, &param.data_type, value)?;
        filled.insert(name.to_string(), value.clone());
    }
    Ok(filled)
}

/// A value of the wrong type is refused before anything is read or written.
fn check_type(name: &Name, data_type: &DataType, value: &Value) -> Result<()> {
    let text = match value {
        Value::Null => return Ok(()),
        Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    };
    let (fits, example) = match data_type {
        DataType::Integer => (text.parse::<i64>().is_ok(), "42"),
        DataType::Float | DataType::Decimal(_, _) => (text.parse::<f64>().is_ok(), "12.50"),
        DataType::Boolean => (matches!(text.as_str(), "true" | "false"), "true"),
        DataType::Date => (is_date(&text), "2026-01-31"),
        DataType::Timestamp => {
            let day = text.get(..10).unwrap_or_default();
            (is_date(day), "2026-01-31T08:00:00Z")
        }
        _ => (true, ""),
    };
    if fits {
        return Ok(());
    }
    let fact = format!("the parameter `{name}` is of type {data_type}, which `{text}` is not");
    Err(Problem::new(&codes::SETTING_INVALID, fact)
        .arg("parameter", name)
        .hint(format!("write it as in `--param {name}={example}`")))
}

fn is_date(text: &str) -> bool {
    chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok()
}

/// Values for planning alone: defaults, or nulls of the right type.
pub fn sample_params(graph: &Graph) -> BTreeMap<String, ParamValue> {
    let mut params = BTreeMap::new();
    for (name, param) in &graph.pipeline.params {
        let value = param.default.clone().unwrap_or(Value::Null);
        params.insert(name.to_string(), ParamValue { data_type: param.data_type.clone(), value });
    }
    let null = |data_type| ParamValue { data_type, value: Value::Null };
    params.insert("run_id".to_owned(), null(DataType::String));
    for name in ["run_time", "interval_start", "interval_end"] {
        params.insert(name.to_owned(), null(DataType::Timestamp));
    }
    params
}

/// Every `$name` that SQL of a run can use.
pub(crate) fn typed_params(
    graph: &Graph,
    record: &RunRecord,
) -> Result<BTreeMap<String, ParamValue>> {
    let mut params = BTreeMap::new();
    for (name, param) in &graph.pipeline.params {
        let value = record.params.get(name.as_str()).cloned().unwrap_or(Value::Null);
        let data_type = param.data_type.clone();
        params.insert(name.to_string(), ParamValue { data_type, value });
    }
    let (start_us, end_us) = record.interval_us.unwrap_or((record.time_us, record.time_us));
    let mut own = |name: &str, data_type: DataType, value: Value| {
        params.entry(name.to_owned()).or_insert(ParamValue { data_type, value });
    };
    own("run_id", DataType::String, json!(record.run));
    let instants =
        [("run_time", record.time_us), ("interval_start", start_us), ("interval_end", end_us)];
    for (name, at_us) in instants {
        own(name, DataType::Timestamp, json!(instant(at_us)?));
    }
    Ok(params)
}

fn instant(at_us: i64) -> Result<String> {
    let at = chrono::DateTime::from_timestamp_micros(at_us)
        .ok_or_else(|| Problem::new(&codes::JOURNAL_CORRUPT, "the run's time makes no sense"))?;
    Ok(at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true))
}
