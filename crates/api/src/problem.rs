//! What every refusal looks like: `application/problem+json` (RFC 9457) with our code.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A problem as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemBody {
    /// The HTTP status, when the problem is the answer itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Stable identifier of the kind of problem, `snake_case`.
    pub code: String,
    /// The fact, in English; names in back-ticks.
    pub title: String,
    /// What the failing system said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Named values of the fact, for translations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub arguments: BTreeMap<String, String>,
    /// Whether the same request can succeed later.
    pub retry: bool,
    /// Where it arose: pipeline, node, file, line, column, setting.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub context: BTreeMap<String, String>,
}
