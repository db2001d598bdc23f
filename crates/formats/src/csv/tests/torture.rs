//! The torture files, by the ids of their tests.

use super::super::*;
use super::{Outcome, options, read_tuned};
use crate::testing::{Rejected, collect, data, files_of, one_file};
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;

mod pollution;

fn input(path: &Path) -> InputFile {
    InputFile::new(path, path.file_name().unwrap().to_string_lossy())
}

fn read_path(path: &Path) -> Result<Outcome> {
    read_tuned(&[input(path)], &CsvOptions::default(), &Tuning::default())
}

fn csv_files() -> Vec<InputFile> {
    let mut files = Vec::new();
    let folders = ["generated/pollution", "generated/encoding", "generated/values"];
    for folder in folders.iter().map(|name| format!("torture/{name}")).chain(
        ["torture/csv-spectrum/csvs", "open/laposte", "open/insee", "open/epidemic", "open/ban"]
            .map(str::to_owned),
    ) {
        let Some(folder) = data(&folder) else { continue };
        files.extend(files_of(&folder).into_iter().filter(|file| file.name.ends_with(".csv")));
    }
    files
}

/// Records of a file, counted in another way: by a state machine over characters, for files whose
/// quotes are in order; for others, none.
fn count_records(file: &InputFile, dialect: &Dialect) -> Option<usize> {
    if dialect.encoding != "UTF-8" || dialect.escape != Escape::Doubled {
        return None;
    }
    let text = String::from_utf8(std::fs::read(&file.path).unwrap()).ok()?;
    let newline = if dialect.newline == Newline::LineFeed { '\n' } else { '\r' };
    let (mut records, mut is_inside, mut is_blank, mut line) = (0, false, true, 1);
    let mut is_start = true;
    let mut characters = text.trim_start_matches('\u{feff}').chars().peekable();
    while let Some(character) = characters.next() {
        let is_counted = line >= dialect.data_line;
        if Some(character) == dialect.quote {
            if is_inside && characters.peek() == dialect.quote.as_ref() {
                characters.next();
            } else if is_inside {
                is_inside = false;
                let next = characters.peek().copied();
                let ends = next == dialect.delimiter || matches!(next, None | Some('\n' | '\r'));
                if !ends {
                    return None;
                }
            } else if is_start {
                is_inside = true;
            }
        }
        is_start = Some(character) == dialect.delimiter || character == newline;
        if character == newline {
            line += 1;
        }
        if character == newline && !is_inside {
            let is_record = !is_blank || dialect.headers.len() == 1;
            records += usize::from(is_counted && is_record);
            is_blank = true;
        } else {
            is_blank &= character.is_whitespace() && Some(character) != dialect.delimiter;
        }
    }
    if is_inside {
        return None;
    }
    Some(records + usize::from(!is_blank) + dialect.preamble_lines)
}

#[test]
fn b_02_every_record_is_loaded_or_rejected() {
    let (mut checked, mut counted) = (0, 0);
    for file in csv_files() {
        let csv = CsvOptions::default();
        let Ok(outcome) = read_tuned(std::slice::from_ref(&file), &csv, &Tuning::default()) else {
            let is_empty = std::fs::metadata(&file.path).unwrap().len() <= 3;
            assert!(is_empty, "{} cannot be read", file.name);
            continue;
        };
        checked += 1;
        let dialect = detect(&file, &csv).unwrap();
        if let Some(records) = count_records(&file, &dialect) {
            counted += 1;
            let seen = outcome.rows.len() + outcome.rejects.len();
            assert_eq!(seen, records, "{}: {dialect:?}", file.name);
        }
    }
    assert!(checked == 0 || counted * 2 > checked, "{counted} of {checked} could be counted");
    println!("b_02: {checked} files add up, {counted} of them against an independent count");
}

