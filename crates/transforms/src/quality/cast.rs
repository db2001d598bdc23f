//! `cast`: gives columns their types; a value that would be lost is rejected.

use super::conversion::{Conversion, Options};
use super::record::with_record;
use crate::settings::{Ordered, ShortOr, invalid};
use contracts::arrow_types::{FILE, ROW, from_field};
use contracts::rejects::ERRORS;
use contracts::sql::{Aliased, Expr, Fragment, Ident, List, Sql, Text, ToFragment};
use contracts::{Example, Inputs, NamedInput, Relation, Relational, RowLaw, expr, piece, sql};
use model::{DataType, Problem, Result};
use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of `cast`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The type of each column: `amount: integer`, or with how it is written:
    /// `amount: {type: "decimal(12,2)", decimal: ","}`.
    columns: Ordered<ShortOr<Column>>,
    /// What happens to columns that are not listed.
    #[serde(default)]
    rest: Rest,
    /// Texts that stand for a missing value in every listed column, such as `N/A` or `NULL`.
    #[serde(default)]
    null_values: Vec<String>,
}

/// How a column is written, and what it becomes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Column {
    /// The type it becomes.
    #[serde(rename = "type")]
    data_type: DataType,
    /// For dates and times: how they are written, such as `%d/%m/%Y %H:%M`; ISO 8601 if it is
    /// left out. For binary: `hex` or `base64`.
    #[serde(default)]
    format: Option<String>,
    /// For numbers: the decimal character.
    #[serde(default)]
    decimal: Option<String>,
    /// For numbers: what stands between groups of three digits.
    #[serde(default)]
    group: Option<String>,
    /// For timestamps: the time zone of times that bring none, such as `Europe/Paris`; the
    /// project's if it is left out.
    #[serde(default)]
    zone: Option<String>,
    /// For strings: whether white space on both sides is taken off.
    #[serde(default)]
    trim: bool,
    /// For strings: whether an empty text becomes null. Other types always take it for that.
    #[serde(default)]
    empty_as_null: bool,
    /// Texts that stand for a missing value in this column, besides those for all columns.
    #[serde(default)]
    null_values: Vec<String>,
}

/// What happens to columns that are not listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Rest {
    /// They stay as they are.
    #[default]
    Keep,
    /// They are left out, except `_file` and `_row`.
    Drop,
}

/// The module.
pub struct Cast;

