//! Environment variables and secrets: the only place that reads them.

use engine::project::Variables;
use std::path::{Path, PathBuf};

/// Variables with this prefix are ours and never reach a document.
const OWN_PREFIX: &str = "AFFLUENT_";

/// An environment variable of this process.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Variables for a project on the command line.
pub(crate) struct ProjectVariables {
    secrets: PathBuf,
}

impl ProjectVariables {
    /// Secrets are files in `.affluent/secrets`, or variables `AFFLUENT_SECRET_<NAME>`.
    pub(crate) fn new(project: &Path) -> Self {
        Self { secrets: project.join(".affluent").join("secrets") }
    }
}

impl Variables for ProjectVariables {
    fn environment(&self, name: &str) -> Option<String> {
        if name.starts_with(OWN_PREFIX) {
            return None;
        }
        variable(name)
    }

    fn secret(&self, name: &str) -> Option<String> {
        // A name that is not a name could leave the folder.
        let name = model::Name::new(name.to_lowercase()).ok()?;
        let from_file = std::fs::read_to_string(self.secrets.join(name.as_str())).ok();
        from_file
            .map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
            .or_else(|| variable(&format!("AFFLUENT_SECRET_{}", name.as_str().to_uppercase())))
    }
}
