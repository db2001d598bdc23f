//! `excel`: rows from the sheets of workbooks, whatever program has written them.

use super::config::FileConfig;
use super::source::{FileFormat, FileSource};
use contracts::{Batches, Example, Source, SourceModule};
use formats::excel;
use formats::file::{InputFile, ReadOptions};
use model::{Problem, Result, codes};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// Options of workbooks.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The sheet: its name, or its number from 1. The first one when not given.
    sheet: Option<Sheet>,
    /// Whether the first row that is not empty holds the names of the columns.
    header: bool,
    /// Rows to pass over before the header, counted from the top of the sheet or of `range`.
    skip: u64,
    /// The cells to read, such as `B3:F100`, `B:F` or `3:100`.
    range: Option<String>,
    /// Types of the columns.
    types: Types,
}

/// Types of the columns.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Types {
    /// Every value as text, as a person sees it; dates in ISO form.
    #[default]
    Text,
    /// By what the first rows look like.
    Infer,
}

/// A sheet by name or number.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sheet(excel::SheetName);

impl<'de> Deserialize<'de> for Sheet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SheetVisitor)
    }
}

impl Serialize for Sheet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            excel::SheetName::Name(name) => serializer.serialize_str(name),
            excel::SheetName::Number(number) => serializer.serialize_u32(*number),
        }
    }
}

struct SheetVisitor;

impl Visitor<'_> for SheetVisitor {
    type Value = Sheet;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a sheet, or its number from 1")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Sheet, E> {
        Ok(Sheet(excel::SheetName::Name(name.to_owned())))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Sheet, E> {
        match u32::try_from(number) {
            Ok(number) if number > 0 => Ok(Sheet(excel::SheetName::Number(number))),
            _ => Err(E::custom(format_args!("`{number}` is not the number of a sheet"))),
        }
    }
}

impl JsonSchema for Sheet {
    fn schema_name() -> Cow<'static, str> {
        "Sheet".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 1}]})
    }
}

impl Default for Options {
    fn default() -> Self {
        Self { sheet: None, header: true, skip: 0, range: None, types: Types::default() }
    }
}

impl FileFormat for Options {
    fn untrusted(&self) -> Option<(&'static str, serde_json::Result<serde_json::Value>)> {
        Some((Excel::NAME, serde_json::to_value(self)))
    }

    fn open(&self, files: Vec<InputFile>, read: ReadOptions) -> Result<Batches> {
        let options = excel::ExcelOptions {
            sheet: self.sheet.clone().map(|sheet| sheet.0),
            header: self.header,
            skip: self.skip,
            range: self.range.clone(),
            types: match self.types {
                Types::Text => excel::Types::Text,
                Types::Infer => excel::Types::Infer,
            },
        };
        excel::open(files, &options, read)
    }

    fn check(&self) -> Result<()> {
        match &self.range {
            Some(range) if range.trim().is_empty() => {
                Err(Problem::new(&codes::SETTING_INVALID, "`range` is empty")
                    .in_setting("/range")
                    .hint("leave it out, or name the cells: `B3:F100`"))
            }
            _ => Ok(()),
        }
    }
}

/// The module.
pub struct Excel;

impl SourceModule for Excel {
    type Config = FileConfig<Options>;
    const NAME: &'static str = "excel";
    const SUMMARY: &'static str = "Read sheets of workbooks: XLSX, XLSB, XLS and ODS.";
    const REJECTS: bool = true;
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "the first sheet",
            config: r#"{"path": "data/epcicom.xlsx"}"#,
            inputs: &[],
            outputs: &[],
        },
        Example {
            title: "a table in the middle of a sheet",
            config: r#"{"path": "budget.xlsx", "sheet": "2026", "range": "B3:F100"}"#,
            inputs: &[],
            outputs: &[],
        },
    ];

    fn build(config: Self::Config) -> Result<Box<dyn Source>> {
        FileSource::build(config)
    }
}
