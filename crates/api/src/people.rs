//! Users, members, invitations and API keys.

use crate::workspaces::RoleSchema;
use model::{Role, Secret};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A user of the installation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct User {
    /// Id of the user.
    pub id: String,
    /// E-mail address.
    pub email: String,
    /// Name to show.
    pub name: String,
    /// Whether the user can sign in.
    pub active: bool,
    /// Whether the user manages the installation.
    pub manages_installation: bool,
}

/// Users, by e-mail address.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct UserPage {
    /// The items of this page.
    pub items: Vec<User>,
    /// Where the next page begins; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Makes a user.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateUser {
    /// E-mail address.
    pub email: String,
    /// Name to show.
    pub name: String,
    /// First password; the user can change it.
    #[schema(value_type = String, format = Password)]
    pub password: Secret,
}

/// Changes a user.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeUser {
    /// Whether the user can sign in. Switching off ends all sessions.
    pub active: bool,
}

/// A user by id.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct UserPath {
    /// Id of the user.
    pub user: String,
}

/// A member of a workspace.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Member {
    /// Id of the user.
    pub user: String,
    /// E-mail address.
    pub email: String,
    /// Name to show.
    pub name: String,
    /// The role.
    #[schema(value_type = RoleSchema)]
    pub role: Role,
}

/// All members.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Members {
    /// The members.
    pub items: Vec<Member>,
}

/// Gives a member another role.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetRole {
    /// The role.
    #[schema(value_type = RoleSchema)]
    pub role: Role,
}

/// Invites somebody into a workspace.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Invite {
    /// E-mail address of whom the invitation is for.
    pub email: String,
    /// The role it gives.
    #[schema(value_type = RoleSchema)]
    pub role: Role,
}

/// An invitation. The token is shown once.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Invitation {
    /// E-mail address of whom it is for.
    pub email: String,
    /// The role it gives.
    #[schema(value_type = RoleSchema)]
    pub role: Role,
    /// To be sent to them.
    pub token: String,
    /// Until when it can be accepted, µs since 1970, UTC.
    pub expires_at_us: i64,
}

/// An invitation that can still be accepted, without its token.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct OpenInvitation {
    /// Id of the invitation.
    pub id: String,
    /// E-mail address of whom it is for.
    pub email: String,
    /// The role it gives.
    #[schema(value_type = RoleSchema)]
    pub role: Role,
    /// Until when it can be accepted, µs since 1970, UTC.
    pub expires_at_us: i64,
}

/// All invitations that can still be accepted.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct OpenInvitations {
    /// The invitations.
    pub items: Vec<OpenInvitation>,
}

/// An invitation by id.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct InvitationPath {
    /// Id of the invitation.
    pub invitation: String,
}

/// Accepts an invitation. Who has no account yet makes one.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptInvitation {
    /// The token of the invitation.
    #[schema(value_type = String, format = Password)]
    pub token: Secret,
    /// Name to show, for a new account.
    #[serde(default)]
    pub name: Option<String>,
    /// Password: of a new account, or of the one there is.
    #[schema(value_type = String, format = Password)]
    pub password: Secret,
}

/// An API key without its secret.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ApiKey {
    /// Id of the key.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// How the key begins.
    pub prefix: String,
    /// It may do no more than this role, and no more than its user.
    #[schema(value_type = RoleSchema)]
    pub role: Role,
    /// Until when it is good, µs since 1970, UTC; absent for ever.
    pub expires_at_us: Option<i64>,
    /// When it was last used.
    pub last_used_at_us: Option<i64>,
}

/// API keys that are good.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ApiKeys {
    /// The keys.
    pub items: Vec<ApiKey>,
}

/// Makes an API key.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateApiKey {
    /// What it is for.
    pub name: String,
    /// What it may do at most; no more than its maker may.
    #[schema(value_type = RoleSchema)]
    pub role: Role,
    /// For how many days it is good; for ever when it is not given.
    #[serde(default)]
    pub days: Option<u32>,
}

/// A new API key. The key is shown once.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NewApiKey {
    /// The key without its secret.
    #[serde(flatten)]
    pub info: ApiKey,
    /// To be sent as `Authorization: Bearer …`.
    pub key: String,
}

/// An API key by id.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct ApiKeyPath {
    /// Id of the key.
    pub key: String,
}
