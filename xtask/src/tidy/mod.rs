//! Rules of the house that compilers do not check; ARCHITECTURE.md and STYLE.md say why.

mod changes;
mod externals;
mod features;
mod floors;
mod lexer;
mod links;
mod ratchet;
mod source;
mod words;

use crate::repository::{Metadata, text_files};
use anyhow::Result;
use std::fmt::{self, Display};
use std::path::Path;

/// Something to put right.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    place: String,
    message: String,
}

impl Finding {
    /// Something about `place`: a path, `path:line`, or a name.
    pub(crate) fn new(place: impl Display, message: impl Into<String>) -> Self {
        Self { place: place.to_string(), message: message.into() }
    }
}

impl Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// Everything there is to put right, sorted by place.
pub(crate) fn check(root: &Path) -> Result<Vec<Finding>> {
    let files = text_files(root)?;
    let metadata = Metadata::load(root)?;
    let mut findings = Vec::new();
    floors::check(root, &metadata, &mut findings)?;
    externals::check(root, &metadata, &mut findings)?;
    features::check(root, &metadata, &mut findings)?;
    let measured = source::check(&files, &mut findings);
    ratchet::check(root, &measured, &mut findings)?;
    words::check(&files, &mut findings);
    changes::check(&files, &mut findings);
    links::check(&files, &mut findings);
    findings.sort();
    Ok(findings)
}

/// Rewrites the list of exceptions with what is true today; it never takes a new one in.
pub(crate) fn shrink_ratchet(root: &Path) -> Result<()> {
    let measured = source::check(&text_files(root)?, &mut Vec::new());
    ratchet::shrink(root, &measured)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_tidy() {
        let findings = check(&crate::repository::root()).unwrap();
        let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
        assert!(lines.is_empty(), "{}\n(`cargo xtask tidy` prints the same)", lines.join("\n"));
    }
}
