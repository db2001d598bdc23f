//! All modules by name.

use contracts::{Entry, Kind};
use model::{Problem, Result, codes};
use std::collections::BTreeMap;

/// Every module that documents may use.
pub struct Registry {
    entries: BTreeMap<&'static str, Entry>,
}

impl Registry {
    /// A registry of `entries`, whose names are unique.
    ///
    /// # Panics
    ///
    /// When two modules have the same name; the conformance test sees it first.
    pub fn new(entries: impl IntoIterator<Item = Entry>) -> Self {
        let mut registry = Self { entries: BTreeMap::new() };
        for entry in entries {
            let name = entry.name;
            let taken = registry.entries.insert(name, entry).is_some();
            assert!(!taken, "two modules are called `{name}`");
        }
        registry
    }

    /// The module `name`.
    pub fn get(&self, name: &str) -> Result<&Entry> {
        self.entries.get(name).ok_or_else(|| {
            let near = stdx::text::nearest(name, self.entries.keys().copied());
            let hint = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`affluent modules list` shows them all".to_owned(),
            };
            Problem::new(&codes::NAME_UNKNOWN, format!("there is no module `{name}`"))
                .arg("module", name)
                .hint(hint)
        })
    }

    /// Whether there is a module `name` and it is an action.
    pub fn is_action(&self, name: &str) -> bool {
        self.entries.get(name).is_some_and(|entry| entry.kind() == Kind::Action)
    }

    /// All modules, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }
}
