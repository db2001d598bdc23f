//! Signing in and out.

use crate::workspaces::Workspace;
use model::Secret;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Makes the first user, the owner of the installation and of its first workspace.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetUp {
    /// The one-time token that the server has printed.
    #[schema(value_type = String, format = Password)]
    pub token: Secret,
    /// E-mail address to sign in with.
    pub email: String,
    /// Name to show.
    pub name: String,
    /// At least 12 characters, not easy to guess.
    #[schema(value_type = String, format = Password)]
    pub password: Secret,
    /// Name of the first workspace, `^[a-z][a-z0-9_]{0,62}$`.
    pub workspace: String,
}

/// The link that a server for one person has printed.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OpenLink {
    /// The token of the link.
    #[param(value_type = String)]
    pub token: Secret,
}

/// E-mail and password.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// E-mail address.
    pub email: String,
    /// Password.
    #[schema(value_type = String, format = Password)]
    pub password: Secret,
}

/// Asks for new tokens.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    /// The refresh token of the last answer; each can be used once.
    #[schema(value_type = String, format = Password)]
    pub refresh_token: Secret,
}

/// Tokens for programs.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Tokens {
    /// To be sent as `Authorization: Bearer …`.
    pub access_token: String,
    /// Seconds for which the access token is good.
    pub expires_in: u64,
    /// For the next pair of tokens. Using it twice ends the whole chain.
    pub refresh_token: String,
}

/// Changes one's own password. All sessions end; the browser that asks gets a new one.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePassword {
    /// The password so far.
    #[schema(value_type = String, format = Password)]
    pub old: Secret,
    /// The new one.
    #[schema(value_type = String, format = Password)]
    pub new: Secret,
}

/// Who one is.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Me {
    /// Id of the user.
    pub id: String,
    /// E-mail address.
    pub email: String,
    /// Name to show.
    pub name: String,
    /// Whether the user manages the installation.
    pub manages_installation: bool,
    /// The workspaces that the user is a member of.
    pub workspaces: Vec<Workspace>,
}

/// A place where somebody is signed in.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// Names the session, and is no secret.
    pub id: String,
    /// When it began, µs since 1970, UTC.
    pub created_at_us: i64,
    /// When it was last used.
    pub seen_at_us: i64,
    /// Address it began from.
    pub ip: String,
    /// Program it began from.
    pub user_agent: String,
    /// Whether it is the one that asks.
    pub current: bool,
}

/// Sessions, the one used last first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Sessions {
    /// The sessions.
    pub items: Vec<Session>,
}

/// An attempt to sign in.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SignInAttempt {
    /// When it was, µs since 1970, UTC.
    pub at_us: i64,
    /// Address it came from.
    pub ip: String,
    /// Whether it succeeded.
    pub succeeded: bool,
}

/// Attempts to sign in, the newest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SignInPage {
    /// The attempts of this page.
    pub items: Vec<SignInAttempt>,
    /// Where the next page begins; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A session by its id.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct SessionPath {
    /// Id of the session.
    pub session: String,
}