#[test]
fn b_03_csv_spectrum() {
    let Some(folder) = data("torture/csv-spectrum") else { return };
    let mut exact = 0;
    let mut differing = Vec::new();
    for file in files_of(&folder.join("csvs")) {
        let json = folder.join("json").join(file.name.replace(".csv", ".json"));
        let expected: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
        let expected = match expected {
            Value::Array(rows) => rows,
            row => vec![row],
        };
        let outcome = read_path(&file.path).unwrap();
        let headers = detect(&file, &CsvOptions::default()).unwrap().headers;
        let rows: Vec<Value> = outcome
            .rows
            .iter()
            .map(|row| {
                let cells = row.iter().map(|cell| Value::from(cell.clone().unwrap_or_default()));
                Value::Object(headers.iter().cloned().zip(cells).collect())
            })
            .collect();
        assert_eq!(outcome.rejects, [""; 0], "{}", file.name);
        if rows == expected {
            exact += 1;
        } else {
            differing.push((file, rows, expected));
        }
    }
    println!("b_03: {exact} of 12 equal the JSON files beside them");
    assert_eq!(exact + differing.len(), 12);
    for (file, rows, mut expected) in differing {
        // Two of these JSON files do not say what stands in their CSV files: a telephone number
        // is another one, and CR LF became LF when the CSV was stored. Told what the bytes say,
        // they agree too.
        let bytes = String::from_utf8(std::fs::read(&file.path).unwrap()).unwrap();
        match file.name.as_str() {
            "location_coordinates.csv" => {
                assert!(bytes.contains("2095257564") && !bytes.contains("1234567890"));
                expected[0]["Contact Phone Number"] = "2095257564".into();
            }
            "newlines_crlf.csv" => {
                assert!(!bytes.contains('\r'));
                expected[1]["a"] = "Once upon \na time".into();
            }
            other => panic!("{other}: {rows:?} instead of {expected:?}"),
        }
        assert_eq!(rows, expected, "{}", file.name);
    }
}

/// The rows that an encoding file holds.
fn encoding_rows(name: &str) -> Option<Vec<Vec<&'static str>>> {
    let west = |quoted: &'static str| {
        vec![vec!["1", "Zoë Åström", "München"], vec!["2", quoted, "São Paulo"]]
    };
    let five = |left, right| vec![vec![left, right]; 5];
    Some(match name {
        "west_latin1.csv" => west("José - 'quoted' EUR5"),
        "west_iso8859-15.csv" => west("José - \"quoted\" €5"),
        name if name.starts_with("west_") => west("José – “quoted” €5"),
        "shift_jis.csv" | "euc-jp.csv" => five("東京", "大阪"),
        "gb18030.csv" => five("北京", "上海"),
        "big5.csv" => five("台北", "高雄"),
        "euc-kr.csv" => five("서울", "부산"),
        "koi8-r.csv" | "cp1251.csv" => five("Москва", "Омск"),
        "cp1253.csv" => five("Αθήνα", "Χανιά"),
        "cp1255.csv" => five("שלום", "תל"),
        "cp1256.csv" => five("مرحبا", "عمان"),
        _ => return None,
    })
}

fn texts(outcome: &Outcome) -> Vec<Vec<&str>> {
    outcome
        .rows
        .iter()
        .map(|row| row.iter().map(|cell| cell.as_deref().unwrap_or_default()).collect())
        .collect()
}

#[test]
fn b_04_encodings() {
    let Some(folder) = data("torture/generated/encoding") else { return };
    let (mut exact, mut missed) = (0, Vec::new());
    for file in files_of(&folder) {
        let Some(expected) = encoding_rows(&file.name) else { continue };
        let is_utf8 = ["west_utf-8.csv", "west_utf-8-sig.csv"].contains(&file.name.as_str());
        let outcome = read_path(&file.path).unwrap();
        if texts(&outcome) == expected {
            exact += usize::from(!is_utf8);
            continue;
        }
        let found = detect(&file, &CsvOptions::default()).unwrap().encoding;
        missed.push(format!("{} as {found}: {:?}", file.name, outcome.shown()));
        assert!(!file.name.contains("utf"), "{missed:?}");
        // What is not found out can be said.
        let label = file.name.trim_start_matches("west_").trim_end_matches(".csv");
        let csv = CsvOptions { encoding: Some(label.to_owned()), ..CsvOptions::default() };
        let outcome = read_tuned(std::slice::from_ref(&file), &csv, &Tuning::default()).unwrap();
        assert_eq!(texts(&outcome), expected, "{label}");
    }
    println!("b_04: {exact} of 18 files that are not UTF-8 are read exactly; others: {missed:?}");
    assert!(exact >= 16, "{exact}: {missed:?}");
}

