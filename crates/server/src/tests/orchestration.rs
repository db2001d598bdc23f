//! Tasks, schedules, triggers and back-fills, through the interface.

use super::puppet::{Action, actions, data};
use super::support::{NOW, SECOND, Server};
use axum::http::{Method, StatusCode};
use model::Role;
use model::pipeline::When;
use model::plan::DATA;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use stdx::clock::{Clock, SystemClock};
use store::NewPipeline;

const SHOP: &str = "/api/v1/workspaces/shop";
const WITHIN: Duration = Duration::from_secs(20);

/// A server with these pipelines besides its own, that leads; and its owner's cookie.
struct Scene {
    server: Server,
    cookie: String,
    at_work: super::support::AtWork,
}

impl Scene {
    async fn new(pipelines: Vec<NewPipeline>) -> Self {
        Self::on(Server::new().await, pipelines).await
    }

    async fn on(server: Server, pipelines: Vec<NewPipeline>) -> Self {
        let (owner, _) = server.set_up().await;
        let cookie = server.session(&owner.id).await;
        *server.puppet.declared.lock().unwrap() = pipelines;
        let at_work = server.dispatch().await;
        Self { server, cookie, at_work }
    }

    /// Another server leads from now on.
    async fn change_leader(&mut self) {
        self.at_work.stop().await;
        self.at_work = self.server.dispatch().await;
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let path = format!("{SHOP}{path}");
        let answer = self.server.json(Method::POST, &path, Some(&self.cookie), body).await;
        assert!(answer.status.is_success(), "{path}: {answer:?}");
        answer.body
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.server.get(&format!("{SHOP}{path}"), Some(&self.cookie)).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.body
    }

    /// Starts a run and gives its path.
    async fn start(&self, pipeline: &str) -> String {
        let run = self.post(&format!("/pipelines/{pipeline}/runs"), json!({})).await;
        format!("/runs/{}", run["id"].as_str().unwrap())
    }

    async fn until(&self, path: &str, what: impl Fn(&Value) -> bool) -> Value {
        let begin = Instant::now();
        loop {
            let found = self.get(path).await;
            if what(&found) {
                return found;
            }
            assert!(begin.elapsed() < WITHIN, "{path} stays {found:#}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn ends(&self, path: &str, status: &str) -> Value {
        let is_final = |run: &Value| {
            !["queued", "running", "stopping"].contains(&run["status"].as_str().unwrap())
        };
        let run = self.until(path, is_final).await;
        assert_eq!(run["status"], status, "{run:#}");
        run
    }

    async fn runs_of(&self, pipeline: &str) -> Vec<Value> {
        let list = self.get(&format!("/runs?pipeline={pipeline}&limit=500")).await;
        list["items"].as_array().unwrap().clone()
    }
}

fn task<'a>(run: &'a Value, name: &str) -> &'a Value {
    let tasks = run["tasks"].as_array().unwrap();
    tasks.iter().find(|task| task["name"] == name).unwrap()
}

fn set(
    id: &'static str,
    values: Value,
    parents: &'static [(u32, Option<&'static str>)],
) -> Action<'static> {
    (id, "set_output", json!({"values": values}), parents, When::Succeeded)
}

#[tokio::test]
async fn tasks_follow_one_another_and_hand_on_what_they_give() {
    let steps = [
        set("first", json!({"n": 1}), &[]),
        set("second", json!({"n": "{{ outputs.first.n + 1 }}"}), &[(0, None)]),
        set(
            "third",
            json!({"n": "{{ outputs.second.n + 1 }}", "day": "{{ params.day }}"}),
            &[(1, None)],
        ),
    ];
    let scene = Scene::new(vec![actions("steps", &steps)]).await;
    let path = scene.start("steps").await;
    let run = scene.ends(&path, "succeeded").await;
    assert_eq!(task(&run, "third")["output"], json!({"n": 3, "day": "2026-01-01"}));
    assert_eq!(run["attempts"].as_array().unwrap().len(), 3);
    assert_eq!(run["attempts"][0]["end"], "succeeded");
}

