//! Migration 2: what the people of a workspace write, and what they are told.

use crate::tables::{Table, bytes, integer, text};

pub(super) const TABLES: &[Table] = &[
    DEFINITIONS,
    DEFINITION_VERSIONS,
    SECRETS,
    UPLOADS,
    QUOTAS,
    MODULE_TEMPLATES,
    NOTIFICATIONS,
    AUDIT_ENTRIES,
    AUDIT_CHECKPOINTS,
];

const DEFINITIONS: Table = Table {
    name: "definitions",
    columns: &[
        text("id"),
        text("workspace_id"),
        text("kind"),
        text("name"),
        integer("current_version"),
        integer("created_at_us"),
        integer("deleted_at_us").or_null(),
    ],
    key: &["id"],
    unique: &[&["workspace_id", "kind", "name"]],
    indexes: &[],
    parents: &[("workspace_id", "workspaces")],
};

const DEFINITION_VERSIONS: Table = Table {
    name: "definition_versions",
    columns: &[
        text("definition_id"),
        integer("number"),
        text("workspace_id"),
        text("text"),
        text("sha256"),
        text("author_id").or_null(),
        text("message"),
        integer("at_us"),
    ],
    key: &["definition_id", "number"],
    unique: &[],
    indexes: &[&["workspace_id"]],
    parents: &[("definition_id", "definitions"), ("workspace_id", "workspaces")],
};

const SECRETS: Table = Table {
    name: "secrets",
    columns: &[
        text("workspace_id"),
        text("connection"),
        text("name"),
        bytes("ciphertext"),
        bytes("nonce"),
        text("key_id"),
        text("bound_host").or_null(),
        integer("updated_at_us"),
    ],
    key: &["workspace_id", "connection", "name"],
    unique: &[],
    indexes: &[&["key_id"]],
    parents: &[("workspace_id", "workspaces")],
};

const UPLOADS: Table = Table {
    name: "uploads",
    columns: &[
        text("id"),
        text("workspace_id"),
        text("name"),
        text("path"),
        integer("size"),
        text("sha256"),
        text("uploaded_by").or_null(),
        integer("created_at_us"),
    ],
    key: &["id"],
    unique: &[],
    indexes: &[&["workspace_id"]],
    parents: &[("workspace_id", "workspaces")],
};

const QUOTAS: Table = Table {
    name: "quotas",
    columns: &[text("workspace_id"), text("quota"), integer("maximum")],
    key: &["workspace_id", "quota"],
    unique: &[],
    indexes: &[],
    parents: &[("workspace_id", "workspaces")],
};

const MODULE_TEMPLATES: Table = Table {
    name: "module_templates",
    columns: &[
        text("id"),
        text("workspace_id"),
        text("name"),
        text("module"),
        text("category"),
        text("summary"),
        text("settings"),
        text("icon").or_null(),
        text("color").or_null(),
        text("created_by").or_null(),
        integer("created_at_us"),
        integer("updated_at_us"),
        integer("uses"),
    ],
    key: &["id"],
    unique: &[&["workspace_id", "name"]],
    indexes: &[],
    parents: &[("workspace_id", "workspaces")],
};

const NOTIFICATIONS: Table = Table {
    name: "notifications",
    columns: &[
        text("id"),
        text("workspace_id"),
        text("user_id"),
        text("kind"),
        text("title"),
        text("message"),
        text("resource").or_null(),
        integer("created_at_us"),
        integer("read_at_us").or_null(),
    ],
    key: &["id"],
    unique: &[],
    indexes: &[&["workspace_id", "user_id", "read_at_us"], &["user_id"], &["created_at_us"]],
    parents: &[("workspace_id", "workspaces"), ("user_id", "users")],
};

/// Without parents: what has happened stays, whoever goes.
const AUDIT_ENTRIES: Table = Table {
    name: "audit_entries",
    columns: &[
        text("chain"),
        integer("seq"),
        integer("at_us"),
        text("user_id").or_null(),
        text("actor"),
        text("action"),
        text("resource_kind"),
        text("resource_id").or_null(),
        text("ip").or_null(),
        text("user_agent").or_null(),
        text("changes"),
        text("person_salt").or_null(),
        text("person_hash"),
        text("previous_hash"),
        text("hash"),
    ],
    key: &["chain", "seq"],
    unique: &[],
    indexes: &[&["at_us"], &["user_id"], &["chain", "resource_kind", "resource_id"]],
    parents: &[],
};

const AUDIT_CHECKPOINTS: Table = Table {
    name: "audit_checkpoints",
    columns: &[
        text("chain"),
        integer("number"),
        integer("first_seq"),
        integer("last_seq"),
        text("last_hash"),
        integer("newest_at_us"),
        text("previous_signature"),
        text("key_id"),
        text("signature"),
    ],
    key: &["chain", "number"],
    unique: &[],
    indexes: &[],
    parents: &[],
};
