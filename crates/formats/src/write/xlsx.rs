//! Workbooks with one sheet, written row by row: texts stand in their cells, so nothing grows with
//! the number of rows.

use super::cells::Cells;
use super::{RowWriter, XlsxWriteOptions};
use crate::json::number_of_digits;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use model::{Problem, Result, codes};
use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};
use zip::ZipWriter;
use zip::result::ZipError;
use zip::write::{SimpleFileOptions, StreamWriter};

const ROWS_MAX: u32 = 1_048_576;
const COLUMNS_MAX: usize = 16_384;
const TEXT_CHARACTERS_MAX: usize = 32_767;
const SHEET_NAME_CHARACTERS_MAX: usize = 31;
const FLUSH_BYTES: usize = 64 * 1024;
/// Digits of a number that a sheet keeps.
const DIGITS_MAX: usize = 15;
/// Days from 1899-12-30 to 1970-01-01, and the first day that every program agrees on.
const EPOCH_DAYS: i64 = 25_569;
const FIRST_DAY: i64 = 61;
const DAY_MICROS: i64 = 86_400_000_000;

/// Numbers of the styles in [`STYLES`].
const STYLE_HEADER: u32 = 1;
const STYLE_DATE: u32 = 2;
const STYLE_TIME: u32 = 3;
const STYLE_INSTANT: u32 = 4;

const DECLARATION: &str = r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?>"#;
const MAIN: &str = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
const PACKAGE: &str = "http://schemas.openxmlformats.org/package/2006";
const RELATIONS: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
const TYPES: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml";
const STYLES: &str = concat!(
    r#"<numFmts count="3"><numFmt numFmtId="164" formatCode="yyyy\-mm\-dd"/>"#,
    r#"<numFmt numFmtId="165" formatCode="hh:mm:ss"/>"#,
    r#"<numFmt numFmtId="166" formatCode="yyyy\-mm\-dd\ hh:mm:ss"/></numFmts>"#,
    r#"<fonts count="2"><font><sz val="11"/><name val="Calibri"/></font>"#,
    r#"<font><b/><sz val="11"/><name val="Calibri"/></font></fonts>"#,
    r#"<fills count="2"><fill><patternFill patternType="none"/></fill>"#,
    r#"<fill><patternFill patternType="gray125"/></fill></fills>"#,
    r#"<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>"#,
    r#"<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>"#,
    r#"<cellXfs count="5"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>"#,
    r#"<xf numFmtId="0" fontId="1" fillId="0" borderId="0" xfId="0" applyFont="1"/>"#,
    r#"<xf numFmtId="164" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>"#,
    r#"<xf numFmtId="165" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>"#,
    r#"<xf numFmtId="166" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>"#,
    r#"</cellXfs>"#,
);

type Archive = ZipWriter<StreamWriter<BufWriter<Box<dyn Write + Send>>>>;

pub(super) struct XlsxWriter {
    archive: Archive,
    schema: SchemaRef,
    /// Rows written, the header included.
    rows: u32,
    text: String,
    value: String,
}

impl XlsxWriter {
    pub(super) fn new(
        options: &XlsxWriteOptions,
        schema: SchemaRef,
        target: Box<dyn Write + Send>,
    ) -> Result<Self> {
        check(options, &schema)?;
        let mut archive = ZipWriter::new_stream(BufWriter::new(target));
        for (name, xml) in fixed_parts(&options.sheet) {
            start(&mut archive, name)?;
            archive.write_all(xml.as_bytes()).map_err(super::target::failed)?;
        }
        start(&mut archive, "xl/worksheets/sheet1.xml")?;
        let (text, value) = (String::new(), String::new());
        let mut writer = Self { archive, schema, rows: 0, text, value };
        write!(writer.text, "{DECLARATION}<worksheet xmlns=\"{MAIN}\">").expect("a String grows");
        if options.header {
            writer.text.push_str(
                "<sheetViews><sheetView workbookViewId=\"0\"><pane ySplit=\"1\" \
                 topLeftCell=\"A2\" activePane=\"bottomLeft\" state=\"frozen\"/></sheetView>\
                 </sheetViews>",
            );
        }
        writer.text.push_str("<sheetData>");
        if options.header {
            writer.header()?;
        }
        Ok(writer)
    }