impl Relational for Cast {
    type Config = Config;
    const NAME: &'static str = "cast";
    const SUMMARY: &'static str =
        "Give columns their types; rows whose values do not fit are rejected.";
    const LAW: RowLaw = RowLaw::Each;
    const REJECTS: bool = true;
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "French orders; a row that cannot be read is rejected as it came",
            config: r#"{"columns": {
                "order_id": "integer",
                "ordered_at": {
                    "type": "timestamp", "format": "%d/%m/%Y %H:%M", "zone": "Europe/Paris"
                },
                "amount": {"type": "decimal(12,2)", "decimal": ",", "group": " "}
            }}"#,
            inputs: &[(
                "rows",
                "{\"order_id\": \"1\", \"ordered_at\": \"31/07/2026 08:30\", \
                 \"amount\": \"1 234,50\", \
                 \"note\": \"ok\", \"_file\": \"a.csv\", \"_row\": 2}\n\
                 {\"order_id\": \"2x\", \"ordered_at\": \"31/02/2026 08:30\", \"amount\": \"1.5\", \
                 \"note\": \"three errors\", \"_file\": \"a.csv\", \"_row\": 3}\n\
                 {\"order_id\": \" 3 \", \"ordered_at\": \"\", \"amount\": null, \
                 \"note\": \"blank is null\", \"_file\": \"a.csv\", \"_row\": 4}",
            )],
            outputs: &[
                (
                    "out",
                    "{\"#types\": {\"ordered_at\": \"timestamp\", \"amount\": \"decimal(12,2)\"}}\n\
                     {\"order_id\": 1, \"ordered_at\": \"2026-07-31T06:30:00Z\", \"amount\": \
                     \"1234.50\", \
                     \"note\": \"ok\", \"_file\": \"a.csv\", \"_row\": 2}\n\
                     {\"order_id\": 3, \"ordered_at\": null, \"amount\": null, \
                     \"note\": \"blank is null\", \"_file\": \"a.csv\", \"_row\": 4}",
                ),
                (
                    "rejects",
                    "{\"_file\": \"a.csv\", \"_row\": 3, \"_errors\": [\
                     {\"column\": \"order_id\", \"value\": \"2x\", \
                     \"reason\": \"is not an integer\"}, \
                     {\"column\": \"ordered_at\", \"value\": \"31/02/2026 08:30\", \
                     \"reason\": \"is a day that does not exist\"}, \
                     {\"column\": \"amount\", \"value\": \"1.5\", \
                     \"reason\": \"is not a number with the decimal character `,`\"}], \
                     \"_record\": \
                     \"{\\\"order_id\\\":\\\"2x\\\",\\\"ordered_at\\\":\\\"31/02/2026 08:30\\\",\
                     \\\"amount\\\":\\\"1.5\\\",\\\"note\\\":\\\"three errors\\\"}\"}",
                ),
            ],
        },
        Example {
            title: "digits are never lost",
            config: r#"{"columns": {"price": "decimal(5,2)"}, "rest": "drop"}"#,
            inputs: &[(
                "rows",
                "{\"price\": \"1.50\", \"id\": 1}\n{\"price\": \"1.500\", \"id\": 2}\n\
                 {\"price\": \"1.505\", \"id\": 3}\n{\"price\": \"1234\", \"id\": 4}",
            )],
            outputs: &[
                (
                    "out",
                    "{\"#types\": {\"price\": \"decimal(5,2)\"}}\n\
                     {\"price\": \"1.50\"}\n{\"price\": \"1.50\"}",
                ),
                (
                    "rejects",
                    "{\"_errors\": [{\"column\": \"price\", \"value\": \"1.505\", \
                     \"reason\": \"has more than 2 decimals\"}], \
                     \"_record\": \"{\\\"price\\\":\\\"1.505\\\",\\\"id\\\":3}\"}\n\
                     {\"_errors\": [{\"column\": \"price\", \"value\": \"1234\", \
                     \"reason\": \"has more than 3 digits before the decimals\"}], \
                     \"_record\": \"{\\\"price\\\":\\\"1234\\\",\\\"id\\\":4}\"}",
                ),
            ],
        },
        Example {
            title: "words for yes, no and nothing",
            config: r#"{"columns": {
                "paid": "boolean",
                "name": {"type": "string", "trim": true, "empty_as_null": true}},
                        "null_values": ["N/A"]}"#,
            inputs: &[(
                "rows",
                "{\"paid\": \"oui\", \"name\": \" Ana \"}\n{\"paid\": \"0\", \"name\": \"  \"}\n\
                 {\"paid\": \"N/A\", \"name\": \"N/A\"}",
            )],
            outputs: &[(
                "out",
                "{\"paid\": true, \"name\": \"Ana\"}\n{\"paid\": false, \"name\": null}\n\
                     {\"paid\": null, \"name\": null}",
            )],
        },
        Example {
            title: "numbers and instants to other types",
            config: r#"{"columns": {
                "n": "integer", "day": {"type": "date", "zone": "Europe/Paris"}, "i": "string"
            }}"#,
            inputs: &[(
                "rows",
                "{\"#types\": {\"n\": \"float\", \"day\": \"timestamp\", \"i\": \"integer\"}}\n\
                 {\"n\": 2.0, \"day\": \"2026-07-31T22:30:00Z\", \"i\": 7}\n\
                 {\"n\": 2.5, \"day\": null, \"i\": null}",
            )],
            outputs: &[
                (
                    "out",
                    "{\"#types\": {\"n\": \"integer\", \"day\": \"date\"}}\n\
                     {\"n\": 2, \"day\": \"2026-08-01\", \"i\": \"7\"}",
                ),
                (
                    "rejects",
                    "{\"_errors\": [{\"column\": \"n\", \"value\": \"2.5\", \
                     \"reason\": \"has decimals\"}], \
                     \"_record\": \"{\\\"n\\\":2.5,\\\"day\\\":null,\\\"i\\\":null}\"}",
                ),
            ],
        },
    ];

    fn query(config: &Config, inputs: &Inputs) -> Result<Relation> {
        let input = inputs.only()?;
        if config.columns.is_empty() {
            return Err(invalid("/columns", "there is no column to cast")
                .hint("add one, such as `amount: integer`"));
        }
        let casts = casts(config, input, &inputs.time_zone)?;
        let checked = checked(config, input, &casts)?;
        let received: Vec<(&str, &str)> = input
            .columns()
            .filter(|name| !is_origin(name))
            .map(|name| (name, raw_name(&casts, name)))
            .collect();
        let recorded = with_record(&checked, &received)?;
        let kept: Vec<Ident<'_>> = input
            .columns()
            .filter(|name| {
                config.rest == Rest::Keep || is_origin(name) || config.columns.get(name).is_some()
            })
            .chain([ERRORS, contracts::rejects::RECORD])
            .map(Ident)
            .collect();
        Ok(Relation::with_rejects(sql!("SELECT {} FROM {} AS t", List(kept), recorded)?))
    }
}