#[test]
fn b_04_damaged_text_is_flagged_and_never_replaced() {
    let Some(folder) = data("torture/generated/encoding") else { return };
    let outcome = |name: &str| read_path(&folder.join(name)).unwrap();
    let mixed = outcome("mixed_utf8_cp1252.csv");
    assert_eq!(mixed.shown(), ["1|café", "3|日本"]);
    assert_eq!(mixed.rejects, ["3@18: is not valid UTF-8, from byte 6 of the record on"]);
    for name in ["overlong_utf8.csv", "surrogate_utf8.csv", "truncated_utf8_eof.csv"] {
        let outcome = outcome(name);
        assert_eq!((outcome.rows.len(), outcome.rejects.len()), (0, 1), "{name}: {outcome:?}");
    }
    assert_eq!(outcome("double_bom.csv").names, ["id", "a"]);
    assert_eq!(outcome("bom_mid.csv").rows.len(), 2);
    assert_eq!(outcome("nul_bytes.csv").shown(), ["1|x\0y", "2|z"]);
    assert_eq!(outcome("nfc_nfd_headers.csv").names, ["cafe", "cafe_2"]);
    let problem = read_path(&folder.join("bom_only.csv")).unwrap_err();
    assert!(problem.is(&codes::FILE_CORRUPT));
    for file in csv_files() {
        let Ok(outcome) = read_path(&file.path) else { continue };
        let bytes = std::fs::read(&file.path).unwrap();
        let is_there = memchr::memmem::find(&bytes, "\u{fffd}".as_bytes()).is_some();
        let is_made = outcome.rows.iter().flatten().flatten().any(|cell| cell.contains('\u{fffd}'));
        assert!(is_there || !is_made, "{} was given U+FFFD", file.name);
    }
}

#[test]
fn b_05_values() {
    let Some(folder) = data("torture/generated/values") else { return };
    let infer = CsvOptions { types: Types::Infer, ..CsvOptions::default() };
    for file in files_of(&folder) {
        let texts = read_path(&file.path).unwrap();
        let inferred = read_tuned(std::slice::from_ref(&file), &infer, &Tuning::default()).unwrap();
        let all = |outcome: &Outcome| outcome.rows.len() + outcome.rejects.len();
        assert_eq!(all(&texts), all(&inferred), "{}", file.name);
        // A value that became a number still shows every digit it had.
        if inferred.rejects.is_empty() && file.name != "nan_inf.csv" {
            assert_eq!(texts.shown(), inferred.shown(), "{}", file.name);
        }
    }
    let outcome = |name: &str| read_path(&folder.join(name)).unwrap();
    assert_eq!(outcome("ints.csv").rows.len(), 8);
    assert_eq!(outcome("decimals.csv").shown()[1], "123456789012345678901234567890.123456789");
    assert_eq!(outcome("nulls.csv").shown(), ["∅|", "NULL|N/A", "\\N|-"]);
    assert_eq!(outcome("dup_headers.csv").names, ["a", "a_2", "a_3", "column_4", "column_5"]);
    assert_eq!(outcome("wide_2000_cols.csv").names.len(), 2000);
    assert_eq!(outcome("newline_fields.csv").rows.len(), 1000);
    assert_eq!(outcome("late_quote.csv").rows.len(), 25_001);
    assert_eq!(outcome("late_type_change.csv").rows.len(), 25_001);
    let file = input(&folder.join("late_type_change.csv"));
    let late = read_tuned(&[file], &infer, &Tuning::default()).unwrap();
    assert_eq!((late.rows.len(), late.rejects.len()), (25_000, 1));
    let names = outcome("prefix63.csv").names;
    assert!(names.iter().collect::<std::collections::HashSet<_>>().len() == names.len());
}

fn is_big() -> bool {
    std::env::var_os("AFFLUENT_BIG").is_some_and(|value| value == "1")
}

