//! `window`: columns from the rows around a row.

use crate::order::{OrderBy, Sort};
use crate::projection::{check_name, with_columns};
use crate::settings::{Ordered, ShortOr, invalid};
use crate::values::{is_number, literal, mismatch};
use contracts::settings::OneOrMany;
use contracts::sql::{Aliased, Expr, Fragment, Ident, List, Sql, ToFragment};
use contracts::{Example, Inputs, NamedInput, Relation, Relational, RowLaw};
use contracts::{expr, piece, sql};
use model::Result;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Settings of `window`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Columns that form groups: a row sees only rows of its own group.
    #[serde(default)]
    partition_by: OneOrMany,
    /// The order in which rows follow each other; `_file` and `_row` when left out.
    #[serde(default)]
    order_by: OrderBy,
    /// What is computed, by the name of its column. A column that is there already is replaced.
    columns: Ordered<Computed>,
}

/// One column that is computed.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Computed {
    /// What is computed.
    function: Function,
    /// The column it is computed of; not for `row_number`, `rank` and `dense_rank`.
    #[serde(default)]
    #[schemars(extend("x-widget" = "column"))]
    column: Option<String>,
    /// For `lag` and `lead`: how many rows away; 1 when left out.
    #[serde(default)]
    offset: Option<u64>,
    /// For `lag` and `lead`: the value where there is no such row.
    #[serde(default)]
    default: Option<Value>,
    /// For `first`, `last`, `sum`, `avg`, `min`, `max` and `count`: which rows are looked at.
    /// `running` (from the first row of the group to this one), `whole` (all rows of the group),
    /// or `{preceding: 6, following: 0}`.
    #[serde(default)]
    frame: Option<ShortOr<Around>>,
}

/// Rows around a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Around {
    /// How many rows before this one; all when left out.
    #[serde(default)]
    preceding: Option<u64>,
    /// How many rows after this one.
    #[serde(default)]
    following: u64,
}

/// What is computed from the rows around a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    /// 1, 2, 3 … in order.
    RowNumber,
    /// Place; rows that are alike share one, and the next places are left free.
    Rank,
    /// Place; rows that are alike share one, and no place is left free.
    DenseRank,
    /// Value of an earlier row.
    Lag,
    /// Value of a later row.
    Lead,
    /// Value of the first row.
    First,
    /// Value of the last row.
    Last,
    /// Sum.
    Sum,
    /// Mean.
    Avg,
    /// Least value.
    Min,
    /// Greatest value.
    Max,
    /// Number of values, or of rows where there is no column.
    Count,
    /// A number that grows by one with each change of the column's value, from 1.
    Change,
}

/// The module.
pub struct Window;

const DAYS: &str = "{\"city\": \"Nice\", \"day\": 1, \"n\": 4}\n\
                    {\"city\": \"Nice\", \"day\": 2, \"n\": 4}\n\
                    {\"city\": \"Nice\", \"day\": 3, \"n\": 1}\n\
                    {\"city\": \"Lyon\", \"day\": 1, \"n\": 9}";

