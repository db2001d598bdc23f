//! Patches of texts as people write them, and of texts made by chance.

use super::*;
use proptest::prelude::*;
use serde_json::json;

const SALES: &str = "\
# What the shop sells.
affluent: 1
kind: pipeline
name: sales   # never change this
nodes:
  - {id: orders, use: csv, with: {path: data/*.csv}}  # as received
  - id: typed
    use: cast
    from: orders
    with:
      columns: {id: integer}   # the others stay text

  - id: days
    use: sql
    from: [typed]
    with:
      query: |
        select id -- the key
        from typed
  # the end
tags: [a, 'b']
";

fn patch(op: PatchKind, path: &str, value: Value) -> Patch {
    Patch { op, path: path.to_owned(), value }
}

fn one(op: PatchKind, path: &str, value: Value) -> Result<String> {
    patched("pipelines/sales.yaml", SALES, &[patch(op, path, value)])
}

#[test]
fn a_value_is_replaced_and_nothing_else() {
    let cases = [
        ("/name", json!("orders"), "name: sales   #", "name: orders   #"),
        ("/nodes/0/with/path", json!("x, y"), "path: data/*.csv}", "path: \"x, y\"}"),
        ("/nodes/1/with/columns/id", json!("text"), "{id: integer}", "{id: text}"),
        ("/nodes/1/with", json!({"a": [1, null]}), "columns: {id: integer}", "{a: [1, null]}"),
        ("/tags/1", json!("true"), "'b'", "\"true\""),
        (
            "/nodes/2/with/query",
            json!("select 1\n\nfrom typed\n"),
            "select id -- the key\n        from typed\n",
            "select 1\n\n        from typed\n",
        ),
    ];
    for (path, value, from, to) in cases {
        let changed = one(PatchKind::Replace, path, value).unwrap();
        assert_eq!(changed, SALES.replacen(from, to, 1), "{path}");
    }
}

#[test]
fn settings_and_items_are_added_where_they_belong() {
    let cases = [
        ("/nodes/0/with/types", json!("infer"), "*.csv}}", "*.csv, types: infer}}"),
        ("/nodes/1/with/strict", json!(true), "stay text\n", "stay text\n      strict: true\n"),
        ("/nodes/1/note", json!("a: b"), "stay text\n", "stay text\n    note: \"a: b\"\n"),
        ("/tags/-", json!("c"), "'b']", "'b', c]"),
        ("/description", json!("Sales"), "'b']\n", "'b']\ndescription: Sales\n"),
    ];
    for (path, value, from, to) in cases {
        let changed = one(PatchKind::Add, path, value).unwrap();
        assert_eq!(changed, SALES.replacen(from, to, 1), "{path}");
    }
    let node = json!({"id": "kept", "use": "write_table", "from": "days"});
    let changed = one(PatchKind::Add, "/nodes/-", node).unwrap();
    assert!(changed.contains("\n  - {id: kept, use: write_table, from: days}\n"), "{changed}");
}

#[test]
fn settings_and_items_are_removed() {
    let cases = [
        ("/tags", "tags: [a, 'b']\n", ""),
        ("/tags/0", "a, ", ""),
        ("/tags/1", ", 'b'", ""),
        ("/nodes/0/with/path", "path: data/*.csv", ""),
        ("/nodes/0/use", "use: csv, ", ""),
        ("/nodes/1/from", "    from: orders\n", ""),
        ("/nodes/1/id", "id: typed\n    ", ""),
        ("/nodes/0", "  - {id: orders, use: csv, with: {path: data/*.csv}}  # as received\n", ""),
    ];
    for (path, from, to) in cases {
        let changed = one(PatchKind::Remove, path, Value::Null).unwrap();
        assert_eq!(changed, SALES.replacen(from, to, 1), "{path}");
    }
}

#[test]
fn what_cannot_be_done_is_refused_with_its_path() {
    let refusals = [
        (PatchKind::Replace, "name", "request_invalid"),
        (PatchKind::Replace, "/nodes/9/id", "name_unknown"),
        (PatchKind::Replace, "/nodes/x", "name_unknown"),
        (PatchKind::Add, "/name", "conflict"),
        (PatchKind::Add, "/name/deeper", "name_unknown"),
        (PatchKind::Remove, "/nodes/1/nothing", "name_unknown"),
    ];
    for (op, path, code) in refusals {
        assert_eq!(one(op, path, json!(1)).unwrap_err().code().id, code, "{path}");
    }
    let aliased = "a: &x {b: 1}\nc: *x\n";
    let problem = patched("x", aliased, &[patch(PatchKind::Replace, "/a/b", json!(2))]);
    assert!(problem.is_err(), "what it stands for elsewhere would change too");
}

#[test]
fn several_patches_are_made_in_order() {
    let patches = [
        patch(PatchKind::Add, "/nodes/1/with/strict", json!(false)),
        patch(PatchKind::Replace, "/nodes/1/with/strict", json!(true)),
        patch(PatchKind::Remove, "/nodes/0", Value::Null),
        patch(PatchKind::Replace, "/nodes/0/id", json!("first")),
    ];
    let changed = patched("x", SALES, &patches).unwrap();
    assert!(changed.contains("- id: first\n    use: cast"), "{changed}");
}

/// A text of settings in every style, with comments between them; each value with its path, and
/// where it stands.
fn text() -> impl Strategy<Value = (String, Vec<(String, Range<usize>)>)> {
    let scalar = prop_oneof![
        Just("plain".to_owned()),
        Just("'it''s'".to_owned()),
        Just("\"a \\\" # b\"".to_owned()),
        Just("-12".to_owned()),
        Just("été".to_owned()),
        Just("|\n    two\n    lines".to_owned()),
        Just(">-\n    folded\n    text".to_owned()),
    ];
    let comment = prop_oneof![Just(String::new()), Just("# note: {x: [y]}\n".to_owned())];
    let setting = (scalar, comment, 0..4_u8);
    prop::collection::vec(setting, 1..8).prop_map(|settings| {
        let (mut text, mut values) = (String::new(), Vec::new());
        for (at, (scalar, comment, style)) in settings.into_iter().enumerate() {
            text.push_str(&comment);
            let is_block = scalar.contains('\n');
            let (before, after, path) = match style {
                1 if !is_block => {
                    (format!("k{at}: {{x: 1, y: "), "}  # flow\n", format!("/k{at}/y"))
                }
                2 if !is_block => (format!("k{at}:\n  - first\n  - "), "\n", format!("/k{at}/1")),
                3 => (format!("k{at}:\n  inner: "), "\n  z: 1\n", format!("/k{at}/inner")),
                _ => (format!("k{at}: "), "\n", format!("/k{at}")),
            };
            text.push_str(&before);
            values.push((path, text.len()..text.len() + scalar.len()));
            text.push_str(&scalar);
            text.push_str(after);
        }
        (text, values)
    })
}

proptest! {
    /// Whatever is replaced by whatever: the other bytes stay, and the text means the new value.
    #[test]
    fn every_other_byte_stays(
        (text, values) in text(),
        which in any::<prop::sample::Index>(),
        new in prop_oneof![
            ".{0,12}".prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
            Just(Value::Null),
            Just(json!({"a": ["b c", {"d": 1.5}]})),
            "[a-z\n ]{0,20}".prop_map(Value::from),
        ],
    ) {
        let (path, place) = which.get(&values);
        let change = patch(PatchKind::Replace, path, new.clone());
        match patched("x", &text, &[change]) {
            Ok(changed) => {
                let before = Document::parse("x", &text).unwrap();
                let after = Document::parse("x", &changed).unwrap();
                let mut expected = before.value().clone();
                *expected.pointer_mut(path).unwrap() = new;
                prop_assert_eq!(after.value(), &expected);
                prop_assert!(changed.starts_with(&text[..place.start]), "{}", changed);
                prop_assert!(changed.ends_with(&text[place.end..]), "{}", changed);
            }
            // Characters that YAML keeps for itself.
            Err(problem) => {
                let is_odd = |c: char| c.is_control() || !c.is_ascii();
                let may_be = new.as_str().is_some_and(|text| text.contains(is_odd));
                prop_assert!(may_be, "{}: {} in\n{}", problem, new, text);
            }
        }
    }
}
