//! Tests of the XML reader.

use super::*;
use crate::testing::{Rejected, columns, lines, one_file, read_options};
use std::time::{Duration, Instant};

struct Read {
    columns: Vec<String>,
    lines: Vec<String>,
    rejects: Vec<String>,
}

fn read_bytes(content: impl AsRef<[u8]>, options: &XmlOptions) -> Result<Read> {
    let one = one_file("rows.xml", content);
    let rejected = Arc::new(Rejected::default());
    let batches = open(vec![one.file.clone()], options, read_options(&rejected))?;
    let columns = columns(&batches);
    Ok(Read { columns, lines: lines(batches)?, rejects: rejected.reasons() })
}

fn read(content: &str, options: &XmlOptions) -> Read {
    read_bytes(content, options).unwrap()
}

fn row(name: &str) -> XmlOptions {
    XmlOptions { row: Some(name.to_owned()), ..XmlOptions::default() }
}

const ORDERS: &str = r#"<?xml version="1.0"?>
<o:orders xmlns:o="urn:x" date="2026-01-31">
  <!-- two orders -->
  <head><order-count>2</order-count></head>
  <order id="01"><name>A &amp; B &#233;</name><price cur="EUR">1.50</price><line>x</line><line>y</line></order>
  <order id="02"><name><![CDATA[<c>]]></name><empty/><line>z</line></order>
</o:orders>"#;

#[test]
fn attributes_and_elements_become_columns() {
    let all = read(ORDERS, &row("order"));
    assert_eq!(
        all.columns,
        [
            "id string",
            "name string",
            "price_cur string",
            "price_text string",
            "line string",
            "empty string"
        ]
    );
    assert_eq!(
        all.lines,
        [
            r#"{"id":"01","name":"A & B é","price_cur":"EUR","price_text":"1.50","line":"[\"x\",\"y\"]","empty":null,"_row":1}"#,
            r#"{"id":"02","name":"<c>","price_cur":null,"price_text":null,"line":"z","empty":null,"_row":2}"#,
        ]
    );
    assert_eq!(read(ORDERS, &row("orders/order")).lines, all.lines);
    assert_eq!(read(ORDERS, &XmlOptions::default()).lines.len(), 3);
    assert_eq!(read(ORDERS, &row("orders")).lines.len(), 1);
    assert_eq!(read(ORDERS, &row("nothing")).lines.len(), 0);
    assert!(read_bytes(ORDERS, &row("a//b")).is_err());
}

