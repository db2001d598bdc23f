//! Looking behind connections to object stores.

use super::s3::{S3Settings, TYPE, problem};
use crate::look::{Found, Place};
use contracts::Context;
use futures::StreamExt;
use model::{Name, Problem, Result, codes};
use object_store::ObjectStore;
use object_store::path::Path as Key;

/// Reads the beginning of the bucket's listing.
pub(crate) async fn test(context: &Context, name: &Name) -> Result<String> {
    let settings = S3Settings::of(context.connection(name, &[TYPE])?)?;
    let Some(bucket) = &settings.bucket else {
        return Err(Problem::new(&codes::SETTING_INVALID, "the connection names no bucket to try")
            .hint("write `bucket: NAME`, or browse a bucket by name"));
    };
    let client = settings.client(bucket)?;
    let first = client.list(None).next().await;
    match first {
        None => Ok(format!("the bucket `{bucket}` answers; it is empty")),
        Some(Ok(_)) => Ok(format!("the bucket `{bucket}` answers")),
        Some(Err(error)) => Err(problem(&format!("s3://{bucket}"), error)),
    }
}

/// Folders and files of a folder: `bucket/folder/`, or `folder/` when the connection has a bucket.
pub(crate) async fn browse(context: &Context, name: &Name, place: &Place) -> Result<Vec<Found>> {
    let settings = S3Settings::of(context.connection(name, &[TYPE])?)?;
    let path = place.path.trim_matches('/');
    let (bucket, folder) = match &settings.bucket {
        Some(bucket) => (bucket.as_str(), path),
        None => path.split_once('/').unwrap_or((path, "")),
    };
    if bucket.is_empty() {
        return Err(Problem::new(&codes::SETTING_INVALID, "no bucket is named")
            .hint("look into `BUCKET/`, or write `bucket: NAME` into the connection"));
    }
    let shown = format!("s3://{bucket}/{folder}");
    let key = Key::parse(folder).map_err(|error| {
        Problem::new(&codes::SETTING_INVALID, format!("`{folder}` is not a folder's name"))
            .detail(error)
    })?;
    let client = settings.client(bucket)?;
    let listed = client.list_with_delimiter(Some(&key)).await.map_err(|e| problem(&shown, e))?;
    let last = |key: &Key| key.filename().unwrap_or_default().to_owned();
    let folders = listed.common_prefixes.iter().map(|key| Found {
        name: last(key),
        kind: "folder",
        detail: None,
    });
    let files = listed.objects.iter().map(|object| Found {
        name: last(&object.location),
        kind: "file",
        detail: Some(format!("{} bytes", stdx::text::group_digits(object.size))),
    });
    let prefix = place.prefix.to_lowercase();
    let wanted = |found: &Found| found.name.to_lowercase().starts_with(&prefix);
    Ok(folders.chain(files).filter(wanted).take(place.limit).collect())
}
