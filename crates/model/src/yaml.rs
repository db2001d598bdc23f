//! Documents: YAML text with the position of every value kept.

use crate::codes;
use crate::name::{Name, TableName};
use crate::problem::{Problem, Result};
use crate::types::DataType;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_path_to_error::Segment;
use serde_saphyr::Spanned;
use std::collections::HashMap;
use std::fmt;

/// A parsed document: its value, and where in the text each part of it stands.
#[derive(Debug, Clone)]
pub struct Document {
    file: String,
    value: Value,
    /// JSON pointer → (line, column), both from 1.
    positions: HashMap<String, (u64, u64)>,
}

impl Document {
    /// Reads `text`, the content of `file`. Duplicate keys and tags are refused, aliases capped.
    pub fn parse(file: &str, text: &str) -> Result<Self> {
        let options = serde_saphyr::options! { strict_booleans: true };
        let tree: Spanned<Tree> =
            serde_saphyr::from_str_with_options(text, options).map_err(|error| {
                let problem = unreadable(file, &error.without_snippet().to_string());
                match error.location() {
                    Some(place) => problem.at(place.line(), place.column()),
                    None => problem,
                }
            })?;
        let mut positions = HashMap::new();
        let value = plain(tree, String::new(), &mut positions);
        Ok(Self { file: file.to_owned(), value, positions })
    }

    /// A document whose text is not known, such as one that was stored.
    pub fn without_positions(file: &str, value: Value) -> Self {
        Self { file: file.to_owned(), value, positions: HashMap::new() }
    }

    /// The whole document as a plain value.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The file the document was read from.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Reads the part at `pointer` (such as `/nodes/0/with`) as a `T`; the whole is at "".
    pub fn read<T: DeserializeOwned>(&self, pointer: &str) -> Result<T> {
        let value = self.value.pointer(pointer).unwrap_or(&Value::Null);
        read_value(value)
            .map_err(|(path, problem)| self.locate(problem, &format!("{pointer}{path}")))
    }

    /// Adds file, position and setting of the part at `pointer`, or of its nearest parent.
    pub fn locate(&self, problem: Problem, pointer: &str) -> Problem {
        let mut at = pointer;
        let place = loop {
            match (self.positions.get(at), at.rfind('/')) {
                (Some(place), _) => break Some(*place),
                (None, Some(cut)) => at = &at[..cut],
                (None, None) => break None,
            }
        };
        let problem = problem.in_file(&self.file).in_setting(pointer);
        match place {
            Some((line, column)) => problem.at(line, column),
            None => problem,
        }
    }
}

/// What the parser says, as a person would.
fn unreadable(file: &str, said: &str) -> Problem {
    // The place is told by itself.
    let said = said.rfind(" at line ").map_or(said, |cut| &said[..cut]);
    let repeated = said.strip_prefix("duplicate mapping key: ");
    let repeated = repeated.map(|key| key.split(',').next().unwrap_or(key));
    let problem = match repeated {
        Some(key) => {
            Problem::new(&codes::DOCUMENT_SYNTAX, format!("the setting `{key}` stands twice here"))
        }
        None => Problem::new(&codes::DOCUMENT_SYNTAX, format!("`{file}` is not readable YAML"))
            .detail(said),
    };
    let hint = if repeated.is_some() {
        "keep one of them"
    } else if said.contains("tab") {
        "replace the tab by spaces: YAML is indented with spaces only"
    } else if said.contains("unexpected character") {
        "put the text between quotes, as in `format: \"%d/%m/%Y\"`"
    } else {
        "mind the indentation, and quote texts that contain `: ` or `#`"
    };
    problem.arg("file", file).hint(hint).in_file(file)
}

/// Reads a plain value as a `T`. The problem comes with the JSON pointer of the offending part.
pub fn read_value<T: DeserializeOwned>(value: &Value) -> Result<T, (String, Problem)> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let mut path = String::new();
        for segment in error.path() {
            match segment {
                Segment::Seq { index } => path.push_str(&format!("/{index}")),
                Segment::Map { key } => path.push_str(&format!("/{}", escape(key))),
                Segment::Enum { .. } | Segment::Unknown => {}
            }
        }
        let message = error.into_inner().to_string();
        (path.clone(), invalid(&path, &message))
    })
}

