//! `affluent up`: the program as a server on a real port.

use crate::program::Project;
use reqwest::header::{COOKIE, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use testkit::Postgres;
use testkit::http::{Reply, Server as HttpServer};

const PASSWORD: &str = "rivers meet in autumn";
const ENDS_WITHIN: Duration = Duration::from_secs(20);

/// Removed from the environment of a server unless a test sets it.
pub(crate) const DATABASE: &str = "AFFLUENT_DATABASE";

/// A server that runs, and what it has said when it began.
pub(crate) struct Up {
    pub(crate) process: Child,
    said: Value,
}

impl Up {
    pub(crate) fn start(project: &Project, arguments: &[&str]) -> Self {
        let arguments = [&["--json", "up", "--listen", "127.0.0.1:0"], arguments].concat();
        Self::of(command(project, &arguments))
    }

    pub(crate) fn on(project: &Project, postgres: &Postgres) -> Self {
        let mut command = command(project, &["--json", "up", "--listen", "127.0.0.1:0"]);
        command.env(DATABASE, postgres.url());
        Self::of(command)
    }

    fn of(mut command: Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said = serde_json::from_str(&line).unwrap();
        Self { process, said }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.said["url"].as_str().unwrap())
    }

    /// Kills it.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Asks it to stop, and waits.
    pub(crate) fn stop(mut self) {
        signal(&self.process, "TERM");
        let begin = Instant::now();
        while begin.elapsed() < ENDS_WITHIN {
            if let Some(status) = self.process.try_wait().unwrap() {
                assert!(status.success(), "{status}");
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the server does not stop");
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn signal(process: &Child, name: &str) {
    let id = process.id().to_string();
    assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
}

/// The program with a home folder of its own, below the project.
pub(crate) fn command(project: &Project, arguments: &[&str]) -> Command {
    let mut command = project.command(arguments);
    command.env("HOME", project.path().join("home")).env_remove("XDG_CONFIG_HOME");
    command.env_remove(DATABASE);
    command
}

/// A client that follows no redirects and keeps no cookies.
pub(crate) fn client() -> Client {
    Client::builder().redirect(Policy::none()).build().unwrap()
}

#[tokio::test]
async fn up_for_oneself_is_opened_by_its_link_alone() {
    let project = Project::new(&[]);
    let up = Up::start(&project, &[]);
    let client = client();
    let me = client.get(up.url("/api/v1/me")).send().await.unwrap();
    assert_eq!(me.status(), StatusCode::UNAUTHORIZED);
    let problem: Value = me.json().await.unwrap();
    assert_eq!(problem["code"], "sign_in_needed");
    let link = up.said["entry"]["open"].as_str().unwrap().to_owned();
    let opened = client.get(&link).send().await.unwrap();
    assert_eq!(opened.status(), StatusCode::SEE_OTHER);
    let cookie = opened.headers()[SET_COOKIE].to_str().unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let me = client.get(up.url("/api/v1/me")).header(COOKIE, &cookie).send().await.unwrap();
    let me: Value = me.json().await.unwrap();
    assert_eq!(me["workspaces"][0]["name"], "test");
    up.stop();
    // The session outlives the server; the link does not.
    let up = Up::start(&project, &[]);
    let me = client.get(up.url("/api/v1/me")).header(COOKIE, &cookie).send().await.unwrap();
    assert_eq!(me.status(), StatusCode::OK);
    let again = link.replace(link.split("/open").next().unwrap(), &up.url(""));
    let again = client.get(again).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::UNAUTHORIZED);
    up.stop();
}

#[tokio::test]
async fn a_server_that_is_killed_keeps_what_it_has_answered() {
    let project = Project::new(&[]);
    create_owner(&project);
    let mut names = Vec::new();
    for round in 0..3 {
        let mut up = Up::start(&project, &[]);
        assert_eq!(up.said["entry"], json!({}), "people sign in");
        let token = token(&up).await;
        for name in (0..5).map(|n| format!("kept_{round}_{n}")) {
            let request = client().post(up.url("/api/v1/workspaces")).bearer_auth(&token);
            let made = request.json(&json!({"name": name})).send().await.unwrap();
            assert_eq!(made.status(), StatusCode::CREATED);
            names.push(name);
        }
        signal(&up.process, "KILL");
        up.process.wait().unwrap();
    }
    let up = Up::start(&project, &[]);
    let token = token(&up).await;
    let me = client().get(up.url("/api/v1/me")).bearer_auth(&token).send().await.unwrap();
    let me: Value = me.json().await.unwrap();
    let found: Vec<&str> = me["workspaces"]
        .as_array()
        .unwrap()
        .iter()
        .map(|workspace| workspace["name"].as_str().unwrap())
        .filter(|name| name.starts_with("kept_"))
        .collect();
    names.sort();
    assert_eq!(found, names);
}

pub(crate) async fn token(up: &Up) -> String {
    let body = json!({"email": "claire@example.org", "password": PASSWORD});
    let request = client().post(up.url("/api/v1/auth/tokens")).json(&body);
    let tokens: Value = request.send().await.unwrap().json().await.unwrap();
    tokens["access_token"].as_str().unwrap().to_owned()
}

pub(crate) fn create_owner(project: &Project) {
    let arguments = ["user", "create", "claire@example.org", "--name", "Claire Durand", "--owner"];
    let mut made =
        command(project, &arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    made.stdin.take().unwrap().write_all(format!("{PASSWORD}\n").as_bytes()).unwrap();
    assert!(made.wait().unwrap().success());
}

#[tokio::test]
async fn the_owner_of_a_team_is_made_with_the_token_of_the_console() {
    let project = Project::new(&[]);
    let up = Up::start(&project, &["--team"]);
    let token = up.said["entry"]["set_up_token"].as_str().unwrap();
    let body = json!({"token": token, "email": "claire@example.org", "name": "Claire Durand",
        "password": PASSWORD, "workspace": "test"});
    let set_up = |body: Value| client().post(up.url("/api/v1/auth/set-up")).json(&body).send();
    assert_eq!(set_up(body.clone()).await.unwrap().status(), StatusCode::CREATED);
    assert_eq!(set_up(body).await.unwrap().status(), StatusCode::GONE);
    up.stop();
    let up = Up::start(&project, &["--team"]);
    assert_eq!(up.said["entry"], json!({}));
    up.stop();
}

#[test]
fn secrets_are_not_where_the_project_is() {
    let project = Project::new(&[]);
    create_owner(&project);
    let key = project.path().join("home/.config/affluent/master.key");
    let up = Up::start(&project, &[]);
    up.stop();
    let key = std::fs::read_to_string(key).unwrap();
    let metadata = project.path().join(".affluent/metadata.db");
    let mut bytes = std::fs::read(&metadata).unwrap();
    bytes.extend(std::fs::read(metadata.with_extension("db-wal")).unwrap_or_default());
    let holds = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(holds("claire@example.org"));
    assert!(!holds(PASSWORD) && !holds(key.trim()));
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(metadata).unwrap().permissions().mode() & 0o077, 0);
}

#[test]
fn a_server_that_others_would_reach_without_tls_does_not_start() {
    let project = Project::new(&[]);
    let problem = project.problem(&["up", "--listen", "0.0.0.0:0"]);
    assert_eq!(problem["code"], "command_invalid");
    assert!(problem["hint"].as_str().unwrap().contains("--tls-certificate"));
}

const SALES: &str = "\
affluent: 1
kind: pipeline
name: sales
nodes:
  - {id: orders, use: csv, with: {path: data/*.csv}}
  - {id: typed, use: cast, from: orders, with: {columns: {id: integer}}}
  - {id: bronze, use: write_table, from: typed, with: {table: bronze.orders}}
";

/// The cookie that the link of a server gives.
pub(crate) async fn opened(up: &Up) -> String {
    let link = up.said["entry"]["open"].as_str().unwrap();
    let opened = client().get(link).send().await.unwrap();
    let cookie = opened.headers()[SET_COOKIE].to_str().unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

pub(crate) async fn post(up: &Up, cookie: &str, path: &str) -> Value {
    let request = client().post(up.url(path)).header(COOKIE, cookie);
    let request = request.header("sec-fetch-site", "same-origin").json(&json!({}));
    request.send().await.unwrap().json().await.unwrap()
}

pub(crate) async fn until(up: &Up, cookie: &str, run: &str, status: &str) -> Value {
    let begin = Instant::now();
    loop {
        let url = up.url(&format!("/api/v1/workspaces/test/runs/{run}"));
        let run = client().get(url).header(COOKIE, cookie).send().await.unwrap();
        let run: Value = run.json().await.unwrap();
        if run["status"] == status {
            return run;
        }
        assert!(begin.elapsed() < ENDS_WITHIN, "never {status}: {run}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn start(up: &Up, cookie: &str) -> String {
    let run = post(up, cookie, "/api/v1/workspaces/test/pipelines/sales/runs").await;
    assert!(run["status"] == "queued" || run["status"] == "running", "{run}");
    run["id"].as_str().unwrap().to_owned()
}

/// Runners of a server.
pub(crate) fn runners(project: &Project) -> usize {
    let pattern = format!("{}.* work", project.path().display());
    let found = Command::new("pgrep").args(["-fc", &pattern]).output().unwrap();
    String::from_utf8(found.stdout).unwrap().trim().parse().unwrap()
}

#[tokio::test]
async fn a_run_through_the_server_is_that_of_the_command_line() {
    let project = Project::new(&[("pipelines/sales.yaml", SALES), ("data/a.csv", "id\n1\nx\n3\n")]);
    let up = Up::start(&project, &[]);
    let cookie = opened(&up).await;
    let run = start(&up, &cookie).await;
    let done = until(&up, &cookie, &run, "succeeded").await;
    assert_eq!(done["rows_rejected"], 1, "{done}");
    assert_eq!(project.value("select count(*) from bronze.orders"), 2);
    // The command line knows what the server has read, and the other way round.
    assert!(project.ok(&["run"]).contains("nothing new"));
    assert!(project.ok(&["runs"]).contains(&run));
    project.write("data/b.csv", "id\n4\n");
    project.ok(&["run"]);
    let run = start(&up, &cookie).await;
    until(&up, &cookie, &run, "succeeded").await;
    assert_eq!(project.value("select count(*) from bronze.orders"), 3);
    project.write("data/c.csv", "other\n5\n");
    let run = start(&up, &cookie).await;
    let failed = until(&up, &cookie, &run, "failed").await;
    assert_eq!(failed["problem"]["context"]["pipeline"], "sales", "{failed}");
    up.stop();
}

#[tokio::test]
async fn a_run_whose_server_is_killed_is_finished_when_it_is_back() {
    let project = large_project();
    killed_and_back(&project, || Up::start(&project, &[])).await;
}

#[tokio::test]
async fn the_same_on_postgresql() {
    let Some(postgres) = Postgres::start() else { return };
    let project = large_project();
    killed_and_back(&project, || Up::on(&project, &postgres)).await;
    assert!(!project.path().join(".affluent/metadata.db").exists());
}

const ROWS: usize = 400_000;

/// A project whose run takes long enough to be killed in.
fn large_project() -> Project {
    let rows: String = (0..ROWS).map(|id| format!("{id}\n")).collect();
    let data = format!("id\n{rows}");
    Project::new(&[("pipelines/sales.yaml", SALES), ("data/a.csv", &data)])
}

async fn killed_and_back(project: &Project, up: impl Fn() -> Up) {
    let mut first = up();
    let cookie = opened(&first).await;
    let run = start(&first, &cookie).await;
    until(&first, &cookie, &run, "running").await;
    signal(&first.process, "KILL");
    first.process.wait().unwrap();
    let begin = Instant::now();
    while runners(project) > 0 {
        assert!(begin.elapsed() < ENDS_WITHIN, "the runner outlives its server");
        std::thread::sleep(Duration::from_millis(20));
    }
    let second = up();
    let done = until(&second, &cookie, &run, "succeeded").await;
    println!("killed, and done again after {} ms", begin.elapsed().as_millis());
    assert!(done["attempts"].as_array().unwrap().len() >= 2, "{done}");
    assert_eq!(project.value("select count(*) from bronze.orders"), ROWS);
    assert_eq!(project.value("select count(distinct id) from bronze.orders"), ROWS);
    second.stop();
}

// The client's side has to go on while this waits for the server to stop.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_a_certificate_speaks_tls_and_nothing_else() {
    let project = Project::new(&[]);
    let file = |name: &str| project.path().join(name).to_string_lossy().into_owned();
    let (certificate, key) = (file("cert.pem"), file("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-days", "2", "-keyout", &key, "-out", &certificate])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let up = Up::start(&project, &["--tls-certificate", &certificate, "--tls-key", &key]);
    assert!(up.url("").starts_with("https://"), "{}", up.url(""));
    let pem = std::fs::read(&certificate).unwrap();
    let trusting = Client::builder()
        .add_root_certificate(reqwest::Certificate::from_pem(&pem).unwrap())
        .build()
        .unwrap();
    let answer = trusting.get(up.url("/healthz")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    assert_eq!(answer.version(), reqwest::Version::HTTP_2);
    assert!(client().get(up.url("/healthz")).send().await.is_err(), "nobody has signed it");
    let plain = up.url("/healthz").replace("https://", "http://");
    assert!(client().get(plain).send().await.is_err());
    up.stop();
    let problem = project.problem(&["up", "--tls-certificate", &key, "--tls-key", &certificate]);
    assert_eq!(problem["code"], "setting_invalid");
}

#[tokio::test]
async fn a_runner_that_is_killed_is_replaced_and_a_run_that_is_stopped_ends_at_once() {
    let service = HttpServer::start(|_| Reply::hang());
    let pipeline = format!(
        "affluent: 1\nkind: pipeline\nname: sales\nnodes:\n\
         \x20 - {{id: rows, use: http, with: {{url: \"{}/rows\"}}}}\n\
         \x20 - {{id: bronze, use: write_table, from: rows, with: {{table: bronze.rows}}}}\n",
        service.url()
    );
    let project = Project::new(&[("pipelines/sales.yaml", &pipeline)]);
    let up = Up::start(&project, &["--memory", "300", "--threads", "1"]);
    let cookie = opened(&up).await;
    let run = start(&up, &cookie).await;
    let path = format!("/api/v1/workspaces/test/runs/{run}");
    for attempt in 1..=2 {
        let begin = Instant::now();
        while service.requests().len() < attempt {
            assert!(begin.elapsed() < ENDS_WITHIN, "attempt {attempt} does not begin");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if attempt == 1 {
            // The limits of the server are those of its runners.
            let pattern = format!("{} --memory 300 --threads 1 work", project.path().display());
            assert!(
                Command::new("pkill").args(["-KILL", "-f", &pattern]).status().unwrap().success()
            );
        }
    }
    let begin = Instant::now();
    post(&up, &cookie, &format!("{path}/cancel")).await;
    let stopped = until(&up, &cookie, &run, "cancelled").await;
    println!("stopped after {} ms", begin.elapsed().as_millis());
    assert_eq!(stopped["attempts"][0]["problem"]["code"], "runner_lost", "{stopped}");
    assert_eq!(runners(&project), 0);
    up.stop();
}

/// CPU time of a process so far, in ticks of 10 ms.
fn ticks(process: &Child) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[tokio::test]
async fn a_server_with_nothing_to_do_does_nothing() {
    let project = Project::new(&[("pipelines/sales.yaml", SALES)]);
    let up = Up::start(&project, &[]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = ticks(&up.process);
    tokio::time::sleep(Duration::from_secs(4)).await;
    let used = ticks(&up.process) - before;
    println!("{used} ticks of 400 while idle");
    // A loop that never waits takes 400; the machine may be busy with other things.
    assert!(used < 40, "{used} ticks");
    up.stop();
}
