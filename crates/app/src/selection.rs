//! Which pipelines to run, and in which order.

use engine::graph::Graph;
use model::{Name, Problem, Result, TableName, codes};
use std::collections::{BTreeMap, BTreeSet};

/// Which pipelines must have run before which.
pub struct Dependencies {
    before: BTreeMap<Name, BTreeSet<Name>>,
}

impl Dependencies {
    /// From what pipelines say (`after`) and from the tables they read and write.
    pub fn new(graphs: &BTreeMap<Name, Graph>) -> Self {
        let mut writers: BTreeMap<TableName, BTreeSet<Name>> = BTreeMap::new();
        for (name, graph) in graphs {
            for node in graph.nodes.iter().filter(|node| !node.is_implicit) {
                if let Some(table) = node.table() {
                    writers.entry(table).or_default().insert(name.clone());
                }
            }
        }
        let before = graphs.iter().map(|(name, graph)| {
            let tables = graph.tables_read();
            let by_table = tables.iter().filter_map(|table| writers.get(table)).flatten();
            let mut before: BTreeSet<Name> =
                graph.pipeline.after.iter().chain(by_table).cloned().collect();
            before.remove(name);
            (name.clone(), before)
        });
        Self { before: before.collect() }
    }

    /// Pipelines that must have run before `name`.
    pub fn before(&self, name: &Name) -> impl Iterator<Item = &Name> {
        self.before.get(name).into_iter().flatten()
    }

    /// The chosen ones so that each comes after those it needs.
    pub fn order(&self, chosen: &BTreeSet<Name>) -> Result<Vec<Name>> {
        let mut ordered: Vec<Name> = Vec::new();
        while ordered.len() < chosen.len() {
            let ready = chosen.iter().find(|name| {
                !ordered.contains(name)
                    && self.before(name).all(|b| !chosen.contains(b) || ordered.contains(b))
            });
            match ready {
                Some(name) => ordered.push(name.clone()),
                None => {
                    let stuck = chosen.iter().filter(|name| !ordered.contains(name));
                    let names = stdx::text::list(stuck.map(Name::as_str));
                    let fact = format!("pipelines {names} wait for one another");
                    return Err(Problem::new(&codes::GRAPH_CYCLE, fact)
                        .hint("no pipeline may read a table that is made from its own"));
                }
            }
        }
        Ok(ordered)
    }

    fn upstream(&self, name: &Name, found: &mut BTreeSet<Name>) {
        for before in self.before(name) {
            if self.before.contains_key(before) && found.insert(before.clone()) {
                self.upstream(before, found);
            }
        }
    }

    fn downstream(&self, name: &Name, found: &mut BTreeSet<Name>) {
        for (after, before) in &self.before {
            if before.contains(name) && found.insert(after.clone()) {
                self.downstream(after, found);
            }
        }
    }
}

/// The pipelines that `selectors` mean: `name`, `+name` (and what it needs), `name+` (and what
/// needs it), `tag:x`, `changed`. No selector means all.
pub fn select(
    selectors: &[String],
    graphs: &BTreeMap<Name, Graph>,
    dependencies: &Dependencies,
    is_changed: impl Fn(&Name) -> Result<bool>,
) -> Result<Vec<Name>> {
    let mut chosen = BTreeSet::new();
    if selectors.is_empty() {
        chosen.extend(graphs.keys().cloned());
    }
    for selector in selectors {
        if let Some(tag) = selector.strip_prefix("tag:") {
            let before = chosen.len();
            let tagged = graphs.iter().filter(|(_, g)| g.pipeline.tags.iter().any(|t| t == tag));
            chosen.extend(tagged.map(|(name, _)| name.clone()));
            if chosen.len() == before {
                return Err(unknown_tag(tag, graphs));
            }
            continue;
        }
        if selector == "changed" {
            for name in graphs.keys() {
                if is_changed(name)? {
                    chosen.insert(name.clone());
                }
            }
            continue;
        }
        let bare = selector.trim_matches('+');
        let name = graphs.keys().find(|name| name.as_str() == bare);
        let name = name.ok_or_else(|| unknown_pipeline(bare, graphs))?;
        if selector.starts_with('+') {
            dependencies.upstream(name, &mut chosen);
        }
        if selector.ends_with('+') {
            dependencies.downstream(name, &mut chosen);
        }
        chosen.insert(name.clone());
    }
    dependencies.order(&chosen)
}

fn unknown_pipeline(name: &str, graphs: &BTreeMap<Name, Graph>) -> Problem {
    let known = graphs.keys().map(Name::as_str);
    let hint = match stdx::text::nearest(name, known.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("pipelines are {}", stdx::text::list(known)),
    };
    Problem::new(&codes::NAME_UNKNOWN, format!("there is no pipeline `{name}`"))
        .arg("pipeline", name)
        .hint(hint)
}

fn unknown_tag(tag: &str, graphs: &BTreeMap<Name, Graph>) -> Problem {
    let known: BTreeSet<&str> =
        graphs.values().flat_map(|graph| &graph.pipeline.tags).map(String::as_str).collect();
    Problem::new(&codes::NAME_UNKNOWN, format!("no pipeline has the tag `{tag}`"))
        .arg("tag", tag)
        .hint(format!("tags are {}", stdx::text::list(known)))
}
