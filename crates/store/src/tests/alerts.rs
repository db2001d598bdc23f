//! Alerts: rules, windows, inboxes, messages that survive whoever sends them.

use crate::testing::{MINUTE, NOW, code, on_both, user, workspace};
use crate::{
    AlertChannel, AlertChannelId, AlertRule, Delivery, InWorkspace, Inbox, NewAlertChannel,
    NewAlertRule, NewNotification, NotificationKind, Sent, Store, WorkspaceId,
};
use futures::future;
use model::notice::{Notice, NoticeKind};
use model::run::RunId;
use model::{Name, Problem, Role, codes};
use std::collections::BTreeSet;

const SECOND: i64 = 1_000_000;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn failed(pipeline: &str) -> Notice {
    let problem = Problem::new(&codes::CHECK_FAILED, "3 rows").to_stored();
    Notice::RunFailed { pipeline: name(pipeline), run: RunId::generate(NOW), problem }
}

fn succeeded(pipeline: &str) -> Notice {
    Notice::RunSucceeded {
        pipeline: name(pipeline),
        run: RunId::generate(NOW),
        rows_out: 1,
        rows_rejected: 0,
        elapsed_ms: 5,
    }
}

fn wording(notice: &Notice) -> NewNotification {
    let pipeline = notice.pipeline().unwrap();
    NewNotification {
        kind: NotificationKind::Alert,
        title: format!("{} {pipeline}", notice.kind().as_str()),
        message: String::new(),
        resource: None,
    }
}

async fn channel(home: &InWorkspace, title: &str) -> AlertChannel {
    let new = NewAlertChannel {
        name: title.to_owned(),
        settings: serde_json::json!({"kind": "slack"}),
        sealed: "sealed".to_owned(),
    };
    home.alert_channels().create(AlertChannelId::generate(NOW), new, None, NOW).await.unwrap()
}

fn rule(title: &str, kinds: &[NoticeKind], channel: &AlertChannel) -> NewAlertRule {
    NewAlertRule {
        name: title.to_owned(),
        is_active: true,
        pipelines: Vec::new(),
        kinds: kinds.to_vec(),
        channels: vec![channel.id.clone()],
        window_seconds: 300,
    }
}

async fn announce(home: &InWorkspace, notice: Notice, now_us: i64) {
    home.alerts().announce(notice, now_us).await.unwrap();
}

async fn expand(store: &Store, now_us: i64) -> u64 {
    store.alerts().expand(100, wording, now_us).await.unwrap()
}

/// Kinds of news and how many were held back, of the messages that are due; they count as sent.
async fn sent(store: &Store, now_us: i64) -> Vec<(NoticeKind, u64)> {
    let claimed = store.alerts().claim(100, now_us + MINUTE, now_us).await.unwrap();
    for delivery in &claimed {
        store.alerts().settle(delivery, Sent::Done, now_us).await.unwrap();
    }
    claimed.iter().map(|delivery| (delivery.notice.kind(), delivery.more)).collect()
}

#[tokio::test]
async fn a_success_after_failures_is_a_recovery_and_only_the_first_one() {
    on_both(async |store: Store| {
        let (id, _) = workspace(&store, "sales").await;
        let home = store.workspace(&id);
        let channel = channel(&home, "ops").await;
        let kinds = [NoticeKind::RunRecovered, NoticeKind::RunFailed];
        let every = NewAlertRule { window_seconds: 0, ..rule("all", &kinds, &channel) };
        home.alert_rules().create(every, NOW).await.unwrap();
        let steps = [
            succeeded("orders"),
            failed("orders"),
            succeeded("stock"),
            failed("orders"),
            succeeded("orders"),
            succeeded("orders"),
        ];
        let count = steps.len() as u64;
        for (index, notice) in (0..).zip(steps) {
            announce(&home, notice, NOW + index * SECOND).await;
        }
        let now_us = NOW + MINUTE;
        assert_eq!(expand(&store, now_us).await, count);
        assert_eq!(expand(&store, now_us).await, 0);
        let claimed = store.alerts().claim(100, now_us + MINUTE, now_us).await.unwrap();
        let kinds: Vec<_> = claimed.iter().map(|delivery| delivery.notice.kind()).collect();
        let expected = BTreeSet::from([NoticeKind::RunFailed, NoticeKind::RunRecovered]);
        assert_eq!((kinds.len(), kinds.into_iter().collect::<BTreeSet<_>>()), (3, expected));
        let recovered = claimed.iter().find_map(|delivery| match &delivery.notice {
            Notice::RunRecovered { failures, failing_since_us, .. } => {
                Some((*failures, *failing_since_us))
            }
            _ => None,
        });
        assert_eq!(recovered, Some((2, NOW + SECOND)));
    })
    .await;
}