fn is_origin(name: &str) -> bool {
    name == FILE || name == ROW
}

/// A column that changes.
struct ColumnCast<'a> {
    name: &'a str,
    /// What the column as received is called beside the new one.
    raw: String,
    conversion: Conversion,
}

/// The listed columns that change, in the order of the input.
fn casts<'a>(
    config: &Config,
    input: &'a NamedInput,
    time_zone: &str,
) -> Result<Vec<ColumnCast<'a>>> {
    for (name, _) in config.columns.iter() {
        let setting = format!("/columns/{name}");
        input.column(name, &setting)?;
        if is_origin(name) {
            return Err(invalid(&setting, format!("`{name}` says where a row came from"))
                .hint("copy it with `derive`, and cast the copy"));
        }
    }
    let mut casts = Vec::new();
    for field in input.schema.fields() {
        let Some(wanted) = config.columns.get(field.name()) else { continue };
        let setting = format!("/columns/{}", field.name());
        let (data_type, options) = options(wanted, config, time_zone, &setting)?;
        let source = from_field(field);
        let conversion = Conversion::new(field.name(), &source, &data_type, &options, &setting)?;
        if let Some(conversion) = conversion {
            let mut raw = format!("{}:raw", field.name());
            while input.has(&raw) {
                raw.push('_');
            }
            casts.push(ColumnCast { name: field.name(), raw, conversion });
        }
    }
    Ok(casts)
}

fn options(
    wanted: &ShortOr<Column>,
    config: &Config,
    time_zone: &str,
    setting: &str,
) -> Result<(DataType, Options)> {
    let mut options = Options { null_values: config.null_values.clone(), ..Options::default() };
    let data_type = match wanted {
        ShortOr::Short(text) => {
            DataType::parse(text).map_err(|problem: Problem| problem.in_setting(setting))?
        }
        ShortOr::Long(column) => {
            options.format.clone_from(&column.format);
            options.decimal.clone_from(&column.decimal);
            options.group.clone_from(&column.group);
            options.zone.clone_from(&column.zone);
            options.trim = column.trim;
            options.empty_as_null = column.empty_as_null;
            options.null_values.extend(column.null_values.iter().cloned());
            column.data_type.clone()
        }
    };
    options.check(&data_type, setting)?;
    if data_type == DataType::Timestamp && options.zone.is_none() {
        let is_utc = matches!(time_zone, "" | "UTC");
        options.zone = (!is_utc).then(|| time_zone.to_owned());
    }
    Ok((data_type, options))
}

fn raw_name<'a>(casts: &'a [ColumnCast<'_>], name: &'a str) -> &'a str {
    casts.iter().find(|cast| cast.name == name).map_or(name, |cast| &cast.raw)
}

