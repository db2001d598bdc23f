//! What is found out about files.

use super::super::*;
use crate::testing::one_file;

fn dialect(content: impl AsRef<[u8]>) -> Dialect {
    detect(&one_file("t.csv", content).file, &CsvOptions::default()).unwrap()
}

#[test]
fn delimiters_are_found() {
    for (content, delimiter) in [
        ("a,b\n1,2\n", Some(',')),
        ("a;b\n1,5;2,5\n3,5;4\n", Some(';')),
        ("a\tb\n1\t2\n", Some('\t')),
        ("a|b\n1|2,3\n4|5\n", Some('|')),
        ("name age\nzoe 7\nbob 8\n", Some(' ')),
        ("title\nhello, world\nno comma here\nx\n", None),
        ("i\n1\n1,5\n7\n8\n", None),
    ] {
        assert_eq!(dialect(content).delimiter, delimiter, "{content:?}");
    }
    let spaced = dialect("a, b, c\n1, 2, 3\n4, \"x, y\", 6\n");
    assert_eq!((spaced.delimiter, spaced.has_space_after_delimiter), (Some(','), true));
}

#[test]
fn quotes_and_escapes_are_found() {
    let single = dialect("a,b\n'x, y',1\n'it''s',2\n");
    assert_eq!((single.quote, single.escape), (Some('\''), Escape::Doubled));
    let backslash = dialect("a,b\n\"x \\\"y\\\", z\",1\n\"w\",2\n");
    assert_eq!((backslash.quote, backslash.escape), (Some('"'), Escape::Backslash));
    let unmarked = dialect("a,b\n\"x \"y\", z\",1\n\"u \"v\" w\",2\n");
    assert_eq!((unmarked.quote, unmarked.escape), (Some('"'), Escape::Unmarked));
}

#[test]
fn headers_are_told_from_rows() {
    for (content, rows) in [
        ("id,name\n1,x\n", 1),
        ("1,x\n2,y\n", 0),
        ("city,country\nParis,FR\nLyon,FR\n", 1),
        ("Paris,FR\nLyon,FR\nNice,FR\n", 0),
        ("country,2019,2020\nFR,1,2\nDE,3,4\n", 1),
        ("a,b,c\n", 1),
        ("1,2,3\n", 0),
        ("temp,temp,wind,wind\nmin,max,min2,max2\n1,2,3,4\n5,6,7,8\n", 2),
    ] {
        assert_eq!(dialect(content).header_rows, rows, "{content:?}");
    }
}

#[test]
fn lines_before_the_header_are_passed_over_and_reported() {
    let outcome = super::read("Report 2024\n\nid,name,city\n1,x,y\n2,z,w\n");
    assert_eq!(outcome.names, ["id", "name", "city"]);
    assert_eq!(outcome.lines, [4, 5]);
    assert_eq!(outcome.rejects, ["1@0: stands before the header and has no row's shape"]);
}

#[test]
fn a_damaged_header_still_names_the_columns() {
    let short = dialect("a,bc,d\n1,2,3,4\n5,6,7,8\n");
    assert_eq!(short.headers, ["a", "bc", "d", ""]);
    assert_eq!(short.remarks, ["the header has 3 names for 4 fields"]);
    let long = dialect("a,b,,c\n1,2,3\n4,5,6\n");
    assert_eq!(long.headers, ["a", "b", "c"]);
    let quoted = dialect("a,\"b,c\n1,2,3\n4,\"5\",6\n");
    assert_eq!(quoted.headers, ["a", "b", "c"]);
    assert_eq!(quoted.remarks, ["the header has a quote that does not close"]);
}