impl Relational for Window {
    type Config = Config;
    const NAME: &'static str = "window";
    const SUMMARY: &'static str = "Compute columns from the rows before and after.";
    const LAW: RowLaw = RowLaw::Each;
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "running sums, the day before, and changes",
            config: r#"{"partition_by": "city", "order_by": "day", "columns": {
                "so_far": {"function": "sum", "column": "n"},
                "before": {"function": "lag", "column": "n", "default": 0},
                "step": {"function": "change", "column": "n"},
                "all": {"function": "count", "frame": "whole"}}}"#,
            inputs: &[("rows", DAYS)],
            outputs: &[(
                "out",
                "{\"city\": \"Nice\", \"day\": 1, \"n\": 4, \"so_far\": 4, \"before\": 0, \
                 \"step\": 1, \"all\": 3}\n\
                 {\"city\": \"Nice\", \"day\": 2, \"n\": 4, \"so_far\": 8, \"before\": 4, \
                 \"step\": 1, \"all\": 3}\n\
                 {\"city\": \"Nice\", \"day\": 3, \"n\": 1, \"so_far\": 9, \"before\": 4, \
                 \"step\": 2, \"all\": 3}\n\
                 {\"city\": \"Lyon\", \"day\": 1, \"n\": 9, \"so_far\": 9, \"before\": 0, \
                 \"step\": 1, \"all\": 1}",
            )],
        },
        Example {
            title: "places, and the mean of two rows",
            config: r#"{"order_by": "n desc", "columns": {
                "place": {"function": "rank"},
                "mean": {"function": "avg", "column": "n", "frame": {"preceding": 1}},
                "best": {"function": "first", "column": "city"}}}"#,
            inputs: &[(
                "rows",
                "{\"_row\": 1, \"city\": \"a\", \"n\": 5}\n\
                 {\"_row\": 2, \"city\": \"b\", \"n\": 5}\n\
                 {\"_row\": 3, \"city\": \"c\", \"n\": 2}",
            )],
            outputs: &[(
                "out",
                "{\"_row\": 1, \"city\": \"a\", \"n\": 5, \"place\": 1, \"mean\": 5.0, \
                 \"best\": \"a\"}\n\
                 {\"_row\": 2, \"city\": \"b\", \"n\": 5, \"place\": 1, \"mean\": 5.0, \
                 \"best\": \"a\"}\n\
                 {\"_row\": 3, \"city\": \"c\", \"n\": 2, \"place\": 3, \"mean\": 3.5, \
                 \"best\": \"a\"}",
            )],
        },
    ];

    fn query(config: &Config, inputs: &Inputs) -> Result<Relation> {
        let input = inputs.only()?;
        for (at, name) in config.partition_by.iter().enumerate() {
            input.column(name, &format!("/partition_by/{at}"))?;
        }
        if config.columns.is_empty() {
            return Err(invalid("/columns", "there is nothing to compute")
                .hint("add one, such as `place: {function: rank}`"));
        }
        let mut new: Vec<(String, Expr)> = Vec::new();
        let mut marks: Vec<Fragment> = Vec::new();
        for (name, computed) in config.columns.iter() {
            let path = format!("/columns/{name}");
            check_name(name, &path)?;
            computed.check(&path)?;
            let own = Call { config, computed, input, path: &path };
            if computed.function == Function::Change {
                let mark = format!("#change {}", marks.len());
                marks.push(Aliased(own.change()?, &mark).to_fragment());
                new.push((name.to_owned(), own.over(expr!("sum({})", Ident(&mark))?)?));
            } else {
                new.push((name.to_owned(), own.expr()?));
            }
        }
        let items = with_columns(input, &new);
        let query: Sql = match marks.is_empty() {
            true => sql!("SELECT {} FROM {}", items, input)?,
            false => sql!("SELECT {} FROM (SELECT *, {} FROM {}) AS t", items, List(marks), input)?,
        };
        Ok(query.into())
    }
}

impl Computed {
    /// Refuses settings that belong to another function.
    fn check(&self, path: &str) -> Result<()> {
        use Function as F;
        let counts_places = matches!(self.function, F::RowNumber | F::Rank | F::DenseRank);
        let looks_aside = matches!(self.function, F::Lag | F::Lead);
        let foreign = [
            ("column", self.column.is_some(), !counts_places),
            ("offset", self.offset.is_some(), looks_aside),
            ("default", self.default.is_some(), looks_aside),
            (
                "frame",
                self.frame.is_some(),
                !counts_places && !looks_aside && self.function != F::Change,
            ),
        ];
        for (setting, is_given, belongs) in foreign {
            if is_given && !belongs {
                let path = format!("{path}/{setting}");
                return Err(invalid(&path, format!("this function has no `{setting}`"))
                    .hint("leave it out"));
            }
        }
        if self.column.is_none() && !counts_places && self.function != F::Count {
            return Err(invalid(path, "there is no column to compute from")
                .hint("add `column:` with the name of a column"));
        }
        Ok(())
    }
}

/// One column on its way into SQL.
struct Call<'a> {
    config: &'a Config,
    computed: &'a Computed,
    input: &'a NamedInput,
    path: &'a str,
}

