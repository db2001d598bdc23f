//! `changes/`: one fragment per change that users notice.

use super::Finding;
use crate::repository::TextFile;

const FOLDER: &str = "changes/";
const KINDS: &[&str] = &["added", "changed", "fixed", "removed"];

/// Checks names and form of the fragments.
pub(super) fn check(files: &[TextFile], findings: &mut Vec<Finding>) {
    let mut there = files.iter().filter(|file| file.path.starts_with(FOLDER)).peekable();
    if there.peek().is_none() {
        findings.push(Finding::new(FOLDER, "the folder for change notes is missing"));
    }
    for file in there.filter(|file| file.path != "changes/README.md") {
        if let Some(message) = fault(&file.path[FOLDER.len()..], &file.text) {
            findings.push(Finding::new(&file.path, message));
        }
    }
}

fn fault(name: &str, text: &str) -> Option<String> {
    let parts: Vec<&str> = name.split('.').collect();
    let [slug, kind, "md"] = parts.as_slice() else {
        return Some("the name is not `what-changed.KIND.md`".to_owned());
    };
    let is_slug_char =
        |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-';
    if slug.is_empty() || !slug.chars().all(is_slug_char) {
        return Some("the name is not lower-case words joined by `-`".to_owned());
    }
    if !KINDS.contains(kind) {
        return Some(format!("`{kind}` is not one of {}", KINDS.join(", ")));
    }
    let text = text.trim();
    let is_sentence = text.ends_with('.') && text.starts_with(|char: char| !char.is_lowercase());
    let is_paragraph = !text.contains("\n\n") && !text.starts_with('#');
    (!is_sentence || !is_paragraph)
        .then(|| "a fragment is one paragraph: a capital, a fact for users, a full stop".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_is_a_named_paragraph() {
        assert_eq!(fault("csv-headers.fixed.md", "Headers keep their order.\n"), None);
        assert!(fault("csv-headers.md", "Headers keep their order.").is_some());
        assert!(fault("csv-headers.better.md", "Headers keep their order.").is_some());
        assert!(fault("csv-headers.fixed.md", "headers").is_some());
    }
}
