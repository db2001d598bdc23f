//! The metadata database: everything the server knows, on SQLite or PostgreSQL.
//!
//! One set of entities and one list of migrations serve both. What one workspace owns is reached
//! through [`Store::workspace`] alone, so that a query without its workspace cannot be written.

mod address;
mod alert_channels;
mod alert_rules;
mod alerts;
mod api_keys;
mod audit;
mod backfills;
mod backup;
mod catalogue;
mod definitions;
mod entity;
mod failure;
mod ids;
mod installation;
mod invitations;
mod journal;
mod members;
mod migrations;
mod module_templates;
mod notifications;
mod orchestration;
mod page;
mod password_resets;
mod persons;
mod pipelines;
mod pools;
mod previews;
mod quotas;
mod retention;
mod rows;
mod runs;
mod schedules;
mod secrets;
mod sessions;
mod sign_ins;
mod store;
mod tables;
mod transactions;
mod triggers;
mod uploads;
mod users;
mod values;
mod words;
mod workspaces;
mod writer;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use address::Address;
pub use alert_channels::{AlertChannels, NewAlertChannel};
pub use alert_rules::{AlertRules, NewAlertRule};
pub use alerts::{Alerts, AllAlerts, Delivery, Sent, Wording};
pub use api_keys::{AllApiKeys, ApiKey, ApiKeys, NewApiKey};
pub use audit::{Audit, AuditFilter, HashEntry, NewAuditEntry, Signer};
pub use backfills::Backfills;
pub use backup::{Existing, Restore, Row, Snapshot};
pub use catalogue::{Catalogue, LakeTable, LineageEdge};
pub use definitions::{
    Definition, DefinitionChange, DefinitionKey, Definitions, NewVersion, VersionHead,
};
pub use entity::alert_channel::Model as AlertChannel;
pub use entity::alert_rule::Model as AlertRule;
pub use entity::audit_checkpoint::Model as AuditCheckpoint;
pub use entity::audit_entry::Model as AuditEntry;
pub use entity::backfill::Model as Backfill;
pub use entity::definition_version::Model as Version;
pub use entity::module_template::Model as ModuleTemplate;
pub use entity::notification::Model as Notification;
pub use entity::pipeline::Model as Pipeline;
pub use entity::preview::Model as Preview;
pub use entity::run::Model as RunRow;
pub use entity::schedule::Model as Schedule;
pub use entity::secret::Model as SealedSecret;
pub use entity::session::Model as Session;
pub use entity::sign_in::Model as SignIn;
pub use entity::task::Model as Task;
pub use entity::trigger::Model as Trigger;
pub use entity::trigger_signal::Model as TriggerSignal;
pub use entity::upload::Model as Upload;
pub use entity::workspace::Model as Workspace;
pub use ids::{
    AlertChannelId, AlertId, AlertRuleId, ApiKeyId, BackfillId, DefinitionId, InvitationId,
    NotificationId, ScheduleId, SignInId, TemplateId, TokenHash, TriggerId, UploadId, UserId,
    WorkspaceId,
};
pub use installation::{FirstOwner, Installation};
pub use invitations::{Guest, Invitation, Invitations, NewInvitation};
pub use journal::{Journal, JournaledRun};
pub use members::{Member, Members};
pub use module_templates::{ModuleTemplates, NewTemplate};
pub use notifications::{Inbox, NewNotification, Notifications};
pub use orchestration::{
    AttemptBegun, AttemptEnded, BackfillChange, Claim, Everything, Leader, LeaseChange,
    NewBackfill, Orchestration, RunChange, RunReport, SignalSeen, SignalsUsed, TaskChange,
    TaskResult, Writes,
};
pub use page::Page;
pub use password_resets::PasswordResets;
pub use persons::{ErasedPerson, PersonRecord};
pub use pipelines::{NewPipeline, Pipelines};
pub use pools::Pools;
pub use previews::{NewPreview, Previews};
pub use quotas::Quotas;
pub use retention::CleanedUp;
pub use runs::{
    CheckResult, LogFilter, LogLine, NodeRun, Run, RunAttempt, RunDetail, RunFilter, Runs,
};
pub use schedules::{NewSchedule, Schedules};
pub use secrets::{NewSecret, SecretHead, Secrets};
pub use sessions::{NewSession, Rotation, Sessions};
pub use sign_ins::{NewSignIn, SignIns};
pub use store::Store;
pub use triggers::{AllTriggers, NewTrigger, Triggers};
pub use uploads::{NewUpload, Uploads};
pub use users::{NewUser, User, UserChange, Users};
pub use values::{RunIdText, Stored};
pub use words::{
    AttemptEnd, DefinitionKind, LogLevel, NotificationKind, Quota, RunStatus, RunTrigger,
    ScheduleStatus, SessionKind, SignInOutcome, TriggerKind,
};
pub use workspaces::{InWorkspace, NewWorkspace, Workspaces};
