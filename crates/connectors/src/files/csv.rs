//! `csv`: rows from delimited texts and from texts with columns of fixed width.

use super::config::FileConfig;
use super::source::{FileFormat, FileSource};
use crate::settings::{Character, Ordered};
use contracts::{Batches, Example, Source, SourceModule};
use formats::csv;
use formats::encoding::Encoding;
use formats::file::{InputFile, ReadOptions};
use model::{Problem, Result, codes};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of delimited and fixed-width texts. What is not given is found out from the file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The character between fields, such as `;` or `tab`.
    delimiter: Option<Character>,
    /// The character around fields, or `none`.
    quote: Option<Character>,
    /// The character before a quote inside of a quoted field: the quote itself, or `\`.
    escape: Option<Character>,
    /// Whether the first row holds the names of the columns.
    header: Option<bool>,
    /// The character encoding, such as `utf-8`, `windows-1252` or `utf-16le`.
    encoding: Option<String>,
    /// Lines to pass over at the beginning of each file.
    skip: u64,
    /// Lines that begin with this character are passed over.
    comment: Option<Character>,
    /// For columns of fixed width: the number of characters of each, by name, in their order.
    fixed_width: Option<Ordered<usize>>,
    /// Names of the columns, for files without a header or in place of it.
    columns: Option<Vec<String>>,
    /// Values that mean "missing" when they stand without quotes, besides the empty one.
    null_values: Vec<String>,
    /// Types of the columns.
    types: Types,
}

/// Types of the columns.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Types {
    /// Text, exactly as received.
    #[default]
    Text,
    /// By what the first rows look like; a later value that does not fit is rejected.
    Infer,
}

impl Options {
    fn to_format(&self) -> csv::CsvOptions {
        let fixed_width = self.fixed_width.as_ref().map(|widths| widths.entries().to_vec());
        csv::CsvOptions {
            delimiter: self.delimiter.and_then(Character::get),
            quote: self.quote.map(Character::get),
            escape: self.escape.and_then(Character::get),
            header: self.header,
            encoding: self.encoding.clone(),
            skip: self.skip,
            comment: self.comment.and_then(Character::get),
            fixed_width,
            columns: self.columns.clone(),
            null_values: self.null_values.clone(),
            types: match self.types {
                Types::Text => csv::Types::Text,
                Types::Infer => csv::Types::Infer,
            },
        }
    }
}

impl FileFormat for Options {
    fn open(&self, files: Vec<InputFile>, read: ReadOptions) -> Result<Batches> {
        csv::open(&files, &self.to_format(), read)
    }

    fn check(&self) -> Result<()> {
        if let Some(encoding) = &self.encoding
            && Encoding::named(encoding).is_none()
        {
            return Err(invalid(format!("`{encoding}` is not a known encoding"), "/encoding").hint(
                "usual ones are utf-8, windows-1252, iso-8859-15, utf-16le, mac-roman, shift_jis \
                 and gb18030; left out, it is found out from the file",
            ));
        }
        if self.fixed_width.is_some() && self.delimiter.is_some() {
            return Err(invalid("`fixed_width` and `delimiter` are both given", "/fixed_width")
                .hint("leave one of them out"));
        }
        for (setting, given) in [("delimiter", self.delimiter), ("comment", self.comment)] {
            if given.is_some_and(|given| given.get().is_none()) {
                return Err(invalid(format!("`{setting}` is `none`"), &format!("/{setting}"))
                    .hint(format!("leave `{setting}` out, or give one character")));
            }
        }
        Ok(())
    }
}

fn invalid(fact: impl Into<String>, setting: &str) -> Problem {
    Problem::new(&codes::SETTING_INVALID, fact).in_setting(setting)
}

/// The module.
pub struct Csv;

impl SourceModule for Csv {
    type Config = FileConfig<Options>;
    const NAME: &'static str = "csv";
    const SUMMARY: &'static str = "Read CSV and other texts with delimiters or fixed widths.";
    const REJECTS: bool = true;
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "everything is found out",
            config: r#"{"path": "orders-*.csv"}"#,
            inputs: &[
                ("orders-1.csv", "Order ID;Amount\n007;12,50\n008;\"1 000,00\"\n"),
                ("orders-2.csv", "Order ID;Amount\n009;\n"),
            ],
            outputs: &[(
                "out",
                r#"{"order_id": "007", "amount": "12,50", "_file": "orders-1.csv", "_row": 2}
                {"order_id": "008", "amount": "1 000,00", "_file": "orders-1.csv", "_row": 3}
                {"order_id": "009", "amount": null, "_file": "orders-2.csv", "_row": 2}"#,
            )],
        },
        Example {
            title: "no header, tabs, and a word for missing values",
            config: r#"{"path": "stock.tsv", "delimiter": "tab", "header": false,
                "columns": ["sku", "stock"], "null_values": ["n/a"]}"#,
            inputs: &[("stock.tsv", "A1\t7\nA2\tn/a\n")],
            outputs: &[(
                "out",
                "{\"sku\": \"A1\", \"stock\": \"7\", \"_file\": \"stock.tsv\", \"_row\": 1}\n\
                 {\"sku\": \"A2\", \"stock\": null, \"_file\": \"stock.tsv\", \"_row\": 2}",
            )],
        },
        Example {
            title: "columns of fixed width",
            config: r#"{"path": "codes.txt", "header": false,
                "fixed_width": {"code": 4, "label": 6}}"#,
            inputs: &[("codes.txt", "0001Nantes\n0002Brest \n")],
            outputs: &[(
                "out",
                r#"{"code": "0001", "label": "Nantes", "_file": "codes.txt", "_row": 1}
                {"code": "0002", "label": "Brest", "_file": "codes.txt", "_row": 2}"#,
            )],
        },
    ];

    fn build(config: Self::Config) -> Result<Box<dyn Source>> {
        FileSource::build(config)
    }
}
