//! Tests of the Parquet reader.

use super::*;
use crate::testing::{Rejected, collect, columns, data, files_of, lines, one_file, read_options};
use contracts::rows;
use contracts::source::Sample;

fn open_all(files: Vec<InputFile>, options: &ParquetOptions) -> Result<Batches> {
    open(files, options, read_options(&Arc::new(Rejected::default())))
}

fn read(file: &InputFile) -> Result<Vec<RecordBatch>> {
    open_all(vec![file.clone()], &ParquetOptions::default()).and_then(collect)
}

fn written(batch: &RecordBatch, rows_per_group: usize) -> Vec<u8> {
    let properties = parquet::file::properties::WriterProperties::builder()
        .set_max_row_group_row_count(Some(rows_per_group))
        .build();
    let mut bytes = Vec::new();
    let mut writer =
        parquet::arrow::ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    bytes
}

#[test]
fn rows_know_their_number_and_columns_their_type() {
    let batch = rows::read(
        "{\"#types\": {\"Le Jour\": \"date\", \"p\": \"decimal(12,2)\", \"j\": \"json\"}}\n\
         {\"Le Jour\": \"2026-01-31\", \"p\": \"1.10\", \"j\": \"{}\", \"l\": [1]}\n{\"p\": 2}\n{}",
    )
    .unwrap();
    let one = one_file("a.parquet", written(&batch, 2));
    let batches = open_all(vec![one.file.clone()], &ParquetOptions::default()).unwrap();
    let mut types = columns(&batches);
    types.sort();
    assert_eq!(types, ["j json", "l list<integer>", "le_jour date", "p decimal(12,2)"]);
    let options = ParquetOptions { columns: Some(vec!["p".to_owned()]) };
    let batches = open_all(vec![one.file.clone()], &options).unwrap();
    assert_eq!(
        lines(batches).unwrap(),
        [r#"{"p":"1.10","_row":1}"#, r#"{"p":"2.00","_row":2}"#, r#"{"p":null,"_row":3}"#]
    );
    let options = ParquetOptions { columns: Some(vec!["q".to_owned()]) };
    let problem = open_all(vec![one.file.clone()], &options).err().unwrap();
    assert!(problem.is(&codes::COLUMN_UNKNOWN));
}

#[test]
fn columns_of_several_files_are_united() {
    let first = rows::read("{\"a\": 1, \"b\": \"x\"}").unwrap();
    let second = rows::read("{\"c\": true, \"a\": 2}").unwrap();
    let third = rows::read("{\"a\": \"text\"}").unwrap();
    let files = [first, second, third].map(|batch| one_file("f.parquet", written(&batch, 10)));
    let two = vec![files[0].file.clone(), files[1].file.clone()];
    let batches = open_all(two, &ParquetOptions::default()).unwrap();
    assert_eq!(batches.schema.fields().len(), 5);
    assert_eq!(lines(batches).unwrap().len(), 2);
    let all = files.iter().map(|one| one.file.clone()).collect();
    let problem = open_all(all, &ParquetOptions::default()).err().unwrap();
    assert!(problem.is(&codes::SCHEMA_CHANGED));
}

#[test]
fn a_sample_reads_no_more_row_groups_than_it_needs() {
    let text = "{\"a\": 1}\n".repeat(1000);
    let one = one_file("a.parquet", written(&rows::read(&text).unwrap(), 100));
    let mut read = read_options(&Arc::new(Rejected::default()));
    read.sample = Some(Sample { rows: 150, bytes: u64::MAX });
    let batches = open(vec![one.file.clone()], &ParquetOptions::default(), read).unwrap();
    assert_eq!(rows::count(&collect(batches).unwrap()), 150);
}

#[test]
fn what_is_no_parquet_file_is_a_problem() {
    let one = one_file("a.parquet", written(&rows::read("{\"a\": 1}").unwrap(), 10));
    let bytes = std::fs::read(&one.file.path).unwrap();
    for length in [0, 4, 8, 20, bytes.len() - 1] {
        let cut = one_file("cut.parquet", &bytes[..length]);
        assert!(read(&cut.file).err().unwrap().is(&codes::FILE_CORRUPT), "{length} bytes");
    }
    let missing = InputFile { path: "/nowhere/x.parquet".into(), name: "x.parquet".to_owned() };
    assert!(read(&missing).err().unwrap().is(&codes::FILE_NOT_FOUND));
}

#[test]
fn b_09_any_changed_byte_is_survived() {
    let text: String = (0..200).map(|n| format!("{{\"a\": {n}, \"b\": \"text {n}\"}}\n")).collect();
    let whole = written(&rows::read(&text).unwrap(), 50);
    let mut random = stdx::hash::Random::new(9);
    for _ in 0..300 {
        let mut bytes = whole.clone();
        let at = usize::try_from(random.below(bytes.len() as u64)).unwrap();
        bytes[at] ^= u8::try_from(1 + random.below(255)).unwrap();
        let one = one_file("changed.parquet", bytes);
        if let Err(problem) = read(&one.file) {
            assert!(!problem.is(&codes::INTERNAL), "byte {at}: {problem}");
        }
    }
}

/// Indices of no bits are right where the dictionary has one value.
const ONE_VALUE: &str = "ARROW-GH-43605.parquet";

#[test]
fn b_09_bad_files_are_refused_or_right() {
    let Some(folder) = data("torture/parquet-testing/bad_data") else { return };
    let files = files_of(&folder);
    let files = files.iter().filter(|file| file.name.ends_with(".parquet"));
    for file in files {
        match read(file) {
            Ok(batches) => {
                assert_eq!(file.name, ONE_VALUE);
                assert_eq!(dictionary_size(file), 1);
                assert_eq!(rows::count(&batches), 21_186);
            }
            Err(problem) => assert!(
                problem.is(&codes::FILE_CORRUPT) || problem.is(&codes::TYPE_MISMATCH),
                "{}: {problem}",
                file.name
            ),
        }
    }
}

fn dictionary_size(file: &InputFile) -> u32 {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    let reader = SerializedFileReader::new(File::open(&file.path).unwrap()).unwrap();
    let group = reader.get_row_group(0).unwrap();
    let mut pages = group.get_column_page_reader(0).unwrap();
    pages.next().unwrap().unwrap().num_values()
}

/// Files of the good set that are refused, and why: two have pages whose checksum is wrong, one
/// has a text of 2 GiB; none may be read as fewer rows than it has.
const REFUSED: &[(&str, &str)] = &[
    ("datapage_v1-corrupt-checksum.parquet", "checksum"),
    ("large_string_map.brotli.parquet", "unpacks to 2147483749 bytes"),
    ("rle-dict-uncompressed-corrupt-checksum.parquet", "checksum"),
];

#[test]
fn b_09_good_files_load_or_say_why_not() {
    let Some(folder) = data("torture/parquet-testing/data") else { return };
    let mut loaded = 0;
    for file in files_of(&folder) {
        if file.name.ends_with(".encrypted") {
            let problem = read(&file).err().unwrap();
            assert!(problem.message().ends_with("is encrypted"), "{}: {problem}", file.name);
        }
        if !file.name.ends_with(".parquet") {
            continue;
        }
        let refused = REFUSED.iter().find(|(name, _)| *name == file.name);
        match (read(&file), refused) {
            (Ok(_), None) => loaded += 1,
            (Err(problem), Some((_, why))) => {
                assert!(problem.to_string().contains(why), "{problem}");
            }
            (Ok(_), Some(_)) => panic!("`{}` loads now: take it off the list", file.name),
            (Err(problem), None) => panic!("{problem}"),
        }
    }
    println!("b_09: {loaded} of the good files load, {} say why not", REFUSED.len());
    assert_eq!(loaded, 62 - REFUSED.len());
}

#[test]
fn b_09_footers_of_careless_writers_are_put_right() {
    let Some(folder) = data("torture/parquet-testing/data") else { return };
    let rows = |name: &str| {
        let file = InputFile::new(folder.join(name), name);
        open_all(vec![file], &ParquetOptions::default()).and_then(lines).unwrap()
    };
    // Fields of its own where the format has others.
    let parts = rows("dict-page-offset-zero.parquet");
    assert_eq!(parts.len(), 39);
    assert!(parts.iter().all(|row| row.starts_with("{\"l_partkey\":1552,")), "{parts:?}");
    // Sizes without the headers of dictionaries.
    let nations = rows("nation.dict-malformed.parquet");
    assert_eq!(nations.len(), 25);
    assert!(nations.iter().any(|row| row.contains("\"nation_key\":24")), "{nations:?}");
    // No rows in the file, six in its row group.
    let people = rows("repeated_no_annotation.parquet");
    assert_eq!(people.len(), 6);
    let phones = "[{\"number\":1111111111,\"kind\":\"home\"},\
                  {\"number\":2222222222,\"kind\":null},\
                  {\"number\":3333333333,\"kind\":\"mobile\"}]";
    assert!(people.iter().any(|row| row.contains(phones)), "{people:?}");
}
