//! Runs from being accepted to being forgotten, their journal, and what they leave.

use crate::testing::{DAY, MINUTE, NOW, code, hash, on_both, workspace};
use crate::{
    AuditCheckpoint, AuditFilter, Ending, InWorkspace, LakeTable, Lease, LineageEdge, LogLevel,
    LogLine, NewAuditEntry, NewPreview, NewRun, NewSession, NewSignIn, RunFilter, RunStatus,
    RunTrigger, SessionKind, SignInOutcome, Signer, Store, UserId, WorkspaceId,
};
use futures::future;
use model::run::{NodeReport, Outcome, RunEvent, RunId, RunKind, RunRecord};
use model::{Name, Problem, TableName, codes};
use std::collections::BTreeMap;
use std::sync::Arc;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(super) fn new_run(pipeline: &str, now_us: i64) -> NewRun {
    NewRun {
        id: RunId::generate(now_us),
        pipeline: name(pipeline),
        definition_version: Some(3),
        started_by: RunTrigger::Api,
        triggered_by: None,
        source_id: None,
        params: serde_json::json!({"day": "2026-11-20", "text": "\u{0}"}),
        interval_us: Some((NOW - DAY, NOW)),
        priority: 0,
        idempotency_key: None,
    }
}

fn ending(status: RunStatus) -> Ending {
    let report = NodeReport {
        rows_in: 10,
        rows_out: 7,
        rejects: 3,
        elapsed_ms: 12,
        findings: BTreeMap::from([("not_null: amount".to_owned(), 3)]),
        reasons: Vec::new(),
    };
    Ending {
        status,
        rows_in: 10,
        rows_out: 7,
        rows_rejected: 3,
        problem: None,
        nodes: BTreeMap::from([(name("orders"), report)]),
    }
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

fn line(at_us: i64, message: &str) -> LogLine {
    LogLine {
        node: Some("orders".to_owned()),
        at_us,
        level: LogLevel::Info,
        message: message.to_owned(),
        fields: serde_json::json!({"rows": 1}),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_idempotency_key_is_the_same_run_however_many_ask_at_once() {
    on_both(async |store: Store| {
        let (id, _) = workspace(&store, "sales").await;
        let (other, _) = workspace(&store, "stock").await;
        let runs = store.workspace(&id).runs();
        let accept = |_| {
            let key = Some("once".to_owned());
            let new = NewRun { idempotency_key: key, ..new_run("orders", NOW) };
            let runs = runs.clone();
            async move { runs.accept(new, NOW).await.unwrap() }
        };
        let accepted = future::join_all((0..20).map(accept)).await;
        assert!(accepted.iter().all(|run| *run == accepted[0]));
        assert_eq!(accepted[0].params, new_run("orders", NOW).params);
        assert_eq!(accepted[0].interval_us, Some((NOW - DAY, NOW)));
        let key = Some("once".to_owned());
        let theirs = NewRun { idempotency_key: key, ..new_run("orders", NOW) };
        let theirs = store.workspace(&other).runs().accept(theirs, NOW).await.unwrap();
        assert_ne!(theirs.id, accepted[0].id);
        // Without a key every request is a run.
        runs.accept(new_run("orders", NOW), NOW).await.unwrap();
        runs.accept(new_run("orders", NOW), NOW).await.unwrap();
        let list = runs.list(&RunFilter::default(), None, 50).await.unwrap();
        assert_eq!(list.items.len(), 3);
        assert_eq!(store.queue().waiting(50).await.unwrap().len(), 4);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_has_one_worker_at_a_time_and_a_lost_one_cannot_end_it() {
    on_both(async |store: Store| {
        let (id, _) = workspace(&store, "sales").await;
        let runs = store.workspace(&id).runs();
        let queue = store.queue();
        let low = runs.accept(new_run("orders", NOW), NOW).await.unwrap();
        let high = NewRun { priority: 5, ..new_run("orders", NOW + MINUTE) };
        let high = runs.accept(high, NOW).await.unwrap();
        let order: Vec<_> = queue.waiting(9).await.unwrap().into_iter().map(|run| run.id).collect();
        assert_eq!(order, [high.id.clone(), low.id.clone()]);

        let workers = ["a", "b", "c", "d", "e"];
        let claims = workers.map(|worker| queue.claim(&high.id, worker, NOW + MINUTE, NOW));
        let (won, lost): (Vec<_>, Vec<_>) =
            future::join_all(claims).await.into_iter().partition(Result::is_ok);
        assert_eq!((won.len(), lost.len()), (1, 4));
        assert!(lost.into_iter().all(|claim| code(claim) == "run_locked"));
        let (run, first) = won.into_iter().next().unwrap().unwrap();
        assert_eq!(
            (run.status, run.lease_epoch, run.started_at_us),
            (RunStatus::Running, 1, Some(NOW))
        );
        assert!(!queue.renew(&first, NOW + 2 * MINUTE).await.unwrap());

        assert_eq!(queue.reclaim(NOW + MINUTE).await.unwrap(), []);
        let reclaimed = queue.reclaim(NOW + 2 * MINUTE).await.unwrap();
        assert_eq!((reclaimed.len(), reclaimed[0].status), (1, RunStatus::Queued));
        assert_eq!(code(queue.renew(&first, NOW + DAY).await), "run_locked");
        let (_, second) = queue.claim(&high.id, "f", NOW + DAY, NOW + 3 * MINUTE).await.unwrap();
        let late = queue.finish(&first, ending(RunStatus::Succeeded), NOW + 3 * MINUTE).await;
        assert_eq!(code(late), "run_locked");
        let ended = queue.finish(&second, ending(RunStatus::Succeeded), NOW + 4 * MINUTE).await;
        let ended = ended.unwrap();
        assert_eq!((ended.status, ended.rows_out), (RunStatus::Succeeded, 7));
        assert_eq!((ended.started_at_us, ended.ended_at_us), (Some(NOW), Some(NOW + 4 * MINUTE)));
        let again = queue.finish(&second, ending(RunStatus::Failed), NOW + 5 * MINUTE).await;
        assert_eq!(code(again), "run_locked");

        let detail = runs.detail(&high.id).await.unwrap();
        let attempts: Vec<_> =
            detail.attempts.iter().map(|a| (a.number, a.status, a.ended_at_us)).collect();
        let expected = [
            (1, Some(RunStatus::Queued), Some(NOW + 2 * MINUTE)),
            (2, Some(RunStatus::Succeeded), Some(NOW + 4 * MINUTE)),
        ];
        assert_eq!(attempts, expected);
        assert_eq!(detail.nodes[0].report, ending(RunStatus::Succeeded).nodes[&name("orders")]);
        assert_eq!(
            (detail.checks[0].check.as_str(), detail.checks[0].offending),
            ("not_null: amount", 3)
        );
        let unfinished = queue.unfinished().await.unwrap();
        assert_eq!(unfinished.into_iter().map(|run| run.id).collect::<Vec<_>>(), [low.id]);
    })
    .await;
}

#[tokio::test]
async fn a_failed_run_says_why_and_can_wait_again() {
    on_both(async |store: Store| {
        let (id, _) = workspace(&store, "sales").await;
        let runs = store.workspace(&id).runs();
        let run = runs.accept(new_run("orders", NOW), NOW).await.unwrap();
        let problem = Problem::new(&codes::FILE_NOT_FOUND, "no file").arg("path", "x").to_stored();
        let failed = |status| Ending { problem: Some(problem.clone()), ..ending(status) };
        let (_, lease) = store.queue().claim(&run.id, "a", NOW + DAY, NOW).await.unwrap();
        let again = store.queue().finish(&lease, failed(RunStatus::Queued), NOW + 1).await.unwrap();
        assert_eq!((again.status, again.ended_at_us), (RunStatus::Queued, None));
        let (_, lease) = store.queue().claim(&run.id, "a", NOW + DAY, NOW + 2).await.unwrap();
        let ended = store.queue().finish(&lease, failed(RunStatus::Failed), NOW + 3).await.unwrap();
        assert_eq!(ended.problem.as_ref(), Some(&problem));
        assert_eq!(runs.get(&run.id).await.unwrap(), ended);
        assert_eq!(runs.detail(&run.id).await.unwrap().attempts[0].problem, Some(problem));
    })
    .await;
}

#[tokio::test]
async fn cancelling_stops_what_waits_at_once_and_tells_the_worker() {
    on_both(async |store: Store| {
        let (id, _) = workspace(&store, "sales").await;
        let (runs, queue) = (store.workspace(&id).runs(), store.queue());
        let waiting = runs.accept(new_run("orders", NOW), NOW).await.unwrap();
        let stopped = runs.request_cancel(&waiting.id, NOW + 1).await.unwrap();
        assert_eq!((stopped.status, stopped.ended_at_us), (RunStatus::Cancelled, Some(NOW + 1)));
        assert_eq!(runs.get(&waiting.id).await.unwrap(), stopped);
        assert_eq!(code(queue.claim(&waiting.id, "a", NOW + DAY, NOW).await), "run_locked");

        let going = runs.accept(new_run("orders", NOW), NOW).await.unwrap();
        let (_, lease) = queue.claim(&going.id, "a", NOW + MINUTE, NOW).await.unwrap();
        let asked = runs.request_cancel(&going.id, NOW + 2).await.unwrap();
        assert_eq!((asked.status, asked.ended_at_us), (RunStatus::Running, None));
        assert!(queue.renew(&lease, NOW + MINUTE).await.unwrap());
        // Its worker dies before it hears of it.
        let lost = queue.reclaim(NOW + MINUTE).await.unwrap();
        assert_eq!(lost[0].status, RunStatus::Cancelled);
        let ended = runs.request_cancel(&going.id, NOW + DAY).await.unwrap();
        assert_eq!(
            (ended.status, ended.cancel_requested_at_us),
            (RunStatus::Cancelled, Some(NOW + 2))
        );
        assert_eq!(code(runs.request_cancel(&RunId::generate(NOW), NOW).await), "run_not_found");
    })
    .await;
}

#[tokio::test]
async fn runs_are_listed_by_what_is_asked_for() {
    on_both(async |store: Store| {
        let (id, _) = workspace(&store, "sales").await;
        let runs = store.workspace(&id).runs();
        for number in 0..7 {
            let now_us = NOW + number * MINUTE;
            let pipeline = if number % 2 == 0 { "even" } else { "odd" };
            let started_by = if number == 6 { RunTrigger::Manual } else { RunTrigger::Api };
            let new = NewRun { started_by, ..new_run(pipeline, now_us) };
            runs.accept(new, now_us).await.unwrap();
        }
        let minutes = async |filter: RunFilter, limit| {
            let (mut after, mut seen) = (None, Vec::new());
            loop {
                let page = runs.list(&filter, after.as_deref(), limit).await.unwrap();
                seen.extend(page.items.iter().map(|run| (run.created_at_us - NOW) / MINUTE));
                after = page.next;
                if after.is_none() {
                    return seen;
                }
            }
        };
        assert_eq!(minutes(RunFilter::default(), 3).await, [6, 5, 4, 3, 2, 1, 0]);
        let odd = RunFilter { pipeline: Some(name("odd")), ..Default::default() };
        assert_eq!(minutes(odd, 2).await, [5, 3, 1]);
        let manual = RunFilter { started_by: Some(RunTrigger::Manual), ..Default::default() };
        assert_eq!(minutes(manual, 9).await, [6]);
        let between = RunFilter {
            since_us: Some(NOW + MINUTE),
            until_us: Some(NOW + 3 * MINUTE),
            ..Default::default()
        };
        assert_eq!(minutes(between, 9).await, [2, 1]);
        let ended = RunFilter { status: vec![RunStatus::Failed], ..Default::default() };
        assert_eq!(minutes(ended, 9).await, [0; 0]);
        let list = runs.list(&RunFilter::default(), Some("../x"), 9).await;
        assert_eq!(code(list), "request_invalid");
    })
    .await;
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

#[tokio::test]
async fn what_is_too_old_is_removed_and_the_rest_is_not() {
    on_both(async |store: Store| {
        let (id, owner) = workspace(&store, "sales").await;
        let home = store.workspace(&id);
        let leave_traces = async |now_us: i64| {
            let run = home.runs().accept(new_run("orders", now_us), now_us).await.unwrap();
            let lease = store.queue().claim(&run.id, "a", now_us + DAY, now_us).await.unwrap().1;
            store.queue().finish(&lease, ending(RunStatus::Succeeded), now_us).await.unwrap();
            home.runs().append_log(&run.id, vec![line(now_us, "began")]).await.unwrap();
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
        };
        leave_traces(NOW).await;
        leave_traces(NOW + 1).await;
        // More than one transaction removes.
        let last = home.runs().list(&RunFilter::default(), None, 1).await.unwrap().items.remove(0);
        home.runs().append_log(&last.id, vec![line(NOW, "again"); 4_500]).await.unwrap();
        let page = home.runs().log(&last.id, Some("4500"), 9).await.unwrap();
        assert_eq!((page.items.len(), page.next), (1, None));
        store.sessions().begin(session(&owner.id), NOW).await.unwrap();
        assert_eq!(store.clean_up(NOW + DAY - 1).await.unwrap(), Default::default());

        let done = store.clean_up(NOW + DAY).await.unwrap();
        assert_eq!((done.previews, done.log_lines, done.tokens), (1, 0, 0));
        let done = store.clean_up(NOW + 30 * DAY).await.unwrap();
        assert_eq!((done.previews, done.log_lines, done.tokens), (1, 4_501, 1));
        let done = store.clean_up(NOW + 90 * DAY).await.unwrap();
        assert_eq!((done.log_lines, done.runs, done.audit_entries), (1, 1, 0));
        let left = home.runs().list(&RunFilter::default(), None, 9).await.unwrap().items;
        assert_eq!(left.len(), 1);
        assert_eq!(home.runs().detail(&left[0].id).await.unwrap().attempts.len(), 1);
        // Audit entries stay until their segment is closed.
        let done = store.clean_up(NOW + 180 * DAY + 1).await.unwrap();
        assert_eq!((done.audit_entries, done.sign_ins, done.runs), (0, 2, 1));
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
        leave_traces(NOW + 181 * DAY).await;
        let entries = home.audit().list(&AuditFilter::default(), None, 9).await.unwrap().items;
        assert_eq!(entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [3]);
        assert_eq!(entries[0].previous_hash, closed.last_hash);
    })
    .await;
}

async fn refuses_all(stock: &InWorkspace, run: &RunId) {
    let runs = stock.runs();
    assert_eq!(code(runs.get(run).await), "run_not_found");
    assert_eq!(code(runs.detail(run).await), "run_not_found");
    assert_eq!(code(runs.request_cancel(run, NOW).await), "run_not_found");
    assert_eq!(code(runs.append_log(run, vec![line(NOW, "x")]).await), "run_not_found");
    assert_eq!(code(runs.log(run, None, 9).await), "run_not_found");
    assert_eq!(runs.list(&RunFilter::default(), None, 9).await.unwrap().items, []);
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
        let (id, _) = workspace(&store, "sales").await;
        let (other, _) = workspace(&store, "stock").await;
        let home = store.workspace(&id);
        let run = home.runs().accept(new_run("orders", NOW), NOW).await.unwrap();
        home.runs().append_log(&run.id, vec![line(NOW, "a"), line(NOW, "b")]).await.unwrap();
        home.runs().append_log(&run.id, vec![line(NOW, "c")]).await.unwrap();
        let page = home.runs().log(&run.id, None, 2).await.unwrap();
        let rest = home.runs().log(&run.id, page.next.as_deref(), 2).await.unwrap();
        assert_eq!(page.items, [line(NOW, "a"), line(NOW, "b")]);
        assert_eq!((rest.items, rest.next), (vec![line(NOW, "c")], None));
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

        refuses_all(&store.workspace(&other), &run.id).await;
        assert_eq!(home.runs().get(&run.id).await.unwrap().status, RunStatus::Queued);
        let nowhere = store.workspace(&WorkspaceId::generate(NOW));
        assert_eq!(code(nowhere.runs().accept(new_run("x", NOW), NOW).await), "not_found");
        assert_eq!(code(nowhere.catalogue().put(table("a.b", 1)).await), "not_found");
        let lineage = nowhere.catalogue().put_lineage(&name("x"), Vec::new()).await;
        assert_eq!(code(lineage), "not_found");
        assert_eq!(code(nowhere.previews().put(preview, NOW).await), "not_found");
        let lease = Lease { run: RunId::generate(NOW), epoch: 1 };
        assert_eq!(code(store.queue().renew(&lease, NOW).await), "run_locked");
    })
    .await;
}
