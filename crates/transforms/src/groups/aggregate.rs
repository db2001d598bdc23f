//! `aggregate`: one row for each group.

use crate::expressions;
use crate::order::{OrderBy, Sort};
use crate::projection::{check_distinct, check_name};
use crate::settings::{Ordered, ShortOr, invalid};
use crate::values::{is_number, is_text, mismatch};
use arrow::datatypes::DataType;
use contracts::expr;
use contracts::settings::OneOrMany;
use contracts::sql;
use contracts::sql::{Aliased, Expr, Fragment, Ident, Joined, List, Text, ToFragment};
use contracts::{Example, Inputs, NamedInput, Relation, Relational};
use model::Result;
use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of `aggregate`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Columns that form groups; without them there is one group with all rows.
    #[serde(default)]
    group_by: OneOrMany,
    /// What is computed for each group, by the name of its column: an expression such as
    /// `sum(price * quantity)`, or `{function: sum, column: amount}`.
    #[schemars(extend("x-widget" = "aggregations"))]
    aggregations: Ordered<ShortOr<Aggregation>>,
}

/// One value that is computed for each group.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Aggregation {
    /// What is computed.
    pub(super) function: Function,
    /// The column it is computed of; `count` without a column counts rows.
    #[serde(default)]
    #[schemars(extend("x-widget" = "column"))]
    pub(super) column: Option<String>,
    /// For `percentile`: which one, from 0 to 1.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(super) p: Option<f64>,
    /// For `first`, `last`, `list` and `string_agg`: what comes first; `_file` and `_row` when
    /// left out.
    #[serde(default)]
    pub(super) order_by: OrderBy,
    /// For `string_agg`: what stands between the texts.
    #[serde(default)]
    pub(super) separator: Option<String>,
    /// Only rows that meet this condition count.
    #[serde(default, rename = "where")]
    #[schemars(extend("x-widget" = "expression"))]
    pub(super) condition: Option<String>,
}

/// What is computed for a group. Rows without a value in the column are passed over, except by
/// `count` without a column, `first` and `last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    /// Sum.
    Sum,
    /// Mean.
    #[serde(alias = "mean")]
    Avg,
    /// Least value.
    Min,
    /// Greatest value.
    Max,
    /// Number of values, or of rows.
    Count,
    /// Number of different values.
    CountDistinct,
    /// The value in the middle.
    Median,
    /// The value below which the share `p` of the values lies.
    Percentile,
    /// Value of the first row.
    First,
    /// Value of the last row.
    Last,
    /// List of the values.
    List,
    /// List of the different values, in ascending order.
    ListDistinct,
    /// The values as one text.
    StringAgg,
    /// Standard deviation of a sample.
    Std,
    /// Variance of a sample.
    Var,
    /// Some value of the group, always the same one: for columns that have only one.
    Any,
}

/// The module.
pub struct Aggregate;

const SALES: &str = "{\"city\": \"Nice\", \"day\": 1, \"amount\": 4, \"item\": \"pen\"}\n\
                     {\"city\": \"Nice\", \"day\": 2, \"amount\": 7, \"item\": \"ink\"}\n\
                     {\"city\": \"Lyon\", \"day\": 3, \"amount\": 1, \"item\": \"pen\"}";

