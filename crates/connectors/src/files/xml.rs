//! `xml`: rows from XML files.

use super::config::FileConfig;
use super::json::{NewKeys, check_depth};
use super::source::{FileFormat, FileSource};
use contracts::{Batches, Example, Source, SourceModule};
use formats::file::{InputFile, ReadOptions};
use formats::xml;
use model::{DataType, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Options of XML files.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The element that is a row: its name (`order`), or its path from the root
    /// (`orders/order`), without prefixes. The elements right inside of the root when not given.
    row: Option<String>,
    /// Down to this level elements become columns (`customer/name` becomes `customer_name`);
    /// deeper ones stay JSON texts.
    #[schemars(range(min = 1, max = 32))]
    depth: usize,
    /// Types of the columns.
    types: Types,
    /// Types of columns by their path (`customer.@id`), in place of what the values look like.
    columns: BTreeMap<String, DataType>,
    /// What happens to a row with an element that no row at the beginning of the files has.
    new_keys: NewKeys,
}

/// Types of the columns.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Types {
    /// Text, exactly as received.
    #[default]
    Text,
    /// By what the values look like.
    Infer,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            row: None,
            depth: xml::XmlOptions::default().depth,
            types: Types::default(),
            columns: BTreeMap::new(),
            new_keys: NewKeys::default(),
        }
    }
}

impl FileFormat for Options {
    fn untrusted(&self) -> Option<(&'static str, serde_json::Result<serde_json::Value>)> {
        Some((Xml::NAME, serde_json::to_value(self)))
    }

    fn open(&self, files: Vec<InputFile>, read: ReadOptions) -> Result<Batches> {
        let options = xml::XmlOptions {
            row: self.row.clone(),
            depth: self.depth,
            types: match self.types {
                Types::Text => xml::Types::Text,
                Types::Infer => xml::Types::Infer,
            },
            columns: self.columns.clone(),
            new_keys: self.new_keys.to_format(),
        };
        xml::open(files, &options, read)
    }

    fn check(&self) -> Result<()> {
        check_depth(self.depth)
    }
}

/// The module.
pub struct Xml;

impl SourceModule for Xml {
    type Config = FileConfig<Options>;
    const NAME: &'static str = "xml";
    const SUMMARY: &'static str = "Read XML files, one row per element.";
    const REJECTS: bool = true;
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "one row per order",
            config: r#"{"path": "orders.xml", "row": "order"}"#,
            inputs: &[(
                "orders.xml",
                "<orders><order id=\"7\"><customer>Ada</customer></order>\
                 <order id=\"8\"><customer>Léo</customer></order></orders>",
            )],
            outputs: &[(
                "out",
                "{\"id\": \"7\", \"customer\": \"Ada\", \"_file\": \"orders.xml\", \"_row\": 1}\n\
                 {\"id\": \"8\", \"customer\": \"Léo\", \"_file\": \"orders.xml\", \"_row\": 2}",
            )],
        },
        Example {
            title: "a path, and types by what the values look like",
            config: r#"{"path": "catalog/*.xml", "row": "catalog/items/item", "types": "infer"}"#,
            inputs: &[],
            outputs: &[],
        },
    ];

    fn build(config: Self::Config) -> Result<Box<dyn Source>> {
        FileSource::build(config)
    }
}