    fn header(&mut self) -> Result<()> {
        let schema = SchemaRef::clone(&self.schema);
        self.start_row()?;
        for field in schema.fields() {
            self.value.clear();
            self.value.push_str(field.name());
            self.push_text(Some(STYLE_HEADER), field.name())?;
        }
        self.text.push_str("</row>");
        Ok(())
    }

    fn start_row(&mut self) -> Result<()> {
        if self.rows == ROWS_MAX {
            return Err(Problem::new(
                &codes::FILE_TOO_LARGE,
                "a sheet cannot have more than 1 048 576 rows",
            )
            .hint("write CSV or Parquet, or split the rows into several files"));
        }
        self.rows += 1;
        write!(self.text, "<row r=\"{}\">", self.rows).expect("a String grows");
        Ok(())
    }

    fn push_cell(&mut self, cells: &Cells<'_>, row: usize, column: &str) -> Result<()> {
        if cells.is_null(row) {
            self.text.push_str("<c/>");
            return Ok(());
        }
        self.value.clear();
        let number = match cells {
            Cells::Date(array) => serial(i64::from(array.value(row)) * DAY_MICROS, STYLE_DATE),
            Cells::Timestamp(array) => serial(array.value(row), STYLE_INSTANT),
            Cells::Time(array) => Some((array.value(row) as f64 / DAY_MICROS as f64, STYLE_TIME)),
            _ => None,
        };
        if let Some((number, style)) = number {
            write!(self.text, "<c s=\"{style}\"><v>{number}</v></c>").expect("a String grows");
            return Ok(());
        }
        cells.text(row, &mut self.value);
        match cells {
            Cells::Boolean(array) => {
                let value = u8::from(array.value(row));
                write!(self.text, "<c t=\"b\"><v>{value}</v></c>").expect("a String grows");
            }
            Cells::Integer(_) | Cells::Decimal(_) if is_exact(&self.value) => self.push_number(),
            Cells::Float(array) if array.value(row).is_finite() => self.push_number(),
            _ => self.push_text(None, column)?,
        }
        Ok(())
    }

    fn push_number(&mut self) {
        self.text.push_str("<c><v>");
        self.text.push_str(&self.value);
        self.text.push_str("</v></c>");
    }

    fn push_text(&mut self, style: Option<u32>, column: &str) -> Result<()> {
        if self.value.encode_utf16().count() > TEXT_CHARACTERS_MAX {
            return Err(Problem::new(
                &codes::FILE_TOO_LARGE,
                format!("a text of column `{column}` has more than 32 767 characters"),
            )
            .arg("column", column)
            .hint("a cell cannot hold more: shorten the text, or write CSV"));
        }
        match style {
            Some(style) => write!(self.text, "<c s=\"{style}\" t=\"inlineStr\">"),
            None => write!(self.text, "<c t=\"inlineStr\">"),
        }
        .expect("a String grows");
        self.text.push_str("<is><t xml:space=\"preserve\">");
        escape(&self.value, &mut self.text);
        self.text.push_str("</t></is></c>");
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.archive.write_all(self.text.as_bytes()).map_err(super::target::failed)?;
        self.text.clear();
        Ok(())
    }
}

impl RowWriter for XlsxWriter {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let schema = SchemaRef::clone(&self.schema);
        let fields = schema.fields().iter().zip(batch.columns());
        let columns = fields
            .map(|(field, column)| Ok((field.name().as_str(), Cells::new(field, column)?)))
            .collect::<Result<Vec<_>>>()?;
        for row in 0..batch.num_rows() {
            self.start_row()?;
            for (name, cells) in &columns {
                self.push_cell(cells, row, name)?;
            }
            self.text.push_str("</row>");
            if self.text.len() > FLUSH_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.text.push_str("</sheetData></worksheet>");
        self.flush()?;
        let stream = self.archive.finish().map_err(failed)?;
        let mut target = stream.into_inner();
        target.flush().map_err(super::target::failed)
    }
}

fn check(options: &XlsxWriteOptions, schema: &SchemaRef) -> Result<()> {
    let name = &options.sheet;
    let is_good = !name.is_empty()
        && name.chars().count() <= SHEET_NAME_CHARACTERS_MAX
        && !name.contains(['[', ']', ':', '*', '?', '/', '\\'])
        && !name.starts_with('\'')
        && !name.ends_with('\'');
    if !is_good {
        return Err(Problem::new(
            &codes::SETTING_INVALID,
            format!("`{name}` is not a name that a sheet can have"),
        )
        .arg("sheet", name)
        .hint("use at most 31 characters, without `[ ] : * ? / \\`"));
    }
    if schema.fields().len() > COLUMNS_MAX {
        return Err(Problem::new(
            &codes::FILE_TOO_LARGE,
            format!("a sheet cannot have {} columns", schema.fields().len()),
        )
        .hint("select fewer columns, or write CSV"));
    }
    Ok(())
}

