//! The repository as git and cargo see it: files, packages, who depends on whom.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder that holds the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}

/// A text file of the repository.
pub(crate) struct TextFile {
    /// Path below the root, with `/`.
    pub(crate) path: String,
    /// Content.
    pub(crate) text: String,
}

/// Every text file that git tracks or would track.
pub(crate) fn text_files(root: &Path) -> Result<Vec<TextFile>> {
    let listing = output(Command::new("git").current_dir(root).args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]))?;
    let paths: BTreeSet<&str> = listing.split('\0').filter(|path| !path.is_empty()).collect();
    let mut files = Vec::new();
    for path in paths {
        // A file that is deleted but not committed is still listed; a binary one is no text.
        if let Ok(bytes) = std::fs::read(root.join(path))
            && let Ok(text) = String::from_utf8(bytes)
        {
            files.push(TextFile { path: path.to_owned(), text });
        }
    }
    Ok(files)
}

/// What `cargo metadata` says.
#[derive(Deserialize)]
pub(crate) struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
    target_directory: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<NodeDependency>,
}

#[derive(Deserialize)]
struct NodeDependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    kind: Option<String>,
}

/// What a crate of ours imports of ours.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Imports {
    /// For its code.
    pub(crate) code: BTreeSet<String>,
    /// For its tests only.
    pub(crate) tests: BTreeSet<String>,
}

impl Metadata {
    /// Asks cargo, without touching the network or the lock file.
    pub(crate) fn load(root: &Path) -> Result<Self> {
        let arguments = ["metadata", "--format-version", "1", "--offline", "--locked"];
        let json = output(cargo(root).args(arguments).args(["--filter-platform", &host()?]))?;
        serde_json::from_str(&json).context("`cargo metadata` printed something unexpected")
    }

    /// Where cargo puts what it builds.
    pub(crate) fn target_directory(&self) -> &Path {
        &self.target_directory
    }

    /// Names of our own crates.
    pub(crate) fn members(&self) -> BTreeSet<String> {
        let members: BTreeSet<&String> = self.workspace_members.iter().collect();
        let ours = self.packages.iter().filter(|package| members.contains(&package.id));
        ours.map(|package| package.name.clone()).collect()
    }

    /// What each of our crates imports of ours.
    pub(crate) fn imports(&self) -> BTreeMap<String, Imports> {
        let members = self.members();
        let mut graph = BTreeMap::new();
        for package in self.packages.iter().filter(|package| members.contains(&package.name)) {
            let mut imports = Imports::default();
            for dependency in &package.dependencies {
                if !members.contains(&dependency.name) {
                    continue;
                }
                let dev = dependency.kind.as_deref() == Some("dev");
                let group = if dev { &mut imports.tests } else { &mut imports.code };
                group.insert(dependency.name.clone());
            }
            graph.insert(package.name.clone(), imports);
        }
        graph
    }

    /// Versions of a library in the build.
    pub(crate) fn versions(&self, name: &str) -> Vec<&str> {
        let named = self.packages.iter().filter(|package| package.name == name);
        named.map(|package| package.version.as_str()).collect()
    }

    /// Our crates that have a library of this name anywhere below them.
    pub(crate) fn crates_above(&self, library: &str) -> BTreeSet<String> {
        let ids: BTreeSet<&str> = self
            .packages
            .iter()
            .filter(|package| package.name == library)
            .map(|package| package.id.as_str())
            .collect();
        let mut above = ids;
        loop {
            let before = above.len();
            for node in &self.resolve.nodes {
                if node.deps.iter().any(|dep| dep.is_for_code() && above.contains(&*dep.pkg)) {
                    above.insert(&node.id);
                }
            }
            if above.len() == before {
                break;
            }
        }
        let members = self.members();
        let named = self.packages.iter().filter(|package| above.contains(&*package.id));
        named.map(|package| package.name.clone()).filter(|name| members.contains(name)).collect()
    }
}

impl NodeDependency {
    fn is_for_code(&self) -> bool {
        self.dep_kinds.iter().any(|kind| kind.kind.as_deref() != Some("dev"))
    }
}

/// The cargo that runs us, at the workspace.
pub(crate) fn cargo(root: &Path) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(root);
    command
}

fn host() -> Result<String> {
    let version = output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("`rustc -vV` does not name its host")
}

/// Runs a command and gives what it prints.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command.output().with_context(|| format!("cannot start {shown}"))?;
    if !output.status.success() {
        bail!("{shown} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
