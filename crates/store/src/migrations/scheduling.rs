//! Migration 4: what the scheduler knows, as far as it is not a run.

use crate::tables::{Table, boolean, integer, text};

pub(super) const TABLES: &[Table] = &[
    LEADER,
    PLANS,
    PIPELINES,
    TASKS,
    SCHEDULES,
    TRIGGERS,
    TRIGGER_SIGNALS,
    BACKFILLS,
    POOLS,
    WISHES,
];

const OF_WORKSPACE: &[(&str, &str)] = &[("workspace_id", "workspaces")];

const LEADER: Table = Table {
    name: "leader",
    columns: &[integer("id"), text("holder"), integer("epoch"), integer("expires_us")],
    key: &["id"],
    unique: &[],
    indexes: &[],
    parents: &[],
};

const PLANS: Table = Table {
    name: "plans",
    columns: &[text("workspace_id"), text("hash"), text("plan")],
    key: &["workspace_id", "hash"],
    unique: &[],
    indexes: &[],
    parents: OF_WORKSPACE,
};

const PIPELINES: Table = Table {
    name: "pipelines",
    columns: &[
        text("workspace_id"),
        text("name"),
        text("plan"),
        text("description"),
        text("tags"),
        boolean("is_paused"),
        integer("updated_at_us"),
    ],
    key: &["workspace_id", "name"],
    unique: &[],
    indexes: &[],
    parents: OF_WORKSPACE,
};

const TASKS: Table = Table {
    name: "tasks",
    columns: &[
        text("run_id"),
        integer("number"),
        text("workspace_id"),
        text("name"),
        text("state"),
        integer("epoch"),
        integer("attempts"),
        integer("failures"),
        integer("losses"),
        text("not_taken"),
        integer("lease_until_us").or_null(),
        integer("started_at_us").or_null(),
        integer("ended_at_us").or_null(),
        text("output").or_null(),
        text("answer").or_null(),
        text("question").or_null(),
        text("problem").or_null(),
    ],
    key: &["run_id", "number"],
    unique: &[],
    indexes: &[],
    parents: &[("run_id", "runs")],
};

const SCHEDULES: Table = Table {
    name: "schedules",
    columns: &[
        text("id"),
        text("workspace_id"),
        text("name"),
        text("pipeline"),
        text("status"),
        text("rule"),
        text("zone"),
        text("params"),
        integer("start_at_us").or_null(),
        integer("end_at_us").or_null(),
        integer("fired_us"),
        text("created_by").or_null(),
        integer("created_at_us"),
        integer("updated_at_us"),
    ],
    key: &["id"],
    unique: &[&["workspace_id", "name"]],
    indexes: &[],
    parents: OF_WORKSPACE,
};

const TRIGGERS: Table = Table {
    name: "triggers",
    columns: &[
        text("id"),
        text("workspace_id"),
        text("name"),
        text("kind"),
        text("pipeline"),
        text("settings"),
        text("token").or_null(),
        boolean("is_active"),
        integer("created_at_us"),
        integer("last_fired_at_us").or_null(),
    ],
    key: &["id"],
    unique: &[&["workspace_id", "name"], &["token"]],
    indexes: &[],
    parents: OF_WORKSPACE,
};

const TRIGGER_SIGNALS: Table = Table {
    name: "trigger_signals",
    columns: &[
        text("trigger_id"),
        text("signal"),
        text("workspace_id"),
        integer("latest"),
        integer("used"),
        integer("first_us"),
        integer("latest_us"),
    ],
    key: &["trigger_id", "signal"],
    unique: &[],
    indexes: &[],
    parents: &[("trigger_id", "triggers")],
};

const BACKFILLS: Table = Table {
    name: "backfills",
    columns: &[
        text("id"),
        text("workspace_id"),
        text("pipeline"),
        text("body"),
        integer("length"),
        integer("started"),
        text("status"),
        text("created_by").or_null(),
        integer("created_at_us"),
    ],
    key: &["id"],
    unique: &[],
    indexes: &[&["workspace_id", "id"]],
    parents: OF_WORKSPACE,
};

const POOLS: Table = Table {
    name: "pools",
    columns: &[text("workspace_id"), text("name"), integer("slots")],
    key: &["workspace_id", "name"],
    unique: &[],
    indexes: &[],
    parents: OF_WORKSPACE,
};

const WISHES: Table = Table {
    name: "wishes",
    columns: &[text("id"), text("body"), integer("created_at_us")],
    key: &["id"],
    unique: &[],
    indexes: &[],
    parents: &[],
};
