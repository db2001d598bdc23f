//! Tests of pipelines: given rows per source, expected rows per node.

use crate::name::{Name, TableName};
use crate::pipeline::{PortRef, Version};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A row of a test: values by column.
pub type Row = Map<String, Value>;

/// `kind: test`: what nodes of a pipeline give for rows that the test brings along.
///
/// Nothing is read from the project's data and nothing is written: sources give the rows of
/// `given`, lake tables hold the rows of `tables` and are empty otherwise.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// Version of the document format; 1.
    pub affluent: Version,
    /// Always `test`.
    pub kind: TestKind,
    /// Name of the test, as in `affluent test NAME`.
    pub name: Name,
    /// What the test shows, in a sentence.
    #[serde(default)]
    pub description: String,
    /// The pipeline.
    pub pipeline: Name,
    /// Rows that sources give: a list of rows, or the path of a CSV or NDJSON file.
    #[serde(default)]
    pub given: BTreeMap<Name, Given>,
    /// Rows that lake tables hold, as a list of rows, or the path of a CSV or NDJSON file.
    #[serde(default)]
    pub tables: BTreeMap<TableName, Given>,
    /// Values of the pipeline's parameters.
    #[serde(default)]
    pub params: BTreeMap<Name, Value>,
    /// What `$run_time` and freshness mean by now, as in `2026-01-31T08:00:00Z`.
    #[serde(default)]
    pub now: Option<String>,
    /// Rows that nodes give, by `node` or `node.port`. A row names the columns that matter.
    #[schemars(with = "BTreeMap<String, Vec<Row>>")]
    pub expect: BTreeMap<PortRef, Vec<Row>>,
    /// Whether the order of the expected rows matters.
    #[serde(default)]
    pub ordered: bool,
}

/// The word `test`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TestKind {
    /// The only kind of this document.
    Test,
}

/// Rows that a test brings along.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Value", into = "Value")]
#[schemars(untagged)]
pub enum Given {
    /// The rows themselves.
    Rows(Vec<Row>),
    /// A CSV or NDJSON file; the path starts at the project's folder.
    File(String),
}

impl TryFrom<Value> for Given {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value {
            Value::String(path) => Ok(Self::File(path)),
            Value::Null => Ok(Self::Rows(Vec::new())),
            Value::Array(items) => {
                let rows = items.into_iter().map(|item| match item {
                    Value::Object(row) => Ok(row),
                    other => Err(format!("`{other}` is not a row, as in `{{id: 1, name: Ada}}`")),
                });
                Ok(Self::Rows(rows.collect::<Result<_, _>>()?))
            }
            other => Err(format!("`{other}` is neither a list of rows nor the path of a file")),
        }
    }
}

impl From<Given> for Value {
    fn from(given: Given) -> Self {
        match given {
            Given::File(path) => Self::String(path),
            Given::Rows(rows) => rows.into_iter().map(Self::Object).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::Document;

    #[test]
    fn a_test_reads_back() {
        let text = "affluent: 1\nkind: test\nname: t\npipeline: sales\n\
                    given: {a: [{id: 1}], b: tests/b.csv}\nexpect: {c.rejects: [], d: [{n: 2}]}\n";
        let test: Test = Document::parse("t.yaml", text).unwrap().read("").unwrap();
        assert_eq!(test.given.len(), 2);
        let ports: Vec<String> = test.expect.keys().cloned().map(String::from).collect();
        assert_eq!(ports, ["c.rejects", "d"]);
        let text = text.replace("[{id: 1}]", "[1]");
        let problem = Document::parse("t.yaml", &text).unwrap().read::<Test>("").unwrap_err();
        assert!(problem.message().contains("`1` is not a row"), "{problem}");
    }
}
