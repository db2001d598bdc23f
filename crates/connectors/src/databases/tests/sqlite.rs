//! SQLite, read and written.

use super::super::ALL;
use super::support::{context, lines, new_request, past_of, read_new, sink, source, write};
use contracts::{Past, rows};
use model::codes;
use model::run::Input;
use rusqlite::Connection;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

fn fill(folder: &Path, sql: &str) -> Connection {
    let connection = Connection::open(folder.join("shop.db")).unwrap();
    connection.execute_batch(sql).unwrap();
    connection
}

#[tokio::test]
async fn declared_types_hold_and_what_does_not_fit_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    fill(
        folder.path(),
        "create table every (id integer primary key, price numeric(10,2), ok boolean, day date,
            at datetime, name nvarchar(20), ratio double, raw blob, free, \"N° Client\" text,
            amount numeric, ident uuid, doc json);
         insert into every values (1, 0.99, 1, '2009-01-01 00:00:00', '2009-01-02 03:04:05.5',
            'été', 0.1, x'00ff', 7, 'x', 12345.678, 'a-b', '{\"a\": 1.10}');
         insert into every (id, price, free) values (2, 13.860000000000001, 8);
         insert into every (id, price) values (3, 1.005);
         insert into every (id, price) values (4, 'expensive');
         insert into every (id, day) values (5, '31/12/2020');
         insert into every (id, at) values (6, 1700000000);
         insert into every (id, ok) values (7, 2);
         insert into every (id, name) values (8, x'ff');
         insert into every (id, name) values (9, 42);
         insert into every (id, name) values (10, cast(x'ff41' as text));",
    );
    let context = context(folder.path(), &[]);
    let every = source(ALL, "sqlite", &json!({"path": "shop.db", "table": "every"}));
    let (discovery, batches, rejects) =
        read_new(every.as_ref(), &context, &Past::default()).await.unwrap();
    assert!(discovery.remarks[0].contains("`at`"), "{:?}", discovery.remarks);
    let types: Vec<String> = batches[0]
        .schema()
        .fields()
        .iter()
        .map(|field| format!("{} {}", field.name(), contracts::arrow_types::from_field(field)))
        .collect();
    assert_eq!(
        types.join(", "),
        "id integer, price decimal(10,2), ok boolean, day date, at timestamp, name string, \
         ratio float, raw binary, free integer, n_client string, amount decimal(38,9), \
         ident uuid, doc json, _file string, _row integer"
    );
    let first: Value =
        serde_json::from_str(rows::write(&batches).unwrap().lines().next().unwrap()).unwrap();
    let expected = json!({"id": 1, "price": "0.99", "ok": true, "day": "2009-01-01",
        "at": "2009-01-02T03:04:05.500Z", "name": "été", "ratio": 0.1, "raw": "00ff", "free": 7,
        "n_client": "x", "amount": "12345.678000000", "ident": "a-b", "doc": "{\"a\": 1.10}",
        "_file": "shop.db.every", "_row": 1});
    for (column, value) in expected.as_object().unwrap() {
        let found = &first[column];
        let found = if column == "at" { &json!("2009-01-02T03:04:05.500Z") } else { found };
        assert_eq!(found, value, "{column}");
    }
    assert_eq!(
        lines(&batches, &["id", "price", "name"]),
        ["1|0.99|été", "2|13.86|null", "9|null|42"]
    );
    let reasons: Vec<String> = rejects
        .iter()
        .map(|reject| {
            let error = &reject.errors[0];
            let value = error.value.clone().unwrap_or_default();
            format!("{} {} `{value}` {}", reject.row.unwrap(), error.column, error.reason)
        })
        .collect();
    assert_eq!(
        reasons,
        [
            "3 price `1.005` does not fit the column's decimals",
            "4 price `expensive` does not fit the column's decimals",
            "5 day `31/12/2020` is not a date",
            "6 at `1700000000` is a number, not a text",
            "7 ok `2` is not true or false",
            "8 name `1 bytes` is bytes, not a text",
            "10 name `\u{fffd}A` is not valid UTF-8",
        ]
    );
    // Types that a person chooses.
    let config = json!({"path": "shop.db", "table": "every", "columns": ["id", "price", "at"],
        "types": {"price": "string", "at": "integer"}, "where": "id in (3, 4, 6)"});
    let chosen = source(ALL, "sqlite", &config);
    let (_, batches, rejects) =
        read_new(chosen.as_ref(), &context, &Past::default()).await.unwrap();
    assert!(rejects.is_empty());
    assert_eq!(
        lines(&batches, &["id", "price", "at"]),
        ["3|1.005|null", "4|expensive|null", "6|null|1700000000"]
    );
}

