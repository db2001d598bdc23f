//! `hash`: one digest for the values of several columns.

use crate::projection::{check_name, is_origin, with_columns};
use crate::settings::invalid;
use contracts::settings::OneOrMany;
use contracts::sql::{Ident, List, Text};
use contracts::{Example, Inputs, NamedInput, Relation, Relational, RowLaw};
use contracts::{expr, sql};
use model::Result;
use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of `hash`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The columns; all but `_file` and `_row` when left out.
    columns: OneOrMany,
    /// Name of the column with the digest.
    output: String,
    /// How the digest is made.
    algorithm: Algorithm,
}

impl Default for Config {
    fn default() -> Self {
        let algorithm = Algorithm::Sha256;
        Self { columns: OneOrMany::default(), output: "hash".to_owned(), algorithm }
    }
}

/// How a digest is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// SHA-256: 64 characters. Nobody can make two values with the same digest.
    Sha256,
    /// 16 characters, and faster: to find changes among some million rows, not against attacks.
    Stable64,
}

/// The module.
pub struct Hash;

impl Relational for Hash {
    type Config = Config;
    const NAME: &'static str = "hash";
    const SUMMARY: &'static str = "Add a digest of the values of some columns.";
    const LAW: RowLaw = RowLaw::Each;
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "the SHA-256 of one text",
            config: r#"{"columns": "text", "output": "sha256"}"#,
            inputs: &[("rows", r#"{"n": 1, "text": "abc"}"#)],
            outputs: &[(
                "out",
                "{\"n\": 1, \"text\": \"abc\", \"sha256\": \
                 \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"}",
            )],
        },
        Example {
            title: "a short digest",
            config: r#"{"columns": ["text"], "algorithm": "stable64"}"#,
            inputs: &[("rows", r#"{"text": "abc"}"#)],
            outputs: &[("out", r#"{"text": "abc", "hash": "33ebaf9927cbc5bd"}"#)],
        },
    ];

    fn query(config: &Config, inputs: &Inputs) -> Result<Relation> {
        let input = inputs.only()?;
        let columns = columns(&config.columns, input, "/columns")?;
        check_name(&config.output, "/output")?;
        let algorithm = match config.algorithm {
            Algorithm::Sha256 => Text("sha256"),
            Algorithm::Stable64 => Text("stable64"),
        };
        let digest = expr!("hash_text({}, {})", algorithm, List(columns))?;
        let items = with_columns(input, &[(config.output.clone(), digest)]);
        Ok(sql!("SELECT {} FROM {}", items, input)?.into())
    }
}

/// The columns that were named, or all that do not say where a row came from.
pub(super) fn columns<'a>(
    given: &'a OneOrMany,
    input: &'a NamedInput,
    setting: &str,
) -> Result<Vec<Ident<'a>>> {
    for (at, name) in given.iter().enumerate() {
        input.column(name, &format!("{setting}/{at}"))?;
    }
    let columns: Vec<Ident> = match given.is_empty() {
        true => input.columns().filter(|name| !is_origin(name)).map(Ident).collect(),
        false => given.iter().map(Ident).collect(),
    };
    match columns.is_empty() {
        true => Err(invalid(setting, format!("`{}` has only its origin columns", input.name))),
        false => Ok(columns),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{one, refused, sql};

    #[test]
    fn the_origin_is_not_part_of_a_row() {
        assert_eq!(
            sql::<Hash>("{}", &one("a: string; b: integer; _row: integer")),
            "SELECT \"a\", \"b\", \"_row\", hash_text('sha256', \"a\", \"b\") AS \"hash\" \
             FROM \"rows\""
        );
        let refused = |config| refused::<Hash>(config, &one("a: string"));
        assert_eq!(refused(r#"{"columns": ["a", "c"]}"#), "/columns/1: `rows` has no column `c`");
        assert_eq!(refused(r#"{"output": ""}"#), "/output: a column needs a name");
    }
}
