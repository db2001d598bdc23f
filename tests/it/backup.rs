//! Backups: made while a server works, restored on the same and on another kind of database.

use crate::program::Project;
use crate::server::{DATABASE, Up, client, command, create_owner, token};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use testkit::Postgres;

const PIPELINE: &str = "\
affluent: 1
kind: pipeline
name: sales
nodes:
  - {id: orders, use: csv, with: {path: data/*.csv}}
  - {id: typed, use: cast, from: orders, with: {columns: {id: integer}}}
  - {id: bronze, use: write_table, from: typed, with: {table: bronze.orders}}
";
const WITHIN: Duration = Duration::from_secs(20);
const COUNT: &str = "select count(*) from bronze.orders";
const CONNECTION: &str = "\
affluent: 1
kind: connection
name: erp
type: postgres
host: db.example.org
database: shop
user: etl
password: ${secret:pw}
";

/// Runs the program and expects success; gives standard output.
fn ok(mut command: Command) -> String {
    let ended = command.output().unwrap();
    let (out, err) = (ended.stdout, String::from_utf8_lossy(&ended.stderr).into_owned());
    assert!(ended.status.success(), "{command:?}: {err}");
    String::from_utf8(out).unwrap()
}

fn problem(mut command: Command) -> Value {
    let ended = command.output().unwrap();
    assert!(!ended.status.success(), "{command:?}");
    let line = String::from_utf8_lossy(&ended.stderr).lines().next().unwrap().to_owned();
    serde_json::from_str(&line).unwrap_or_else(|_| panic!("not a problem: {line}"))
}

async fn workspaces(up: &Up) -> Vec<String> {
    let me = client().get(up.url("/api/v1/me")).bearer_auth(token(up).await);
    let me: Value = me.send().await.unwrap().json().await.unwrap();
    let items = me["workspaces"].as_array().unwrap();
    items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

async fn make(up: &Up, token: &str, name: &str) {
    let request = client().post(up.url("/api/v1/workspaces")).bearer_auth(token);
    let made = request.json(&json!({"name": name})).send().await.unwrap();
    assert_eq!(made.status(), StatusCode::CREATED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_made_during_writes_is_restored_on_both_kinds_of_database() {
    let project = Project::new(&[]);
    create_owner(&project);
    let up = Up::start(&project, &[]);
    let owner = token(&up).await;
    make(&up, &owner, "before").await;
    let file = project.path().join("backup.zip");
    let path = file.to_str().unwrap();
    let writing = async {
        for number in 0..40 {
            make(&up, &owner, &format!("w{number}")).await;
        }
    };
    let backing_up = command(&project, &["backup", path]);
    let backing_up = tokio::task::spawn_blocking(move || ok(backing_up));
    let ((), said) = tokio::join!(writing, backing_up);
    assert!(said.unwrap().contains("rows of metadata"));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    up.stop();
    let taken = problem(command(&project, &["--json", "backup", path]));
    assert_eq!(taken["code"], "conflict");
    let refused = problem(command(&project, &["--json", "restore", path]));
    assert_eq!(refused["code"], "conflict", "the database is not empty");

    // SQLite, from nothing.
    for name in ["metadata.db", "metadata.db-wal", "metadata.db-shm"] {
        let _ = fs::remove_file(project.path().join(".affluent").join(name));
    }
    ok(command(&project, &["restore", path]));
    let up = Up::start(&project, &[]);
    let restored = workspaces(&up).await;
    assert!(restored.contains(&"before".to_owned()), "{restored:?}");
    up.stop();
    let verified = ok(command(&project, &["audit", "verify"]));
    assert!(verified.contains("(installation): whole"), "{verified}");

    // PostgreSQL: the same people, the same workspaces.
    let Some(postgres) = Postgres::start() else { return };
    let mut onto = command(&project, &["restore", path]);
    ok({
        onto.env(DATABASE, postgres.url());
        onto
    });
    let up = Up::on(&project, &postgres);
    assert_eq!(workspaces(&up).await, restored);
    up.stop();
}

#[test]
fn tables_that_have_gone_on_are_listed_and_set_back() {
    let project = Project::new(&[("pipelines/sales.yaml", PIPELINE), ("data/1.csv", "id\n1\n2\n")]);
    create_owner(&project);
    project.ok(&["run"]);
    let file = project.path().join("backup.zip");
    let path = file.to_str().unwrap();
    ok(command(&project, &["backup", path]));
    let checked = ok(command(&project, &["restore", path, "--check"]));
    assert!(!checked.contains("bronze.orders"), "{checked}");
    project.write("data/2.csv", "id\n3\n");
    project.ok(&["run"]);
    assert_eq!(project.value(COUNT), 3);
    let checked = ok(command(&project, &["restore", path, "--check"]));
    assert!(checked.contains("bronze.orders is at version"), "{checked}");
    assert!(checked.contains("--set-tables-back"), "{checked}");
    assert_eq!(project.value(COUNT), 3, "nothing was changed");
    ok(command(&project, &["restore", path, "--replace", "--set-tables-back"]));
    assert_eq!(project.value(COUNT), 2);
    assert_eq!(project.value("select max(id) from bronze.orders"), 2);
}

#[test]
fn a_backup_that_is_damaged_restores_nothing() {
    let project = Project::new(&[]);
    create_owner(&project);
    let file = project.path().join("backup.zip");
    let path = file.to_str().unwrap();
    ok(command(&project, &["backup", path]));
    let whole = fs::read(&file).unwrap();
    let restored = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        problem(command(&project, &["--json", "restore", path, "--replace"]))
    };
    assert_eq!(restored(&whole[..whole.len() / 2])["code"], "file_corrupt");
    assert_eq!(restored(b"PK")["code"], "file_corrupt");
    // One byte somewhere in the middle of each part.
    for at in (64..whole.len() - 64).step_by(whole.len() / 23) {
        let mut broken = whole.clone();
        broken[at] ^= 0x55;
        fs::write(&file, &broken).unwrap();
        let ended = command(&project, &["restore", path, "--replace"]).output().unwrap();
        let list = ok(command(&project, &["user", "list"]));
        let is_whole = list.contains("claire@example.org");
        assert!(is_whole, "byte {at}: {}", String::from_utf8_lossy(&ended.stderr));
    }
}

/// Sets the secret as soon as the server has taken the documents of the folder in.
fn set_when_it_is_there(project: &Project, value: &Path) -> String {
    let begin = Instant::now();
    loop {
        let mut set = command(project, &["secret", "set", "erp", "pw"]);
        let ended = set.stdin(fs::File::open(value).unwrap()).output().unwrap();
        if ended.status.success() {
            return String::from_utf8(ended.stdout).unwrap();
        }
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(begin.elapsed() < WITHIN, "{said}");
    }
}

#[test]
fn a_secret_is_set_on_the_command_line_sealed_and_taken_over_by_a_new_key() {
    let project = Project::new(&[("connections/erp.yaml", CONNECTION)]);
    // The command line has a value of its own; that of the server is another one.
    project.write(".affluent/secrets/pw", "of the command line");
    create_owner(&project);
    let canary = "canary-of-the-command-line";
    let value = project.write("value.txt", format!("{canary}\n"));
    let up = Up::start(&project, &[]);
    let said = set_when_it_is_there(&project, &value);
    up.stop();
    assert!(said.contains("postgres host=db.example.org"), "{said}");
    let file = project.path().join("backup.zip");
    let path = file.to_str().unwrap();
    ok(command(&project, &["backup", path]));
    let rotated = ok(command(&project, &["secret", "rotate"]));
    assert!(rotated.contains("1 secrets"), "{rotated}");
    ok(command(&project, &["secret", "rotate", "--forget"]));
    let key = project.path().join("home/.config/affluent/master.key");
    assert_eq!(fs::read_to_string(key).unwrap().lines().count(), 1);
    ok(command(&project, &["audit", "verify"]));
    let _ = fs::remove_file(project.path().join("value.txt"));
    let mut folders = vec![project.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
                continue;
            }
            let bytes = fs::read(entry.path()).unwrap_or_default();
            let found = bytes.windows(canary.len()).any(|part| part == canary.as_bytes());
            assert!(!found, "the secret is in `{}`", entry.path().display());
        }
    }
}