impl Relational for Aggregate {
    type Config = Config;
    const NAME: &'static str = "aggregate";
    const SUMMARY: &'static str = "Compute one row for each group.";
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "totals for each city",
            config: r#"{"group_by": "city", "aggregations": {
                "sales": {"function": "count"},
                "revenue": {"function": "sum", "column": "amount"},
                "pens": {"function": "count", "where": "item = 'pen'"},
                "spread": "max(amount) - min(amount)"}}"#,
            inputs: &[("rows", SALES)],
            outputs: &[(
                "out",
                "{\"city\": \"Nice\", \"sales\": 2, \"revenue\": 11, \"pens\": 1, \"spread\": 3}\n\
                 {\"city\": \"Lyon\", \"sales\": 1, \"revenue\": 1, \"pens\": 1, \"spread\": 0}",
            )],
        },
        Example {
            title: "first, last and lists need an order",
            config: r#"{"group_by": ["city"], "aggregations": {
                "first_item": {"function": "first", "column": "item", "order_by": "day"},
                "last_item": {"function": "last", "column": "item", "order_by": "day"},
                "amounts": {"function": "list", "column": "amount", "order_by": "day"},
                "items": {"function": "string_agg", "column": "item", "order_by": "item"}}}"#,
            inputs: &[("rows", SALES)],
            outputs: &[(
                "out",
                "{\"city\": \"Nice\", \"first_item\": \"pen\", \"last_item\": \"ink\", \
                 \"amounts\": [4, 7], \"items\": \"ink, pen\"}\n\
                 {\"city\": \"Lyon\", \"first_item\": \"pen\", \"last_item\": \"pen\", \
                 \"amounts\": [1], \"items\": \"pen\"}",
            )],
        },
        Example {
            title: "all rows are one group",
            config: r#"{"aggregations": {
                "average": {"function": "avg", "column": "amount"},
                "middle": {"function": "median", "column": "amount"},
                "high": {"function": "percentile", "column": "amount", "p": 0.75},
                "cities": {"function": "count_distinct", "column": "city"},
                "items": {"function": "list_distinct", "column": "item"},
                "variance": {"function": "var", "column": "amount"},
                "any_city": {"function": "any", "column": "city"}}}"#,
            inputs: &[("rows", SALES)],
            outputs: &[(
                "out",
                "{\"average\": 4.0, \"middle\": 4.0, \"high\": 5.5, \"cities\": 2, \
                 \"items\": [\"ink\", \"pen\"], \"variance\": 9.0, \"any_city\": \"Lyon\"}",
            )],
        },
    ];

    fn query(config: &Config, inputs: &Inputs) -> Result<Relation> {
        let input = inputs.only()?;
        for (at, name) in config.group_by.iter().enumerate() {
            input.column(name, &format!("/group_by/{at}"))?;
        }
        if config.aggregations.is_empty() && config.group_by.is_empty() {
            return Err(invalid("/aggregations", "there is nothing to compute")
                .hint("add one, such as `rows: {function: count}`"));
        }
        check_distinct(config.group_by.iter().chain(config.aggregations.names()), "/aggregations")?;
        let mut items: Vec<Fragment> =
            config.group_by.iter().map(|name| Ident(name).to_fragment()).collect();
        for (name, given) in config.aggregations.iter() {
            let path = format!("/aggregations/{name}");
            check_name(name, &path)?;
            let expr = match given {
                ShortOr::Short(text) => expressions::parse(text, input, &[], &path)?,
                ShortOr::Long(aggregation) => aggregation.expr(input, None, &path)?,
            };
            items.push(Aliased(expr, name).to_fragment());
        }
        let groups = List(config.group_by.iter().map(Ident).collect());
        let query = match config.group_by.is_empty() {
            true => sql!("SELECT {} FROM {}", List(items), input)?,
            false => sql!("SELECT {} FROM {} GROUP BY {}", List(items), input, groups)?,
        };
        Ok(query.into())
    }
}

impl Aggregation {
    /// The call; `only` is one more condition that rows must meet.
    pub(super) fn expr(&self, input: &NamedInput, only: Option<&Expr>, path: &str) -> Result<Expr> {
        self.check(path)?;
        let call = match &self.column {
            Some(column) => self.call(column, input, path)?,
            None if self.function == Function::Count => expr!("count(*)")?,
            None => {
                return Err(invalid(path, "there is no column to compute from")
                    .hint("add `column:` with the name of a column"));
            }
        };
        let mut conditions: Vec<Expr> = only.into_iter().cloned().collect();
        if let (Function::List | Function::ListDistinct, Some(column)) =
            (self.function, &self.column)
        {
            conditions.push(expr!("{} IS NOT NULL", Ident(column))?);
        }
        if let Some(text) = &self.condition {
            conditions.push(expressions::parse(text, input, &[], &format!("{path}/where"))?);
        }
        match conditions.is_empty() {
            true => Ok(call),
            false => expr!("{} FILTER (WHERE {})", call, Joined(conditions, " AND ")),
        }
    }

    /// Refuses settings that belong to another function.
    fn check(&self, path: &str) -> Result<()> {
        use Function as F;
        let ordered = matches!(self.function, F::First | F::Last | F::List | F::StringAgg);
        let foreign = [
            ("p", self.p.is_some(), self.function == F::Percentile),
            ("separator", self.separator.is_some(), self.function == F::StringAgg),
            ("order_by", !self.order_by.is_empty(), ordered),
        ];
        for (setting, is_given, belongs) in foreign {
            if is_given && !belongs {
                let path = format!("{path}/{setting}");
                return Err(invalid(&path, format!("this function has no `{setting}`"))
                    .hint("leave it out"));
            }
        }
        Ok(())
    }

