//! Tests of the workbook reader.

use super::*;
use crate::testing::{Rejected, collect, columns, data, lines, one_file, read_options};
use contracts::rows;
use contracts::source::Sample;
use std::fmt::Write as _;
use std::io::{Cursor, Write};
use zip::write::SimpleFileOptions;

const RELATIONS: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
const MAIN: &str = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";

/// A workbook written part by part, so that it can be as wrong as a test wants.
#[derive(Default)]
struct Parts {
    sheets: Vec<(String, String)>,
    texts: Option<String>,
    styles: &'static [u32],
    is_1904: bool,
}

impl Parts {
    fn sheet(name: &str, rows: &str) -> Self {
        Self::default().and(name, rows)
    }

    fn and(mut self, name: &str, rows: &str) -> Self {
        let xml = format!("<worksheet xmlns=\"{MAIN}\"><sheetData>{rows}</sheetData></worksheet>");
        self.sheets.push((name.to_owned(), xml));
        self
    }

    fn texts(mut self, texts: &str) -> Self {
        self.texts = Some(format!("<sst xmlns=\"{MAIN}\">{texts}</sst>"));
        self
    }

    fn parts(&self) -> Vec<(String, String)> {
        let mut sheets = String::new();
        let mut links = String::new();
        let mut parts = Vec::new();
        for (number, (name, xml)) in (1..).zip(&self.sheets) {
            write!(sheets, "<sheet name=\"{name}\" sheetId=\"{number}\" r:id=\"r{number}\"/>")
                .unwrap();
            write!(
                links,
                "<Relationship Id=\"r{number}\" Type=\"{RELATIONS}/worksheet\" \
                 Target=\"worksheets/sheet{number}.xml\"/>"
            )
            .unwrap();
            parts.push((format!("xl/worksheets/sheet{number}.xml"), xml.clone()));
        }
        let formats: String =
            self.styles.iter().map(|number| format!("<xf numFmtId=\"{number}\"/>")).collect();
        for (id, name) in [("t", "sharedStrings"), ("s", "styles")] {
            write!(
                links,
                "<Relationship Id=\"{id}\" Type=\"{RELATIONS}/{name}\" Target=\"/xl/{name}.xml\"/>"
            )
            .unwrap();
        }
        let root = format!(
            "<Relationships><Relationship Id=\"x\" Type=\"{RELATIONS}/officeDocument\" \
             Target=\"xl/workbook.xml\"/></Relationships>"
        );
        parts.push(("_rels/.rels".to_owned(), root));
        parts.push((
            "xl/workbook.xml".to_owned(),
            format!(
                "<workbook xmlns=\"{MAIN}\" xmlns:r=\"{RELATIONS}\"><workbookPr date1904=\"{}\"/>\
                 <sheets>{sheets}</sheets></workbook>",
                u8::from(self.is_1904)
            ),
        ));
        parts.push((
            "xl/_rels/workbook.xml.rels".to_owned(),
            format!("<Relationships>{links}</Relationships>"),
        ));
        parts.push((
            "xl/styles.xml".to_owned(),
            format!("<styleSheet><cellXfs>{formats}</cellXfs></styleSheet>"),
        ));
        parts.extend(self.texts.iter().map(|xml| ("xl/sharedStrings.xml".to_owned(), xml.clone())));
        parts
    }

    fn bytes(&self) -> Vec<u8> {
        let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, xml) in self.parts() {
            archive.start_file(name, SimpleFileOptions::default()).unwrap();
            archive.write_all(xml.as_bytes()).unwrap();
        }
        archive.finish().unwrap().into_inner()
    }
}

struct Read {
    columns: Vec<String>,
    lines: Vec<String>,
    rejects: Vec<String>,
}

fn read_bytes(bytes: &[u8], options: &ExcelOptions) -> Result<Read> {
    let one = one_file("book.xlsx", bytes);
    let rejected = Arc::new(Rejected::default());
    let batches = open(vec![one.file.clone()], options, read_options(&rejected))?;
    let columns = columns(&batches);
    Ok(Read { columns, lines: lines(batches)?, rejects: rejected.reasons() })
}

fn read(parts: &Parts, options: &ExcelOptions) -> Read {
    read_bytes(&parts.bytes(), options).unwrap()
}

fn infer() -> ExcelOptions {
    ExcelOptions { types: Types::Infer, ..ExcelOptions::default() }
}

