//! Finding runs, by list, key and interval, and reading their logs.

use super::history::{line, name, two_homes};
use super::orchestration::{add_runs, home as home_of, run as new_run};
use crate::testing::{DAY, MINUTE, NOW, code, on_both};
use crate::{
    InWorkspace, LogFilter, LogLevel, LogLine, Run, RunFilter, RunRow, RunStatus, RunTrigger, Store,
};

#[tokio::test]
async fn runs_are_listed_by_what_is_asked_for() {
    on_both(async |store: Store| {
        let home = home_of(&store, "sales", &["even", "odd"]).await;
        let runs = home.runs();
        let mut rows = Vec::new();
        for number in 0..7 {
            let pipeline = if number % 2 == 0 { "even" } else { "odd" };
            let mut row = new_run(&home, pipeline, NOW + number * MINUTE);
            if number == 6 {
                row.started_by = RunTrigger::Manual;
            }
            if number < 2 {
                (row.status, row.ended_at_us) = (RunStatus::Failed, Some(NOW + DAY));
            }
            rows.push(row);
        }
        add_runs(&store, &rows).await;
        let minutes = async |filter: RunFilter, limit| {
            let (mut after, mut seen) = (None, Vec::new());
            loop {
                let page = runs.list(&filter, after.as_deref(), limit).await.unwrap();
                seen.extend(page.items.iter().map(|run| (run.created_at_us - NOW) / MINUTE));
                after = page.next;
                if after.is_none() {
                    return seen;
                }
            }
        };
        assert_eq!(minutes(RunFilter::default(), 3).await, [6, 5, 4, 3, 2, 1, 0]);
        let odd = RunFilter { pipeline: Some(name("odd")), ..Default::default() };
        assert_eq!(minutes(odd, 2).await, [5, 3, 1]);
        let manual = RunFilter { started_by: Some(RunTrigger::Manual), ..Default::default() };
        assert_eq!(minutes(manual, 9).await, [6]);
        let between = RunFilter {
            since_us: Some(NOW + MINUTE),
            until_us: Some(NOW + 3 * MINUTE),
            ..Default::default()
        };
        assert_eq!(minutes(between, 9).await, [2, 1]);
        let by_status = |status: &[RunStatus]| {
            let status = status.to_vec();
            minutes(RunFilter { status, ..Default::default() }, 9)
        };
        assert_eq!(by_status(&[RunStatus::Failed]).await, [1, 0]);
        assert_eq!(by_status(&[RunStatus::Failed, RunStatus::Queued]).await.len(), 7);
        assert_eq!(by_status(&[RunStatus::Skipped]).await, [0; 0]);
        let list = runs.list(&RunFilter::default(), Some("../x"), 9).await;
        assert_eq!(code(list), "request_invalid");
    })
    .await;
}

