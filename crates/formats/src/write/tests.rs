//! Tests of the writers: what is written is read back.

use super::*;
use crate::excel::{self, ExcelOptions};
use crate::file::InputFile;
use crate::json::{self, JsonOptions};
use crate::testing::{Rejected, columns, lines, one_file, read_options};
use contracts::rows;
use std::io;
use std::sync::{Arc, Mutex};

/// A target whose bytes can be looked at afterwards.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn written(format: &WriteFormat, compression: Compression, batch: &RecordBatch) -> Result<Vec<u8>> {
    let target = Shared::default();
    let mut writer = open(format, compression, batch.schema(), Box::new(target.clone()))?;
    writer.write(batch)?;
    writer.finish()?;
    Ok(target.0.lock().unwrap().clone())
}

fn text(format: &WriteFormat, batch: &RecordBatch) -> String {
    String::from_utf8(written(format, Compression::None, batch).unwrap()).unwrap()
}

fn csv(options: CsvWriteOptions, batch: &RecordBatch) -> String {
    text(&WriteFormat::Csv(options), batch)
}

const TYPES: &str = r##"{"#types": {"b": "boolean", "i": "integer", "p": "decimal(20,2)", "f": "float", "s": "string",
  "d": "date", "t": "time", "ts": "timestamp", "j": "json", "l": "list<integer>"}}"##;

/// One row of everything, one of nulls, one of edges.
fn everything() -> RecordBatch {
    let rows = [
        TYPES.replace('\n', ""),
        r#"{"b": true, "i": 42, "p": "1234.50", "f": 1.5, "s": "a \"b\", c\nd", "d": "2026-01-31", "t": "10:30:00", "ts": "2026-01-31T10:30:00.250Z", "j": "{\"x\": [1, \"y z\"]}", "l": [1, null]}"#.to_owned(),
        "{}".to_owned(),
        r#"{"b": false, "i": -9223372036854775808, "p": "-123456789012345678.99", "f": -0.1, "s": "", "d": "0001-01-01", "t": "00:00:00", "ts": "1969-12-31T23:59:59.999999Z", "j": "1", "l": []}"#.to_owned(),
    ];
    let batch = rows::read(&rows.join("\n")).unwrap();
    let order = ["b", "i", "p", "f", "s", "d", "t", "ts", "j", "l"];
    let order: Vec<usize> =
        order.iter().map(|name| batch.schema().index_of(name).unwrap()).collect();
    batch.project(&order).unwrap()
}

#[test]
fn csv_quotes_what_could_be_misread() {
    let text = csv(CsvWriteOptions::default(), &everything());
    assert_eq!(
        text,
        "b,i,p,f,s,d,t,ts,j,l\n\
         true,42,1234.50,1.5,\"a \"\"b\"\", c\nd\",2026-01-31,10:30:00,2026-01-31T10:30:00.250000Z,\
         \"{\"\"x\"\": [1, \"\"y z\"\"]}\",\"[1,null]\"\n\
         ,,,,,,,,,\n\
         false,-9223372036854775808,-123456789012345678.99,-0.1,\"\",0001-01-01,00:00:00,\
         1969-12-31T23:59:59.999999Z,1,[]\n"
    );
}

#[test]
fn csv_options_are_obeyed() {
    let batch =
        rows::read("{\"a\": 1.5, \"s\": \"NULL\"}\n{\"a\": null, \"s\": \"x;y\"}\n{\"a\": 2}")
            .unwrap();
    let options = CsvWriteOptions {
        delimiter: ';',
        quote: '\'',
        header: false,
        null: "NULL".to_owned(),
        decimal_comma: true,
        crlf: true,
        byte_order_mark: true,
        ..CsvWriteOptions::default()
    };
    assert_eq!(csv(options, &batch), "\u{feff}1,5;'NULL'\r\nNULL;'x;y'\r\n2,0;NULL\r\n");
    let all = CsvWriteOptions { quoting: Quoting::All, ..CsvWriteOptions::default() };
    assert!(csv(all, &batch).starts_with("\"a\",\"s\"\n\"1.5\",\"NULL\"\n,\"x;y\"\n"));
    let texts = CsvWriteOptions { quoting: Quoting::Texts, ..CsvWriteOptions::default() };
    assert!(csv(texts, &batch).ends_with("1.5,\"NULL\"\n,\"x;y\"\n2.0,\n"));
    let only = batch.project(&[0]).unwrap();
    assert_eq!(csv(CsvWriteOptions::default(), &only), "a\n1.5\n\"\"\n2.0\n");
    let bad = CsvWriteOptions { delimiter: '"', ..CsvWriteOptions::default() };
    assert!(written(&WriteFormat::Csv(bad), Compression::None, &batch).is_err());
}

