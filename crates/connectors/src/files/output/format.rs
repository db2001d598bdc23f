//! What `write_file` writes: the format, its options, and the compression around it.

use crate::settings::Character;
use arrow::datatypes::Schema;
use formats::encoding::Encoding;
use formats::write::{
    self, CsvWriteOptions, ParquetWriteOptions, Quoting, WriteFormat, XlsxWriteOptions,
};
use model::{Problem, Result, codes};
use schemars::JsonSchema;
use serde::Deserialize;
use std::io;
use std::sync::Arc;

/// Formats of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// Values between delimiters, a line of headers first.
    Csv,
    /// One JSON object per line.
    Ndjson,
    /// One JSON list of objects.
    Json,
    /// Parquet.
    Parquet,
    /// An Excel workbook with one sheet.
    Xlsx,
}

/// Compression around a file of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Compression {
    /// None.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// Which values of a CSV file stand in quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Quotes {
    /// Those that could be misread without.
    Needed,
    /// All texts.
    Texts,
    /// All values that are not missing.
    All,
}

/// The options of all formats.
#[derive(Debug, Default)]
pub(crate) struct Options {
    pub(crate) delimiter: Option<Character>,
    pub(crate) quote: Option<Character>,
    pub(crate) quotes: Option<Quotes>,
    pub(crate) header: Option<bool>,
    pub(crate) null: Option<String>,
    pub(crate) decimal_comma: Option<bool>,
    pub(crate) crlf: Option<bool>,
    pub(crate) neutralize_formulas: Option<bool>,
    pub(crate) encoding: Option<String>,
    pub(crate) byte_order_mark: Option<bool>,
    pub(crate) sheet: Option<String>,
    pub(crate) zstd_level: Option<i32>,
}

/// A format with its options and compression.
#[derive(Debug, Clone)]
pub(crate) struct FileFormat {
    pub(crate) format: WriteFormat,
    pub(crate) compression: write::Compression,
    /// Ending of file names, without the first dot.
    pub(crate) extension: String,
}

/// The format and compression that the ending of a path tells.
pub(crate) fn from_path(path: &str) -> (Option<Format>, Option<Compression>) {
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    let (name, compression) = match name.rsplit_once('.') {
        Some((name, "gz")) => (name.to_owned(), Some(Compression::Gzip)),
        Some((name, "zst")) => (name.to_owned(), Some(Compression::Zstd)),
        _ => (name, None),
    };
    let format = match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("csv" | "tsv" | "txt") => Some(Format::Csv),
        Some("ndjson" | "jsonl") => Some(Format::Ndjson),
        Some("json") => Some(Format::Json),
        Some("parquet") => Some(Format::Parquet),
        Some("xlsx") => Some(Format::Xlsx),
        _ => None,
    };
    (format, compression)
}

impl FileFormat {
    /// Checks options and puts them together.
    pub(crate) fn new(
        format: Format,
        compression: Option<Compression>,
        options: &Options,
    ) -> Result<Self> {
        options.check(format)?;
        let (format, ending) = match format {
            Format::Csv => (WriteFormat::Csv(options.csv()?), "csv"),
            Format::Ndjson => (WriteFormat::Ndjson, "ndjson"),
            Format::Json => (WriteFormat::Json, "json"),
            Format::Parquet => {
                let default = ParquetWriteOptions::default();
                let level = options.zstd_level.unwrap_or(default.level);
                (WriteFormat::Parquet(ParquetWriteOptions { level, ..default }), "parquet")
            }
            Format::Xlsx => {
                let default = XlsxWriteOptions::default();
                let sheet = options.sheet.clone().unwrap_or(default.sheet);
                let header = options.header.unwrap_or(default.header);
                (WriteFormat::Xlsx(XlsxWriteOptions { sheet, header }), "xlsx")
            }
        };
        let (compression, packed) = match compression {
            None | Some(Compression::None) => (write::Compression::None, ""),
            Some(Compression::Gzip) => (write::Compression::Gzip, ".gz"),
            Some(Compression::Zstd) => (write::Compression::Zstd, ".zst"),
        };
        let extension = format!("{ending}{packed}");
        // What the writer itself refuses is better known now than after the run.
        let nowhere = Box::new(io::sink());
        write::open(&format, compression, Arc::new(Schema::empty()), nowhere)?;
        Ok(Self { format, compression, extension })
    }
}

