//! Links between documents lead somewhere.

use super::Finding;
use crate::repository::TextFile;
use std::collections::BTreeSet;

/// Checks the relative links of every Markdown file.
pub(super) fn check(files: &[TextFile], findings: &mut Vec<Finding>) {
    let paths: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    for file in files.iter().filter(|file| file.path.ends_with(".md")) {
        for (line, target) in targets(&file.text) {
            let Some(target) = resolve(&file.path, &target) else { continue };
            let folder = format!("{target}/");
            let exists = paths.contains(target.as_str())
                || paths.iter().any(|path| path.starts_with(&folder));
            if !exists {
                let place = format!("{}:{line}", file.path);
                findings
                    .push(Finding::new(place, format!("a link to `{target}`, which is not there")));
            }
        }
    }
}

/// Targets of `[text](target)` with their line, outside of code blocks.
fn targets(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut is_code = false;
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        }
        if is_code {
            continue;
        }
        for part in line.split("](").skip(1) {
            if let Some((target, _)) = part.split_once(')') {
                found.push((at + 1, target.to_owned()));
            }
        }
    }
    found
}

/// The path below the root that a link means; none for other sites and for places on the page.
fn resolve(from: &str, target: &str) -> Option<String> {
    let target = target.split('#').next().unwrap_or_default();
    if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> usize {
        let file = |path: &str, text: &str| TextFile { path: path.into(), text: text.into() };
        let files = [file("docs/a.md", text), file("docs/b/c.md", ""), file("README.md", "")];
        let mut findings = Vec::new();
        check(&files, &mut findings);
        findings.len()
    }

    #[test]
    fn links_to_files_and_folders_are_followed() {
        assert_eq!(findings("[c](b/c.md#part) [r](../README.md) [b](b) [w](https://x.org/y)"), 0);
        assert_eq!(findings("[gone](b/gone.md)\n```\n[code](nowhere)\n```\n"), 1);
    }
}
