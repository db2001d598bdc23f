//! Uploaded files, and how much a workspace may have.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A file that somebody has uploaded.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Upload {
    /// Id of the upload.
    pub id: String,
    /// What the file was called.
    pub name: String,
    /// What a source's `path` says to read it.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// SHA-256 of the content.
    pub sha256: String,
    /// Id of who uploaded it.
    pub uploaded_by: Option<String>,
    /// When, µs since 1970, UTC.
    pub created_at_us: i64,
}

/// Uploads, the newest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct UploadPage {
    /// The items of this page.
    pub items: Vec<Upload>,
    /// Where the next page begins; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What an uploaded file is called.
#[derive(Debug, Clone, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UploadQuery {
    /// Name of the file. Its ending says what it is.
    pub name: String,
}

/// An upload by id.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct UploadPath {
    /// Id of the upload.
    pub upload: String,
}

/// What a workspace may have a limited amount of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum QuotaKind {
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

/// How much of something a workspace may have.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct QuotaState {
    /// Of what.
    pub quota: QuotaKind,
    /// How much; absent when there is no limit.
    pub maximum: Option<i64>,
}

/// All quotas of a workspace.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct QuotaStates {
    /// One item per kind.
    pub items: Vec<QuotaState>,
}

/// Sets a quota.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetQuota {
    /// How much there may be; null for as much as wanted.
    pub maximum: Option<i64>,
}

/// A quota of a workspace.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct QuotaPath {
    /// Name of the workspace.
    pub workspace: String,
    /// The quota.
    #[param(inline)]
    pub quota: QuotaKind,
}
