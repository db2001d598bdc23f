//! Definitions with their versions, secrets, uploads, quotas, templates, notifications, audit.

use crate::testing::{DAY, MINUTE, NOW, code, on_both, user, workspace};
use crate::{
    Audit, AuditEntry, AuditFilter, Definition, DefinitionChange, DefinitionKey, DefinitionKind,
    Inbox, NewAuditEntry, NewNotification, NewSecret, NewTemplate, NewUpload, NewVersion,
    NotificationKind, Quota, Store, UploadId, WorkspaceId,
};
use futures::future;
use model::{Name, Role};

fn pipeline(name: &str) -> DefinitionKey {
    DefinitionKey { kind: DefinitionKind::Pipeline, name: Name::new(name).unwrap() }
}

pub(super) fn text(text: &str) -> NewVersion {
    NewVersion {
        text: text.to_owned(),
        sha256: format!("hash of {text}"),
        author: None,
        message: format!("wrote {text}"),
    }
}

fn secret(connection: &str, value: &[u8]) -> NewSecret {
    NewSecret {
        connection: Name::new(connection).unwrap(),
        name: "password".to_owned(),
        ciphertext: value.to_vec(),
        nonce: vec![0, 1, 255],
        key_id: "k1".to_owned(),
        bound_host: Some("db.example.org".to_owned()),
    }
}

fn template(name: &str) -> NewTemplate {
    NewTemplate {
        name: name.to_owned(),
        module: "csv".to_owned(),
        category: "sources".to_owned(),
        summary: "Our files".to_owned(),
        settings: serde_json::json!({"path": "data/*.csv", "z": 1, "a": 2.0}),
        icon: None,
        color: Some("#1b7f5c".to_owned()),
    }
}

fn upload(id: UploadId, size: i64) -> NewUpload {
    NewUpload {
        id,
        name: "orders.csv".to_owned(),
        path: "uploads/orders.csv".to_owned(),
        size,
        sha256: "5".repeat(64),
        uploaded_by: None,
    }
}

fn entry(action: &str) -> NewAuditEntry {
    NewAuditEntry {
        user: None,
        actor: "ada@example.org".to_owned(),
        action: action.to_owned(),
        resource_kind: "pipeline".to_owned(),
        resource_id: Some("orders".to_owned()),
        ip: None,
        user_agent: None,
        changes: serde_json::json!({"after": action}),
        person_salt: "salt".to_owned(),
        person_hash: "of nobody".to_owned(),
    }
}

fn hash_entry(entry: &AuditEntry) -> String {
    let text = format!("{}{}{}{}", entry.chain, entry.seq, entry.action, entry.previous_hash);
    stdx::hash::stable_hash(text.as_bytes()).to_string()
}

#[tokio::test]
async fn a_definition_remembers_every_version() {
    on_both(async |store: Store| {
        let (id, owner) = workspace(&store, "sales").await;
        let definitions = store.workspace(&id).definitions();
        let key = pipeline("orders");
        assert_eq!(code(definitions.get(&key).await), "not_found");
        let first = NewVersion { author: Some(owner.id.clone()), ..text("one") };
        let saved = definitions.save(&key, first, None, NOW).await.unwrap();
        assert_eq!((saved.version.number, saved.version.author_id.as_ref()), (1, Some(&owner.id)));
        assert_eq!(code(definitions.save(&key, text("two"), None, NOW).await), "conflict");
        let saved = definitions.save(&key, text("two"), Some(1), NOW + 1).await.unwrap();
        assert_eq!(definitions.get(&key).await.unwrap(), saved);
        // The same text once more is no change.
        let same = definitions.save(&key, text("two"), Some(2), NOW + 2).await.unwrap();
        assert_eq!(same.version, saved.version);
        let stale = definitions.save(&key, text("three"), Some(1), NOW + 2).await.unwrap_err();
        assert_eq!(stale.message(), "pipeline `orders` has changed: from version 1 to 2");

        let restored = definitions.restore(&key, 1, None, Some(2), NOW + 3).await.unwrap();
        assert_eq!((restored.version.number, restored.version.text.as_str()), (3, "one"));
        assert_eq!(definitions.version(&key, 2).await.unwrap().text, "two");
        assert_eq!(code(definitions.version(&key, 4).await), "not_found");
        let page = definitions.history(&key, None, 2).await.unwrap();
        assert_eq!(page.items.iter().map(|head| head.number).collect::<Vec<_>>(), [3, 2]);
        let page = definitions.history(&key, page.next.as_deref(), 2).await.unwrap();
        assert_eq!((page.items[0].message.as_str(), page.next), ("wrote one", None));
        assert_eq!(code(definitions.history(&key, Some("x"), 2).await), "request_invalid");
    })
    .await;
}

