//! The types that columns, parameters and fields have, everywhere.

use crate::codes;
use crate::problem::{Problem, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display};

/// A column type as written in documents: `integer`, `decimal(12,2)`, `list<string>` …
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("x-widget" = "type", "examples" = ["integer", "decimal(12,2)", "timestamp"]))]
pub enum DataType {
    /// `boolean`
    Boolean,
    /// `integer`: 64 bits.
    Integer,
    /// `decimal(precision,scale)`: exact, at most 38 digits.
    Decimal(u8, i8),
    /// `float`: 64 bits.
    Float,
    /// `string`: UTF-8.
    String,
    /// `date`: a calendar day.
    Date,
    /// `time`: time of day, µs.
    Time,
    /// `timestamp`: an instant, UTC, µs.
    Timestamp,
    /// `uuid`
    Uuid,
    /// `json`: a JSON text.
    Json,
    /// `binary`
    Binary,
    /// `list<type>`
    List(Box<DataType>),
    /// `struct<name: type, …>`
    Struct(Vec<(String, DataType)>),
    /// `geometry`: WKB, longitude before latitude.
    Geometry,
}

const PLAIN: &[(&str, DataType)] = &[
    ("boolean", DataType::Boolean),
    ("integer", DataType::Integer),
    ("float", DataType::Float),
    ("string", DataType::String),
    ("date", DataType::Date),
    ("time", DataType::Time),
    ("timestamp", DataType::Timestamp),
    ("uuid", DataType::Uuid),
    ("json", DataType::Json),
    ("binary", DataType::Binary),
    ("geometry", DataType::Geometry),
];

/// Spellings of other systems, for hints.
const FOREIGN: &[(&str, &str)] = &[
    ("int", "integer"),
    ("bigint", "integer"),
    ("long", "integer"),
    ("text", "string"),
    ("varchar", "string"),
    ("str", "string"),
    ("bool", "boolean"),
    ("double", "float"),
    ("real", "float"),
    ("number", "decimal(18,2)"),
    ("numeric", "decimal(18,2)"),
    ("decimal", "decimal(18,2)"),
    ("datetime", "timestamp"),
    ("bytes", "binary"),
    ("array", "list<string>"),
];

impl DataType {
    /// Reads a type as documents write it.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        if let Some((_, plain)) = PLAIN.iter().find(|(name, _)| *name == text) {
            return Ok(plain.clone());
        }
        let parsed = if let Some(arguments) = between(text, "decimal(", ")") {
            parse_decimal(arguments)
        } else if let Some(item) = between(text, "list<", ">") {
            Some(Self::List(Box::new(Self::parse(item)?)))
        } else if let Some(fields) = between(text, "struct<", ">") {
            parse_struct(fields)?
        } else {
            None
        };
        parsed.ok_or_else(|| unknown_type(text))
    }
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    text.strip_prefix(start)?.strip_suffix(end)
}

fn parse_decimal(arguments: &str) -> Option<DataType> {
    let (precision, scale) = arguments.split_once(',').unwrap_or((arguments, "0"));
    let precision: u8 = precision.trim().parse().ok()?;
    let scale: i8 = scale.trim().parse().ok()?;
    let fits = (1..=38).contains(&precision) && (0..=i16::from(precision)).contains(&scale.into());
    fits.then_some(DataType::Decimal(precision, scale))
}

fn parse_struct(fields: &str) -> Result<Option<DataType>> {
    let mut parsed = Vec::new();
    for field in split_top_level(fields) {
        let Some((name, data_type)) = field.split_once(':') else { return Ok(None) };
        parsed.push((name.trim().to_owned(), DataType::parse(data_type)?));
    }
    Ok((!parsed.is_empty()).then_some(DataType::Struct(parsed)))
}

/// Splits at commas that stand outside of any bracket.
fn split_top_level(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut depth = 0u32;
    let mut start = 0;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'<' | b'(' => depth += 1,
            b'>' | b')' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn unknown_type(text: &str) -> Problem {
    let foreign = FOREIGN.iter().find(|(name, _)| text.to_lowercase().starts_with(name));
    let hint = match foreign {
        Some((_, ours)) => format!("write `{ours}`"),
        None => "types are boolean, integer, decimal(p,s), float, string, date, time, timestamp, \
                 uuid, json, binary, geometry, list<…> and struct<name: type, …>"
            .to_owned(),
    };
    Problem::new(&codes::SETTING_INVALID, format!("`{text}` is not a type"))
        .arg("type", text)
        .hint(hint)
}

impl Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((name, _)) = PLAIN.iter().find(|(_, plain)| plain == self) {
            return f.write_str(name);
        }
        match self {
            Self::Decimal(precision, scale) => write!(f, "decimal({precision},{scale})"),
            Self::List(item) => write!(f, "list<{item}>"),
            Self::Struct(fields) => {
                f.write_str("struct<")?;
                for (at, (name, data_type)) in fields.iter().enumerate() {
                    let comma = if at > 0 { ", " } else { "" };
                    write!(f, "{comma}{name}: {data_type}")?;
                }
                f.write_str(">")
            }
            _ => unreachable!("plain types are in the table"),
        }
    }
}

impl TryFrom<String> for DataType {
    type Error = Problem;

    fn try_from(text: String) -> Result<Self> {
        Self::parse(&text)
    }
}

impl From<DataType> for String {
    fn from(data_type: DataType) -> Self {
        data_type.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_read_and_print_alike() {
        for text in
            ["integer", "decimal(12,2)", "list<struct<a: string, b: list<decimal(5,0)>>>", "date"]
        {
            assert_eq!(DataType::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_foreign_spelling_gets_a_hint() {
        let problem = DataType::parse("varchar(20)").unwrap_err();
        assert_eq!(problem.hint_text(), Some("write `string`"));
        assert!(DataType::parse("decimal(40,2)").is_err());
        assert!(DataType::parse("decimal(3,7)").is_err());
    }
}
