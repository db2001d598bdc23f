//! What runs leave: their journal, the catalogue, traces that are removed in time.

use super::orchestration::{
    add_runs, apply, begun, home as home_of, report, result, run as new_run, task,
};
use crate::testing::{DAY, MINUTE, NOW, code, hash, on_both, workspace};
use crate::{
    AuditCheckpoint, AuditFilter, InWorkspace, LakeTable, LeaseChange, LineageEdge, LogFilter,
    LogLevel, LogLine, NewAuditEntry, NewPreview, NewSession, NewSignIn, RunFilter, RunStatus,
    SessionKind, SignInOutcome, Signer, Store, UserId, WorkspaceId, Writes,
};
use model::run::{Outcome, RunEvent, RunId, RunKind, RunRecord};
use model::{Name, TableName};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn record(pipeline: &str, now_us: i64) -> RunRecord {
    RunRecord {
        run: RunId::generate(now_us),
        pipeline: name(pipeline),
        documents: "abc".to_owned(),
        params: BTreeMap::from([("z".to_owned(), 1.into()), ("a".to_owned(), "\u{0}".into())]),
        time_us: now_us,
        interval_us: None,
        kind: RunKind::Normal,
        inputs: BTreeMap::new(),
        tables: BTreeMap::new(),
        facts: BTreeMap::new(),
        environment: None,
        replaces: BTreeMap::new(),
    }
}

pub(super) fn line(seq: i64, at_us: i64, message: &str) -> LogLine {
    LogLine {
        seq,
        node: Some("orders".to_owned()),
        at_us,
        level: LogLevel::Info,
        message: message.to_owned(),
        fields: serde_json::json!({"rows": 1}),
    }
}

#[tokio::test]
async fn the_journal_gives_back_what_was_written_in_order() {
    on_both(async |store: Store| {
        let (id, _) = workspace(&store, "sales").await;
        let (other, _) = workspace(&store, "stock").await;
        let journal = store.workspace(&id).journal();
        let records = [record("orders", NOW), record("orders", NOW + MINUTE), record("days", NOW)];
        for record in records.iter().rev() {
            journal.begin(record).await.unwrap();
        }
        assert_eq!(code(journal.begin(&records[0]).await), "conflict");
        let first = &records[0].run;
        for number in 0..5 {
            let event = match number {
                4 => RunEvent::Finished {
                    time_us: NOW + 4,
                    outcome: Outcome::Succeeded,
                    nodes: BTreeMap::new(),
                    problems: Vec::new(),
                },
                _ => RunEvent::Started { time_us: NOW + number, process: 7 },
            };
            journal.append(first, &event).await.unwrap();
        }
        let runs = journal.runs(&name("orders")).await.unwrap();
        let text = |value: &RunRecord| serde_json::to_string(value).unwrap();
        let found: Vec<_> = runs.iter().map(|run| text(&run.record)).collect();
        assert_eq!(found, [text(&records[0]), text(&records[1])]);
        let times: Vec<_> = runs[0]
            .events
            .iter()
            .map(|event| match event {
                RunEvent::Started { time_us, .. } | RunEvent::Finished { time_us, .. } => *time_us,
                _ => 0,
            })
            .collect();
        assert_eq!(times, [NOW, NOW + 1, NOW + 2, NOW + 3, NOW + 4]);
        assert!(runs[1].events.is_empty());
        assert_eq!(journal.pipelines().await.unwrap(), [name("days"), name("orders")]);

        let theirs = store.workspace(&other).journal();
        let event = RunEvent::Started { time_us: NOW, process: 7 };
        assert_eq!(code(theirs.append(first, &event).await), "run_not_found");
        assert!(theirs.runs(&name("orders")).await.unwrap().is_empty());
        assert!(theirs.pipelines().await.unwrap().is_empty());
        let nowhere = store.workspace(&WorkspaceId::generate(NOW)).journal();
        assert_eq!(code(nowhere.begin(&record("x", NOW)).await), "not_found");
    })
    .await;
}

