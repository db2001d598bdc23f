//! Outside libraries: who may have which below them, and how often one may be there.

use super::Finding;
use crate::repository::Metadata;
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::path::Path;

/// Libraries of which two versions would mean two incompatible worlds.
const ONE_VERSION: &[&str] =
    &["arrow", "datafusion", "deltalake-core", "object_store", "parquet", "sqlparser"];

/// Libraries that only some crates may have anywhere below them, so that the others compile
/// without them.
const CONFINED: &[(&[&str], &[&str])] =
    &[(&["datafusion", "deltalake", "deltalake-core"], &["lakehouse", "query", "app", "pins"])];

/// Checks versions, confinement and the list of pins.
pub(super) fn check(root: &Path, metadata: &Metadata, findings: &mut Vec<Finding>) -> Result<()> {
    check_versions(metadata, findings);
    check_confinement(metadata, findings);
    check_sources(root, findings)?;
    check_pins(root, findings)
}

fn check_versions(metadata: &Metadata, findings: &mut Vec<Finding>) {
    for library in ONE_VERSION {
        let versions = metadata.versions(library);
        if versions.len() > 1 {
            let message = format!("`{library}` is there as {}", versions.join(" and "));
            findings.push(Finding::new("Cargo.lock", message));
        }
    }
}

fn check_confinement(metadata: &Metadata, findings: &mut Vec<Finding>) {
    for (libraries, allowed) in CONFINED {
        for library in *libraries {
            for name in metadata.crates_above(library) {
                if !allowed.contains(&name.as_str()) {
                    let message = format!("has `{library}` below it, which is for {allowed:?}");
                    findings.push(Finding::new(format!("crate {name}"), message));
                }
            }
        }
    }
}

/// Every library comes from the public registry: nothing from git, nothing from a mirror.
fn check_sources(root: &Path, findings: &mut Vec<Finding>) -> Result<()> {
    let lock = std::fs::read_to_string(root.join("Cargo.lock")).context("no Cargo.lock")?;
    let public = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
    for (at, line) in lock.lines().enumerate() {
        if line.starts_with("source = ") && line != public {
            let place = format!("Cargo.lock:{}", at + 1);
            findings.push(Finding::new(place, "a library that is not from the public registry"));
        }
    }
    Ok(())
}

fn check_pins(root: &Path, findings: &mut Vec<Finding>) -> Result<()> {
    let read = |path: &str| {
        std::fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"))
    };
    let wanted = outside_names(&read("Cargo.toml")?, "[workspace.dependencies]");
    let pinned = outside_names(&read("crates/pins/Cargo.toml")?, "[dependencies]");
    for name in wanted.difference(&pinned) {
        let message = format!("`{name}.workspace = true` is missing, see docs/adr/0002");
        findings.push(Finding::new("crates/pins/Cargo.toml", message));
    }
    for name in pinned.difference(&wanted) {
        let message = format!("`{name}` is not in the workspace's list");
        findings.push(Finding::new("crates/pins/Cargo.toml", message));
    }
    Ok(())
}

/// Names in a section of a manifest, without our own crates.
fn outside_names(manifest: &str, section: &str) -> BTreeSet<String> {
    let lines = manifest.lines().skip_while(|line| *line != section).skip(1);
    lines
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.starts_with('#') && !line.contains("path = \"crates/"))
        .filter_map(|line| line.split_once('='))
        .map(|(key, _)| key.trim().trim_end_matches(".workspace").to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_from_their_section_only() {
        let manifest = "[a]\nx = 1\n[dependencies]\n# no = 1\nours = { path = \"crates/o\" }\n\
                        arrow = \"1\"\nserde.workspace = true\n\n[b]\ny = 1\n";
        let names = outside_names(manifest, "[dependencies]");
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["arrow", "serde"]);
    }
}
