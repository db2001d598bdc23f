//! Migration 5: who is told what, and what has not been told yet.

use crate::tables::{Table, boolean, integer, text};

pub(super) const TABLES: &[Table] =
    &[CHANNELS, RULES, WINDOWS, NOTICES, DELIVERIES, FAILING_PIPELINES];

const OF_WORKSPACE: &[(&str, &str)] = &[("workspace_id", "workspaces")];

const CHANNELS: Table = Table {
    name: "alert_channels",
    columns: &[
        text("id"),
        text("workspace_id"),
        text("name"),
        text("settings"),
        text("sealed"),
        text("created_by").or_null(),
        integer("created_at_us"),
        integer("updated_at_us"),
        integer("sent_at_us").or_null(),
        text("problem").or_null(),
    ],
    key: &["id"],
    unique: &[&["workspace_id", "name"]],
    indexes: &[],
    parents: OF_WORKSPACE,
};

const RULES: Table = Table {
    name: "alert_rules",
    columns: &[
        text("id"),
        text("workspace_id"),
        text("name"),
        boolean("is_active"),
        text("pipelines"),
        text("kinds"),
        text("channels"),
        integer("window_seconds"),
        integer("created_at_us"),
        integer("updated_at_us"),
    ],
    key: &["id"],
    unique: &[&["workspace_id", "name"]],
    indexes: &[],
    parents: OF_WORKSPACE,
};

const WINDOWS: Table = Table {
    name: "alert_windows",
    columns: &[
        text("rule_id"),
        text("pipeline"),
        integer("closes_at_us"),
        integer("held"),
        text("notice").or_null(),
    ],
    key: &["rule_id", "pipeline"],
    unique: &[],
    indexes: &[&["closes_at_us"]],
    parents: &[("rule_id", "alert_rules")],
};

const NOTICES: Table = Table {
    name: "alert_notices",
    columns: &[text("id"), text("workspace_id"), text("notice"), integer("created_at_us")],
    key: &["id"],
    unique: &[],
    indexes: &[&["workspace_id"]],
    parents: OF_WORKSPACE,
};

const DELIVERIES: Table = Table {
    name: "alert_deliveries",
    columns: &[
        text("id"),
        text("workspace_id"),
        text("channel_id"),
        text("notice"),
        integer("more"),
        integer("attempts"),
        integer("next_at_us"),
        integer("created_at_us"),
    ],
    key: &["id"],
    unique: &[],
    indexes: &[&["next_at_us"], &["channel_id"], &["workspace_id"]],
    parents: &[("workspace_id", "workspaces"), ("channel_id", "alert_channels")],
};

const FAILING_PIPELINES: Table = Table {
    name: "failing_pipelines",
    columns: &[text("workspace_id"), text("pipeline"), integer("since_us"), integer("failures")],
    key: &["workspace_id", "pipeline"],
    unique: &[],
    indexes: &[],
    parents: OF_WORKSPACE,
};
