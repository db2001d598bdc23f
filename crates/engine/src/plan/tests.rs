//! Plans of pipelines: what becomes a task, who waits for whom, and what is refused.

use super::*;
use async_trait::async_trait;
use contracts::{
    ActionModule, Batches, Context, Discovery, Entry, Example, Past, ReadRequest, Source,
    SourceModule,
};
use proptest::prelude::*;
use serde_json::json;

struct Rows;

#[async_trait]
impl Source for Rows {
    async fn discover(&self, _: &Context, _: &Past) -> Result<Discovery> {
        Ok(Discovery::default())
    }

    async fn read(&self, _: &Context, _: ReadRequest) -> Result<Batches> {
        Err(Problem::new(&codes::INTERNAL, "plans read nothing"))
    }
}

impl SourceModule for Rows {
    type Config = Value;
    const NAME: &'static str = "rows";
    const SUMMARY: &'static str = "Rows.";
    const EXAMPLES: &'static [Example] = &[];

    fn build(_: Value) -> Result<Box<dyn Source>> {
        Ok(Box::new(Self))
    }
}

/// An action; `OUTSIDE` ones have no branches, the others `then` and `else`.
struct Act<const OUTSIDE: bool>;

impl<const OUTSIDE: bool> Action for Act<OUTSIDE> {
    fn branches(&self) -> Vec<Name> {
        match OUTSIDE {
            true => Vec::new(),
            false => vec![Name::new("then").unwrap(), Name::new("else").unwrap()],
        }
    }

    fn outside(&self) -> bool {
        OUTSIDE
    }
}

impl<const OUTSIDE: bool> ActionModule for Act<OUTSIDE> {
    type Config = Value;
    const NAME: &'static str = if OUTSIDE { "call" } else { "choose" };
    const SUMMARY: &'static str = "Acts.";
    const EXAMPLES: &'static [Example] = &[];

    fn build(config: Value) -> Result<Box<dyn Action>> {
        match config.get("wrong") {
            None => Ok(Box::new(Self)),
            Some(_) => Err(Problem::new(&codes::SETTING_INVALID, "wrong").in_setting("/wrong")),
        }
    }
}

fn registry() -> Registry {
    Registry::new([
        Entry::source::<Rows>(),
        Entry::action::<Act<true>>(),
        Entry::action::<Act<false>>(),
    ])
}

fn file(text: &str) -> PipelineFile {
    let text = format!("affluent: 1\nkind: pipeline\nname: p\n{text}");
    let document = Document::parse("p.yaml", &text).unwrap();
    let pipeline = document.read("").unwrap();
    PipelineFile { pipeline, document, hash: "h".to_owned() }
}

/// `task <- parent.branch parent (rule)` per task, in the order of the plan.
fn shown(text: &str) -> Vec<String> {
    let plan = plan(&file(text), &registry()).unwrap();
    let line = |task: &Task| {
        let mut line = format!("{} <-", task.id);
        for parent in &task.parents {
            line.push_str(&format!(" {}", plan.tasks[parent.task as usize].id));
            if let Some(branch) = &parent.branch {
                line.push_str(&format!(".{branch}"));
            }
        }
        match task.when {
            When::Succeeded => line,
            when => format!("{line} {when:?}"),
        }
    };
    plan.tasks.iter().map(line).collect()
}

/// `line: message` per problem.
fn refused(text: &str) -> Vec<String> {
    let problems = plan(&file(text), &registry()).unwrap_err();
    let line = |problem: &Problem| {
        assert!(problem.hint_text().is_some() || problem.message() == "wrong", "{problem}");
        // The head of the document has three lines.
        format!("{}: {}", problem.context().line.unwrap_or(0) - 3, problem.message())
    };
    problems.iter().map(line).collect()
}

#[test]
fn data_nodes_are_one_task_between_actions() {
    let text = "
nodes:
  - {id: finally, use: call, after: [load, ask], when: always}
  - {id: load, use: rows}
  - {id: more, use: rows, from: load, after: [ask.then]}
  - {id: ask, use: choose}
  - {id: alarm, use: call, after: [more], when: failed}
  - {id: other, use: call, after: [ask.else]}
";
    assert_eq!(
        shown(text),
        [
            "ask <-",
            "(data) <- ask.then",
            "finally <- ask (data) Always",
            "alarm <- (data) Failed",
            "other <- ask.else",
        ]
    );
}

#[test]
fn a_plan_carries_policy_settings_and_the_pipeline() {
    let text = "
runs: {retry: {attempts: 5}, pool: erp, priority: 7}
nodes:
  - {id: load, use: rows, with: {a: [1, null]}}
  - {id: tell, use: call, after: [load], timeout: 5m, with: {to: '{{ run.id }}'}}
";
    let file = file(text);
    let plan = plan(&file, &registry()).unwrap();
    let [data, tell] = &plan.tasks[..] else { panic!("{:?}", plan.tasks) };
    assert_eq!(data.retry.unwrap().attempts, 5);
    assert_eq!(data.pool, Some((Name::new("erp").unwrap(), 1)));
    assert_eq!((tell.timeout_us, plan.policy.priority), (Some(300_000_000), 7));
    let with = json!({"to": "{{ run.id }}"}).as_object().cloned().unwrap();
    assert_eq!(tell.work, Work::Action { module: "call".to_owned(), with, outside: true });
    let stored = serde_json::to_string(&plan).unwrap();
    let again = pipeline_file(&serde_json::from_str(&stored).unwrap()).unwrap();
    assert_eq!(json!(again.pipeline), json!(file.pipeline));
    assert_eq!(again.hash, "h");
}

