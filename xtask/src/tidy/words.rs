//! Words that must not stay: unfinished work, dead code, hosts and paths of one machine.

use super::Finding;
use super::lexer::lex;
use crate::repository::TextFile;

/// Macros that mark unfinished work, with what to do instead.
const MACROS: &[(&str, &str)] = &[
    ("todo!", "finish it"),
    ("unimplemented!", "finish it, or return a `Problem`"),
    ("dbg!", "take it out, or use `tracing`"),
];

/// Notes that belong into an issue.
const NOTES: &[&str] = &["FIXME", "TODO", "XXX"];

/// What makes a tree work on one machine only.
const MACHINE: &[(&str, &str)] = &[
    ("/root/", "a path of one machine"),
    ("/Users/", "a path of one machine"),
    ("/tmp/bash", "a path of one machine"),
    ("index-url", "a package index of one machine"),
    ("find-links", "a package index of one machine"),
    ("replace-with", "a package index of one machine"),
];

/// Checks every text file.
pub(super) fn check(files: &[TextFile], findings: &mut Vec<Finding>) {
    for file in files.iter().filter(|file| file.path != "xtask/src/tidy/words.rs") {
        check_machine(file, findings);
        if file.path.ends_with(".rs") {
            check_rust(file, findings);
        }
    }
}

fn check_machine(file: &TextFile, findings: &mut Vec<Finding>) {
    for (at, line) in file.text.lines().enumerate() {
        for (word, why) in MACHINE {
            if begins_there(line, word) {
                let place = format!("{}:{}", file.path, at + 1);
                findings.push(Finding::new(place, format!("`{word}` is {why}")));
            }
        }
    }
}

/// Whether `word` stands in `line` and is not the middle of a longer path.
fn begins_there(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|char| char.is_alphanumeric() || "_-./~}>".contains(char))
    })
}

fn check_rust(file: &TextFile, findings: &mut Vec<Finding>) {
    let lexed = lex(&file.text);
    for (at, line) in lexed.code.iter().enumerate() {
        for (word, instead) in MACROS {
            if line.contains(word) {
                let place = format!("{}:{}", file.path, at + 1);
                findings.push(Finding::new(place, format!("`{word}`: {instead}")));
            }
        }
    }
    for (line, comment) in &lexed.comments {
        let place = format!("{}:{line}", file.path);
        let is_note =
            |word: &&&str| comment.split(|char: char| !char.is_alphanumeric()).any(|w| w == **word);
        if let Some(word) = NOTES.iter().find(is_note) {
            findings.push(Finding::new(place, format!("`{word}`: do it now, or open an issue")));
        } else if is_code(comment) {
            findings.push(Finding::new(place, "code in a comment: git remembers it"));
        }
    }
}

/// Whether a comment looks like a statement that somebody switched off.
fn is_code(comment: &str) -> bool {
    // `///` and `//!` are documentation, whose examples are code.
    if comment.starts_with(['/', '!']) {
        return false;
    }
    let comment = comment.trim();
    let ends = comment.ends_with(';') || comment.ends_with('{');
    let begins = ["let ", "pub ", "fn ", "use ", "impl ", "if ", "for ", "return", "self.", "}"];
    let first = comment.split(' ').next().unwrap_or_default();
    let is_call = first.find(['(', '.', '!']).is_some_and(|at| at > 0);
    ends && (is_call || begins.iter().any(|word| comment.starts_with(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<String> {
        let mut findings = Vec::new();
        check(&[TextFile { path: path.into(), text: text.into() }], &mut findings);
        findings.iter().map(Finding::to_string).collect()
    }

    #[test]
    fn unfinished_work_is_found_in_code_and_not_in_texts() {
        assert_eq!(findings("a.rs", "fn f() { todo!() }").len(), 1);
        assert!(findings("a.rs", "const A: &str = \"todo!\";").is_empty());
        assert_eq!(findings("a.rs", "// FIXME later").len(), 1);
    }

    #[test]
    fn switched_off_code_is_told_from_prose() {
        assert_eq!(findings("a.rs", "// let a = b(c);\n//     run(a)?;").len(), 2);
        assert!(
            findings("a.rs", "// Sorted first; then cut.\n/// f(a);\n// (see above);").is_empty()
        );
    }

    #[test]
    fn paths_of_one_machine_are_found() {
        assert_eq!(findings("README.md", "see /root/x").len(), 1);
        assert!(findings("README.md", "https://a.b/work/c and data/work/x").is_empty());
    }
}