/// Turns serde's sentence into ours, with a guess at what was meant.
fn invalid(path: &str, message: &str) -> Problem {
    let setting = path.trim_start_matches('/').replace('/', ".");
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let problem =
        |fact: String| Problem::new(&codes::DOCUMENT_INVALID, fact).arg("setting", &setting);
    if message.starts_with("unknown field") {
        let unknown = quoted.first().copied().unwrap_or_default();
        let known = quoted.get(1..).unwrap_or_default();
        let problem = problem(format!("there is no setting `{unknown}` here"));
        return match stdx_nearest(unknown, known) {
            Some(near) => problem.hint(format!("did you mean `{near}`?")),
            None => problem.hint(format!("settings are {}", known.join(", "))),
        };
    }
    if message.starts_with("missing field") {
        let missing = quoted.first().copied().unwrap_or_default();
        return problem(format!("the setting `{missing}` is missing"))
            .hint(format!("add `{missing}:` with a value"));
    }
    if message.starts_with("unknown variant") {
        let unknown = quoted.first().copied().unwrap_or_default();
        let known = quoted.get(1..).unwrap_or_default();
        let problem = problem(format!("`{unknown}` is not one of the choices for `{setting}`"));
        return problem.hint(format!("choose {}", known.join(", ")));
    }
    let fact = match (wrong_type(message), setting.is_empty()) {
        (Some(fact), true) => fact,
        (Some(fact), false) => format!("the setting `{setting}` {fact}"),
        (None, true) => message.to_owned(),
        (None, false) => format!("the setting `{setting}` is wrong: {message}"),
    };
    match hint(message, quoted.first().copied().unwrap_or_default()) {
        Some(hint) => problem(fact).hint(hint),
        None => problem(fact),
    }
}

/// `invalid type: string "many", expected u64` as a person would say it.
fn wrong_type(message: &str) -> Option<String> {
    let (got, expected) = message.strip_prefix("invalid type: ")?.split_once(", expected ")?;
    let expected = match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" => "a text",
        "a sequence" => "a list, as in `[a, b]`",
        "a map" => "settings, as in `{name: value}`",
        other => other,
    };
    let got = got.replace("string ", "the text ").replace("integer ", "the number ");
    let got = got.replace("floating point ", "the number ").replace("boolean ", "");
    let got = match got.as_str() {
        "sequence" => "a list",
        "map" => "settings",
        "null" | "unit value" => "nothing",
        other => other,
    };
    Some(format!("takes {}, not {}", expected, got.replace('"', "`")))
}

/// What to do about a value that one of our own types has refused. Its problem has come through
/// serde as a sentence; the hint is asked for again.
fn hint(message: &str, value: &str) -> Option<String> {
    let refused = if message.contains("is not a valid name") {
        Name::new(value).err()
    } else if message.contains("is not a table name") {
        TableName::parse(value).err()
    } else if message.contains("is not a type") {
        DataType::parse(value).err()
    } else {
        None
    };
    if let Some(problem) = refused {
        return problem.hint_text().map(str::to_owned);
    }
    message.contains("of the format, not").then(|| "use a newer affluent".to_owned())
}

fn stdx_nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    stdx::text::nearest(word, candidates.iter().copied())
}

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn plain(tree: Spanned<Tree>, path: String, positions: &mut HashMap<String, (u64, u64)>) -> Value {
    positions.insert(path.clone(), (tree.referenced.line(), tree.referenced.column()));
    match tree.value {
        Tree::Scalar(value) => value,
        Tree::List(items) => {
            let item = |(at, item)| plain(item, format!("{path}/{at}"), positions);
            Value::Array(items.into_iter().enumerate().map(item).collect())
        }
        Tree::Map(entries) => {
            let mut map = Map::with_capacity(entries.len());
            for (key, item) in entries {
                let below = format!("{path}/{}", escape(&key));
                map.insert(key, plain(item, below, positions));
            }
            Value::Object(map)
        }
    }
}

/// YAML as it comes, each part with its position.
enum Tree {
    Scalar(Value),
    List(Vec<Spanned<Tree>>),
    Map(Vec<(String, Spanned<Tree>)>),
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::from(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::from(value)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Scalar(Number::from_f64(value).map_or(Value::Null, Value::Number)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::String(value.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element()? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            entries.push((key, map.next_value()?));
        }
        Ok(Tree::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Node {
        #[allow(dead_code, reason = "only its absence matters here")]
        path: String,
        #[serde(default)]
        country: Option<String>,
    }

    #[derive(Debug, Deserialize)]
    struct Root {
        nodes: Vec<Node>,
    }

    fn problem(text: &str) -> Problem {
        Document::parse("a.yaml", text).and_then(|document| document.read::<Root>("")).unwrap_err()
    }

    #[test]
    fn a_misspelt_setting_is_pointed_at() {
        let problem = problem("nodes:\n  - path: a\n  - {path: b, contry: FR}\n");
        assert_eq!(problem.message(), "there is no setting `contry` here");
        assert_eq!(problem.hint_text(), Some("did you mean `country`?"));
        assert_eq!((problem.context().line, problem.context().column), (Some(3), Some(23)));
    }

    #[test]
    fn duplicate_keys_are_refused() {
        let problem = problem("nodes: []\nnodes: []\n");
        assert!(problem.is(&codes::DOCUMENT_SYNTAX));
        assert_eq!(problem.context().line, Some(2));
    }

    #[test]
    fn norway_is_a_country() {
        let root: Root =
            Document::parse("a.yaml", "nodes: [{path: a, country: no}]").unwrap().read("").unwrap();
        assert_eq!(root.nodes[0].country.as_deref(), Some("no"));
    }
}
