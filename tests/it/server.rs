//! `affluent up`: the program as a server on a real port.

use crate::program::Project;
use reqwest::header::{COOKIE, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PASSWORD: &str = "rivers meet in autumn";
const ENDS_WITHIN: Duration = Duration::from_secs(20);

/// A server that runs, and what it has said when it began.
struct Up {
    process: Child,
    said: Value,
}

impl Up {
    fn start(project: &Project, arguments: &[&str]) -> Self {
        let arguments = [&["--json", "up", "--listen", "127.0.0.1:0"], arguments].concat();
        let mut process = command(project, &arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said = serde_json::from_str(&line).unwrap();
        Self { process, said }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.said["url"].as_str().unwrap())
    }

    /// Asks it to stop, and waits.
    fn stop(mut self) {
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

fn signal(process: &Child, name: &str) {
    let id = process.id().to_string();
    assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
}

/// The program with a home folder of its own, below the project.
fn command(project: &Project, arguments: &[&str]) -> Command {
    let mut command = project.command(arguments);
    command.env("HOME", project.path().join("home")).env_remove("XDG_CONFIG_HOME");
    command
}

/// A client that follows no redirects and keeps no cookies.
fn client() -> Client {
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

async fn token(up: &Up) -> String {
    let body = json!({"email": "claire@example.org", "password": PASSWORD});
    let request = client().post(up.url("/api/v1/auth/tokens")).json(&body);
    let tokens: Value = request.send().await.unwrap().json().await.unwrap();
    tokens["access_token"].as_str().unwrap().to_owned()
}

fn create_owner(project: &Project) {
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
