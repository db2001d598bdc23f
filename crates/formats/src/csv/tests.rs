//! Tests of the whole reader.

use super::*;
use crate::testing::{Rejected, collect, one_file};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use contracts::RejectSink;
use contracts::source::Sample;

mod detection;
mod roundtrip;
mod torture;

/// What came of a file: names, rows as texts, their lines, and rejects.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Outcome {
    pub(super) names: Vec<String>,
    pub(super) rows: Vec<Vec<Option<String>>>,
    pub(super) lines: Vec<i64>,
    /// `line@offset: reason`.
    pub(super) rejects: Vec<String>,
    pub(super) raw: Vec<String>,
}

impl Outcome {
    /// Rows with `∅` for null, fields joined by `|`.
    pub(super) fn shown(&self) -> Vec<String> {
        let cell = |cell: &Option<String>| cell.clone().unwrap_or_else(|| "∅".to_owned());
        self.rows.iter().map(|row| row.iter().map(cell).collect::<Vec<_>>().join("|")).collect()
    }
}

pub(super) fn options(partitions: usize, rejected: &Arc<Rejected>) -> ReadOptions {
    let rejects = Arc::clone(rejected) as Arc<dyn RejectSink>;
    ReadOptions { partitions, sample: None, rejects, bytes: Arc::default() }
}

pub(super) fn read_tuned(
    files: &[InputFile],
    csv: &CsvOptions,
    tuning: &Tuning,
) -> Result<Outcome> {
    let rejected = Arc::new(Rejected::default());
    let counts = Arc::new(Counts::default());
    let tuning = Tuning { counts: Arc::clone(&counts), ..tuning.clone() };
    let batches = open_tuned(files, csv, options(2, &rejected), tuning)?;
    let mut outcome = Outcome::default();
    let fields = batches.schema.fields().clone();
    outcome.names = fields[..fields.len() - 2].iter().map(|f| f.name().clone()).collect();
    let batches = collect(batches)?;
    for batch in &batches {
        add_rows(batch, &mut outcome);
    }
    for reject in rejected.all() {
        let (line, offset) = (reject.row.unwrap(), reject.offset.unwrap());
        let reasons: Vec<String> = reject.errors.iter().map(|e| e.reason.clone()).collect();
        assert!(reject.file.is_some());
        outcome.rejects.push(format!("{line}@{offset}: {}", reasons.join(", ")));
        outcome.raw.push(reject.record);
    }
    assert_eq!(counts.loaded(), outcome.rows.len() as u64);
    assert_eq!(counts.rejected(), outcome.rejects.len() as u64);
    assert_eq!(counts.records(), counts.loaded() + counts.rejected());
    Ok(outcome)
}

fn add_rows(batch: &RecordBatch, outcome: &mut Outcome) {
    let texts: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| arrow::compute::cast(column, &arrow::datatypes::DataType::Utf8View).unwrap())
        .collect();
    let width = batch.num_columns();
    for row in 0..batch.num_rows() {
        let cell = |at: usize| {
            let column = texts[at].as_string_view();
            column.is_valid(row).then(|| column.value(row).to_owned())
        };
        outcome.rows.push((0..width - 2).map(cell).collect());
    }
    outcome.lines.extend(batch.column(width - 1).as_primitive::<Int64Type>().values());
}

pub(super) fn read_with(content: impl AsRef<[u8]>, csv: &CsvOptions) -> Outcome {
    let kept = one_file("t.csv", content);
    read_tuned(std::slice::from_ref(&kept.file), csv, &Tuning::default()).unwrap()
}

pub(super) fn read(content: impl AsRef<[u8]>) -> Outcome {
    read_with(content, &CsvOptions::default())
}

#[test]
fn rows_come_as_received_with_their_lines() {
    let outcome =
        read("Id;Prix (€);Déjà vu\r\n007; 1,50 ;\r\n\r\n8;\"\";\"a;\"\"b\"\"\r\nc\"\r\n9;x;y");
    assert_eq!(outcome.names, ["id", "prix", "deja_vu"]);
    assert_eq!(outcome.shown(), ["007| 1,50 |∅", "8||a;\"b\"\r\nc", "9|x|y"]);
    assert_eq!(outcome.lines, [2, 4, 6]);
    assert_eq!(outcome.rejects, [""; 0]);
}

