//! From one type to another: the expression that does it, and whether it can lose a value.

use crate::settings::invalid;
use crate::values::{cast, mismatch};
use contracts::arrow_types::to_arrow;
use contracts::sql::{Expr, Fragment, Ident, List, Text, ToFragment};
use contracts::{expr, piece};
use model::{DataType, Problem, Result};

/// How a column is written.
#[derive(Debug, Clone, Default)]
pub(super) struct Options {
    pub(super) format: Option<String>,
    pub(super) decimal: Option<String>,
    pub(super) group: Option<String>,
    pub(super) zone: Option<String>,
    pub(super) trim: bool,
    pub(super) empty_as_null: bool,
    pub(super) null_values: Vec<String>,
}

/// How a column changes its type.
pub(super) struct Conversion {
    /// The new value; null where it cannot be made.
    pub(super) value: Expr,
    /// What is needed to say why there is none; nothing when there always is one.
    pub(super) explanation: Option<Explanation>,
    /// Texts that stand for nothing.
    null_values: Vec<String>,
}

/// What `cast_errors` needs to know.
pub(super) struct Explanation {
    pub(super) data_type: String,
    pub(super) format: Option<String>,
    pub(super) zone: Option<String>,
}

impl Options {
    /// Refuses settings that mean nothing for the type.
    pub(super) fn check(&self, data_type: &DataType, setting: &str) -> Result<()> {
        use DataType as T;
        let is_number = matches!(data_type, T::Decimal(_, _) | T::Float);
        let is_timed = matches!(data_type, T::Date | T::Time | T::Timestamp | T::Binary);
        let is_text = *data_type == T::String;
        let settings = [
            ("format", self.format.is_some(), is_timed),
            ("decimal", self.decimal.is_some(), is_number),
            ("group", self.group.is_some(), is_number || *data_type == T::Integer),
            ("zone", self.zone.is_some(), matches!(data_type, T::Timestamp | T::Date)),
            ("trim", self.trim, is_text),
            ("empty_as_null", self.empty_as_null, is_text),
        ];
        match settings.iter().find(|(_, given, fits)| *given && !fits) {
            Some((name, _, _)) => Err(invalid(
                &format!("{setting}/{name}"),
                format!("a column of type `{data_type}` has no `{name}`"),
            )
            .arg("type", data_type)
            .hint(format!("remove `{name}`"))),
            None => Ok(()),
        }
    }

    /// The decimal character and the group character, where one of them is given.
    fn notation(&self) -> Option<(&str, Option<&str>)> {
        let given = self.decimal.is_some() || self.group.is_some();
        given.then(|| (self.decimal.as_deref().unwrap_or("."), self.group.as_deref()))
    }
}

impl Conversion {
    /// From `source` to `target`; none when nothing changes.
    pub(super) fn new(
        column: &str,
        source: &DataType,
        target: &DataType,
        options: &Options,
        setting: &str,
    ) -> Result<Option<Self>> {
        let is_text = matches!(source, DataType::String | DataType::Json | DataType::Uuid);
        let null_values = if is_text { options.null_values.clone() } else { Vec::new() };
        let plain = expr!("{}", Ident(column))?;
        let refuse = || -> Problem {
            mismatch(column, &to_arrow(source), &format!("it is to become {target}"), setting)
        };
        let value = match is_text {
            true => {
                let text = without(&plain, &null_values)?;
                from_text(&text, source, target, options)?.ok_or_else(refuse)?
            }
            false => from_typed(&plain, source, target, options)?.ok_or_else(refuse)?,
        };
        if value == plain {
            return Ok(None);
        }
        let explanation = can_lose(source, target, is_text).then(|| explanation(target, options));
        Ok(Some(Self { value, explanation, null_values }))
    }

    /// The column as received, null where its text stands for nothing.
    pub(super) fn raw(&self, name: &str) -> Result<Expr> {
        without(&expr!("{}", Ident(name))?, &self.null_values)
    }
}

fn without(text: &Expr, null_values: &[String]) -> Result<Expr> {
    if null_values.is_empty() {
        return Ok(text.clone());
    }
    let values: Vec<Text<'_>> = null_values.iter().map(|value| Text(value)).collect();
    expr!("null_where({}, {})", text, List(values))
}

fn explanation(target: &DataType, options: &Options) -> Explanation {
    let format = match target {
        DataType::Integer => options.group.clone(),
        _ => match options.notation() {
            Some((decimal, group)) => Some(format!("{decimal}{}", group.unwrap_or_default())),
            None => options.format.clone(),
        },
    };
    let zone = options.zone.clone().filter(|_| *target == DataType::Timestamp);
    Explanation { data_type: target.to_string(), format, zone }
}

