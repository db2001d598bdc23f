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
    DefinitionRead = "definition.read", Viewer, "See documents, their versions and what they compile to.";
    TableRead = "table.read", Viewer, "See tables: rows, versions, profiles and lineage.";
    RunRead = "run.read", Viewer, "See runs, what they did and what they say.";
    MemberRead = "member.read", Viewer, "See who is a member.";
    RunStart = "run.start", Operator, "Start and stop runs.";
    InboxOwn = "inbox.own", Viewer, "Read one's own inbox.";
    AlertRead = "alert.read", Operator, "See channels and alert rules.";
    KeyOwn = "key.own", Operator, "Make API keys for oneself, of at most one's own role.";
    DefinitionWrite = "definition.write", Editor, "Save, change and delete documents.";
    QueryRun = "query.run", Editor, "Ask in SQL, and see rows after any node.";
    MemberManage = "member.manage", Admin, "Invite, change and remove members up to one's own role.";
    AlertManage = "alert.manage", Admin, "Make, change, try and remove channels and alert rules.";
    KeyManage = "key.manage", Admin, "See and revoke the API keys of everybody.";
    ConnectionTest = "connection.test", Editor, "Test connections and look behind them.";
    UploadWrite = "upload.write", Editor, "Upload files and remove them.";
    SecretManage = "secret.manage", Admin, "Set and remove the secrets of connections.";
    AuditRead = "audit.read", Admin, "See who has changed what, and verify it.";
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
