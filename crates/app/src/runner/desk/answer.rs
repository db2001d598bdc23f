//! Answers: one function per question, over a workbench that stays open.

mod documents;
mod modules;
mod query;
mod rows;
mod tables;

use super::wire::Asked;
use crate::workbench::{Settings, Workbench};
use crate::workspace::Documents;
use model::{Name, Problem, Result};
use serde::Serialize;
use serde_json::Value;
use server::Question;
use std::collections::HashMap;
use std::io::Write;

/// Workspaces whose tables are kept open.
const OPEN_MAX: usize = 16;

/// Writes the bytes of an answer.
pub(super) type Bytes = Box<dyn FnOnce(Box<dyn Write + Send>) -> Result<()> + Send>;

type Answered = Result<(Value, Option<Bytes>), Vec<Problem>>;

/// What a desk works with.
pub(super) struct Bench {
    settings: Settings,
    /// Tables of workspaces, without documents: opening them again would read their logs again.
    open: HashMap<Name, Workbench>,
}

impl Bench {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, open: HashMap::new() }
    }

    /// Memory of an operation, in bytes.
    pub(super) fn memory_bytes(&self) -> Result<u64> {
        let limits = crate::workspace::limits(&self.settings)?;
        Ok(self.settings.memory_mib.unwrap_or(limits.memory_mib) << 20)
    }

    fn tables(&mut self, workspace: &Name) -> Result<&Workbench, Vec<Problem>> {
        if !self.open.contains_key(workspace) {
            if self.open.len() >= OPEN_MAX {
                self.open.clear();
            }
            let opened = Workbench::open_for(&self.settings, workspace, &Documents::None)?;
            self.open.insert(workspace.clone(), opened);
        }
        Ok(&self.open[workspace])
    }

    fn documents(
        &self,
        workspace: &Name,
        documents: Option<server::Documents>,
    ) -> Result<Workbench, Vec<Problem>> {
        let documents = documents.map_or(Documents::OfFolder, Documents::These);
        Workbench::open_for(&self.settings, workspace, &documents)
    }
}

fn value(answer: impl Serialize) -> Answered {
    match serde_json::to_value(answer) {
        Ok(value) => Ok((value, None)),
        Err(error) => Err(vec![super::wire::untalkable(error)]),
    }
}

/// Answers a question.
pub(super) async fn answer(bench: &mut Bench, asked: Asked) -> Answered {
    let Asked { workspace, question } = asked;
    let one = |problem: Problem| vec![problem];
    match question {
        Question::Query(query) => {
            value(query::keep(bench.tables(&workspace)?, query).await.map_err(one)?)
        }
        Question::Page(page) => query::page(page),
        Question::Tables { after, limit } => {
            value(tables::list(bench.tables(&workspace)?, after, limit).await.map_err(one)?)
        }
        Question::Table(wanted) => {
            value(tables::one(bench.tables(&workspace)?, &wanted).await.map_err(one)?)
        }
        Question::Versions { table } => {
            value(tables::versions(bench.tables(&workspace)?, &table).await.map_err(one)?)
        }
        Question::Statistics(wanted) => {
            value(tables::statistics(bench.tables(&workspace)?, &wanted).await.map_err(one)?)
        }
        Question::Sample(wanted) => {
            value(tables::sample(bench.tables(&workspace)?, &wanted).await.map_err(one)?)
        }
        Question::Difference(wanted) => {
            value(tables::difference(bench.tables(&workspace)?, &wanted).await.map_err(one)?)
        }
        Question::Profile(wanted) => {
            value(tables::profile(bench.tables(&workspace)?, wanted).await.map_err(one)?)
        }
        Question::Lineage(wanted) => {
            let workbench = bench.documents(&workspace, wanted.documents)?;
            value(documents::lineage(&workbench, &wanted.table, wanted.column.as_deref()).await?)
        }
        Question::Check(check) => {
            let opened = bench.documents(&workspace, check.documents);
            value(documents::check(opened).await)
        }
        Question::Plans(wanted) => {
            let workbench = bench.documents(&workspace, Some(wanted.documents))?;
            value(documents::plans(&workbench)?)
        }
        Question::Explain(wanted) => {
            let workbench = bench.documents(&workspace, wanted.documents)?;
            value(documents::explain(&workbench, &wanted.pipeline, wanted.node).await?)
        }
        Question::Preview(wanted) => {
            let workbench = bench.documents(&workspace, wanted.documents.clone())?;
            value(documents::preview(&workbench, &wanted).await?)
        }
        Question::Modules => value(modules::all()),
    }
}