/// Whether there can be a value before and none after.
fn can_lose(source: &DataType, target: &DataType, is_text: bool) -> bool {
    use DataType as T;
    match (source, target) {
        (_, T::String) => false,
        (_, T::Json) => is_text,
        (T::Integer | T::Decimal(_, _) | T::Boolean, T::Float) => false,
        (T::Boolean, T::Integer) | (T::Timestamp, T::Date) => false,
        (T::Decimal(p1, s1), T::Decimal(p2, s2)) => !is_wider((*p1, *s1), (*p2, *s2)),
        _ => true,
    }
}

/// Whether every number of the first decimal type is one of the second.
fn is_wider(from: (u8, i8), to: (u8, i8)) -> bool {
    let before = |(precision, scale): (u8, i8)| i16::from(precision) - i16::from(scale);
    to.1 >= from.1 && before(to) >= before(from)
}

/// A parsed text; none when a text never becomes that.
fn from_text(
    text: &Expr,
    source: &DataType,
    target: &DataType,
    options: &Options,
) -> Result<Option<Expr>> {
    use DataType as T;
    let format = options.format.as_deref().map(Text);
    Ok(Some(match target {
        same if same == source && *same != T::String => text.clone(),
        T::String => string(text, source, options)?,
        T::Integer => {
            expr!("try_integer({})", arguments(text, &[options.group.as_deref().map(Text)]))?
        }
        T::Decimal(precision, scale) => {
            let mut arguments = vec![text.to_fragment(), digits(*precision, *scale)];
            let (decimal, group) = options.notation().unzip();
            arguments.extend(present(&[decimal.map(Text), group.flatten().map(Text)]));
            expr!("try_decimal({})", List(arguments))?
        }
        T::Float => {
            let (decimal, group) = options.notation().unzip();
            expr!(
                "try_float({})",
                arguments(text, &[decimal.map(Text), group.flatten().map(Text)])
            )?
        }
        T::Boolean => expr!("try_boolean({})", arguments(text, &[]))?,
        T::Date => expr!("try_date({})", arguments(text, &[format]))?,
        T::Time => expr!("try_time({})", arguments(text, &[format]))?,
        T::Timestamp => expr!(
            "try_timestamp({})",
            arguments(text, &[format, options.zone.as_deref().map(Text)])
        )?,
        T::Uuid => expr!("try_uuid({})", arguments(text, &[]))?,
        T::Json => expr!("try_json({})", arguments(text, &[]))?,
        T::Binary => expr!("try_binary({})", arguments(text, &[format]))?,
        T::List(_) | T::Struct(_) | T::Geometry => return Ok(None),
    }))
}

fn string(text: &Expr, source: &DataType, options: &Options) -> Result<Expr> {
    let mut value = match source {
        DataType::String => text.clone(),
        _ => expr!("to_text({})", text)?,
    };
    if options.trim {
        value = expr!("trim_text({})", value)?;
    }
    if options.empty_as_null {
        value = expr!("NULLIF({}, '')", value)?;
    }
    Ok(value)
}