#[test]
fn b_11_size_extremes() {
    let mega = if is_big() { 1 << 20 } else { 1 << 14 };
    let long = "x".repeat(10 * mega);
    let half = &long[..5 * mega];
    let outcome = super::read(format!("a,b\n1,{long}\n2,\"{half}\n{half}\"\n3,z\n"));
    assert_eq!(outcome.rows.len(), 3);
    assert_eq!(outcome.rows[1][1].as_ref().unwrap().len(), 10 * mega + 1);

    let runaway = format!("a,b\n1,x\n2,\"{}3,z\n", "runs,away\n".repeat(mega));
    let outcome = super::read(runaway);
    assert_eq!(outcome.rows.len(), mega + 1);
    assert_eq!(outcome.rejects, ["3@8: the quote that opens on line 3 is never closed"]);

    let delimiters = format!("a,b\n1,x\n{}\n2,y\n", ",".repeat(10 * mega));
    let outcome = super::read(delimiters);
    assert_eq!(outcome.shown(), ["1|x", "2|y"]);
    assert_eq!(outcome.rejects[0], format!("3@8: has {} fields instead of 2", 10 * mega + 1));
    assert_eq!(outcome.raw[0].len(), contracts::rejects::RECORD_BYTES_MAX.min(10 * mega));
}

#[test]
fn b_11_limits_of_fields_and_lines() {
    use super::super::split::{FIELD_BYTES_MAX, LINE_BYTES_MAX};
    let fits = "x".repeat(FIELD_BYTES_MAX);
    let outcome = super::read(format!("a,b\n1,{fits}\n2,{fits}x\n3,\"{fits}x\"\n4,y\n"));
    assert_eq!(outcome.rows.len(), 2);
    let reason = "has a field of 16 777 217 bytes, more than 16 777 216";
    assert!(outcome.rejects.iter().all(|reject| reject.ends_with(reason)));
    assert_eq!(outcome.rejects.len(), 2);
    if !is_big() {
        return;
    }
    let line = "y".repeat(LINE_BYTES_MAX + 100);
    let outcome = super::read(format!("a,b\n1,x\n{line}\n2,\"{line}\n3,z\n"));
    assert_eq!(outcome.shown(), ["1|x", "3|z"]);
    assert_eq!(outcome.lines, [2, 5]);
    assert_eq!(outcome.rejects.len(), 2);
    assert!(outcome.rejects[0].starts_with("3@8: line 3 has more than"));
}

/// The most memory that this process has had, in bytes, where the system says so.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

#[test]
fn b_11_a_large_file_needs_little_memory() {
    use std::io::Write;
    let lines_of_block = 10_000;
    let block = "12345,some text that is not inlined,2024-01-31,\"x, y\"\n".repeat(lines_of_block);
    let size: usize = if is_big() { 2 << 30 } else { 16 << 20 };
    let blocks = size.div_ceil(block.len());
    let kept = one_file("t.csv", "id,text,day,note\n");
    let mut file = std::fs::OpenOptions::new().append(true).open(&kept.file.path).unwrap();
    for _ in 0..blocks {
        file.write_all(block.as_bytes()).unwrap();
    }
    drop(file);
    let request = options(2, &Arc::new(Rejected::default()));
    let files = std::slice::from_ref(&kept.file);
    let batches = open(files, &CsvOptions::default(), request).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let tasks: Vec<_> = batches
        .partitions
        .into_iter()
        .map(|partition| {
            runtime.spawn(futures::TryStreamExt::try_fold(partition, 0, async |rows, batch| {
                Ok(rows + batch.num_rows())
            }))
        })
        .collect();
    let rows: usize = tasks.into_iter().map(|task| runtime.block_on(task).unwrap().unwrap()).sum();
    assert_eq!(rows, blocks * lines_of_block);
    if let Some(peak) = peak_memory() {
        println!("b_11: {} MiB at most for a file of {} MiB", peak >> 20, size >> 20);
        assert!(peak < 512 << 20, "{peak}");
    }
}

/// A writer of files for the tests of compression.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn b_10_compressed_files() {
    let read = |name: &str, bytes: &[u8]| {
        let file = one_file(name, bytes);
        let csv = CsvOptions::default();
        read_tuned(std::slice::from_ref(&file.file), &csv, &Tuning::default())
    };
    let two = [gzip(b"a,b\n1,2\n"), gzip(b"3,4\n5,6\n")].concat();
    assert_eq!(read("two.csv.gz", &two).unwrap().shown(), ["1|2", "3|4", "5|6"]);
    let zstd = zstd::encode_all(&b"a,b\n1,2\n"[..], 3).unwrap();
    assert_eq!(read("x.csv.zst", &zstd).unwrap().shown(), ["1|2"]);

    let whole = gzip(&b"a,b\n1,2\n3,4\n".repeat(1000));
    let mut wrong = whole.clone();
    let crc = wrong.len() - 8;
    wrong[crc] ^= 1;
    for (name, bytes) in [
        ("truncated.gz", &whole[..whole.len() - 12]),
        ("crc.gz", &wrong),
        ("garbage.gz", &[whole.as_slice(), b"garbage"].concat()),
        ("truncated.zst", &zstd[..zstd.len() - 3]),
    ] {
        let problem = read(name, bytes).unwrap_err();
        assert!(problem.is(&codes::FILE_CORRUPT), "{name}: {problem:?}");
        assert!(problem.context().file.is_some() && problem.hint_text().is_some());
    }
    let bomb = gzip(&vec![b'0'; 100 << 20]);
    assert!(read("bomb.gz", &bomb).unwrap_err().is(&codes::FILE_TOO_LARGE));
}

