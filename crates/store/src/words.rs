//! Enumerations; each value is stored as a short text.

use sea_orm::prelude::*;
use serde::{Deserialize, Serialize};

/// How a session is carried.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, EnumIter, DeriveActiveEnum,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum SessionKind {
    /// A cookie.
    Browser,
    /// A refresh token, which is used once and replaced by the next of its family.
    Refresh,
}

/// How an attempt to sign in ended.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, EnumIter, DeriveActiveEnum,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum SignInOutcome {
    /// Signed in.
    Succeeded,
    /// The password is another one.
    WrongPassword,
    /// Nobody has this e-mail address.
    UnknownUser,
    /// The user is switched off.
    Inactive,
    /// Too many failures shortly before.
    Locked,
}

/// What kind of document a definition is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, EnumIter, DeriveActiveEnum,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum DefinitionKind {
    /// What `affluent.yaml` is in a folder.
    Project,
    /// A graph of nodes.
    Pipeline,
    /// Where a database or service is.
    Connection,
    /// A single query.
    Model,
    /// Rows in, rows expected.
    Test,
    /// Cards on a page.
    Dashboard,
}

/// What a workspace may have a limited amount of.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, EnumIter, DeriveActiveEnum,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Quota {
    /// Runs that go on at the same time.
    RunsAtOnce,
    /// Runs in 24 hours.
    RunsPerDay,
    /// Bytes in the lake.
    LakeBytes,
    /// Bytes of uploaded files.
    UploadBytes,
    /// People.
    Members,
}

/// What kind of news a notification is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, EnumIter, DeriveActiveEnum,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum NotificationKind {
    /// A pipeline failed.
    PipelineFailed,
    /// A pipeline succeeded.
    PipelineSucceeded,
    /// A rule that somebody set has struck.
    Alert,
    /// Something may need attention.
    Warning,
    /// Good to know.
    Info,
}

/// Where a run is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, EnumIter, DeriveActiveEnum,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Accepted, and waiting for a worker.
    Queued,
    /// Its tasks are given to workers.
    Running,
    /// It goes on until what has begun has ended.
    Stopping,
    /// Every task did what it should, or its failure was handled.
    Succeeded,
    /// It will not be tried again by itself.
    Failed,
    /// Stopped by a person.
    Cancelled,
    /// It took longer than it may.
    TimedOut,
    /// It never began, because of another run of its pipeline.
    Skipped,
    /// Set aside because it took its workers with it.
    Quarantined,
}

impl RunStatus {
    /// Whether it will stay so.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running | Self::Stopping)
    }
}

/// What became of an attempt at a task.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, EnumIter, DeriveActiveEnum,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum AttemptEnd {
    /// It did what it should.
    Succeeded,
    /// A problem ended it.
    Failed,
    /// Its worker was lost.
    Lost,
    /// Its worker gave it back: told to stop, or about to end itself.
    Returned,
}

/// Why there is a run.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, EnumIter, DeriveActiveEnum,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum RunTrigger {
    /// A person wanted it.
    Manual,
    /// Its time had come.
    Schedule,
    /// A program wanted it.
    Api,
    /// Another service said that there is something new.
    Webhook,
    /// A table or file was new.
    Event,
    /// An interval of the past was wanted.
    Backfill,
    /// Another run wanted it.
    Run,
}

/// Whether a schedule is followed.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, EnumIter, DeriveActiveEnum,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum ScheduleStatus {
    /// It is.
    Active,
    /// Not until a person says so.
    Paused,
}

/// What starts a pipeline from outside.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, EnumIter, DeriveActiveEnum,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum TriggerKind {
    /// A request with the trigger's token.
    Webhook,
    /// A new version of a table.
    Table,
    /// A new file.
    File,
    /// The end of another pipeline's run.
    Pipeline,
}

/// How loud a line of a log is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, EnumIter, DeriveActiveEnum,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// For whoever looks for a fault.
    Debug,
    /// What happens.
    Info,
    /// What may need attention.
    Warn,
    /// What went wrong.
    Error,
}
