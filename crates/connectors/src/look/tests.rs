//! Looking behind real servers and files.

use super::{Found, Place, browse, test, types};
use crate::databases::tests::support::context;
use contracts::Context;
use model::{Name, Problem, codes};
use serde_json::json;
use testkit::Postgres;
use testkit::http::{Reply, Server};

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

async fn names(context: &Context, path: &str, prefix: &str, limit: usize) -> (Vec<String>, bool) {
    let place = Place { path: path.to_owned(), prefix: prefix.to_owned(), limit };
    let (found, more) = browse(context, &name("it"), &place).await.unwrap();
    (found.into_iter().map(|found| found.name).collect(), more)
}

fn refused(problem: &Problem) -> bool {
    problem.is(&codes::CONNECTION_REFUSED) || problem.is(&codes::CONNECTION_FAILED)
}

#[tokio::test]
async fn postgres_is_tested_and_browsed() {
    let Some(server) = Postgres::start() else { return };
    server.psql(
        "create schema shop; create table shop.orders (id bigint, amount numeric(12, 2)); \
         create table shop.\"Odd.Name\" (x text); create view shop.days as select 1 as day; \
         create schema \"it's\"; create table \"it's\".t (id int)",
    );
    let settings = json!({"type": "postgres", "host": "127.0.0.1", "port": server.port(),
        "user": Postgres::USER, "password": Postgres::PASSWORD, "database": Postgres::DATABASE});
    let folder = tempfile::tempdir().unwrap();
    let context = context(folder.path(), &[("it", settings.clone())]);
    let answered = test(&context, &name("it")).await.unwrap();
    assert!(answered.starts_with("PostgreSQL 1"), "{answered}");
    assert!(answered.contains(&format!("user `{}`", Postgres::USER)), "{answered}");
    let (schemas, _) = names(&context, "", "", 50).await;
    assert_eq!(schemas, ["it's", "public", "shop"]);
    assert_eq!(names(&context, "", "SH", 50).await.0, ["shop"]);
    assert_eq!(names(&context, "shop", "", 50).await.0, ["Odd.Name", "days", "orders"]);
    assert_eq!(
        names(&context, "shop", "", 2).await,
        (vec!["Odd.Name".into(), "days".into()], true)
    );
    assert_eq!(names(&context, "shop.Odd.Name", "", 50).await.0, ["x"]);
    assert_eq!(names(&context, "it's.t", "", 50).await.0, ["id"]);
    assert_eq!(names(&context, "' OR 1=1 --", "", 50).await.0, [""; 0]);
    let place = Place { path: "shop.orders".to_owned(), prefix: "am".to_owned(), limit: 9 };
    let (columns, _) = browse(&context, &name("it"), &place).await.unwrap();
    let amount =
        Found { name: "amount".into(), kind: "column", detail: Some("numeric(12,2)".into()) };
    assert_eq!(columns, [amount]);

    let mut wrong = settings;
    wrong["user"] = json!("nobody_here");
    let context = crate::databases::tests::support::context(folder.path(), &[("it", wrong)]);
    let problem = test(&context, &name("it")).await.unwrap_err();
    assert!(refused(&problem), "{problem}");
}

#[tokio::test]
async fn sqlite_is_tested_and_browsed() {
    let folder = tempfile::tempdir().unwrap();
    let file = rusqlite::Connection::open(folder.path().join("shop.db")).unwrap();
    file.execute_batch(
        "create table orders (id integer, amount text, free); create table Other (x); \
         create view days as select 1 as day",
    )
    .unwrap();
    let context = context(folder.path(), &[("it", json!({"type": "sqlite", "path": "shop.db"}))]);
    let answered = test(&context, &name("it")).await.unwrap();
    assert!(answered.contains("2 tables"), "{answered}");
    assert_eq!(names(&context, "", "", 9).await.0, ["Other", "days", "orders"]);
    assert_eq!(names(&context, "", "o", 9).await.0, ["Other", "orders"]);
    assert_eq!(names(&context, "orders", "", 2).await, (vec!["id".into(), "amount".into()], true));
    assert_eq!(names(&context, "no'thing", "", 2).await.0, [""; 0]);
}

#[tokio::test]
async fn http_is_tested_with_its_credentials() {
    let server = Server::start(|request| match request.header("authorization") {
        Some("Bearer right") => Reply::new(404, "no such place"),
        _ => Reply::new(401, "who are you?"),
    });
    let folder = tempfile::tempdir().unwrap();
    let with = |token: &str| {
        let auth = json!({"type": "bearer", "token": token});
        let settings = json!({"type": "http", "url": server.url(), "auth": auth});
        context(folder.path(), &[("it", settings)])
    };
    let answered = test(&with("right"), &name("it")).await.unwrap();
    assert!(answered.contains("404"), "{answered}");
    let problem = test(&with("wrong"), &name("it")).await.unwrap_err();
    assert!(problem.is(&codes::CONNECTION_REFUSED), "{problem}");
    let port = testkit::free_port();
    let settings = json!({"type": "http", "url": format!("http://127.0.0.1:{port}")});
    let problem =
        test(&context(folder.path(), &[("it", settings)]), &name("it")).await.unwrap_err();
    assert!(problem.is(&codes::CONNECTION_FAILED), "{problem}");
}

#[tokio::test]
async fn what_is_no_type_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let context = context(folder.path(), &[("it", json!({"type": "oracle"}))]);
    let problem = test(&context, &name("it")).await.unwrap_err();
    assert!(problem.is(&codes::SETTING_INVALID), "{problem}");
    let known: Vec<&str> = types().iter().map(|(name, _)| *name).collect();
    assert_eq!(known, ["postgres", "sqlite", "http", "s3"]);
}
