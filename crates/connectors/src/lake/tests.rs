//! Tests of the lake modules against a store that only remembers what it was asked.

use super::*;
use contracts::Build;
use contracts::testing::check;
use serde_json::{Value, json};

fn problem(config: Value) -> String {
    let Build::Sink(build) = Entry::sink::<write_table::WriteTable>().build else { unreachable!() };
    build(&config).map(drop).unwrap_err().1.message().to_owned()
}

#[test]
fn modules_hold_to_the_rules() {
    check(ALL);
}

#[test]
fn settings_that_do_not_go_together_are_refused() {
    let merge = json!({"table": "silver.a", "mode": "merge"});
    assert_eq!(problem(merge), "the mode `merge` needs a `key`");
    let replace = json!({"table": "silver.a", "mode": "replace_partitions"});
    assert_eq!(problem(replace), "the mode `replace_partitions` needs `partition_by`");
    let append = json!({"table": "silver.a", "key": "id"});
    assert_eq!(problem(append), "`key` has no meaning in the mode `append`");
    let twice = json!({"table": "silver.a", "mode": "merge", "key": ["id", "id"]});
    assert_eq!(problem(twice), "`key` names the column `id` twice");
    let mode = json!({"table": "silver.a", "mode": "upsert"});
    assert_eq!(problem(mode), "`upsert` is not one of the choices for `mode`");
}
