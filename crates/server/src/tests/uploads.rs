//! Uploads and quotas: streamed, cleaned, limited, kept inside of the folder.

use super::support::{Answer, HOST, Server};
use crate::uploads::BYTES_MAX;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use futures::stream;
use model::Role;
use serde_json::json;
use std::convert::Infallible;
use std::path::PathBuf;

const UPLOADS: &str = "/api/v1/workspaces/shop/uploads";

async fn upload(server: &Server, cookie: &str, name: &str, body: Body) -> Answer {
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("{UPLOADS}?name={name}"))
        .header("host", HOST)
        .header("cookie", cookie)
        .header("sec-fetch-site", "same-origin")
        .body(body)
        .unwrap();
    server.send(request).await
}

/// Everything below the folder of uploads.
fn files(server: &Server) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![server.folder.path().join("project/uploads")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => found.push(entry.path()),
            }
        }
    }
    found
}

#[tokio::test]
async fn a_file_comes_in_pieces_and_lies_where_the_answer_says() {
    let server = Server::new().await;
    let (owner, shop) = server.set_up().await;
    let cookie = server.session(&owner.id).await;
    let pieces = ["id,price\n", "1,2.50\n", "2,3.00\n"].map(Ok::<_, Infallible>);
    let body = Body::from_stream(stream::iter(pieces));
    let made = upload(&server, &cookie, "..%2F..%2FMy%20orders.csv", body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let path = made.body["path"].as_str().unwrap();
    assert!(path.starts_with("uploads/shop/") && path.ends_with("/My_orders.csv"), "{path}");
    let file = server.folder.path().join("project").join(path);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "id,price\n1,2.50\n2,3.00\n");
    assert_eq!(made.body["size"], 23);
    assert_eq!(made.body["sha256"].as_str().unwrap().len(), 64);
    let list = server.get(UPLOADS, Some(&cookie)).await;
    assert_eq!(list.body["items"][0]["name"], "../../My orders.csv");
    let viewer = server.member(&shop, Role::Viewer).await;
    let theirs = server.session(&viewer.id).await;
    let refused = upload(&server, &theirs, "x.csv", Body::from("x\n")).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let one = format!("{UPLOADS}/{}", made.body["id"].as_str().unwrap());
    let removed = server.json(Method::DELETE, &one, Some(&cookie), json!({})).await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT);
    assert_eq!(files(&server), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn what_is_too_long_broken_off_or_something_else_leaves_nothing() {
    let server = Server::new().await;
    let (owner, _) = server.set_up().await;
    let cookie = server.session(&owner.id).await;
    let megabyte = vec![b'x'; 1 << 20];
    let of = |megabytes: u64, rest: usize| {
        let mut pieces: Vec<Vec<u8>> = (0..megabytes).map(|_| megabyte.clone()).collect();
        pieces.push(vec![b'x'; rest]);
        Body::from_stream(stream::iter(pieces.into_iter().map(Ok::<_, Infallible>)))
    };
    let fits = upload(&server, &cookie, "fits.csv", of(BYTES_MAX >> 20, 0)).await;
    assert_eq!(fits.status, StatusCode::CREATED, "{fits:?}");
    let one = format!("{UPLOADS}/{}", fits.body["id"].as_str().unwrap());
    server.json(Method::DELETE, &one, Some(&cookie), json!({})).await;
    let too_long = upload(&server, &cookie, "long.csv", of(BYTES_MAX >> 20, 1)).await;
    assert_eq!(too_long.code(), "request_too_large");
    let pieces = [Ok("a,b\n"), Err(std::io::Error::other("the line is cut"))];
    let cut = upload(&server, &cookie, "cut.csv", Body::from_stream(stream::iter(pieces))).await;
    assert_eq!(cut.code(), "request_invalid");
    for (name, body) in
        [("x.exe", "MZ"), ("x.parquet", "id,price"), ("x.xlsx", "<html>"), ("x.csv", "")]
    {
        let refused = upload(&server, &cookie, name, Body::from(body)).await;
        assert_eq!(refused.code(), "request_invalid", "{name}");
    }
    assert_eq!(files(&server), Vec::<PathBuf>::new());
    assert_eq!(server.get(UPLOADS, Some(&cookie)).await.body["items"], json!([]));
}

#[tokio::test]
async fn s_07_a_link_in_the_folder_is_not_followed() {
    let server = Server::new().await;
    let (owner, _) = server.set_up().await;
    let cookie = server.session(&owner.id).await;
    let outside = tempfile::tempdir().unwrap();
    let uploads = server.folder.path().join("project/uploads");
    std::fs::create_dir_all(&uploads).unwrap();
    std::os::unix::fs::symlink(outside.path(), uploads.join("shop")).unwrap();
    let refused = upload(&server, &cookie, "x.csv", Body::from("a\n")).await;
    assert!(refused.status.is_server_error(), "{refused:?}");
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_quota_is_set_by_the_owner_of_the_installation_and_holds() {
    let server = Server::new().await;
    let (owner, shop) = server.set_up().await;
    let cookie = server.session(&owner.id).await;
    let other = server.member(&shop, Role::Owner).await;
    let theirs = server.session(&other.id).await;
    let quota = "/api/v1/workspaces/shop/quotas/upload_bytes";
    let ten = json!({"maximum": 10});
    let refused = server.json(Method::PUT, quota, Some(&theirs), ten.clone()).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let negative = server.json(Method::PUT, quota, Some(&cookie), json!({"maximum": -1})).await;
    assert_eq!(negative.code(), "request_invalid");
    let set = server.json(Method::PUT, quota, Some(&cookie), ten).await;
    assert_eq!(set.status, StatusCode::NO_CONTENT, "{set:?}");
    let list = server.get("/api/v1/workspaces/shop/quotas", Some(&theirs)).await;
    let of_uploads = json!({"quota": "upload_bytes", "maximum": 10});
    assert!(list.body["items"].as_array().unwrap().contains(&of_uploads), "{list:?}");
    let fits = upload(&server, &theirs, "a.csv", Body::from("123456")).await;
    assert_eq!(fits.status, StatusCode::CREATED);
    let more = upload(&server, &theirs, "b.csv", Body::from("12345")).await;
    assert_eq!(more.code(), "quota_exceeded");
    assert_eq!(files(&server).len(), 1);
    let fits = upload(&server, &theirs, "c.csv", Body::from("1234")).await;
    assert_eq!(fits.status, StatusCode::CREATED);
    server.json(Method::PUT, quota, Some(&cookie), json!({"maximum": null})).await;
    let more = upload(&server, &theirs, "d.csv", Body::from("12345")).await;
    assert_eq!(more.status, StatusCode::CREATED);
}
