//! What can be said about the templates of a plan before anything runs.

use crate::template::{Words, references, references_of};
use crate::unfilled;
use contracts::Entry;
use contracts::action::Unfilled;
use model::pipeline::Pipeline;
use model::plan::{DATA, Plan, Task, Work};
use model::{Problem, codes};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Something that is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// The node.
    pub node: String,
    /// The path of the text below the node, such as `/with/title`.
    pub path: String,
    /// What is wrong.
    pub problem: Problem,
}

/// Everything that can be seen to be wrong with the templates of a plan: what cannot be
/// understood, and what reads things that are not there or nodes that may not have ended. `find`
/// knows all modules.
pub fn check(plan: &Plan, find: &dyn Fn(&str) -> Option<Entry>) -> Vec<Misfit> {
    let Ok(pipeline) = serde_json::from_value::<Pipeline>(plan.document.clone()) else {
        // The plan was made of it: it is readable, or nothing can be said.
        return Vec::new();
    };
    let mut misfits = Vec::new();
    for (at, task) in plan.tasks.iter().enumerate() {
        let Work::Action { module, with, .. } = &task.work else { continue };
        let Some(entry) = find(module) else { continue };
        let known = Known { plan, pipeline: &pipeline, before: before(plan, at), task };
        known.check(with, unfilled(&entry), &mut misfits);
    }
    misfits
}

/// The tasks that have ended before the task at `at` begins.
fn before(plan: &Plan, at: usize) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut next = vec![at];
    while let Some(at) = next.pop() {
        for parent in &plan.tasks[at].parents {
            let parent = usize::try_from(parent.task).unwrap_or(usize::MAX);
            if parent < plan.tasks.len() && found.insert(parent) {
                next.push(parent);
            }
        }
    }
    found
}

/// What the templates of a task may name.
struct Known<'a> {
    plan: &'a Plan,
    pipeline: &'a Pipeline,
    before: BTreeSet<usize>,
    task: &'a Task,
}

impl Known<'_> {
    fn check(
        &self,
        with: &Map<String, Value>,
        unfilled: &[(&str, Unfilled)],
        misfits: &mut Vec<Misfit>,
    ) {
        for (setting, value) in with {
            let kind = unfilled.iter().find(|(name, _)| name == setting).map(|(_, kind)| *kind);
            let mut report = |path: &str, problem: Problem| {
                let path = format!("/with/{setting}{path}");
                let problem = problem.in_node(&self.task.id);
                misfits.push(Misfit { node: self.task.id.clone(), path, problem });
            };
            let found = match (kind, value) {
                (Some(Unfilled::Verbatim), value) => {
                    if let Some(path) = template_in(value) {
                        report(&path, verbatim(setting));
                    }
                    continue;
                }
                (Some(Unfilled::Expression), Value::String(text)) => references_of(text)
                    .map(|names| names.into_iter().map(|name| (String::new(), name)).collect())
                    .map_err(|problem| (String::new(), problem)),
                (_, value) => references(value),
            };
            let has_item = kind == Some(Unfilled::EachItem);
            match found {
                Ok(found) => {
                    for (path, name) in found {
                        if let Some(problem) = self.misfit(&name, has_item) {
                            report(&path, problem);
                        }
                    }
                }
                Err((path, problem)) => report(&path, problem),
            }
        }
    }

    /// What is wrong with a name such as `outputs.load.rows`.
    fn misfit(&self, name: &str, has_item: bool) -> Option<Problem> {
        let mut words = name.split('.');
        let (first, second) = (words.next().unwrap_or_default(), words.next());
        match (first, second) {
            ("item" | "index", _) if has_item => None,
            ("params", Some(param)) => {
                let known = self.pipeline.params.keys().map(model::Name::as_str);
                unknown("parameter", param, known)
            }
            ("run", Some(field)) => unknown("field of `run`", field, Words::RUN.iter().copied()),
            ("interval", Some(field)) => {
                unknown("field of `interval`", field, ["start", "end"].into_iter())
            }
            ("outputs", Some(node)) => self.output(node),
            (first, _) => unknown("word for templates", first, Words::NAMES.iter().copied()),
        }
    }

    fn output(&self, node: &str) -> Option<Problem> {
        let at = self.plan.tasks.iter().position(|task| task.id == node).or_else(|| {
            let is_data = self.pipeline.nodes.iter().any(|known| known.id.as_str() == node);
            is_data.then(|| self.plan.tasks.iter().position(|task| task.id == DATA)).flatten()
        });
        let Some(at) = at else {
            let known = self.pipeline.nodes.iter().map(|node| node.id.as_str());
            return unknown("node", node, known);
        };
        if self.before.contains(&at) {
            return None;
        }
        let id = &self.task.id;
        let fact = format!("`{node}` need not have ended when `{id}` begins");
        Some(
            Problem::new(&codes::TEMPLATE_INVALID, fact)
                .arg("node", node)
                .hint(format!("write `after: [{node}]` at `{id}`, or at a node before it")),
        )
    }
}

