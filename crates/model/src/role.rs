//! What a member of a workspace may do, from least to most.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display};

/// The role of a member in a workspace. Each may do all that the ones before it may.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees definitions, tables and runs.
    Viewer,
    /// Starts and stops runs.
    Operator,
    /// Changes definitions and connections.
    Editor,
    /// Manages members, keys and secrets.
    Admin,
    /// Owns the workspace: there is always one.
    Owner,
}

impl Role {
    /// All roles, from least to most.
    pub const ALL: [Self; 5] =
        [Self::Viewer, Self::Operator, Self::Editor, Self::Admin, Self::Owner];

    /// The word that is stored and sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Editor => "editor",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// The role that a word means.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }
}

impl Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
