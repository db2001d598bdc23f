//! Environment variables and secrets: the only place that reads them.

use crate::workbench::Settings;
use engine::project::Variables;
use model::{Name, Secret};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Variables with this prefix are ours and never reach a document.
const OWN_PREFIX: &str = "AFFLUENT_";

/// An environment variable of this process.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Variables for a project on the command line.
pub(crate) struct ProjectVariables {
    folder: PathBuf,
    given: Arc<BTreeMap<(Name, String), Secret>>,
    without_secrets: bool,
}

impl ProjectVariables {
    /// Secrets are those that were given, then files in `.affluent/secrets`, then variables
    /// `AFFLUENT_SECRET_<NAME>`.
    pub(crate) fn new(project: &Path, settings: &Settings) -> Self {
        Self {
            given: Arc::clone(&settings.secrets),
            without_secrets: settings.without_secrets,
            ..Self::plain(project)
        }
    }

    /// Secrets are files in `.affluent/secrets`, or variables `AFFLUENT_SECRET_<NAME>`.
    pub(crate) fn plain(project: &Path) -> Self {
        let folder = project.join(".affluent").join("secrets");
        Self { folder, given: Arc::default(), without_secrets: false }
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
        let name = Name::new(name.to_lowercase()).ok()?;
        let from_file = std::fs::read_to_string(self.folder.join(name.as_str())).ok();
        from_file
            .map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
            .or_else(|| variable(&format!("AFFLUENT_SECRET_{}", name.as_str().to_uppercase())))
            .or_else(|| self.without_secrets.then(String::new))
    }

    fn secret_of(&self, connection: &Name, name: &str) -> Option<String> {
        let given = self.given.get(&(connection.clone(), name.to_owned()));
        given.map(|secret| secret.reveal().to_owned()).or_else(|| self.secret(name))
    }
}
