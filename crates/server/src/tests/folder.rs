//! The folder of a workspace and its documents, kept the same.

use super::support::Server;
use axum::http::{Method, StatusCode};
use model::{Problem, codes};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const WITHIN: Duration = Duration::from_secs(20);

/// A server whose mirror is at work, and its folder.
struct Mirrored {
    server: Server,
    cookie: String,
    work: JoinHandle<()>,
    _stop: watch::Sender<bool>,
}

impl Drop for Mirrored {
    fn drop(&mut self) {
        self.work.abort();
    }
}

fn pipeline(description: &str) -> String {
    format!("affluent: 1\nkind: pipeline\nname: sales\ndescription: {description}\nnodes: []\n")
}

impl Mirrored {
    async fn start() -> Self {
        let server = Server::new().await;
        let (owner, _) = server.set_up().await;
        let cookie = server.session(&owner.id).await;
        let (stop, stopped) = watch::channel(false);
        fs::create_dir_all(server.folder.path().join("project/pipelines")).unwrap();
        fs::write(server.folder.path().join("project/affluent.yaml"), "affluent: 1\nname: shop\n")
            .unwrap();
        fs::write(server.folder.path().join("project/pipelines/sales.yaml"), pipeline("one"))
            .unwrap();
        let work = tokio::spawn(crate::mirror(server.app.clone(), stopped));
        Self { server, cookie, work, _stop: stop }
    }

    fn file(&self) -> PathBuf {
        self.server.folder.path().join("project/pipelines/sales.yaml")
    }

    async fn get(&self, path: &str) -> Value {
        let path = format!("/api/v1/workspaces/shop/{path}");
        self.server.get(&path, Some(&self.cookie)).await.body
    }

    async fn until(&self, what: &str, is_so: impl AsyncFn(&Self) -> bool) {
        let begin = Instant::now();
        while !is_so(self).await {
            assert!(begin.elapsed() < WITHIN, "{what}: never");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        println!("{what}: after {} ms", begin.elapsed().as_millis());
    }

    async fn until_text(&self, text: &str) {
        let what = format!("the server has {:?}", text.lines().nth(3));
        self.until(&what, async |m| m.get("definitions/pipeline/sales").await["text"] == text)
            .await;
    }

    /// Waits until both sides were found to be the same, once more.
    async fn until_in_step(&self) {
        self.server.clock.advance(1);
        let now_us = self.server.app.now_us();
        self.server.app.folder.look();
        self.until("in step", async |m| m.get("folder").await["in_step_at_us"] == now_us).await;
    }

    /// Saves through the interface.
    async fn save(&self, text: &str) {
        let definitions = "/api/v1/workspaces/shop/definitions/apply";
        let body = json!({"documents": [{"kind": "pipeline", "name": "sales", "text": text}]});
        let answer = self.server.json(Method::POST, definitions, Some(&self.cookie), body).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }
}

#[tokio::test]
async fn each_side_takes_what_the_other_has_changed() {
    let mirrored = Mirrored::start().await;
    mirrored.until_text(&pipeline("one")).await;
    let list = mirrored.get("definitions").await;
    assert_eq!(list["items"].as_array().unwrap().len(), 2, "{list}");
    fs::write(mirrored.file(), pipeline("two")).unwrap();
    mirrored.until_text(&pipeline("two")).await;
    mirrored.until_in_step().await;
    mirrored.save(&pipeline("three")).await;
    let text = pipeline("three");
    mirrored
        .until("the folder has it", async |m| fs::read_to_string(m.file()).unwrap() == text)
        .await;
    mirrored.until_in_step().await;
    fs::remove_file(mirrored.file()).unwrap();
    mirrored
        .until("deleted", async |m| {
            m.get("definitions/pipeline/sales").await["code"] == "not_found"
        })
        .await;
    mirrored.until_in_step().await;
    mirrored.save(&pipeline("again")).await;
    mirrored.until("the folder has it again", async |m| m.file().exists()).await;
}

#[tokio::test]
async fn what_is_not_right_is_not_taken_and_said() {
    let mirrored = Mirrored::start().await;
    mirrored.until_in_step().await;
    *mirrored.server.desk.problems.lock().unwrap() =
        vec![Problem::new(&codes::SQL_INVALID, "there is no column `x`").hint("look")];
    fs::write(mirrored.file(), pipeline("wrong")).unwrap();
    mirrored
        .until("a problem", async |m| m.get("folder").await["problems"][0]["code"] == "sql_invalid")
        .await;
    assert_eq!(mirrored.get("definitions/pipeline/sales").await["text"], pipeline("one"));
    fs::write(mirrored.file(), "name: [").unwrap();
    mirrored
        .until("another", async |m| {
            m.get("folder").await["problems"][0]["code"] == "document_syntax"
        })
        .await;
    mirrored.server.desk.problems.lock().unwrap().clear();
    fs::write(mirrored.file(), pipeline("right")).unwrap();
    mirrored.until_text(&pipeline("right")).await;
    mirrored.until("no problem", async |m| m.get("folder").await["problems"] == json!([])).await;
}

#[tokio::test]
async fn when_both_have_changed_a_person_decides() {
    for (keep, kept) in [("folder", pipeline("mine")), ("server", pipeline("theirs"))] {
        let mirrored = Mirrored::start().await;
        mirrored.until_in_step().await;
        // Both at once: the mirror does not look in between.
        let server = &mirrored.server;
        let definitions = server.app.store.workspaces();
        let shop = definitions.by_slug(&model::Name::new("shop").unwrap()).await.unwrap();
        let key = crate::documents::key(api::definitions::Kind::Pipeline, "sales").unwrap();
        let new = store::NewVersion {
            text: pipeline("theirs"),
            sha256: crate::documents::hash(&pipeline("theirs")),
            author: None,
            message: String::new(),
        };
        fs::write(mirrored.file(), pipeline("mine")).unwrap();
        server
            .app
            .store
            .workspace(&shop.id)
            .definitions()
            .save(&key, new, Some(1), 9)
            .await
            .unwrap();
        mirrored
            .until("a conflict", async |m| m.get("folder").await["conflicts"][0]["name"] == "sales")
            .await;
        let shown = mirrored.get("folder").await["conflicts"][0]["difference"].clone();
        assert!(
            shown["unified"].as_str().unwrap().contains("-description: theirs\n+description: mine")
        );
        assert_eq!(fs::read_to_string(mirrored.file()).unwrap(), pipeline("mine"));
        let body = json!({"kind": "pipeline", "name": "sales", "keep": keep});
        let path = "/api/v1/workspaces/shop/folder/resolve";
        let answer = server.json(Method::POST, path, Some(&mirrored.cookie), body.clone()).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{answer:?}");
        mirrored.until_text(&kept).await;
        mirrored.until("both", async |m| fs::read_to_string(m.file()).unwrap() == kept).await;
        mirrored.until("over", async |m| m.get("folder").await["conflicts"] == json!([])).await;
        let over = server.json(Method::POST, path, Some(&mirrored.cookie), body).await;
        assert_eq!(over.status, StatusCode::NOT_FOUND);
    }
}