#[tokio::test]
async fn a_window_lets_one_message_through_and_counts_the_others() {
    on_both(async |store: Store| {
        let (id, _) = workspace(&store, "sales").await;
        let home = store.workspace(&id);
        let channel = channel(&home, "ops").await;
        let kinds = [NoticeKind::RunRecovered, NoticeKind::RunFailed];
        home.alert_rules().create(rule("all", &kinds, &channel), NOW).await.unwrap();
        announce(&home, failed("orders"), NOW).await;
        announce(&home, failed("stock"), NOW).await;
        expand(&store, NOW).await;
        let one = (NoticeKind::RunFailed, 0);
        assert_eq!(sent(&store, NOW).await, [one, one], "each pipeline has its own window");
        for minute in 1..=3 {
            announce(&home, failed("orders"), NOW + minute * MINUTE).await;
            expand(&store, NOW + minute * MINUTE).await;
        }
        announce(&home, succeeded("orders"), NOW + 4 * MINUTE).await;
        expand(&store, NOW + 4 * MINUTE).await;
        assert_eq!(sent(&store, NOW + 4 * MINUTE).await, []);
        // The window closes: the newest is told, with how many came before it.
        let end = NOW + 5 * MINUTE;
        assert!(expand(&store, end).await > 0);
        assert_eq!(sent(&store, end).await, [(NoticeKind::RunRecovered, 3)]);
        // That message has opened a window of its own, in which nothing happens.
        announce(&home, failed("orders"), end + MINUTE).await;
        expand(&store, end + MINUTE).await;
        assert_eq!(sent(&store, end + MINUTE).await, []);
        let end = end + 5 * MINUTE;
        expand(&store, end).await;
        assert_eq!(sent(&store, end).await, [(NoticeKind::RunFailed, 0)]);
        let end = end + 5 * MINUTE;
        assert_eq!(expand(&store, end).await, 1, "a window that held nothing is cleared away");
        assert_eq!(expand(&store, end + 60 * MINUTE).await, 0);
        assert_eq!(sent(&store, end + 60 * MINUTE).await, []);
    })
    .await;
}

#[tokio::test]
async fn rules_are_for_their_pipelines_and_kinds_and_may_rest() {
    on_both(async |store: Store| {
        let (id, _) = workspace(&store, "sales").await;
        let (other, _) = workspace(&store, "stock").await;
        let home = store.workspace(&id);
        let channel = channel(&home, "ops").await;
        let failures = [NoticeKind::RunFailed];
        let narrow =
            NewAlertRule { pipelines: vec![name("orders")], ..rule("narrow", &failures, &channel) };
        home.alert_rules().create(narrow, NOW).await.unwrap();
        let resting = NewAlertRule { is_active: false, ..rule("resting", &failures, &channel) };
        home.alert_rules().create(resting, NOW).await.unwrap();
        announce(&home, failed("stock"), NOW).await;
        announce(&home, succeeded("orders"), NOW).await;
        announce(&store.workspace(&other), failed("orders"), NOW).await;
        expand(&store, NOW).await;
        assert_eq!(sent(&store, NOW).await, []);
        announce(&home, failed("orders"), NOW).await;
        expand(&store, NOW).await;
        assert_eq!(sent(&store, NOW).await, [(NoticeKind::RunFailed, 0)]);
    })
    .await;
}

