//! Files in and files out.

pub mod child;
mod config;
pub mod csv;
mod discover;
pub mod excel;
pub(crate) mod find;
pub mod json;
mod landing;
mod output;
pub mod parquet;
#[cfg(test)]
mod remote_tests;
mod source;
#[cfg(test)]
mod tests;
pub mod write_file;
#[cfg(test)]
mod write_tests;
pub mod xml;

use contracts::{Entry, SourceModule};

pub use config::{FileConfig, Land, ReadMode};

/// The modules of this family.
pub const ALL: &[Entry] = &[
    Entry::source::<csv::Csv>(),
    Entry::source::<excel::Excel>(),
    Entry::source::<json::Json>(),
    Entry::source::<parquet::Parquet>(),
    Entry::source::<xml::Xml>(),
    Entry::sink::<write_file::WriteFile>(),
];

/// The source that reads a file of this name, for queries over files: `orders.csv.gz` → `csv`.
pub fn source_for(path: &str) -> Option<&'static str> {
    let path = path.split(['?', '#']).next().unwrap_or(path).to_ascii_lowercase();
    let packed = ["gz", "zst", "zip"];
    let mut endings = path.rsplit('/').next().unwrap_or(&path).rsplit('.');
    let ending = endings.find(|ending| !packed.contains(ending))?;
    match ending {
        "csv" | "tsv" | "txt" | "tab" | "psv" => Some(csv::Csv::NAME),
        "json" | "ndjson" | "jsonl" | "geojson" => Some(json::Json::NAME),
        "xlsx" | "xlsm" | "xlsb" | "xls" | "ods" => Some(excel::Excel::NAME),
        "xml" => Some(xml::Xml::NAME),
        "parquet" | "pq" => Some(parquet::Parquet::NAME),
        _ => None,
    }
}
