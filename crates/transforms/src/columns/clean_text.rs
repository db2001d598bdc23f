//! `clean_text`: takes out of texts what does not belong there.

use crate::projection::{is_origin, with_columns};
use crate::settings::invalid;
use crate::values::{is_text, mismatch};
use contracts::settings::OneOrMany;
use contracts::sql::{Expr, Text};
use contracts::{Example, Inputs, NamedInput, Relation, Relational, RowLaw};
use contracts::{expr, sql};
use model::Result;
use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of `clean_text`. What is asked for is done in the order of this list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The columns; all texts when left out.
    columns: OneOrMany,
    /// Take HTML out: tags go, `&eacute;` becomes `é`.
    remove_html: bool,
    /// Take web addresses out.
    remove_urls: bool,
    /// Take everything out but letters, digits, white space and the characters of `keep`.
    remove_special: bool,
    /// Characters that `remove_special` leaves.
    keep: String,
    /// Letters without accents.
    fold_accents: bool,
    /// White space at both ends is cut off.
    trim: bool,
    /// Every run of white space becomes one space.
    squeeze: bool,
    /// Capitals and small letters.
    case: Case,
    /// Empty texts become null.
    empty_to_null: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            columns: OneOrMany::default(),
            remove_html: false,
            remove_urls: false,
            remove_special: false,
            keep: String::new(),
            fold_accents: false,
            trim: true,
            squeeze: false,
            case: Case::None,
            empty_to_null: false,
        }
    }
}

/// Capitals and small letters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Case {
    /// As they are.
    #[default]
    None,
    /// all small
    Lower,
    /// ALL CAPITALS
    Upper,
    /// Each Word With A Capital
    Title,
}

/// The module.
pub struct CleanText;

impl Relational for CleanText {
    type Config = Config;
    const NAME: &'static str = "clean_text";
    const SUMMARY: &'static str = "Trim texts and take out what does not belong there.";
    const LAW: RowLaw = RowLaw::Each;
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "spaces and empty texts, in all texts",
            config: r#"{"squeeze": true, "empty_to_null": true}"#,
            inputs: &[("rows", r#"{"n": 1, "name": "  Ana   Lima ", "note": "  "}"#)],
            outputs: &[("out", r#"{"n": 1, "name": "Ana Lima", "note": null}"#)],
        },
        Example {
            title: "a text from a web page",
            config: r#"{"columns": "text", "remove_html": true, "remove_urls": true,
                        "squeeze": true, "fold_accents": true, "case": "lower"}"#,
            inputs: &[("rows", r#"{"text": "<p>Caf&eacute; <b>&Agrave;</b> https://x.fr/a</p>"}"#)],
            outputs: &[("out", r#"{"text": "cafe a"}"#)],
        },
        Example {
            title: "telephone numbers",
            config: r#"{"columns": ["phone"], "remove_special": true, "keep": "+"}"#,
            inputs: &[("rows", r#"{"phone": "+33(1)23-45", "name": "A-B"}"#)],
            outputs: &[("out", r#"{"phone": "+3312345", "name": "A-B"}"#)],
        },
    ];

    fn query(config: &Config, inputs: &Inputs) -> Result<Relation> {
        let input = inputs.only()?;
        if !config.keep.is_empty() && !config.remove_special {
            return Err(invalid("/keep", "`keep` is only for `remove_special`")
                .hint("add `remove_special: true`, or leave `keep` out"));
        }
        let mut new = Vec::new();
        for name in columns(config, input)? {
            new.push((name.to_owned(), config.clean(Expr::column(name))?));
        }
        Ok(sql!("SELECT {} FROM {}", with_columns(input, &new), input)?.into())
    }
}

fn columns<'a>(config: &'a Config, input: &'a NamedInput) -> Result<Vec<&'a str>> {
    if config.columns.is_empty() {
        let texts = input.schema.fields().iter().filter(|field| is_text(field.data_type()));
        return Ok(texts.map(|f| f.name().as_str()).filter(|name| !is_origin(name)).collect());
    }
    for (at, name) in config.columns.iter().enumerate() {
        let path = format!("/columns/{at}");
        let data_type = input.column(name, &path)?.data_type();
        if !is_text(data_type) {
            return Err(mismatch(name, data_type, "only texts can be cleaned", &path));
        }
    }
    Ok(config.columns.iter().collect())
}

impl Config {
    fn clean(&self, text: Expr) -> Result<Expr> {
        let mut text = text;
        if self.remove_html {
            text = expr!("strip_html({})", text)?;
        }
        if self.remove_urls {
            text = expr!("strip_urls({})", text)?;
        }
        if self.remove_special {
            text = match self.keep.as_str() {
                "" => expr!("strip_special({})", text)?,
                keep => expr!("strip_special({}, {})", text, Text(keep))?,
            };
        }
        if self.fold_accents {
            text = expr!("fold_accents({})", text)?;
        }
        if self.squeeze {
            text = expr!("squeeze_spaces({})", text)?;
        } else if self.trim {
            text = expr!("trim_text({})", text)?;
        }
        text = match self.case {
            Case::None => text,
            Case::Lower => expr!("lower({})", text)?,
            Case::Upper => expr!("upper({})", text)?,
            Case::Title => expr!("initcap({})", text)?,
        };
        match self.empty_to_null {
            true => expr!("nullif({}, '')", text),
            false => Ok(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{one, refused, sql};

    #[test]
    fn only_texts_are_touched() {
        assert_eq!(
            sql::<CleanText>("{}", &one("a: string; n: integer; _file: string")),
            "SELECT trim_text(\"a\") AS \"a\", \"n\", \"_file\" FROM \"rows\""
        );
        let refused = |config| refused::<CleanText>(config, &one("a: string; n: integer"));
        assert_eq!(
            refused(r#"{"columns": ["a", "n"]}"#),
            "/columns/1: `n` is of type integer, but only texts can be cleaned"
        );
        assert_eq!(refused(r#"{"keep": "+"}"#), "/keep: `keep` is only for `remove_special`");
    }
}
