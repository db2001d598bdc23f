//! OpenDocument sheets (ODS), streamed cell by cell; the same types as in other workbooks.

use super::SheetName;
use super::sheet::{COLUMNS_MAX, Next, Row};
use super::value::Value;
use super::workbook::{Archive, Part, Workbook, open_archive, too_large};
use crate::file::InputFile;
use crate::markup::{Markup, MarkupReader, attribute, attribute_value};
use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use model::{Problem, Result, codes};
use quick_xml::events::BytesStart;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// The first entry of the archive says what it is, uncompressed and near its beginning.
const MIME_TYPE: &[u8] = b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet";
const MIME_TYPE_WITHIN: u64 = 256;
const CONTENT: &str = "content.xml";
const MANIFEST: &str = "META-INF/manifest.xml";
/// Rows that a sheet can have, and cells that are read from one.
const ROWS_MAX: i64 = 1_048_576;
const CELLS_MAX: u64 = 200_000_000;
/// A cell of the file may stand for so many of the sheet, and so many are free: otherwise a few
/// bytes would be a sheet without end.
const REPEATED_MAX: u64 = 1000;
const REPEATED_FREE: u64 = 1_000_000;
const SHEETS_MAX: usize = 10_000;
const SPACES_MAX: usize = 1000;
const TEXT_BYTES_MAX: usize = 16 << 20;

/// Whether a file is an OpenDocument sheet.
pub(super) fn is_ods(file: &InputFile) -> Result<bool> {
    let mut head = Vec::new();
    let opened = File::open(&file.path).map_err(|error| file.problem(&error))?;
    let read = opened.take(MIME_TYPE_WITHIN).read_to_end(&mut head);
    read.map_err(|error| file.problem(&error))?;
    Ok(head.starts_with(b"PK") && memchr::memmem::find(&head, MIME_TYPE).is_some())
}

/// Hands every row of a sheet to `visit` until it has enough.
pub(super) fn read(
    file: &InputFile,
    wanted: Option<&SheetName>,
    bytes: &Arc<AtomicU64>,
    visit: &mut dyn FnMut(Row) -> Result<Next>,
) -> Result<()> {
    let mut archive = open_archive(file, bytes)?;
    if is_encrypted(&mut archive, file)? {
        return Err(super::protected(file));
    }
    let Some(wanted) = wanted else {
        return read_sheet(&mut archive, file, &|number, _| number == 1, visit).map(drop);
    };
    let is_same = |number: usize, name: &str| match wanted {
        SheetName::Number(wanted) => usize::try_from(*wanted) == Ok(number),
        SheetName::Name(wanted) => wanted == name,
    };
    let Some(names) = read_sheet(&mut archive, file, &is_same, visit)? else { return Ok(()) };
    // A name is found in other letters, too, if no sheet has it as written.
    let normal = |name: &str| name.trim().to_lowercase();
    let is_alike = |_: usize, name: &str| match wanted {
        SheetName::Number(_) => false,
        SheetName::Name(wanted) => normal(wanted) == normal(name),
    };
    if names.iter().any(|name| is_alike(0, name)) {
        return read_sheet(&mut archive, file, &is_alike, visit).map(drop);
    }
    Err(super::no_sheet(file, Some(wanted), names.iter().map(String::as_str)))
}

fn is_encrypted(archive: &mut Archive, file: &InputFile) -> Result<bool> {
    let Some(mut xml) = Workbook::part(archive, file, MANIFEST)? else { return Ok(false) };
    loop {
        match xml.next()? {
            Markup::Start(start) if start.local_name().as_ref() == "encryption-data" => {
                return Ok(true);
            }
            Markup::Eof => return Ok(false),
            _ => {}
        }
    }
}

/// Reads the first sheet whose number and name are wanted; where there is none, gives all names.
fn read_sheet(
    archive: &mut Archive,
    file: &InputFile,
    is_wanted: &dyn Fn(usize, &str) -> bool,
    visit: &mut dyn FnMut(Row) -> Result<Next>,
) -> Result<Option<Vec<String>>> {
    let Some(mut xml) = Workbook::part(archive, file, CONTENT)? else {
        return Err(Problem::new(&codes::FILE_CORRUPT, format!("`{}` holds no sheets", file.name))
            .arg("file", &file.name)
            .in_file(&file.name)
            .hint("the file is damaged or was not copied whole: fetch it again"));
    };
    let mut names = Vec::new();
    loop {
        match xml.next()? {
            Markup::Start(start) if start.local_name().as_ref() == "table" => {
                let name = attribute(&start, "name").unwrap_or_default();
                names.push(name.clone());
                if names.len() > SHEETS_MAX {
                    return Err(too_large(file, "it has more than 10 000 sheets"));
                }
                if is_wanted(names.len(), &name) {
                    SheetReader { xml, file, row: 1, cells: 0, written: 0 }.read(visit)?;
                    return Ok(None);
                }
                xml.skip()?;
            }
            Markup::Eof => return Ok(Some(names)),
            _ => {}
        }
    }
}