const ORDERS: &str = r#"<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="inlineStr"><is><t>Le Jour</t></is></c>
    <c r="C1" t="str"><v>ok</v></c><c r="D1" t="inlineStr"><is><r><t>pri</t></r><r><t>x</t></r></is></c></row>
  <row r="2"/><row r="3"><c r="A3"><v>1</v></c><c r="B3" s="1"><v>45000</v></c><c r="C3" t="b"><v>1</v></c><c r="D3"><v>0.30000000000000004</v></c></row>
  <row r="4"><c r="A4"><v>2.0</v></c><c r="B4" s="2"><v>45000.5</v></c><c r="D4"><v>1E3</v></c></row>
  <row r="5"><c r="A5" t="s"><v>1</v></c><c r="D5" t="e"><v>#N/A</v></c></row>"#;

fn orders() -> Parts {
    let mut parts = Parts::sheet("Orders", ORDERS)
        .texts("<si><t>id</t></si><si><t xml:space=\"preserve\">a &amp; b_x000A_c</t><rPh><t>no</t></rPh></si>");
    parts.styles = &[0, 14, 22];
    parts
}

#[test]
fn values_come_as_a_person_sees_them() {
    let read = read(&orders(), &ExcelOptions::default());
    assert_eq!(read.columns, ["id string", "le_jour string", "ok string", "prix string"]);
    assert_eq!(
        read.lines,
        [
            r##"{"id":"1","le_jour":"2023-03-15","ok":"true","prix":"0.3","_row":3}"##,
            r##"{"id":"2","le_jour":"2023-03-15T12:00:00","ok":null,"prix":"1000","_row":4}"##,
            r##"{"id":"a & b\nc","le_jour":null,"ok":null,"prix":"#N/A","_row":5}"##,
        ]
    );
}

#[test]
fn types_are_found_where_they_are_wanted() {
    let read = read(&orders(), &infer());
    assert_eq!(read.columns, ["id string", "le_jour timestamp", "ok boolean", "prix float"]);
    assert_eq!(read.lines.len(), 2);
    assert_eq!(read.rejects, ["5 prix: is not a number"]);
}

#[test]
fn sheets_are_found_by_name_and_number() {
    let row = |text: &str| {
        format!("<row><c t=\"str\"><v>h</v></c></row><row><c t=\"str\"><v>{text}</v></c></row>")
    };
    let parts = Parts::sheet("One", &row("first")).and("Deux é", &row("second"));
    let first = |sheet: Option<SheetName>| {
        let options = ExcelOptions { sheet, ..ExcelOptions::default() };
        read_bytes(&parts.bytes(), &options).map(|read| read.lines[0].clone())
    };
    assert!(first(None).unwrap().contains("first"));
    assert!(first(Some(SheetName::Number(2))).unwrap().contains("second"));
    assert!(first(Some(SheetName::Name("deux É ".to_owned()))).unwrap().contains("second"));
    let problem = first(Some(SheetName::Name("Three".to_owned()))).unwrap_err();
    assert_eq!(problem.hint_text(), Some("its sheets are `One` and `Deux é`"));
    assert!(first(Some(SheetName::Number(0))).is_err());
}

#[test]
fn ranges_skipped_rows_and_missing_headers() {
    let rows: String = (1..=6)
        .map(|row| {
            let cells: String = ["A", "B", "C"]
                .iter()
                .map(|column| format!("<c r=\"{column}{row}\" t=\"str\"><v>{column}{row}</v></c>"))
                .collect();
            format!("<row r=\"{row}\">{cells}</row>")
        })
        .collect();
    let parts = Parts::sheet("s", &rows);
    let range = ExcelOptions { range: Some("B2:C4".to_owned()), ..ExcelOptions::default() };
    let framed = read(&parts, &range);
    assert_eq!(framed.columns, ["b2 string", "c2 string"]);
    assert_eq!(framed.lines.len(), 2);
    let skipped = read(&parts, &ExcelOptions { skip: 3, ..ExcelOptions::default() });
    assert_eq!((skipped.columns[0].as_str(), skipped.lines.len()), ("a4 string", 2));
    let bare = read(&parts, &ExcelOptions { header: false, ..ExcelOptions::default() });
    assert_eq!((bare.columns[2].as_str(), bare.lines.len()), ("column_3 string", 6));
}