impl Call<'_> {
    fn expr(&self) -> Result<Expr> {
        use Function as F;
        let function = self.computed.function;
        let column = match &self.computed.column {
            None => None,
            Some(name) => {
                let path = format!("{}/column", self.path);
                let data_type = self.input.column(name, &path)?.data_type();
                if matches!(function, F::Sum | F::Avg) && !is_number(data_type) {
                    let needs = "this function is for numbers";
                    return Err(mismatch(name, data_type, needs, &path));
                }
                Some((Expr::column(name), data_type))
            }
        };
        let Some((column, data_type)) = column else {
            return match function {
                F::RowNumber => self.over(expr!("row_number()")?),
                F::Rank => self.over(expr!("rank()")?),
                F::DenseRank => self.over(expr!("dense_rank()")?),
                _ => self.over(expr!("count(*)")?),
            };
        };
        let call = match function {
            F::Lag | F::Lead => {
                let offset = self.computed.offset.unwrap_or(1);
                let path = format!("{}/default", self.path);
                let default = self.computed.default.clone().unwrap_or_default();
                let default = literal(&default, data_type, &path)?;
                match function {
                    F::Lag => expr!("lag({}, {}, {})", column, offset, default)?,
                    _ => expr!("lead({}, {}, {})", column, offset, default)?,
                }
            }
            F::First => expr!("first_value({})", column)?,
            F::Last => expr!("last_value({})", column)?,
            F::Sum => expr!("sum({})", column)?,
            F::Avg => expr!("avg({})", column)?,
            F::Min => expr!("min({})", column)?,
            F::Max => expr!("max({})", column)?,
            _ => expr!("count({})", column)?,
        };
        self.over(call)
    }

    /// 1 where the value is another one than in the row before, otherwise 0.
    fn change(&self) -> Result<Expr> {
        let name = self.computed.column.as_deref().unwrap_or_default();
        self.input.column(name, &format!("{}/column", self.path))?;
        let window = self.window(Fragment::none())?;
        expr!(
            "CASE WHEN row_number() OVER ({}) = 1 OR \
             ({} IS DISTINCT FROM lag({}) OVER ({})) THEN 1 ELSE 0 END",
            window,
            Ident(name),
            Ident(name),
            window
        )
    }

    fn over(&self, call: Expr) -> Result<Expr> {
        let frame = self.frame()?;
        expr!("{} OVER ({})", call, self.window(frame)?)
    }

    /// PARTITION BY, ORDER BY and the frame.
    fn window(&self, frame: Fragment) -> Result<Fragment> {
        let groups: Vec<Ident> = self.config.partition_by.iter().map(Ident).collect();
        let partition = match groups.is_empty() {
            true => Fragment::none(),
            false => piece!("PARTITION BY {} ", List(groups)),
        };
        if self.looks_at_all() {
            return Ok(partition);
        }
        Ok(piece!("{}ORDER BY {}{}", partition, List(self.order()?), frame))
    }

    fn order(&self) -> Result<Vec<Sort>> {
        // With a tie breaker no two rows would ever share a place.
        let shares = matches!(self.computed.function, Function::Rank | Function::DenseRank);
        match shares && !self.config.order_by.is_empty() {
            true => self.config.order_by.given(self.input, "/order_by"),
            false => self.config.order_by.needed(self.input, "/order_by"),
        }
    }

    fn looks_at_all(&self) -> bool {
        use Function as F;
        let ordered = matches!(self.computed.function, F::First | F::Last);
        let whole = self.computed.frame == Some(ShortOr::Short("whole".to_owned()));
        whole && !ordered
    }

    fn frame(&self) -> Result<Fragment> {
        use Function as F;
        let whole = piece!(" ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING");
        let running = piece!(" ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW");
        Ok(match (&self.computed.frame, self.computed.function) {
            (None, F::RowNumber | F::Rank | F::DenseRank | F::Lag | F::Lead) => Fragment::none(),
            (None, F::First | F::Last) => whole,
            (None, _) => running,
            (Some(ShortOr::Short(name)), _) => match name.as_str() {
                "running" => running,
                "whole" => whole,
                other => {
                    return Err(invalid(
                        &format!("{}/frame", self.path),
                        format!("`{other}` is not a frame"),
                    )
                    .hint("write `running`, `whole`, or `{preceding: 6, following: 0}`"));
                }
            },
            (Some(ShortOr::Long(around)), _) => around.frame(),
        })
    }
}

impl Around {
    fn frame(self) -> Fragment {
        match (self.preceding, self.following) {
            (None, 0) => piece!(" ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"),
            (None, after) => piece!(" ROWS BETWEEN UNBOUNDED PRECEDING AND {} FOLLOWING", after),
            (Some(before), 0) => piece!(" ROWS BETWEEN {} PRECEDING AND CURRENT ROW", before),
            (Some(before), after) => {
                piece!(" ROWS BETWEEN {} PRECEDING AND {} FOLLOWING", before, after)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{one, refused, sql};

    #[test]
    fn places_have_no_tie_breaker_and_numbers_have_one() {
        let query = sql::<Window>(
            r#"{"order_by": "n", "columns": {"a": {"function": "rank"},
                                             "n": {"function": "row_number"}}}"#,
            &one("n: integer; _row: integer"),
        );
        assert_eq!(
            query,
            "SELECT row_number() OVER (ORDER BY \"n\" NULLS LAST, \"_row\" NULLS LAST) AS \"n\", \
             \"_row\", rank() OVER (ORDER BY \"n\" NULLS LAST) AS \"a\" FROM \"rows\""
        );
    }

    #[test]
    fn bad_settings_are_named() {
        let refused = |computed: &str| {
            let config = format!("{{\"order_by\": \"n\", \"columns\": {{\"x\": {computed}}}}}");
            refused::<Window>(&config, &one("n: integer; t: string"))
        };
        assert_eq!(
            refused(r#"{"function": "rank", "column": "n"}"#),
            "/columns/x/column: this function has no `column`"
        );
        assert_eq!(
            refused(r#"{"function": "sum", "column": "t"}"#),
            "/columns/x/column: `t` is of type string, but this function is for numbers"
        );
        assert_eq!(
            refused(r#"{"function": "sum", "column": "n", "frame": "all"}"#),
            "/columns/x/frame: `all` is not a frame"
        );
        assert_eq!(
            refused(r#"{"function": "lag", "column": "n", "default": "none"}"#),
            "/columns/x/default: `none` is not of type integer"
        );
    }
}