/// The arguments of a call, without the last ones that are absent.
fn arguments(text: &Expr, more: &[Option<Text<'_>>]) -> List<Fragment> {
    let mut arguments = vec![text.to_fragment()];
    arguments.extend(present(more));
    List(arguments)
}

fn present(arguments: &[Option<Text<'_>>]) -> Vec<Fragment> {
    let end = arguments.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
    let fragment = |argument: &Option<Text<'_>>| match argument {
        Some(text) => text.to_fragment(),
        None => piece!("NULL"),
    };
    arguments[..end].iter().map(fragment).collect()
}

/// A typed value as another type; none when there is no sense in that.
fn from_typed(
    value: &Expr,
    source: &DataType,
    target: &DataType,
    options: &Options,
) -> Result<Option<Expr>> {
    use DataType as T;
    let arrow = to_arrow(target);
    let printed = || expr!("to_text({})", value);
    Ok(Some(match (source, target) {
        (source, target) if source == target => value.clone(),
        (_, T::String) => printed()?,
        (_, T::Json) => expr!("to_json_text({})", value)?,
        (T::Integer | T::Boolean, T::Decimal(precision, scale)) => {
            let digits = digits(*precision, *scale);
            expr!("TRY_CAST(CAST({} AS BIGINT) AS DECIMAL({}))", value, digits)?
        }
        (T::Integer | T::Decimal(_, _), T::Float) | (T::Boolean, T::Integer) => {
            cast(value, &arrow)?
        }
        (T::Boolean, T::Float) => cast(&expr!("CAST({} AS BIGINT)", value)?, &arrow)?,
        (T::Float | T::Decimal(_, _), T::Integer) => {
            expr!("TRY_CAST(try_decimal(to_text({}), 38, 0) AS BIGINT)", value)?
        }
        (T::Decimal(p1, s1), T::Decimal(p2, s2)) if is_wider((*p1, *s1), (*p2, *s2)) => {
            cast(value, &arrow)?
        }
        (T::Float | T::Decimal(_, _), T::Decimal(precision, scale)) => {
            expr!("try_decimal(to_text({}), {})", value, digits(*precision, *scale))?
        }
        (T::Integer, T::Boolean) => expr!("try_boolean(to_text({}))", value)?,
        (T::Date, T::Timestamp) => {
            let options = Options { format: None, ..options.clone() };
            return from_text(&printed()?, &T::String, target, &options);
        }
        (T::Timestamp, T::Date) => {
            let zone = options.zone.as_deref().unwrap_or("UTC");
            expr!("local_date({}, {})", value, Text(zone))?
        }
        (T::Integer | T::Float | T::Decimal(_, _), T::Date | T::Time | T::Timestamp)
            if options.format.is_some() =>
        {
            return from_text(&printed()?, &T::String, target, options);
        }
        _ => return Ok(None),
    }))
}

fn digits(precision: u8, scale: i8) -> Fragment {
    piece!("{}, {}", u64::from(precision), u64::from(scale.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(source: &str, target: &str, options: &Options) -> String {
        let (source, target) = (DataType::parse(source).unwrap(), DataType::parse(target).unwrap());
        match Conversion::new("x", &source, &target, options, "/x") {
            Ok(Some(conversion)) => {
                let mark = if conversion.explanation.is_some() { "?" } else { "" };
                format!("{}{mark}", conversion.value)
            }
            Ok(None) => "-".to_owned(),
            Err(problem) => problem.message().to_owned(),
        }
    }

    #[test]
    fn every_pair_of_types() {
        for (source, target, expected) in [
            ("string", "integer", "try_integer(\"x\")?"),
            ("string", "decimal(9,2)", "try_decimal(\"x\", 9, 2)?"),
            ("string", "time", "try_time(\"x\")?"),
            ("string", "uuid", "try_uuid(\"x\")?"),
            ("string", "json", "try_json(\"x\")?"),
            ("string", "binary", "try_binary(\"x\")?"),
            ("string", "string", "-"),
            ("json", "json", "-"),
            ("json", "string", "to_text(\"x\")"),
            ("integer", "integer", "-"),
            ("integer", "string", "to_text(\"x\")"),
            ("integer", "decimal(9,2)", "TRY_CAST(CAST(\"x\" AS BIGINT) AS DECIMAL(9,2))?"),
            ("integer", "float", "CAST(\"x\" AS DOUBLE)"),
            ("integer", "boolean", "try_boolean(to_text(\"x\"))?"),
            ("integer", "date", "`x` is of type integer, but it is to become date"),
            ("float", "integer", "TRY_CAST(try_decimal(to_text(\"x\"), 38, 0) AS BIGINT)?"),
            ("float", "decimal(9,2)", "try_decimal(to_text(\"x\"), 9, 2)?"),
            ("decimal(9,2)", "decimal(12,3)", "arrow_cast(\"x\", 'Decimal128(12, 3)')"),
            ("decimal(9,2)", "decimal(9,1)", "try_decimal(to_text(\"x\"), 9, 1)?"),
            ("boolean", "integer", "CAST(\"x\" AS BIGINT)"),
            ("date", "timestamp", "try_timestamp(to_text(\"x\"))?"),
            ("timestamp", "date", "local_date(\"x\", 'UTC')"),
            ("timestamp", "boolean", "`x` is of type timestamp, but it is to become boolean"),
            ("list<integer>", "json", "to_json_text(\"x\")"),
            ("list<integer>", "list<integer>", "-"),
            ("string", "list<integer>", "`x` is of type string, but it is to become list<integer>"),
        ] {
            assert_eq!(value(source, target, &Options::default()), expected, "{source} → {target}");
        }
    }

    #[test]
    fn how_it_is_written() {
        let french = Options {
            decimal: Some(",".to_owned()),
            group: Some(" ".to_owned()),
            ..Options::default()
        };
        assert_eq!(value("string", "float", &french), "try_float(\"x\", ',', ' ')?");
        assert_eq!(value("string", "decimal(9,2)", &french), "try_decimal(\"x\", 9, 2, ',', ' ')?");
        let grouped = Options { group: Some(",".to_owned()), ..Options::default() };
        assert_eq!(value("string", "integer", &grouped), "try_integer(\"x\", ',')?");
        assert_eq!(value("string", "float", &grouped), "try_float(\"x\", '.', ',')?");
        let compact = Options { format: Some("%Y%m%d".to_owned()), ..Options::default() };
        assert_eq!(value("integer", "date", &compact), "try_date(to_text(\"x\"), '%Y%m%d')?");
        let tidy = Options {
            trim: true,
            empty_as_null: true,
            null_values: vec!["N/A".to_owned()],
            ..Options::default()
        };
        assert_eq!(
            value("string", "string", &tidy),
            "NULLIF(trim_text(null_where(\"x\", 'N/A')), '')"
        );
    }
}
