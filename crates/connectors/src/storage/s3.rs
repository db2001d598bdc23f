//! Files in S3 and in stores that speak its protocol.

use super::{Download, FileStore, StoredFile, changed, io_problem, save, too_large};
use async_trait::async_trait;
use bytes::Bytes;
use contracts::Context;
use futures::{StreamExt, TryStreamExt};
use model::connection::Connection;
use model::secret::Secret;
use model::{Name, Problem, Result, codes};
use object_store::aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut};
use object_store::path::Path as Key;
use object_store::{
    BackoffConfig, ClientOptions, Error, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMode, PutOptions, PutPayload, RetryConfig, WriteMultipart,
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::Path;
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// The type of connection.
pub const TYPE: &str = "s3";

const PART_BYTES: usize = 8 << 20;
const PARTS_AT_ONCE: usize = 4;
const SMALL_FILE_BYTES_MAX: u64 = 64 << 20;
const CREATE_ATTEMPTS_MAX: usize = 5;

/// Settings of a connection of type `s3`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct S3Settings {
    /// URL of the service, for stores other than Amazon's: `https://minio.example.org`.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Region of the bucket.
    #[serde(default = "default_region")]
    pub region: String,
    /// The only bucket that this connection may use; any when not given.
    #[serde(default)]
    pub bucket: Option<String>,
    /// Access key id. Without it requests are not signed, which public buckets allow.
    #[serde(default)]
    pub access_key_id: Option<String>,
    /// Secret access key.
    #[serde(default)]
    pub secret_access_key: Option<Secret>,
    /// Session token, for temporary keys.
    #[serde(default)]
    pub session_token: Option<Secret>,
    /// Whether an `endpoint` without encryption is accepted.
    #[serde(default)]
    pub allow_http: bool,
    /// Whether the bucket is part of the host name (`bucket.host/key`) and not of the path.
    #[serde(default)]
    pub virtual_hosted: bool,
}

fn default_region() -> String {
    "us-east-1".to_owned()
}

impl S3Settings {
    /// The settings of a connection.
    pub fn of(connection: &Connection) -> Result<Self> {
        // These options of other tools turn atomic commits off; they deserve more than "unknown".
        let unsafe_option = connection.settings.keys().find(|key| {
            let key = key.to_ascii_lowercase();
            key.contains("locking") || key.contains("unsafe_rename") || key.contains("dynamo")
        });
        if let Some(option) = unsafe_option {
            return Err(Problem::new(
                &codes::SETTING_INVALID,
                format!("the setting `{option}` is refused: commits would be lost"),
            )
            .arg("setting", option)
            .hint("leave it out: writes are made safe by conditional requests, without locks")
            .in_file(format!("connections/{}.yaml", connection.name)));
        }
        Context::settings(connection)
    }

    /// A client for one bucket.
    pub fn client(&self, bucket: &str) -> Result<AmazonS3> {
        let client = ClientOptions::new()
            .with_connect_timeout(Duration::from_secs(10))
            .with_timeout(Duration::from_secs(300))
            .with_allow_http(self.allow_http);
        let retry = RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: 5,
            retry_timeout: Duration::from_secs(60),
        };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(&self.region)
            .with_client_options(client)
            .with_retry(retry)
            .with_virtual_hosted_style_request(self.virtual_hosted)
            .with_conditional_put(S3ConditionalPut::ETagMatch);
        if let Some(endpoint) = &self.endpoint {
            if endpoint.starts_with("http://") && !self.allow_http {
                return Err(Problem::new(
                    &codes::SETTING_INVALID,
                    format!("the endpoint `{endpoint}` is not encrypted"),
                )
                .hint("write `https://`, or `allow_http: true` where the network is your own"));
            }
            builder = builder.with_endpoint(endpoint);
        }
        builder = match (&self.access_key_id, &self.secret_access_key) {
            (Some(id), Some(secret)) => {
                builder.with_access_key_id(id).with_secret_access_key(secret.reveal())
            }
            (None, None) => builder.with_skip_signature(true),
            _ => {
                return Err(Problem::new(
                    &codes::SETTING_INVALID,
                    "`access_key_id` and `secret_access_key` go together",
                )
                .hint("give both, or none for a public bucket"));
            }
        };
        if let Some(token) = &self.session_token {
            builder = builder.with_token(token.reveal());
        }
        builder.build().map_err(|error| {
            Problem::new(&codes::SETTING_INVALID, "the object store cannot be set up")
                .detail(error)
                .hint("check `endpoint`, `region` and `bucket` of the connection")
        })
    }
}

