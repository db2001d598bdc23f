//! Who has changed what, out of three sets of hashes.

use api::definitions::Kind;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Which document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Key {
    pub(super) kind: Kind,
    pub(super) name: String,
}

impl Key {
    pub(super) fn new(kind: Kind, name: &str) -> Self {
        Self { kind, name: name.to_owned() }
    }

    pub(super) fn parts(&self) -> (Kind, &str) {
        (self.kind, &self.name)
    }
}

/// Hashes of texts by document.
pub(super) type Hashes = BTreeMap<Key, String>;

/// A document that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Differs {
    pub(super) key: Key,
    /// Hash of the folder's text; none when it has none.
    pub(super) folder: Option<String>,
    /// Hash of the server's text; none when it has none.
    pub(super) server: Option<String>,
    pub(super) changed: Changed,
}

/// Which side has changed since both were the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Changed {
    Folder,
    Server,
    Both,
}

/// All documents that differ, in order.
pub(super) fn compare(folder: &Hashes, server: &Hashes, base: &Hashes) -> Vec<Differs> {
    let keys: BTreeSet<&Key> = folder.keys().chain(server.keys()).collect();
    let differs = keys.into_iter().filter_map(|key| {
        let (folder, server, base) = (folder.get(key), server.get(key), base.get(key));
        let changed = match () {
            () if folder == server => return None,
            () if server == base => Changed::Folder,
            () if folder == base => Changed::Server,
            () => Changed::Both,
        };
        let (folder, server) = (folder.cloned(), server.cloned());
        Some(Differs { key: key.clone(), folder, server, changed })
    });
    differs.collect()
}

/// What follows for each side.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Comparison {
    /// Both sides have changed: a person decides.
    pub(super) conflicts: Vec<Differs>,
    /// The server takes what the folder has.
    pub(super) from_folder: Vec<Differs>,
    /// The folder takes what the server has.
    pub(super) to_folder: Vec<Differs>,
}

impl Comparison {
    pub(super) fn of(differs: Vec<Differs>) -> Self {
        let mut comparison = Self::default();
        for differs in differs {
            match differs.changed {
                Changed::Folder => comparison.from_folder.push(differs),
                Changed::Server => comparison.to_folder.push(differs),
                Changed::Both => comparison.conflicts.push(differs),
            }
        }
        comparison
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(text: Option<&str>) -> Hashes {
        let key = Key::new(Kind::Pipeline, "sales");
        text.map(|text| (key, text.to_owned())).into_iter().collect()
    }

    #[test]
    fn every_combination_of_three_sides() {
        use Changed::{Both, Folder, Server};
        let cases = [
            // folder, server, when they were last the same
            (Some("a"), Some("a"), None, None),
            (Some("a"), Some("a"), Some("b"), None),
            (Some("b"), Some("a"), Some("a"), Some(Folder)),
            (None, Some("a"), Some("a"), Some(Folder)),
            (Some("a"), None, None, Some(Folder)),
            (Some("a"), Some("b"), Some("a"), Some(Server)),
            (Some("a"), None, Some("a"), Some(Server)),
            (None, Some("a"), None, Some(Server)),
            (Some("a"), Some("b"), None, Some(Both)),
            (Some("a"), Some("b"), Some("c"), Some(Both)),
            (None, Some("b"), Some("a"), Some(Both)),
            (Some("b"), None, Some("a"), Some(Both)),
        ];
        for (folder, server, base, expected) in cases {
            let found = compare(&side(folder), &side(server), &side(base));
            let changed = found.first().map(|differs| differs.changed);
            assert_eq!(changed, expected, "{folder:?} {server:?} {base:?}");
        }
    }
}