#[track_caller]
fn check_refused(cases: &[(&str, &[&str])]) {
    for (text, expected) in cases {
        assert_eq!(refused(text), *expected, "{text}");
    }
}

#[test]
fn connections_that_are_not_possible_are_pointed_at() {
    check_refused(&[
        (
            "
nodes:
  - {id: a, use: call, after: [b]}
  - {id: b, use: call, after: [a, nobody]}
  - {id: c, use: call, from: a}
  - {id: d, use: choose, after: [a.then, d]}
  - {id: e, use: call, after: [d.thn]}
  - {id: f, use: call, after: [d.then, d.else]}
  - {id: g, use: call, when: failed}
",
            &[
                "5: `c` is an action and takes no rows",
                "9: `g` has `when`, but waits for nothing",
                "4: there is no node `nobody`",
                "6: `a` has no branch `then`",
                "6: `d` waits for itself",
                "7: `d` has no branch `thn`",
                "8: `d` stands twice in `after`",
            ],
        ),
        (
            "
nodes:
  - {id: a, use: rows}
  - {id: b, use: call, after: [a]}
  - {id: c, use: rows, after: [b]}
",
            &["4: the data nodes, `b` wait for one another"],
        ),
        (
            "
nodes:
  - {id: z, use: call, after: [a]}
  - {id: a, use: call, after: [b]}
  - {id: b, use: call, after: [a]}
",
            &["4: `a`, `b` wait for one another"],
        ),
    ]);
}

#[test]
fn settings_that_are_not_possible_are_pointed_at() {
    check_refused(&[
        (
            "
runs: {at_once: 2, priority: 101, retry: {attempts: 0}}
nodes:
  - {id: a, use: rows, retry: {attempts: 2}, timeout: 1s}
  - {id: b, use: rows, after: [a]}
  - {id: c, use: rows, after: [x.then]}
  - {id: d, use: rows, after: [x.else], when: always}
  - {id: x, use: choose, timeout: 0s, retry: {wait: 1h, longest: 1m}}
",
            &[
                "4: a data node has no `retry` of its own",
                "4: a data node has no `timeout` of its own",
                "8: the longest wait is shorter than the first",
                "8: nothing can be done in no time",
                "2: runs of a pipeline with data nodes take turns",
                "2: there is no such priority",
                "2: there are no such numbers of attempts",
                "5: `a` is a data node, as is the one after it",
                "7: data nodes begin under different rules",
                "7: data nodes wait for different branches",
            ],
        ),
        (
            "
runs: {at_once: 0, pool: erp}
nodes:
  - {id: a, use: call}
",
            &["2: no run could ever begin", "2: `runs.pool` is for data nodes, and there are none"],
        ),
        (
            "
nodes:
  - {id: a, use: call}
  - {id: a, use: cal}
  - {id: b, use: call, with: {wrong: 1}}
",
            &["4: two nodes are called `a`", "4: there is no module `cal`", "5: wrong"],
        ),
    ]);
}

#[test]
fn actions_are_no_part_of_the_graph() {
    let text = "
nodes:
  - {id: a, use: call}
  - {id: b, use: rows, from: a}
";
    let file = file(text);
    let found = crate::graph::Graph::build(file.pipeline.clone(), &file.document, &registry());
    let problems = found.err().unwrap();
    assert_eq!(problems[0].message(), "`a` is an action and gives no rows");
    let file = self::file("\nnodes:\n  - {id: a, use: call}\n");
    let graph = crate::graph::Graph::build(file.pipeline, &file.document, &registry());
    assert!(graph.ok().unwrap().nodes.is_empty());
}

/// Nodes in any order: whether each is data, and which of the others it waits for. Actions wait
/// only for what comes later in a hidden order, data nodes for nothing.
fn documents() -> impl Strategy<Value = (Vec<bool>, Vec<Vec<usize>>, Vec<usize>)> {
    (1..12_usize).prop_flat_map(|count| {
        (
            prop::collection::vec(any::<bool>(), count),
            prop::collection::vec(prop::collection::vec(0..count, 0..4), count),
            Just((0..count).collect::<Vec<_>>()).prop_shuffle(),
        )
    })
}

proptest! {
    #[test]
    fn parents_come_first_and_nothing_is_lost((data, after, order) in documents()) {
        let mut text = "nodes:\n".to_owned();
        for at in &order {
            let before: std::collections::BTreeSet<usize> =
                after[*at].iter().copied().filter(|from| from < at && !data[*at]).collect();
            let before: Vec<String> = before.iter().map(|from| format!("n{from}")).collect();
            let module = if data[*at] { "rows" } else { "call" };
            text.push_str(&format!(
                "  - {{id: n{at}, use: {module}, after: [{}]}}\n", before.join(", "),
            ));
        }
        let file = file(&text);
        let plan = plan(&file, &registry()).unwrap();
        let actions = data.iter().filter(|is_data| !**is_data).count();
        prop_assert_eq!(plan.tasks.len(), actions + usize::from(actions < data.len()));
        for (at, task) in plan.tasks.iter().enumerate() {
            for parent in &task.parents {
                prop_assert!((parent.task as usize) < at);
            }
            let node = file.pipeline.nodes.iter().find(|node| node.id.as_str() == task.id);
            let Some(node) = node else { continue };
            let wanted: std::collections::BTreeSet<&str> = node.after.iter().map(|reference| {
                let place: usize = reference.node.as_str()[1..].parse().unwrap();
                if data[place] { DATA } else { reference.node.as_str() }
            }).collect();
            let found: Vec<&str> =
                task.parents.iter().map(|p| plan.tasks[p.task as usize].id.as_str()).collect();
            prop_assert_eq!(found.len(), wanted.len());
            prop_assert!(found.iter().all(|id| wanted.contains(id)));
        }
    }
}
