//! Finds row elements in a document and turns each into a JSON text.

use super::invalid_path;
use crate::compression::Member;
use crate::input;
use crate::json::is_json_scalar;
use crate::json::{CHUNK_BYTES, CHUNK_RECORDS_MAX, Chunk, ChunkSource, RECORD_LENGTH_MAX, Record};
use crate::markup::{Markup, MarkupReader, attribute_value};
use crate::write::cells::quote;
use model::Result;
use quick_xml::events::BytesStart;
use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// The key of text that stands beside attributes or elements.
const TEXT: &str = "#text";

/// Which elements are rows.
#[derive(Debug, Clone)]
pub(super) enum RowPath {
    /// Those right inside of the root.
    Children,
    /// Those with this name, wherever they are.
    Name(String),
    /// Those at this path from the root.
    Path(Vec<String>),
}

impl RowPath {
    pub(super) fn parse(path: Option<&str>) -> Result<Self> {
        let Some(path) = path else { return Ok(Self::Children) };
        let names: Vec<String> =
            path.trim_start_matches('/').split('/').map(|name| name.trim().to_owned()).collect();
        if names.iter().any(|name| name.is_empty() || name.contains([':', '[', '@', '*'])) {
            return Err(invalid_path(path));
        }
        match <[String; 1]>::try_from(names) {
            Ok([name]) if !path.starts_with('/') => Ok(Self::Name(name)),
            Ok([name]) => Ok(Self::Path(vec![name])),
            Err(names) => Ok(Self::Path(names)),
        }
    }

    /// Whether the innermost of the open elements is a row.
    fn matches(&self, open: &[String]) -> bool {
        match self {
            Self::Children => open.len() == 2,
            Self::Name(name) => open.last() == Some(name),
            Self::Path(names) => open == names,
        }
    }
}

/// The rows of one document.
pub(super) struct RowReader {
    xml: MarkupReader<Box<dyn Read + Send>>,
    file: Arc<str>,
    path: RowPath,
    /// Whether numbers and truth values are to be told from texts.
    wants_types: bool,
    /// Names of the elements that are open outside of rows.
    open: Vec<String>,
    row: i64,
    is_done: bool,
    has_root: bool,
}

impl RowReader {
    pub(super) fn open(
        member: &Member,
        path: RowPath,
        wants_types: bool,
        bytes: &Arc<AtomicU64>,
    ) -> Result<Self> {
        let reader = input::open_markup(member, bytes)?;
        Ok(Self {
            xml: MarkupReader::new(reader, member.file.clone()),
            file: Arc::from(member.file.name.as_str()),
            path,
            wants_types,
            open: Vec::new(),
            row: 0,
            is_done: false,
            has_root: false,
        })
    }

    /// Reads on to the next row and adds it; false at the end of the document.
    fn next_row(&mut self, chunk: &mut Chunk) -> Result<bool> {
        loop {
            let position = self.xml.position();
            match self.xml.next()? {
                Markup::Start(start) => {
                    if self.open.is_empty() && self.has_root {
                        return Err(self.xml.problem("a second element follows the root"));
                    }
                    self.has_root = true;
                    self.open.push(start.local_name().as_ref().to_owned());
                    if !self.path.matches(&self.open) {
                        continue;
                    }
                    let attributes = Attributes::of(&start);
                    self.open.pop();
                    self.push_row(attributes, position, chunk)?;
                    return Ok(true);
                }
                Markup::End => drop(self.open.pop()),
                Markup::Text(text) if self.open.is_empty() && !text.trim().is_empty() => {
                    return Err(self.xml.problem("a text stands outside of the root"));
                }
                Markup::Eof if !self.has_root => {
                    return Err(self.xml.problem("it has no element"));
                }
                Markup::Eof => return Ok(false),
                Markup::Text(_) | Markup::Other => {}
            }
        }
    }

    fn push_row(&mut self, attributes: Attributes, position: u64, chunk: &mut Chunk) -> Result<()> {
        self.row += 1;
        let mut budget = RECORD_LENGTH_MAX;
        let json = self.element(attributes, &mut budget)?;
        let start = chunk.bytes.len();
        chunk.bytes.extend_from_slice(json.as_bytes());
        chunk.records.push(Record {
            start,
            end: chunk.bytes.len(),
            row: self.row,
            offset: i64::try_from(position).unwrap_or(i64::MAX),
        });
        Ok(())
    }