fn table(text: &str, version: i64) -> LakeTable {
    LakeTable {
        name: TableName::parse(text).unwrap(),
        columns: serde_json::json!([{"name": "id", "type": "integer"}]),
        version: Some(version),
        rows: Some(10),
        bytes: None,
        description: String::new(),
        pipeline: Some("orders".to_owned()),
        node: Some("silver".to_owned()),
        run: Some(RunId::generate(NOW)),
        updated_at_us: NOW,
    }
}

fn edge(source: &str, target: &str, node: &str) -> LineageEdge {
    LineageEdge {
        source_table: source.to_owned(),
        source_column: "id".to_owned(),
        target_table: target.to_owned(),
        target_column: "id".to_owned(),
        node: node.to_owned(),
    }
}

#[tokio::test]
async fn the_catalogue_knows_tables_and_where_they_come_from() {
    on_both(async |store: Store| {
        let (id, _) = workspace(&store, "sales").await;
        let catalogue = store.workspace(&id).catalogue();
        catalogue.put(table("silver.orders", 1)).await.unwrap();
        let newer = table("silver.orders", 2);
        catalogue.put(newer.clone()).await.unwrap();
        catalogue.put(table("gold.days", 1)).await.unwrap();
        assert_eq!(catalogue.get(&newer.name).await.unwrap(), newer);
        let list = catalogue.list().await.unwrap();
        let names: Vec<_> = list.iter().map(|table| table.name.to_string()).collect();
        assert_eq!(names, ["gold.days", "silver.orders"]);
        catalogue.remove(&newer.name).await.unwrap();
        assert_eq!(code(catalogue.get(&newer.name).await), "table_not_found");
        assert_eq!(code(catalogue.remove(&newer.name).await), "table_not_found");

        let (first, second) = (edge("a.a", "b.b", "one"), edge("b.b", "c.c", "two"));
        let again = edge("a.a", "b.b", "other");
        let edges = vec![second.clone(), again, first.clone()];
        catalogue.put_lineage(&name("orders"), edges).await.unwrap();
        let third = edge("c.c", "d.d", "three");
        catalogue.put_lineage(&name("days"), vec![third.clone()]).await.unwrap();
        let touching = catalogue.lineage(Some("b.b")).await.unwrap();
        assert_eq!(touching, [first.clone(), second.clone()]);
        catalogue.put_lineage(&name("orders"), vec![second.clone()]).await.unwrap();
        assert_eq!(catalogue.lineage(None).await.unwrap(), [second, third]);
    })
    .await;
}

fn session(user: &UserId) -> NewSession {
    NewSession {
        token: hash(1),
        user: user.clone(),
        kind: SessionKind::Browser,
        expires_at_us: NOW + DAY,
        ip: None,
        user_agent: None,
    }
}

/// A run that has ended, with everything a run leaves.
async fn leave_a_run(store: &Store, home: &InWorkspace, now_us: i64) -> RunId {
    let mut row = new_run(home, "orders", now_us);
    (row.status, row.ended_at_us) = (RunStatus::Succeeded, Some(now_us));
    let writes = Writes {
        new_runs: vec![row.clone()],
        tasks: vec![task(&row, 0, (0, 1), LeaseChange::None)],
        begun: vec![begun(&row, 0, 1)],
        results: vec![result(&row, 0)],
        reports: vec![report(&row)],
        ..Writes::default()
    };
    apply(store, writes).await.unwrap();
    home.runs().append_log(row.id.run(), vec![line(0, now_us, "began")]).await.unwrap();
    row.id.run().clone()
}

async fn leave_traces(store: &Store, home: &InWorkspace, now_us: i64) {
    let preview = NewPreview {
        pipeline: name("orders"),
        node: name(&format!("node_{}", now_us % 1000)),
        data: serde_json::json!([]),
        rows: 0,
        columns: 0,
    };
    home.previews().put(preview, now_us).await.unwrap();
    let entry = NewAuditEntry {
        user: None,
        actor: "ada".to_owned(),
        action: "save".to_owned(),
        resource_kind: "pipeline".to_owned(),
        resource_id: None,
        ip: None,
        user_agent: None,
        changes: serde_json::Value::Null,
        person_salt: "salt".to_owned(),
        person_hash: "of nobody".to_owned(),
    };
    home.audit().append(entry, |entry| entry.seq.to_string(), now_us).await.unwrap();
    let new = NewSignIn {
        user: None,
        email: "a@b.c".to_owned(),
        ip: None,
        outcome: SignInOutcome::Succeeded,
    };
    store.sign_ins().record(new, now_us).await.unwrap();
}