#[test]
fn b_10_a_problem_in_a_stream_comes_after_the_rows_before_it() {
    let whole = gzip("a,b\n1,2\n".repeat(1_000_000).as_bytes());
    let file = one_file("t.csv.gz", &whole[..whole.len() - 4]);
    let request = options(1, &Arc::new(Rejected::default()));
    let batches = open(&[file.file], &CsvOptions::default(), request).unwrap();
    assert!(collect(batches).unwrap_err().is(&codes::FILE_CORRUPT));
}

fn zip_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    use std::io::Write;
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    for (name, bytes) in files {
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn b_10_archives() {
    let read = |bytes: &[u8], limits: Limits| {
        let file = one_file("x.zip", bytes);
        let rejected = Arc::new(Rejected::default());
        let tuning = Tuning { limits, ..Tuning::default() };
        let csv = CsvOptions::default();
        let request = options(1, &rejected);
        let batches = open_tuned(std::slice::from_ref(&file.file), &csv, request, tuning)?;
        collect(batches)
    };
    let usual = Limits::default();
    let two = zip_of(&[("1.csv", b"a,b\n1,2\n"), ("d/2.csv", b"a,b\n3,4\n")]);
    let batches = read(&two, usual).unwrap();
    let files: Vec<String> = batches
        .iter()
        .map(|batch| {
            let files = arrow::array::AsArray::as_string_view(batch.column(2).as_ref());
            files.value(0).to_owned()
        })
        .collect();
    assert_eq!(files, ["x.zip/1.csv", "x.zip/d/2.csv"]);
    assert_eq!(contracts::rows::count(&batches), 2);

    let nested = zip_of(&[("inner.zip", &two)]);
    assert!(read(&nested, usual).unwrap_err().is(&codes::FILE_CORRUPT));
    let zeros = vec![b'0'; 64 << 20];
    assert!(read(&zip_of(&[("z.csv", &zeros)]), usual).unwrap_err().is(&codes::FILE_TOO_LARGE));
    let many = Limits { entries_max: 1, ..usual };
    assert!(read(&two, many).unwrap_err().is(&codes::FILE_TOO_LARGE));
    assert!(read(&two, Limits { entries_max: 2, ..usual }).is_ok());
    assert!(read(&two[..two.len() - 30], usual).unwrap_err().is(&codes::FILE_CORRUPT));
    let small = Limits { unpacked_bytes_max: 15, ..usual };
    assert!(read(&two, small).unwrap_err().is(&codes::FILE_TOO_LARGE));
    assert!(read(&two, Limits { unpacked_bytes_max: 16, ..usual }).is_ok());
}

#[test]
fn real_files_are_read_whole() {
    let Some(folder) = data("open") else { return };
    for (name, delimiter) in [
        ("laposte/hexasmal-2020-semicolon.csv", ';'),
        ("laposte/datanova-2025-06-19.csv", ','),
        ("insee/communes.csv", ','),
        ("insee/mouvements-communes.csv", ','),
        ("epidemic/owid-monkeypox-2022-08-11.csv", ','),
        ("epidemic/country-codes.csv", ','),
    ] {
        let path = folder.join(name);
        let dialect = detect(&input(&path), &CsvOptions::default()).unwrap();
        assert_eq!((dialect.delimiter, dialect.header_rows), (Some(delimiter), 1), "{name}");
        let outcome = read_path(&path).unwrap();
        assert_eq!(outcome.rejects, [""; 0], "{name}");
        println!("{name}: {} rows, {}", outcome.rows.len(), dialect.encoding);
    }
}