/// One bucket.
pub struct S3Store {
    bucket: String,
    client: AmazonS3,
}

impl S3Store {
    /// The bucket that `path` (`s3://bucket/key`) names, through a connection.
    pub fn open(context: &Context, connection: &Name, path: &str) -> Result<Self> {
        let connection = context.connection(connection, &[TYPE])?;
        let settings = S3Settings::of(connection)?;
        let (bucket, _) = split(path)?;
        if let Some(only) = &settings.bucket
            && only != bucket
        {
            return Err(Problem::new(
                &codes::SETTING_INVALID,
                format!(
                    "connection `{}` is for the bucket `{only}`, not `{bucket}`",
                    connection.name
                ),
            )
            .hint("use another connection, or correct the path"));
        }
        let client = settings.client(bucket)?;
        Ok(Self { bucket: bucket.to_owned(), client })
    }

    fn key(&self, path: &str) -> Result<Key> {
        let (bucket, key) = split(path)?;
        if bucket != self.bucket {
            return Err(Problem::new(
                &codes::INTERNAL,
                format!("`{path}` is not in the bucket `{}`", self.bucket),
            ));
        }
        Key::parse(key.trim_end_matches('/')).map_err(|error| {
            Problem::new(&codes::SETTING_INVALID, format!("`{path}` is not a valid key"))
                .arg("path", path)
                .detail(error)
                .hint("keys have no empty parts and no `.` or `..`")
        })
    }

    fn describe(&self, meta: &ObjectMeta) -> StoredFile {
        StoredFile {
            path: format!("s3://{}/{}", self.bucket, meta.location),
            size: Some(meta.size),
            version: Some(version(meta)),
        }
    }

    async fn put_if_absent(&self, key: &Key, bytes: &[u8]) -> Result<(), Error> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let payload = PutPayload::from(bytes.to_vec());
        self.client.put_opts(key, payload, options).await.map(drop)
    }

    async fn upload_parts(&self, from: &Path, key: &Key, path: &str) -> Result<()> {
        let shown = from.display();
        let mut file = tokio::fs::File::open(from).await.map_err(|e| io_problem(&shown, &e))?;
        let upload = self.client.put_multipart(key).await.map_err(|e| problem(path, e))?;
        let mut writer = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        loop {
            let mut part = Vec::with_capacity(PART_BYTES);
            let limit = PART_BYTES as u64;
            let read = (&mut file).take(limit).read_to_end(&mut part).await;
            let waited = match read {
                Ok(0) => break,
                Ok(_) => writer.wait_for_capacity(PARTS_AT_ONCE).await,
                Err(error) => {
                    let _ = writer.abort().await;
                    return Err(io_problem(&shown, &error));
                }
            };
            if let Err(error) = waited {
                let _ = writer.abort().await;
                return Err(problem(path, error));
            }
            writer.put(Bytes::from(part));
        }
        writer.finish().await.map(drop).map_err(|e| problem(path, e))
    }
}

/// `s3://bucket/key` → bucket, key.
fn split(path: &str) -> Result<(&str, &str)> {
    let rest = path.get("s3://".len()..).unwrap_or_default();
    match rest.split_once('/') {
        Some((bucket, key)) if !bucket.is_empty() => Ok((bucket, key)),
        _ => Err(Problem::new(
            &codes::SETTING_INVALID,
            format!("`{path}` does not name a bucket and a key"),
        )
        .arg("path", path)
        .hint("write `s3://bucket/folder/file.csv`")),
    }
}

fn version(meta: &ObjectMeta) -> String {
    match &meta.e_tag {
        Some(e_tag) => e_tag.trim_matches('"').to_owned(),
        None => meta.last_modified.timestamp_micros().to_string(),
    }
}