struct SheetReader<'a> {
    xml: MarkupReader<Part<'a>>,
    file: &'a InputFile,
    /// Number of the next row.
    row: i64,
    /// Cells with a value that were given on, and those that stand in the file.
    cells: u64,
    written: u64,
}

impl SheetReader<'_> {
    fn read(&mut self, visit: &mut dyn FnMut(Row) -> Result<Next>) -> Result<()> {
        let depth = self.xml.depth();
        while self.xml.depth() >= depth {
            let Markup::Start(start) = self.xml.next()? else { continue };
            let times = match start.local_name().as_ref() {
                "table-row" => Some(repeated(&start, "number-rows-repeated")),
                // Groups of rows hold rows; anything else holds none.
                "table-rows" | "table-header-rows" | "table-row-group" => continue,
                _ => None,
            };
            match times {
                Some(times) if self.rows(times, visit)? == Next::Stop => return Ok(()),
                Some(_) => {}
                None => self.xml.skip()?,
            }
        }
        Ok(())
    }

    /// Reads the row that has just begun, which stands there so many times.
    fn rows(&mut self, times: u32, visit: &mut dyn FnMut(Row) -> Result<Next>) -> Result<Next> {
        let cells = self.read_row()?;
        let first = self.row;
        self.row = first.saturating_add(i64::from(times));
        if cells.is_empty() {
            return Ok(Next::Go);
        }
        for number in first..self.row {
            self.cells += cells.len() as u64;
            let cells_max = CELLS_MAX.min(REPEATED_FREE + self.written * REPEATED_MAX);
            if number > ROWS_MAX || self.cells > cells_max {
                let fact = "a sheet has too many rows or cells, or repeats them too often";
                return Err(too_large(self.file, fact));
            }
            if visit(Row { number, cells: cells.clone(), fault: None })? == Next::Stop {
                return Ok(Next::Stop);
            }
        }
        Ok(Next::Go)
    }

    fn read_row(&mut self) -> Result<Vec<(u32, Value)>> {
        let depth = self.xml.depth();
        let mut cells = Vec::new();
        let mut column = 0u32;
        while self.xml.depth() >= depth {
            let Markup::Start(start) = self.xml.next()? else { continue };
            let is_covered = match start.local_name().as_ref() {
                "table-cell" => false,
                "covered-table-cell" => true,
                _ => continue,
            };
            let cell = Cell::new(&start);
            let text = self.read_text()?;
            let end = column.saturating_add(cell.times);
            // What lies under a merged cell cannot be seen.
            let value = cell.value(text).filter(|value| !is_covered && !value.is_blank());
            if let Some(value) = value {
                self.written += 1;
                let columns = column..end.min(COLUMNS_MAX);
                cells.extend(columns.map(|column| (column, value.clone())));
            }
            column = end;
        }
        Ok(cells)
    }

    /// The paragraphs of the cell that has just begun, read to its end.
    fn read_text(&mut self) -> Result<String> {
        let depth = self.xml.depth();
        let mut text = String::new();
        let mut paragraphs = 0;
        // The depth of the paragraph that is being read.
        let mut paragraph = None;
        while self.xml.depth() >= depth {
            let piece = match self.xml.next()? {
                Markup::Start(start) => Piece::new(&start, paragraph.is_some()),
                Markup::Text(part) if paragraph.is_some() => {
                    text.push_str(&part);
                    continue;
                }
                Markup::Eof => break,
                _ => Piece::Inside,
            };
            match piece {
                Piece::Paragraph => {
                    if paragraphs > 0 {
                        text.push('\n');
                    }
                    paragraphs += 1;
                    paragraph = Some(self.xml.depth());
                }
                Piece::Space(count) => text.extend(std::iter::repeat_n(' ', count)),
                Piece::Character(character) => text.push(character),
                Piece::Inside => {}
                Piece::Other => self.xml.skip()?,
            }
            paragraph = paragraph.filter(|paragraph| self.xml.depth() >= *paragraph);
            if text.len() > TEXT_BYTES_MAX {
                return Err(self.xml.problem("a text is longer than 16 MiB"));
            }
        }
        Ok(text)
    }
}