#[tokio::test]
async fn a_deleted_definition_can_come_back_with_its_history() {
    on_both(async |store: Store| {
        let (id, _) = workspace(&store, "sales").await;
        let definitions = store.workspace(&id).definitions();
        let key = pipeline("orders");
        definitions.save(&key, text("one"), None, NOW).await.unwrap();
        // A model may have the name of a pipeline.
        let model = DefinitionKey { kind: DefinitionKind::Model, ..key.clone() };
        definitions.save(&model, text("select 1"), None, NOW).await.unwrap();
        assert_eq!(code(definitions.delete(&key, 2, NOW).await), "conflict");
        definitions.delete(&key, 1, NOW).await.unwrap();
        assert_eq!(code(definitions.get(&key).await), "not_found");
        assert_eq!(code(definitions.delete(&key, 1, NOW).await), "not_found");
        assert_eq!(code(definitions.save(&key, text("two"), Some(1), NOW).await), "conflict");
        let list = definitions.list(DefinitionKind::Pipeline, None, 10).await.unwrap();
        assert_eq!(list.items, []);
        assert_eq!(definitions.version(&key, 1).await.unwrap().text, "one");
        let back = definitions.restore(&key, 1, None, None, NOW + 1).await.unwrap();
        assert_eq!((back.version.number, back.version.text.as_str()), (2, "one"));
        for name in ["a", "b", "c"] {
            definitions.save(&pipeline(name), text(name), None, NOW).await.unwrap();
        }
        let page = definitions.list(DefinitionKind::Pipeline, None, 2).await.unwrap();
        let rest = definitions.list(DefinitionKind::Pipeline, page.next.as_deref(), 2).await;
        let all: Vec<_> = page.items.into_iter().chain(rest.unwrap().items).collect();
        let names: Vec<_> = all.iter().map(|d| (d.name.as_str(), d.version.number)).collect();
        assert_eq!(names, [("a", 1), ("b", 1), ("c", 1), ("orders", 2)]);
    })
    .await;
}

#[tokio::test]
async fn several_changes_are_made_together_or_not_at_all_and_the_past_can_be_read() {
    on_both(async |store: Store| {
        let (id, _) = workspace(&store, "sales").await;
        let definitions = store.workspace(&id).definitions();
        let change = |name: &str, new: Option<&str>, expected| DefinitionChange {
            key: pipeline(name),
            new: new.map(text),
            expected,
        };
        let texts = async |instant_us| {
            let found = definitions.at(instant_us).await.unwrap();
            let text = |found: Definition| format!("{}: {}", found.name, found.version.text);
            found.into_iter().map(text).collect::<Vec<_>>()
        };
        let first = vec![change("a", Some("one"), None), change("b", Some("two"), None)];
        definitions.change(first, NOW).await.unwrap();
        let stale = vec![change("a", Some("three"), Some(1)), change("b", None, Some(7))];
        assert_eq!(code(definitions.change(stale, NOW + 1).await), "conflict");
        assert_eq!(texts(i64::MAX).await, ["a: one", "b: two"], "all or nothing");
        let second = vec![change("a", Some("three"), Some(1)), change("b", None, Some(1))];
        definitions.change(second, NOW + 2).await.unwrap();
        assert_eq!(texts(i64::MAX).await, ["a: three"]);
        assert_eq!(texts(NOW + 1).await, ["a: one", "b: two"]);
        assert!(texts(NOW - 1).await.is_empty());
        definitions.change(vec![change("gone", None, None)], NOW + 3).await.unwrap();
    })
    .await;
}