    /// The element that has just begun, as JSON: a text, or an object with its attributes, the
    /// elements in it and its text. Recursion is bounded by the depth of the markup reader.
    fn element(&mut self, attributes: Attributes, budget: &mut usize) -> Result<String> {
        if let Some(fact) = attributes.fault {
            return Err(self.xml.problem(&fact));
        }
        let depth = self.xml.depth();
        let mut members = Members::default();
        for (name, value) in attributes.values {
            let json = self.scalar(&value);
            spend(budget, json.len()).map_err(|fact| self.xml.problem(fact))?;
            members.push(name, json);
        }
        let mut text = String::new();
        while self.xml.depth() >= depth {
            match self.xml.next()? {
                Markup::Start(start) => {
                    let name = start.local_name().as_ref().to_owned();
                    let attributes = Attributes::of(&start);
                    let json = self.element(attributes, budget)?;
                    members.push(name, json);
                }
                Markup::Text(part) => {
                    text.push_str(&part);
                    let length = part.len();
                    spend(budget, length).map_err(|fact| self.xml.problem(fact))?;
                }
                _ => {}
            }
        }
        let text = text.trim();
        if attributes.is_nil || (members.is_empty() && text.is_empty()) {
            return Ok("null".to_owned());
        }
        if members.is_empty() {
            return Ok(self.scalar(text));
        }
        if !text.is_empty() {
            members.push(TEXT.to_owned(), self.scalar(text));
        }
        Ok(members.into_json())
    }

    fn scalar(&self, text: &str) -> String {
        if self.wants_types && is_json_scalar(text) {
            return text.to_owned();
        }
        let mut json = String::with_capacity(text.len() + 2);
        quote(text, &mut json);
        json
    }
}

impl ChunkSource for RowReader {
    fn next_chunk(&mut self) -> Result<Option<Chunk>> {
        if self.is_done {
            return Ok(None);
        }
        let mut chunk = Chunk { file: Arc::clone(&self.file), ..Chunk::default() };
        while chunk.bytes.len() < CHUNK_BYTES && chunk.records.len() < CHUNK_RECORDS_MAX {
            if !self.next_row(&mut chunk)? {
                self.is_done = true;
                break;
            }
        }
        Ok(Some(chunk))
    }
}

/// Takes `bytes` off what a row may still have.
fn spend(budget: &mut usize, bytes: usize) -> Result<(), &'static str> {
    *budget = budget.checked_sub(bytes).ok_or("a row is longer than 64 MiB")?;
    Ok(())
}

/// Attributes of an element, without those that declare namespaces.
#[derive(Default)]
struct Attributes {
    values: Vec<(String, String)>,
    is_nil: bool,
    fault: Option<String>,
}

impl Attributes {
    fn of(start: &BytesStart<'_>) -> Self {
        let mut found = Self::default();
        let mut seen = HashSet::new();
        let mut attributes = start.attributes();
        // The library compares every pair of names; a set does it in one pass.
        attributes.with_checks(false);
        for attribute in attributes {
            let Ok(attribute) = attribute else {
                found.fault = Some("an attribute is not written as `name=\"value\"`".to_owned());
                break;
            };
            let key = attribute.key;
            if !seen.insert(key) {
                found.fault = Some(format!("the attribute `{}` occurs twice", key.as_ref()));
                break;
            }
            if key.as_ref() == "xmlns" || key.as_ref().starts_with("xmlns:") {
                continue;
            }
            let Some(value) = attribute_value(&attribute) else {
                let name = key.as_ref();
                found.fault =
                    Some(format!("the attribute `{name}` has an entity that is not XML's own"));
                break;
            };
            if key.local_name().as_ref() == "nil" && matches!(value.as_str(), "true" | "1") {
                found.is_nil = true;
                continue;
            }
            found.values.push((format!("@{}", key.local_name().as_ref()), value));
        }
        found
    }
}

/// Members of an object; what occurs several times becomes a list.
#[derive(Default)]
struct Members {
    values: Vec<(String, Vec<String>)>,
    places: HashMap<String, usize>,
}

impl Members {
    fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    fn push(&mut self, name: String, json: String) {
        if let Some(place) = self.places.get(&name) {
            return self.values[*place].1.push(json);
        }
        self.places.insert(name.clone(), self.values.len());
        self.values.push((name, vec![json]));
    }

    fn into_json(self) -> String {
        let mut json = String::from("{");
        for (name, values) in self.values {
            if json.len() > 1 {
                json.push(',');
            }
            quote(&name, &mut json);
            json.push(':');
            match values.as_slice() {
                [only] => json.push_str(only),
                values => {
                    json.push('[');
                    json.push_str(&values.join(","));
                    json.push(']');
                }
            }
        }
        json.push('}');
        json
    }
}
