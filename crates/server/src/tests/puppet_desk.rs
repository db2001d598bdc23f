//! A desk that knows a few answers by heart.

use crate::desk::{Answer, Desk, Question};
use api::query::RowFormat;
use async_trait::async_trait;
use model::{Name, Problem, Result, codes};
use serde_json::{Value, json};
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

#[derive(Clone, Default)]
pub(super) struct PuppetDesk {
    /// What was asked, in order.
    pub(super) asked: Arc<Mutex<Vec<(Name, Question)>>>,
    /// Questions that are being answered.
    pub(super) at_work: Arc<AtomicUsize>,
    /// What it finds wrong with documents.
    pub(super) problems: Arc<Mutex<Vec<Problem>>>,
}

/// Counts a question as long as it lives.
struct AtWork(Arc<AtomicUsize>);

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Desk for PuppetDesk {
    async fn ask(&self, workspace: &Name, question: Question) -> Result<Answer> {
        self.asked.lock().unwrap().push((workspace.clone(), question.clone()));
        self.at_work.fetch_add(1, Ordering::SeqCst);
        let _at_work = AtWork(Arc::clone(&self.at_work));
        let value = match question {
            Question::Query(query) if query.sql == "select endless" => {
                std::future::pending::<()>().await;
                Value::Null
            }
            Question::Query(query) if query.sql.starts_with("select") => {
                fs::write(&query.file, "rows").unwrap();
                let cut = (query.rows_max < 3).then_some("rows");
                json!({"columns": columns(), "rows": query.rows_max.min(3), "bytes": 4, "cut": cut})
            }
            Question::Query(_) => {
                return Err(
                    Problem::new(&codes::SQL_SYNTAX, "this is no SELECT").hint("write one SELECT")
                );
            }
            Question::Page(page) => {
                fs::read(&page.file).unwrap();
                if page.format != RowFormat::Json {
                    return Ok(Answer { value: Value::Null, body: Some(bytes().await) });
                }
                let rows = (0..3).skip(page.after as usize).take(page.limit as usize);
                let items: Vec<Value> = rows.map(|id| json!({"id": id})).collect();
                json!({"columns": columns(), "items": items})
            }
            Question::Tables { after, limit } => {
                let names = ["bronze.orders", "gold.daily", "silver.orders"];
                let later =
                    names.into_iter().filter(|name| after.as_deref().is_none_or(|a| *name > a));
                later.take(limit as usize).map(table).collect()
            }
            Question::Table(wanted) if wanted.table.to_string() == "silver.orders" => {
                table("silver.orders")
            }
            Question::Versions { .. } => (0..3)
                .rev()
                .map(|version| {
                    json!({"version": version, "time_us": version, "operation": "WRITE",
                        "metadata": {"affluent.pipeline": "quick"}})
                })
                .collect(),
            Question::Check(_) => {
                let problems = self.problems.lock().unwrap();
                json!(problems.iter().map(Problem::to_stored).collect::<Vec<_>>())
            }
            Question::Modules => json!([]),
            Question::Plans(_) => json!([]),
            Question::Explain(_) => json!({"nodes": []}),
            Question::Lineage(_) => json!({"items": []}),
            _ => {
                return Err(Problem::new(&codes::TABLE_NOT_FOUND, "there is no such table")
                    .hint("look it up"));
            }
        };
        Ok(Answer { value, body: None })
    }
}

fn columns() -> Value {
    json!([{"name": "id", "type": "integer", "nullable": false}])
}

fn table(name: &str) -> Value {
    json!({"table": name, "version": 2, "rows": 3, "bytes": 4, "files": 1, "partition_by": [],
        "constraints": {}, "columns": columns()})
}

async fn bytes() -> mpsc::Receiver<Result<Vec<u8>>> {
    let (sender, bytes) = mpsc::channel(4);
    for part in ["id\n0\n", "1\n2\n"] {
        sender.send(Ok(part.as_bytes().to_vec())).await.unwrap();
    }
    bytes
}