/// The parts that do not depend on the rows.
fn fixed_parts(sheet: &str) -> [(&'static str, String); 5] {
    let mut name = String::new();
    escape(sheet, &mut name);
    [
        (
            "[Content_Types].xml",
            format!(
                "{DECLARATION}<Types xmlns=\"{PACKAGE}/content-types\">\
                 <Default Extension=\"rels\" \
                 ContentType=\"application/vnd.openxmlformats-package.relationships+xml\"/>\
                 <Default Extension=\"xml\" ContentType=\"application/xml\"/>\
                 <Override PartName=\"/xl/workbook.xml\" ContentType=\"{TYPES}.sheet.main+xml\"/>\
                 <Override PartName=\"/xl/styles.xml\" ContentType=\"{TYPES}.styles+xml\"/>\
                 <Override PartName=\"/xl/worksheets/sheet1.xml\" \
                 ContentType=\"{TYPES}.worksheet+xml\"/></Types>"
            ),
        ),
        (
            "_rels/.rels",
            format!(
                "{DECLARATION}<Relationships xmlns=\"{PACKAGE}/relationships\">\
                 <Relationship Id=\"rId1\" Type=\"{RELATIONS}/officeDocument\" \
                 Target=\"xl/workbook.xml\"/></Relationships>"
            ),
        ),
        (
            "xl/workbook.xml",
            format!(
                "{DECLARATION}<workbook xmlns=\"{MAIN}\" xmlns:r=\"{RELATIONS}\"><sheets>\
                 <sheet name=\"{name}\" sheetId=\"1\" r:id=\"rId1\"/></sheets></workbook>"
            ),
        ),
        (
            "xl/_rels/workbook.xml.rels",
            format!(
                "{DECLARATION}<Relationships xmlns=\"{PACKAGE}/relationships\">\
                 <Relationship Id=\"rId1\" Type=\"{RELATIONS}/worksheet\" \
                 Target=\"worksheets/sheet1.xml\"/>\
                 <Relationship Id=\"rId2\" Type=\"{RELATIONS}/styles\" Target=\"styles.xml\"/>\
                 </Relationships>"
            ),
        ),
        (
            "xl/styles.xml",
            format!("{DECLARATION}<styleSheet xmlns=\"{MAIN}\">{STYLES}</styleSheet>"),
        ),
    ]
}

fn start(archive: &mut Archive, name: &str) -> Result<()> {
    archive.start_file(name, SimpleFileOptions::default()).map_err(failed)
}

fn failed(error: ZipError) -> Problem {
    match error {
        ZipError::Io(error) => super::target::failed(error),
        error => super::target::failed(io::Error::other(error)),
    }
}

/// Whether a sheet keeps all digits of the number.
fn is_exact(number: &str) -> bool {
    number_of_digits(number) <= DIGITS_MAX
}

/// The number of days that an instant is in a sheet; none before 1900-03-01, where programs
/// disagree.
fn serial(micros: i64, style: u32) -> Option<(f64, u32)> {
    let days = micros.div_euclid(DAY_MICROS) + EPOCH_DAYS;
    let of_day = micros.rem_euclid(DAY_MICROS) as f64 / DAY_MICROS as f64;
    (FIRST_DAY..2_958_466).contains(&days).then_some((days as f64 + of_day, style))
}

/// Adds a text as XML; characters that XML cannot have get the form that Excel gives them.
fn escape(text: &str, out: &mut String) {
    for (at, character) in text.char_indices() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' => out.push(character),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {
                write!(out, "_x{:04X}_", u32::from(character)).expect("a String grows");
            }
            '_' if is_escape(&text[at..]) => out.push_str("_x005F_"),
            _ => out.push(character),
        }
    }
}

/// Whether the text begins with what would be read as an escaped character.
fn is_escape(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 7
        && bytes[1] == b'x'
        && bytes[2..6].iter().all(u8::is_ascii_hexdigit)
        && bytes[6] == b'_'
}
