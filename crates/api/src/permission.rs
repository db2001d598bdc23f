//! Who may do what: the one table of permissions.
//!
//! A handler names its permission in the type of its first argument, so it can neither be reached
//! without the role nor be registered under another one.

use model::Role;

/// Something that a role allows in a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permission {
    /// Stable identifier, `thing.verb`.
    pub id: &'static str,
    /// The least role that has it.
    pub least: Role,
    /// What it allows, one sentence.
    pub summary: &'static str,
}

/// A type that stands for a permission.
pub trait Permit: Send + Sync + 'static {
    /// The permission.
    const PERMISSION: Permission;
}

macro_rules! permissions {
    ($($name:ident = $id:literal, $least:ident, $summary:literal;)*) => {
        $(
            #[doc = $summary]
            #[derive(Debug)]
            pub struct $name;

            impl Permit for $name {
                const PERMISSION: Permission =
                    Permission { id: $id, least: Role::$least, summary: $summary };
            }
        )*

        /// Every permission.
        pub const ALL: &[Permission] = &[$($name::PERMISSION),*];
    };
}

permissions! {
    WorkspaceRead = "workspace.read", Viewer, "See the workspace, its definitions and its tables.";
    RunRead = "run.read", Viewer, "See runs, what they did and what they say.";
    MemberRead = "member.read", Viewer, "See who is a member.";
    RunStart = "run.start", Operator, "Start and stop runs.";
    KeyOwn = "key.own", Operator, "Make API keys for oneself, of at most one's own role.";
    MemberManage = "member.manage", Admin, "Invite, change and remove members up to one's own role.";
    KeyManage = "key.manage", Admin, "See and revoke the API keys of everybody.";
    WorkspaceManage = "workspace.manage", Owner, "Change the workspace itself.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ids_are_unique_and_say_thing_and_verb() {
        let ids: BTreeSet<&str> = ALL.iter().map(|permission| permission.id).collect();
        assert_eq!(ids.len(), ALL.len());
        assert!(ids.iter().all(|id| id.split('.').count() == 2));
    }
}
