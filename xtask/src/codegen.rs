//! Generated files: the program writes its own reference, and it is committed to be reviewed.
//!
//! `affluent docs generate DIR` is the one generator; here its files are put in place or compared.

use crate::repository::{Metadata, cargo, output};
use crate::tidy::Finding;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where generated files stand; nothing else may stand there.
const GENERATED: &str = "docs/src/reference";

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Writes everything generated, and removes what is generated no more.
pub(crate) fn write(root: &Path) -> Result<()> {
    let fresh = generate(root)?;
    let folder = root.join(GENERATED);
    for path in read_files(&folder)?.keys().filter(|path| !fresh.contains_key(*path)) {
        fs::remove_file(folder.join(path))?;
    }
    for (path, bytes) in &fresh {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap_or(&folder))?;
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// What is not as the program would write it today.
pub(crate) fn check(root: &Path) -> Result<Vec<Finding>> {
    Ok(compare(&generate(root)?, &read_files(&root.join(GENERATED))?))
}

fn compare(fresh: &Files, committed: &Files) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |path: &Path, message: &str| {
        let place = Path::new(GENERATED).join(path);
        findings.push(Finding::new(place.display(), format!("{message}: `cargo xtask codegen`")));
    };
    for (path, bytes) in fresh {
        match committed.get(path) {
            None => find(path, "is not committed"),
            Some(committed) if committed != bytes => find(path, "is stale"),
            Some(_) => {}
        }
    }
    for path in committed.keys().filter(|path| !fresh.contains_key(*path)) {
        find(path, "is generated no more");
    }
    findings
}

fn generate(root: &Path) -> Result<Files> {
    let folder = std::env::temp_dir().join(format!("affluent-codegen-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let result = build(root)
        .and_then(|program| output(Command::new(program).args(["docs", "generate"]).arg(&folder)))
        .and_then(|_| read_files(&folder));
    fs::remove_dir_all(&folder)?;
    result
}

/// Builds the program with the features of the whole workspace, and says where it is.
fn build(root: &Path) -> Result<PathBuf> {
    output(cargo(root).args(["build", "--quiet", "-p", "app", "-p", "pins", "--bin", "affluent"]))?;
    Ok(Metadata::load(root)?.target_directory().join("debug/affluent"))
}

/// Every file below a folder; none when there is no such folder.
fn read_files(folder: &Path) -> Result<Files> {
    let mut files = Files::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        let Ok(entries) = fs::read_dir(&next) else { continue };
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.strip_prefix(folder)?.to_owned(), fs::read(&path)?);
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_missing_and_leftover_files_are_found() {
        let files = |of: &[(&str, &str)]| -> Files {
            of.iter().map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec())).collect()
        };
        let fresh = files(&[("same.md", "a"), ("stale.md", "b"), ("new.md", "c")]);
        let committed = files(&[("same.md", "a"), ("stale.md", "old"), ("left.md", "d")]);
        let found: Vec<String> =
            compare(&fresh, &committed).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found.iter().all(|line| line.starts_with(GENERATED)));
    }
}
