//! Documents through the interface: versions, conditions, patches, all at once.

use super::support::{Answer, Server, to};
use axum::body::Body;
use axum::http::{Method, StatusCode, header};
use model::{Problem, codes};
use serde_json::{Value, json};

const DEFINITIONS: &str = "/api/v1/workspaces/shop/definitions";
const SALES: &str = "/api/v1/workspaces/shop/definitions/pipeline/sales";

fn pipeline(name: &str, description: &str) -> String {
    format!(
        "affluent: 1\nkind: pipeline\nname: {name}  # kept\ndescription: {description}\nnodes: []\n"
    )
}

/// Sends JSON under a condition: a header and its value.
async fn send(
    server: &Server,
    cookie: &str,
    (method, path): (Method, &str),
    condition: Option<(&str, &str)>,
    body: Value,
) -> Answer {
    let mut request = to(method, path)
        .header(header::COOKIE, cookie)
        .header("sec-fetch-site", "same-origin")
        .header(header::CONTENT_TYPE, "application/json");
    if let Some((name, value)) = condition {
        request = request.header(name, value);
    }
    server.send(request.body(Body::from(body.to_string())).unwrap()).await
}

const NEW: Option<(&str, &str)> = Some(("if-none-match", "*"));

async fn save(
    server: &Server,
    cookie: &str,
    text: &str,
    condition: Option<(&str, &str)>,
) -> Answer {
    let body = json!({"text": text, "message": "a reason"});
    send(server, cookie, (Method::PUT, SALES), condition, body).await
}

#[tokio::test]
async fn a_document_is_saved_on_top_of_the_version_that_its_author_knows() {
    let server = Server::new().await;
    let (owner, _) = server.set_up().await;
    let cookie = server.session(&owner.id).await;
    let unsaid = save(&server, &cookie, &pipeline("sales", "one"), None).await;
    assert_eq!(unsaid.code(), "request_invalid");
    let saved = save(&server, &cookie, &pipeline("sales", "one"), NEW).await;
    assert_eq!(
        (saved.status, &saved.headers[header::ETAG]),
        (StatusCode::OK, &"\"1\"".parse().unwrap())
    );
    let twice = save(&server, &cookie, &pipeline("sales", "two"), NEW).await;
    assert_eq!(twice.status, StatusCode::PRECONDITION_FAILED);
    let first = Some(("if-match", "\"1\""));
    let saved = save(&server, &cookie, &pipeline("sales", "two"), first).await;
    assert_eq!(saved.body["version"], 2);
    let stale = save(&server, &cookie, &pipeline("sales", "three"), first).await;
    assert_eq!((stale.status, stale.code()), (StatusCode::PRECONDITION_FAILED, "version_stale"));
    assert_eq!(stale.body["arguments"]["current"], "2");
    let versions = server.get(&format!("{SALES}/versions"), Some(&cookie)).await.body;
    assert_eq!(versions["items"][0]["message"], "a reason");
    assert_eq!(versions["items"][0]["author"], owner.id.to_string());
    let difference = server.get(&format!("{SALES}/difference?from=1"), Some(&cookie)).await.body;
    assert_eq!((&difference["lines_added"], &difference["lines_removed"]), (&json!(1), &json!(1)));
    assert!(difference["unified"].as_str().unwrap().contains("+description: two"));
    let restore = format!("{SALES}/restore");
    let restored = send(
        &server,
        &cookie,
        (Method::POST, &restore),
        Some(("if-match", "\"2\"")),
        json!({"version": 1}),
    );
    assert_eq!(restored.await.body["text"], pipeline("sales", "one"));
    let gone =
        send(&server, &cookie, (Method::DELETE, SALES), Some(("if-match", "\"3\"")), json!({}));
    assert_eq!(gone.await.status, StatusCode::NO_CONTENT);
    assert_eq!(server.get(SALES, Some(&cookie)).await.status, StatusCode::NOT_FOUND);
    let old = server.get(&format!("{SALES}/versions/2"), Some(&cookie)).await.body;
    assert_eq!(old["text"], pipeline("sales", "two"));
}

#[tokio::test]
async fn what_is_no_document_of_this_name_is_not_saved() {
    let server = Server::new().await;
    let (owner, _) = server.set_up().await;
    let cookie = server.session(&owner.id).await;
    let other = save(&server, &cookie, &pipeline("orders", "one"), NEW).await;
    assert_eq!(other.code(), "document_invalid");
    assert_eq!(other.body["context"]["line"], "3", "{other:?}");
    let broken = save(&server, &cookie, "affluent: 1\nname: [", NEW).await;
    assert_eq!(broken.code(), "document_syntax");
    let path = format!("{DEFINITIONS}/pipeline/..%2Fetc");
    let body = json!({"text": pipeline("sales", "x")});
    let odd = send(&server, &cookie, (Method::PUT, &path), NEW, body).await;
    assert_eq!(odd.code(), "name_invalid");
}

