//! Connections and their secrets: who may set, use and see what, and where a secret ends.

use super::audit::dump;
use super::puppet::Puppet;
use super::support::{Answer, Server};
use crate::MasterKey;
use crate::connections::{Connector, Look, LookOrder, Looked, secrets_of};
use api::connections::{Browsed, ConnectionType, Found};
use async_trait::async_trait;
use axum::http::{Method, StatusCode};
use model::{Name, Problem, Result, Role, codes};
use serde_json::{Value, json};
use store::{DefinitionKey, DefinitionKind, NewVersion, WorkspaceId};

const SHOP: &str = "/api/v1/workspaces/shop";
const SECRET: &str = "/api/v1/workspaces/shop/connections/erp/secrets/pw";
const TEST: &str = "/api/v1/workspaces/shop/connections/erp/test";
const CANARY: &str = "canary-7f3a9c-of-the-river";

#[async_trait]
impl Connector for Puppet {
    fn types(&self) -> Vec<ConnectionType> {
        vec![ConnectionType { name: "postgres".to_owned(), schema: json!({"type": "object"}) }]
    }

    async fn look(&self, order: LookOrder) -> Result<Looked> {
        let LookOrder { connection, look, .. } = order;
        let password = connection.settings["password"].as_str().unwrap().to_owned();
        self.looks.lock().unwrap().push(connection);
        match look {
            // Servers that repeat what they were sent.
            Look::Test if password.is_empty() => {
                Err(Problem::new(&codes::CONNECTION_REFUSED, "no password").detail(password))
            }
            Look::Test => Ok(Looked::Works(format!("welcome with {password}"))),
            Look::Browse { path, .. } => {
                let found = Found { name: path, kind: "schema".to_owned(), detail: None };
                Ok(Looked::There(Browsed { items: vec![found], more: false }))
            }
        }
    }
}

fn document(host: &str) -> String {
    format!(
        "affluent: 1\nkind: connection\nname: erp\ntype: postgres\nhost: {host}\n\
         database: shop\nuser: etl\npassword: ${{secret:pw}}\n"
    )
}

async fn save(server: &Server, workspace: &WorkspaceId, text: &str) {
    let definitions = server.app.store.workspace(workspace).definitions();
    let name = Name::new("erp").unwrap();
    let key = DefinitionKey { kind: DefinitionKind::Connection, name };
    let current = definitions.get(&key).await.ok().map(|found| found.version.number);
    let new = NewVersion {
        text: text.to_owned(),
        sha256: format!("hash of {text}"),
        author: None,
        message: String::new(),
    };
    definitions.save(&key, new, current, server.app.now_us()).await.unwrap();
}

/// A server with a connection and its secret, and the cookie of the owner.
async fn with_secret() -> (Server, WorkspaceId, String) {
    let server = Server::new().await;
    let (owner, shop) = server.set_up().await;
    let cookie = server.session(&owner.id).await;
    save(&server, &shop, &document("db.example.org")).await;
    let set = server.json(Method::PUT, SECRET, Some(&cookie), json!({"value": CANARY})).await;
    assert_eq!(set.status, StatusCode::NO_CONTENT, "{set:?}");
    (server, shop, cookie)
}

async fn test(server: &Server, cookie: &str, body: Value) -> Answer {
    server.json(Method::POST, TEST, Some(cookie), body).await
}

