//! Pages of an answer: where the next one is, how many rows one has, and the highest cursor in it.

use super::client::Answer;
use model::{Problem, Result, codes};
use reqwest::header::LINK;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

/// How a service spreads its rows over several answers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "type", deny_unknown_fields)]
pub(super) enum Pagination {
    /// Pages are numbered: `?page=2`. The last one is empty, or shorter than `size`.
    Page {
        /// Name of the parameter with the number.
        #[serde(default = "page_param")]
        param: String,
        /// Number of the first page.
        #[serde(default = "first_page")]
        start: u64,
        /// Name of the parameter with the size of a page, if there is one.
        #[serde(default)]
        size_param: Option<String>,
        /// Rows of a full page, if known.
        #[serde(default)]
        size: Option<u64>,
    },
    /// Rows are numbered: `?offset=200&limit=100`. The last page is shorter than `size`.
    Offset {
        /// Name of the parameter with the number of rows to pass over.
        #[serde(default = "offset_param")]
        param: String,
        /// Name of the parameter with the size of a page.
        #[serde(default = "limit_param")]
        size_param: String,
        /// Rows of a full page.
        size: u64,
    },
    /// Each answer has a value that asks for the next: `?cursor=…`.
    Cursor {
        /// Name of the parameter with the value.
        param: String,
        /// Where the value is in an answer, such as `meta.next_cursor`. Null, empty or missing on
        /// the last page.
        path: String,
    },
    /// Each answer has the address of the next.
    NextLink {
        /// Where the address is in an answer, such as `links.next`. Null, empty or missing on the
        /// last page.
        path: String,
    },
    /// The header `Link` has the address of the next answer, as `rel="next"`.
    LinkHeader,
}

fn page_param() -> String {
    "page".to_owned()
}

fn first_page() -> u64 {
    1
}

fn offset_param() -> String {
    "offset".to_owned()
}

fn limit_param() -> String {
    "limit".to_owned()
}

/// Formats of answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Format {
    /// One JSON value: a list of rows, or an object with rows at `record_path`.
    #[default]
    Json,
    /// One JSON value per line.
    Ndjson,
    /// CSV with a header.
    Csv,
}

/// Where a page is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Position {
    /// At the address of the settings, as it is.
    First,
    /// By number of pages or rows.
    Number(u64),
    /// By the value that the page before gave.
    Cursor(String),
    /// At an address that the page before gave.
    Link(String),
}

/// What a page says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PageFacts {
    /// Rows in it.
    pub rows: u64,
    /// The highest value of the cursor, if one is followed.
    pub high: Option<Value>,
    /// Where the next one is.
    pub next: Option<Position>,
}

/// The position of the first page.
pub(super) fn first(pagination: Option<&Pagination>) -> Position {
    match pagination {
        Some(Pagination::Page { start, .. }) => Position::Number(*start),
        Some(Pagination::Offset { .. }) => Position::Number(0),
        _ => Position::First,
    }
}

/// The address of a page. `url` has the parameters of the settings already.
pub(super) fn address(
    url: &Url,
    pagination: Option<&Pagination>,
    position: &Position,
) -> Result<Url> {
    let mut url = url.clone();
    match (pagination, position) {
        (Some(Pagination::Page { param, size_param, size, .. }), Position::Number(number)) => {
            set_param(&mut url, param, &number.to_string());
            if let (Some(param), Some(size)) = (size_param, size) {
                set_param(&mut url, param, &size.to_string());
            }
        }
        (Some(Pagination::Offset { param, size_param, size }), Position::Number(number)) => {
            set_param(&mut url, param, &number.to_string());
            set_param(&mut url, size_param, &size.to_string());
        }
        (Some(Pagination::Cursor { param, .. }), Position::Cursor(cursor)) => {
            set_param(&mut url, param, cursor);
        }
        (_, Position::Link(link)) => {
            url = url.join(link).map_err(|error| {
                Problem::new(
                    &codes::RESPONSE_INVALID,
                    format!("the service says that the next page is at `{link}`"),
                )
                .detail(error)
                .hint("check `pagination.path`")
            })?;
        }
        _ => {}
    }
    Ok(url)
}