#[test]
fn csv_formulas_are_neutralized_where_wanted() {
    let batch = rows::read(
        "{\"s\": \"=1+1\"}\n{\"s\": \"@x\"}\n{\"s\": \"-12.5\"}\n{\"s\": \"-x\"}\n{\"s\": \"\\tx\"}\n{\"s\": \"a=b\"}",
    )
    .unwrap();
    let options = CsvWriteOptions { neutralize_formulas: true, ..CsvWriteOptions::default() };
    assert_eq!(csv(options, &batch), "s\n'=1+1\n'@x\n-12.5\n'-x\n'\tx\na=b\n");
}

#[test]
fn csv_is_written_in_other_encodings() {
    let batch = rows::read("{\"s\": \"é€\"}").unwrap();
    let bytes = |label: &str| {
        let encoding = Encoding::named(label).unwrap();
        let options = CsvWriteOptions { encoding, header: false, ..CsvWriteOptions::default() };
        written(&WriteFormat::Csv(options), Compression::None, &batch)
    };
    assert_eq!(bytes("windows-1252").unwrap(), b"\xe9\x80\n");
    assert_eq!(bytes("utf-16le").unwrap(), b"\xe9\0\xac\x20\n\0");
    let problem = bytes("iso-8859-2").unwrap_err();
    assert_eq!(problem.message(), "the character `€` does not exist in ISO-8859-2");
}

#[test]
fn json_is_read_back_as_it_was() {
    let batch = everything();
    let types = ["b", "i", "p", "f", "s", "d", "t", "ts", "j", "l"].iter().map(|name| {
        let schema = batch.schema();
        let field = schema.field_with_name(name).unwrap();
        ((*name).to_owned(), contracts::arrow_types::from_field(field))
    });
    let options = JsonOptions { columns: types.collect(), ..JsonOptions::default() };
    let expected = rows::sorted(std::slice::from_ref(&batch)).unwrap();
    for format in [WriteFormat::Ndjson, WriteFormat::Json] {
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let one = one_file("rows.json", written(&format, compression, &batch).unwrap());
            let rejected = Arc::new(Rejected::default());
            let batches =
                json::open(vec![one.file.clone()], &options, read_options(&rejected)).unwrap();
            let read: Vec<String> = lines(batches)
                .unwrap()
                .iter()
                .map(|line| format!("{}}}", line.split(",\"_row\":").next().unwrap()))
                .collect();
            // JSON values lose their white space on the way.
            let expected: Vec<String> = expected
                .iter()
                .map(|line| line.replace("\\\"x\\\": [1, \\", "\\\"x\\\":[1,\\"))
                .collect();
            assert_eq!(read, expected, "{format:?}, {compression:?}: {:?}", rejected.reasons());
        }
    }
    let none = batch.slice(0, 0);
    assert_eq!(text(&WriteFormat::Json, &none), "[]\n");
    assert_eq!(text(&WriteFormat::Ndjson, &none), "");
}

