//! Schedules and triggers: each time starts one run.

use super::history::new_run;
use crate::testing::{DAY, MINUTE, NOW, code, hash, on_both, workspace};
use crate::{
    NewSchedule, NewTrigger, RunFilter, ScheduleId, ScheduleStatus, Store, TriggerKind, WorkspaceId,
};
use futures::future;
use model::Name;

fn schedule(name: &str, next_fire_at_us: i64) -> NewSchedule {
    NewSchedule {
        name: name.to_owned(),
        pipeline: Name::new("orders").unwrap(),
        status: ScheduleStatus::Active,
        rule: serde_json::json!({"cron": "0 6 * * *"}),
        zone: "Europe/Paris".to_owned(),
        params: serde_json::json!({}),
        start_at_us: None,
        end_at_us: None,
        next_fire_at_us: Some(next_fire_at_us),
    }
}

fn trigger(name: &str, seed: u64) -> NewTrigger {
    NewTrigger {
        name: name.to_owned(),
        kind: TriggerKind::Webhook,
        pipeline: Name::new("orders").unwrap(),
        settings: serde_json::json!({}),
        token: Some(hash(seed)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_time_of_a_schedule_starts_one_run_however_many_try() {
    on_both(async |store: Store| {
        let (id, owner) = workspace(&store, "sales").await;
        let home = store.workspace(&id);
        let schedules = home.schedules();
        let made = schedules.create(schedule("daily", NOW), Some(&owner.id), NOW).await.unwrap();
        assert_eq!(code(schedules.create(schedule("daily", NOW), None, NOW).await), "conflict");
        assert_eq!(store.schedules().active().await.unwrap(), std::slice::from_ref(&made));
        let fire = |_| {
            let (schedules, id) = (schedules.clone(), made.id.clone());
            let run = new_run("orders", NOW);
            async move { schedules.fire(&id, NOW, run, Some(NOW + DAY), NOW).await.unwrap() }
        };
        let fired = future::join_all((0..10).map(fire)).await;
        assert_eq!(fired.iter().flatten().count(), 1);
        let runs = home.runs().list(&RunFilter::default(), None, 50).await.unwrap();
        assert_eq!(runs.items.len(), 1);
        let moved = schedules.get(&made.id).await.unwrap();
        assert_eq!((moved.next_fire_at_us, moved.last_fire_at_us), (Some(NOW + DAY), Some(NOW)));
        // There is no further time after this one.
        let run = new_run("orders", NOW + DAY);
        let last = schedules.fire(&made.id, NOW + DAY, run, None, NOW + DAY).await.unwrap();
        assert!(last.is_some());
        assert_eq!(schedules.get(&made.id).await.unwrap().status, ScheduleStatus::Expired);
        assert_eq!(store.schedules().active().await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn schedules_and_triggers_are_changed_found_and_removed() {
    on_both(async |store: Store| {
        let (id, _) = workspace(&store, "sales").await;
        let (other, _) = workspace(&store, "stock").await;
        let (home, stock) = (store.workspace(&id), store.workspace(&other));
        let late = home.schedules().create(schedule("late", NOW + DAY), None, NOW).await.unwrap();
        let soon =
            home.schedules().create(schedule("soon", NOW + MINUTE), None, NOW).await.unwrap();
        let active = store.schedules().active().await.unwrap();
        let order: Vec<_> = active.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(order, ["soon", "late"]);
        let taken = home.schedules().change(&soon.id, schedule("late", NOW), NOW).await;
        assert_eq!(code(taken), "conflict");
        let paused = NewSchedule { status: ScheduleStatus::Paused, ..schedule("soon", NOW) };
        home.schedules().change(&soon.id, paused, NOW + 1).await.unwrap();
        assert_eq!(store.schedules().active().await.unwrap(), std::slice::from_ref(&late));

        let foreign = stock.schedules();
        assert_eq!(code(foreign.get(&late.id).await), "not_found");
        assert_eq!(code(foreign.change(&late.id, schedule("x", NOW), NOW).await), "not_found");
        assert_eq!(code(foreign.remove(&late.id).await), "not_found");
        let fire = foreign.fire(&late.id, NOW, new_run("orders", NOW), None, NOW).await;
        assert_eq!(code(fire), "not_found");
        assert_eq!(foreign.list().await.unwrap(), []);
        home.schedules().remove(&late.id).await.unwrap();
        assert_eq!(home.schedules().list().await.unwrap().len(), 1);

        let hook = home.triggers().create(trigger("hook", 1), NOW).await.unwrap();
        assert_eq!(code(home.triggers().create(trigger("hook", 2), NOW).await), "conflict");
        assert_eq!(store.triggers().by_token(&hash(1)).await.unwrap(), Some(hook.clone()));
        assert_eq!(store.triggers().by_token(&hash(2)).await.unwrap(), None);
        let foreign = stock.triggers();
        assert_eq!(code(foreign.get(&hook.id).await), "not_found");
        assert_eq!(code(foreign.set_active(&hook.id, false).await), "not_found");
        assert_eq!(code(foreign.record_fire(&hook.id, NOW).await), "not_found");
        assert_eq!(code(foreign.remove(&hook.id).await), "not_found");
        assert_eq!(foreign.list().await.unwrap(), []);
        home.triggers().record_fire(&hook.id, NOW + 5).await.unwrap();
        assert_eq!(home.triggers().get(&hook.id).await.unwrap().last_fired_at_us, Some(NOW + 5));
        assert_eq!(store.triggers().active(TriggerKind::Webhook).await.unwrap().len(), 1);
        home.triggers().set_active(&hook.id, false).await.unwrap();
        assert_eq!(store.triggers().by_token(&hash(1)).await.unwrap(), None);
        home.triggers().remove(&hook.id).await.unwrap();
        assert_eq!(home.triggers().list().await.unwrap(), []);

        let nowhere = store.workspace(&WorkspaceId::generate(NOW));
        let create = nowhere.schedules().create(schedule("x", NOW), None, NOW).await;
        assert_eq!(code(create), "not_found");
        assert_eq!(code(nowhere.triggers().create(trigger("x", 9), NOW).await), "not_found");
        assert_eq!(code(ScheduleId::parse("x")), "not_found");
    })
    .await;
}