#[tokio::test]
async fn a_branch_is_taken_and_the_other_skipped_and_both_meet_again() {
    let condition = json!({"condition": "params.day == '2026-01-01'"});
    let steps = [
        ("choose", "if", condition, &[][..], When::Succeeded),
        set("yes", json!({"x": 1}), &[(0, Some("then"))]),
        set("no", json!({"x": 2}), &[(0, Some("else"))]),
        (
            "meet",
            "set_output",
            json!({"values": {"y": 3}}),
            &[(1, None), (2, None)],
            When::NoneFailed,
        ),
    ];
    let scene = Scene::new(vec![actions("branches", &steps)]).await;
    let run = scene.ends(&scene.start("branches").await, "succeeded").await;
    let states: Vec<_> = ["yes", "no", "meet"].map(|name| task(&run, name)["state"].clone()).into();
    assert_eq!(states, ["succeeded", "skipped", "succeeded"]);
}

#[tokio::test]
async fn an_error_path_handles_a_failure_and_what_is_always_done_is_done() {
    let steps = [
        (DATA, "", Value::Null, &[][..], When::Succeeded),
        (
            "mend",
            "set_output",
            json!({"values": {"why": "{{ problems[0].code }}"}}),
            &[(0, None)],
            When::Failed,
        ),
        ("after", "set_output", json!({"values": {}}), &[(0, None)], When::Succeeded),
        ("tidy", "set_output", json!({"values": {}}), &[(0, None)], When::Always),
    ];
    let scene = Scene::new(Vec::new()).await;
    let mut pipeline = actions("failing_but", &steps);
    // The puppet does what the name says.
    pipeline.plan.pipeline = model::Name::new("failing").unwrap();
    scene.server.puppet.declared.lock().unwrap().clear();
    let workspace = scene.server.app.store.workspaces().list().await.unwrap().remove(0);
    crate::orchestrator::publish(&scene.server.app, &workspace.id, vec![pipeline]).await.unwrap();
    let run = scene.ends(&scene.start("failing").await, "succeeded").await;
    let states: Vec<_> =
        [DATA, "mend", "after", "tidy"].map(|name| task(&run, name)["state"].clone()).into();
    assert_eq!(states, ["failed", "succeeded", "skipped", "succeeded"]);
    assert_eq!(task(&run, DATA)["problem"]["code"], "file_not_found");
}

#[tokio::test]
async fn a_person_is_asked_and_the_answer_outlives_the_server() {
    let form = json!({"title": "Load it?", "form": [{"name": "note", "type": "string", "required": true}]});
    let steps = [
        ("ask", "approve", form, &[][..], When::Succeeded),
        set("after", json!({"by": "{{ outputs.ask.by }}"}), &[(0, None)]),
    ];
    let mut scene = Scene::new(vec![actions("asks", &steps)]).await;
    let path = scene.start("asks").await;
    let asked = |run: &Value| task(run, "ask")["question"]["title"] == "Load it?";
    scene.until(&path, asked).await;
    scene.change_leader().await;
    let answer = format!("{SHOP}{path}/tasks/ask/answer");
    let refused = json!({"approved": true, "fields": {}});
    let refused = scene.server.json(Method::POST, &answer, Some(&scene.cookie), refused).await;
    assert!(refused.status.is_client_error(), "a field is missing: {refused:?}");
    let fields = json!({"approved": true, "fields": {"note": "looks right"}});
    let said = scene.server.json(Method::POST, &answer, Some(&scene.cookie), fields).await;
    assert_eq!(said.status, StatusCode::OK, "{said:?}");
    let run = scene.ends(&path, "succeeded").await;
    assert_eq!(task(&run, "after")["output"]["by"], "owner@example.org");
    assert_eq!(task(&run, "ask")["question"], Value::Null);
}

