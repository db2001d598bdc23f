//! Names of documents, nodes and tables, and the names that lake columns get.

use crate::codes;
use crate::problem::{Problem, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fmt::{self, Display};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

const NAME_BYTES_MAX: usize = 63;

/// A name that is safe as a path, a SQL identifier and a label: `^[a-z][a-z0-9_]{0,62}$`.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[a-z][a-z0-9_]{0,62}$"))]
pub struct Name(String);

impl Name {
    /// Checks and wraps `text`.
    pub fn new(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        let mut bytes = text.bytes();
        let starts_well = bytes.next().is_some_and(|first| first.is_ascii_lowercase());
        let goes_on_well = bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if starts_well && goes_on_well && text.len() <= NAME_BYTES_MAX {
            return Ok(Self(text));
        }
        let suggestion = lake_name(&text);
        Err(Problem::new(&codes::NAME_INVALID, format!("`{text}` is not a valid name"))
            .arg("name", &text)
            .hint(format!(
                "use a lower-case letter, then letters, digits and `_`, 63 at most; \
                 for example `{suggestion}`"
            )))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = Problem;

    fn try_from(text: String) -> Result<Self> {
        Self::new(text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

/// A lake table: `zone.table`.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[a-z][a-z0-9_]{0,62}\\.[a-z][a-z0-9_]{0,62}$", "x-widget" = "table"))]
#[schemars(with = "String")]
pub struct TableName {
    /// landing, bronze, silver, gold, quarantine, or a zone of one's own.
    pub zone: Name,
    /// The table's name in its zone.
    pub table: Name,
}

impl TableName {
    /// Reads `zone.table`.
    pub fn parse(text: &str) -> Result<Self> {
        let Some((zone, table)) = text.split_once('.') else {
            return Err(Problem::new(
                &codes::NAME_INVALID,
                format!("`{text}` is not a table name"),
            )
            .arg("name", text)
            .hint("write `zone.table`, for example `silver.orders`"));
        };
        Ok(Self { zone: Name::new(zone)?, table: Name::new(table)? })
    }
}

impl Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.zone, self.table)
    }
}

impl TryFrom<String> for TableName {
    type Error = Problem;

    fn try_from(text: String) -> Result<Self> {
        Self::parse(&text)
    }
}

impl From<TableName> for String {
    fn from(name: TableName) -> Self {
        name.to_string()
    }
}

/// The lake name of one header: NFC, trimmed, accents folded, lower case, the rest `_`.
fn lake_name(header: &str) -> String {
    let mut name = String::with_capacity(header.len());
    for character in header.trim().nfkd().filter(|c| !is_combining_mark(*c)) {
        match character {
            'œ' | 'Œ' => name.push_str("oe"),
            'æ' | 'Æ' => name.push_str("ae"),
            'ß' => name.push_str("ss"),
            'ø' | 'Ø' => name.push('o'),
            'ł' | 'Ł' => name.push('l'),
            'đ' | 'Đ' => name.push('d'),
            _ if character.is_alphanumeric() => name.extend(character.to_lowercase()),
            _ if !name.is_empty() && !name.ends_with('_') => name.push('_'),
            _ => {}
        }
    }
    let name = name.trim_end_matches('_');
    match name.chars().next() {
        None => "column".to_owned(),
        Some(first) if first.is_numeric() => format!("_{name}"),
        Some(_) => name.to_owned(),
    }
}

/// Lake names for a row of headers: a repeat gets `_2`, `_3`, …; an empty one its position.
pub fn lake_column_names<S: AsRef<str>>(headers: &[S]) -> Vec<String> {
    let wanted: Vec<String> = headers
        .iter()
        .enumerate()
        .map(|(at, header)| match header.as_ref().trim() {
            "" => format!("column_{}", at + 1),
            text => lake_name(text),
        })
        .collect();
    // A name that stands there by itself is never taken by a numbered repeat.
    let originals: HashSet<String> = wanted.iter().cloned().collect();
    let mut taken = HashSet::with_capacity(wanted.len());
    let mut names = Vec::with_capacity(wanted.len());
    for want in wanted {
        let mut name = want.clone();
        let mut repeat = 2;
        while taken.contains(&name) || (name != want && originals.contains(&name)) {
            name = format!("{want}_{repeat}");
            repeat += 1;
        }
        taken.insert(name.clone());
        names.push(name);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_become_lake_names() {
        let headers =
            ["N° commande", "Prix TTC (€)", "Déjà vu", "id", "ID", "", "2024", "id_2", "Œuvre"];
        let names = lake_column_names(&headers);
        assert_eq!(
            names,
            [
                "n_commande",
                "prix_ttc",
                "deja_vu",
                "id",
                "id_3",
                "column_6",
                "_2024",
                "id_2",
                "oeuvre"
            ]
        );
    }

    #[test]
    fn a_bad_name_is_answered_with_a_good_one() {
        let problem = Name::new("Daily Sales").unwrap_err();
        assert_eq!(problem.message(), "`Daily Sales` is not a valid name");
        assert!(problem.hint_text().unwrap().ends_with("`daily_sales`"));
    }

    #[test]
    fn table_names_have_a_zone() {
        assert_eq!(TableName::parse("silver.orders").unwrap().to_string(), "silver.orders");
        assert!(TableName::parse("orders").is_err());
        assert!(TableName::parse("silver.../etc").is_err());
    }
}
