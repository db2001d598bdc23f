//! Queries and refusals of `validate`.

use super::*;
use crate::testing::{one, problem, refused, sql};
use contracts::relational::CheckTest;
use serde_json::json;

const COLUMNS: &str = "id: integer; amount: decimal(9,2); day: date; code: string; _row: integer";

fn relation(config: Value) -> Relation {
    let config = model::yaml::read_value(&config).unwrap();
    Validate::query(&config, &one(COLUMNS)).unwrap()
}

/// The arguments of `row_errors`.
#[track_caller]
fn faults(check: Value) -> String {
    let query = relation(json!({"checks": [check]})).sql.to_string();
    let start = query.find("row_errors(").unwrap() + "row_errors(".len();
    let end = query.find(") AS \"_errors\"").unwrap();
    query[start..end].to_owned()
}

#[test]
fn a_row_test_needs_one_select() {
    assert_eq!(
        sql::<Validate>(r#"{"checks": [{"not_null": "id"}]}"#, &one("id: integer; _row: integer")),
        "SELECT *, row_record(\"_errors\", 'id', \"id\") AS \"_record\" FROM \
         (SELECT \"id\", \"_row\", row_errors((\"id\" IS NULL), 'id', \"id\", 'is missing') \
         AS \"_errors\" FROM \"rows\") AS t"
    );
}

#[test]
fn bounds_have_the_type_of_their_column() {
    assert_eq!(
        faults(json!({"range": {"amount": {"min": 0, "max": 1.5, "exclusive": true}}})),
        "(\"amount\" <= arrow_cast('0', 'Decimal128(9, 2)')), 'amount', \"amount\", \
         'is not more than 0', \
         (\"amount\" >= arrow_cast('1.5', 'Decimal128(9, 2)')), 'amount', \"amount\", \
         'is not less than 1.5'"
    );
    // A bound with more digits than the column is compared exactly, not rounded.
    assert!(
        faults(json!({"range": {"amount": {"max": 0.005}}}))
            .contains("arrow_cast('0.005', 'Decimal128(10, 3)')")
    );
    assert!(
        faults(json!({"range": {"amount": {"max": 1234567890123u64}}}))
            .contains("arrow_cast('1234567890123', 'Decimal128(15, 2)')")
    );
    assert!(faults(json!({"range": {"id": {"min": 1}}})).starts_with("(\"id\" < 1)"));
    assert!(
        faults(json!({"range": {"id": {"min": 0.5}}}))
            .contains("arrow_cast('0.5', 'Decimal128(2, 1)')")
    );
    assert!(
        faults(json!({"range": {"day": {"min": "2026-01-01"}}}))
            .starts_with("(\"day\" < CAST('2026-01-01' AS DATE))")
    );
}

#[test]
fn texts_are_tested_by_functions() {
    assert_eq!(
        faults(json!({"regex": {"code": "^it's"}})),
        "(NOT regex_matches(\"code\", '^it''s')), 'code', \"code\", 'does not match `^it''s`'"
    );
    assert_eq!(
        faults(json!({"length": {"code": {"min": 1, "max": 1}}})),
        "(character_length(\"code\") < 1), 'code', \"code\", 'is shorter than 1 character', \
         (character_length(\"code\") > 1), 'code', \"code\", 'is longer than 1 character'"
    );
    let many: Vec<u64> = (0..12).collect();
    assert!(faults(json!({"in_set": {"id": many}})).ends_with("`8`, `9` and 2 more'"));
}

#[test]
fn unique_numbers_the_rows_of_a_key() {
    let query = relation(json!({"checks": [{"unique": ["id", "code"], "order_by": "day desc"}]}));
    let query = query.sql.to_string();
    assert!(
        query.contains(
            "FROM (SELECT *, row_number() OVER (PARTITION BY \"id\", \"code\" ORDER BY \
             \"day\" DESC NULLS LAST, \"_row\" NULLS LAST) AS \"unique:1\" FROM \"rows\") AS \
             \"rows\""
        ),
        "{query}"
    );
    assert!(
        query.contains(
            "row_errors((\"unique:1\" > 1 AND \"id\" IS NOT NULL AND \"code\" IS NOT NULL), \
             'id, code', named_struct('id', \"id\", 'code', \"code\"), 'repeats an earlier row')"
        ),
        "{query}"
    );
}

#[test]
fn references_are_joined_to_distinct_keys() {
    let config = r#"{"checks": [
        {"references": {"column": "code", "table": "silver.shops", "key": "shop"}},
        {"references": {"column": "id", "table": "silver.orders"}}]}"#;
    let query = sql::<Validate>(config, &one("id: integer; code: string"));
    assert!(
        query.contains(
            "(SELECT \"rows\".*, k.\"reference:1\" FROM \"rows\" LEFT JOIN \
             (SELECT DISTINCT \"shop\" AS \"reference:1\" FROM \"silver\".\"shops\" \
             WHERE \"shop\" IS NOT NULL) AS k ON \"rows\".\"code\" = k.\"reference:1\") AS \
             \"rows\" \
             LEFT JOIN"
        ),
        "{query}"
    );
    assert!(query.contains("(\"id\" IS NOT NULL AND \"reference:2\" IS NULL)"), "{query}");
    assert!(query.contains("'is not in `shop` of `silver.shops`'"), "{query}");
    let config = model::yaml::read_value(&serde_json::from_str(config).unwrap()).unwrap();
    let tables: Vec<String> = Validate::tables(&config).iter().map(ToString::to_string).collect();
    assert_eq!(tables, ["silver.shops", "silver.orders"]);
}