#[tokio::test]
async fn a_run_starts_runs_and_waits_for_them() {
    let child = actions("child", &[set("out", json!({"twice": "{{ params.n | times(2) }}"}), &[])]);
    let with = json!({"items": [1, 2, 3], "pipeline": "child", "params": {"n": "{{ item }}"}, "at_once": 2});
    let one = json!({"pipeline": "child", "params": {"n": 21}});
    let steps = [
        ("each", "foreach", with, &[][..], When::Succeeded),
        ("one", "run_pipeline", one, &[(0, None)], When::Succeeded),
        set("answer", json!({"n": "{{ outputs.one.output.twice }}"}), &[(1, None)]),
    ];
    let scene = Scene::new(vec![child, actions("parent", &steps)]).await;
    let path = scene.start("parent").await;
    scene.has_runs("child", 1).await;
    let first = format!("/runs/{}", scene.runs_of("child").await[0]["id"].as_str().unwrap());
    scene.ends(&first, "succeeded").await;
    let run = scene.ends(&path, "succeeded").await;
    assert_eq!(task(&run, "each")["output"]["succeeded"], 3);
    assert_eq!(task(&run, "answer")["output"]["n"], 42);
    let children = scene.runs_of("child").await;
    assert_eq!(children.len(), 4);
    assert!(children.iter().all(|run| run["started_by"] == "run" && run["status"] == "succeeded"));
}