    fn call(&self, name: &str, input: &NamedInput, path: &str) -> Result<Expr> {
        let column_path = format!("{path}/column");
        let data_type = input.column(name, &column_path)?.data_type();
        let column = Ident(name);
        let needs_number = matches!(
            self.function,
            Function::Sum
                | Function::Avg
                | Function::Median
                | Function::Percentile
                | Function::Std
                | Function::Var
        );
        if needs_number && !is_number(data_type) {
            return Err(mismatch(name, data_type, "this function is for numbers", &column_path));
        }
        match self.function {
            Function::Sum => expr!("sum({})", column),
            Function::Avg => expr!("avg({})", column),
            Function::Min => expr!("min({})", column),
            Function::Max => expr!("max({})", column),
            Function::Count => expr!("count({})", column),
            Function::CountDistinct => expr!("count(DISTINCT {})", column),
            // Of integers these functions would give an integer, and lose the half.
            Function::Median => expr!("median({})", exact(name, data_type)?),
            Function::Percentile => {
                let p = self.share(path)?;
                expr!("percentile_cont({}, {})", exact(name, data_type)?, p)
            }
            Function::First => {
                expr!("first_value({} ORDER BY {})", column, self.order(input, path)?)
            }
            Function::Last => expr!("last_value({} ORDER BY {})", column, self.order(input, path)?),
            Function::List => expr!("array_agg({} ORDER BY {})", column, self.order(input, path)?),
            Function::ListDistinct => {
                expr!("array_agg(DISTINCT {} ORDER BY {})", column, column)
            }
            Function::StringAgg => {
                let separator = Text(self.separator.as_deref().unwrap_or(", "));
                let order = self.order(input, path)?;
                expr!("string_agg({}, {} ORDER BY {})", text(name, data_type)?, separator, order)
            }
            Function::Std => expr!("stddev_samp({})", column),
            Function::Var => expr!("var_samp({})", column),
            Function::Any if data_type.is_nested() => expr!("first_value({})", column),
            Function::Any => expr!("min({})", column),
        }
    }

    fn order(&self, input: &NamedInput, path: &str) -> Result<List<Sort>> {
        Ok(List(self.order_by.needed(input, &format!("{path}/order_by"))?))
    }

    fn share(&self, path: &str) -> Result<f64> {
        let path = format!("{path}/p");
        match self.p {
            Some(p) if (0.0..=1.0).contains(&p) => Ok(p),
            Some(p) => Err(invalid(&path, format!("`{p}` is not between 0 and 1"))
                .hint("the 95th percentile is `p: 0.95`")),
            None => Err(invalid(&path, "it is not said which percentile is wanted")
                .hint("add `p: 0.95` for the 95th")),
        }
    }
}

fn exact(column: &str, data_type: &DataType) -> Result<Expr> {
    match data_type {
        DataType::Float64 => Ok(Expr::column(column)),
        _ => expr!("CAST({} AS DOUBLE)", Ident(column)),
    }
}

fn text(column: &str, data_type: &DataType) -> Result<Expr> {
    match is_text(data_type) {
        true => Ok(Expr::column(column)),
        false => expr!("CAST({} AS VARCHAR)", Ident(column)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{one, refused, sql};

    #[test]
    fn functions_become_calls() {
        let query = sql::<Aggregate>(
            r#"{"aggregations": {
                "a": {"function": "percentile", "column": "n", "p": 0.9, "where": "n > 0"},
                "b": {"function": "last", "column": "t"}}}"#,
            &one("n: integer; t: string; _row: integer"),
        );
        assert_eq!(
            query,
            "SELECT percentile_cont(CAST(\"n\" AS DOUBLE), CAST('0.9' AS DOUBLE)) \
             FILTER (WHERE (n > 0)) AS \"a\", \
             last_value(\"t\" ORDER BY \"_row\" NULLS LAST) AS \"b\" FROM \"rows\""
        );
    }

    #[test]
    fn bad_settings_are_named() {
        let refused = |config: &str| {
            let config = format!("{{\"aggregations\": {{\"x\": {config}}}}}");
            refused::<Aggregate>(&config, &one("n: integer; t: string"))
        };
        let sum = r#"{"function": "sum", "column": "t"}"#;
        assert_eq!(
            refused(sum),
            "/aggregations/x/column: `t` is of type string, but this function is for numbers"
        );
        let p = r#"{"function": "percentile", "column": "n", "p": 95}"#;
        assert_eq!(refused(p), "/aggregations/x/p: `95` is not between 0 and 1");
        let list = r#"{"function": "list", "column": "n"}"#;
        assert_eq!(refused(list), "/aggregations/x/order_by: the rows of `rows` have no order");
        let foreign = r#"{"function": "sum", "column": "n", "separator": ","}"#;
        assert_eq!(refused(foreign), "/aggregations/x/separator: this function has no `separator`");
        assert_eq!(
            refused(r#"{"function": "sum"}"#),
            "/aggregations/x: there is no column to compute from"
        );
    }
}