#[test]
fn rows_that_do_not_fit_are_rejects_with_place_and_reason() {
    let outcome = read("a,b,c\n1,2,3\n4,5\n6,7,8,9\n10,11,12\n13,\"x\"y,15\n16,17,18\n");
    assert_eq!(outcome.shown(), ["1|2|3", "10|11|12", "16|17|18"]);
    assert_eq!(
        outcome.rejects,
        [
            "3@12: has 2 fields instead of 3",
            "4@16: has 4 fields instead of 3",
            "6@33: a quote that opens on line 6 is closed in the middle of a field"
        ]
    );
    assert_eq!(outcome.raw, ["4,5", "6,7,8,9", "13,\"x\"y,15"]);
}

#[test]
fn a_quote_that_never_closes_costs_one_line() {
    let outcome = read("a,b\n1,x\n2,\"runs away\n3,y\n4,z\n");
    assert_eq!(outcome.shown(), ["1|x", "3|y", "4|z"]);
    assert_eq!(outcome.rejects, ["3@8: the quote that opens on line 3 is never closed"]);
}

#[test]
fn a_quote_inside_of_an_unquoted_field_is_a_character() {
    let outcome = read("a,b\n5\" pipe,x\n37'8\"N,\"y\" \n");
    assert_eq!(outcome.shown(), ["5\" pipe|x", "37'8\"N|y"]);
    assert_eq!(outcome.rejects, [""; 0]);
}

#[test]
fn files_with_other_columns_are_put_together_by_name() {
    let (one, two) = (one_file("1.csv", "a,b\n1,2\n"), one_file("2.csv", "B;c\n3;4\n"));
    let files = [one.file.clone(), two.file.clone()];
    let outcome = read_tuned(&files, &CsvOptions::default(), &Tuning::default()).unwrap();
    assert_eq!(outcome.names, ["a", "b", "c"]);
    assert_eq!(outcome.shown(), ["1|2|∅", "∅|3|4"]);
}

#[test]
fn a_trailing_delimiter_is_no_column() {
    let outcome = read("a,b\n".to_owned() + &"1,2,\r\n".repeat(40) + "5,6\n7,8,9\n");
    assert_eq!(outcome.names, ["a", "b"]);
    assert_eq!((outcome.rows.len(), outcome.shown()[40].as_str()), (41, "5|6"));
    assert_eq!(outcome.rejects, ["43@248: has 3 fields instead of 2"]);
}

#[test]
fn a_blank_line_is_a_value_only_where_it_can_be_one() {
    assert_eq!(read("a\nx\n\ny\n").shown(), ["x", "∅", "y"]);
    assert_eq!(read("a,b\nx,1\n\n  \ny,2\n").shown(), ["x|1", "y|2"]);
}

#[test]
fn comments_skipped_lines_and_given_names() {
    let csv = CsvOptions {
        skip: 1,
        comment: Some('#'),
        columns: Some(vec!["x".into(), "y".into()]),
        null_values: vec!["NA".into()],
        ..CsvOptions::default()
    };
    let outcome = read_with("title \"\n1,NA\n# it's \"a\n2,\"NA\"\n", &csv);
    assert_eq!(outcome.names, ["x", "y"]);
    assert_eq!(outcome.shown(), ["1|∅", "2|NA"]);
    assert_eq!(outcome.lines, [2, 4]);
}

#[test]
fn fixed_width_counts_characters() {
    let csv = CsvOptions {
        fixed_width: Some(vec![("nom".into(), 6), ("n".into(), 3)]),
        ..CsvOptions::default()
    };
    let outcome = read_with("Hélène 12\nZoé     7\nx\n123456789 too long\n", &csv);
    assert_eq!(outcome.shown(), ["Hélène|12", "Zoé|7", "x|∅"]);
    assert_eq!(outcome.rejects, ["4@25: is longer than its columns together"]);
}

