//! Tests of made-up rows.

use super::*;
use contracts::rows;
use serde_json::json;

fn source(config: Value) -> Result<GenerateSource> {
    GenerateSource::new(&serde_json::from_value(config).unwrap())
}

fn all(source: &GenerateSource) -> Vec<RecordBatch> {
    (0..source.rows.div_ceil(BATCH_ROWS)).map(|at| source.plan.batch(at).unwrap()).collect()
}

fn every_kind() -> Value {
    let kinds = [
        "integer",
        "decimal",
        "float",
        "boolean",
        "date",
        "timestamp",
        "sequence",
        "uuid",
        "first_name",
        "last_name",
        "full_name",
        "email",
        "phone",
        "company",
        "street",
        "city",
        "postal_code",
        "country",
        "country_code",
        "product",
        "text",
    ];
    kinds.iter().map(|kind| ((*kind).to_owned(), json!({"kind": kind}))).collect()
}

#[test]
fn the_same_seed_gives_the_same_rows() {
    let make = |seed: u64| {
        let config = json!({"rows": 20_000, "seed": seed, "columns": every_kind()});
        rows::write(&all(&source(config).unwrap())).unwrap()
    };
    let text = make(1);
    assert_eq!(text, make(1));
    assert_ne!(text, make(2));
    // Pinned: another number here means that everybody's made-up data changes.
    assert_eq!(stable_hash(text.as_bytes()), PINNED, "first row: {}", text.lines().next().unwrap());
}

const PINNED: u64 = 7_217_159_154_377_505_100;

#[test]
fn limits_weights_and_missing_values_are_kept_to() {
    let config = json!({"rows": 20_000, "columns": {
        "n": {"kind": "integer", "min": -3, "max": 3},
        "d": {"kind": "decimal", "min": 0.5, "max": 1.5, "scale": 1, "null_rate": 0.25},
        "c": {"kind": "choice", "values": ["a", "b"], "weights": [9, 1]},
        "day": {"kind": "date", "min": "2024-02-28", "max": "2024-03-01"},
        "id": {"kind": "sequence", "min": 10, "step": 5}
    }});
    let text = rows::write(&all(&source(config).unwrap())).unwrap();
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let count = |test: &dyn Fn(&Value) -> bool| rows.iter().filter(|row| test(row)).count();
    for n in -3..=3 {
        let found = count(&|row| row["n"] == n);
        assert!((2500..3200).contains(&found), "{n}: {found}");
    }
    assert!((4700..5300).contains(&count(&|row| row["d"].is_null())));
    assert!((1800..2200).contains(&count(&|row| row["c"] == "b")));
    assert!(count(&|row| row["day"] == "2024-02-29") > 6000);
    assert_eq!(count(&|row| row["day"] == "2024-03-02"), 0);
    assert_eq!(rows[19_999]["id"], 10 + 5 * 19_999);
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let problem = |column: Value| {
        let config = json!({"rows": 1, "columns": {"c": column}});
        source(config).map(drop).unwrap_err().message().to_owned()
    };
    assert_eq!(problem(json!({"kind": "choice"})), "the choice `c` has no `values`");
    assert_eq!(
        problem(json!({"kind": "integer", "values": [1]})),
        "`values` has no meaning for the kind of `c`"
    );
    assert_eq!(
        problem(json!({"kind": "date", "min": "31/01/2026"})),
        "`31/01/2026` is not a limit for `c`"
    );
    assert_eq!(
        problem(json!({"kind": "integer", "min": 3, "max": 2})),
        "nothing lies between `min` and `max` of `c`"
    );
    assert_eq!(problem(json!({"kind": "decimal", "max": 1.234})), "`1.234` is not a limit for `c`");
}