/// Saves, deletions and restorations in any order and at once.
#[tokio::test(flavor = "multi_thread")]
async fn versions_have_no_gap_whatever_happens_at_once() {
    on_both(async |store: Store| {
        let (id, _) = workspace(&store, "sales").await;
        let mut random = stdx::hash::Random::new(42);
        for round in 0..8 {
            let key = pipeline(&format!("p{round}"));
            let definitions = store.workspace(&id).definitions();
            let actions = (0..24).map(|number| {
                let (kind, expected) = (random.below(10), random.below(6) as i64);
                let (definitions, key) = (definitions.clone(), key.clone());
                async move {
                    let expected = (expected > 0).then_some(expected);
                    let new = text(&format!("text {number}"));
                    match kind {
                        0 => definitions.delete(&key, expected.unwrap_or(1), NOW).await.err(),
                        1 => definitions.restore(&key, 1, None, expected, NOW).await.err(),
                        _ => definitions.save(&key, new, expected, NOW).await.err(),
                    }
                }
            });
            for problem in future::join_all(actions).await.into_iter().flatten() {
                let code = problem.code().id;
                assert!(code == "conflict" || code == "not_found", "{problem}");
            }
            // Whoever was first has saved version 1.
            let heads = definitions.history(&key, None, 100).await.unwrap().items;
            let numbers: Vec<_> = heads.iter().rev().map(|head| head.number).collect();
            let last = i64::try_from(numbers.len()).unwrap();
            assert_eq!(numbers, (1..=last).collect::<Vec<_>>());
            assert!(last > 0);
            if let Ok(current) = definitions.get(&key).await {
                assert_eq!(current.version.number, last);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn secrets_are_bytes_that_are_replaced_and_cleared() {
    on_both(async |store: Store| {
        let (id, _) = workspace(&store, "sales").await;
        let secrets = store.workspace(&id).secrets();
        let erp = Name::new("erp").unwrap();
        assert_eq!(code(secrets.get(&erp, "password").await), "secret_missing");
        secrets.put(secret("erp", &[0, 159, 255]), NOW).await.unwrap();
        secrets.put(secret("erp", b"new"), NOW + 1).await.unwrap();
        secrets.put(secret("crm", b"other"), NOW).await.unwrap();
        let found = secrets.get(&erp, "password").await.unwrap();
        assert_eq!((found.ciphertext, found.nonce), (b"new".to_vec(), vec![0, 1, 255]));
        let heads = secrets.list().await.unwrap();
        assert_eq!(heads.len(), 2);
        assert_eq!((heads[1].connection.as_str(), heads[1].updated_at_us), ("erp", NOW + 1));
        assert_eq!(secrets.clear(&erp).await.unwrap(), 1);
        assert_eq!(code(secrets.remove(&erp, "password").await), "secret_missing");
        secrets.remove(&Name::new("crm").unwrap(), "password").await.unwrap();
        assert_eq!(secrets.list().await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn uploads_quotas_and_templates_are_kept() {
    on_both(async |store: Store| {
        let (id, owner) = workspace(&store, "sales").await;
        let home = store.workspace(&id);
        assert_eq!(home.uploads().bytes().await.unwrap(), 0);
        for number in 0..3 {
            let id = UploadId::generate(NOW + number * MINUTE);
            home.uploads().add(upload(id, 1 << 40), NOW).await.unwrap();
        }
        assert_eq!(home.uploads().bytes().await.unwrap(), 3 << 40);
        let page = home.uploads().list(None, 2).await.unwrap();
        let rest = home.uploads().list(page.next.as_deref(), 2).await.unwrap();
        assert_eq!((page.items.len(), rest.items.len(), rest.next), (2, 1, None));
        let gone = home.uploads().remove(&rest.items[0].id).await.unwrap();
        assert_eq!(code(home.uploads().get(&gone.id).await), "not_found");

        assert_eq!(home.quotas().get(Quota::Members).await.unwrap(), None);
        home.quotas().set(Quota::Members, Some(5)).await.unwrap();
        home.quotas().set(Quota::Members, Some(6)).await.unwrap();
        home.quotas().set(Quota::LakeBytes, Some(1)).await.unwrap();
        home.quotas().set(Quota::LakeBytes, None).await.unwrap();
        assert_eq!(home.quotas().list().await.unwrap(), [(Quota::Members, 6)]);

        let templates = home.module_templates();
        let made = templates.create(template("files"), Some(&owner.id), NOW).await.unwrap();
        let taken = templates.create(template("files"), None, NOW).await;
        assert_eq!(code(taken), "conflict");
        templates.record_use(&made.id).await.unwrap();
        templates.record_use(&made.id).await.unwrap();
        templates.change(&made.id, template("our_files"), NOW + 1).await.unwrap();
        let found = templates.get(&made.id).await.unwrap();
        assert_eq!((found.name.as_str(), found.uses, found.created_at_us), ("our_files", 2, NOW));
        assert_eq!(found.settings, made.settings);
        templates.remove(&made.id).await.unwrap();
        assert_eq!(templates.list().await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn notifications_reach_members_and_are_read_once() {
    on_both(async |store: Store| {
        let (id, owner) = workspace(&store, "sales").await;
        let stranger = user(&store, "stranger@example.org").await;
        let notifications = store.workspace(&id).notifications();
        let news = |title: &str| NewNotification {
            kind: NotificationKind::PipelineFailed,
            title: title.to_owned(),
            message: "It failed.".to_owned(),
            resource: Some("pipeline/orders".to_owned()),
        };
        let both = [owner.id.clone(), stranger.id.clone()];
        for number in 0..3 {
            let now_us = NOW + number * MINUTE;
            notifications.send(&both, news(&format!("news {number}")), now_us).await.unwrap();
        }
        assert_eq!(notifications.unread(&stranger.id).await.unwrap(), 0);
        assert_eq!(notifications.unread(&owner.id).await.unwrap(), 3);
        let page = notifications.list(&owner.id, Inbox::Unread, None, 2).await.unwrap();
        assert_eq!(page.items[0].title, "news 2");
        let first = &page.items[0].id;
        assert_eq!(notifications.mark_read(&stranger.id, Some(first), NOW).await.unwrap(), 0);
        assert_eq!(notifications.mark_read(&owner.id, Some(first), NOW).await.unwrap(), 1);
        assert_eq!(notifications.mark_read(&owner.id, Some(first), NOW).await.unwrap(), 0);
        assert_eq!(notifications.mark_read(&owner.id, None, NOW + DAY).await.unwrap(), 2);
        let unread = notifications.list(&owner.id, Inbox::Unread, None, 9).await.unwrap();
        let all = notifications.list(&owner.id, Inbox::All, None, 9).await.unwrap();
        assert_eq!((unread.items.len(), all.items.len()), (0, 3));
        assert_eq!(all.items[0].read_at_us, Some(NOW));
    })
    .await;
}

/// The number of the first entry that does not follow from the one before, or was changed.
async fn first_broken(audit: &Audit) -> Option<i64> {
    let mut previous = String::new();
    for entry in audit.entries(0, 500).await.unwrap() {
        if entry.previous_hash != previous || entry.hash != hash_entry(&entry) {
            return Some(entry.seq);
        }
        previous = entry.hash;
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_entries_of_many_at_once_are_one_chain() {
    on_both(async |store: Store| {
        let (id, _) = workspace(&store, "sales").await;
        let audit = store.workspace(&id).audit();
        let append = |number: usize| {
            let audit = audit.clone();
            async move { audit.append(entry(&format!("save.{number}")), hash_entry, NOW).await }
        };
        for outcome in future::join_all((0..60).map(append)).await {
            outcome.unwrap();
        }
        store.audit().append(entry("user.create"), hash_entry, NOW).await.unwrap();
        assert_eq!(first_broken(&audit).await, None);
        let page = audit.list(&AuditFilter::default(), None, 50).await.unwrap();
        let rest = audit.list(&AuditFilter::default(), page.next.as_deref(), 50).await.unwrap();
        let seqs: Vec<_> = page.items.iter().chain(&rest.items).map(|entry| entry.seq).collect();
        assert_eq!(seqs, (1..=60).rev().collect::<Vec<_>>());
        let of_others =
            AuditFilter { resource_id: Some("customers".to_owned()), ..Default::default() };
        assert_eq!(audit.list(&of_others, None, 50).await.unwrap().items, []);

        // Whoever changes an entry behind our back is found out.
        store
            .write(id.to_string(), |tx, chain| {
                Box::pin(async move {
                    use sea_orm::ConnectionTrait;
                    let sql = format!(
                        "UPDATE audit_entries SET action = 'nothing' WHERE seq = 30 AND chain = '{chain}'"
                    );
                    tx.execute_unprepared(&sql).await?;
                    Ok(())
                })
            })
            .await
            .unwrap();
        assert_eq!(first_broken(&audit).await, Some(30));
        assert_eq!(first_broken(&store.audit()).await, None);
    })
    .await;
}

#[tokio::test]
async fn documents_of_another_workspace_are_not_found() {
    on_both(async |store: Store| {
        let (id, owner) = workspace(&store, "sales").await;
        let (other, other_owner) = workspace(&store, "stock").await;
        let (home, stock) = (store.workspace(&id), store.workspace(&other));
        let key = pipeline("orders");
        home.definitions().save(&key, text("one"), None, NOW).await.unwrap();
        let definitions = stock.definitions();
        assert_eq!(code(definitions.get(&key).await), "not_found");
        assert_eq!(code(definitions.history(&key, None, 9).await), "not_found");
        assert_eq!(code(definitions.version(&key, 1).await), "not_found");
        assert_eq!(code(definitions.restore(&key, 1, None, None, NOW).await), "not_found");
        assert_eq!(code(definitions.delete(&key, 1, NOW).await), "not_found");
        assert_eq!(definitions.list(key.kind, None, 9).await.unwrap().items, []);
        // The name is free there.
        definitions.save(&key, text("theirs"), None, NOW).await.unwrap();
        assert_eq!(home.definitions().get(&key).await.unwrap().version.text, "one");

        let erp = Name::new("erp").unwrap();
        home.secrets().put(secret("erp", b"x"), NOW).await.unwrap();
        assert_eq!(code(stock.secrets().get(&erp, "password").await), "secret_missing");
        assert_eq!(code(stock.secrets().remove(&erp, "password").await), "secret_missing");
        assert_eq!(stock.secrets().clear(&erp).await.unwrap(), 0);
        assert_eq!(stock.secrets().list().await.unwrap(), []);

        let file = home.uploads().add(upload(UploadId::generate(NOW), 5), NOW).await.unwrap();
        assert_eq!(code(stock.uploads().get(&file.id).await), "not_found");
        assert_eq!(code(stock.uploads().remove(&file.id).await), "not_found");
        assert_eq!(stock.uploads().list(None, 9).await.unwrap().items, []);
        assert_eq!(stock.uploads().bytes().await.unwrap(), 0);

        home.quotas().set(Quota::Members, Some(1)).await.unwrap();
        assert_eq!(stock.quotas().get(Quota::Members).await.unwrap(), None);
        assert_eq!(stock.quotas().list().await.unwrap(), []);

        let made = home.module_templates().create(template("files"), None, NOW).await.unwrap();
        let templates = stock.module_templates();
        assert_eq!(code(templates.get(&made.id).await), "not_found");
        assert_eq!(code(templates.change(&made.id, template("x"), NOW).await), "not_found");
        assert_eq!(code(templates.record_use(&made.id).await), "not_found");
        assert_eq!(code(templates.remove(&made.id).await), "not_found");
        assert_eq!(templates.list().await.unwrap(), []);

        stock.members().add(&owner.id, Role::Viewer, NOW).await.unwrap();
        let news = NewNotification {
            kind: NotificationKind::Info,
            title: "News".to_owned(),
            message: String::new(),
            resource: None,
        };
        home.notifications().send(std::slice::from_ref(&owner.id), news, NOW).await.unwrap();
        assert_eq!(stock.notifications().unread(&owner.id).await.unwrap(), 0);
        assert_eq!(stock.notifications().mark_read(&owner.id, None, NOW).await.unwrap(), 0);
        let list = stock.notifications().list(&other_owner.id, Inbox::All, None, 9).await;
        assert_eq!(list.unwrap().items, []);

        home.audit().append(entry("save"), hash_entry, NOW).await.unwrap();
        let list = stock.audit().list(&AuditFilter::default(), None, 9).await.unwrap();
        assert_eq!(list.items, []);
    })
    .await;
}

#[tokio::test]
async fn a_workspace_that_does_not_exist_owns_nothing() {
    on_both(async |store: Store| {
        let key = pipeline("orders");
        let nowhere = store.workspace(&WorkspaceId::generate(NOW));
        let save = nowhere.definitions().save(&key, text("one"), None, NOW).await;
        assert_eq!(code(save), "not_found");
        assert_eq!(code(nowhere.secrets().put(secret("erp", b"x"), NOW).await), "not_found");
        assert_eq!(code(nowhere.quotas().set(Quota::Members, None).await), "not_found");
        let add = nowhere.uploads().add(upload(UploadId::generate(NOW), 5), NOW).await;
        assert_eq!(code(add), "not_found");
        let add = nowhere.module_templates().create(template("files"), None, NOW).await;
        assert_eq!(code(add), "not_found");
    })
    .await;
}