#[tokio::test]
async fn what_is_too_old_is_removed_and_the_rest_is_not() {
    on_both(async |store: Store| {
        let (id, owner) = workspace(&store, "sales").await;
        let home = store.workspace(&id);
        leave_traces(&store, &home, NOW).await;
        leave_traces(&store, &home, NOW + 1).await;
        store.sessions().begin(session(&owner.id), NOW).await.unwrap();
        assert_eq!(store.clean_up(NOW + DAY - 1).await.unwrap(), Default::default());
        let done = store.clean_up(NOW + DAY).await.unwrap();
        assert_eq!((done.previews, done.tokens), (1, 0));
        let done = store.clean_up(NOW + 30 * DAY).await.unwrap();
        assert_eq!((done.previews, done.tokens), (1, 1));
        assert_eq!(store.clean_up(NOW + 90 * DAY).await.unwrap().audit_entries, 0);
        // Audit entries stay until their segment is closed.
        let done = store.clean_up(NOW + 180 * DAY + 1).await.unwrap();
        assert_eq!((done.audit_entries, done.sign_ins), (0, 2));
        let sign = |row: &AuditCheckpoint| format!("{}-{}", row.first_seq, row.last_seq);
        let signer = Signer { key_id: "k1".to_owned(), sign: Arc::new(sign) };
        let closed = home.audit().close(NOW, signer.clone()).await.unwrap().unwrap();
        assert_eq!((closed.signature.as_str(), closed.newest_at_us), ("1-1", NOW));
        assert_eq!(store.clean_up(NOW + 180 * DAY + 1).await.unwrap().audit_entries, 1);
        let closed = home.audit().close(NOW + 9, signer.clone()).await.unwrap().unwrap();
        assert_eq!((closed.number, closed.previous_signature.as_str()), (2, "1-1"));
        assert_eq!(home.audit().close(NOW + 9, signer).await.unwrap(), None);
        // The chain goes on from its last checkpoint when no entry is left.
        assert_eq!(store.clean_up(NOW + 180 * DAY + 1).await.unwrap().audit_entries, 1);
        leave_traces(&store, &home, NOW + 181 * DAY).await;
        let entries = home.audit().list(&AuditFilter::default(), None, 9).await.unwrap().items;
        assert_eq!(entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [3]);
        assert_eq!(entries[0].previous_hash, closed.last_hash);
    })
    .await;
}

#[tokio::test]
async fn an_old_run_goes_with_all_it_left_but_its_journal() {
    on_both(async |store: Store| {
        let home = home_of(&store, "sales", &["orders"]).await;
        let old = leave_a_run(&store, &home, NOW).await;
        let young = leave_a_run(&store, &home, NOW + 1).await;
        // One that has not ended stays, however old it is.
        let waiting = new_run(&home, "orders", NOW - DAY);
        add_runs(&store, std::slice::from_ref(&waiting)).await;
        let begun = RunRecord { run: old.clone(), ..record("orders", NOW) };
        home.journal().begin(&begun).await.unwrap();
        // More than one transaction removes.
        home.runs().append_log(&young, vec![line(0, NOW, "again"); 4_500]).await.unwrap();
        let page = home.runs().log(&young, &LogFilter::default(), Some("4500"), 9).await.unwrap();
        assert_eq!((page.items.len(), page.next), (1, None));
        let done = store.clean_up(NOW + 30 * DAY - 1).await.unwrap();
        assert_eq!((done.log_lines, done.runs), (0, 0));
        let done = store.clean_up(NOW + 30 * DAY).await.unwrap();
        assert_eq!((done.log_lines, done.runs), (4_501, 0));
        let done = store.clean_up(NOW + 90 * DAY).await.unwrap();
        assert_eq!((done.log_lines, done.runs), (1, 1));
        assert_eq!(code(home.runs().detail(&old).await), "run_not_found");
        let left = home.runs().detail(&young).await.unwrap();
        assert_eq!((left.attempts.len(), left.tasks.len(), left.nodes.len()), (1, 1, 2));
        assert_eq!(left.checks.len(), 2);
        let done = store.clean_up(NOW + 900 * DAY).await.unwrap();
        assert_eq!(done.runs, 1);
        let rows = super::backup::read(&store.snapshot().await.unwrap()).await;
        for table in ["tasks", "attempts", "node_runs", "check_results", "run_logs"] {
            assert_eq!(rows[table].len(), 0, "{table}");
        }
        assert_eq!((rows["runs"].len(), rows["plans"].len()), (1, 1));
        assert_eq!(home.journal().runs(&name("orders")).await.unwrap().len(), 1);
    })
    .await;
}

