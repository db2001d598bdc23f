//! Rust files: their first line, their length, their functions, their columns, and whether
//! anything refers to them.

use super::Finding;
use super::lexer::{Lexed, lex};
use super::ratchet::Measured;
use crate::repository::TextFile;
use std::collections::BTreeSet;

const COLUMNS_MAX: usize = 100;

/// Where environment variables may be read: the program's command line, chores and tests.
const ENVIRONMENT_READERS: &[&str] =
    &["crates/app/", "crates/testkit/", "tests/", "xtask/", "bench/"];

/// Checks every Rust file, and measures what has a limit.
pub(super) fn check(files: &[TextFile], findings: &mut Vec<Finding>) -> Measured {
    let mut measured = Measured::new();
    let mut reached = BTreeSet::new();
    let rust: Vec<&TextFile> = files.iter().filter(|file| file.path.ends_with(".rs")).collect();
    for file in &rust {
        let lexed = lex(&file.text);
        let tests_from = tests_begin(&lexed);
        check_head(file, findings);
        check_environment(&file.path, &lexed, tests_from, findings);
        reached.extend(modules(&file.path, &lexed));
        measure(&file.path, &lexed, tests_from, &mut measured);
    }
    for file in &rust {
        let name = file.path.rsplit('/').next().unwrap_or_default();
        let is_root = ["main.rs", "lib.rs", "build.rs"].contains(&name)
            || ["/tests/", "/examples/", "/benches/"]
                .iter()
                .any(|folder| file.path.contains(folder) && !file.path.contains("/src/"))
            || file.path.contains("fuzz_targets/");
        if !is_root && !reached.contains(&file.path) {
            findings.push(Finding::new(&file.path, "no `mod` leads to this file"));
        }
    }
    measured
}

fn check_head(file: &TextFile, findings: &mut Vec<Finding>) {
    if !file.text.starts_with("//! ") {
        let message = "the first line is not `//!` with a sentence saying what the file is for";
        findings.push(Finding::new(&file.path, message));
    }
}

fn check_environment(path: &str, lexed: &Lexed, tests_from: usize, findings: &mut Vec<Finding>) {
    if ENVIRONMENT_READERS.iter().any(|folder| path.starts_with(folder)) || is_test_file(path) {
        return;
    }
    for (at, line) in lexed.code.iter().enumerate().take(tests_from) {
        if line.contains("env::var") {
            let message = "only `app` and tests read environment variables: pass the value down";
            findings.push(Finding::new(format!("{path}:{}", at + 1), message));
        }
    }
}

/// Files that the `mod name;` of a file lead to; both places a module can live in are named.
fn modules(path: &str, lexed: &Lexed) -> Vec<String> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let own_folder = match name {
        "main.rs" | "lib.rs" | "mod.rs" => folder.to_owned(),
        _ => format!("{folder}/{}", name.trim_end_matches(".rs")),
    };
    let mut found = Vec::new();
    for line in &lexed.code {
        let line = line.trim();
        let Some(at) = line.find("mod ").filter(|at| *at == 0 || line.starts_with("pub")) else {
            continue;
        };
        if let Some(module) = line[at + 4..].strip_suffix(';') {
            found.push(format!("{own_folder}/{module}.rs"));
            found.push(format!("{own_folder}/{module}/mod.rs"));
        }
    }
    found
}

fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs")
        || path.ends_with("/testing.rs")
        || path.contains("/tests/")
        || path.starts_with("tests/")
}

/// The index of the first line of the tests that stand at the end of a file.
fn tests_begin(lexed: &Lexed) -> usize {
    let lines = &lexed.code;
    let begins = |at: usize| {
        lines[at].trim() == "#[cfg(test)]"
            && lines[at + 1..]
                .iter()
                .take(3)
                .any(|line| line.contains("mod ") && line.contains('{'))
    };
    (0..lines.len()).find(|at| begins(*at)).unwrap_or(lines.len())
}

fn measure(path: &str, lexed: &Lexed, tests_from: usize, measured: &mut Measured) {
    if !is_test_file(path) {
        let lines = u32::try_from(tests_from).unwrap_or(u32::MAX);
        measured.entry("files").or_default().insert(path.to_owned(), lines);
    }
    let is_long = |line: &&String| line.chars().count() > COLUMNS_MAX && !line.contains("https://");
    let long = lexed.without_texts.iter().filter(is_long).count();
    if long > 0 {
        let long = u32::try_from(long).unwrap_or(u32::MAX);
        measured.entry("columns").or_default().insert(path.to_owned(), long);
    }
    for (name, lines) in functions(&lexed.code.join("\n")) {
        let place = format!("{path}::{name}");
        let longest = measured.entry("functions").or_default().entry(place).or_default();
        *longest = lines.max(*longest);
    }
}

/// Functions with a body: name and number of lines from `fn` to the closing brace.
fn functions(code: &str) -> Vec<(String, u32)> {
    let bytes = code.as_bytes();
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        if at > 0 && is_word(bytes[at - 1]) {
            continue;
        }
        let name: String = code[at + 3..]
            .chars()
            .take_while(|char| char.is_alphanumeric() || *char == '_')
            .collect();
        if let (false, Some(end)) = (name.is_empty(), body_end(&bytes[at..])) {
            let lines = bytes[at..at + end].iter().filter(|byte| **byte == b'\n').count() + 1;
            found.push((name, u32::try_from(lines).unwrap_or(u32::MAX)));
        }
    }
    found
}

/// The length up to the brace that closes the first body; none when `;` comes first.
fn body_end(code: &[u8]) -> Option<usize> {
    let mut depth = 0u32;
    let mut braces = 0u32;
    for (at, byte) in code.iter().enumerate() {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b'{' => braces += 1,
            b'}' if braces == 1 => return Some(at),
            b'}' => braces = braces.saturating_sub(1),
            b';' if depth == 0 && braces == 0 => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_measured_to_their_closing_brace() {
        let code = "fn a() {\n  if x {\n  }\n}\ntrait T { fn b(x: [u8; 2]) -> u8; }\n\
                    fn c<T: Fn(u8)>(f: fn(u8)) -> T { f }";
        assert_eq!(functions(code), [("a".to_owned(), 4), ("c".to_owned(), 1)]);
    }

    #[test]
    fn modules_live_beside_or_below() {
        let lexed = lex("pub mod a;\n    mod b;\npub(crate) mod c;\nmod d { }\n// mod e;");
        let found = modules("crates/x/src/y.rs", &lexed);
        assert_eq!(found.iter().filter(|path| path.ends_with("/mod.rs")).count(), 3);
        assert!(found.contains(&"crates/x/src/y/c.rs".to_owned()));
    }

    #[test]
    fn tests_at_the_end_do_not_count() {
        let lexed = lex("//! a\nfn x() {}\n#[cfg(test)]\nmod tests {\n}\n");
        assert_eq!(tests_begin(&lexed), 2);
        assert_eq!(tests_begin(&lex("#[cfg(test)]\nmod tests;\nfn x() {}\n")), 3);
    }

    #[test]
    fn a_file_nobody_names_is_found() {
        let file = |path: &str, text: &str| TextFile { path: path.into(), text: text.into() };
        let files = [
            file("crates/x/src/lib.rs", "//! a\nmod b;\n"),
            file("crates/x/src/b.rs", "//! b\n"),
            file("crates/x/src/c.rs", "//! c\n"),
        ];
        let mut findings = Vec::new();
        check(&files, &mut findings);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].to_string().starts_with("crates/x/src/c.rs"));
    }
}
