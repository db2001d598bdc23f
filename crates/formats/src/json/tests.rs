//! Tests of the JSON reader.

use super::*;
use crate::testing::{Rejected, collect, columns, data, files_of, lines, one_file, read_options};
use contracts::rows;
use contracts::source::Sample;
use proptest::prelude::*;
use std::io::Write;

struct Read {
    columns: Vec<String>,
    lines: Vec<String>,
    rejects: Vec<String>,
}

fn read_named(name: &str, content: impl AsRef<[u8]>, options: &JsonOptions) -> Result<Read> {
    let one = one_file(name, content);
    let rejected = Arc::new(Rejected::default());
    let batches = open(vec![one.file.clone()], options, read_options(&rejected))?;
    let columns = columns(&batches);
    let lines = lines(batches)?;
    Ok(Read { columns, lines, rejects: rejected.reasons() })
}

fn read(content: &str, options: &JsonOptions) -> Read {
    read_named("rows.json", content, options).unwrap()
}

fn refused(content: &str, options: &JsonOptions) -> Problem {
    match read_named("rows.json", content, options) {
        Err(problem) => problem,
        Ok(read) => panic!("it was read: {:?}, {:?}", read.lines, read.rejects),
    }
}

fn with_path(path: &str) -> JsonOptions {
    JsonOptions { path: Some(path.to_owned()), ..JsonOptions::default() }
}