pub(super) async fn two_homes(store: &Store) -> (InWorkspace, InWorkspace) {
    (home_of(store, "sales", &["orders"]).await, home_of(store, "stock", &["orders"]).await)
}

async fn refuses_all(stock: &InWorkspace, run: &RunId) {
    let runs = stock.runs();
    assert_eq!(code(runs.get(run).await), "run_not_found");
    assert_eq!(code(runs.detail(run).await), "run_not_found");
    assert_eq!(code(runs.append_log(run, vec![line(0, NOW, "x")]).await), "run_not_found");
    assert_eq!(code(runs.log(run, &LogFilter::default(), None, 9).await), "run_not_found");
    assert_eq!(runs.list(&RunFilter::default(), None, 9).await.unwrap().items, []);
    assert_eq!(runs.intervals(&name("orders")).await.unwrap(), []);
    let silver = TableName::parse("silver.orders").unwrap();
    assert_eq!(code(stock.catalogue().get(&silver).await), "table_not_found");
    assert_eq!(code(stock.catalogue().remove(&silver).await), "table_not_found");
    assert_eq!(stock.catalogue().list().await.unwrap(), []);
    assert_eq!(stock.catalogue().lineage(None).await.unwrap(), []);
    let preview = stock.previews().get(&name("orders"), &name("silver"), NOW).await.unwrap();
    assert_eq!(preview, None);
}

#[tokio::test]
async fn runs_and_tables_of_another_workspace_are_not_found() {
    on_both(async |store: Store| {
        let (home, other) = two_homes(&store).await;
        let run = leave_a_run(&store, &home, NOW).await;
        home.catalogue().put(table("silver.orders", 1)).await.unwrap();
        let edges = vec![edge("a.a", "b.b", "one")];
        home.catalogue().put_lineage(&name("orders"), edges).await.unwrap();
        let preview = NewPreview {
            pipeline: name("orders"),
            node: name("silver"),
            data: serde_json::json!({"rows": [[1]]}),
            rows: 1,
            columns: 1,
        };
        home.previews().put(preview.clone(), NOW).await.unwrap();
        home.previews().put(preview.clone(), NOW + 1).await.unwrap();
        let (pipeline, node) = (name("orders"), name("silver"));
        let kept = home.previews().get(&pipeline, &node, NOW + DAY).await.unwrap().unwrap();
        assert_eq!(kept.data.0, preview.data);
        assert_eq!(home.previews().get(&pipeline, &node, NOW + DAY + 1).await.unwrap(), None);

        refuses_all(&other, &run).await;
        assert_eq!(home.runs().get(&run).await.unwrap().status, RunStatus::Succeeded);
        let lines = home.runs().log(&run, &LogFilter::default(), None, 9).await.unwrap().items;
        assert_eq!(lines, [line(1, NOW, "began")]);
        let nowhere = store.workspace(&WorkspaceId::generate(NOW));
        assert_eq!(code(nowhere.catalogue().put(table("a.b", 1)).await), "not_found");
        let lineage = nowhere.catalogue().put_lineage(&name("x"), Vec::new()).await;
        assert_eq!(code(lineage), "not_found");
        assert_eq!(code(nowhere.previews().put(preview, NOW).await), "not_found");
    })
    .await;
}
