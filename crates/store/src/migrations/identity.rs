//! Migration 1: who may do what.

use crate::tables::{Table, boolean, integer, text};

pub(super) const TABLES: &[Table] = &[
    USERS,
    INSTALLATION,
    SET_UP_TOKENS,
    WORKSPACES,
    MEMBERSHIPS,
    SESSIONS,
    SIGN_INS,
    API_KEYS,
    PASSWORD_RESETS,
    INVITATIONS,
];

const USERS: Table = Table {
    name: "users",
    columns: &[
        text("id"),
        text("email"),
        text("name"),
        text("password_hash").or_null(),
        boolean("is_active"),
        boolean("is_owner_of_installation"),
        integer("created_at_us"),
        integer("updated_at_us"),
        integer("last_login_at_us").or_null(),
    ],
    key: &["id"],
    unique: &[&["email"]],
    indexes: &[],
    parents: &[],
};

/// At most one row: that the installation has an owner.
const INSTALLATION: Table = Table {
    name: "installation",
    columns: &[text("id"), text("owner_id"), integer("set_up_at_us")],
    key: &["id"],
    unique: &[],
    indexes: &[],
    parents: &[("owner_id", "users")],
};

const SET_UP_TOKENS: Table = Table {
    name: "set_up_tokens",
    columns: &[
        text("id"),
        integer("created_at_us"),
        integer("expires_at_us"),
        integer("used_at_us").or_null(),
    ],
    key: &["id"],
    unique: &[],
    indexes: &[],
    parents: &[],
};

const WORKSPACES: Table = Table {
    name: "workspaces",
    columns: &[text("id"), text("slug"), text("title"), text("settings"), integer("created_at_us")],
    key: &["id"],
    unique: &[&["slug"]],
    indexes: &[],
    parents: &[],
};

const MEMBERSHIPS: Table = Table {
    name: "memberships",
    columns: &[text("workspace_id"), text("user_id"), text("role"), integer("joined_at_us")],
    key: &["workspace_id", "user_id"],
    unique: &[],
    indexes: &[&["user_id"]],
    parents: &[("workspace_id", "workspaces"), ("user_id", "users")],
};

const SESSIONS: Table = Table {
    name: "sessions",
    columns: &[
        text("id"),
        text("user_id"),
        text("kind"),
        text("family").or_null(),
        integer("created_at_us"),
        integer("seen_at_us"),
        integer("expires_at_us"),
        integer("used_at_us").or_null(),
        text("ip").or_null(),
        text("user_agent").or_null(),
    ],
    key: &["id"],
    unique: &[],
    indexes: &[&["user_id"], &["family"], &["expires_at_us"]],
    parents: &[("user_id", "users")],
};

/// The history outlives the users.
const SIGN_INS: Table = Table {
    name: "sign_ins",
    columns: &[
        text("id"),
        text("user_id").or_null(),
        text("email"),
        text("ip").or_null(),
        integer("at_us"),
        text("outcome"),
    ],
    key: &["id"],
    unique: &[],
    indexes: &[&["email", "at_us"], &["ip", "at_us"], &["user_id"], &["at_us"]],
    parents: &[],
};

const API_KEYS: Table = Table {
    name: "api_keys",
    columns: &[
        text("id"),
        text("workspace_id"),
        text("user_id"),
        text("name"),
        text("prefix"),
        text("hash"),
        text("role"),
        text("scopes"),
        integer("created_at_us"),
        integer("expires_at_us").or_null(),
        integer("last_used_at_us").or_null(),
        integer("revoked_at_us").or_null(),
    ],
    key: &["id"],
    unique: &[&["hash"]],
    indexes: &[&["workspace_id"], &["user_id"]],
    parents: &[("workspace_id", "workspaces"), ("user_id", "users")],
};

const PASSWORD_RESETS: Table = Table {
    name: "password_resets",
    columns: &[
        text("id"),
        text("user_id"),
        integer("created_at_us"),
        integer("expires_at_us"),
        integer("used_at_us").or_null(),
    ],
    key: &["id"],
    unique: &[],
    indexes: &[&["user_id"]],
    parents: &[("user_id", "users")],
};

const INVITATIONS: Table = Table {
    name: "invitations",
    columns: &[
        text("id"),
        text("workspace_id"),
        text("hash"),
        text("email"),
        text("role"),
        text("invited_by").or_null(),
        integer("created_at_us"),
        integer("expires_at_us"),
        integer("used_at_us").or_null(),
    ],
    key: &["id"],
    unique: &[&["hash"]],
    indexes: &[&["workspace_id"]],
    parents: &[("workspace_id", "workspaces")],
};
