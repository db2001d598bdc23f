//! Secrets of connections: set and removed, never given out.

use model::Secret;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// What may be shown of a secret.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SecretHead {
    /// The connection that it belongs to.
    pub connection: String,
    /// Its name: what `${secret:…}` says in the connection's document.
    pub name: String,
    /// Where it may be sent.
    pub bound_to: String,
    /// Whether the connection still leads there. A secret that is not usable must be set anew.
    pub usable: bool,
    /// When it was set, µs since 1970, UTC.
    pub updated_at_us: i64,
}

/// All secrets of a workspace.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Secrets {
    /// The secrets.
    pub items: Vec<SecretHead>,
}

/// Sets a secret.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetSecret {
    /// The value: 1 to 65,536 bytes.
    #[schema(value_type = String, format = Password)]
    pub value: Secret,
}

/// A secret of a connection.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct SecretPath {
    /// Name of the connection.
    pub connection: String,
    /// Name of the secret.
    pub secret: String,
}