#[test]
fn lines_lists_and_single_objects_are_told_apart() {
    let expected = [r#"{"a":1,"_row":1}"#, r#"{"a":2,"_row":2}"#];
    for content in [
        "{\"a\":1}\n{\"a\":2}\n",
        "{\"a\":1}\r\n{\"a\":2}",
        "[{\"a\":1},{\"a\":2}]",
        "[\n  {\"a\": 1},\n  {\"a\": 2}\n]\n",
        "\u{feff}[{\"a\":1},{\"a\":2}]",
    ] {
        let read = read(content, &JsonOptions::default());
        assert_eq!(read.lines, expected, "{content}");
        assert_eq!(read.columns, ["a integer"]);
    }
    let one = read("{\n\"a\": 1\n}", &JsonOptions::default());
    assert_eq!(one.lines, [r#"{"a":1,"_row":1}"#]);
    assert_eq!(read("", &JsonOptions::default()).lines.len(), 0);
    assert_eq!(read("[]", &JsonOptions::default()).lines.len(), 0);
    assert_eq!(read("[1, null, 3]", &JsonOptions::default()).columns, ["value integer"]);
}

#[test]
fn a_broken_line_is_a_reject_and_the_next_one_is_read() {
    let content = "{\"a\":1}\n{\"a\":\n\n{\"a\":tru}\n{\"a\":4}\n\"x\n";
    let read = read_named("rows.ndjson", content, &JsonOptions::default()).unwrap();
    assert_eq!(read.lines, [r#"{"a":1,"_row":1}"#, r#"{"a":4,"_row":5}"#]);
    assert_eq!(
        read.rejects,
        [
            "2: is not valid JSON at byte 5: it ends where a value is expected",
            "4: is not valid JSON at byte 5: a value is expected",
            "6: is not valid JSON at byte 2: it ends inside of a text",
        ]
    );
}

#[test]
fn a_broken_element_is_a_reject_where_the_list_goes_on() {
    let read = read("[{\"a\":1},{\"a\":01},{\"a\":3}]", &JsonOptions::default());
    assert_eq!(read.lines, [r#"{"a":1,"_row":1}"#, r#"{"a":3,"_row":3}"#]);
    assert_eq!(read.rejects, ["2: is not valid JSON at byte 6: a number has a leading zero"]);
}

#[test]
fn a_list_that_does_not_end_is_a_corrupt_file() {
    for content in ["[{\"a\":1},", "[{\"a\":1}", "[{\"a\":1}]x", "[{\"a\":1},]", "[1 2]", "<html>"]
    {
        let problem = refused(content, &JsonOptions::default());
        assert!(problem.is(&codes::FILE_CORRUPT), "{content}: {problem}");
        assert_eq!(problem.context().file.as_deref(), Some("rows.json"));
    }
}

#[test]
fn objects_become_columns_down_to_the_depth() {
    let content =
        r#"{"id": 1, "c": {"n": "x", "d": {"e": [1, 2]}}, "t": ["a", null], "o": [{"p": 1}]}"#;
    let all = read(content, &JsonOptions::default());
    assert_eq!(
        all.columns,
        ["id integer", "c_n string", "c_d_e list<integer>", "t list<string>", "o json"]
    );
    assert_eq!(
        all.lines,
        [r#"{"id":1,"c_n":"x","c_d_e":[1,2],"t":["a",null],"o":"[{\"p\":1}]","_row":1}"#]
    );
    let one = read(content, &JsonOptions { depth: 1, ..JsonOptions::default() });
    assert_eq!(one.columns, ["id integer", "c_n string", "c_d json", "t list<string>", "o json"]);
    let none = read(content, &JsonOptions { depth: 0, ..JsonOptions::default() });
    assert_eq!(none.columns, ["id integer", "c json", "t list<string>", "o json"]);
}

#[test]
fn types_widen_and_no_digit_is_lost() {
    let content = r#"[
        {"f": 1, "s": 1, "big": 9223372036854775807, "dec": 0.1, "huge": 1, "b": true, "m": [1]},
        {"f": 1.5, "s": "x", "big": 9223372036854775808, "dec": 1234567890123456.789,
         "huge": 1e400, "b": null, "m": "x"}
    ]"#;
    let read = read(content, &JsonOptions::default());
    assert_eq!(
        read.columns,
        [
            "f float",
            "s string",
            "big decimal(38,0)",
            "dec decimal(38,3)",
            "huge string",
            "b boolean",
            "m json"
        ]
    );
    assert!(read.lines[1].contains(r#""big":"9223372036854775808""#), "{:?}", read.lines);
    assert!(read.lines[1].contains(r#""dec":"1234567890123456.789","huge":"1e400""#));
}

#[test]
fn a_long_number_stays_whole() {
    let digits = "1".repeat(5000);
    let read = read(&format!("{{\"n\": {digits}}}"), &JsonOptions::default());
    assert_eq!(read.columns, ["n string"]);
    assert!(read.lines[0].contains(&digits));
}

#[test]
fn everything_can_be_wanted_as_text() {
    let options = JsonOptions { types: Types::Text, ..JsonOptions::default() };
    let read = read(r#"{"a": 1.50, "b": true, "c": [1, 2], "d": {"e": null}}"#, &options);
    assert_eq!(read.columns, ["a string", "b string", "c string", "d_e string"]);
    assert_eq!(read.lines, [r#"{"a":"1.50","b":"true","c":"[1,2]","d_e":null,"_row":1}"#]);
}

#[test]
fn declared_types_are_read_from_texts_too() {
    let columns = [
        ("n", DataType::Integer),
        ("c.d", DataType::Date),
        ("t", DataType::Timestamp),
        ("p", DataType::Decimal(10, 2)),
        ("new", DataType::String),
        ("c.late", DataType::Float),
    ];
    let columns = columns.map(|(name, data_type)| (name.to_owned(), data_type));
    let options = JsonOptions { columns: columns.into(), ..JsonOptions::default() };
    let content = r#"[{"n": "12", "c": {"d": "2026-01-31"}, "t": "2026-01-31T10:00:00+01:00",
        "p": "3.5"}, {"n": "x", "c": {"d": "31/01/2026"}, "t": 5, "p": 3.555}]"#;
    let one = one_file("rows.json", content);
    let rejected = Arc::new(Rejected::default());
    let batches = open(vec![one.file.clone()], &options, read_options(&rejected)).unwrap();
    assert!(lines(batches).unwrap()[0].contains(r#""t":"2026-01-31T09:00:00Z","p":"3.50""#));
    let errors = &rejected.all()[0].errors;
    assert_eq!(errors.len(), 4, "every misfit is named: {errors:?}");
    assert_eq!((errors[0].column.as_str(), errors[0].reason.as_str()), ("n", "is not an integer"));
    assert_eq!(errors[1].column, "c_d");
}

#[test]
fn a_path_leads_to_the_rows() {
    let content = r#"{"meta": {"n": [1, {"x": "]"}]}, "data": {"items": [{"a": 1}, {"a": 2}], "b": 0}, "z": 1}"#;
    for path in ["$.data.items[*]", "data.items", "$.data.items"] {
        assert_eq!(read(content, &with_path(path)).lines.len(), 2, "{path}");
    }
    assert_eq!(read(content, &with_path("data")).columns, ["items json", "b integer"]);
    let problem = refused(content, &with_path("data.rows"));
    assert_eq!(
        problem.hint_text(),
        Some("the keys there are `items` and `b`; correct `record_path`")
    );
    assert!(refused(content, &with_path("z[*]")).is(&codes::FILE_CORRUPT));
    let nested = r#"[{"o": [{"a": 1}, {"a": 2}]}, {"o": []}, {}, {"o": 3}, {"o": [{"a": 3}]}]"#;
    let read = read(nested, &with_path("$[*].o[*]"));
    assert_eq!(read.lines.len(), 3);
    assert_eq!(read.rejects, ["4: `$.o` is not a list"]);
}

#[test]
fn members_of_an_object_can_be_the_rows() {
    let content = r#"{"v": 1, "by_code": {"01": {"n": "Ain"}, "0\"2": {"n": null}}}"#;
    let members = read(content, &with_path("by_code[*]"));
    assert_eq!(members.columns, ["key string", "value_n string"]);
    assert_eq!(
        members.lines,
        [r#"{"key":"01","value_n":"Ain","_row":1}"#, r#"{"key":"0\"2","value_n":null,"_row":2}"#]
    );
    assert_eq!(read("{}", &with_path("$[*]")).lines.len(), 0);
    assert_eq!(read(r#"{"a": 1, "b": tru}"#, &with_path("$[*]")).rejects.len(), 1);
}

#[test]
fn what_does_not_fit_the_sample_is_rejected() {
    let mut content = "{\"a\":1,\"c\":{\"x\":1}}\n".repeat(SAMPLE_RECORDS + 10_000);
    content.push_str("{\"a\":1.5}\n{\"a\":1,\"b\":2}\n{\"a\":1,\"c\":[]}\n{\"b\":null}\n");
    let read = read_named("rows.ndjson", &content, &JsonOptions::default()).unwrap();
    assert_eq!(read.lines.len(), SAMPLE_RECORDS + 10_001);
    assert_eq!(
        read.rejects,
        [
            "60001 a: is not an integer",
            "60002 b: the key is new: it did not occur in the sample",
            "60003 c: is not an object"
        ]
    );
    let options = JsonOptions { new_keys: NewKeys::Ignore, ..JsonOptions::default() };
    let read = read_named("rows.ndjson", &content, &options).unwrap();
    assert_eq!(read.rejects.len(), 2);
}

#[test]
fn of_a_repeated_key_the_last_value_counts() {
    let content = "{\"a\": 1, \"a\": 2, \"o\": {\"x\": 1}, \"o\": {\"y\": 2}}\n{\"a\": 3}";
    let last = read(content, &JsonOptions::default());
    assert_eq!(last.lines[0], r#"{"a":2,"o_x":null,"o_y":2,"_row":1}"#);
    let reject = JsonOptions { duplicate_keys: DuplicateKeys::Reject, ..JsonOptions::default() };
    let strict = read(content, &reject);
    assert_eq!((strict.lines.len(), strict.rejects.len()), (1, 1));
}

const COLLECTION: &str = r#"{"type": "FeatureCollection", "crs": {"type": "name"}, "features": [
  {"type": "Feature", "id": "n/1", "properties": {"name": "x", "addr:city": "Nantes"},
   "geometry": {"type": "Point", "coordinates": [-1.5, 47.2]}},
  {"type": "Feature", "id": "n/2", "properties": null, "geometry": null},
  {"type": "Feature", "id": "n/3", "properties": {},
   "geometry": {"type": "MultiPolygon", "coordinates": [[[[0,0],[1,0],[1,1],[0,0]]]]}}
]}"#;

#[test]
fn geojson_features_become_rows() {
    let read = read(COLLECTION, &JsonOptions::default());
    assert_eq!(read.columns, ["id string", "geometry json", "name string", "addr_city string"]);
    assert!(
        read.lines[0].contains(r#""geometry":"{\"type\":\"Point\",\"coordinates\":[-1.5,47.2]}""#)
    );
    assert_eq!(read.lines.len(), 3);
}

#[test]
fn geojson_geometries_become_wkb() {
    let options = JsonOptions { geometry: GeometryForm::Wkb, ..JsonOptions::default() };
    let content = COLLECTION.replace("[[[[0,0]", "[[[[0]");
    let read = read(&content, &options);
    assert_eq!(read.columns[1], "geometry geometry");
    assert!(read.lines[0].contains("0101000000000000000000f8bf9a99999999994740"));
    assert_eq!(read.rejects, ["3 geometry: is not a geometry: a position has too few numbers"]);
}

#[test]
fn compressed_files_and_archives_are_unpacked() {
    let content = "{\"a\":1}\n".repeat(100_000);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(content.as_bytes()).unwrap();
    let zstd = zstd::encode_all(content.as_bytes(), 1).unwrap();
    for (name, bytes) in [("a.ndjson.gz", gzip.finish().unwrap()), ("a.ndjson.zst", zstd)] {
        let read = read_named(name, &bytes, &JsonOptions::default()).unwrap();
        assert_eq!(read.lines.len(), 100_000, "{name}");
        let cut = read_named(name, &bytes[..bytes.len() - 9], &JsonOptions::default());
        let problem = cut.err().unwrap();
        assert!(problem.is(&codes::FILE_CORRUPT), "{problem}");
    }
}

#[test]
fn utf_16_is_decoded() {
    let bytes: Vec<u8> =
        "\u{feff}[{\"é\": \"😀\"}]".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let read = read_named("rows.json", bytes, &JsonOptions::default()).unwrap();
    assert_eq!(read.lines, [r#"{"e":"😀","_row":1}"#]);
}

#[test]
fn a_sample_stops_early_and_rows_add_up() {
    let content = "{\"a\":1}\n".repeat(50_000);
    let one = one_file("rows.ndjson", content);
    let rejected = Arc::new(Rejected::default());
    let mut read = read_options(&rejected);
    read.sample = Some(Sample { rows: 100, bytes: u64::MAX });
    let batches = open(vec![one.file.clone()], &JsonOptions::default(), read).unwrap();
    assert_eq!(rows::count(&collect(batches).unwrap()), 100);
}

#[test]
fn several_files_share_their_columns() {
    let first = one_file("a.json", "[{\"a\": 1}]");
    let second = one_file("b.json", "[{\"b\": \"x\", \"a\": 1.5}]");
    let files = vec![first.file.clone(), second.file.clone()];
    let rejected = Arc::new(Rejected::default());
    let batches = open(files, &JsonOptions::default(), read_options(&rejected)).unwrap();
    assert_eq!(columns(&batches), ["a float", "b string"]);
    assert_eq!(rows::count(&collect(batches).unwrap()), 2);
}

/// Loaded without a reject, rejected, or refused as a whole.
fn accepts(file: &InputFile, layout: Layout) -> bool {
    let rejected = Arc::new(Rejected::default());
    let options = JsonOptions { layout, ..JsonOptions::default() };
    let read = open(vec![file.clone()], &options, read_options(&rejected)).and_then(collect);
    read.is_ok() && rejected.all().is_empty()
}

#[test]
fn b_06_json_test_suite() {
    let Some(folder) = data("torture/jsontestsuite/test_parsing") else { return };
    for layout in [Layout::Document, Layout::Auto] {
        let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
        let (mut valid, mut invalid) = (0, 0);
        for file in files_of(&folder) {
            let accepted = accepts(&file, layout);
            match file.name.as_bytes()[0] {
                b'y' => {
                    valid += 1;
                    wanted.extend((!accepted).then(|| file.name.clone()));
                }
                b'n' => {
                    invalid += 1;
                    unwanted.extend(accepted.then(|| file.name.clone()));
                }
                _ => {}
            }
        }
        assert!(
            wanted.is_empty(),
            "{layout:?}: {} of {valid} y_ refused: {wanted:?}",
            wanted.len()
        );
        // A file with nothing in it is no JSON document, but it may be lines without a line.
        let allowed = if layout == Layout::Document { 0 } else { 3 };
        let missed = unwanted.len();
        assert!(missed <= allowed, "{layout:?}: {missed} of {invalid} n_ accepted: {unwanted:?}");
    }
}

#[test]
fn b_06_bombs_are_refused_in_bounded_memory() {
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(read(&deep, &JsonOptions::default()).rejects.len(), 1);
    let open_only = "{\"a\":".repeat(100_000);
    assert!(refused(&open_only, &JsonOptions::default()).is(&codes::FILE_CORRUPT));
    let lines = format!("{{\"a\":1}}\n{{\"a\":{deep}}}\n");
    let read = read_named("rows.ndjson", &lines, &JsonOptions::default()).unwrap();
    assert_eq!((read.lines.len(), read.rejects.len()), (1, 1));
    assert!(read.rejects[0].contains("nested deeper than 128"));
    let surrogate =
        read_named("r.ndjson", "{\"a\":\"\\ud800\"}\n", &JsonOptions::default()).unwrap();
    assert!(surrogate.rejects[0].contains("surrogate"));
    let wide: String = (0..9000).map(|key| format!("\"k{key}\":{key},")).collect();
    let problem = refused(&format!("{{{}}}", wide.trim_end_matches(',')), &JsonOptions::default());
    assert!(problem.is(&codes::FILE_TOO_LARGE));
    let map = format!("{{\"m\":{{{}}}}}", wide.trim_end_matches(','));
    assert_eq!(read_named("m.json", &map, &JsonOptions::default()).unwrap().columns, ["m json"]);
}

#[test]
fn wide_rows_and_features_keep_their_columns() {
    let members: Vec<String> = (0..600).map(|key| format!("\"k{key}\":{key}")).collect();
    let (all, last) = (members.join(","), "\"k599\":1.5");
    let rows = read(&format!("[{{{all}}},{{{last}}}]"), &JsonOptions::default());
    assert_eq!((rows.columns.len(), rows.columns[599].as_str()), (600, "k599 float"));
    let feature = |members: &str| {
        format!("{{\"type\":\"Feature\",\"properties\":{{{members}}},\"geometry\":null}}")
    };
    let collection = format!(
        "{{\"type\":\"FeatureCollection\",\"features\":[{},{}]}}",
        feature(&all),
        feature(last)
    );
    let rows = read(&collection, &JsonOptions::default());
    assert_eq!((rows.columns.len(), rows.columns[600].as_str()), (601, "k599 float"));
}

#[test]
fn real_files_are_read_and_every_record_is_accounted_for() {
    let Some(root) = data("open") else { return };
    for folder in ["ademe", "annuaire", "sirene", "osm", "contours"] {
        for file in files_of(&root.join(folder)) {
            if !file.name.ends_with("json") {
                continue;
            }
            let name = file.name.clone();
            let rejected = Arc::new(Rejected::default());
            // These are look-up tables: their keys are data.
            let path = (folder == "annuaire").then(|| "$[*]".to_owned());
            let options = JsonOptions { path, ..JsonOptions::default() };
            let batches = open(vec![file], &options, read_options(&rejected)).unwrap();
            let names = columns(&batches);
            let count = rows::count(&collect(batches).unwrap());
            assert!(rejected.all().is_empty(), "{name}: {:?}", rejected.reasons());
            assert!(count > 0, "{name} has no rows");
            if name == "epci.json" {
                assert_eq!(
                    (count, names.as_slice()),
                    (34_931, ["key string", "value string"].map(str::to_owned).as_slice())
                );
            }
            if folder == "osm" {
                assert_eq!(count, 355, "{name}");
                assert!(names.contains(&"geometry json".to_owned()), "{name}: {names:?}");
            }
        }
    }
}

/// The most memory that this process has had; each test runs in a process of its own.
fn peak_memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or("VmHWM: 0 kB");
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[test]
fn a_long_list_is_read_in_bounded_memory() {
    use futures::TryStreamExt;
    let dir = tempfile::tempdir().unwrap();
    let file = InputFile::new(dir.path().join("long.json"), "long.json");
    let mut writer = std::io::BufWriter::new(std::fs::File::create(&file.path).unwrap());
    let text = "x".repeat(1000);
    for number in 0..100_000 {
        let comma = if number > 0 { "," } else { "{\"data\": [" };
        write!(writer, "{comma}\n{{\"n\": {number}, \"t\": \"{text}\"}}").unwrap();
    }
    writer.write_all(b"]}").unwrap();
    writer.into_inner().unwrap();
    let rejected = Arc::new(Rejected::default());
    let batches = open(vec![file], &with_path("data"), read_options(&rejected)).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let count = runtime.block_on(async {
        let mut count = 0;
        for mut partition in batches.partitions {
            while let Some(batch) = partition.try_next().await.unwrap() {
                count += batch.num_rows();
            }
        }
        count
    });
    assert_eq!(count, 100_000);
    assert!(peak_memory_mib() < 64, "{} MiB", peak_memory_mib());
}

fn json_value() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i16>().prop_map(|n| Value::from(f64::from(n) / 4.0)),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((".{0,4}", inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_parser_agrees_with_another_one(value in json_value(), pretty in any::<bool>()) {
        let text = match pretty {
            true => serde_json::to_string_pretty(&value).unwrap(),
            false => serde_json::to_string(&value).unwrap(),
        };
        let mut nodes = Vec::new();
        let tape = parse::parse(text.as_bytes(), &mut nodes).unwrap();
        let again: serde_json::Value = serde_json::from_str(&parse::minify(tape.json(0))).unwrap();
        prop_assert_eq!(again, value);
    }

    #[test]
    fn any_bytes_are_judged_alike(text in r#"[\[\]{},:"\\0-9eE.+\-truefalsn u\u{0}-\u{1f}é]{0,24}"#) {
        let mut nodes = Vec::new();
        let ours = parse::parse(text.as_bytes(), &mut nodes).is_ok();
        let theirs = serde_json::from_str::<&serde_json::value::RawValue>(&text);
        let is_too_big = |error: &serde_json::Error| error.to_string().contains("out of range");
        let overflow = theirs.as_ref().is_err_and(is_too_big);
        prop_assert!(ours == theirs.is_ok() || overflow || text.contains("\\u"), "{:?}", text);
    }

    #[test]
    fn rows_in_are_rows_out_plus_rejects(
        lines in prop::collection::vec(r#"\{"a": ?([0-9]{1,3}|x|"t")[}\]]|\{\}"#, 0..40),
    ) {
        let content = lines.join("\n");
        let read = read_named("rows.ndjson", content, &JsonOptions::default()).unwrap();
        prop_assert_eq!(read.lines.len() + read.rejects.len(), lines.len());
    }
}