#[test]
fn inferred_types_reject_what_comes_later_and_does_not_fit() {
    let mut content = "id,code,when,amount\n".to_owned();
    for number in 1..20_000 {
        content += &format!("{number},0{number},2024-01-31,{number}.50\n");
    }
    content += "x,1,2024-02-30,1.505\n20001,02,2024-02-29,7\n";
    let csv = CsvOptions { types: Types::Infer, ..CsvOptions::default() };
    let file = one_file("t.csv", content);
    let batches =
        open(std::slice::from_ref(&file.file), &csv, options(1, &Arc::default())).unwrap();
    assert_eq!(
        crate::testing::columns(&batches),
        ["id integer", "code string", "when date", "amount decimal(18,2)"]
    );
    let outcome = read_tuned(&[file.file], &csv, &Tuning::default()).unwrap();
    assert_eq!(outcome.rows.len(), 20_000);
    assert_eq!(outcome.shown()[19_999], "20001|02|2024-02-29|7.00");
    let reasons = "`x` is not an integer, `2024-02-30` is not a date, \
                   `1.505` is not a decimal(18,2)";
    assert_eq!(outcome.rejects.len(), 1);
    assert!(outcome.rejects[0].starts_with("20001@"), "{:?}", outcome.rejects);
    assert!(outcome.rejects[0].ends_with(reasons), "{:?}", outcome.rejects);
    assert_eq!(outcome.raw, ["x,1,2024-02-30,1.505"]);
}

#[test]
fn a_sample_ends_early() {
    let content = "a,b\n".to_owned() + &"1,2\n".repeat(2_000_000);
    let file = one_file("t.csv", content);
    let rejected = Arc::new(Rejected::default());
    let sample = Some(Sample { rows: 10_000, bytes: 32 << 20 });
    let request = ReadOptions { sample, ..options(2, &rejected) };
    let bytes = Arc::clone(&request.bytes);
    let batches = open(&[file.file], &CsvOptions::default(), request).unwrap();
    assert_eq!(batches.partitions.len(), 2);
    let batches = collect(batches).unwrap();
    assert_eq!(contracts::rows::count(&batches), 10_000);
    let read = bytes.load(std::sync::atomic::Ordering::Relaxed);
    assert!(read < 4 << 20, "{read} bytes were read");
}

#[test]
fn partitions_share_the_work_and_are_in_order() {
    let content = "a,b\n".to_owned() + &"1,2\n".repeat(100_000);
    let file = one_file("t.csv", content);
    let tuning = Tuning { chunk_bytes: 10_000, batch_rows: 500, ..Tuning::default() };
    let files = [file.file];
    let batches =
        open_tuned(&files, &CsvOptions::default(), options(3, &Arc::default()), tuning).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let tasks: Vec<_> = batches
        .partitions
        .into_iter()
        .map(|partition| {
            runtime.spawn(futures::TryStreamExt::try_collect::<Vec<RecordBatch>>(partition))
        })
        .collect();
    let mut seen = 0;
    for task in tasks {
        let mut outcome = Outcome::default();
        let batches = runtime.block_on(task).unwrap().unwrap();
        batches.iter().for_each(|batch| add_rows(batch, &mut outcome));
        assert!(outcome.lines.is_sorted());
        seen += outcome.lines.len();
    }
    assert_eq!(seen, 100_000);
}

#[test]
fn problems_say_what_to_do() {
    let missing = InputFile::new("/nowhere/x.csv", "x.csv");
    let problem = read_tuned(&[missing], &CsvOptions::default(), &Tuning::default()).unwrap_err();
    assert!(problem.is(&codes::FILE_NOT_FOUND));
    let empty = one_file("empty.csv", "");
    let files = [empty.file.clone()];
    let problem = read_tuned(&files, &CsvOptions::default(), &Tuning::default()).unwrap_err();
    assert!(problem.is(&codes::FILE_CORRUPT) && problem.hint_text().unwrap().contains("columns"));
    let named = CsvOptions { columns: Some(vec!["a".into()]), ..CsvOptions::default() };
    assert_eq!(read_tuned(&files, &named, &Tuning::default()).unwrap().names, ["a"]);
    let encoding = CsvOptions { encoding: Some("utf-9".into()), ..CsvOptions::default() };
    let problem = read_tuned(&files, &encoding, &Tuning::default()).unwrap_err();
    assert!(problem.is(&codes::SETTING_INVALID));
}
