//! Tests of workbooks that are not XLSX: OpenDocument and binary ones, made part by part.

use super::*;
use crate::testing::{OneFile, Rejected, columns, lines, one_file, read_options};
use std::io::{Cursor, Write};
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

fn archive(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in parts {
        let method = match *name {
            "mimetype" => CompressionMethod::Stored,
            _ => CompressionMethod::Deflated,
        };
        let options = SimpleFileOptions::default().compression_method(method);
        archive.start_file(*name, options).unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

fn ods_with(tables: &str, manifest: &str) -> OneFile {
    let spaces =
        ["office", "table", "text", "calcext"].map(|name| format!("xmlns:{name}=\"{name}\""));
    let content = format!(
        "<?xml version=\"1.0\"?><office:document-content {}><office:body><office:spreadsheet>\
         {tables}</office:spreadsheet></office:body></office:document-content>",
        spaces.join(" ")
    );
    let parts: [(&str, &[u8]); 3] = [
        ("mimetype", b"application/vnd.oasis.opendocument.spreadsheet"),
        ("META-INF/manifest.xml", manifest.as_bytes()),
        ("content.xml", content.as_bytes()),
    ];
    one_file("book.ods", archive(&parts))
}

fn ods(tables: &str) -> OneFile {
    ods_with(tables, "<manifest/>")
}

fn read(one: &OneFile, options: &ExcelOptions) -> Result<(Vec<String>, Vec<String>)> {
    let rejected = Arc::new(Rejected::default());
    let batches = open(vec![one.file.clone()], options, read_options(&rejected))?;
    Ok((columns(&batches), lines(batches)?))
}

fn sheet(name: SheetName) -> ExcelOptions {
    ExcelOptions { sheet: Some(name), ..ExcelOptions::default() }
}

const ORDERS: &str = r#"
<table:table table:name="Notes"><table:table-row><table:table-cell office:value-type="string"><text:p>x</text:p></table:table-cell></table:table-row></table:table>
<table:table table:name="Orders">
 <table:table-column table:number-columns-repeated="6"/>
 <table:table-header-rows><table:table-row>
  <table:table-cell office:value-type="string" calcext:value-type="string"><text:p>Id</text:p></table:table-cell>
  <table:table-cell office:value-type="string"><text:p>Le <text:span>Jour</text:span></text:p><office:annotation><text:p>a note</text:p></office:annotation></table:table-cell>
  <table:table-cell office:value-type="string"><text:p>Price</text:p></table:table-cell>
  <table:table-cell office:value-type="string"><text:p>Paid</text:p></table:table-cell>
  <table:table-cell office:value-type="string"><text:p>At</text:p></table:table-cell>
  <table:table-cell office:value-type="string"><text:p>Note</text:p></table:table-cell>
 </table:table-row></table:table-header-rows>
 <table:table-row table:number-rows-repeated="2"><table:table-cell table:number-columns-repeated="6"/></table:table-row>
 <table:table-row-group><table:table-row>
  <table:table-cell office:value-type="float" office:value="1"><text:p>1</text:p></table:table-cell>
  <table:table-cell office:value-type="date" office:date-value="2026-01-31"><text:p>31.01.26</text:p></table:table-cell>
  <table:table-cell office:value-type="currency" office:currency="EUR" office:value="1234.5"><text:p>1.234,50 €</text:p></table:table-cell>
  <table:table-cell office:value-type="boolean" office:boolean-value="true"><text:p>WAHR</text:p></table:table-cell>
  <table:table-cell office:value-type="time" office:time-value="PT18H05M00S"><text:p>18:05</text:p></table:table-cell>
  <table:table-cell office:value-type="string"><text:p>two<text:s text:c="2"/>lines &amp;</text:p><text:p>more</text:p></table:table-cell>
 </table:table-row></table:table-row-group>
 <table:table-row table:number-rows-repeated="2">
  <table:table-cell office:value-type="float" office:value="2"><text:p>2</text:p></table:table-cell>
  <table:table-cell/>
  <table:table-cell table:number-columns-repeated="2" office:value-type="percentage" office:value="0.5"><text:p>50 %</text:p></table:table-cell>
  <table:covered-table-cell office:value-type="string"><text:p>hidden</text:p></table:covered-table-cell>
  <table:table-cell office:value-type="string" office:string-value="" calcext:value-type="error"><text:p>#DIV/0!</text:p></table:table-cell>
 </table:table-row>
 <table:table-row table:number-rows-repeated="1048570"><table:table-cell table:number-columns-repeated="16384"/></table:table-row>
</table:table>"#;

#[test]
fn opendocument_sheets_are_read_as_a_person_sees_them() {
    let one = ods(ORDERS);
    let (columns, rows) = read(&one, &sheet(SheetName::Name("orders".to_owned()))).unwrap();
    let names: Vec<&str> = columns.iter().map(|column| column.split(' ').next().unwrap()).collect();
    assert_eq!(names, ["id", "le_jour", "price", "paid", "at", "note"]);
    let second = |row| {
        format!(
            r##"{{"id":"2","le_jour":null,"price":"0.5","paid":"0.5","at":null,"note":"#DIV/0!","_row":{row}}}"##
        )
    };
    assert_eq!(
        rows,
        [
            r#"{"id":"1","le_jour":"2026-01-31","price":"1234.5","paid":"true","at":"18:05:00","note":"two  lines &\nmore","_row":4}"#.to_owned(),
            second(5),
            second(6),
        ]
    );
    assert_eq!(read(&one, &sheet(SheetName::Number(2))).unwrap().1, rows);
    assert!(read(&one, &ExcelOptions::default()).unwrap().1.is_empty());
    let problem = read(&one, &sheet(SheetName::Name("Nothing".to_owned()))).unwrap_err();
    assert!(problem.hint_text().unwrap().contains("Notes"), "{problem:?}");
    assert!(read(&one, &sheet(SheetName::Number(3))).unwrap_err().is(&codes::SETTING_INVALID));
    let typed = ExcelOptions { types: Types::Infer, ..sheet(SheetName::Number(2)) };
    let (columns, _) = read(&one, &typed).unwrap();
    assert!(columns.contains(&"le_jour date".to_owned()), "{columns:?}");
}

#[test]
fn b_08_opendocument_bombs_and_passwords_are_problems() {
    let cell = "<table:table-cell office:value-type=\"float\" office:value=\"1\" \
                table:number-columns-repeated=\"16384\"/>";
    let bomb = format!(
        "<table:table><table:table-row table:number-rows-repeated=\"1048576\">{cell}\
         </table:table-row></table:table>"
    );
    let began = std::time::Instant::now();
    let problem = read(&ods(&bomb), &ExcelOptions { header: false, ..ExcelOptions::default() });
    let problem = problem.unwrap_err();
    println!("b_08: a sheet without end: {:?}", began.elapsed());
    assert!(problem.is(&codes::FILE_TOO_LARGE), "{problem}");
    let encrypted = "<manifest><file-entry><encryption-data/></file-entry></manifest>";
    let problem = read(&ods_with("", encrypted), &ExcelOptions::default()).unwrap_err();
    assert!(problem.message().ends_with("is protected by a password"), "{problem}");
    let whole = std::fs::read(&ods(ORDERS).file.path).unwrap();
    let mut random = stdx::hash::Random::new(8);
    for _ in 0..200 {
        let mut bytes = whole.clone();
        let at = usize::try_from(random.below(bytes.len() as u64)).unwrap();
        bytes[at] ^= u8::try_from(1 + random.below(255)).unwrap();
        if let Err(problem) = read(&one_file("book.ods", bytes), &sheet(SheetName::Number(2))) {
            assert!(!problem.is(&codes::INTERNAL), "byte {at}: {problem}");
        }
    }
}

/// A record of the binary format: number and length in groups of seven bits.
fn record(number: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = match number {
        0..=127 => vec![number as u8],
        _ => vec![(number & 127) as u8 | 128, (number >> 7) as u8],
    };
    let length = body.len();
    assert!(length < 128 * 128);
    bytes.extend([(length & 127) as u8 | 128, (length >> 7) as u8]);
    bytes.extend(body);
    bytes
}

fn wide(text: &str) -> Vec<u8> {
    let units: Vec<u16> = text.encode_utf16().collect();
    let mut bytes = u32::try_from(units.len()).unwrap().to_le_bytes().to_vec();
    bytes.extend(units.into_iter().flat_map(u16::to_le_bytes));
    bytes
}

fn cell(number: u16, column: u32, style: u8, value: &[u8]) -> Vec<u8> {
    record(number, &[&column.to_le_bytes(), [style, 0, 0, 0].as_slice(), value].concat())
}

fn row(number: u32, cells: &[Vec<u8>]) -> Vec<u8> {
    [record(0, &[&number.to_le_bytes(), [0; 13].as_slice()].concat()), cells.concat()].concat()
}

fn xlsb() -> OneFile {
    let relation = |id: &str, kind: &str, target: &str| {
        format!(
            "<Relationships><Relationship Id=\"{id}\" Type=\"http://x/{kind}\" \
             Target=\"{target}\"/></Relationships>"
        )
    };
    let sheet = [[0u8; 8].as_slice(), &wide("r1"), &wide("Sheet")].concat();
    let workbook = [record(156, &sheet), record(144, &[]), record(157, &[])].concat();
    let format = |code: u16| {
        record(47, &[[0u8, 0].as_slice(), &code.to_le_bytes(), [0; 12].as_slice()].concat())
    };
    let styles = [record(617, &2u32.to_le_bytes()), format(0), format(14)].concat();
    let texts = [
        record(159, &[1u32.to_le_bytes(), 1u32.to_le_bytes()].concat()),
        record(19, &[[0u8].as_slice(), &wide("Zoë")].concat()),
    ]
    .concat();
    let rows = [
        row(
            0,
            &[cell(6, 0, 0, &wide("Id")), cell(6, 1, 0, &wide("Day")), cell(6, 3, 0, &wide("N"))],
        ),
        row(
            1,
            &[
                cell(2, 0, 0, &(7u32 << 2 | 2).to_le_bytes()),
                cell(2, 1, 1, &(45_000u32 << 2 | 2).to_le_bytes()),
                cell(7, 3, 0, &0u32.to_le_bytes()),
            ],
        ),
        row(1_048_575, &[cell(5, 0, 0, &2.5f64.to_le_bytes()), cell(4, 3, 0, &[1])]),
    ];
    let data = [record(148, &[0; 16]), record(145, &[]), rows.concat(), record(146, &[])].concat();
    let main = relation("a", "officeDocument", "xl/workbook.bin");
    let links = relation("r1", "worksheet", "worksheets/sheet1.bin");
    let parts: [(&str, &[u8]); 7] = [
        ("[Content_Types].xml", b"<Types/>"),
        ("_rels/.rels", main.as_bytes()),
        ("xl/_rels/workbook.bin.rels", links.as_bytes()),
        ("xl/workbook.bin", &workbook),
        ("xl/styles.bin", &styles),
        ("xl/sharedStrings.bin", &texts),
        ("xl/worksheets/sheet1.bin", &data),
    ];
    one_file("book.xlsb", archive(&parts))
}

#[test]
fn binary_workbooks_are_streamed() {
    let one = xlsb();
    let (columns, rows) = read(&one, &ExcelOptions::default()).unwrap();
    let names: Vec<&str> = columns.iter().map(|column| column.split(' ').next().unwrap()).collect();
    assert_eq!([names[0], names[1], names[names.len() - 1]], ["id", "day", "n"]);
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert!(
        rows.iter().any(|row| row.contains(r#""id":"7","day":"2023-03-15""#)
            && row.contains("Zoë")
            && row.ends_with(r#""_row":2}"#)),
        "{rows:?}"
    );
    // The last row of the sheet costs no more than another.
    assert!(
        rows.iter().any(|row| row.contains(r#""id":"2.5","day":null"#)
            && row.contains(r#""n":"true""#)
            && row.ends_with(r#""_row":1048576}"#)),
        "{rows:?}"
    );
    let problem = read(&one, &sheet(SheetName::Number(2))).unwrap_err();
    assert!(problem.is(&codes::SETTING_INVALID));
    let whole = std::fs::read(&one.file.path).unwrap();
    let mut random = stdx::hash::Random::new(8);
    for _ in 0..200 {
        let mut bytes = whole.clone();
        let at = usize::try_from(random.below(bytes.len() as u64)).unwrap();
        bytes[at] ^= u8::try_from(1 + random.below(255)).unwrap();
        if let Err(problem) = read(&one_file("book.xlsb", bytes), &ExcelOptions::default()) {
            assert!(!problem.is(&codes::INTERNAL), "byte {at}: {problem}");
        }
    }
}