#[tokio::test]
async fn a_patch_changes_one_place_and_leaves_the_rest() {
    let server = Server::new().await;
    let (owner, _) = server.set_up().await;
    let cookie = server.session(&owner.id).await;
    let text = pipeline("sales", "one");
    save(&server, &cookie, &text, NEW).await;
    let patch = async |condition, path: &str, value: Value| {
        let patches = json!({"patches": [{"op": "replace", "path": path, "value": value}]});
        send(&server, &cookie, (Method::PATCH, SALES), condition, patches).await
    };
    let patched = patch(Some(("if-match", "\"1\"")), "/description", json!("two")).await;
    assert_eq!(patched.body["text"], text.replace("one", "two"));
    let stale = patch(Some(("if-match", "\"1\"")), "/description", json!("three")).await;
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED);
    let renamed = patch(None, "/name", json!("orders")).await;
    assert_eq!(renamed.code(), "document_invalid");
    let nowhere = patch(None, "/nodes/7/id", json!("x")).await;
    assert_eq!(nowhere.code(), "name_unknown");
}

fn applied(documents: &[(&str, &str)], more: Value) -> Value {
    let documents: Vec<Value> = documents
        .iter()
        .map(|(name, about)| json!({"kind": "pipeline", "name": name, "text": pipeline(name, about)}))
        .collect();
    let mut body = json!({"documents": documents});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn documents_are_applied_all_or_none_and_only_if_they_are_right() {
    let server = Server::new().await;
    let (owner, _) = server.set_up().await;
    let cookie = server.session(&owner.id).await;
    let apply = async |documents: &[(&str, &str)], more: Value| {
        let path = format!("{DEFINITIONS}/apply");
        server.json(Method::POST, &path, Some(&cookie), applied(documents, more)).await.body
    };
    let fates = |answer: &Value| -> Vec<String> {
        let changes = answer["changes"].as_array().unwrap().iter();
        let shown = |change: &Value| format!("{} {}", change["name"], change["fate"]);
        changes.map(shown).map(|text| text.replace('"', "")).collect()
    };
    let names = async || {
        let list = server.get(DEFINITIONS, Some(&cookie)).await.body;
        let items = list["items"].as_array().unwrap().iter();
        items.map(|item| item["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let dry = apply(&[("a", "one"), ("b", "one")], json!({"dry_run": true})).await;
    assert_eq!((fates(&dry), names().await.len()), (vec!["a added".into(), "b added".into()], 0));
    apply(&[("a", "one"), ("b", "one")], json!({})).await;
    assert_eq!(names().await, ["a", "b"]);
    *server.desk.problems.lock().unwrap() =
        vec![Problem::new(&codes::GRAPH_CYCLE, "they wait for one another").hint("cut it")];
    let refused = apply(&[("a", "two"), ("c", "one")], json!({"prune": true})).await;
    assert_eq!(refused["problems"][0]["code"], "graph_cycle");
    assert_eq!(fates(&refused), ["a changed", "c added", "b deleted"]);
    assert_eq!(names().await, ["a", "b"], "nothing is done by halves");
    server.desk.problems.lock().unwrap().clear();
    apply(&[("a", "two"), ("c", "one")], json!({})).await;
    assert_eq!(names().await, ["a", "b", "c"]);
    let pruned = apply(&[("a", "two")], json!({"prune": true})).await;
    assert_eq!(fates(&pruned), ["b deleted", "c deleted"]);
    assert_eq!(fates(&apply(&[("a", "two")], json!({"prune": true})).await), [""; 0]);
    let wrong = json!({"documents": [{"kind": "pipeline", "name": "a", "text": "a: ["}]});
    let path = format!("{DEFINITIONS}/apply");
    let wrong = server.json(Method::POST, &path, Some(&cookie), wrong).await.body;
    assert_eq!(wrong["problems"][0]["code"], "document_syntax");
}

#[tokio::test]
async fn a_desk_gets_the_documents_as_they_would_be() {
    let server = Server::new().await;
    let (owner, _) = server.set_up().await;
    let cookie = server.session(&owner.id).await;
    let path = format!("{DEFINITIONS}/apply");
    let body = applied(&[("a", "one"), ("b", "one")], json!({}));
    server.json(Method::POST, &path, Some(&cookie), body).await;
    let drafts = json!({"drafts": [
        {"kind": "pipeline", "name": "a", "text": "draft"},
        {"kind": "pipeline", "name": "b"},
    ]});
    let path = format!("{DEFINITIONS}/validate");
    let answer = server.json(Method::POST, &path, Some(&cookie), drafts).await;
    assert_eq!(answer.body["problems"], json!([]));
    let asked = server.desk.asked.lock().unwrap().last().unwrap().1.clone();
    let crate::desk::Question::Check(check) = asked else { panic!("{asked:?}") };
    let documents: Vec<_> = check.documents.unwrap().into_iter().collect();
    assert_eq!(documents, [("pipelines/a.yaml".to_owned(), "draft".to_owned())]);
}
