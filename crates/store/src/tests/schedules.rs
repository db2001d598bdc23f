//! Schedules and triggers: changed, found and removed; when a changed schedule goes on.

use crate::testing::{DAY, MINUTE, NOW, code, hash, on_both, workspace};
use crate::{
    NewSchedule, NewTrigger, Schedule, ScheduleId, ScheduleStatus, Store, Stored, TriggerKind,
    WorkspaceId,
};
use model::Name;
use serde_json::json;

fn schedule(name: &str) -> NewSchedule {
    NewSchedule {
        name: name.to_owned(),
        pipeline: Name::new("orders").unwrap(),
        status: ScheduleStatus::Active,
        rule: json!({"cron": "0 6 * * *", "a": 1}),
        zone: "Europe/Paris".to_owned(),
        params: json!({"z": 1, "a": "\u{0}"}),
        start_at_us: Some(NOW - DAY),
        end_at_us: None,
    }
}

fn trigger(name: &str, seed: u64) -> NewTrigger {
    NewTrigger {
        name: name.to_owned(),
        kind: TriggerKind::Webhook,
        pipeline: Name::new("orders").unwrap(),
        settings: json!({"z": 1, "a": 2}),
        token: Some(hash(seed)),
    }
}

#[tokio::test]
async fn a_schedule_is_what_was_last_said() {
    on_both(async |store: Store| {
        let (id, owner) = workspace(&store, "sales").await;
        let schedules = store.workspace(&id).schedules();
        let made = schedules.create(schedule("late"), Some(&owner.id), NOW).await.unwrap();
        let expected = Schedule {
            id: made.id.clone(),
            workspace_id: id.clone(),
            name: "late".to_owned(),
            pipeline: "orders".to_owned(),
            status: ScheduleStatus::Active,
            rule: Stored(schedule("").rule),
            zone: "Europe/Paris".to_owned(),
            params: Stored(schedule("").params),
            start_at_us: Some(NOW - DAY),
            end_at_us: None,
            fired_us: NOW,
            created_by: Some(owner.id.clone()),
            created_at_us: NOW,
            updated_at_us: NOW,
        };
        assert_eq!(made, expected);
        assert_eq!(schedules.get(&made.id).await.unwrap(), expected);
        assert_eq!(code(schedules.create(schedule("late"), None, NOW).await), "conflict");
        let early = schedules.create(schedule("early"), None, NOW).await.unwrap();
        let list = schedules.list().await.unwrap();
        assert_eq!(list, [early.clone(), made.clone()]);
        let taken = schedules.change(&early.id, schedule("late"), NOW).await;
        assert_eq!(code(taken), "conflict");
        let other = NewSchedule {
            pipeline: Name::new("days").unwrap(),
            params: json!({}),
            start_at_us: None,
            end_at_us: Some(NOW + DAY),
            ..schedule("later")
        };
        let changed = schedules.change(&made.id, other, NOW + MINUTE).await.unwrap();
        let expected = Schedule {
            name: "later".to_owned(),
            pipeline: "days".to_owned(),
            params: Stored(json!({})),
            start_at_us: None,
            end_at_us: Some(NOW + DAY),
            updated_at_us: NOW + MINUTE,
            ..expected
        };
        assert_eq!(changed, expected);
        assert_eq!(schedules.list().await.unwrap(), [early, expected]);
    })
    .await;
}