#[tokio::test]
async fn a_run_is_found_by_the_key_of_its_request_in_its_workspace() {
    on_both(async |store: Store| {
        let (home, other) = two_homes(&store).await;
        let with_key = |home: &InWorkspace, key: Option<&str>| RunRow {
            idempotency_key: key.map(str::to_owned),
            ..new_run(home, "orders", NOW)
        };
        let ours = with_key(&home, Some("once"));
        let theirs = with_key(&other, Some("once"));
        // Without a key every request is a run.
        let more = [with_key(&home, None), with_key(&home, None), with_key(&home, Some("Once"))];
        add_runs(&store, &[&[ours.clone(), theirs.clone()], &more[..]].concat()).await;
        let found = home.runs().by_key("once").await.unwrap();
        assert_eq!(found, Some(Run::from(ours.clone())));
        assert_eq!(home.runs().get(ours.id.run()).await.unwrap(), Run::from(ours));
        assert_eq!(other.runs().by_key("once").await.unwrap(), Some(Run::from(theirs)));
        assert_eq!(home.runs().by_key("on").await.unwrap(), None);
        assert_eq!(other.runs().by_key("Once").await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn intervals_are_those_of_one_pipeline_the_latest_run_last() {
    on_both(async |store: Store| {
        let home = home_of(&store, "sales", &["orders", "days"]).await;
        let row = |pipeline, at_us, end_us: Option<i64>, status| RunRow {
            interval_start_us: end_us.map(|end_us| end_us - DAY),
            interval_end_us: end_us,
            status,
            ..new_run(&home, pipeline, NOW + at_us)
        };
        // In another order than that of time, so that only the instants tell it.
        let rows = [
            row("orders", 3, Some(1), RunStatus::Succeeded),
            row("orders", 2, Some(2), RunStatus::Running),
            row("orders", 1, Some(1), RunStatus::Failed),
            row("orders", 4, None, RunStatus::Succeeded),
            row("days", 5, Some(3), RunStatus::Succeeded),
        ];
        add_runs(&store, &rows).await;
        let known = home.runs().intervals(&name("orders")).await.unwrap();
        let expected = [(1, RunStatus::Failed), (2, RunStatus::Running), (1, RunStatus::Succeeded)];
        assert_eq!(known, expected);
    })
    .await;
}

#[tokio::test]
async fn a_log_is_read_in_pages_and_by_node_level_and_text() {
    on_both(async |store: Store| {
        let home = home_of(&store, "sales", &["orders"]).await;
        let row = new_run(&home, "orders", NOW);
        add_runs(&store, std::slice::from_ref(&row)).await;
        let (runs, id) = (home.runs(), row.id.run());
        let said = |node: Option<&str>, level, message: &str| LogLine {
            node: node.map(str::to_owned),
            level,
            ..line(0, NOW, message)
        };
        let lines = vec![
            said(None, LogLevel::Info, "Began"),
            said(Some("orders"), LogLevel::Debug, "read 100% of a_b"),
            said(Some("orders"), LogLevel::Warn, "read 100 rows of axb!"),
            said(Some("Orders"), LogLevel::Error, "ÉTÉ \\ it's \"over\""),
            said(Some("days"), LogLevel::Error, "began again"),
        ];
        runs.append_log(id, lines.clone()).await.unwrap();
        // Numbers are given when lines are written.
        runs.append_log(id, vec![LogLine { seq: 1, ..line(1, NOW, "end") }]).await.unwrap();
        let read = async |filter: LogFilter| {
            let page = runs.log(id, &filter, None, 9).await.unwrap();
            page.items.iter().map(|line| line.seq).collect::<Vec<_>>()
        };
        assert_eq!(read(LogFilter::default()).await, [1, 2, 3, 4, 5, 6]);
        let with = |text: &str| LogFilter { text: Some(text.to_owned()), ..Default::default() };
        let of = |node: &str| LogFilter { node: Some(node.to_owned()), ..Default::default() };
        let by = |levels: &[LogLevel]| LogFilter { levels: levels.to_vec(), ..Default::default() };
        let cases: &[(LogFilter, &[i64])] = &[
            (of("orders"), &[2, 3, 6]),
            (of("order_"), &[]),
            (by(&[LogLevel::Error]), &[4, 5]),
            (by(&[LogLevel::Error, LogLevel::Debug]), &[2, 4, 5]),
            (with("began"), &[1, 5]),
            (with("BEGAN"), &[1, 5]),
            (with("%"), &[2]),
            (with("0% OF"), &[2]),
            (with("a_b"), &[2]),
            (with("_"), &[2]),
            (with("!"), &[3]),
            (with("\\"), &[4]),
            (with("'s \""), &[4]),
            (with("ÉTÉ"), &[4]),
            (with("nothing"), &[]),
            (with(""), &[1, 2, 3, 4, 5, 6]),
            (LogFilter { node: Some("days".to_owned()), ..with("began") }, &[5]),
            (LogFilter { levels: vec![LogLevel::Info], ..with("began") }, &[1]),
        ];
        for (filter, expected) in cases {
            assert_eq!(read(filter.clone()).await, *expected, "{filter:?}");
        }
        let page = runs.log(id, &with("read"), None, 1).await.unwrap();
        assert_eq!(page.items, [LogLine { seq: 2, ..lines[1].clone() }]);
        let page = runs.log(id, &with("read"), page.next.as_deref(), 1).await.unwrap();
        assert_eq!(page.items, [LogLine { seq: 3, ..lines[2].clone() }]);
        assert_eq!(page.next, None);
        let page = runs.log(id, &LogFilter::default(), Some("x"), 1).await;
        assert_eq!(code(page), "request_invalid");
    })
    .await;
}