/// Gives a parameter of the query a value, in place of the one that it has.
pub(super) fn set_param(url: &mut Url, name: &str, value: &str) {
    let others: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(key, _)| key != name)
        .map(|(key, value)| (key.into_owned(), value.into_owned()))
        .collect();
    url.query_pairs_mut().clear().extend_pairs(others).append_pair(name, value);
}

/// Looks into a page.
pub(super) fn look(
    answer: &Answer,
    format: Format,
    record_path: Option<&str>,
    since: Option<&str>,
    pagination: Option<&Pagination>,
    position: &Position,
) -> Result<PageFacts> {
    let document = match format {
        Format::Json => Some(parse(&answer.body)?),
        Format::Ndjson | Format::Csv => None,
    };
    let (rows, high) = match &document {
        Some(document) => {
            let rows = rows_of(document, record_path.unwrap_or_default());
            let high = since.and_then(|path| highest(rows.iter().copied(), path));
            (rows.len() as u64, high)
        }
        None => count_lines(&answer.body, format, since)?,
    };
    let next = next_position(answer, document.as_ref(), pagination, position, rows)?;
    Ok(PageFacts { rows, high, next })
}

fn parse(body: &[u8]) -> Result<Value> {
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    if body.trim_ascii().is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(body).map_err(|error| {
        let start = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        Problem::new(&codes::RESPONSE_INVALID, "the service does not answer with JSON")
            .detail(format!("{error}; the answer begins with `{}`", start.escape_debug()))
            .hint("check the address, or set `format`")
    })
}

fn next_position(
    answer: &Answer,
    document: Option<&Value>,
    pagination: Option<&Pagination>,
    position: &Position,
    rows: u64,
) -> Result<Option<Position>> {
    let number = if let Position::Number(number) = position { *number } else { 0 };
    Ok(match pagination {
        None => None,
        Some(Pagination::Page { size, .. }) => {
            let is_full = rows > 0 && size.is_none_or(|size| rows >= size);
            is_full.then(|| Position::Number(number + 1))
        }
        Some(Pagination::Offset { size, .. }) => {
            let is_full = rows > 0 && rows >= *size;
            is_full.then(|| Position::Number(number + rows))
        }
        Some(Pagination::Cursor { path, .. }) => text_at(document, path)?.map(Position::Cursor),
        Some(Pagination::NextLink { path }) => text_at(document, path)?.map(Position::Link),
        Some(Pagination::LinkHeader) => {
            let links = answer.headers.get_all(LINK).iter();
            let mut links = links.filter_map(|value| value.to_str().ok());
            links.find_map(next_link).map(Position::Link)
        }
    })
}

/// A text or number inside of a page.
fn text_at(document: Option<&Value>, path: &str) -> Result<Option<String>> {
    let Some(document) = document else {
        return Err(Problem::new(
            &codes::SETTING_INVALID,
            "the next page can only be found inside of an answer that is JSON",
        )
        .in_setting("/pagination")
        .hint("use pages, offsets or the `Link` header with this format"));
    };
    match value_at(document, path) {
        None | Some(Value::Null | Value::Bool(false)) => Ok(None),
        Some(Value::String(text)) => Ok((!text.is_empty()).then(|| text.clone())),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(_) => Err(Problem::new(
            &codes::RESPONSE_INVALID,
            format!("`{path}` in the answer is not a text"),
        )
        .in_setting("/pagination/path")
        .hint("name the value that leads to the next page")),
    }
}

/// The keys of a path: `$.data.items[*]` and `data.items` are the same.
fn keys(path: &str) -> impl Iterator<Item = &str> {
    let path = path.trim().trim_start_matches('$');
    path.split(['.', '[', ']']).map(|key| key.trim_matches('\'')).filter(|key| !key.is_empty())
}

fn value_at<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    keys(path).try_fold(document, |value, key| match value {
        Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        other => other.get(key),
    })
}