/// What the store says, as a problem with the file `path`.
pub(super) fn problem(path: &str, error: Error) -> Problem {
    let problem = match &error {
        Error::NotFound { .. } => {
            Problem::new(&codes::FILE_NOT_FOUND, format!("there is no file `{path}`"))
                .hint("check the bucket and the key; capitals matter")
        }
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            Problem::new(&codes::PERMISSION_DENIED, format!("the store denies access to `{path}`"))
                .hint(
                    "check `access_key_id`, `secret_access_key` and what this key may do in the \
                     bucket",
                )
        }
        Error::Precondition { .. } | Error::NotModified { .. } => changed(path),
        _ => Problem::new(&codes::STORAGE_FAILED, format!("the store failed on `{path}`"))
            .hint("check `endpoint` and `region` of the connection, then run again"),
    };
    // The innermost cause says most; the outer layers only repeat the path.
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    problem.arg("path", path).detail(stdx::text::truncate(&cause.to_string(), 500))
}

#[async_trait]
impl FileStore for S3Store {
    async fn list(&self, folder: &str) -> Result<Vec<StoredFile>> {
        let key = self.key(folder)?;
        let prefix = Some(&key).filter(|key| !key.as_ref().is_empty());
        let metas: Vec<ObjectMeta> =
            self.client.list(prefix).try_collect().await.map_err(|e| problem(folder, e))?;
        Ok(metas.iter().map(|meta| self.describe(meta)).collect())
    }

    async fn head(&self, path: &str) -> Result<Option<StoredFile>> {
        match self.client.head(&self.key(path)?).await {
            Ok(meta) => Ok(Some(self.describe(&meta))),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(problem(path, error)),
        }
    }

    async fn download(
        &self,
        path: &str,
        to: &Path,
        wanted: Option<&str>,
        bytes_max: u64,
    ) -> Result<Download> {
        let options = GetOptions::default();
        let got = self.client.get_opts(&self.key(path)?, options).await;
        let got = got.map_err(|e| problem(path, e))?;
        let found = version(&got.meta);
        if wanted.is_some_and(|wanted| wanted != found) {
            return Err(changed(path));
        }
        if got.meta.size > bytes_max {
            return Err(too_large(path, bytes_max));
        }
        let stream = got.into_stream().map(|bytes| bytes.map_err(|e| problem(path, e)));
        let (size, sha256) = save(stream.boxed(), path, to, bytes_max).await?;
        Ok(Download { size, version: Some(found), sha256 })
    }

    async fn get(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let got = match self.client.get(&self.key(path)?).await {
            Err(Error::NotFound { .. }) => return Ok(None),
            got => got.map_err(|e| problem(path, e))?,
        };
        if got.meta.size > SMALL_FILE_BYTES_MAX {
            return Err(too_large(path, SMALL_FILE_BYTES_MAX));
        }
        let bytes = got.bytes().await.map_err(|e| problem(path, e))?;
        Ok(Some(bytes.to_vec()))
    }

    async fn publish(&self, from: &Path, path: &str) -> Result<()> {
        let key = self.key(path)?;
        let shown = from.display();
        let metadata = tokio::fs::metadata(from).await.map_err(|e| io_problem(&shown, &e))?;
        stdx::durable::step(path).map_err(|e| io_problem(path, &e))?;
        if metadata.len() > PART_BYTES as u64 {
            return self.upload_parts(from, &key, path).await;
        }
        let bytes = tokio::fs::read(from).await.map_err(|e| io_problem(&shown, &e))?;
        self.client.put(&key, PutPayload::from(bytes)).await.map_err(|e| problem(path, e))?;
        Ok(())
    }

    async fn create(&self, path: &str, bytes: &[u8]) -> Result<bool> {
        let key = self.key(path)?;
        stdx::durable::step(path).map_err(|e| io_problem(path, &e))?;
        let mut attempt = 1;
        loop {
            let Err(error) = self.put_if_absent(&key, bytes).await else { return Ok(true) };
            // Refused or lost, the object says what happened: an answer that never came may
            // belong to a write that did.
            match self.get(path).await? {
                Some(there) => return Ok(there == bytes),
                None if attempt == CREATE_ATTEMPTS_MAX => return Err(problem(path, error)),
                None => attempt += 1,
            }
        }
    }

    async fn delete(&self, path: &str) -> Result<()> {
        stdx::durable::step(path).map_err(|e| io_problem(path, &e))?;
        match self.client.delete(&self.key(path)?).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(problem(path, error)),
        }
    }
}
