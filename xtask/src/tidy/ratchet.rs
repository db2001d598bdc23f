//! Limits with a list of today's exceptions that may only shrink: `xtask/ratchet.toml`.

use super::Finding;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

const LIST: &str = "xtask/ratchet.toml";
const HEAD: &str = "# What is over a limit of STYLE.md today. Entries may only shrink:\n\
                    # `cargo xtask tidy --shrink` takes over what has become better.\n";

/// A limit: its section in the list, the most that needs no exception, and what is counted.
const LIMITS: &[(&str, u32, &str)] = &[
    ("functions", 70, "lines in one function"),
    ("files", 500, "lines without tests"),
    ("columns", 0, "lines of more than 100 columns"),
];

/// Section → what was measured → how much of it.
pub(super) type Measured = BTreeMap<&'static str, BTreeMap<String, u32>>;

/// Compares what was measured with limits and exceptions.
pub(super) fn check(root: &Path, measured: &Measured, findings: &mut Vec<Finding>) -> Result<()> {
    let text = std::fs::read_to_string(root.join(LIST)).with_context(|| format!("no {LIST}"))?;
    compare(measured, &read(&text)?, findings);
    Ok(())
}

/// Takes over what has become better.
pub(super) fn shrink(root: &Path, measured: &Measured) -> Result<()> {
    let path = root.join(LIST);
    let text = std::fs::read_to_string(&path).with_context(|| format!("no {LIST}"))?;
    std::fs::write(&path, shrunk(measured, &read(&text)?))?;
    Ok(())
}

fn read(text: &str) -> Result<BTreeMap<String, BTreeMap<String, u32>>> {
    let mut sections: BTreeMap<String, BTreeMap<String, u32>> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            name.clone_into(&mut current);
            continue;
        }
        let (key, value) =
            line.split_once(" = ").with_context(|| format!("{LIST}: `{line}` is no entry"))?;
        let value = value.parse().with_context(|| format!("{LIST}: `{value}` is no number"))?;
        let section = sections.entry(current.clone()).or_default();
        section.insert(key.trim_matches('"').to_owned(), value);
    }
    Ok(sections)
}

fn compare(
    measured: &Measured,
    exceptions: &BTreeMap<String, BTreeMap<String, u32>>,
    findings: &mut Vec<Finding>,
) {
    for (section, limit, what) in LIMITS {
        let measured = measured.get(section).cloned().unwrap_or_default();
        let exceptions = exceptions.get(*section).cloned().unwrap_or_default();
        for (place, value) in &measured {
            match exceptions.get(place) {
                None if value > limit => {
                    let message = format!("{value} {what}, {limit} is the limit");
                    findings.push(Finding::new(place, message));
                }
                Some(allowed) if value > allowed => {
                    let message = format!("{value} {what}, there were {allowed}: may only shrink");
                    findings.push(Finding::new(place, message));
                }
                _ => {}
            }
        }
        for (place, allowed) in &exceptions {
            let value = measured.get(place).copied().unwrap_or(0);
            if value < *allowed {
                let message = format!(
                    "{place} has {value} {what} instead of {allowed} now: \
                     `cargo xtask tidy --shrink` notes it"
                );
                findings.push(Finding::new(LIST, message));
            }
        }
    }
}

fn shrunk(measured: &Measured, exceptions: &BTreeMap<String, BTreeMap<String, u32>>) -> String {
    let mut text = HEAD.to_owned();
    for (section, limit, _) in LIMITS {
        let _ = write!(text, "\n[{section}]\n");
        for (place, allowed) in exceptions.get(*section).into_iter().flatten() {
            let value = measured.get(section).and_then(|places| places.get(place)).copied();
            let value = value.unwrap_or(0).min(*allowed);
            if value > *limit {
                let _ = writeln!(text, "\"{place}\" = {value}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(of: &[(&str, u32)]) -> Measured {
        let places = of.iter().map(|(place, value)| ((*place).to_owned(), *value)).collect();
        [("files", places)].into_iter().collect()
    }

    fn findings(of: &[(&str, u32)]) -> usize {
        let exceptions = read("# text\n[files]\n\"old.rs\" = 600\n").unwrap();
        let mut findings = Vec::new();
        compare(&measured(of), &exceptions, &mut findings);
        findings.len()
    }

    #[test]
    fn an_exception_may_neither_grow_nor_stay_behind() {
        assert_eq!(findings(&[("old.rs", 600), ("fine.rs", 500)]), 0);
        assert_eq!(findings(&[("old.rs", 601)]), 1);
        assert_eq!(findings(&[("old.rs", 599)]), 1);
        assert_eq!(findings(&[("old.rs", 600), ("new.rs", 501)]), 1);
    }

    #[test]
    fn shrinking_takes_nothing_new_in() {
        let exceptions = read("[files]\n\"old.rs\" = 600\n\"gone.rs\" = 700\n").unwrap();
        let text = shrunk(&measured(&[("old.rs", 550), ("new.rs", 900)]), &exceptions);
        assert!(text.contains("\"old.rs\" = 550") && !text.contains("new.rs"));
        assert!(!text.contains("gone.rs"));
    }
}
