//! `json_get` and `json_get_json`: a value out of a JSON text, by its path.

use crate::arguments::{
    Want, bad_call, coerce, constant_text, literal_text, result, result_of, text_column,
};
use arrow::array::{Array, ArrayRef, StringViewBuilder};
use arrow::datatypes::DataType;
use contracts::function::{Argument, ScalarFunction};
use model::Result;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;
use std::fmt;
use std::sync::Arc;

pub(crate) const JSON_GET: ScalarFunction = ScalarFunction {
    name: "json_get",
    summary: "The value at a path of a JSON text, as text; null where there is none.",
    syntax: "json_get(json, path)",
    examples: &[
        ("json_get('{\"a\": {\"b\": [1, \"x\"]}}', '$.a.b[1]')", "x"),
        ("json_get('{\"a\": {\"b\": [1, \"x\"]}}', 'a.b[0]')", "1"),
        ("json_get('{\"n\": 12345678901234567890.10}', 'n')", "12345678901234567890.10"),
        ("json_get('{\"a\": [1, 2]}', 'a')", "[1, 2]"),
        ("json_get('[5, 6]', '$[-1]')", "6"),
        ("json_get('{\"a b\": true}', '$[\"a b\"]')", "true"),
        ("json_get('{\"a\": null}', 'a')", "NULL"),
        ("json_get('not json', 'a')", "NULL"),
    ],
    coerce: |types| coerce("json_get", types, &[Want::Text, Want::Text], &[]),
    returns: |info| {
        literal_text(info, 1).map(|path| Path::parse("json_get", path)).transpose()?;
        result("json_get", DataType::Utf8View)
    },
    invoke: |arguments, rows| invoke("json_get", arguments, rows, true),
};

pub(crate) const JSON_GET_JSON: ScalarFunction = ScalarFunction {
    name: "json_get_json",
    summary: "The value at a path of a JSON text, as JSON; null where there is none.",
    syntax: "json_get_json(json, path)",
    examples: &[
        ("json_get_json('{\"a\": \"x\"}', 'a')", "\"x\""),
        ("json_get_json('{\"a\": {\"b\": 1}}', 'a')", "{\"b\": 1}"),
        ("json_get_json('{\"a\": 1}', 'b')", "NULL"),
    ],
    coerce: |types| coerce("json_get_json", types, &[Want::Text, Want::Text], &[]),
    returns: |info| {
        literal_text(info, 1).map(|path| Path::parse("json_get_json", path)).transpose()?;
        result_of("json_get_json", &model::DataType::Json)
    },
    invoke: |arguments, rows| invoke("json_get_json", arguments, rows, false),
};

fn invoke(name: &str, arguments: &[Argument], rows: usize, as_text: bool) -> Result<ArrayRef> {
    let texts = text_column(&arguments[0], rows)?;
    let mut builder = StringViewBuilder::with_capacity(texts.len());
    let path =
        constant_text(name, arguments, 1)?.map(|path| Path::parse(name, &path)).transpose()?;
    for text in &texts {
        let found = text.zip(path.as_ref()).and_then(|(text, path)| path.find(text));
        match found.map(RawValue::get) {
            Some(json) if as_text && json.starts_with('"') => {
                builder.append_option(serde_json::from_str::<String>(json).ok());
            }
            Some("null") | None => builder.append_null(),
            Some(json) => builder.append_value(json),
        }
    }
    Ok(Arc::new(builder.finish()))
}

/// A step into a value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    /// From 0, or from the end when negative.
    Index(i64),
}

/// `$.a.b[0]`, where `$.` may be left out; `["a b"]` for keys with other characters.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Path(Vec<Step>);

impl Path {
    fn parse(function: &str, text: &str) -> Result<Self> {
        let wrong = || bad_call(function, format!("takes a path such as `$.a.b[0]`, not `{text}`"));
        let mut steps = Vec::new();
        let mut rest = text.trim();
        rest = rest.strip_prefix('$').unwrap_or(rest);
        while !rest.is_empty() {
            if let Some(inside) = rest.strip_prefix('[') {
                let (step, end) = bracket(inside).ok_or_else(wrong)?;
                steps.push(step);
                rest = &inside[end..];
                continue;
            }
            rest = rest.strip_prefix('.').unwrap_or(rest);
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            if end == 0 {
                return Err(wrong());
            }
            steps.push(Step::Key(rest[..end].to_owned()));
            rest = &rest[end..];
        }
        Ok(Self(steps))
    }

    /// The value at this path, as it stands in the text.
    fn find<'a>(&self, text: &'a str) -> Option<&'a RawValue> {
        let mut value: &'a RawValue = serde_json::from_str(text).ok()?;
        for step in &self.0 {
            let seed = Seek { step };
            let mut deserializer = serde_json::Deserializer::from_str(value.get());
            value = seed.deserialize(&mut deserializer).ok()??;
        }
        Some(value)
    }
}

/// The step inside of brackets, and where the text goes on after them.
fn bracket(inside: &str) -> Option<(Step, usize)> {
    if let Some(quote @ ('"' | '\'')) = inside.chars().next() {
        let end = inside[1..].find(quote)? + 1;
        let closed = inside[end + 1..].starts_with(']');
        return closed.then(|| (Step::Key(inside[1..end].to_owned()), end + 2));
    }
    let end = inside.find(']')?;
    Some((Step::Index(inside[..end].trim().parse().ok()?), end + 1))
}

struct Seek<'s> {
    step: &'s Step,
}

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_wanted) = map.next_key_seed(KeyIs { step: self.step })? {
            if is_wanted {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let Step::Index(index) = self.step else {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(None);
        };
        let mut items: Vec<&'de RawValue> = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        let at = if *index < 0 { *index + items.len() as i64 } else { *index };
        Ok(usize::try_from(at).ok().and_then(|at| items.get(at).copied()))
    }
}

/// Whether a key is the wanted one, without keeping it.
struct KeyIs<'s> {
    step: &'s Step,
}

impl<'de> DeserializeSeed<'de> for KeyIs<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        let key = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Ok(matches!(self.step, Step::Key(wanted) if *wanted == key))
    }
}
