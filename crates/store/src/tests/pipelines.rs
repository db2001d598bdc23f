//! Pipelines as they are published, pools and back-fills.

use super::orchestration::{apply, by_id, home, pipeline};
use crate::testing::{MINUTE, NOW, code, on_both, workspace};
use crate::{BackfillId, NewPipeline, Pipeline, Store, Stored, WorkspaceId, Writes};
use model::Name;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

#[tokio::test]
async fn publishing_tells_what_is_new_changed_and_gone() {
    on_both(async |store: Store| {
        let (id, _) = workspace(&store, "sales").await;
        let pipelines = store.workspace(&id).pipelines();
        let publish = async |all: &[NewPipeline], now_us| {
            let (changed, gone) = pipelines.publish(all.to_vec(), now_us).await.unwrap();
            (by_id(changed, String::clone), by_id(gone, String::clone))
        };
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let first = ["a", "b", "c", "d"].map(|name| pipeline(name, &format!("{name} 1")));
        assert_eq!(publish(&first, NOW).await, (names(&["a", "b", "c", "d"]), names(&[])));
        assert_eq!(publish(&first, NOW + 1).await, (names(&[]), names(&[])));
        pipelines.set_paused("a", true).await.unwrap();
        pipelines.set_paused("b", true).await.unwrap();

        let described = NewPipeline { description: "other".to_owned(), ..first[2].clone() };
        // Two pipelines may have one plan, and an old one may come back.
        let (changed, new) = (pipeline("a", "a 2"), pipeline("e", "a 2"));
        let second = [new, described, first[1].clone(), changed];
        assert_eq!(publish(&second, NOW + 2).await, (names(&["a", "c", "e"]), names(&["d"])));
        let row = |title: &str, hash: &str, is_paused, at_us| Pipeline {
            workspace_id: id.clone(),
            name: title.to_owned(),
            plan: hash.to_owned(),
            description: format!("about {title}"),
            tags: Stored(vec!["b".to_owned(), "a".to_owned()]),
            is_paused,
            updated_at_us: NOW + at_us,
        };
        let expected = [
            row("a", "a 2", true, 2),
            row("b", "b 1", true, 0),
            Pipeline { description: "other".to_owned(), ..row("c", "c 1", false, 2) },
            row("e", "a 2", false, 2),
        ];
        assert_eq!(pipelines.list().await.unwrap(), expected);
        pipelines.set_paused("a", false).await.unwrap();
        assert_eq!(pipelines.get("a").await.unwrap(), row("a", "a 2", false, 2));
        assert_eq!(publish(&first, NOW + 3).await.0, names(&["a", "c", "d"]));
        let tagged = NewPipeline { tags: Vec::new(), ..first[0].clone() };
        assert_eq!(publish(&[tagged], NOW + 4).await, (names(&["a"]), names(&["b", "c", "d"])));
        assert_eq!(code(pipelines.get("b").await), "name_unknown");
        assert_eq!(code(pipelines.set_paused("b", true).await), "name_unknown");
    })
    .await;
}

#[tokio::test]
async fn plans_are_read_by_their_hash_and_removed_when_nobody_needs_them() {
    on_both(async |store: Store| {
        let home = home(&store, "sales", &["orders"]).await;
        let other = super::orchestration::home(&store, "stock", &["orders"]).await;
        let old = super::orchestration::plan_of("orders");
        let mut row = super::orchestration::run(&home, "orders", NOW);
        (row.status, row.ended_at_us) = (crate::RunStatus::Succeeded, Some(NOW));
        super::orchestration::add_runs(&store, &[row]).await;
        for hash in ["second", "third"] {
            home.pipelines().publish(vec![pipeline("orders", hash)], NOW).await.unwrap();
        }
        let plan = pipeline("orders", "second").plan;
        assert_eq!(home.runs().plan("second").await.unwrap(), plan);
        assert_eq!(code(other.runs().plan("second").await), "not_found");
        store.clean_up(NOW).await.unwrap();
        assert_eq!(code(home.runs().plan("second").await), "not_found");
        home.runs().plan("third").await.unwrap();
        home.runs().plan(&old).await.unwrap();
        // It goes with the run that was the last to need it, and not that of a neighbour.
        other.pipelines().publish(vec![pipeline("orders", "fourth")], NOW).await.unwrap();
        store.clean_up(NOW + 100 * crate::testing::DAY).await.unwrap();
        assert_eq!(code(home.runs().plan(&old).await), "not_found");
        home.runs().plan("third").await.unwrap();
        other.runs().plan("fourth").await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn pools_are_set_changed_and_removed() {
    on_both(async |store: Store| {
        let (id, _) = workspace(&store, "sales").await;
        let (other, _) = workspace(&store, "stock").await;
        let pools = store.workspace(&id).pools();
        for (pool, slots) in [("erp", 2), ("api", 9), ("erp", 3)] {
            pools.set(&name(pool), Some(slots)).await.unwrap();
        }
        store.workspace(&other).pools().set(&name("erp"), Some(1)).await.unwrap();
        let list = pools.list().await.unwrap();
        assert_eq!(list, [("api".to_owned(), 9), ("erp".to_owned(), 3)]);
        pools.set(&name("erp"), None).await.unwrap();
        pools.set(&name("never"), None).await.unwrap();
        assert_eq!(pools.list().await.unwrap(), [("api".to_owned(), 9)]);
        let theirs = store.workspace(&other).pools().list().await.unwrap();
        assert_eq!(theirs, [("erp".to_owned(), 1)]);
        let nowhere = store.workspace(&WorkspaceId::generate(NOW)).pools();
        assert_eq!(code(nowhere.set(&name("erp"), Some(1)).await), "not_found");
    })
    .await;
}

#[tokio::test]
async fn pipelines_and_back_fills_of_another_workspace_are_not_found() {
    on_both(async |store: Store| {
        let home = home(&store, "sales", &["orders"]).await;
        let other = super::orchestration::home(&store, "stock", &[]).await;
        let mut rows = Vec::new();
        for number in 0..3 {
            let row = super::orchestration::backfill(&home, 0, "running");
            rows.push(crate::Backfill { id: BackfillId::generate(NOW + number * MINUTE), ..row });
        }
        let new = rows.iter().cloned().map(|row| crate::NewBackfill { row }).collect();
        apply(&store, Writes { new_backfills: new, ..Writes::default() }).await.unwrap();
        rows.reverse();
        assert_eq!(home.backfills().list().await.unwrap(), rows);
        assert_eq!(home.backfills().get(&rows[0].id).await.unwrap(), rows[0]);
        assert_eq!(code(other.backfills().get(&rows[0].id).await), "not_found");
        assert_eq!(other.backfills().list().await.unwrap(), []);

        assert_eq!(code(other.pipelines().get("orders").await), "name_unknown");
        assert_eq!(code(other.pipelines().set_paused("orders", true).await), "name_unknown");
        assert_eq!(other.pipelines().list().await.unwrap(), []);
        other.pipelines().publish(Vec::new(), NOW).await.unwrap();
        assert!(!home.pipelines().get("orders").await.unwrap().is_paused);
        let nowhere = store.workspace(&WorkspaceId::generate(NOW)).pipelines();
        assert_eq!(code(nowhere.publish(Vec::new(), NOW).await), "not_found");
    })
    .await;
}
