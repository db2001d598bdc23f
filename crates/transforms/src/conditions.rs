//! Conditions as people click them together: columns, operators, values, groups.

use crate::expressions;
use crate::settings::{ShortOr, invalid};
use crate::values::{is_text, literal, mismatch};
use arrow::datatypes::DataType;
use contracts::NamedInput;
use contracts::expr;
use contracts::sql::{Expr, Joined, List};
use model::{Name, Result};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// An expression, or conditions that are joined.
pub(crate) type Where = ShortOr<Group>;

/// Conditions that are joined.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Group {
    /// The conditions.
    pub(crate) conditions: Vec<Condition>,
    /// Whether all of them must hold, or one of them.
    #[serde(default)]
    pub(crate) logic: Logic,
}

/// One condition, or a group of them.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Condition {
    /// The column that is looked at.
    #[schemars(extend("x-widget" = "column"))]
    column: Option<String>,
    /// How it is compared.
    operator: Option<Operator>,
    /// What it is compared with: a value, a `$parameter`, or a list for `in` and `not in`.
    value: Option<Value>,
    /// In place of a column: conditions that are joined.
    conditions: Vec<Self>,
    /// Whether all conditions of this group must hold, or one of them.
    logic: Logic,
}

/// How conditions are joined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Logic {
    /// All must hold.
    #[default]
    #[serde(alias = "AND")]
    And,
    /// One must hold.
    #[serde(alias = "OR")]
    Or,
}

/// How a column is compared with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub(crate) enum Operator {
    /// The same.
    #[serde(rename = "=", alias = "==")]
    Equal,
    /// Not the same; rows without a value pass.
    #[serde(rename = "!=", alias = "<>")]
    NotEqual,
    /// Greater.
    #[serde(rename = ">")]
    Greater,
    /// Less.
    #[serde(rename = "<")]
    Less,
    /// Greater or the same.
    #[serde(rename = ">=")]
    GreaterOrEqual,
    /// Less or the same.
    #[serde(rename = "<=")]
    LessOrEqual,
    /// A text has this text in it.
    #[serde(rename = "contains")]
    Contains,
    /// A text starts with this text.
    #[serde(rename = "starts_with", alias = "startswith")]
    StartsWith,
    /// A text ends with this text.
    #[serde(rename = "ends_with", alias = "endswith")]
    EndsWith,
    /// One of a list.
    #[serde(rename = "in")]
    In,
    /// None of a list; rows without a value pass.
    #[serde(rename = "not in", alias = "not_in")]
    NotIn,
    /// There is no value.
    #[serde(rename = "is null", alias = "is_null")]
    IsNull,
    /// There is a value.
    #[serde(rename = "is not null", alias = "is_not_null")]
    IsNotNull,
}

/// A condition as a SQL expression.
pub(crate) fn condition(given: &Where, input: &NamedInput, path: &str) -> Result<Expr> {
    match given {
        ShortOr::Short(text) => expressions::parse(text, input, &[], path),
        ShortOr::Long(group) => group.expr(input, path),
    }
}

impl Group {
    /// The group as a SQL expression; `path` is where the group stands.
    pub(crate) fn expr(&self, input: &NamedInput, path: &str) -> Result<Expr> {
        join(&self.conditions, self.logic, input, path)
    }
}

fn join(list: &[Condition], logic: Logic, input: &NamedInput, path: &str) -> Result<Expr> {
    if list.is_empty() {
        return Err(invalid(&format!("{path}/conditions"), "there is no condition")
            .hint("add a condition such as `{column: amount, operator: \">\", value: 0}`"));
    }
    let mut exprs = Vec::with_capacity(list.len());
    for (at, condition) in list.iter().enumerate() {
        exprs.push(condition.expr(input, &format!("{path}/conditions/{at}"))?);
    }
    match (exprs.len(), logic) {
        (1, _) => Ok(exprs.swap_remove(0)),
        (_, Logic::And) => expr!("{}", Joined(exprs, " AND ")),
        (_, Logic::Or) => expr!("{}", Joined(exprs, " OR ")),
    }
}