#[test]
fn parquet_is_read_back_as_it_was() {
    let batch = everything();
    let options = ParquetWriteOptions { row_group_rows: 2, ..ParquetWriteOptions::default() };
    let format = WriteFormat::Parquet(options);
    let one = one_file("rows.parquet", written(&format, Compression::None, &batch).unwrap());
    let rejected = Arc::new(Rejected::default());
    let options = crate::parquet::ParquetOptions::default();
    let batches =
        crate::parquet::open(vec![one.file.clone()], &options, read_options(&rejected)).unwrap();
    let expected = [
        "b boolean",
        "i integer",
        "p decimal(20,2)",
        "f float",
        "s string",
        "d date",
        "t time",
        "ts timestamp",
        "j json",
        "l list<integer>",
    ];
    assert_eq!(columns(&batches), expected);
    let read = lines(batches).unwrap();
    let expected = rows::sorted(&[batch]).unwrap();
    for (read, expected) in read.iter().zip(&expected) {
        assert!(read.starts_with(expected.trim_end_matches('}')), "{read} {expected}");
    }
    assert!(written(&format, Compression::Gzip, &everything()).is_err());
}

#[test]
fn workbooks_are_read_back_as_a_person_sees_them() {
    let format = WriteFormat::Xlsx(XlsxWriteOptions::default());
    let one = one_file("rows.xlsx", written(&format, Compression::None, &everything()).unwrap());
    let read = |types| {
        let options = ExcelOptions { types, ..ExcelOptions::default() };
        let rejected = Arc::new(Rejected::default());
        let file = InputFile::clone(&one.file);
        excel::open(vec![file], &options, read_options(&rejected)).unwrap()
    };
    assert_eq!(
        lines(read(excel::Types::Text)).unwrap(),
        [
            r#"{"b":"false","i":"-9223372036854775808","p":"-123456789012345678.99","f":"-0.1","s":null,"d":"0001-01-01","t":"00:00:00","ts":"1970-01-01T00:00:00","j":"1","l":"[]","_row":4}"#,
            r#"{"b":"true","i":"42","p":"1234.5","f":"1.5","s":"a \"b\", c\nd","d":"2026-01-31","t":"10:30:00","ts":"2026-01-31T10:30:00.250","j":"{\"x\": [1, \"y z\"]}","l":"[1,null]","_row":2}"#,
        ]
    );
    let text = rows::read("{\"a\": \"x\\u0001_x0041_<&>\"}").unwrap();
    let one = one_file("rows.xlsx", written(&format, Compression::None, &text).unwrap());
    let rejected = Arc::new(Rejected::default());
    let batches =
        excel::open(vec![one.file.clone()], &ExcelOptions::default(), read_options(&rejected));
    assert_eq!(lines(batches.unwrap()).unwrap(), [r#"{"a":"x\u0001_x0041_<&>","_row":2}"#]);
}

#[test]
fn what_a_sheet_cannot_hold_is_a_problem() {
    let long = rows::read(&format!("{{\"a\": \"{}\"}}", "x".repeat(32_768))).unwrap();
    let format = WriteFormat::Xlsx(XlsxWriteOptions::default());
    let problem = written(&format, Compression::None, &long).unwrap_err();
    assert_eq!(problem.message(), "a text of column `a` has more than 32 767 characters");
    let named = WriteFormat::Xlsx(XlsxWriteOptions { sheet: "a/b".to_owned(), header: true });
    assert!(written(&named, Compression::None, &long).is_err());
}

#[test]
fn a_full_disk_is_a_problem() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::from(io::ErrorKind::StorageFull))
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let formats = [
        WriteFormat::Csv(CsvWriteOptions::default()),
        WriteFormat::Ndjson,
        WriteFormat::Parquet(ParquetWriteOptions::default()),
        WriteFormat::Xlsx(XlsxWriteOptions::default()),
    ];
    for format in formats {
        let batch = everything();
        let result = open(&format, Compression::None, batch.schema(), Box::new(Full)).and_then(
            |mut writer| {
                writer.write(&batch)?;
                writer.finish()
            },
        );
        let problem = result.unwrap_err();
        assert!(problem.is(&codes::STORAGE_FULL), "{format:?}: {problem}");
    }
}
