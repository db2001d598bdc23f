//! Where a lake lies: a local folder or a bucket, and the stores and addresses that follow.

use crate::durable_store::DurableStore;
use crate::errors::{from_io, from_store};
use model::{Name, Problem, Result, TableName, codes};
use object_store::ObjectStore;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use url::Url;

/// Where a lake lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A folder of this machine; created when it is missing.
    Local(PathBuf),
    /// A bucket and a prefix in it, with settings by the names that S3 clients use
    /// (`endpoint`, `region`, `access_key_id`, `secret_access_key`, `allow_http` …).
    S3 {
        /// The bucket.
        bucket: String,
        /// The prefix, without a slash at either end; may be empty.
        prefix: String,
        /// The settings.
        settings: BTreeMap<String, String>,
    },
}

impl Location {
    /// Reads `s3://bucket/prefix`, or takes the text for a local path.
    pub fn parse(text: &str, settings: &BTreeMap<String, String>) -> Result<Self> {
        if let Some(rest) = text.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            return Ok(Self::S3 {
                bucket: bucket.to_owned(),
                prefix: prefix.trim_matches('/').to_owned(),
                settings: settings.clone(),
            });
        }
        if text.contains("://") {
            return Err(Problem::new(
                &codes::SETTING_INVALID,
                format!("the lake cannot lie at `{text}`"),
            )
            .hint("give a folder, or `s3://bucket/prefix`"));
        }
        Ok(Self::Local(PathBuf::from(text)))
    }
}

/// A store and the place of a workspace in it.
#[derive(Debug, Clone)]
pub(crate) struct Root {
    /// The store; its paths begin at the root of the file system or bucket.
    pub(crate) store: Arc<dyn ObjectStore>,
    /// Folder of the workspace in the store.
    pub(crate) folder: Path,
    /// Address of the store's root: `file:///` or `s3://bucket/`.
    base: Url,
    /// Address under which queries find the store.
    pub(crate) query_url: Url,
}

impl Root {
    pub(crate) fn open(location: &Location, workspace: &Name) -> Result<Self> {
        match location {
            Location::Local(path) => Self::open_local(path, workspace),
            Location::S3 { bucket, prefix, settings } => {
                Self::open_s3(bucket, prefix, settings, workspace)
            }
        }
    }

    fn open_local(path: &std::path::Path, workspace: &Name) -> Result<Self> {
        stdx::durable::create_dir_all(path)
            .and_then(|()| path.canonicalize())
            .map_err(|error| from_io(&error).arg("path", path.display()).in_file(path.display()))
            .and_then(|path| {
                let folder = Path::from_absolute_path(&path).map_err(|error| {
                    Problem::new(
                        &codes::SETTING_INVALID,
                        format!("the lake cannot lie at `{}`", path.display()),
                    )
                    .detail(error)
                    .hint("choose a folder without special characters in its name")
                })?;
                Ok(Self {
                    store: Arc::new(DurableStore::new()),
                    folder: folder.join(workspace.as_str()),
                    base: parse_url("file:///")?,
                    query_url: parse_url("lake-local:///")?,
                })
            })
    }

    fn open_s3(
        bucket: &str,
        prefix: &str,
        settings: &BTreeMap<String, String>,
        workspace: &Name,
    ) -> Result<Self> {
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_conditional_put(S3ConditionalPut::ETagMatch);
        for (key, value) in settings {
            builder = builder.with_config(setting_key(key)?, value);
        }
        let store = builder.build().map_err(|error| from_store(&error))?;
        // Two lakes in one bucket can have different credentials.
        let identity = settings.iter().map(|(key, value)| format!("{key}={value}\n"));
        let hash = stdx::hash::stable_hash(identity.collect::<String>().as_bytes());
        Ok(Self {
            store: Arc::new(store),
            folder: Path::from(prefix).join(workspace.as_str()),
            base: parse_url(&format!("s3://{bucket}/"))?,
            query_url: parse_url(&format!("lake-s3-{hash:016x}://{bucket}/"))?,
        })
    }

    /// The folder of a table in the store.
    pub(crate) fn table_folder(&self, table: &TableName) -> Path {
        self.folder.clone().join(table.zone.as_str()).join(table.table.as_str())
    }

    /// Where something lies in the local file system, if this is where the lake is.
    pub(crate) fn local_path(&self, path: &Path) -> Option<PathBuf> {
        let is_local = self.base.scheme() == "file";
        is_local.then(|| LocalFileSystem::new().path_to_filesystem(path).ok()).flatten()
    }

    /// The address of a table.
    pub(crate) fn table_url(&self, table: &TableName) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("/{}/", self.table_folder(table)));
        url
    }
}

/// Settings that make two writers lose one another's commits are refused.
fn setting_key(key: &str) -> Result<AmazonS3ConfigKey> {
    let lower = key.to_lowercase();
    if lower.contains("s3_locking_provider") || lower.contains("allow_unsafe_rename") {
        return Err(Problem::new(
            &codes::SETTING_INVALID,
            format!("the S3 setting `{key}` is not accepted"),
        )
        .arg("setting", key)
        .hint("remove it: commits use conditional writes, which need no lock"));
    }
    AmazonS3ConfigKey::from_str(&lower).map_err(|error| {
        Problem::new(&codes::SETTING_INVALID, format!("there is no S3 setting `{key}`"))
            .arg("setting", key)
            .detail(error)
            .hint("settings are `endpoint`, `region`, `access_key_id`, `secret_access_key` …")
    })
}

fn parse_url(text: &str) -> Result<Url> {
    Url::parse(text).map_err(|error| {
        Problem::new(&codes::SETTING_INVALID, format!("`{text}` is not an address")).detail(error)
    })
}