#[test]
fn what_does_not_reject_is_noted() {
    let relation = relation(json!({"checks": [
        {"not_null": ["code"]},
        {"range": {"amount": {"min": 0, "max": 9}}, "severity": "warn"},
        {"expression": "amount > 1 or id = 2", "severity": "fail", "name": "big"},
        {"freshness": {"column": "day", "max_age": "2d"}, "severity": "warn"},
        {"row_count": {"min": 1}}
    ]}));
    let query = relation.sql.to_string();
    assert!(
        query.contains(
            "row_notes((\"amount\" < arrow_cast('0', 'Decimal128(9, 2)')) OR \
             (\"amount\" > arrow_cast('9', 'Decimal128(9, 2)')), 0, \
             (NOT ((amount > 1 OR id = 2))), 1) AS \"_notes\""
        ),
        "{query}"
    );
    let checks: Vec<_> = relation
        .checks
        .iter()
        .map(|check| (check.label.as_str(), check.severity, check.test == CheckTest::Noted))
        .collect();
    assert_eq!(
        checks,
        [
            ("range(amount)", Severity::Warn, true),
            ("big", Severity::Fail, true),
            ("freshness(day)", Severity::Warn, false),
            ("row_count", Severity::Fail, false),
        ]
    );
}

#[test]
fn without_notes_there_is_no_column_of_them() {
    assert!(!relation(json!({"checks": [{"not_null": "id"}]})).sql.to_string().contains("_notes"));
}

#[test]
fn mistakes_are_answered() {
    let inputs = one("id: integer; amount: decimal(9,2); code: string");
    let near = problem::<Validate>(r#"{"checks": [{"not_null": ["amout"]}]}"#, &inputs);
    assert_eq!(near.hint_text(), Some("did you mean `amount`?"));
    let refused = |config| refused::<Validate>(config, &inputs);
    for (config, expected) in [
        (r#"{"checks": []}"#, "/checks: there is no check"),
        (r#"{"checks": [{"severity": "warn"}]}"#, "/checks/0: the check tests nothing"),
        (
            r#"{"checks": [{"unique": "id"}]}"#,
            "/checks/0/order_by: the rows of `rows` have no order",
        ),
        (
            r#"{"checks": [{"not_null": "id", "order_by": "id"}]}"#,
            "/checks/0/order_by: `order_by` belongs to `unique`",
        ),
        (
            r#"{"checks": [{"range": {"code": {"min": 1}}}]}"#,
            "/checks/0/range/code/min: `code` is of type string, but it is compared with a number",
        ),
        (
            r#"{"checks": [{"range": {"amount": {"min": 2, "max": 1}}}]}"#,
            "/checks/0/range/amount: `min` 2 is more than `max` 1",
        ),
        (
            r#"{"checks": [{"range": {"amount": {}}}]}"#,
            "/checks/0/range/amount: the range has no bounds",
        ),
        (
            r#"{"checks": [{"regex": {"id": "1"}}]}"#,
            "/checks/0/regex/id: `id` is of type integer, but this check looks at texts",
        ),
        (
            r#"{"checks": [{"length": {"code": {"min": 3, "max": 2}}}]}"#,
            "/checks/0/length/code: no length fits these bounds",
        ),
        (
            r#"{"checks": [{"in_set": {"id": [1, "x"]}}]}"#,
            "/checks/0/in_set/id/1: `x` is not of type integer",
        ),
        (
            r#"{"checks": [{"in_set": {"id": [null]}}]}"#,
            "/checks/0/in_set/id/0: a missing value always passes",
        ),
        (
            r#"{"checks": [{"freshness": {"column": "id", "max_age": "1d"}}]}"#,
            "/checks/0/freshness/column: `id` is of type integer, but freshness looks at dates and \
             timestamps",
        ),
        (
            r#"{"checks": [{"row_count": {"min": 1}, "severity": "reject"}]}"#,
            "/checks/0/severity: `row_count` looks at all rows together and cannot reject one",
        ),
        (
            r#"{"checks": [{"expression": "amout > 1"}]}"#,
            "/checks/0/expression: `rows` has no column `amout`",
        ),
    ] {
        assert_eq!(refused(config), expected, "{config}");
    }
    assert!(
        refused(r#"{"checks": [{"regex": {"code": "("}}]}"#)
            .starts_with("/checks/0/regex/code: `(` is not a regular expression")
    );
    assert!(
        refused(r#"{"checks": [{"freshness": {"column": "id", "max_age": "soon"}}]}"#)
            .contains("`soon` is not a length of time such as `30m`, `12h` or `2d`")
    );
}