#[tokio::test]
async fn only_another_rule_and_the_end_of_a_pause_move_a_schedule_to_now() {
    on_both(async |store: Store| {
        let (id, _) = workspace(&store, "sales").await;
        let schedules = store.workspace(&id).schedules();
        let made = schedules.create(schedule("daily"), None, NOW).await.unwrap();
        let paused = || NewSchedule { status: ScheduleStatus::Paused, ..schedule("daily") };
        let ruled = || NewSchedule { rule: json!({"cron": "0 7 * * *"}), ..schedule("daily") };
        let elsewhere = || NewSchedule { zone: "UTC".to_owned(), ..ruled() };
        // What it becomes, when, and up to which instant its fires are done with then.
        let changes = [
            (schedule("daily"), 1, 0),
            (NewSchedule { params: json!({"a": 1}), ..schedule("daily") }, 2, 0),
            (paused(), 3, 0),
            (paused(), 4, 0),
            (schedule("daily"), 5, 5),
            (ruled(), 6, 6),
            (ruled(), 7, 6),
            (elsewhere(), 8, 8),
            (NewSchedule { status: ScheduleStatus::Paused, ..elsewhere() }, 9, 8),
            (NewSchedule { status: ScheduleStatus::Paused, ..ruled() }, 10, 10),
            // A clock that was put back makes nothing fire twice.
            (ruled(), 4, 10),
        ];
        for (new, at, done) in changes {
            let changed = schedules.change(&made.id, new, NOW + at * MINUTE).await.unwrap();
            assert_eq!((changed.fired_us - NOW) / MINUTE, done, "at {at}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_trigger_is_found_by_its_token_as_long_as_it_is_active() {
    on_both(async |store: Store| {
        let (id, _) = workspace(&store, "sales").await;
        let triggers = store.workspace(&id).triggers();
        let hook = triggers.create(trigger("hook", 1), NOW).await.unwrap();
        assert_eq!(code(triggers.create(trigger("hook", 2), NOW).await), "conflict");
        let second = triggers.create(trigger("a second", 3), NOW).await.unwrap();
        assert_eq!(triggers.list().await.unwrap(), [second, hook.clone()]);
        assert_eq!(triggers.get(&hook.id).await.unwrap(), hook);
        assert_eq!((hook.is_active, hook.last_fired_at_us), (true, None));
        assert_eq!(store.triggers().by_token(&hash(1)).await.unwrap(), Some(hook.clone()));
        assert_eq!(store.triggers().by_token(&hash(2)).await.unwrap(), None);
        triggers.set_active(&hook.id, false).await.unwrap();
        assert_eq!(store.triggers().by_token(&hash(1)).await.unwrap(), None);
        triggers.set_active(&hook.id, true).await.unwrap();
        assert_eq!(store.triggers().by_token(&hash(1)).await.unwrap(), Some(hook.clone()));
        triggers.remove(&hook.id).await.unwrap();
        assert_eq!(store.triggers().by_token(&hash(1)).await.unwrap(), None);
        assert_eq!(triggers.list().await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn schedules_and_triggers_of_another_workspace_are_not_found() {
    on_both(async |store: Store| {
        let (id, _) = workspace(&store, "sales").await;
        let (other, _) = workspace(&store, "stock").await;
        let (home, stock) = (store.workspace(&id), store.workspace(&other));
        let daily = home.schedules().create(schedule("daily"), None, NOW).await.unwrap();
        let foreign = stock.schedules();
        assert_eq!(code(foreign.get(&daily.id).await), "not_found");
        assert_eq!(code(foreign.change(&daily.id, schedule("x"), NOW).await), "not_found");
        assert_eq!(code(foreign.remove(&daily.id).await), "not_found");
        assert_eq!(foreign.list().await.unwrap(), []);
        // A name is taken in its own workspace alone.
        foreign.create(schedule("daily"), None, NOW).await.unwrap();
        assert_eq!(home.schedules().list().await.unwrap(), std::slice::from_ref(&daily));
        home.schedules().remove(&daily.id).await.unwrap();
        assert_eq!(code(home.schedules().remove(&daily.id).await), "not_found");
        assert_eq!(home.schedules().list().await.unwrap(), []);
        assert_eq!(foreign.list().await.unwrap().len(), 1);

        let hook = home.triggers().create(trigger("hook", 1), NOW).await.unwrap();
        let foreign = stock.triggers();
        assert_eq!(code(foreign.get(&hook.id).await), "not_found");
        assert_eq!(code(foreign.set_active(&hook.id, false).await), "not_found");
        assert_eq!(code(foreign.remove(&hook.id).await), "not_found");
        assert_eq!(foreign.list().await.unwrap(), []);
        assert_eq!(home.triggers().get(&hook.id).await.unwrap(), hook);

        let nowhere = store.workspace(&WorkspaceId::generate(NOW));
        assert_eq!(code(nowhere.schedules().create(schedule("x"), None, NOW).await), "not_found");
        assert_eq!(code(nowhere.triggers().create(trigger("x", 9), NOW).await), "not_found");
        assert_eq!(code(ScheduleId::parse("x")), "not_found");
    })
    .await;
}
