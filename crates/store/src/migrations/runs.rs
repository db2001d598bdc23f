//! Migration 3: what runs when, what it did, and what is known about tables.

use crate::tables::{Table, integer, text};

pub(super) const TABLES: &[Table] = &[
    RUNS,
    RUN_RECORDS,
    RUN_EVENTS,
    RUN_LOGS,
    ATTEMPTS,
    NODE_RUNS,
    CHECK_RESULTS,
    TABLES_KNOWN,
    LINEAGE_EDGES,
    PREVIEWS,
];

const OF_RUN: &[(&str, &str)] = &[("run_id", "runs")];
const OF_WORKSPACE: &[(&str, &str)] = &[("workspace_id", "workspaces")];

const RUNS: Table = Table {
    name: "runs",
    columns: &[
        text("id"),
        text("workspace_id"),
        text("pipeline"),
        integer("definition_version").or_null(),
        text("started_by"),
        text("triggered_by").or_null(),
        text("source_id").or_null(),
        text("params"),
        integer("interval_start_us").or_null(),
        integer("interval_end_us").or_null(),
        text("status"),
        integer("priority"),
        integer("created_at_us"),
        integer("started_at_us").or_null(),
        integer("ended_at_us").or_null(),
        text("plan"),
        text("origin"),
        text("state"),
        integer("deadline_us").or_null(),
        integer("late_us").or_null(),
        text("parent").or_null(),
        integer("rows_in"),
        integer("rows_out"),
        integer("rows_rejected"),
        text("problem").or_null(),
        text("idempotency_key").or_null(),
    ],
    key: &["id"],
    // Nulls differ from one another on both databases.
    unique: &[&["workspace_id", "idempotency_key"]],
    indexes: &[
        &["workspace_id", "pipeline", "id"],
        &["status", "priority", "id"],
        &["ended_at_us"],
        &["parent"],
    ],
    parents: OF_WORKSPACE,
};

/// Without the run as parent: a run of the command line has a record and no row in `runs`, and
/// what a pipeline has read must be known for longer than 90 days.
const RUN_RECORDS: Table = Table {
    name: "run_records",
    columns: &[text("run_id"), text("workspace_id"), text("pipeline"), text("record")],
    key: &["run_id"],
    unique: &[],
    indexes: &[&["workspace_id", "pipeline", "run_id"]],
    parents: OF_WORKSPACE,
};

const RUN_EVENTS: Table = Table {
    name: "run_events",
    columns: &[text("run_id"), integer("seq"), text("workspace_id"), text("event")],
    key: &["run_id", "seq"],
    unique: &[],
    indexes: &[&["workspace_id"]],
    parents: OF_WORKSPACE,
};

const RUN_LOGS: Table = Table {
    name: "run_logs",
    columns: &[
        text("run_id"),
        integer("seq"),
        text("workspace_id"),
        text("node").or_null(),
        integer("at_us"),
        text("level"),
        text("message"),
        text("fields"),
    ],
    key: &["run_id", "seq"],
    unique: &[],
    indexes: &[&["workspace_id"], &["at_us"]],
    parents: OF_RUN,
};

const ATTEMPTS: Table = Table {
    name: "attempts",
    columns: &[
        text("run_id"),
        integer("task"),
        integer("number"),
        text("workspace_id"),
        text("worker"),
        integer("started_at_us"),
        integer("ended_at_us").or_null(),
        text("end").or_null(),
        text("problem").or_null(),
    ],
    key: &["run_id", "task", "number"],
    unique: &[],
    indexes: &[&["workspace_id"]],
    parents: OF_RUN,
};

const NODE_RUNS: Table = Table {
    name: "node_runs",
    columns: &[
        text("run_id"),
        text("node"),
        text("workspace_id"),
        integer("rows_in"),
        integer("rows_out"),
        integer("rows_rejected"),
        integer("elapsed_ms"),
        text("report"),
    ],
    key: &["run_id", "node"],
    unique: &[],
    indexes: &[&["workspace_id"]],
    parents: OF_RUN,
};

const CHECK_RESULTS: Table = Table {
    name: "check_results",
    columns: &[
        text("run_id"),
        text("node"),
        text("check_name"),
        text("workspace_id"),
        integer("offending"),
        integer("at_us"),
    ],
    key: &["run_id", "node", "check_name"],
    unique: &[],
    indexes: &[&["workspace_id", "at_us"]],
    parents: OF_RUN,
};

const TABLES_KNOWN: Table = Table {
    name: "lake_tables",
    columns: &[
        text("workspace_id"),
        text("name"),
        text("columns"),
        integer("version").or_null(),
        integer("row_count").or_null(),
        integer("bytes").or_null(),
        text("description"),
        text("pipeline").or_null(),
        text("node").or_null(),
        text("run_id").or_null(),
        integer("updated_at_us"),
    ],
    key: &["workspace_id", "name"],
    unique: &[],
    indexes: &[],
    parents: OF_WORKSPACE,
};

const LINEAGE_EDGES: Table = Table {
    name: "lineage_edges",
    columns: &[
        text("workspace_id"),
        text("pipeline"),
        text("source_table"),
        text("source_column"),
        text("target_table"),
        text("target_column"),
        text("node"),
    ],
    key: &[
        "workspace_id",
        "pipeline",
        "source_table",
        "source_column",
        "target_table",
        "target_column",
    ],
    unique: &[],
    indexes: &[&["workspace_id", "source_table"], &["workspace_id", "target_table"]],
    parents: OF_WORKSPACE,
};

const PREVIEWS: Table = Table {
    name: "previews",
    columns: &[
        text("workspace_id"),
        text("pipeline"),
        text("node"),
        text("data"),
        integer("row_count"),
        integer("column_count"),
        integer("created_at_us"),
    ],
    key: &["workspace_id", "pipeline", "node"],
    unique: &[],
    indexes: &[&["created_at_us"]],
    parents: OF_WORKSPACE,
};
