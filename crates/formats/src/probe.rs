//! Finds out what format a file has, from its first bytes and its name.

use crate::compression::{self, Limits};
use crate::file::InputFile;
use model::{Problem, Result, codes};
use std::fs::File;
use std::io::{BufReader, Read};
use std::sync::Arc;
use zip::ZipArchive;

const HEAD_BYTES: u64 = 4096;
const COMPOUND_MAGIC: &[u8] = &[0xd0, 0xcf, 0x11, 0xe0];

/// A format that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Text with delimiters, or of fixed width.
    Csv,
    /// JSON: lines, lists, documents, GeoJSON.
    Json,
    /// Parquet.
    Parquet,
    /// An Excel workbook.
    Excel,
    /// XML.
    Xml,
}

/// The format of a file, looked at inside of its compression. Content counts more than the name;
/// where content says nothing, the name does; what is neither is text with delimiters.
pub fn by_content(file: &InputFile) -> Result<Format> {
    let head = head_of_disk(file)?;
    if head.starts_with(b"PAR1") || head.starts_with(b"PARE") {
        return Ok(Format::Parquet);
    }
    if head.starts_with(COMPOUND_MAGIC) || (head.starts_with(b"PK") && is_workbook(file)) {
        return Ok(Format::Excel);
    }
    let members = compression::members(file, Limits::default())?;
    let Some(member) = members.first() else {
        return Err(Problem::new(
            &codes::FILE_CORRUPT,
            format!("the archive `{}` has no files", file.name),
        )
        .arg("file", &file.name)
        .in_file(&file.name)
        .hint("put the files with the rows into it"));
    };
    let mut reader = crate::input::open_markup(member, &Arc::default())?;
    let mut text = Vec::new();
    let read = (&mut reader).take(HEAD_BYTES).read_to_end(&mut text);
    read.map_err(|error| crate::input::unreadable(file, error))?;
    Ok(by_text(&text, &member.file.name))
}

/// Advice when a file that should have been `wanted` seems to be of another format.
pub(crate) fn other_than(file: &InputFile, wanted: Format) -> Option<String> {
    let head = head_of_disk(file).ok()?;
    // Damaged files of the wanted format have bytes that no text has.
    if head.is_empty() || head.contains(&0) {
        return None;
    }
    let (name, module) = match by_content(file).ok()? {
        found if found == wanted => return None,
        Format::Csv => ("text with delimiters", "csv"),
        Format::Json => ("JSON", "json"),
        Format::Parquet => ("Parquet", "parquet"),
        Format::Excel => ("a workbook", "excel"),
        Format::Xml => ("XML", "xml"),
    };
    Some(format!("the file looks like {name}: write `use: {module}`"))
}

fn by_text(text: &[u8], name: &str) -> Format {
    let text = text.trim_ascii_start();
    let name = name.to_lowercase();
    let name = name.trim_end_matches(".gz").trim_end_matches(".zst").trim_end_matches(".zip");
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let by_name = match extension {
        "json" | "ndjson" | "jsonl" | "geojson" => Some(Format::Json),
        "xml" => Some(Format::Xml),
        "csv" | "tsv" | "txt" | "psv" => Some(Format::Csv),
        _ => None,
    };
    let first_line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    match text {
        _ if by_name.is_some() && text.is_empty() => by_name.unwrap_or(Format::Csv),
        [b'<', b'?' | b'!' | b'A'..=b'Z' | b'a'..=b'z', ..] if by_name != Some(Format::Csv) => {
            Format::Xml
        }
        // A CSV header may well begin with a bracket: only what goes on like JSON is JSON.
        [b'{' | b'[', rest @ ..] if by_name != Some(Format::Csv) || is_json(rest) => {
            let goes_on = is_json(rest);
            if goes_on || by_name == Some(Format::Json) { Format::Json } else { Format::Csv }
        }
        _ if by_name == Some(Format::Json) && !first_line.contains(&b';') => Format::Json,
        _ => by_name.unwrap_or(Format::Csv),
    }
}

/// Whether what follows an opening bracket can be JSON.
fn is_json(rest: &[u8]) -> bool {
    let rest = rest.trim_ascii_start();
    match rest {
        [] | [b'}' | b']' | b'{' | b'[', ..] => true,
        [b'"', text @ ..] => {
            let end = text.iter().position(|byte| *byte == b'"').map_or(text.len(), |at| at + 1);
            matches!(text[end..].trim_ascii_start(), [] | [b':' | b',' | b']', ..])
        }
        [b'-' | b'0'..=b'9' | b't' | b'f' | b'n', ..] => true,
        _ => false,
    }
}

fn head_of_disk(file: &InputFile) -> Result<Vec<u8>> {
    let opened = File::open(&file.path).map_err(|error| file.problem(&error))?;
    let mut head = Vec::new();
    let read = opened.take(8).read_to_end(&mut head);
    read.map_err(|error| file.problem(&error))?;
    Ok(head)
}

/// Whether a zip archive is a workbook: it has the parts of one.
fn is_workbook(file: &InputFile) -> bool {
    let Ok(opened) = File::open(&file.path) else { return false };
    let Ok(archive) = ZipArchive::new(BufReader::new(opened)) else { return false };
    archive.file_names().flatten().any(|name| {
        let name = name.replace('\\', "/").to_lowercase();
        // An OpenDocument sheet is a workbook too.
        ["[content_types].xml", "xl/workbook.xml", "content.xml"].contains(&name.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{data, files_of, one_file};
    use std::io::Write;

    #[test]
    fn content_and_name_are_weighed() {
        for (name, content, format) in [
            ("a.csv", "a,b\n1,2\n", Format::Csv),
            ("a.json", "{\"a\": 1}", Format::Json),
            ("a", " [\n{\"a\": 1}]", Format::Json),
            ("a.txt", "{\"a\":1}\n{\"a\":2}\n", Format::Json),
            ("a.csv", "[id];[name]\n1;2\n", Format::Csv),
            ("a", "[id],[name]\n1,2\n", Format::Csv),
            ("a.json", "oops", Format::Json),
            ("a.json", "", Format::Json),
            ("a.dat", "<?xml version=\"1.0\"?><r/>", Format::Xml),
            ("a.dat", "", Format::Csv),
            ("a.xml", "\u{feff}<r/>", Format::Xml),
            ("a.csv", "<b>,c\n", Format::Csv),
        ] {
            let one = one_file(name, content);
            assert_eq!(by_content(&one.file).unwrap(), format, "{name}: {content}");
        }
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"[{\"a\": 1}]").unwrap();
        let one = one_file("a.bin", gzip.finish().unwrap());
        assert_eq!(by_content(&one.file).unwrap(), Format::Json);
        assert!(by_content(&InputFile::new("/nowhere", "x")).is_err());
    }

    #[test]
    fn real_files_are_recognised() {
        for (folder, format) in [
            ("open/insee", None),
            ("open/osm", Some(Format::Json)),
            ("open/ademe", None),
            ("torture/parquet-testing/data", None),
            ("torture/generated/pollution", Some(Format::Csv)),
        ] {
            let Some(folder) = data(folder) else { return };
            for file in files_of(&folder) {
                let by_name = match file.name.rsplit_once('.').map(|(_, extension)| extension) {
                    Some("csv") => Format::Csv,
                    Some("json" | "geojson") => Format::Json,
                    Some("xlsx") => Format::Excel,
                    Some("parquet") => Format::Parquet,
                    _ => continue,
                };
                assert_eq!(by_content(&file).unwrap(), format.unwrap_or(by_name), "{}", file.name);
            }
        }
    }
}