#[tokio::test]
async fn inboxes_hold_one_unread_line_for_what_repeats() {
    on_both(async |store: Store| {
        let (id, owner) = workspace(&store, "sales").await;
        let home = store.workspace(&id);
        let viewer = user(&store, "viewer@sales.example").await;
        home.members().add(&viewer.id, Role::Viewer, NOW).await.unwrap();
        let titles = async |who: &crate::UserId| -> Vec<String> {
            let page = home.notifications().list(who, Inbox::Unread, None, 50).await.unwrap();
            page.items.into_iter().map(|row| row.title).collect()
        };
        for second in 0..5 {
            announce(&home, failed("orders"), NOW + second * SECOND).await;
        }
        announce(&home, failed("stock"), NOW + 6 * SECOND).await;
        announce(&home, succeeded("quiet"), NOW + 7 * SECOND).await;
        expand(&store, NOW + MINUTE).await;
        assert_eq!(titles(&owner.id).await, ["run_failed stock", "run_failed orders"]);
        assert_eq!(titles(&viewer.id).await.len(), 2);
        // What the owner has read stays; the next failure is a new line for the owner.
        home.notifications().mark_read(&owner.id, None, NOW + MINUTE).await.unwrap();
        announce(&home, failed("orders"), NOW + 2 * MINUTE).await;
        expand(&store, NOW + 2 * MINUTE).await;
        assert_eq!(titles(&owner.id).await, ["run_failed orders"]);
        let all = home.notifications().list(&owner.id, Inbox::All, None, 50).await.unwrap();
        assert_eq!(all.items.len(), 3);
        assert_eq!(titles(&viewer.id).await, ["run_failed orders", "run_failed stock"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_one_workers_until_its_claim_is_over_and_is_never_lost() {
    on_both(async |store: Store| {
        let (id, _) = workspace(&store, "sales").await;
        let home = store.workspace(&id);
        let channel = channel(&home, "ops").await;
        let every =
            NewAlertRule { window_seconds: 0, ..rule("all", &[NoticeKind::RunFailed], &channel) };
        home.alert_rules().create(every, NOW).await.unwrap();
        let announcing = (0..20).map(|index| {
            let home = home.clone();
            async move { announce(&home, failed(&format!("p{index}")), NOW).await }
        });
        future::join_all(announcing).await;
        let expanding = (0..4).map(|_| expand(&store, NOW));
        let done: u64 = future::join_all(expanding).await.into_iter().sum();
        assert_eq!(done, 20, "four servers do the work of one");
        let alerts = store.alerts();
        let claiming = (0..4).map(|_| alerts.claim(8, NOW + MINUTE, NOW));
        let claimed: Vec<Delivery> =
            future::join_all(claiming).await.into_iter().flat_map(Result::unwrap).collect();
        let ids: BTreeSet<String> =
            claimed.iter().map(|delivery| delivery.id.to_string()).collect();
        assert_eq!((claimed.len(), ids.len()), (20, 20), "nobody has what another one has");
        // All four die. When their claims are over somebody finds every message.
        assert!(
            store.alerts().claim(100, NOW + MINUTE, NOW + MINUTE - 1).await.unwrap().is_empty()
        );
        let later = NOW + MINUTE;
        let again = store.alerts().claim(100, later + MINUTE, later).await.unwrap();
        let same: BTreeSet<String> = again.iter().map(|delivery| delivery.id.to_string()).collect();
        assert_eq!(same, ids);
        assert!(again.iter().all(|delivery| delivery.attempts == 2));
    })
    .await;
}

#[tokio::test]
async fn what_became_of_a_message_is_known_at_its_channel() {
    on_both(async |store: Store| {
        let (id, _) = workspace(&store, "sales").await;
        let home = store.workspace(&id);
        let channel = channel(&home, "ops").await;
        let made = rule("all", &[NoticeKind::RunFailed], &channel);
        home.alert_rules().create(made, NOW).await.unwrap();
        announce(&home, failed("orders"), NOW).await;
        expand(&store, NOW).await;
        let away = Problem::new(&codes::CONNECTION_FAILED, "away").to_stored();
        let claim = async |now_us: i64| {
            store.alerts().claim(10, now_us + MINUTE, now_us).await.unwrap().pop()
        };
        let first = claim(NOW).await.unwrap();
        let again = Sent::Again(away.clone(), NOW + 5 * SECOND);
        store.alerts().settle(&first, again, NOW).await.unwrap();
        let row = home.alert_channels().get(&channel.id).await.unwrap();
        assert_eq!(
            (row.problem.map(|stored| stored.0.code), row.sent_at_us),
            (Some(away.code), None)
        );
        assert!(claim(NOW + 4 * SECOND).await.is_none());
        let second = claim(NOW + 5 * SECOND).await.unwrap();
        assert_eq!((second.attempts, &second.id), (2, &first.id));
        store.alerts().settle(&second, Sent::Done, NOW + 6 * SECOND).await.unwrap();
        let row = home.alert_channels().get(&channel.id).await.unwrap();
        assert_eq!((row.problem, row.sent_at_us), (None, Some(NOW + 6 * SECOND)));
        assert!(claim(NOW + 60 * MINUTE).await.is_none());
    })
    .await;
}

#[tokio::test]
async fn channels_and_rules_are_changed_by_one_at_a_time_and_stay_in_their_workspace() {
    on_both(async |store: Store| {
        let (id, _) = workspace(&store, "sales").await;
        let (other, _) = workspace(&store, "stock").await;
        let (home, stock) = (store.workspace(&id), store.workspace(&other));
        let ops = channel(&home, "ops").await;
        let new = |title: &str| NewAlertChannel {
            name: title.to_owned(),
            settings: serde_json::json!({}),
            sealed: "other".to_owned(),
        };
        let channels = home.alert_channels();
        let generate = || AlertChannelId::generate(NOW);
        assert_eq!(code(channels.create(generate(), new("ops"), None, NOW).await), "conflict");
        let changed = channels.change(&ops.id, new("team"), ops.updated_at_us, NOW).await.unwrap();
        assert!(changed.updated_at_us > ops.updated_at_us, "also within one tick of the clock");
        let late = channels.change(&ops.id, new("late"), ops.updated_at_us, NOW + 1).await;
        assert_eq!(code(late), "conflict");
        assert_eq!(channels.get(&ops.id).await.unwrap(), changed);

        let made: AlertRule =
            home.alert_rules().create(rule("all", &NoticeKind::OF_RULES, &ops), NOW).await.unwrap();
        let narrow =
            NewAlertRule { window_seconds: 0, ..rule("few", &[NoticeKind::RunLate], &ops) };
        let rules = home.alert_rules();
        let changed =
            rules.change(&made.id, narrow.clone(), made.updated_at_us, NOW).await.unwrap();
        assert_eq!(rules.get(&made.id).await.unwrap(), changed);
        assert_eq!((changed.name.as_str(), changed.window_seconds), ("few", 0));
        assert_eq!(code(rules.change(&made.id, narrow, made.updated_at_us, NOW).await), "conflict");
        assert_eq!(code(channels.remove(&ops.id).await), "conflict", "a rule names it");

        assert_eq!(code(stock.alert_channels().get(&ops.id).await), "not_found");
        assert_eq!(code(stock.alert_channels().remove(&ops.id).await), "not_found");
        assert_eq!(code(stock.alert_rules().remove(&made.id).await), "not_found");
        let foreign = rule("foreign", &[NoticeKind::RunFailed], &ops);
        assert_eq!(code(stock.alert_rules().create(foreign, NOW).await), "not_found");
        rules.remove(&made.id).await.unwrap();
        channels.remove(&ops.id).await.unwrap();
        assert_eq!(channels.list().await.unwrap(), []);
        let nowhere = store.workspace(&WorkspaceId::generate(NOW));
        let create = nowhere.alert_channels().create(generate(), new("x"), None, NOW).await;
        assert_eq!(code(create), "not_found");
    })
    .await;
}