/// The rows that a path leads to; a list counts as its items.
fn rows_of<'a>(document: &'a Value, path: &str) -> Vec<&'a Value> {
    let mut rows = vec![document];
    for key in keys(path).filter(|key| *key != "*") {
        rows = rows.into_iter().flat_map(flatten).filter_map(|value| value.get(key)).collect();
    }
    rows.into_iter().flat_map(flatten).filter(|row| !row.is_null()).collect()
}

fn flatten(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        other => vec![other],
    }
}

/// The highest value at `path` in rows: numbers by size, texts as texts.
pub(super) fn highest<'a>(rows: impl Iterator<Item = &'a Value>, path: &str) -> Option<Value> {
    rows.filter_map(|row| value_at(row, path))
        .filter(|value| value.is_number() || value.is_string())
        .fold(None, |so_far, value| match so_far {
            Some(old) if !is_above(value, &old) => Some(old),
            _ => Some(value.clone()),
        })
}

/// Whether one cursor value lies above another.
pub(super) fn is_above(value: &Value, other: &Value) -> bool {
    match (value, other) {
        (Value::Number(value), Value::Number(other)) => match (value.as_i64(), other.as_i64()) {
            (Some(value), Some(other)) => value > other,
            _ => value.as_f64() > other.as_f64(),
        },
        (Value::String(value), Value::String(other)) => value > other,
        _ => false,
    }
}

fn count_lines(body: &[u8], format: Format, since: Option<&str>) -> Result<(u64, Option<Value>)> {
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let count = lines.clone().count() as u64;
    match (format, since) {
        (Format::Csv, _) => Ok((count.saturating_sub(1), None)),
        (_, None) => Ok((count, None)),
        (_, Some(path)) => {
            let rows: Vec<Value> = lines.map(parse).collect::<Result<_>>()?;
            Ok((count, highest(rows.iter(), path)))
        }
    }
}

/// The address with `rel="next"` in a `Link` header.
fn next_link(header: &str) -> Option<String> {
    let mut rest = header;
    while let Some((_, link)) = rest.split_once('<') {
        let (target, parameters) = link.split_once('>')?;
        // The parameters of this link end where the next one begins.
        let end = parameters.find('<').unwrap_or(parameters.len());
        let is_next = parameters[..end].split([';', ',']).any(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let relations = value.trim().trim_matches('"');
            name.trim().eq_ignore_ascii_case("rel")
                && relations.split_whitespace().any(|rel| rel.eq_ignore_ascii_case("next"))
        });
        if is_next {
            return Some(target.to_owned());
        }
        rest = &parameters[end..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_next_link_is_found_among_others() {
        let header =
            "<https://a.b/i?page=1>; rel=\"prev\", <https://a.b/i?page=3&x=1,2>; rel=\"next\"";
        assert_eq!(next_link(header).as_deref(), Some("https://a.b/i?page=3&x=1,2"));
        assert_eq!(next_link("</i?p=2>; title=x; rel=next").as_deref(), Some("/i?p=2"));
        assert_eq!(next_link("<https://a.b>; rel=\"last\""), None);
        assert_eq!(next_link("nonsense"), None);
    }

    #[test]
    fn rows_are_counted_where_the_path_leads() {
        let document =
            json!({"data": {"items": [{"id": 1}, {"id": 2}]}, "list": [{"x": [1]}, {"x": [2, 3]}]});
        assert_eq!(rows_of(&document, "data.items").len(), 2);
        assert_eq!(rows_of(&document, "$.data.items[*]").len(), 2);
        assert_eq!(rows_of(&document, "$.list[*].x[*]").len(), 3);
        assert_eq!(rows_of(&document, "nothing").len(), 0);
        assert_eq!(rows_of(&json!([]), "").len(), 0);
        assert_eq!(rows_of(&Value::Null, "").len(), 0);
    }

    #[test]
    fn a_parameter_is_set_once() {
        let mut url = Url::parse("https://a.b/i?page=1&q=a+b").unwrap();
        set_param(&mut url, "page", "2&x");
        assert_eq!(url.as_str(), "https://a.b/i?q=a+b&page=2%26x");
    }
}