#[tokio::test]
async fn who_cancels_a_run_cancels_what_it_has_started_and_resuming_starts_it_anew() {
    let with = json!({"pipeline": "endless"});
    let steps = [("wait", "run_pipeline", with, &[][..], When::Succeeded)];
    let scene = Scene::new(vec![actions("parent", &steps)]).await;
    let path = scene.start("parent").await;
    let begin = Instant::now();
    while scene.runs_of("endless").await.iter().all(|run| run["status"] != "running") {
        assert!(begin.elapsed() < WITHIN);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    scene.post(&format!("{path}/cancel"), json!({})).await;
    scene.ends(&path, "cancelled").await;
    let child = format!("/runs/{}", scene.runs_of("endless").await[0]["id"].as_str().unwrap());
    scene.ends(&child, "cancelled").await;
    scene.post(&format!("{path}/resume"), json!({})).await;
    scene.has_runs("endless", 2).await;
    scene.post(&format!("{path}/cancel"), json!({})).await;
    scene.ends(&path, "cancelled").await;
}

impl Scene {
    async fn has_runs(&self, pipeline: &str, count: usize) -> Vec<Value> {
        let begin = Instant::now();
        loop {
            let runs = self.runs_of(pipeline).await;
            if runs.len() >= count {
                return runs;
            }
            assert!(begin.elapsed() < WITHIN, "{count} runs of {pipeline}: {runs:#?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// The ends of their intervals follow one another, each once.
fn assert_no_gap(runs: &[Value], step_us: i64) {
    let ends: Vec<_> = runs.iter().map(|run| run["interval_us"][1].as_i64().unwrap()).collect();
    assert!(ends.windows(2).all(|pair| pair[0] - pair[1] == step_us), "{ends:?}");
    assert!(runs.iter().all(|run| run["started_by"] == "schedule"));
}

fn ticking() -> NewPipeline {
    actions("tick", &[set("out", json!({"at": "{{ interval.end }}"}), &[])])
}

#[tokio::test]
async fn a_schedule_fires_once_for_each_time_whoever_leads() {
    let mut scene = Scene::new(vec![ticking()]).await;
    let schedule = json!({"name": "Each minute", "pipeline": "tick", "times": {"every": "1m"}});
    let made = scene.post("/schedules", schedule).await;
    assert_eq!(made["next_us"].as_array().unwrap().len(), 5);
    for minute in 1..=4 {
        scene.server.clock.advance(60 * SECOND);
        assert_eq!(scene.has_runs("tick", minute).await.len(), minute);
        scene.change_leader().await;
    }
    assert_no_gap(&scene.runs_of("tick").await, 60 * SECOND);
}

#[tokio::test]
async fn on_postgres_the_clock_of_the_database_counts_and_no_time_is_lost() {
    let Some(server) = Server::on_postgres().await else { return };
    server.clock.advance(SystemClock.now_us() - NOW);
    let mut scene = Scene::on(server, vec![ticking()]).await;
    let schedule = json!({"name": "Each second", "pipeline": "tick", "times": {"every": "1s"}});
    scene.post("/schedules", schedule).await;
    for leader in 1..=3 {
        scene.has_runs("tick", leader * 2).await;
        scene.change_leader().await;
    }
    assert_no_gap(&scene.runs_of("tick").await, SECOND);
}

#[tokio::test]
async fn a_rule_that_cannot_be_followed_is_refused() {
    let scene = Scene::new(Vec::new()).await;
    let path = format!("{SHOP}/schedules");
    for (settings, setting) in [
        (json!({"name": "a", "pipeline": "quick", "times": {"cron": "often"}}), "/times"),
        (json!({"name": "a", "pipeline": "quick", "times": {"every": "0s"}}), "/times"),
        (json!({"name": "a", "pipeline": "none", "times": {"every": "1h"}}), "/pipeline"),
        (
            json!({"name": "a", "pipeline": "quick", "times": {"every": "1h"}, "jitter": "x"}),
            "/jitter",
        ),
    ] {
        let answer = scene.server.json(Method::POST, &path, Some(&scene.cookie), settings).await;
        assert!(answer.status.is_client_error(), "{answer:?}");
        assert_eq!(answer.body["context"]["setting"], setting, "{answer:?}");
    }
}

#[tokio::test]
async fn triggers_hear_of_tables_pipelines_and_requests() {
    let follow = actions("follow", &[set("out", json!({}), &[])]);
    let scene = Scene::new(vec![follow, data("rows")]).await;
    let when = json!({"all": [{"table": "silver.rows"}, {"pipeline": "rows"}]});
    scene
        .post("/triggers", json!({"name": "After rows", "pipeline": "follow", "when": when}))
        .await;
    scene.ends(&scene.start("rows").await, "succeeded").await;
    scene.has_runs("follow", 1).await;
    let hook = json!({"name": "Hook", "pipeline": "follow", "when": "webhook"});
    let made = scene.post("/triggers", hook).await;
    let token = made["token"].as_str().unwrap();
    let path = format!("/api/v1/hooks/{token}");
    scene.server.clock.advance(SECOND);
    let told = scene.server.json(Method::POST, &path, None, json!({})).await;
    assert!(told.status.is_success(), "{told:?}");
    assert_eq!(scene.has_runs("follow", 2).await.len(), 2);
    let wrong = scene.server.json(Method::POST, "/api/v1/hooks/aff_hook_x", None, json!({})).await;
    assert!(wrong.status.is_client_error(), "{wrong:?}");
    let listed = scene.get("/triggers").await;
    assert!(!listed.to_string().contains(token), "a token is shown once");
}

#[tokio::test]
async fn a_back_fill_runs_each_interval_that_is_wanted() {
    let pipeline = actions("daily", &[set("out", json!({"day": "{{ interval.start }}"}), &[])]);
    let scene = Scene::new(vec![pipeline]).await;
    const DAY: i64 = 86_400 * SECOND;
    let from_us = NOW / DAY * DAY - 10 * DAY;
    let range = json!({"times": {"every": "1d"}, "from_us": from_us, "until_us": from_us + 7 * DAY,
                       "at_once": 3, "newest_first": true, "dry_run": true});
    let planned = scene.post("/pipelines/daily/backfills", range.clone()).await;
    assert_eq!(planned["intervals"].as_array().unwrap().len(), 7);
    assert_eq!(planned["status"], "planned");
    let mut wanted = range.clone();
    wanted["dry_run"] = json!(false);
    scene.post("/pipelines/daily/backfills", wanted).await;
    let done = |list: &Value| list["items"][0]["status"] == "done";
    scene.until("/backfills", done).await;
    let runs = scene.runs_of("daily").await;
    assert_eq!(runs.len(), 7);
    assert!(runs.iter().all(|run| run["status"] == "succeeded"));
    let again = scene.post("/pipelines/daily/backfills", range).await;
    assert!(again["intervals"].as_array().unwrap().is_empty(), "all have had their run");
}

#[tokio::test]
async fn a_viewer_sees_schedules_and_changes_none() {
    let scene = Scene::new(Vec::new()).await;
    let workspace = scene.server.app.store.workspaces().list().await.unwrap().remove(0);
    let viewer = scene.server.member(&workspace.id, Role::Viewer).await;
    let cookie = scene.server.session(&viewer.id).await;
    let path = format!("{SHOP}/schedules");
    assert_eq!(scene.server.get(&path, Some(&cookie)).await.status, StatusCode::OK);
    let new = json!({"name": "a", "pipeline": "quick", "times": {"every": "1h"}});
    let answer = scene.server.json(Method::POST, &path, Some(&cookie), new).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
}