#[test]
fn types_are_found_where_they_are_wanted() {
    let content =
        "<r><a n='1' z='007'><p>1.50</p><b>true</b></a><a n='2' z='1'><p>x</p><b/></a></r>";
    let options = XmlOptions { types: Types::Infer, ..row("a") };
    let all = read(content, &options);
    assert_eq!(all.columns, ["n integer", "z string", "p string", "b boolean"]);
    assert!(all.lines[0].contains(r#""z":"007","p":"1.50","b":true"#), "{:?}", all.lines);
    let declared = [("p".to_owned(), DataType::Decimal(5, 2))].into();
    let options = XmlOptions { columns: declared, ..row("a") };
    let all = read(content, &options);
    assert_eq!((all.columns[2].as_str(), all.rejects.len()), ("p decimal(5,2)", 1));
}

#[test]
fn encodings_are_obeyed() {
    let latin = b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><r><a>\xe9</a></r>";
    assert_eq!(read_bytes(latin, &row("a")).unwrap().lines, [r#"{"value":"é","_row":1}"#]);
    let utf16: Vec<u8> = "\u{feff}<?xml version=\"1.0\" encoding=\"UTF-16\"?><r><a>é</a></r>"
        .encode_utf16()
        .flat_map(u16::to_be_bytes)
        .collect();
    assert_eq!(read_bytes(utf16, &row("a")).unwrap().lines, [r#"{"value":"é","_row":1}"#]);
    let unknown = "<?xml version=\"1.0\" encoding=\"klingon\"?><r/>";
    assert!(read_bytes(unknown, &row("a")).is_err());
    assert!(read_bytes(b"<r><a>\xe9</a></r>", &row("a")).is_err());
}

#[test]
fn what_is_not_well_formed_is_a_corrupt_file() {
    for content in [
        "",
        "text",
        "<r><a></r>",
        "<r><a>1</a>",
        "<r/><r/>",
        "<r><a x=1/></r>",
        "<r><a x='1' x='2'/></r>",
        "<r><a>&nbsp;</a></r>",
        "<r><a x='&nbsp;'/></r>",
        "{\"a\": 1}",
    ] {
        match read_bytes(content, &row("a")) {
            Err(problem) => assert!(problem.is(&codes::FILE_CORRUPT), "{content}: {problem}"),
            Ok(read) => panic!("`{content}` was read: {:?}", read.lines),
        }
    }
}

/// Refused as a file or as rows, in less than a second.
fn refused(content: &str) -> String {
    let began = Instant::now();
    let result = read_bytes(content, &row("a"));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    match result {
        Err(problem) => problem.to_string(),
        Ok(read) => {
            assert!(read.lines.is_empty(), "it was read: {:?}", read.lines);
            read.rejects.join("; ")
        }
    }
}

#[test]
fn b_07_document_types_are_refused() {
    let laughs: String = (1..10)
        .map(|n| format!("<!ENTITY l{n} \"{}\">", format!("&l{};", n - 1).repeat(10)))
        .collect();
    for content in [
        format!("<!DOCTYPE r [<!ENTITY l0 \"lol\">{laughs}]><r><a>&l9;</a></r>"),
        format!(
            "<!DOCTYPE r [<!ENTITY x \"{}\">]><r><a>{}</a></r>",
            "x".repeat(100_000),
            "&x;".repeat(1000)
        ),
        "<!DOCTYPE r [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><r><a>&x;</a></r>".to_owned(),
        "<!DOCTYPE r SYSTEM \"http://127.0.0.1:9/x.dtd\"><r><a>1</a></r>".to_owned(),
        "<!DOCTYPE r [<!ENTITY % p SYSTEM \"http://127.0.0.1:9/\"> %p;]><r><a>1</a></r>".to_owned(),
    ] {
        assert!(refused(&content).contains("document type"), "{content:.80}");
    }
    assert!(refused("<r><a>&l9;</a></r>").contains("entity `l9`"));
    let include = "<r xmlns:xi='http://www.w3.org/2001/XInclude'>\
                   <a><xi:include href='file:///etc/passwd' parse='text'/></a></r>";
    let read = read(include, &row("a"));
    assert_eq!(read.columns, ["include_href string", "include_parse string"], "it is only data");
}

#[test]
fn b_07_deep_wide_and_long_documents_are_refused() {
    let deep = format!("<r>{}{}</r>", "<a>".repeat(100_000), "</a>".repeat(100_000));
    assert!(refused(&deep).contains("256 levels"));
    assert!(refused(&"<a>".repeat(100_000)).contains("256 levels"));
    let nested = format!("<r><a>{}1{}</a></r>", "<b>".repeat(200), "</b>".repeat(200));
    assert!(refused(&nested).contains("nested deeper than 128"));
    let text = format!("<r><a>{}</a></r>", "x".repeat(17 << 20));
    assert!(refused(&text).contains("longer than 16 MiB"));
    let name = format!("<r><{}/></r>", "x".repeat(17 << 20));
    assert!(refused(&name).contains("longer than 16 MiB"));
    let attributes: String = (0..20_000).map(|n| format!(" a{n}='{n}'")).collect();
    assert!(refused(&format!("<r><a{attributes}/></r>")).contains("20000 columns"));
}

#[test]
fn b_07_many_attributes_take_linear_time() {
    let time = |count: usize| {
        let attributes: String = (0..count).map(|n| format!(" a{n}='{n}'")).collect();
        let content = format!("<r{attributes}><a>1</a></r>");
        let began = Instant::now();
        assert_eq!(read(&content, &row("a")).lines.len(), 1);
        began.elapsed()
    };
    let (few, many) = (time(20_000), time(200_000));
    assert!(many < few * 60 + Duration::from_millis(500), "{few:?}, {many:?}");
}

/// What reading a file adds at most to the memory of this process, in MiB. Tests that measure run
/// in a process of their own.
fn memory_added(content: impl AsRef<[u8]>) -> Option<u64> {
    let one = one_file("rows.xml", content);
    let status = |name: &str| {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    // Forgets the peak of the past.
    std::fs::write("/proc/self/clear_refs", "5").ok()?;
    let before = status("VmRSS")?;
    let rejected = Arc::new(Rejected::default());
    let opened = open(vec![one.file.clone()], &row("a"), read_options(&rejected));
    let outcome = opened.and_then(lines);
    assert!(outcome.is_err() || !rejected.all().is_empty(), "{outcome:?}");
    Some(status("VmHWM")?.saturating_sub(before) >> 10)
}

#[test]
fn b_07_bombs_take_little_memory() {
    let laughs: String = (1..10)
        .map(|n| format!("<!ENTITY l{n} \"{}\">", format!("&l{};", n - 1).repeat(10)))
        .collect();
    let deep = || format!("<r>{}{}</r>", "<a>".repeat(100_000), "</a>".repeat(100_000));
    let attributes: String = (0..20_000).map(|n| format!(" a{n}='{n}'")).collect();
    let bombs: [(&str, String); 7] = [
        ("entities", format!("<!DOCTYPE r [<!ENTITY l0 \"lol\">{laughs}]><r><a>&l9;</a></r>")),
        ("references", format!("<r><a>{}</a></r>", "&l9;".repeat(1_000_000))),
        ("depth", deep()),
        ("open", "<a>".repeat(1_000_000)),
        ("text", format!("<r><a>{}</a></r>", "x".repeat(40 << 20))),
        ("name", format!("<r><{}/></r>", "x".repeat(40 << 20))),
        ("attributes", format!("<r><a{attributes}/></r>")),
    ];
    for (name, content) in bombs {
        let began = Instant::now();
        let Some(mebibytes) = memory_added(content) else { return };
        println!("b_07: {name}: {mebibytes} MiB, {:?}", began.elapsed());
        assert!(mebibytes < 64, "{name}: {mebibytes} MiB");
    }
}