impl Condition {
    fn expr(&self, input: &NamedInput, path: &str) -> Result<Expr> {
        let (Some(name), Some(operator)) = (&self.column, self.operator) else {
            if self.column.is_none() && self.operator.is_none() && self.value.is_none() {
                return join(&self.conditions, self.logic, input, path);
            }
            let missing = if self.column.is_none() { "column" } else { "operator" };
            return Err(invalid(path, format!("the condition has no `{missing}`"))
                .hint("a condition has a `column`, an `operator` and mostly a `value`"));
        };
        if !self.conditions.is_empty() {
            return Err(invalid(path, "a condition with a column cannot have `conditions`")
                .hint("make the column a condition of its own"));
        }
        let field = input.column(name, &format!("{path}/column"))?;
        test(&Expr::column(name), field.data_type(), operator, self.value.as_ref(), path)
            .map_err(|problem| problem.arg("column", name))
    }
}

fn test(
    column: &Expr,
    data_type: &DataType,
    operator: Operator,
    value: Option<&Value>,
    path: &str,
) -> Result<Expr> {
    let value_path = format!("{path}/value");
    let one = || match value {
        Some(value) => value_expr(value, data_type, &value_path),
        None => Err(invalid(&value_path, "the condition has no value")
            .hint("to look for missing values, use the operator `is null`")),
    };
    let text = || {
        if is_text(data_type) {
            return one();
        }
        Err(mismatch(&column.to_string(), data_type, "this operator is for texts", path))
    };
    match operator {
        Operator::Equal => expr!("{} = {}", column, one()?),
        Operator::NotEqual => expr!("{} IS DISTINCT FROM {}", column, one()?),
        Operator::Greater => expr!("{} > {}", column, one()?),
        Operator::Less => expr!("{} < {}", column, one()?),
        Operator::GreaterOrEqual => expr!("{} >= {}", column, one()?),
        Operator::LessOrEqual => expr!("{} <= {}", column, one()?),
        Operator::Contains => expr!("contains({}, {})", column, text()?),
        Operator::StartsWith => expr!("starts_with({}, {})", column, text()?),
        Operator::EndsWith => expr!("ends_with({}, {})", column, text()?),
        Operator::In => expr!("{} IN ({})", column, values(value, data_type, &value_path)?),
        Operator::NotIn => {
            let values = values(value, data_type, &value_path)?;
            expr!("{} NOT IN ({}) OR {} IS NULL", column, values, column)
        }
        Operator::IsNull => expr!("{} IS NULL", column),
        Operator::IsNotNull => expr!("{} IS NOT NULL", column),
    }
}

fn values(value: Option<&Value>, data_type: &DataType, path: &str) -> Result<List<Expr>> {
    let Some(Value::Array(items)) = value else {
        return Err(invalid(path, "this operator needs a list of values")
            .hint("write the values in brackets: `[a, b]`"));
    };
    if items.is_empty() {
        return Err(invalid(path, "the list of values is empty"));
    }
    let items = items.iter().enumerate();
    let exprs = items.map(|(at, item)| value_expr(item, data_type, &format!("{path}/{at}")));
    Ok(List(exprs.collect::<Result<_>>()?))
}

fn value_expr(value: &Value, data_type: &DataType, path: &str) -> Result<Expr> {
    match value {
        Value::String(text) if is_parameter(text) => Expr::parse(text),
        Value::Null => Err(invalid(path, "nothing is equal to null")
            .hint("to look for missing values, use the operator `is null`")),
        value => literal(value, data_type, path),
    }
}

fn is_parameter(text: &str) -> bool {
    text.strip_prefix('$').is_some_and(|name| Name::new(name).is_ok())
}
