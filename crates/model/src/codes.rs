//! Every kind of problem, in one list; the reference page is made from it.

use crate::problem::{Code, Fault};

macro_rules! codes {
    ($($name:ident = $id:literal, $fault:ident, $retry:literal, $summary:literal;)*) => {
        $(
            #[doc = $summary]
            pub const $name: Code =
                Code { id: $id, fault: Fault::$fault, retry: $retry, summary: $summary };
        )*
        /// Every kind of problem.
        pub const ALL: &[Code] = &[$($name),*];
    };
}

codes! {
    NOT_A_PROJECT = "not_a_project", User, false, "The folder has no `affluent.yaml`.";
    DOCUMENT_SYNTAX = "document_syntax", User, false, "A document is not readable YAML.";
    DOCUMENT_INVALID = "document_invalid", User, false, "A document has a setting that is missing, unknown or of the wrong type.";
    NAME_INVALID = "name_invalid", User, false, "A name does not match `^[a-z][a-z0-9_]{0,62}$`.";
    NAME_TAKEN = "name_taken", User, false, "Two things of the same kind have the same name.";
    NAME_UNKNOWN = "name_unknown", User, false, "Something refers to a node, port, pipeline, connection, module or parameter that does not exist.";
    GRAPH_CYCLE = "graph_cycle", User, false, "Nodes or pipelines wait for one another in a circle.";
    GRAPH_INVALID = "graph_invalid", User, false, "Nodes are connected in a way their modules do not allow.";
    SETTING_INVALID = "setting_invalid", User, false, "A setting has a value that makes no sense there.";
    SQL_SYNTAX = "sql_syntax", User, false, "A SQL text cannot be parsed, or is not one SELECT.";
    SQL_INVALID = "sql_invalid", User, false, "A query names a table, column or function that does not exist, or its types do not fit.";
    SQL_REFUSED = "sql_refused", User, false, "A query does something that queries here may not do.";
    COLUMN_UNKNOWN = "column_unknown", User, false, "A setting names a column that the input does not have.";
    TYPE_MISMATCH = "type_mismatch", User, false, "A column has a type that the operation cannot take.";
    FILE_NOT_FOUND = "file_not_found", User, false, "A path or pattern matches no file.";
    FILE_UNREADABLE = "file_unreadable", External, false, "A file exists but cannot be read.";
    FILE_CORRUPT = "file_corrupt", External, false, "A file is damaged or is not of the format it should be.";
    FILE_CHANGED = "file_changed", External, false, "A file changed after the run had fixed what it would read.";
    FILE_TOO_LARGE = "file_too_large", User, false, "A file, field or line is larger than the limit.";
    PATH_REFUSED = "path_refused", User, false, "A path leaves the folders that the project may use.";
    TABLE_NOT_FOUND = "table_not_found", User, false, "A lake table or version does not exist.";
    TABLE_CONFLICT = "table_conflict", External, true, "Somebody else committed to the table at the same time, again and again.";
    TABLE_CORRUPT = "table_corrupt", External, false, "The log or a data file of a lake table is missing or damaged.";
    TABLE_AHEAD = "table_ahead", External, false, "A table holds a commit that the run journal does not know.";
    SCHEMA_CHANGED = "schema_changed", User, false, "Incoming columns differ from the table's, and its policy does not accept that.";
    CONSTRAINT_VIOLATED = "constraint_violated", User, false, "A row breaks a constraint of the table.";
    MERGE_KEY_REPEATED = "merge_key_repeated", User, false, "Two source rows have the same merge key.";
    CHECK_FAILED = "check_failed", User, false, "A check with severity `fail` found offending rows.";
    TOO_MANY_REJECTS = "too_many_rejects", User, false, "More rows were rejected than the run allows.";
    ROWS_LOST = "rows_lost", Us, false, "Row counts do not add up: rows in differ from rows out, rejected and filtered.";
    CONNECTION_FAILED = "connection_failed", External, true, "A server cannot be reached.";
    CONNECTION_REFUSED = "connection_refused", User, false, "A server refuses the credentials or the request.";
    CONNECTION_TIMEOUT = "connection_timeout", External, true, "A server does not answer in time.";
    RESPONSE_INVALID = "response_invalid", External, false, "A server's answer is not what the protocol or the setting expects.";
    RESPONSE_TOO_LARGE = "response_too_large", External, false, "A server's answer is larger than the limit.";
    QUERY_FAILED = "query_failed", External, false, "A database refused or aborted a statement.";
    TIME_EXCEEDED = "time_exceeded", User, false, "A question takes longer than it may.";
    BUSY = "busy", External, true, "Too many questions wait for an answer.";
    COMMIT_UNKNOWN = "commit_unknown", External, true, "The answer to a commit was lost, and the target cannot be asked.";
    MEMORY_EXCEEDED = "memory_exceeded", User, false, "An operation needs more memory than the limit, and cannot spill.";
    STORAGE_FULL = "storage_full", External, true, "The disk is full.";
    STORAGE_FAILED = "storage_failed", External, true, "A disk or object store reports an error.";
    PERMISSION_DENIED = "permission_denied", External, false, "The operating system or a server denies access.";
    RUN_LOCKED = "run_locked", User, true, "Another run of this pipeline is going on.";
    RUN_NOT_FOUND = "run_not_found", User, false, "No run has this id.";
    RUN_REFUSED = "run_refused", User, false, "A run cannot do what is asked of it, as it would repeat rows or is not where it should be.";
    RUN_TIMED_OUT = "run_timed_out", User, true, "A run took longer than its pipeline allows.";
    RUN_CANCELLED = "run_cancelled", User, true, "The run was stopped by a person.";
    RUNNER_LOST = "runner_lost", External, true, "The process that did a run died or was killed.";
    JOURNAL_CORRUPT = "journal_corrupt", External, false, "A file of the run journal is damaged.";
    SECRET_MISSING = "secret_missing", User, false, "A connection needs a secret or variable that is not set.";
    CHILD_FAILED = "child_failed", User, false, "A child process ended badly or went beyond its limits.";
    TEMPLATE_INVALID = "template_invalid", User, false, "A template or an expression cannot be understood, or reads something that is not there.";
    APPROVAL_REFUSED = "approval_refused", User, false, "A person has said no.";
    WAIT_OVER = "wait_over", User, false, "What an action waited for did not happen in time.";
    STARTED_RUN_FAILED = "started_run_failed", User, false, "A run that an action started has not succeeded.";
    ACTION_REFUSED = "action_refused", User, false, "An action wants to do what whoever runs the program does not allow.";
    TEST_FAILED = "test_failed", User, false, "A pipeline test gave other rows than expected.";
    COMMAND_INVALID = "command_invalid", User, false, "A command was given arguments that do not go together.";
    SIGN_IN_FAILED = "sign_in_failed", User, false, "E-mail and password, token or key do not belong to an active user.";
    SIGN_IN_NEEDED = "sign_in_needed", User, false, "The request carries no valid session, token or key.";
    TOO_MANY_ATTEMPTS = "too_many_attempts", User, true, "Too many tries in a short time; wait, then try again.";
    PERMISSION_MISSING = "permission_missing", User, false, "The role in this workspace does not allow the request.";
    NOT_FOUND = "not_found", User, false, "There is nothing of this name or id here.";
    CONFLICT = "conflict", User, false, "Somebody else has changed it in the meantime, or it is there already.";
    VERSION_STALE = "version_stale", User, false, "A request was made for a version that is not the newest any more.";
    REQUEST_INVALID = "request_invalid", User, false, "A request is not what the interface expects.";
    REQUEST_REFUSED = "request_refused", User, false, "A request comes from another site, or for another host.";
    REQUEST_TOO_LARGE = "request_too_large", User, false, "A request is larger than the limit.";
    PASSWORD_WEAK = "password_weak", User, false, "A password is too short, too long or among the most common ones.";
    QUOTA_EXCEEDED = "quota_exceeded", User, false, "A workspace would have more of something than it may.";
    SET_UP_DONE = "set_up_done", User, false, "The installation has its owner already.";
    TOKEN_INVALID = "token_invalid", User, false, "The token of a link is unknown, used or expired.";
    LAST_OWNER = "last_owner", User, false, "A workspace or the installation would be left without an owner.";
    AUDIT_BROKEN = "audit_broken", External, false, "The audit trail is not what was written.";
    STORE_FAILED = "store_failed", External, true, "The metadata database reports an error or cannot be reached.";
    STORE_NEWER = "store_newer", User, false, "The metadata database was written by a newer version of the program.";
    KEY_INVALID = "key_invalid", User, false, "The master key is missing, too short, publicly known or not the one the secrets were encrypted with.";
    INTERNAL = "internal", Us, false, "Something happened that should be impossible; please report it.";
}