impl Options {
    /// Refuses options that the format has no use for.
    fn check(&self, format: Format) -> Result<()> {
        let (is_csv, is_xlsx) = (format == Format::Csv, format == Format::Xlsx);
        let misplaced = [
            ("delimiter", self.delimiter.is_some() && !is_csv),
            ("quote", self.quote.is_some() && !is_csv),
            ("quotes", self.quotes.is_some() && !is_csv),
            ("header", self.header.is_some() && !is_csv && !is_xlsx),
            ("null", self.null.is_some() && !is_csv),
            ("decimal_comma", self.decimal_comma.is_some() && !is_csv),
            ("crlf", self.crlf.is_some() && !is_csv),
            ("neutralize_formulas", self.neutralize_formulas.is_some() && !is_csv),
            ("encoding", self.encoding.is_some() && !is_csv),
            ("byte_order_mark", self.byte_order_mark.is_some() && !is_csv),
            ("sheet", self.sheet.is_some() && !is_xlsx),
            ("zstd_level", self.zstd_level.is_some() && format != Format::Parquet),
        ];
        match misplaced.iter().find(|(_, is_misplaced)| *is_misplaced) {
            Some((setting, _)) => Err(Problem::new(
                &codes::SETTING_INVALID,
                format!("`{setting}` has no meaning for this format"),
            )
            .in_setting(format!("/{setting}"))
            .hint(format!("leave `{setting}` out, or choose another `format`"))),
            None => Ok(()),
        }
    }

    fn csv(&self) -> Result<CsvWriteOptions> {
        let default = CsvWriteOptions::default();
        let character = |setting: &str, given: Option<Character>, default: char| match given {
            None => Ok(default),
            Some(given) => given.get().ok_or_else(|| {
                Problem::new(&codes::SETTING_INVALID, format!("`{setting}` is `none`"))
                    .in_setting(format!("/{setting}"))
                    .hint("give one character, or leave it out")
            }),
        };
        let encoding = match &self.encoding {
            None => default.encoding,
            Some(label) => Encoding::named(label).ok_or_else(|| {
                Problem::new(&codes::SETTING_INVALID, format!("`{label}` is not a known encoding"))
                    .in_setting("/encoding")
                    .hint("usual ones are utf-8, windows-1252 and iso-8859-15")
            })?,
        };
        Ok(CsvWriteOptions {
            delimiter: character("delimiter", self.delimiter, default.delimiter)?,
            quote: character("quote", self.quote, default.quote)?,
            header: self.header.unwrap_or(default.header),
            quoting: match self.quotes {
                None | Some(Quotes::Needed) => Quoting::Needed,
                Some(Quotes::Texts) => Quoting::Texts,
                Some(Quotes::All) => Quoting::All,
            },
            null: self.null.clone().unwrap_or(default.null),
            decimal_comma: self.decimal_comma.unwrap_or(default.decimal_comma),
            crlf: self.crlf.unwrap_or(default.crlf),
            neutralize_formulas: self.neutralize_formulas.unwrap_or(default.neutralize_formulas),
            encoding,
            byte_order_mark: self.byte_order_mark.unwrap_or(default.byte_order_mark),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_tell_format_and_compression() {
        assert_eq!(from_path("a/b.csv.gz"), (Some(Format::Csv), Some(Compression::Gzip)));
        assert_eq!(from_path("s3://b/{run}.PARQUET"), (Some(Format::Parquet), None));
        assert_eq!(from_path("out/"), (None, None));
        assert_eq!(from_path("v1.2/report"), (None, None));
    }

    #[test]
    fn options_belong_to_their_format() {
        let level = Options { zstd_level: Some(99), ..Options::default() };
        let problem = FileFormat::new(Format::Csv, None, &level).unwrap_err();
        assert_eq!(problem.message(), "`zstd_level` has no meaning for this format");
        let problem = FileFormat::new(Format::Parquet, None, &level).unwrap_err();
        assert_eq!(problem.message(), "there is no zstd level 99");
        let packed = Some(Compression::Gzip);
        assert!(FileFormat::new(Format::Parquet, packed, &Options::default()).is_err());
        let csv = FileFormat::new(Format::Csv, packed, &Options::default()).unwrap();
        assert_eq!(csv.extension, "csv.gz");
    }
}