/// What an element in a cell means for its text.
enum Piece {
    Paragraph,
    Space(usize),
    Character(char),
    /// Its text is part of the paragraph.
    Inside,
    /// Notes, drawings and tables in a cell are no text of it.
    Other,
}

impl Piece {
    fn new(start: &BytesStart<'_>, is_in_paragraph: bool) -> Self {
        match (start.local_name().as_ref(), is_in_paragraph) {
            ("p" | "h", false) => Self::Paragraph,
            ("s", true) => {
                let count = attribute(start, "c").and_then(|count| count.parse().ok());
                Self::Space(count.unwrap_or(1).min(SPACES_MAX))
            }
            ("tab", true) => Self::Character('\t'),
            ("line-break", true) => Self::Character('\n'),
            ("span" | "a", true) => Self::Inside,
            _ => Self::Other,
        }
    }
}

fn repeated(start: &BytesStart<'_>, name: &str) -> u32 {
    attribute(start, name).and_then(|times| times.parse().ok()).unwrap_or(1)
}

/// What the start of a cell says.
#[derive(Default)]
struct Cell {
    times: u32,
    kind: String,
    value: Option<String>,
    is_error: bool,
}

impl Cell {
    fn new(start: &BytesStart<'_>) -> Self {
        let mut cell = Self { times: 1, ..Self::default() };
        let mut attributes = start.attributes();
        attributes.with_checks(false);
        for attribute in attributes.flatten() {
            let Some(value) = attribute_value(&attribute) else { continue };
            match attribute.key.as_ref() {
                "office:value-type" => cell.kind = value,
                "calcext:value-type" => cell.is_error = value == "error",
                "office:value"
                | "office:date-value"
                | "office:time-value"
                | "office:boolean-value"
                | "office:string-value" => cell.value = Some(value),
                "table:number-columns-repeated" => cell.times = value.parse().unwrap_or(1),
                _ => {}
            }
        }
        cell
    }

    fn value(self, text: String) -> Option<Value> {
        let written = self.value.unwrap_or_default();
        let found = match self.kind.as_str() {
            _ if self.is_error => Some(Value::Error(text.clone())),
            "float" | "percentage" | "currency" => {
                written.parse().ok().filter(|number: &f64| number.is_finite()).map(Value::Number)
            }
            "boolean" => Some(Value::Boolean(written == "true")),
            "date" => date(&written),
            "time" => duration(&written),
            "string" if text.is_empty() => Some(Value::Text(written)),
            _ => None,
        };
        found.or_else(|| (!text.is_empty()).then_some(Value::Text(text)))
    }
}

/// A day, or an instant where there is a time.
fn date(text: &str) -> Option<Value> {
    if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        let days = day.signed_duration_since(NaiveDate::default()).num_days();
        return i32::try_from(days).ok().map(Value::Date);
    }
    let instant = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").ok()?;
    Some(Value::Instant(instant.and_utc().timestamp_micros()))
}

/// `PT12H30M15.5S`: a time of day, or a text where it is longer than a day.
fn duration(text: &str) -> Option<Value> {
    let (hours, rest) = text.strip_prefix("PT")?.split_once('H')?;
    let (minutes, rest) = rest.split_once('M')?;
    let seconds = rest.strip_suffix('S')?.replace(',', ".");
    let hours: u32 = hours.parse().ok()?;
    let minutes: u32 = minutes.parse().ok().filter(|minutes| *minutes < 60)?;
    if hours >= 24 {
        let seconds: f64 = seconds.parse().ok().filter(|seconds| (0.0..60.0).contains(seconds))?;
        return Some(Value::Text(format!("{hours}:{minutes:02}:{seconds:02}")));
    }
    let clock = format!("{hours}:{minutes}:{seconds}");
    let time = NaiveTime::parse_from_str(&clock, "%H:%M:%S%.f").ok()?;
    let since_midnight = time.signed_duration_since(NaiveTime::MIN);
    since_midnight.num_microseconds().map(Value::Time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_are_understood() {
        let text = |value: Option<Value>| value.map(|value| value.text());
        assert_eq!(date("2026-01-31"), Some(Value::Date(20_484)));
        assert_eq!(text(date("2026-01-31T10:20:30.5")).as_deref(), Some("2026-01-31T10:20:30.500"));
        assert_eq!(date("31/01/2026"), None);
        assert_eq!(text(duration("PT18H05M00S")).as_deref(), Some("18:05:00"));
        assert_eq!(text(duration("PT01H02M03,5S")).as_deref(), Some("01:02:03.500"));
        assert_eq!(text(duration("PT36H00M00S")).as_deref(), Some("36:00:00"));
        assert_eq!(duration("PT1H99M00S"), None);
        assert_eq!(duration("P1D"), None);
    }
}
