//! The audit trail, and what is known of a person.

use crate::workspaces::RoleSchema;
use model::Role;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// That somebody has changed something.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// From 1, without a gap.
    pub number: i64,
    /// When, µs since 1970, UTC.
    pub at_us: i64,
    /// E-mail address of who it was; a pseudonym when the person was erased.
    pub actor: String,
    /// Id of who it was, if it was a person.
    pub user: Option<String>,
    /// What was done: `thing.verb`.
    pub action: String,
    /// What it was done to.
    pub resource: Option<String>,
    /// Where the request came from.
    pub ip: Option<String>,
    /// What the sending program called itself.
    pub user_agent: Option<String>,
    /// `before` and `after`, as far as they say something; secrets are masked.
    #[schema(value_type = Object)]
    pub changes: Value,
    /// Hash of the entry, which also covers the hash of the one before.
    pub hash: String,
}

/// Entries, the newest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AuditPage {
    /// The items of this page.
    pub items: Vec<AuditEntry>,
    /// Where the next page begins; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Which entries.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// How many items at most: 50 unless given, no more than 500.
    pub limit: Option<u64>,
    /// What the page before gave as `next`.
    pub after: Option<String>,
    /// Id of the person who did it.
    pub user: Option<String>,
    /// The action, such as `member.remove`.
    pub action: Option<String>,
    /// The thing, such as `member`.
    pub kind: Option<String>,
    /// What it was done to.
    pub resource: Option<String>,
    /// Not before, µs since 1970, UTC.
    pub from_us: Option<i64>,
    /// Before, µs since 1970, UTC.
    pub until_us: Option<i64>,
    /// A text in actor, action or resource, in any case.
    pub text: Option<String>,
}

/// Whether a trail is what was written.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AuditVerdict {
    /// Entries that are there; older ones have gone with time.
    pub entries: u64,
    /// Segments that were closed and signed.
    pub segments: u64,
    /// Number and hash of the last entry: noted elsewhere, they prove later that no end is missing.
    pub head: Option<String>,
    /// What is wrong; absent when nothing is.
    pub broken: Option<String>,
}

/// All that is known of a person, but password and tokens.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PersonData {
    /// The account.
    pub user: crate::people::User,
    /// When the account was made, µs since 1970, UTC.
    pub created_at_us: i64,
    /// When the person last signed in.
    pub last_login_at_us: Option<i64>,
    /// Where the person belongs.
    pub memberships: Vec<PersonMembership>,
    /// Where the person is signed in.
    pub sessions: Vec<PersonSession>,
    /// Who has tried to sign in as the person.
    pub sign_ins: Vec<crate::auth::SignInAttempt>,
    /// What the person has done; the newest 10,000.
    pub audit: Vec<AuditEntry>,
}

/// A workspace that a person belongs to.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PersonMembership {
    /// Name of the workspace.
    pub workspace: String,
    /// The role there.
    #[schema(value_type = RoleSchema)]
    pub role: Role,
}

/// A session of a person.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PersonSession {
    /// When it began, µs since 1970, UTC.
    pub created_at_us: i64,
    /// When it was last used.
    pub seen_at_us: i64,
    /// Where it began.
    pub ip: Option<String>,
    /// What the browser called itself.
    pub user_agent: Option<String>,
}

/// What was done about the traces of a person.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PersonErased {
    /// What stands in the place of name and address.
    pub pseudonym: String,
    /// Entries of the audit trail that name the pseudonym now.
    pub audit_entries: u64,
    /// Attempts to sign in that name the pseudonym now.
    pub sign_ins: u64,
}