#[tokio::test]
async fn s_12_a_secret_is_used_and_seen_nowhere() {
    let (server, shop, cookie) = with_secret().await;
    let tested = test(&server, &cookie, json!({})).await;
    assert_eq!(tested.body["answered"], "welcome with ***", "{tested:?}");
    assert_eq!(server.puppet.looks.lock().unwrap()[0].settings["password"], CANARY);
    let workspace = server.app.store.workspace(&shop);
    let secrets = secrets_of(&server.app, &workspace).await.unwrap();
    assert_eq!((secrets.len(), secrets[0].value.reveal()), (1, CANARY));
    assert_eq!((secrets[0].connection.as_str(), secrets[0].name.as_str()), ("erp", "pw"));
    assert!(!format!("{secrets:?}").contains(CANARY));
    // All that can be read by anybody.
    let mut seen = String::new();
    for route in crate::routes().iter().filter(|route| route.method == Method::GET) {
        let path = super::walk::filled(route).replace("/quick", "/erp");
        if !path.contains("/live") {
            seen.push_str(&format!("{:?}", server.get(&path, Some(&cookie)).await));
        }
    }
    seen.push_str(&dump(&server));
    seen.push_str(&format!("{:?}", server.app.seals));
    for entry in std::fs::read_dir(server.folder.path()).unwrap().flatten() {
        if entry.path().is_file() {
            seen.push_str(&String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap()));
        }
    }
    assert!(seen.contains("secret.set"), "the trail says that it was set");
    let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, CANARY);
    for canary in [CANARY, base64.trim_end_matches('=')] {
        assert!(!seen.contains(canary), "{canary} is to be seen");
    }
}

#[tokio::test]
async fn s_10_a_changed_host_gets_no_stored_secret() {
    let (server, shop, cookie) = with_secret().await;
    let elsewhere = document("attacker.example");
    let tested = test(&server, &cookie, json!({"text": elsewhere})).await;
    assert_eq!(tested.body["works"], false);
    assert_eq!(tested.body["problem"]["code"], "secret_missing", "{tested:?}");
    save(&server, &shop, &elsewhere).await;
    let tested = test(&server, &cookie, json!({})).await;
    assert_eq!(tested.body["problem"]["code"], "secret_missing", "{tested:?}");
    assert!(server.puppet.looks.lock().unwrap().is_empty(), "nobody was asked anything");
    let workspace = server.app.store.workspace(&shop);
    assert!(secrets_of(&server.app, &workspace).await.unwrap().is_empty());
    let list = server.get(&format!("{SHOP}/secrets"), Some(&cookie)).await;
    assert_eq!(list.body["items"][0]["usable"], false);
    assert_eq!(list.body["items"][0]["bound_to"], "postgres host=db.example.org");
    // Not even for somebody who can write into the database.
    let sql = "UPDATE secrets SET bound_host = 'postgres host=attacker.example'";
    super::audit::database(&server).execute_batch(sql).unwrap();
    let tested = test(&server, &cookie, json!({})).await;
    assert_eq!(tested.body["problem"]["code"], "file_corrupt", "{tested:?}");
    // Set anew, it is for the new place.
    server.json(Method::PUT, SECRET, Some(&cookie), json!({"value": "another one"})).await;
    let tested = test(&server, &cookie, json!({})).await;
    assert_eq!(tested.body["works"], true, "{tested:?}");
}

#[tokio::test]
async fn s_12_a_sealed_value_moved_to_another_row_does_not_open() {
    let (server, _, cookie) = with_secret().await;
    let set = json!({"value": "of the other"});
    let other = SECRET.replace("/pw", "/other");
    server.json(Method::PUT, &other, Some(&cookie), set).await;
    let swap = "UPDATE secrets SET (ciphertext, nonce) = \
         (SELECT ciphertext, nonce FROM secrets WHERE name = 'other') WHERE name = 'pw'";
    super::audit::database(&server).execute_batch(swap).unwrap();
    let tested = test(&server, &cookie, json!({})).await;
    assert_eq!(tested.body["problem"]["code"], "file_corrupt", "{tested:?}");
}