#[tokio::test]
async fn an_unchanged_file_is_not_new() {
    let folder = tempfile::tempdir().unwrap();
    let connection = fill(folder.path(), "create table t (id integer); insert into t values (1)");
    let context = context(folder.path(), &[("shop", json!({"type": "sqlite", "path": "shop.db"}))]);
    let table = source(ALL, "sqlite", &json!({"connection": "shop", "table": "t"}));
    let first = table.discover(&context, &Past::default()).await.unwrap();
    assert!(first.is_new && matches!(first.inputs[..], [Input::Whole { .. }]));
    let past = past_of(&first.inputs);
    assert!(!table.discover(&context, &past).await.unwrap().is_new);
    assert!(table.discover(&context, &Past { full: true, ..past.clone() }).await.unwrap().is_new);
    std::thread::sleep(std::time::Duration::from_millis(20));
    connection.execute_batch("insert into t values (2)").unwrap();
    assert!(table.discover(&context, &past).await.unwrap().is_new);
}

#[tokio::test]
async fn a_cursor_reads_each_row_once() {
    let folder = tempfile::tempdir().unwrap();
    let connection = fill(
        folder.path(),
        "create table t (id integer, at datetime);
         insert into t values (1, '2024-01-01 10:00:00'), (2, '2024-01-01 11:00:00'), (3, null)",
    );
    let context = context(folder.path(), &[]);
    for (cursor, lag, again) in [("id", json!(1), "2"), ("at", json!("1h"), "1")] {
        let config = json!({"path": "shop.db", "table": "t", "cursor": {"column": cursor}});
        let table = source(ALL, "sqlite", &config);
        let (discovery, batches, _) =
            read_new(table.as_ref(), &context, &Past::default()).await.unwrap();
        let nulls = usize::from(cursor == "at");
        let remarks = discovery.remarks.iter().filter(|remark| remark.contains("never read"));
        assert_eq!(remarks.count(), nulls);
        assert_eq!(lines(&batches, &["id"]).len(), 3 - nulls);
        let past = past_of(&discovery.inputs);
        let nothing = table.discover(&context, &past).await.unwrap();
        assert!(!nothing.is_new && nothing.inputs.is_empty());
        connection.execute_batch("insert into t values (9, '2024-02-01 00:00:00')").unwrap();
        let (discovery, batches, _) = read_new(table.as_ref(), &context, &past).await.unwrap();
        assert!(discovery.is_new);
        assert_eq!(lines(&batches, &["id"]), ["9"]);
        let config = json!({"path": "shop.db", "table": "t",
            "cursor": {"column": cursor, "lag": lag}});
        let late = source(ALL, "sqlite", &config);
        let (_, batches, _) = read_new(late.as_ref(), &context, &past).await.unwrap();
        assert!(lines(&batches, &["id"]).contains(&again.to_owned()), "{cursor}");
        connection.execute_batch("delete from t where id = 9").unwrap();
    }
}

#[tokio::test]
async fn files_that_are_no_databases_and_queries_that_write_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), "create table t (id integer); insert into t values (1)");
    fs::write(folder.path().join("text.db"), "this is not a database, it is a text ".repeat(100))
        .unwrap();
    let context = context(folder.path(), &[]);
    for (config, code) in [
        (json!({"path": "missing.db", "table": "t"}), &codes::FILE_NOT_FOUND),
        (json!({"path": "text.db", "table": "t"}), &codes::FILE_CORRUPT),
        (json!({"path": "shop.db", "table": "u"}), &codes::QUERY_FAILED),
        (json!({"path": "shop.db", "table": "t", "columns": ["x"]}), &codes::COLUMN_UNKNOWN),
        (json!({"path": "shop.db", "query": "select 1) ; drop table t --"}), &codes::QUERY_FAILED),
        (
            json!({"path": "shop.db", "query": "select load_extension('x.so')"}),
            &codes::QUERY_FAILED,
        ),
    ] {
        let entry = ALL.iter().find(|entry| entry.name == "sqlite").unwrap();
        let contracts::Build::Source(build) = entry.build else { unreachable!("a source") };
        let problem = match build(&config) {
            Err((_, problem)) => problem,
            Ok(source) => match read_new(source.as_ref(), &context, &Past::default()).await {
                Err(problem) => problem,
                Ok(_) => unreachable!("{config} is refused"),
            },
        };
        let is_expected = problem.is(code) || problem.is(&codes::SQL_SYNTAX);
        assert!(is_expected, "{config}: {problem:?}");
    }
    let query = json!({"path": "shop.db", "query": "select count(*) as n, 'a' as b from t"});
    let query = source(ALL, "sqlite", &query);
    let (_, batches, _) = read_new(query.as_ref(), &context, &Past::default()).await.unwrap();
    assert_eq!(lines(&batches, &["n", "b", "_file"]), ["1|a|shop.db.query"]);
}

const ROWS: &str = r##"{"#types": {"id": "integer", "amount": "decimal(20,2)", "day": "date", "at": "timestamp", "key": "uuid", "doc": "json", "raw": "binary"}}
{"id": 1, "amount": "123456789012345678.10", "day": "2024-02-29", "at": "2024-03-01T10:00:00.123456Z", "name": "007", "key": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "doc": "1.10", "ok": true, "ratio": 0.1, "tags": ["a", null]}
{"id": 2, "name": null}
"##;

