//! One feature set: building a single crate beside `pins` must ask for no library in another way
//! than building everything does, or cargo compiles it (and all above it) a second time.

use super::Finding;
use crate::repository::{Metadata, cargo, output};
use anyhow::Result;
use std::collections::BTreeSet;
use std::path::Path;
use std::thread;

/// Compares `cargo tree` of each crate with that of the workspace.
pub(super) fn check(root: &Path, metadata: &Metadata, findings: &mut Vec<Finding>) -> Result<()> {
    let everything = tree(root, &["--workspace"])?;
    let members: Vec<String> = metadata.members().into_iter().collect();
    let trees: Vec<Result<BTreeSet<String>>> = thread::scope(|scope| {
        let started: Vec<_> = members
            .iter()
            .map(|name| scope.spawn(move || tree(root, &["-p", name, "-p", "pins"])))
            .collect();
        let joined = started.into_iter().map(|thread| thread.join());
        joined.map(|tree| tree.expect("reading a tree does not panic")).collect()
    });
    for (name, tree) in members.iter().zip(trees) {
        for library in tree?.difference(&everything) {
            let (package, features) = library.split_once('|').unwrap_or((library, ""));
            let message = format!(
                "alone, it takes `{package}` with other features than the workspace ({features}): \
                 name the missing ones in the root Cargo.toml"
            );
            findings.push(Finding::new(format!("crate {name}"), message));
        }
    }
    Ok(())
}

/// Lines `name version|features` of the outside libraries that a selection of packages builds.
fn tree(root: &Path, selection: &[&str]) -> Result<BTreeSet<String>> {
    let text = output(
        cargo(root)
            .args(["tree", "--offline", "--locked", "-e", "normal,build,dev"])
            .args(["-f", "{p}|{f}", "--prefix", "none"])
            .args(selection),
    )?;
    let lines = text.lines().map(|line| line.trim_end_matches(" (*)"));
    // Our own crates are printed with their folder.
    Ok(lines.filter(|line| !line.contains(" (/")).map(str::to_owned).collect())
}
