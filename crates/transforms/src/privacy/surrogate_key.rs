//! `surrogate_key`: a key that is made of the columns that are the natural one.

use super::hash::columns;
use crate::projection::{check_name, with_columns};
use crate::settings::invalid;
use contracts::settings::OneOrMany;
use contracts::sql::List;
use contracts::{Example, Inputs, Relation, Relational, RowLaw};
use contracts::{expr, sql};
use model::Result;
use schemars::JsonSchema;
use serde::Deserialize;

/// The number of keys: those that a signed integer of 64 bits can hold, from 0.
const KEYS: i64 = i64::MAX;

/// Settings of `surrogate_key`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Columns that name a thing: the same values give the same key, in each run.
    keys: OneOrMany,
    /// Name of the column with the key.
    #[serde(default = "output")]
    output: String,
    /// What the key is.
    #[serde(default)]
    kind: Kind,
}

fn output() -> String {
    "key".to_owned()
}

/// What a surrogate key is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A text of 64 characters, the SHA-256 of the values: never the same for two things.
    #[default]
    Text,
    /// A positive integer of 63 bits: smaller and faster to join. Among 100 million things the
    /// chance that two share one is 1 in 1800.
    Integer,
}

/// The module.
pub struct SurrogateKey;

impl Relational for SurrogateKey {
    type Config = Config;
    const NAME: &'static str = "surrogate_key";
    const SUMMARY: &'static str = "Add a key that is made of other columns.";
    const LAW: RowLaw = RowLaw::Each;
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "a text",
            config: r#"{"keys": ["code"], "output": "code_key"}"#,
            inputs: &[("rows", r#"{"code": "abc"}"#)],
            outputs: &[(
                "out",
                "{\"code\": \"abc\", \"code_key\": \
                 \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"}",
            )],
        },
        Example {
            title: "an integer",
            config: r#"{"keys": ["shop", "number"], "kind": "integer"}"#,
            inputs: &[("rows", r#"{"shop": "Nice", "number": 7}"#)],
            outputs: &[("out", r#"{"shop": "Nice", "number": 7, "key": 3727540754882705318}"#)],
        },
    ];

    fn query(config: &Config, inputs: &Inputs) -> Result<Relation> {
        let input = inputs.only()?;
        if config.keys.is_empty() {
            return Err(invalid("/keys", "there is no column to make a key of"));
        }
        let keys = List(columns(&config.keys, input, "/keys")?);
        check_name(&config.output, "/output")?;
        let key = match config.kind {
            Kind::Text => expr!("hash_text('sha256', {})", keys)?,
            Kind::Integer => expr!("hash_bucket({}, {})", keys, KEYS)?,
        };
        let items = with_columns(input, &[(config.output.clone(), key)]);
        Ok(sql!("SELECT {} FROM {}", items, input)?.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{one, refused, sql};

    #[test]
    fn integers_have_63_bits() {
        assert_eq!(
            sql::<SurrogateKey>(r#"{"keys": "a", "kind": "integer"}"#, &one("a: string")),
            "SELECT \"a\", hash_bucket(\"a\", 9223372036854775807) AS \"key\" FROM \"rows\""
        );
        let refused = |config| refused::<SurrogateKey>(config, &one("a: string"));
        assert_eq!(refused(r#"{"keys": []}"#), "/keys: there is no column to make a key of");
        assert_eq!(refused(r#"{"keys": "b"}"#), "/keys/0: `rows` has no column `b`");
    }
}