#[test]
fn columns_without_a_header_and_late_ones() {
    let mut rows = "<row><c t=\"str\"><v>a</v></c><c/><c t=\"str\"><v>a</v></c></row>".to_owned();
    for _ in 0..SAMPLE_ROWS {
        rows.push_str("<row><c><v>1</v></c><c><v>2</v></c></row>");
    }
    rows.push_str(
        "<row><c r=\"D10002\"><v>4</v></c></row><row><c r=\"XFE10003\"><v>4</v></c></row>",
    );
    let read = read(&Parts::sheet("s", &rows), &infer());
    assert_eq!(read.columns, ["a integer", "column_2 integer", "a_2 string"]);
    assert_eq!(read.lines.len() as u64, SAMPLE_ROWS);
    assert_eq!(
        read.rejects,
        [
            "10002 D: stands in a column that the first rows do not have",
            "10003: has a cell `XFE10003`, which no sheet can have"
        ]
    );
}

#[test]
fn several_files_share_their_columns() {
    let first = one_file(
        "a.xlsx",
        Parts::sheet("s", "<row><c t=\"str\"><v>a</v></c></row><row><c><v>1</v></c></row>").bytes(),
    );
    let second = one_file("b.xlsx", Parts::sheet("s", "<row><c t=\"str\"><v>b</v></c><c t=\"str\"><v>a</v></c></row><row><c><v>2</v></c><c><v>1.5</v></c></row>").bytes());
    let rejected = Arc::new(Rejected::default());
    let files = vec![first.file.clone(), second.file.clone()];
    let batches = open(files, &infer(), read_options(&rejected)).unwrap();
    assert_eq!(columns(&batches), ["a float", "b integer"]);
    let read = lines(batches).unwrap();
    assert_eq!(read, [r#"{"a":1.0,"b":null,"_row":2}"#, r#"{"a":1.5,"b":2,"_row":2}"#]);
}

#[test]
fn a_sample_stops_early() {
    let rows = "<row><c><v>1</v></c></row>".repeat(5000);
    let one = one_file("a.xlsx", Parts::sheet("s", &rows).bytes());
    let mut read = read_options(&Arc::new(Rejected::default()));
    read.sample = Some(Sample { rows: 10, bytes: u64::MAX });
    let batches = open(vec![one.file.clone()], &ExcelOptions::default(), read).unwrap();
    assert_eq!(rows::count(&collect(batches).unwrap()), 10);
}

#[test]
fn b_08_sparse_corners_cost_two_cells() {
    let rows = "<row r=\"1\"><c r=\"A1\"><v>1</v></c></row>\
                <row r=\"1048576\"><c r=\"XFD1048576\"><v>2</v></c></row>";
    let parts = Parts::sheet("s", rows);
    let options = ExcelOptions { header: false, ..infer() };
    let one = one_file("book.xlsx", parts.bytes());
    let rejected = Arc::new(Rejected::default());
    let batches = open(vec![one.file.clone()], &options, read_options(&rejected)).unwrap();
    assert_eq!(batches.schema.fields().len(), 16_384 + 2);
    let batches = collect(batches).unwrap();
    assert_eq!(rows::count(&batches), 2);
    let values = batches
        .iter()
        .flat_map(|batch| batch.columns()[..16_384].iter().map(|c| c.len() - c.null_count()));
    assert_eq!(values.sum::<usize>(), 2);
    assert!(peak_memory_mib() < 256, "{} MiB", peak_memory_mib());
}

#[test]
fn b_08_many_wide_rows_stay_in_bounds() {
    let mut rows = "<row r=\"1\"><c r=\"XFD1\"><v>1</v></c></row>".to_owned();
    for row in 2..600 {
        write!(rows, "<row r=\"{row}\"><c r=\"A{row}\"><v>1</v></c></row>").unwrap();
    }
    let one = one_file("book.xlsx", Parts::sheet("s", &rows).bytes());
    let rejected = Arc::new(Rejected::default());
    let options = ExcelOptions { header: false, ..ExcelOptions::default() };
    let batches = open(vec![one.file.clone()], &options, read_options(&rejected)).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let rows = runtime.block_on(async {
        use futures::TryStreamExt;
        let mut rows = 0;
        for mut partition in batches.partitions {
            while let Some(batch) = partition.try_next().await.unwrap() {
                rows += batch.num_rows();
            }
        }
        rows
    });
    assert_eq!(rows, 599);
    assert!(peak_memory_mib() < 256, "{} MiB", peak_memory_mib());
}

#[test]
fn b_08_lies_about_sizes_do_not_allocate() {
    let mut parts = Parts::sheet(
        "s",
        "<row r=\"4294967295\"><c><v>1</v></c></row><row r=\"99999999999\"><c t=\"s\"><v>4000000000</v></c></row>",
    );
    parts.sheets[0].1 =
        parts.sheets[0].1.replace("<sheetData>", "<dimension ref=\"A1:XFD1048576\"/><sheetData>");
    parts.texts = Some(
        "<sst count=\"4000000000\" uniqueCount=\"4000000000\"><si><t>a</t></si></sst>".to_owned(),
    );
    let read = read(&parts, &ExcelOptions { header: false, ..infer() });
    assert_eq!(read.lines, [r#"{"column_1":1,"_row":4294967295}"#]);
    assert_eq!(read.rejects, ["4294967296: refers to a shared text that is not there"]);
    assert!(peak_memory_mib() < 256, "{} MiB", peak_memory_mib());
}

#[test]
fn b_08_bombs_of_text_are_refused() {
    let bomb = format!("<row><c t=\"str\"><v>{}</v></c></row>", "a".repeat(40 << 20));
    let problem =
        read_bytes(&Parts::sheet("s", &bomb).bytes(), &ExcelOptions::default()).err().unwrap();
    assert!(problem.message().ends_with("a tag or text is longer than 16 MiB"), "{problem}");
    let many = format!("<si><t>{}</t></si>", "b".repeat(1 << 20)).repeat(130);
    let parts = Parts::sheet("s", "").texts(&many);
    let problem = read_bytes(&parts.bytes(), &ExcelOptions::default()).err().unwrap();
    assert!(problem.is(&codes::FILE_TOO_LARGE), "{problem}");
    let entities = "<!DOCTYPE x [<!ENTITY a \"aaaa\">]>";
    let mut parts = Parts::sheet("s", "<row><c t=\"str\"><v>&a;</v></c></row>");
    parts.sheets[0].1.insert_str(0, entities);
    let problem = read_bytes(&parts.bytes(), &ExcelOptions::default()).err().unwrap();
    assert!(problem.message().contains("document type"), "{problem}");
}

/// The most memory that this process has had; each test runs in a process of its own.
fn peak_memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or("VmHWM: 0 kB");
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[test]
fn b_08_passwords_and_damage_are_problems() {
    let mut compound = XLS_MAGIC.to_vec();
    compound.resize(4096, 0);
    let problem = read_bytes(&compound, &ExcelOptions::default()).err().unwrap();
    assert!(problem.is(&codes::FILE_CORRUPT), "{problem}");
    compound.extend("EncryptedPackage".encode_utf16().flat_map(u16::to_le_bytes));
    let problem = read_bytes(&compound, &ExcelOptions::default()).err().unwrap();
    assert!(problem.message().ends_with("is protected by a password"), "{problem}");
    let whole = orders().bytes();
    for length in [0, 10, whole.len() / 2, whole.len() - 10] {
        let problem = read_bytes(&whole[..length], &ExcelOptions::default()).err().unwrap();
        assert!(problem.is(&codes::FILE_CORRUPT), "{length}: {problem}");
    }
    let mut random = stdx::hash::Random::new(8);
    for _ in 0..300 {
        let mut bytes = whole.clone();
        let at = usize::try_from(random.below(bytes.len() as u64)).unwrap();
        bytes[at] ^= u8::try_from(1 + random.below(255)).unwrap();
        if let Err(problem) = read_bytes(&bytes, &infer()) {
            assert!(!problem.is(&codes::INTERNAL), "byte {at}: {problem}");
        }
    }
}

#[test]
fn a_real_workbook_is_read() {
    let Some(path) = data("open/insee/epcicom.xlsx") else { return };
    let file = InputFile { path, name: "epcicom.xlsx".to_owned() };
    let rejected = Arc::new(Rejected::default());
    let batches = open(vec![file], &ExcelOptions::default(), read_options(&rejected)).unwrap();
    let names: Vec<String> = columns(&batches);
    assert!(names.iter().any(|name| name.starts_with("siren")), "{names:?}");
    let count = rows::count(&collect(batches).unwrap());
    assert!(count > 30_000, "{count} rows");
    assert!(rejected.all().is_empty(), "{:?}", rejected.reasons());
}
