//! The rows of one sheet, one after the other, each with the cells that are not empty.

use super::value::{self, Meaning, Value};
use super::workbook::{Texts, Workbook, rich_text, too_large, unescape};
use crate::file::InputFile;
use crate::markup::{Markup, MarkupReader, attribute};
use model::Result;
use quick_xml::events::BytesStart;
use std::io::Read;

/// Columns that a sheet can have: up to XFD.
pub(super) const COLUMNS_MAX: u32 = 16_384;
/// Cells that are read from one sheet.
const CELLS_MAX: u64 = 200_000_000;

/// A row with at least one value.
#[derive(Debug, Default)]
pub(super) struct Row {
    /// Its number in the sheet, from 1.
    pub(super) number: i64,
    /// Columns from 0, rising, and their values.
    pub(super) cells: Vec<(u32, Value)>,
    /// Why the row cannot be taken.
    pub(super) fault: Option<String>,
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Go,
    Stop,
}

/// Hands every row of a sheet to `visit` until it has enough.
pub(super) fn read(
    workbook: &mut Workbook,
    file: &InputFile,
    part: &str,
    visit: &mut dyn FnMut(Row) -> Result<Next>,
) -> Result<()> {
    let is_1904 = workbook.is_1904;
    let (archive, texts, styles) = workbook.parts();
    let Some(xml) = Workbook::part(archive, file, part)? else {
        return Err(too_large(file, "a sheet is missing").hint("save the file again"));
    };
    let (text, fault) = (String::new(), None);
    SheetReader { xml, texts, styles, is_1904, file, row: 0, cells: 0, text, fault }.read(visit)
}

struct SheetReader<'a, R> {
    xml: MarkupReader<R>,
    texts: &'a Texts,
    styles: &'a [Meaning],
    is_1904: bool,
    file: &'a InputFile,
    /// Number of the latest row.
    row: i64,
    cells: u64,
    text: String,
    /// What is wrong with the latest cell.
    fault: Option<String>,
}

impl<R: Read> SheetReader<'_, R> {
    fn read(&mut self, visit: &mut dyn FnMut(Row) -> Result<Next>) -> Result<()> {
        loop {
            match self.xml.next()? {
                Markup::Start(start) if start.local_name().as_ref() == "row" => {
                    let number = attribute(&start, "r").and_then(|r| r.parse::<u32>().ok());
                    self.row = number.map_or(self.row + 1, i64::from);
                    let row = self.read_row()?;
                    let is_empty = row.cells.is_empty() && row.fault.is_none();
                    if !is_empty && visit(row)? == Next::Stop {
                        return Ok(());
                    }
                }
                Markup::Eof => return Ok(()),
                _ => {}
            }
        }
    }

    fn read_row(&mut self) -> Result<Row> {
        let mut row = Row { number: self.row, ..Row::default() };
        let depth = self.xml.depth();
        let mut next_column = 0;
        while self.xml.depth() >= depth {
            let Markup::Start(start) = self.xml.next()? else { continue };
            if start.local_name().as_ref() != "c" {
                continue;
            }
            let cell = Cell::new(&start);
            self.cells += 1;
            if self.cells > CELLS_MAX {
                return Err(too_large(self.file, "a sheet has more than 200 000 000 cells"));
            }
            let column = match &cell.reference {
                Some(reference) => column_of(reference),
                None => Some(next_column),
            };
            let value = self.read_value(&cell)?;
            row.fault = row.fault.take().or(self.fault.take());
            let Some(column) = column.filter(|column| *column < COLUMNS_MAX) else {
                let reference = cell.reference.unwrap_or_default();
                row.fault = Some(format!("has a cell `{reference}`, which no sheet can have"));
                continue;
            };
            next_column = column + 1;
            if let Some(value) = value.filter(|value| !value.is_blank()) {
                row.cells.push((column, value));
            }
        }
        if !row.cells.is_sorted_by(|left, right| left.0 < right.0) {
            row.cells.sort_by_key(|(column, _)| *column);
            row.cells.dedup_by_key(|(column, _)| *column);
        }
        Ok(row)
    }

    /// The value of the cell that has just begun, read to its end.
    fn read_value(&mut self, cell: &Cell) -> Result<Option<Value>> {
        let depth = self.xml.depth();
        self.text.clear();
        let mut has_value = false;
        while self.xml.depth() >= depth {
            let Markup::Start(start) = self.xml.next()? else { continue };
            let name = start.local_name().as_ref().to_owned();
            match name.as_str() {
                "v" => {
                    has_value = true;
                    self.xml.text_into(&mut self.text)?;
                }
                "is" => {
                    has_value = true;
                    rich_text(&mut self.xml, &mut self.text)?;
                }
                _ => self.xml.skip()?,
            }
        }
        Ok(if has_value { self.value(cell) } else { None })
    }

    fn value(&mut self, cell: &Cell) -> Option<Value> {
        let text = self.text.as_str();
        Some(match cell.kind.as_deref() {
            Some("s") => {
                let found = text.trim().parse().ok().and_then(|number| self.texts.get(number));
                if found.is_none() {
                    self.fault = Some("refers to a shared text that is not there".to_owned());
                }
                Value::Text(found?.to_owned())
            }
            Some("str" | "inlineStr" | "d") => Value::Text(unescape(text).into_owned()),
            Some("b") => Value::Boolean(matches!(text.trim(), "1" | "true")),
            Some("e") => Value::Error(text.trim().to_owned()),
            _ if text.trim().is_empty() => return None,
            _ => match text.trim().parse::<f64>() {
                Ok(number) if number.is_finite() => {
                    let style = cell.style.and_then(|style| self.styles.get(style));
                    value::number(number, style.copied().unwrap_or_default(), self.is_1904)
                }
                _ => Value::Text(text.to_owned()),
            },
        })
    }
}

/// What the start of a cell says.
struct Cell {
    reference: Option<String>,
    kind: Option<String>,
    style: Option<usize>,
}

impl Cell {
    fn new(start: &BytesStart<'_>) -> Self {
        let mut cell = Self { reference: None, kind: None, style: None };
        let mut attributes = start.attributes();
        attributes.with_checks(false);
        for attribute in attributes.flatten() {
            match attribute.key.as_ref() {
                "r" => cell.reference = Some(attribute.value.into_owned()),
                "t" => cell.kind = Some(attribute.value.into_owned()),
                "s" => cell.style = attribute.value.parse().ok(),
                _ => {}
            }
        }
        cell
    }
}

/// The column of a reference such as `AB12` or `AB`, from 0.
pub(super) fn column_of(reference: &str) -> Option<u32> {
    let letters = reference.trim_start_matches('$').bytes();
    let letters = letters.take_while(u8::is_ascii_alphabetic);
    let mut column = 0u32;
    for letter in letters {
        let digit = u32::from(letter.to_ascii_uppercase() - b'A') + 1;
        column = column.checked_mul(26)?.checked_add(digit)?;
    }
    column.checked_sub(1)
}

/// The letters of a column from 0.
pub(super) fn column_name(column: u32) -> String {
    let mut letters = Vec::new();
    let mut rest = column + 1;
    while rest > 0 {
        rest -= 1;
        letters.push(b'A' + u8::try_from(rest % 26).expect("a letter is below 26"));
        rest /= 26;
    }
    letters.reverse();
    String::from_utf8(letters).expect("letters are ASCII")
}
