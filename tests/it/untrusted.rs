//! Files that are made to do harm: the run ends with a problem that names node and file, and the
//! process of the run stays small, because another one reads them.

use crate::program::Project;
use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter};
use parquet::file::properties::WriterProperties;
use serde_json::Value;
use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A pipeline that reads a file and keeps its rows.
fn pipeline(module: &str, path: &str, settings: &str) -> String {
    format!(
        "affluent: 1\nkind: pipeline\nname: load\nnodes:\n  \
         - {{id: rows, use: {module}, with: {{path: {path}{settings}}}}}\n  \
         - {{id: kept, use: write_table, from: rows, with: {{table: bronze.kept}}}}\n"
    )
}

fn project(module: &str, path: &str, settings: &str, content: impl AsRef<[u8]>) -> Project {
    let project = Project::new(&[("pipelines/load.yaml", &pipeline(module, path, settings))]);
    project.write(path, content);
    project
}

/// The problem that a run ends with, and the peak of its own memory in MiB.
fn run(project: &Project) -> (Value, u64) {
    let mut child = project
        .command(&["--json", "run", "load"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut peak = 0;
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        peak = memory(child.id(), "VmHWM").unwrap_or(0).max(peak);
        assert!(began.elapsed() < Duration::from_secs(120), "it does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    let line = errors.lines().next().unwrap_or_default();
    let problem = serde_json::from_str(line).unwrap_or_else(|_| panic!("not a problem: {errors}"));
    (problem, peak / 1024)
}

/// A line of `/proc/PID/status`, in KiB.
fn memory(process: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn bombs_end_a_run_with_a_problem_and_leave_it_small() {
    let laughs: String = (1..10)
        .map(|n| format!("<!ENTITY l{n} \"{}\">", format!("&l{};", n - 1).repeat(10)))
        .collect();
    let entities = format!("<!DOCTYPE r [<!ENTITY l0 \"lol\">{laughs}]><r><a>&l9;</a></r>");
    let deep = "<a>".repeat(1_000_000);
    let bombs: [(&str, &str, &str, Vec<u8>, &str); 4] = [
        ("xml", "laughs.xml", ", row: a", entities.into_bytes(), "file_corrupt"),
        ("xml", "deep.xml", ", row: a", deep.into_bytes(), "file_corrupt"),
        ("excel", "texts.xlsx", "", zip_bomb(), "file_too_large"),
        ("parquet", "page.parquet", "", lying_page(), "memory_exceeded"),
    ];
    for (module, path, settings, content, code) in bombs {
        let (problem, peak) = run(&project(module, path, settings, content));
        println!("{path}: peak of the run {peak} MiB; {problem}");
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["context"]["node"], "rows", "{problem}");
        assert_eq!(problem["context"]["file"], path, "{problem}");
        assert!(peak < 200, "{path}: {peak} MiB");
    }
}

/// A workbook of 1 MB whose texts unpack to 1 GB.
fn zip_bomb() -> Vec<u8> {
    let script = r#"
import sys, zipfile
texts = b"<si><t>" + b"x" * 10_000 + b"</t></si>"
with zipfile.ZipFile(sys.argv[1], "w", zipfile.ZIP_DEFLATED) as book:
    book.writestr("[Content_Types].xml", "<Types/>")
    relation = '<Relationship Id="%s" Type="http://x/%s" Target="%s"/>'
    relations = "<Relationships>%s</Relationships>"
    main = relation % ("a", "officeDocument", "xl/workbook.xml")
    book.writestr("_rels/.rels", relations % main)
    book.writestr("xl/_rels/workbook.xml.rels", relations % (
        relation % ("b", "worksheet", "sheet.xml") +
        relation % ("c", "sharedStrings", "texts.xml")))
    book.writestr("xl/workbook.xml",
        '<workbook xmlns:r="r"><sheets><sheet name="s" r:id="b"/></sheets></workbook>')
    book.writestr("xl/sheet.xml", "<worksheet><sheetData/></worksheet>")
    with book.open("xl/texts.xml", "w") as part:
        part.write(b"<sst>")
        for _ in range(100):
            part.write(texts * 1000)
        part.write(b"</sst>")
"#;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.xlsx");
    let made = Command::new("python3").args(["-c", script]).arg(&path).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fs::read(path).unwrap()
}

/// A Parquet file of one small page that says it unpacks to 2 GiB.
fn lying_page() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let honest = folder.path().join("honest.parquet");
    fs::write(&honest, numbers(10)).unwrap();
    let honest = fs::File::open(honest).unwrap();
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&honest).unwrap();
    let body = [7u8; 100];
    // A data page (type 0) of 10 plain values, sizes and counts as doubled numbers.
    let mut page = vec![0x15, 0, 0x15];
    page.extend([0xfe, 0xff, 0xff, 0xff, 0x0f]);
    page.extend([0x15, 200, 1, 0x2c, 0x15, 20, 0x15, 0, 0x15, 6, 0x15, 6, 0, 0]);
    page.extend(body);
    let group = metadata.row_group(0);
    let column = group.column(0).clone().into_builder();
    let column = column
        .set_dictionary_page_offset(None)
        .set_data_page_offset(4)
        .set_total_compressed_size(page.len() as i64)
        .build()
        .unwrap();
    let group = group.clone().into_builder().set_column_metadata(vec![column]).build().unwrap();
    let metadata = ParquetMetaData::new(metadata.file_metadata().clone(), vec![group]);
    let mut file = [b"PAR1".as_slice(), &page].concat();
    let mut footer = Vec::new();
    ParquetMetaDataWriter::new(&mut footer, &metadata).finish().unwrap();
    file.extend(footer);
    file
}

fn numbers(count: i64) -> Vec<u8> {
    let column = Arc::new(Int64Array::from_iter_values(0..count)) as ArrayRef;
    let batch = RecordBatch::try_from_iter([("n", column)]).unwrap();
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_dictionary_enabled(false)
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

#[test]
fn a_reader_dies_with_its_run() {
    let rows: String = (0..400_000).map(|n| format!("<a><n>{n}</n><t>text {n}</t></a>")).collect();
    let project = project("xml", "rows.xml", ", row: a", format!("<r>{rows}</r>"));
    let mut run = project.command(&["run", "load"]);
    let mut run = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    let reader = loop {
        if let Some(reader) = children(run.id()).first() {
            break *reader;
        }
        assert!(run.try_wait().unwrap().is_none(), "the run has ended before it was looked at");
        assert!(began.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(2));
    };
    run.kill().unwrap();
    run.wait().unwrap();
    let began = Instant::now();
    while is_alive(reader) {
        assert!(began.elapsed() < Duration::from_secs(10), "the reader lives on");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Processes whose parent is `process`.
fn children(process: u32) -> Vec<u32> {
    let parent = format!("PPid:\t{process}\n");
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_child = |number: &u32| {
        fs::read_to_string(format!("/proc/{number}/status"))
            .is_ok_and(|status| status.contains(&parent))
    };
    numbers.filter(is_child).collect()
}

/// Whether a process is there and more than an entry that nobody has taken notice of.
fn is_alive(process: u32) -> bool {
    fs::read_to_string(format!("/proc/{process}/status"))
        .is_ok_and(|status| !status.contains("State:\tZ"))
}