#[tokio::test]
async fn what_is_written_is_read_back_and_written_once() {
    let folder = tempfile::tempdir().unwrap();
    let context = context(folder.path(), &[]);
    let append = sink(ALL, "write_sqlite", &json!({"path": "out/marts.db", "table": "orders"}));
    let request = new_request();
    assert!(append.committed(&context, &request).await.unwrap().is_none());
    let committed = write(append.as_ref(), &context, request.clone(), ROWS).await.unwrap();
    assert_eq!((committed.target.as_str(), committed.rows), ("out/marts.db.orders", 2));
    let found = append.committed(&context, &request).await.unwrap().unwrap();
    assert_eq!((found.rows, found.already), (2, true));
    let again = write(append.as_ref(), &context, request, ROWS).await.unwrap();
    assert!(again.already);
    let orders = source(ALL, "sqlite", &json!({"path": "out/marts.db", "table": "orders"}));
    let (_, batches, rejects) =
        read_new(orders.as_ref(), &context, &Past::default()).await.unwrap();
    assert!(rejects.is_empty(), "{rejects:?}");
    assert_eq!(
        lines(&batches, &["id", "amount", "day", "name", "key", "doc", "ok", "ratio", "tags"]),
        [
            "1|123456789012345678.10|2024-02-29|007|a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11|1.10|true|0.1|[\"a\",null]",
            "2|null|null|null|null|null|null|null|null",
        ]
    );
    let prepared =
        append.prepare(&context, new_request(), rows::read_batches(ROWS).unwrap()).await.unwrap();
    prepared.discard().await;
    drop(append.prepare(&context, new_request(), rows::read_batches(ROWS).unwrap()).await.unwrap());
    let database = Connection::open(folder.path().join("out/marts.db")).unwrap();
    let count = || -> i64 {
        database.query_row("select count(*) from orders", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(count(), 2);
    let spool = folder.path().join(".affluent/spool");
    assert_eq!(fs::read_dir(spool).unwrap().count(), 0);
    write(append.as_ref(), &context, new_request(), ROWS).await.unwrap();
    assert_eq!(count(), 4);
    let refresh = contracts::SinkRequest { overwrite: true, ..new_request() };
    write(append.as_ref(), &context, refresh, ROWS).await.unwrap();
    assert_eq!(count(), 2);
}

#[tokio::test]
async fn truncate_and_upsert_renew_rows() {
    let folder = tempfile::tempdir().unwrap();
    let context = context(folder.path(), &[]);
    let run = async |mode: Value, text: &str| {
        let mut config = json!({"path": "shop.db", "table": "customers"});
        config.as_object_mut().unwrap().extend(mode.as_object().unwrap().clone());
        let customers = sink(ALL, "write_sqlite", &config);
        write(customers.as_ref(), &context, new_request(), text).await
    };
    let state = || {
        let database = Connection::open(folder.path().join("shop.db")).unwrap();
        let sql = "select group_concat(id || coalesce(name, '-'), ' ') from customers order by id";
        database.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap()
    };
    let upsert = json!({"mode": "upsert", "key": "id"});
    run(upsert.clone(), "{\"id\": 1, \"name\": \"a\"}\n{\"id\": 2, \"name\": \"b\"}")
        .await
        .unwrap();
    run(upsert.clone(), "{\"id\": 2, \"name\": \"B\"}\n{\"id\": 3, \"name\": \"c\"}")
        .await
        .unwrap();
    assert_eq!(state(), "1a 2B 3c");
    let twice = run(upsert.clone(), "{\"id\": 4}\n{\"id\": 4}").await.unwrap_err();
    assert!(twice.is(&codes::MERGE_KEY_REPEATED), "{twice:?}");
    let without = run(upsert, "{\"id\": null}").await.unwrap_err();
    assert!(without.is(&codes::CONSTRAINT_VIOLATED), "{without:?}");
    let other = run(json!({"mode": "upsert", "key": "name"}), "{\"id\": 7, \"name\": \"x\"}").await;
    assert!(other.unwrap_err().hint_text().unwrap().starts_with("create unique index"));
    assert_eq!(state(), "1a 2B 3c");
    run(json!({"mode": "truncate"}), "{\"id\": 9, \"name\": \"z\", \"age\": 3}").await.unwrap();
    assert_eq!(state(), "9z");
    let frozen = run(json!({"schema": "freeze"}), "{\"id\": 5, \"more\": 1}").await;
    assert!(frozen.unwrap_err().is(&codes::SCHEMA_CHANGED));
    run(json!({"schema": "discard"}), "{\"id\": 5, \"more\": 1}").await.unwrap();
    assert_eq!(state(), "5- 9z");
}
