//! Floors: the table in ARCHITECTURE.md is the crate graph, and imports only go down.

use super::Finding;
use crate::repository::{Imports, Metadata};
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const TABLE: &str = "ARCHITECTURE.md";
const HEAD: &str = "| Floor | Crate |";

/// A row of the table.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    floor: u32,
    imports: BTreeSet<String>,
}

/// Compares the table with the crate graph.
pub(super) fn check(root: &Path, metadata: &Metadata, findings: &mut Vec<Finding>) -> Result<()> {
    let text = std::fs::read_to_string(root.join(TABLE))
        .with_context(|| format!("{TABLE} with the table of floors is missing"))?;
    compare(&read_table(&text)?, &metadata.imports(), findings);
    Ok(())
}

/// Rows of the form `| 2 | `contracts` | what it is for | `model`, `stdx` |`.
fn read_table(text: &str) -> Result<BTreeMap<String, Row>> {
    let lines = text.lines().skip_while(|line| !line.starts_with(HEAD)).skip(2);
    let mut rows = BTreeMap::new();
    for line in lines.take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [floor, name, .., imports] = cells.as_slice() else {
            anyhow::bail!("`{line}` in {TABLE} is not a row of the table of floors");
        };
        let floor = floor.parse().with_context(|| format!("`{floor}` is not a floor"))?;
        let row = Row { floor, imports: names(imports) };
        rows.insert(name.trim_matches('`').to_owned(), row);
    }
    anyhow::ensure!(!rows.is_empty(), "{TABLE} has no table that begins with `{HEAD}`");
    Ok(rows)
}

fn names(cell: &str) -> BTreeSet<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn compare(
    table: &BTreeMap<String, Row>,
    graph: &BTreeMap<String, Imports>,
    findings: &mut Vec<Finding>,
) {
    for name in table.keys().filter(|name| !graph.contains_key(*name)) {
        findings.push(Finding::new(TABLE, format!("lists `{name}`, which is no crate here")));
    }
    for (name, imports) in graph {
        let Some(row) = table.get(name) else {
            findings.push(Finding::new(TABLE, format!("does not say on which floor `{name}` is")));
            continue;
        };
        if row.imports != imports.code {
            let found: Vec<String> = imports.code.iter().map(|name| format!("`{name}`")).collect();
            let found = if found.is_empty() { "–".to_owned() } else { found.join(", ") };
            let message = format!("`{name}` imports {found}, which is not what its row says");
            findings.push(Finding::new(TABLE, message));
        }
        for below in imports.code.iter().chain(&imports.tests) {
            if table.get(below).is_some_and(|below| below.floor >= row.floor) {
                let message = format!("imports `{below}`, which is not on a lower floor");
                findings.push(Finding::new(format!("crate {name}"), message));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "text\n\n| Floor | Crate | What | Imports |\n|--:|--|--|--|\n\
                        | 0 | `low` | a | – |\n| 1 | `high` | b | `low` |\n\nmore";

    fn graph(of: &[(&str, &[&str])]) -> BTreeMap<String, Imports> {
        let imports = |names: &[&str]| Imports {
            code: names.iter().map(|name| (*name).to_owned()).collect(),
            tests: BTreeSet::new(),
        };
        of.iter().map(|(name, names)| ((*name).to_owned(), imports(names))).collect()
    }

    fn findings(graph: &BTreeMap<String, Imports>) -> Vec<String> {
        let mut findings = Vec::new();
        compare(&read_table(TEXT).unwrap(), graph, &mut findings);
        findings.iter().map(Finding::to_string).collect()
    }

    #[test]
    fn a_true_table_passes() {
        assert!(findings(&graph(&[("low", &[]), ("high", &["low"])])).is_empty());
    }

    #[test]
    fn an_import_upwards_is_found() {
        let found = findings(&graph(&[("low", &["high"]), ("high", &["low"])]));
        assert_eq!(found.len(), 2);
        assert!(found[1].contains("not on a lower floor"), "{found:?}");
    }

    #[test]
    fn a_crate_without_row_and_a_row_without_crate_are_found() {
        let found = findings(&graph(&[("low", &[]), ("new", &[])]));
        assert_eq!(found.len(), 2, "{found:?}");
    }
}