#[tokio::test]
async fn who_may_set_and_who_may_test() {
    let (server, shop, _) = with_secret().await;
    for role in Role::ALL {
        let member = server.member(&shop, role).await;
        let cookie = server.session(&member.id).await;
        let set = server.json(Method::PUT, SECRET, Some(&cookie), json!({"value": "v"})).await;
        assert_eq!(set.status == StatusCode::NO_CONTENT, role >= Role::Admin, "{role}");
        let tested = test(&server, &cookie, json!({})).await;
        assert_eq!(tested.status == StatusCode::OK, role >= Role::Editor, "{role}");
        let browse = format!("{SHOP}/connections/erp/browse?path=public");
        let browsed = server.get(&browse, Some(&cookie)).await;
        assert_eq!(browsed.status == StatusCode::OK, role >= Role::Editor, "{role}");
        let list = server.get(&format!("{SHOP}/connections"), Some(&cookie)).await;
        assert_eq!(list.body["items"][0]["leads_to"], "postgres host=db.example.org");
        assert_eq!(list.body["items"][0]["secrets"][0]["usable"], true);
    }
}

#[tokio::test]
async fn what_cannot_be_a_secret_is_refused() {
    let (server, _, cookie) = with_secret().await;
    let put = async |path: &str, value: Value| {
        server.json(Method::PUT, path, Some(&cookie), json!({"value": value})).await
    };
    assert_eq!(put(SECRET, json!("")).await.code(), "request_invalid");
    assert_eq!(put(SECRET, json!("x".repeat(65_537))).await.code(), "request_invalid");
    assert_eq!(put(&SECRET.replace("/pw", "/Pass"), json!("x")).await.code(), "name_invalid");
    let nowhere = SECRET.replace("/erp/", "/nowhere/");
    assert_eq!(put(&nowhere, json!("x")).await.status, StatusCode::NOT_FOUND);
    let clear = document("db.example.org").replace("${secret:pw}", "hunter2");
    let tested = test(&server, &cookie, json!({"text": clear})).await;
    assert_eq!(tested.code(), "setting_invalid");
    assert!(!format!("{tested:?}").contains("hunter2"), "{tested:?}");
    let removed = server.json(Method::DELETE, SECRET, Some(&cookie), json!({})).await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT);
    let tested = test(&server, &cookie, json!({})).await;
    assert_eq!(tested.body["problem"]["code"], "secret_missing");
}

#[tokio::test]
async fn s_12_a_new_master_key_takes_everything_over_while_the_server_works() {
    let (server, shop, cookie) = with_secret().await;
    let file = server.folder.path().join("master.key");
    let (store, now_us) = (&server.app.store, server.app.now_us());
    server.app.auditor.close_segments(store, now_us + 2 * 86_400_000_000).await.unwrap();
    let old = MasterKey::open(&file).unwrap();
    let before = dump(&server);
    let new = MasterKey::generate().unwrap().after(&old);
    new.replace(&file).unwrap();
    let rotated = crate::rotate(store, &new, now_us).await.unwrap();
    assert_eq!((rotated.secrets, rotated.checkpoints), (1, 1));
    assert_ne!(dump(&server), before);
    // The server has noticed by itself, and what it seals now is sealed with the new key.
    assert_eq!(test(&server, &cookie, json!({})).await.body["works"], true);
    let other = SECRET.replace("/pw", "/other");
    server.json(Method::PUT, &other, Some(&cookie), json!({"value": "later"})).await;
    let again = crate::rotate(store, &new, now_us).await.unwrap();
    assert_eq!(again.secrets, 0);
    // Nothing needs the old key any more.
    let alone = MasterKey::open(&file).unwrap().without_former();
    let states = crate::verify_audit(store, &alone, now_us).await.unwrap();
    assert!(states.iter().all(|state| state.broken.is_none()), "{states:?}");
    let stored = store.workspace(&shop).secrets().sealed().await.unwrap();
    let seals = crate::identity::seal::Seals::new(&alone);
    assert!(stored.iter().all(|stored| stored.key_id == seals.key_id()));
    assert_eq!(stored.len(), 2);
    let wrong = crate::rotate(store, &MasterKey::generate().unwrap(), now_us).await.unwrap_err();
    assert!(wrong.is(&codes::KEY_INVALID), "{wrong}");
}
