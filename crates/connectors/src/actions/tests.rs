//! Actions against real servers and files.

use super::ALL;
use crate::databases::tests::support::context;
use contracts::action::{Action, Allowed, Outside, Scope, Step};
use contracts::{Build, Context};
use model::run::RunId;
use model::{Name, Problem, codes};
use serde_json::{Map, Value, json};
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use stdx::clock::{Clock, SystemClock};
use testkit::http::{Reply, Server};
use testkit::{Fault, FaultProxy, Postgres, free_port};

fn action(name: &str, config: &Value) -> Result<Box<dyn Action>, Problem> {
    let entry = ALL.iter().find(|entry| entry.name == name).unwrap();
    let Build::Action(build, _) = entry.build else { unreachable!("an action") };
    build(config).map_err(|(path, problem)| problem.in_setting(path))
}

fn scope() -> Scope {
    let name = |text: &str| Name::new(text).unwrap();
    Scope {
        workspace: name("shop"),
        pipeline: name("control"),
        run: RunId::parse("01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap(),
        task: "ask".to_owned(),
        attempt: 1,
        started_us: SystemClock.now_us(),
        run_time_us: 0,
        interval_us: None,
        params: Map::new(),
        outputs: Map::new(),
        problems: Vec::new(),
    }
}

async fn step(
    name: &str,
    config: Value,
    context: &Context,
    scope: &Scope,
) -> Result<Step, Problem> {
    let allowed = Allowed { shell: false, private_hosts: vec!["127.0.0.1".to_owned()] };
    let outside = Outside { context, allowed: &allowed };
    action(name, &config)?.perform(scope, &outside).await
}

async fn output(name: &str, config: Value, context: &Context) -> Result<Value, Problem> {
    match step(name, config, context, &scope()).await? {
        Step::Done { output, taken: None } => Ok(output),
        step => panic!("{step:?}"),
    }
}

fn bench(connections: &[(&str, Value)]) -> (tempfile::TempDir, Context) {
    let folder = tempfile::tempdir().unwrap();
    let context = context(folder.path(), connections);
    (folder, context)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_sent_as_it_is_written_and_signed() {
    let server = Server::start(|_| {
        Reply::json(&json!({"id": 7})).header("set-cookie", "session=x").header("x-note", "hello")
    });
    let api = json!({"type": "http", "url": server.url() + "/v1", "headers": {"x-a": "1"},
                     "auth": {"type": "bearer", "token": "t0ken"}});
    let (_folder, context) = bench(&[("api", api)]);
    let config = json!({"connection": "api", "url": "jobs", "method": "post",
                        "query": {"a": "b c", "n": 1, "none": null}, "body": {"rows": 3}});
    let output = output("http_call", config.clone(), &context).await.unwrap();
    assert_eq!((&output["status"], &output["json"]["id"]), (&json!(200), &json!(7)));
    assert_eq!(output["headers"]["x-note"], "hello");
    assert!(output["headers"].get("set-cookie").is_none());
    let request = &server.requests()[0];
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/v1/jobs"));
    assert_eq!((request.param("a"), request.param("n")), (Some("b c"), Some("1")));
    assert_eq!((request.param("none"), request.header("x-a")), (None, Some("1")));
    assert_eq!(request.header("authorization"), Some("Bearer t0ken"));
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.body, br#"{"rows":3}"#);
    // A second attempt carries the same key.
    let mut again = scope();
    again.attempt = 2;
    step("http_call", config, &context, &again).await.unwrap();
    let keys: Vec<_> =
        server.requests().iter().map(|r| r.header("idempotency-key").unwrap().to_owned()).collect();
    assert_eq!(keys, ["01ARZ3NDEKTSV4RRFFQ69G5FAV/ask"; 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_not_hoped_for_are_problems() {
    let server = Server::start(|request| match request.path.as_str() {
        "/away" => Reply::new(302, "").header("location", "/secret"),
        "/busy" => Reply::new(503, "later"),
        "/none" => Reply::new(404, "no such thing"),
        "/long" => Reply::endless(),
        "/hang" => Reply::hang(),
        "/cut" => Reply::cut("0123456789", 4),
        path => panic!("nobody should ask for {path}"),
    });
    let (_folder, context) = bench(&[]);
    let call = |path: &str| json!({"url": server.url() + path, "timeout": "2s"});
    let cases = [
        ("/away", &codes::CONNECTION_REFUSED),
        ("/busy", &codes::CONNECTION_FAILED),
        ("/none", &codes::CONNECTION_REFUSED),
        ("/long", &codes::RESPONSE_TOO_LARGE),
        ("/hang", &codes::CONNECTION_TIMEOUT),
        ("/cut", &codes::CONNECTION_FAILED),
    ];
    for (path, code) in cases {
        let problem = output("http_call", call(path), &context).await.unwrap_err();
        assert!(problem.is(code), "{path}: {problem}");
        assert!(problem.hint_text().is_some(), "{path}");
    }
    let mut config = call("/none");
    config["expect"] = json!([404]);
    let found = output("http_call", config, &context).await.unwrap();
    assert_eq!((&found["status"], &found["text"]), (&json!(404), &json!("no such thing")));
    let closed = json!({"url": format!("http://127.0.0.1:{}/", free_port())});
    let problem = output("http_call", closed, &context).await.unwrap_err();
    assert!(problem.is(&codes::CONNECTION_FAILED), "{problem}");
}

#[tokio::test]
async fn private_addresses_are_refused_also_behind_a_connection() {
    let server = Server::start(|_| Reply::new(200, "secret"));
    let api = json!({"type": "http", "url": server.url()});
    let (_folder, context) = bench(&[("api", api)]);
    let allowed = Allowed { shell: true, private_hosts: vec!["127.0.0.1:1".to_owned()] };
    let outside = Outside { context: &context, allowed: &allowed };
    for config in [json!({"url": server.url()}), json!({"connection": "api"})] {
        let problem =
            action("http_call", &config).unwrap().perform(&scope(), &outside).await.unwrap_err();
        assert!(problem.is(&codes::ACTION_REFUSED), "{problem}");
        let wait = action("wait_for", &json!({"http": config})).unwrap();
        let problem = wait.perform(&scope(), &outside).await.unwrap_err();
        assert!(problem.is(&codes::ACTION_REFUSED), "{problem}");
    }
    assert!(server.requests().is_empty());
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let cases = [
        ("http_call", json!({}), "/url"),
        ("http_call", json!({"url": "https://a.b/", "body": 1}), "/body"),
        ("http_call", json!({"url": "https://a.b/", "expect": [20]}), "/expect"),
        ("sql_execute", json!({"connection": "c"}), ""),
        ("sql_execute", json!({"connection": "c", "statements": ["commit"]}), "/statements/0"),
        ("sql_execute", json!({"connection": "c", "query": "select {{ 1 }}"}), ""),
        ("wait_for", json!({}), ""),
        ("wait_for", json!({"file": "a", "http": {"url": "https://a.b/"}}), ""),
        ("wait_for", json!({"file": "a", "every": "1ms"}), "/every"),
        ("wait_for", json!({"file": "https://a.b/c"}), "/file"),
        ("wait_for", json!({"table": {"name": "a.b"}, "connection": "c"}), "/connection"),
        ("wait_for", json!({"http": {"url": "https://a.b/", "timeout": "0s"}}), "/http/timeout"),
    ];
    for (module, config, setting) in cases {
        let problem = action(module, &config).err().unwrap();
        assert!(problem.hint_text().is_some(), "{config}");
        assert_eq!(problem.context().setting.as_deref(), Some(setting), "{config}");
    }
}

/// The same statements, query and questions on a database of either kind.
async fn runs_statements_once(context: &Context, connection: &str) {
    let run = |config: Value| async move {
        let mut all = json!({"connection": connection});
        all.as_object_mut().unwrap().extend(config.as_object().cloned().unwrap());
        output("sql_execute", all, context).await
    };
    let setup = json!({"transaction": false, "statements":
        ["create table if not exists shops (id integer, name text, since date)"]});
    run(setup).await.unwrap();
    let insert = json!({
        "statements": ["insert into shops values ($id, $name, $since)",
                       "insert into shops select id + 1, $name, null from shops"],
        "params": {"id": 1, "name": "it's; drop table shops", "since": "2026-01-31"},
        "query": "select id, name from shops order by id -- all\n;",
    });
    let done = run(insert.clone()).await.unwrap();
    assert_eq!((&done["affected"], &done["already"]), (&json!(2), &json!(false)));
    let rows = json!([{"id": 1, "name": "it's; drop table shops"},
                      {"id": 2, "name": "it's; drop table shops"}]);
    assert_eq!(done["rows"], rows);
    // The run is taken up again after a crash: nothing is inserted twice.
    let again = run(insert).await.unwrap();
    assert_eq!((&again["affected"], &again["already"]), (&json!(2), &json!(true)));
    assert_eq!(again["rows"], rows);
    let many = json!({"query": "with recursive n(i) as (select 1 union all select i + 1 from n \
                                where i < 1001) select i from n"});
    assert!(run(many).await.unwrap_err().is(&codes::RESPONSE_TOO_LARGE));
    let unknown = run(json!({"query": "select $x"})).await.unwrap_err();
    assert!(unknown.is(&codes::NAME_UNKNOWN), "{unknown}");
    let two = json!({"transaction": false, "statements": "delete from shops; delete from shops"});
    let two = run(two).await;
    assert!(two.is_err(), "two statements in one text");
    let wait = |min: u32| {
        json!({"rows": {"connection": connection, "params": {"min": min},
                        "query": "select id from shops where id > cast($min as integer)"}})
    };
    let found = output("wait_for", wait(1), context).await.unwrap();
    assert_eq!(found, json!({"rows": [{"id": 2}]}));
    let step = step("wait_for", wait(2), context, &scope()).await.unwrap();
    assert_eq!(step, Step::Again { after_us: 60_000_000 });
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_run_once_in_sqlite() {
    let (_folder, context) = bench(&[("db", json!({"type": "sqlite", "path": "shop.db"}))]);
    runs_statements_once(&context, "db").await;
    let change = json!({"connection": "db", "query": "delete from shops returning id"});
    let problem = output("sql_execute", change, &context).await.unwrap_err();
    assert!(problem.is(&codes::SQL_REFUSED), "{problem}");
}

fn postgres(port: u16) -> Value {
    json!({"type": "postgres", "host": "127.0.0.1", "port": port, "tls": "disable",
           "database": Postgres::DATABASE, "user": Postgres::USER,
           "password": Postgres::PASSWORD, "timeout_s": 5})
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_run_once_in_postgres() {
    let Some(server) = Postgres::start() else { return };
    let (_folder, context) = bench(&[("db", postgres(server.port()))]);
    runs_statements_once(&context, "db").await;
    // A statement that fails takes the others with it.
    let config = json!({"connection": "db", "statements": ["delete from shops", "select 1/0"]});
    let mut other = scope();
    other.task = "other".to_owned();
    assert!(step("sql_execute", config, &context, &other).await.is_err());
    assert_eq!(server.psql("select count(*) from shops").trim(), "2");
    let types = json!({"connection": "db", "query":
        "select $n::int + 1 as n, $d::date as d, $j::jsonb ->> 'a' as j, $b::boolean as b, \
         $t::timestamptz < now() as t, $z::int as z",
        "params": {"n": 1, "d": "2026-01-31", "j": {"a": "x"}, "b": true,
                   "t": "2026-01-31T00:00:00Z", "z": null}});
    let found = output("sql_execute", types, &context).await.unwrap();
    let row = json!({"n": 2, "d": "2026-01-31", "j": "x", "b": true, "t": true, "z": null});
    assert_eq!(found["rows"][0], row);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_to_a_commit_is_found_out() {
    let Some(server) = Postgres::start() else { return };
    server.psql("create table counter (n integer); insert into counter values (0)");
    let proxy = FaultProxy::start(server.port());
    let (_folder, context) = bench(&[("db", postgres(proxy.port()))]);
    proxy.set(Fault::LoseAnswerTo("COMMIT"));
    let config = json!({"connection": "db", "statements": ["update counter set n = n + 1"]});
    let done = output("sql_execute", config.clone(), &context).await.unwrap();
    assert_eq!(done["affected"], 1);
    assert!(proxy.faults() > 0, "no fault has happened");
    assert_eq!(output("sql_execute", config, &context).await.unwrap()["already"], true);
    assert_eq!(server.psql("select n from counter").trim(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_a_service_and_a_time_limit_are_waited_for() {
    let asked = AtomicUsize::new(0);
    let server = Server::start(move |_| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::new(503, "starting"),
        1 => Reply::new(404, "not yet"),
        _ => Reply::json(&json!({"done": true})),
    });
    let (folder, context) = bench(&[]);
    let file = json!({"file": "in/*.csv", "every": "2s", "timeout": "1h"});
    let again = Step::Again { after_us: 2_000_000 };
    fs::create_dir(folder.path().join("in")).unwrap();
    assert_eq!(step("wait_for", file.clone(), &context, &scope()).await.unwrap(), again);
    fs::write(folder.path().join("in/a.csv"), "x").unwrap();
    let found = output("wait_for", file, &context).await.unwrap();
    assert_eq!(found, json!({"files": ["in/a.csv"], "count": 1}));
    let http = json!({"http": {"url": server.url()}, "every": "2s"});
    for _ in 0..2 {
        assert_eq!(step("wait_for", http.clone(), &context, &scope()).await.unwrap(), again);
    }
    let found = output("wait_for", http, &context).await.unwrap();
    assert_eq!(found, json!({"status": 200, "json": {"done": true}}));
    // The last wait is no longer than what is left, and then it is over.
    let late = json!({"file": "in/*.xml", "timeout": "10s", "every": "1m"});
    let mut scope = scope();
    scope.started_us = SystemClock.now_us() - 8_000_000;
    let Step::Again { after_us } = step("wait_for", late.clone(), &context, &scope).await.unwrap()
    else {
        panic!("it is there")
    };
    assert!((1..=2_000_000).contains(&after_us), "{after_us}");
    scope.started_us -= 3_000_000;
    let problem = step("wait_for", late, &context, &scope).await.unwrap_err();
    assert!(problem.is(&codes::WAIT_OVER), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_down_may_come_up_but_what_is_wrong_stays_wrong() {
    let (_folder, context) = bench(&[("db", postgres(free_port()))]);
    let down = json!({"rows": {"connection": "db", "query": "select 1"}, "timeout": "1m"});
    let step_now = step("wait_for", down.clone(), &context, &scope()).await.unwrap();
    assert!(matches!(step_now, Step::Again { .. }), "{step_now:?}");
    let mut late = scope();
    late.started_us -= 61_000_000;
    let problem = step("wait_for", down, &context, &late).await.unwrap_err();
    assert!(problem.is(&codes::WAIT_OVER) && problem.detail_text().is_some(), "{problem}");
    let wrong = json!({"rows": {"connection": "nobody", "query": "select 1"}});
    let problem = step("wait_for", wrong, &context, &scope()).await.unwrap_err();
    assert!(problem.is(&codes::NAME_UNKNOWN), "{problem}");
}
