//! PostgreSQL, read and written.

use super::super::ALL;
use super::support::{context, lines, new_request, past_of, read, read_new, sink, source, write};
use contracts::source::Sample;
use contracts::{Context, Past, rows};
use model::run::{Input, Range};
use model::{Problem, codes};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use testkit::http::{Reply, Server};
use testkit::postgres::Options;
use testkit::{Fault, FaultProxy, Postgres, free_port};

fn settings(port: u16) -> Value {
    json!({
        "type": "postgres", "host": "127.0.0.1", "port": port, "database": Postgres::DATABASE,
        "user": Postgres::USER, "password": Postgres::PASSWORD, "tls": "disable",
    })
}

struct Bench {
    folder: tempfile::TempDir,
    context: Context,
}

/// A server and surroundings with the connection `erp` to `port`.
fn bench(port: u16) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let context = context(folder.path(), &[("erp", settings(port))]);
    Bench { folder, context }
}

const ALL_TYPES: &str = "
    create type mood as enum ('sad', 'glad');
    create domain positive as integer check (value > 0);
    create table every (
        id integer primary key, small smallint, big bigint, yes boolean, single real, double_p double precision,
        price numeric(12,2), free numeric, huge numeric(60,10), cents numeric(2,-3),
        words text, code varchar(10), fixed char(4), \"N° Client\" text, feeling mood, dom positive,
        ident uuid, doc json, docb jsonb, raw bytea,
        day date, at_time time, moment timestamptz, naive timestamp, span interval, addr inet,
        tags text[], numbers integer[], prices numeric(5,2)[], grid integer[][]
    );
    insert into every values (1, 2, 9223372036854775807, true, 0.5, 0.1,
        -1234567890.10, 12345678901234567890.123456789, 1234567890123456789012345678901234567890.5, 12345,
        'été ☕', 'abc', 'ab', 'x', 'glad', 7,
        'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', '{\"a\": 1.10}', '{\"b\": [1, 2]}', '\\xdeadbeef',
        '2024-02-29', '23:59:59.123456', '2024-03-31 02:30:00+02', '1969-12-31 23:59:59.999999',
        '1 day 2 hours', '10.0.0.1/8', '{a,NULL,\"c,d\"}', '{1,2}', '{1.25,-3}', '{}');
    insert into every (id) values (2);
    insert into every (id, free) values (3, 'NaN'), (4, 1e-10), (5, 12345678901234567890123456789012345);
    insert into every (id, day, moment) values (6, 'infinity', '2020-01-01'), (7, '2020-01-01', '-infinity');
    insert into every (id, grid) values (8, '{{1,2},{3,4}}');
    insert into every (id, prices) values (9, '{1,NaN}');
    insert into every (id, at_time) values (10, '24:00:00');
    insert into every (id, words) values (11, 'last');";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_arrives_and_what_does_not_fit_is_rejected() {
    let Some(postgres) = Postgres::start() else { return };
    postgres.psql(ALL_TYPES);
    let bench = bench(postgres.port());
    let every = source(ALL, "postgres", &json!({"connection": "erp", "table": "public.every"}));
    let (discovery, batches, rejects) =
        read_new(every.as_ref(), &bench.context, &Past::default()).await.unwrap();
    assert!(discovery.is_new && matches!(discovery.inputs[..], [Input::Whole { .. }]));
    assert_eq!(
        discovery.remarks,
        ["`naive` of `every` have no time zone and are read as UTC"
            .replace("`every`", "`public.every`")]
    );
    let schema = batches[0].schema();
    let types: Vec<String> = schema
        .fields()
        .iter()
        .map(|field| format!("{} {}", field.name(), contracts::arrow_types::from_field(field)))
        .collect();
    assert_eq!(
        types.join(", "),
        "id integer, small integer, big integer, yes boolean, single float, double_p float, \
         price decimal(12,2), free decimal(38,9), huge string, cents decimal(5,0), \
         words string, code string, fixed string, n_client string, feeling string, dom integer, \
         ident uuid, doc json, docb json, raw binary, day date, at_time time, moment timestamp, \
         naive timestamp, span string, addr string, tags list<string>, numbers list<integer>, \
         prices list<decimal(5,2)>, grid list<integer>, _file string, _row integer"
    );
    assert_eq!(schema.field(13).metadata()["affluent.header"], "N° Client");
    let text = rows::write(&batches).unwrap();
    let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let expected = json!({
        "id": 1, "small": 2, "big": i64::MAX, "yes": true, "single": 0.5, "double_p": 0.1,
        "price": "-1234567890.10", "free": "12345678901234567890.123456789",
        "huge": "1234567890123456789012345678901234567890.5000000000", "cents": "12000",
        "words": "été ☕", "code": "abc", "fixed": "ab  ", "n_client": "x", "feeling": "glad",
        "dom": 7, "ident": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "doc": "{\"a\": 1.10}",
        "docb": "{\"b\": [1, 2]}", "raw": "deadbeef", "day": "2024-02-29",
        "at_time": "23:59:59.123456", "moment": "2024-03-31T00:30:00Z",
        "naive": "1969-12-31T23:59:59.999999Z", "span": "P1DT2H", "addr": "10.0.0.1/8",
        "tags": ["a", null, "c,d"], "numbers": [1, 2], "prices": [1.25, -3.00], "grid": [],
        "_file": "erp.public.every", "_row": 1,
    });
    for (column, value) in expected.as_object().unwrap() {
        assert_eq!(&first[column], value, "{column}");
    }
    assert_eq!(lines(&batches, &["id", "_row"]), ["11|11", "1|1", "2|2"]);
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
            "3 free `NaN` is not a decimal number",
            "4 free `0.0000000001` has more digits than the column's type",
            "5 free `12345678901234567890123456789012345` has more digits than the column's type",
            "6 day `infinity` is not a date",
            "7 moment `-infinity` is not an instant",
            "8 grid `` is an array of more than one dimension",
            "9 prices `NaN` is not a decimal number",
            "10 at_time `24:00:00` is not a time of day",
        ]
    );
    let record: Value = serde_json::from_str(&rejects[0].record).unwrap();
    assert_eq!((&record["id"], &record["free"]), (&json!(3), &json!("NaN")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_reads_each_row_once() {
    let Some(postgres) = Postgres::start() else { return };
    postgres.psql(
        "create table events (id int, at timestamptz);
         insert into events values (1, '2024-01-01 10:00'), (2, '2024-01-01 11:00:00.000001'), (3, null)",
    );
    let bench = bench(postgres.port());
    let config = json!({"connection": "erp", "table": "events", "cursor": {"column": "at"}});
    let events = source(ALL, "postgres", &config);
    let (discovery, batches, _) =
        read_new(events.as_ref(), &bench.context, &Past::default()).await.unwrap();
    assert_eq!(lines(&batches, &["id"]), ["1", "2"]);
    assert_eq!(discovery.remarks, ["1 rows of `events` are never read: their cursor `at` is null"]);
    let first = discovery.inputs;
    // Rows that come after the run was planned belong to the next one.
    postgres.psql("insert into events values (4, '2024-01-01 12:00')");
    let (batches, _) = read(events.as_ref(), &bench.context, first.clone(), None).await.unwrap();
    assert_eq!(lines(&batches, &["id"]), ["1", "2"]);
    let past = past_of(&first);
    let (discovery, batches, _) = read_new(events.as_ref(), &bench.context, &past).await.unwrap();
    assert_eq!(lines(&batches, &["id"]), ["4"]);
    let past = past_of(&discovery.inputs);
    let (discovery, batches, _) = read_new(events.as_ref(), &bench.context, &past).await.unwrap();
    assert!(!discovery.is_new && discovery.inputs.is_empty() && batches.is_empty());
    let full = Past { full: true, ..past.clone() };
    let (_, batches, _) = read_new(events.as_ref(), &bench.context, &full).await.unwrap();
    assert_eq!(lines(&batches, &["id"]), ["1", "2", "4"]);

    // With lag, late rows are found, and old ones come again.
    postgres.psql("insert into events values (5, '2024-01-01 11:30'), (6, '2024-01-02')");
    let config = json!({"connection": "erp", "table": "events",
        "cursor": {"column": "at", "lag": "1h"}});
    let late = source(ALL, "postgres", &config);
    let (discovery, batches, _) = read_new(late.as_ref(), &bench.context, &past).await.unwrap();
    assert_eq!(lines(&batches, &["id"]), ["2", "4", "5", "6"]);
    assert!(discovery.remarks.iter().any(|remark| remark.contains("`merge` or `upsert`")));
    let low = json!("2024-01-01 11:00:00+00");
    assert!(matches!(&discovery.inputs[0], Input::Range(Range { low: Some(l), .. }) if *l == low));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_hold_every_row_once() {
    let Some(postgres) = Postgres::start() else { return };
    postgres.psql(
        "create table wide as select i as id, i::numeric / 3 as n, i::float8 as f,
            date '2020-01-01' + i as d, timestamptz '2020-01-01' + i * interval '1 minute' as t,
            repeat('x', 50) as filler from generate_series(-500, 20000) as i;
         insert into wide (filler) values ('no values');
         create view seen as select * from wide",
    );
    let bench = bench(postgres.port());
    for column in ["id", "n", "f", "d", "t"] {
        let config = json!({"connection": "erp", "table": "wide",
            "columns": ["id", "filler"], "split": {"column": column, "parts": 3}});
        check_parts(&bench.context, &config, 3).await;
    }
    let pages = json!({"connection": "erp", "table": "wide",
        "columns": ["id", "filler"], "split": {"parts": 4}});
    check_parts(&bench.context, &pages, 4).await;
    let view = json!({"connection": "erp", "table": "seen",
        "columns": ["id", "filler"], "split": {"parts": 4}});
    check_parts(&bench.context, &view, 1).await;
}

async fn check_parts(context: &Context, config: &Value, parts: usize) {
    let wide = source(ALL, "postgres", config);
    let (_, batches, _) = read_new(wide.as_ref(), context, &Past::default()).await.unwrap();
    let ids = lines(&batches, &["id"]);
    assert_eq!(ids.len(), 20502, "{config}");
    let mut unique = ids.clone();
    unique.dedup();
    assert_eq!(unique.len(), 20502, "{config}");
    let mut files = lines(&batches, &["_file"]);
    files.dedup();
    assert_eq!(files.len(), parts, "{config}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_only_read() {
    let Some(postgres) = Postgres::start() else { return };
    postgres.psql(
        "create table t (id int, name text); insert into t values (1, 'a'), (2, 'b');
         create function sneaky() returns int language sql as 'insert into t values (3) returning id'",
    );
    let bench = bench(postgres.port());
    let read_query = async |query: &str| {
        let config = json!({"connection": "erp", "query": query, "where": "id > 1"});
        let Ok(source) = try_source(&config) else { return Err(None) };
        let read = read_new(source.as_ref(), &bench.context, &Past::default()).await;
        read.map(|(_, batches, _)| lines(&batches, &["id", "_file"])).map_err(Some)
    };
    let good = read_query("select id, name from t -- all of them").await.unwrap();
    assert_eq!(good, ["2|erp.query"]);
    let sneaky = read_query("select sneaky() as id").await.unwrap_err().unwrap();
    assert!(sneaky.is(&codes::SQL_REFUSED), "{sneaky:?}");
    for bad in [
        "select 1 as id) to program 'touch /tmp/affluent-was-here' --",
        "select 1 as id; drop table t",
        "with gone as (delete from t returning id) select id from gone",
        "select id from t for update",
        "select id into other from t",
        "copy t to stdout",
        "select 1 as id, 2 as id",
    ] {
        assert!(read_query(bad).await.is_err(), "{bad}");
    }
    assert_eq!(postgres.psql("select count(*) from t"), "2");
    let config = json!({"connection": "erp", "table": "t", "columns": ["nam"]});
    let problem = source(ALL, "postgres", &config)
        .discover(&bench.context, &Past::default())
        .await
        .unwrap_err();
    assert_eq!(problem.hint_text(), Some("did you mean `name`?"));
    let sample = Some(Sample { rows: 1, bytes: 1 << 20 });
    let whole = source(ALL, "postgres", &json!({"connection": "erp", "table": "t"}));
    let inputs = whole.discover(&bench.context, &Past::default()).await.unwrap().inputs;
    let (batches, _) = read(whole.as_ref(), &bench.context, inputs, sample).await.unwrap();
    assert_eq!(rows::count(&batches), 1);
}

fn try_source(config: &Value) -> Result<Box<dyn contracts::Source>, Problem> {
    let entry = ALL.iter().find(|entry| entry.name == "postgres").unwrap();
    let contracts::Build::Source(build) = entry.build else { unreachable!("a source") };
    build(config).map_err(|(_, problem)| problem)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_fail_say_why_in_time() {
    let Some(postgres) = Postgres::start_with(Options { tls: true, ..Options::default() }) else {
        return;
    };
    let hanging = Server::start(|_| Reply::hang());
    let folder = tempfile::tempdir().unwrap();
    let with = |changes: Value| {
        let mut settings = settings(postgres.port());
        settings["connect_timeout_s"] = json!(2);
        settings.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        settings
    };
    let cases = [
        (json!({"password": "wrong"}), &codes::CONNECTION_REFUSED),
        (json!({"database": "nowhere"}), &codes::CONNECTION_REFUSED),
        (json!({"port": free_port()}), &codes::CONNECTION_FAILED),
        (json!({"port": hanging.port()}), &codes::CONNECTION_TIMEOUT),
        (json!({"tls": "verify-full"}), &codes::CONNECTION_FAILED),
        (json!({"host": "/var/run/postgresql"}), &codes::SETTING_INVALID),
        (json!({"host": "127.0.0.1,10.0.0.1"}), &codes::SETTING_INVALID),
        (json!({"options": "-c log_statement=all"}), &codes::DOCUMENT_INVALID),
        (json!({"sslrootcert": "/etc/passwd"}), &codes::DOCUMENT_INVALID),
        (json!({"tls": "verify-full", "root_certificate": "/etc/passwd"}), &codes::FILE_UNREADABLE),
    ];
    let every = source(ALL, "postgres", &json!({"connection": "erp", "query": "select 1 as id"}));
    for (changes, code) in cases {
        let context = context(folder.path(), &[("erp", with(changes.clone()))]);
        let start = Instant::now();
        let problem = every.discover(&context, &Past::default()).await.unwrap_err();
        assert!(problem.is(code), "{changes}: {problem:?}");
        assert!(!format!("{problem:?}").contains(Postgres::PASSWORD), "{problem:?}");
        assert!(start.elapsed() < Duration::from_secs(5), "{changes}");
    }
    for tls in ["prefer", "require"] {
        let context = context(folder.path(), &[("erp", with(json!({"tls": tls})))]);
        let config = json!({"connection": "erp",
            "query": "select ssl as is_safe from pg_stat_ssl where pid = pg_backend_pid()"});
        let safe = source(ALL, "postgres", &config);
        let (_, batches, _) = read_new(safe.as_ref(), &context, &Past::default()).await.unwrap();
        assert_eq!(lines(&batches, &["is_safe"]), ["true"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_falls_silent_is_noticed() {
    let Some(postgres) = Postgres::start() else { return };
    postgres.psql("create table t as select i as id from generate_series(1, 300000) i");
    let proxy = FaultProxy::start(postgres.port());
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(proxy.port());
    settings["timeout_s"] = json!(1);
    let context = context(folder.path(), &[("erp", settings)]);
    let table = source(ALL, "postgres", &json!({"connection": "erp", "table": "t"}));
    let inputs = table.discover(&context, &Past::default()).await.unwrap().inputs;
    let slow = source(
        ALL,
        "postgres",
        &json!({"connection": "erp",
        "query": "select 1 as id, pg_sleep(60)"}),
    );
    let start = Instant::now();
    let problem = read(slow.as_ref(), &context, inputs.clone(), None).await.unwrap_err();
    assert!(problem.is(&codes::CONNECTION_TIMEOUT), "{problem:?}");
    assert!(start.elapsed() < Duration::from_secs(10));
    proxy.set(Fault::Stall);
    let problem = read(table.as_ref(), &context, inputs, None).await.unwrap_err();
    assert!(problem.is(&codes::CONNECTION_TIMEOUT), "{problem:?}");
}

const ROWS: &str = r##"{"#types": {"id": "integer", "amount": "decimal(12,2)", "day": "date", "at": "timestamp", "key": "uuid", "doc": "json", "raw": "binary"}}
{"id": 1, "amount": "-10.50", "day": "2024-02-29", "at": "2024-03-01T10:00:00.123456Z", "name": "été", "key": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "doc": "{\"a\": 1}", "ok": true, "ratio": 0.1, "tags": ["a", null], "nested": {"x": [1, 2]}}
{"id": 2, "amount": "9999999999.99", "name": null, "tags": []}
"##;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_arrive_with_the_right_types_once() {
    let Some(postgres) = Postgres::start() else { return };
    let bench = bench(postgres.port());
    let config = json!({"connection": "erp", "table": "gold.orders"});
    let orders = sink(ALL, "write_postgres", &config);
    let request = new_request();
    assert!(orders.committed(&bench.context, &request).await.unwrap().is_none());
    let committed = write(orders.as_ref(), &bench.context, request.clone(), ROWS).await.unwrap();
    assert_eq!((committed.target.as_str(), committed.rows), ("erp.gold.orders", 2));
    assert_eq!(
        postgres.psql("select string_agg(column_name || ' ' || udt_name || coalesce('(' || numeric_precision || ',' || numeric_scale || ')', ''), ', ' order by ordinal_position) from information_schema.columns where table_name = 'orders' and udt_name <> 'int8'"),
        "amount numeric(12,2), day date, at timestamptz, name text, key uuid, doc jsonb, ok bool, ratio float8, tags _text, nested jsonb, raw bytea"
    );
    assert_eq!(
        postgres.psql("select id, amount, day, at, name, key, doc, ok, ratio, tags, nested from gold.orders order by id"),
        "1|-10.50|2024-02-29|2024-03-01 10:00:00.123456+00|été|a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11|{\"a\": 1}|t|0.1|{a,NULL}|{\"x\": [1, 2]}\n2|9999999999.99|||||||||{}|".replace("|||||||||{}", "||||||||{}")
    );
    // The same commit again changes nothing.
    let again = orders.committed(&bench.context, &request).await.unwrap().unwrap();
    assert_eq!((again.rows, again.already), (2, true));
    let again = write(orders.as_ref(), &bench.context, request.clone(), ROWS).await.unwrap();
    assert_eq!((again.rows, again.already), (2, true));
    assert_eq!(postgres.psql("select count(*) from gold.orders"), "2");
    // Another run adds its rows; what is prepared or thrown away is not seen.
    let input = || rows::read_batches(ROWS).unwrap();
    let prepared = orders.prepare(&bench.context, new_request(), input()).await.unwrap();
    assert_eq!(postgres.psql("select count(*) from gold.orders"), "2");
    prepared.discard().await;
    let dropped = orders.prepare(&bench.context, new_request(), input()).await.unwrap();
    drop(dropped);
    write(orders.as_ref(), &bench.context, new_request(), ROWS).await.unwrap();
    assert_eq!(postgres.psql("select count(*) from gold.orders"), "4");
    assert_eq!(
        postgres
            .psql("select count(*), min(rows), min(metadata ->> 'run') from gold.affluent_commits"),
        "2|2|r"
    );
    // A full refresh takes the place of everything.
    let refresh = contracts::SinkRequest { overwrite: true, ..new_request() };
    write(orders.as_ref(), &bench.context, refresh, ROWS).await.unwrap();
    assert_eq!(postgres.psql("select count(*) from gold.orders"), "2");
    drop(bench.folder);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn truncate_and_upsert_renew_rows() {
    let Some(postgres) = Postgres::start() else { return };
    let bench = bench(postgres.port());
    let state = || postgres.psql("select id, name from customers order by id").replace('\n', " ");
    let upsert = json!({"connection": "erp", "table": "customers", "mode": "upsert", "key": "id"});
    let upsert = sink(ALL, "write_postgres", &upsert);
    let run = async |sink: &dyn contracts::Sink, text: &str| {
        write(sink, &bench.context, new_request(), text).await
    };
    run(upsert.as_ref(), "{\"id\": 1, \"name\": \"a\"}\n{\"id\": 2, \"name\": \"b\"}")
        .await
        .unwrap();
    run(upsert.as_ref(), "{\"id\": 2, \"name\": \"B\"}\n{\"id\": 3, \"name\": \"c\"}")
        .await
        .unwrap();
    assert_eq!(state(), "1|a 2|B 3|c");
    let twice = run(upsert.as_ref(), "{\"id\": 4}\n{\"id\": 4}\n{\"id\": 5}").await.unwrap_err();
    assert!(twice.is(&codes::MERGE_KEY_REPEATED), "{twice:?}");
    assert_eq!(twice.detail_text(), Some("`4`"));
    let without = run(upsert.as_ref(), "{\"id\": null}\n{\"id\": 6}").await.unwrap_err();
    assert!(without.is(&codes::CONSTRAINT_VIOLATED), "{without:?}");
    assert_eq!(state(), "1|a 2|B 3|c");
    let no_index =
        json!({"connection": "erp", "table": "customers", "mode": "upsert", "key": "name"});
    let no_index = sink(ALL, "write_postgres", &no_index);
    let problem = run(no_index.as_ref(), "{\"id\": 7, \"name\": \"x\"}").await.unwrap_err();
    assert!(
        problem.hint_text().unwrap().contains("create unique index on \"customers\" (\"name\")")
    );
    let truncate = json!({"connection": "erp", "table": "customers", "mode": "truncate"});
    let truncate = sink(ALL, "write_postgres", &truncate);
    run(truncate.as_ref(), "{\"id\": 9, \"name\": \"z\"}").await.unwrap();
    assert_eq!(state(), "9|z");
    // New columns are added, or refused, or left out.
    let wider = "{\"id\": 10, \"name\": \"y\", \"age\": 5}";
    run(upsert.as_ref(), wider).await.unwrap();
    assert_eq!(postgres.psql("select age from customers where id = 10"), "5");
    for (policy, fits) in [("freeze", false), ("discard", true)] {
        let config = json!({"connection": "erp", "table": "customers", "schema": policy});
        let append = sink(ALL, "write_postgres", &config);
        let result = run(append.as_ref(), "{\"id\": 11, \"other\": 5}").await;
        assert_eq!(result.is_ok(), fits, "{result:?}");
    }
    assert_eq!(state(), "9|z 10|y 11|");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_existing_table_keeps_its_types_and_its_digits() {
    let Some(postgres) = Postgres::start() else { return };
    let bench = bench(postgres.port());
    postgres.psql(
        "create type mood as enum ('sad', 'glad');
         create table narrow (small smallint, n integer, code varchar(3), moment timestamp,
            feeling mood, amount numeric(8,2), made int default 42, total int generated always as (n * 2) stored)",
    );
    let narrow = sink(ALL, "write_postgres", &json!({"connection": "erp", "table": "narrow"}));
    let run = async |text: &str| write(narrow.as_ref(), &bench.context, new_request(), text).await;
    run("{\"#types\": {\"moment\": \"timestamp\"}}\n{\"small\": 7, \"n\": 8, \"code\": \"abc\", \"moment\": \"2024-01-01T00:00:00Z\"}").await.unwrap();
    run("{\"feeling\": \"glad\", \"n\": 1}").await.unwrap();
    assert_eq!(
        postgres.psql(
            "select small, n, code, moment, feeling, made, total from narrow order by n desc"
        ),
        "7|8|abc|2024-01-01 00:00:00||42|16\n|1|||glad|42|2"
    );
    for (text, code) in [
        ("{\"small\": 70000}", &codes::TYPE_MISMATCH),
        ("{\"code\": \"abcd\"}", &codes::TYPE_MISMATCH),
        ("{\"feeling\": \"bored\"}", &codes::TYPE_MISMATCH),
        ("{\"total\": 1}", &codes::SCHEMA_CHANGED),
        (
            "{\"#types\": {\"amount\": \"decimal(10,3)\"}}\n{\"amount\": \"1.005\"}",
            &codes::TYPE_MISMATCH,
        ),
        ("{\"code\": \"a\\u0000b\"}", &codes::TYPE_MISMATCH),
    ] {
        let problem = run(text).await.unwrap_err();
        assert!(problem.is(code), "{text}: {problem:?}");
    }
    assert_eq!(postgres.psql("select count(*) from narrow"), "2");
    let many: serde_json::Map<String, Value> =
        (0..1601).map(|at| (format!("c{at}"), json!(1))).collect();
    let wide = sink(ALL, "write_postgres", &json!({"connection": "erp", "table": "wide"}));
    let text = Value::Object(many).to_string();
    let problem = write(wide.as_ref(), &bench.context, new_request(), &text).await.unwrap_err();
    assert!(problem.message().contains("1601 columns"), "{problem:?}");
}

/// The statement as it goes over the line, and nothing else that has the word in it.
const COMMIT: &str = "COMMIT\0";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l_09_a_cut_line_leaves_all_rows_or_none() {
    let Some(postgres) = Postgres::start() else { return };
    let proxy = FaultProxy::start(postgres.port());
    let bench = bench(proxy.port());
    let many: String = (0..50_000).map(|id| format!("{{\"id\": {id}}}\n")).collect();
    for (number, mode) in ["append", "truncate", "upsert"].into_iter().enumerate() {
        let table = format!("public.t{number}");
        let mut config = json!({"connection": "erp", "table": table, "mode": mode});
        if mode == "upsert" {
            config["key"] = json!("id");
        }
        let table_sink = sink(ALL, "write_postgres", &config);
        write(table_sink.as_ref(), &bench.context, new_request(), "{\"id\": -1}").await.unwrap();
        let count = || postgres.psql(&format!("select count(*) from {table}"));
        for fault in [Fault::CutAfterBytes(300_000), Fault::CutBefore(COMMIT)] {
            proxy.set(fault);
            let result = write(table_sink.as_ref(), &bench.context, new_request(), &many).await;
            let problem = result.unwrap_err();
            assert!(problem.is(&codes::CONNECTION_FAILED), "{fault:?}: {problem:?}");
            assert_eq!(count(), "1", "{fault:?}");
        }
        // The server commits, and nobody hears of it: the ledger knows.
        proxy.set(Fault::LoseAnswerTo(COMMIT));
        let request = new_request();
        let committed =
            write(table_sink.as_ref(), &bench.context, request.clone(), &many).await.unwrap();
        assert_eq!(committed.rows, 50_000);
        let all = if mode == "truncate" { "50000" } else { "50001" };
        assert_eq!(count(), all);
        // Nor can anybody be asked: then it is not known, until the next attempt.
        proxy.set_then_refuse(Fault::LoseAnswerTo(COMMIT));
        let request = new_request();
        let problem = write(table_sink.as_ref(), &bench.context, request.clone(), "{\"id\": -2}")
            .await
            .unwrap_err();
        assert!(problem.is(&codes::COMMIT_UNKNOWN), "{problem:?}");
        proxy.set(Fault::None);
        let found = table_sink.committed(&bench.context, &request).await.unwrap().unwrap();
        assert_eq!((found.rows, found.already), (1, true));
    }
    let leftovers = "select count(*) from pg_class where relname like 'affluent_stage%'";
    assert_eq!(postgres.psql(leftovers), "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_input_writes_nothing() {
    let Some(postgres) = Postgres::start() else { return };
    let bench = bench(postgres.port());
    let table = sink(ALL, "write_postgres", &json!({"connection": "erp", "table": "t"}));
    let batch = rows::read("{\"id\": 1}").unwrap();
    let failing: contracts::BatchStream = Box::pin(futures::stream::iter([
        Ok(batch.clone()),
        Err(Problem::new(&codes::FILE_CORRUPT, "the file is damaged")),
    ]));
    let input = contracts::Batches::new(batch.schema(), vec![failing]);
    let problem = table.prepare(&bench.context, new_request(), input).await.err().unwrap();
    assert!(problem.is(&codes::FILE_CORRUPT));
    assert_eq!(postgres.psql("select to_regclass('t') is null"), "t");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_sinks_of_a_run_do_not_wait_for_one_another() {
    let Some(postgres) = Postgres::start() else { return };
    let bench = bench(postgres.port());
    let at_once = async |tables: [&str; 3]| {
        let prepare = async |table: &str| {
            let config = json!({"connection": "erp", "table": table});
            let input = rows::read_batches(ROWS).unwrap();
            let table = sink(ALL, "write_postgres", &config);
            table.prepare(&bench.context, new_request(), input).await.unwrap()
        };
        let prepared = futures::join!(prepare(tables[0]), prepare(tables[1]), prepare(tables[2]));
        for prepared in [prepared.0, prepared.1, prepared.2] {
            prepared.commit().await.unwrap();
        }
    };
    at_once(["marts.a", "marts.b", "marts.c"]).await;
    at_once(["marts.a", "marts.a", "marts.a"]).await;
    assert_eq!(postgres.psql("select count(*) from marts.a"), "8");
    assert_eq!(postgres.psql("select count(*) from marts.affluent_commits"), "6");
}
