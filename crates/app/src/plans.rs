//! Plans of pipelines: what the engine plans, and what only all crates together can check.

use contracts::Build;
use engine::project::PipelineFile;
use engine::registry::Registry;
use model::pipeline::Pipeline;
use model::plan::{Plan, Work};
use model::{Name, Problem, codes};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The plan of a pipeline, its templates checked.
pub(crate) fn plan(file: &PipelineFile, registry: &Registry) -> Result<Plan, Vec<Problem>> {
    let plan = engine::plan::plan(file, registry)?;
    let misfits = actions::check(&plan, &|name| registry.get(name).ok().copied());
    let problems = misfits.into_iter().map(|misfit| {
        let problem = misfit.problem.in_pipeline(&file.pipeline.name);
        locate(file, &misfit.node, &misfit.path, problem)
    });
    let problems: Vec<Problem> = problems.collect();
    if problems.is_empty() { Ok(plan) } else { Err(problems) }
}

/// The plans of all pipelines of a project, which start only pipelines that there are, and not
/// one another in a circle.
pub(crate) fn plans(
    files: &BTreeMap<Name, PipelineFile>,
    registry: &Registry,
) -> Result<BTreeMap<Name, Plan>, Vec<Problem>> {
    let (mut plans, mut problems) = (BTreeMap::new(), Vec::new());
    for (name, file) in files {
        match plan(file, registry) {
            Ok(plan) => drop(plans.insert(name.clone(), plan)),
            Err(found) => problems.extend(found),
        }
    }
    let starts: BTreeMap<&Name, Vec<(String, Name)>> =
        plans.iter().map(|(name, plan)| (name, started(plan, registry))).collect();
    for (name, started) in &starts {
        for (node, target) in started {
            if let Some(problem) = misdirected(name, target, files, &starts) {
                let problem = problem.in_node(node).in_pipeline(name);
                problems.push(locate(&files[*name], node, "/with/pipeline", problem));
            }
        }
    }
    if problems.is_empty() { Ok(plans) } else { Err(problems) }
}

/// Nodes of a pipeline that are actions.
pub(crate) fn actions_of<'a>(pipeline: &'a Pipeline, registry: &Registry) -> Vec<&'a Name> {
    let actions = pipeline.nodes.iter().filter(|node| registry.is_action(&node.module));
    actions.map(|node| &node.id).collect()
}

fn locate(file: &PipelineFile, node: &str, path: &str, problem: Problem) -> Problem {
    let at = file.pipeline.nodes.iter().position(|known| known.id.as_str() == node);
    file.document.locate(problem, &format!("/nodes/{}{path}", at.unwrap_or(0)))
}

/// Nodes of a plan that start pipelines.
fn started(plan: &Plan, registry: &Registry) -> Vec<(String, Name)> {
    let mut found = Vec::new();
    for task in &plan.tasks {
        let Work::Action { module, with, .. } = &task.work else { continue };
        let entry = registry.get(module).map(|entry| entry.build);
        let Ok(Build::Action(build, _)) = entry else { continue };
        // The plan was made with these settings, so they build.
        let Ok(action) = build(&Value::Object(with.clone())) else { continue };
        found.extend(action.pipelines().into_iter().map(|name| (task.id.clone(), name)));
    }
    found
}

fn misdirected(
    from: &Name,
    target: &Name,
    files: &BTreeMap<Name, PipelineFile>,
    starts: &BTreeMap<&Name, Vec<(String, Name)>>,
) -> Option<Problem> {
    if !files.contains_key(target) {
        let known = files.keys().map(Name::as_str);
        let hint = match stdx::text::nearest(target.as_str(), known.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("pipelines are {}", stdx::text::list(known)),
        };
        let fact = format!("there is no pipeline `{target}`");
        return Some(Problem::new(&codes::NAME_UNKNOWN, fact).arg("pipeline", target).hint(hint));
    }
    let mut reached: BTreeSet<&Name> = BTreeSet::new();
    let mut next = vec![target];
    while let Some(name) = next.pop() {
        if name == from {
            let fact = format!("`{from}` starts `{target}`, which starts `{from}` again");
            return Some(
                Problem::new(&codes::GRAPH_CYCLE, fact)
                    .hint("runs would start runs for ever: take one of the starts out"),
            );
        }
        if reached.insert(name) {
            next.extend(starts.get(name).into_iter().flatten().map(|(_, name)| name));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workbench::registry;
    use model::yaml::Document;

    fn files(texts: &[&str]) -> BTreeMap<Name, PipelineFile> {
        let read = |text: &&str| {
            let text = format!("affluent: 1\nkind: pipeline\n{text}");
            let document = Document::parse("p.yaml", &text).unwrap();
            let pipeline: Pipeline = document.read("").unwrap();
            let name = pipeline.name.clone();
            (name, PipelineFile { pipeline, document, hash: String::new() })
        };
        texts.iter().map(read).collect()
    }

    fn refused(texts: &[&str]) -> Vec<String> {
        let problems = plans(&files(texts), &registry()).unwrap_err();
        let line = |problem: &Problem| {
            assert!(problem.hint_text().is_some(), "{problem}");
            let place = problem.context();
            format!("{}:{}: {}", place.line.unwrap(), place.column.unwrap(), problem.message())
        };
        problems.iter().map(line).collect()
    }

    #[test]
    fn templates_are_checked_where_they_stand() {
        let text = "name: a
nodes:
  - id: tell
    use: notify
    with:
      title: fine
      text: \"{{ outputs.laod.rows }}\"
";
        assert_eq!(refused(&[text]), ["9:13: there is no node `laod`"]);
    }

    #[test]
    fn the_pipeline_of_the_book_is_right() {
        let page = include_str!("../../../docs/src/how-to/control-a-pipeline.md");
        let start = page.find("```yaml\n").unwrap() + "```yaml\n".len();
        let text = &page[start..start + page[start..].find("```").unwrap()];
        let document = Document::parse("nightly.yaml", text).unwrap();
        let pipeline: Pipeline = document.read("").unwrap();
        let file = PipelineFile { pipeline, document, hash: String::new() };
        let plan = plan(&file, &registry()).unwrap();
        let tasks: Vec<&str> = plan.tasks.iter().map(|task| task.id.as_str()).collect();
        assert_eq!(
            tasks,
            ["delivered", "(data)", "any", "ask", "shops", "reports", "alarm", "release"]
        );
    }

    #[test]
    fn pipelines_that_are_started_are_there_and_do_not_start_one_another() {
        let starts = |name: &str, target: &str| {
            let node = format!("{{id: go, use: run_pipeline, with: {{pipeline: {target}}}}}");
            format!("name: {name}\nnodes:\n  - {node}\n")
        };
        let (a, b, c) = (starts("a", "b"), starts("b", "c"), starts("c", "b"));
        let found = refused(&[&a, &b, &c]);
        assert_eq!(
            found,
            [
                "5:50: `b` starts `c`, which starts `b` again",
                "5:50: `c` starts `b`, which starts `c` again",
            ]
        );
        assert_eq!(refused(&[&a]), ["5:50: there is no pipeline `b`"]);
        let plain = "name: c\nnodes: [{id: w, use: wait, with: {for: 1s}}]\n";
        assert_eq!(plans(&files(&[&a, &b, plain]), &registry()).unwrap().len(), 3);
    }
}
