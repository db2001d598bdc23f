//! The filters and tests that expressions may use: none makes much out of little.

use super::TEXT_BYTES_MAX;
use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, NaiveDate};
use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, filters, tests};

/// All filters.
pub(super) const NAMES: &[&str] = &[
    "abs",
    "bool",
    "capitalize",
    "date",
    "default",
    "first",
    "float",
    "int",
    "join",
    "json",
    "last",
    "length",
    "lower",
    "map",
    "max",
    "min",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "select",
    "selectattr",
    "sort",
    "split",
    "string",
    "sum",
    "times",
    "title",
    "trim",
    "unique",
    "upper",
];

/// Makes them known.
pub(super) fn add(environment: &mut Environment<'static>) {
    environment.add_filter("abs", filters::abs);
    environment.add_filter("bool", filters::bool);
    environment.add_filter("capitalize", filters::capitalize);
    environment.add_filter("date", date);
    environment.add_filter("default", filters::default);
    environment.add_filter("first", filters::first);
    environment.add_filter("float", filters::float);
    environment.add_filter("int", filters::int);
    environment.add_filter("join", join);
    environment.add_filter("json", json);
    environment.add_filter("last", filters::last);
    environment.add_filter("length", filters::length);
    environment.add_filter("lower", filters::lower);
    environment.add_filter("map", filters::map);
    environment.add_filter("max", filters::max);
    environment.add_filter("min", filters::min);
    environment.add_filter("reject", filters::reject);
    environment.add_filter("rejectattr", filters::rejectattr);
    environment.add_filter("replace", replace);
    environment.add_filter("reverse", filters::reverse);
    environment.add_filter("round", filters::round);
    environment.add_filter("select", filters::select);
    environment.add_filter("selectattr", filters::selectattr);
    environment.add_filter("sort", filters::sort);
    environment.add_filter("split", filters::split);
    environment.add_filter("string", filters::string);
    environment.add_filter("sum", filters::sum);
    environment.add_filter("times", times);
    environment.add_filter("title", filters::title);
    environment.add_filter("trim", filters::trim);
    environment.add_filter("unique", filters::unique);
    environment.add_filter("upper", filters::upper);
    add_tests(environment);
}

fn add_tests(environment: &mut Environment<'static>) {
    environment.add_test("defined", |value: &Value| !value.is_undefined());
    environment.add_test("undefined", Value::is_undefined);
    environment.add_test("none", Value::is_none);
    environment.add_test("number", tests::is_number);
    environment.add_test("string", tests::is_string);
    environment.add_test("sequence", tests::is_sequence);
    environment.add_test("mapping", tests::is_mapping);
    environment.add_test("startingwith", tests::is_startingwith);
    environment.add_test("endingwith", tests::is_endingwith);
    environment.add_test("even", tests::is_even);
    environment.add_test("odd", tests::is_odd);
    environment.add_test("in", tests::is_in);
    environment.add_test("==", tests::is_eq);
    environment.add_test("!=", tests::is_ne);
    environment.add_test("<", tests::is_lt);
    environment.add_test("<=", tests::is_le);
    environment.add_test(">", tests::is_gt);
    environment.add_test(">=", tests::is_ge);
}

fn refused(fact: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, fact)
}

fn within_limit(bytes: Option<usize>) -> Result<(), Error> {
    match bytes.is_some_and(|bytes| bytes <= TEXT_BYTES_MAX) {
        true => Ok(()),
        false => Err(refused("a text would have more than 1 MiB")),
    }
}

/// `list | join(", ")`.
fn join(value: &Value, separator: Option<&str>) -> Result<String, Error> {
    let separator = separator.unwrap_or_default();
    let mut joined = String::new();
    for (at, item) in value.try_iter()?.enumerate() {
        if at > 0 {
            joined.push_str(separator);
        }
        joined.push_str(&item.to_string());
        within_limit(Some(joined.len()))?;
    }
    Ok(joined)
}

/// `text | replace("a", "b")`.
fn replace(text: &str, from: &str, to: &str) -> Result<String, Error> {
    let found = if from.is_empty() { text.len() + 1 } else { text.matches(from).count() };
    within_limit(found.checked_mul(to.len()).and_then(|more| more.checked_add(text.len())))?;
    Ok(text.replace(from, to))
}

/// `number | times(2)`.
fn times(value: &Value, by: &Value) -> Result<Value, Error> {
    if value.kind() != ValueKind::Number || by.kind() != ValueKind::Number {
        return Err(refused("only numbers can be multiplied"));
    }
    if let (Ok(a), Ok(b)) = (i64::try_from(value.clone()), i64::try_from(by.clone())) {
        let product = a.checked_mul(b).ok_or_else(|| refused("the product is too large"))?;
        return Ok(Value::from(product));
    }
    Ok(Value::from(f64::try_from(value.clone())? * f64::try_from(by.clone())?))
}

/// `value | json`.
fn json(value: &Value) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|_| refused("the value cannot be written as JSON"))
}

/// `interval.start | date("%Y-%m-%d")`: a day or an instant, in UTC.
fn date(text: &str, format: Option<&str>) -> Result<String, Error> {
    let format = format.unwrap_or("%Y-%m-%d");
    let items: Vec<Item<'_>> = StrftimeItems::new(format).collect();
    if items.contains(&Item::Error) {
        return Err(refused("the format has letters that mean nothing, as in `%Y-%m-%d`"));
    }
    let instant = DateTime::parse_from_rfc3339(text).ok().map(|instant| instant.naive_utc());
    let day = || text.parse::<NaiveDate>().ok()?.and_hms_opt(0, 0, 0);
    let instant = instant.or_else(day).ok_or_else(|| refused("this is not a day or an instant"))?;
    Ok(instant.and_utc().format_with_items(items.iter()).to_string())
}