/// Every column, new and as received, and `_errors`.
fn checked(config: &Config, input: &NamedInput, casts: &[ColumnCast<'_>]) -> Result<Sql> {
    let mut items: Vec<Fragment> = Vec::new();
    for name in input.columns() {
        let found = casts.iter().find(|cast| cast.name == name);
        match found {
            Some(cast) => {
                items.push(piece!("{} AS {}", Ident(name), Ident(&cast.raw)));
                items.push(Aliased(cast.conversion.value.clone(), name).to_fragment());
            }
            None => items.push(Ident(name).to_fragment()),
        }
    }
    let parsed = sql!("SELECT {} FROM {}", List(items), input)?;
    let errors = errors(config, casts)?;
    sql!("SELECT *, {} AS {} FROM {} AS t", errors, Ident(ERRORS), parsed)
}

/// What was there and is lost. Only conversions that can lose something are asked.
fn errors(config: &Config, casts: &[ColumnCast<'_>]) -> Result<Expr> {
    let mut arguments = Vec::new();
    for (name, _) in config.columns.iter() {
        let Some(cast) = casts.iter().find(|cast| cast.name == name) else { continue };
        let Some(explanation) = &cast.conversion.explanation else { continue };
        arguments.push(piece!(
            "{}, {}, {}, {}, {}, {}",
            Text(name),
            cast.conversion.raw(&cast.raw)?,
            Ident(name),
            Text(&explanation.data_type),
            text_or_null(explanation.format.as_deref()),
            text_or_null(explanation.zone.as_deref())
        ));
    }
    expr!("cast_errors({})", List(arguments))
}

fn text_or_null(text: Option<&str>) -> Fragment {
    text.map_or_else(|| piece!("NULL"), |text| Text(text).to_fragment())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{one, problem, refused, sql};
    use contracts::Inputs;

    #[test]
    fn parsed_and_raw_columns_stand_side_by_side() {
        let query = sql::<Cast>(
            r#"{"columns": {"d": {"type": "date", "format": "%d/%m/%Y"}, "n": "integer"}}"#,
            &one("n: string; d: string; x: float; _row: integer"),
        );
        assert_eq!(
            query,
            "SELECT \"n\", \"d\", \"x\", \"_row\", \"_errors\", \"_record\" FROM (SELECT *, \
             row_record(\"_errors\", 'n', \"n:raw\", 'd', \"d:raw\", 'x', \"x\") AS \"_record\" \
             FROM \
             (SELECT *, cast_errors('d', \"d:raw\", \"d\", 'date', '%d/%m/%Y', NULL, \
             'n', \"n:raw\", \"n\", 'integer', NULL, NULL) AS \"_errors\" FROM \
             (SELECT \"n\" AS \"n:raw\", try_integer(\"n\") AS \"n\", \
             \"d\" AS \"d:raw\", try_date(\"d\", '%d/%m/%Y') AS \"d\", \"x\", \"_row\" FROM \
             \"rows\") AS t) \
             AS t) AS t"
        );
    }

    #[test]
    fn what_has_its_type_already_is_left_alone() {
        let query = sql::<Cast>(
            r#"{"columns": {"n": "integer", "s": "string"}, "rest": "drop"}"#,
            &one("n: integer; s: string; x: float; _file: string"),
        );
        assert!(query.starts_with("SELECT \"n\", \"s\", \"_file\", \"_errors\", \"_record\" FROM"));
        assert!(query.contains("cast_errors()"), "{query}");
        assert!(query.contains("(SELECT \"n\", \"s\", \"x\", \"_file\" FROM \"rows\")"), "{query}");
    }

    #[test]
    fn the_project_has_a_time_zone() {
        let inputs = Inputs { time_zone: "Europe/Paris".to_owned(), ..one("t: string") };
        let query = sql::<Cast>(r#"{"columns": {"t": "timestamp"}}"#, &inputs);
        assert!(query.contains("try_timestamp(\"t\", NULL, 'Europe/Paris') AS \"t\""), "{query}");
        let utc = Inputs { time_zone: "UTC".to_owned(), ..one("t: string") };
        let query = sql::<Cast>(r#"{"columns": {"t": "timestamp"}}"#, &utc);
        assert!(query.contains("try_timestamp(\"t\") AS \"t\""), "{query}");
    }

    #[test]
    fn mistakes_are_answered() {
        let inputs = one("amount: string; l: list<string>; _row: integer");
        let near = problem::<Cast>(r#"{"columns": {"amout": "integer"}}"#, &inputs);
        assert_eq!(near.hint_text(), Some("did you mean `amount`?"));
        assert_eq!(near.context().setting.as_deref(), Some("/columns/amout"));
        let refused = |config| refused::<Cast>(config, &inputs);
        assert_eq!(
            refused(r#"{"columns": {"amount": "int"}}"#),
            "/columns/amount: `int` is not a type"
        );
        assert_eq!(
            refused(r#"{"columns": {"amount": {"type": "integer", "format": "%d"}}}"#),
            "/columns/amount/format: a column of type `integer` has no `format`"
        );
        assert_eq!(
            refused(r#"{"columns": {"l": "integer"}}"#),
            "/columns/l: `l` is of type list<string>, but it is to become integer"
        );
        assert_eq!(
            refused(r#"{"columns": {"_row": "string"}}"#),
            "/columns/_row: `_row` says where a row came from"
        );
        assert_eq!(refused(r#"{"columns": {}}"#), "/columns: there is no column to cast");
        assert!(
            refused(r#"{"columns": {"amount": {"type": "integer", "colour": 1}}}"#)
                .starts_with("/columns/amount")
        );
    }
}