fn unknown<'a>(
    what: &str,
    name: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> Option<Problem> {
    if known.clone().any(|known| known == name) {
        return None;
    }
    let hint = match stdx::text::nearest(name, known.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are {}", stdx::text::list(known)),
    };
    let problem = Problem::new(&codes::NAME_UNKNOWN, format!("there is no {what} `{name}`"));
    Some(problem.arg("name", name).hint(hint))
}

/// Where a template stands in a value, if one does.
fn template_in(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => text.contains("{{").then(String::new),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(at, item)| template_in(item).map(|path| format!("/{at}{path}"))),
        Value::Object(map) => {
            map.iter().find_map(|(key, item)| template_in(item).map(|path| format!("/{key}{path}")))
        }
        _ => None,
    }
}

fn verbatim(setting: &str) -> Problem {
    Problem::new(&codes::TEMPLATE_INVALID, format!("no template can stand in `{setting}`"))
        .hint("give the value with `params`: it then cannot change what the text means")
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::pipeline::When;
    use model::plan::Parent;
    use serde_json::json;

    fn task(id: &str, work: Work, parents: &[u32]) -> Task {
        let parents = parents.iter().map(|task| Parent { task: *task, branch: None }).collect();
        let when = When::default();
        let (retry, timeout_us, pool) = (None, None, None);
        Task { id: id.to_owned(), work, parents, when, retry, timeout_us, pool }
    }

    fn action(module: &str, with: Value) -> Work {
        let with = with.as_object().cloned().unwrap();
        Work::Action { module: module.to_owned(), with, outside: false }
    }

    /// A plan: data nodes, `first` after them, `last` with these settings after `first`, `apart`.
    fn found(module: &str, with: Value) -> Vec<String> {
        let node = |id: &str| json!({"id": id, "use": "x"});
        let document = json!({
            "affluent": 1, "kind": "pipeline", "name": "p",
            "params": {"day": {"type": "string"}},
            "nodes": [node("load"), node("write"), node("first"), node("apart"), node("last")],
        });
        let plan = Plan {
            pipeline: model::Name::new("p").unwrap(),
            hash: String::new(),
            document,
            policy: model::pipeline::RunPolicy::default(),
            tasks: vec![
                task(DATA, Work::Data, &[]),
                task("first", action("notify", json!({"title": "x"})), &[0]),
                task("apart", action("notify", json!({"title": "x"})), &[]),
                task("last", action(module, with), &[1]),
            ],
        };
        let find = |name: &str| crate::ALL.iter().find(|entry| entry.name == name).copied();
        let misfits = check(&plan, &find);
        let line = |misfit: &Misfit| {
            assert!(misfit.problem.hint_text().is_some(), "{}", misfit.problem);
            assert_eq!(misfit.node, "last");
            format!("{}: {}", misfit.path, misfit.problem.message())
        };
        misfits.iter().map(line).collect()
    }

    #[test]
    fn names_that_are_known_are_accepted() {
        let text = "{{ outputs.load.rows }} {{ outputs.first.x | default(1) }} {{ params.day }} \
                    {{ run.id }} {{ interval.start }} {{ problems | length }}";
        assert_eq!(found("notify", json!({"title": text})), [""; 0]);
        let with = json!({"items": [1], "pipeline": "p", "params": {"a": "{{ item.x + index }}"}});
        assert_eq!(found("foreach", with), [""; 0]);
        assert_eq!(found("if", json!({"condition": "outputs.write.rows > 0"})), [""; 0]);
    }

    #[test]
    fn names_that_are_not_known_are_pointed_at() {
        let cases = [
            ("{{ outputs.laod.rows }}", "there is no node `laod`"),
            ("{{ outputs.apart.rows }}", "`apart` need not have ended when `last` begins"),
            ("{{ outputs.last.rows }}", "`last` need not have ended when `last` begins"),
            ("{{ params.dya }}", "there is no parameter `dya`"),
            ("{{ run.it }}", "there is no field of `run` `it`"),
            ("{{ item }}", "there is no word for templates `item`"),
            ("{{ 1 + }}", "`1 +` cannot be understood"),
            ("{{ 1", "`{{ 1` is not closed"),
        ];
        for (text, message) in cases {
            let expected = format!("/with/title: {message}");
            assert_eq!(found("notify", json!({"title": text})), [expected], "{text}");
        }
        let condition = json!({"condition": "outputs.load.rows >"});
        let expected = "/with/condition: `outputs.load.rows >` cannot be understood";
        assert_eq!(found("if", condition), [expected]);
    }
}
