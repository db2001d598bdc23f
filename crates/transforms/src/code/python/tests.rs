//! Functions in real child processes; skipped where no Python with pyarrow is found.

use super::*;
use arrow::array::RecordBatch;
use contracts::rejects::{Reject, RejectSink};
use contracts::table::{
    Maintenance, MaintenanceReport, TableCommit, TableFile, TableInfo, TableStore, TableWrite,
};
use contracts::{Prepared, rows};
use futures::StreamExt;
use futures::stream;
use model::run::{CommitKey, Committed};
use model::{Name, TableName};
use serde_json::{Value, json};
use std::process::Command;

struct Nothing;

impl RejectSink for Nothing {
    fn reject(&self, _reject: Reject) -> Result<()> {
        Ok(())
    }
}

fn none<T>() -> Result<T> {
    Err(Problem::new(&codes::INTERNAL, "there is no lake here"))
}

#[async_trait]
impl TableStore for Nothing {
    async fn list(&self) -> Result<Vec<TableName>> {
        none()
    }

    async fn describe(&self, _: &TableName, _: Option<u64>) -> Result<Option<TableInfo>> {
        none()
    }

    async fn read(&self, _: &TableName, _: u64, _: usize) -> Result<Batches> {
        none()
    }

    async fn committed(&self, _: &TableName, _: &CommitKey) -> Result<Option<Committed>> {
        none()
    }

    async fn check_replaceable(&self, _: &TableName, _: &CommitKey) -> Result<()> {
        none()
    }

    async fn prepare(&self, _: TableWrite, _: Batches) -> Result<Box<dyn Prepared>> {
        none()
    }

    async fn history(&self, _: &TableName) -> Result<Vec<TableCommit>> {
        none()
    }

    async fn files(&self, _: &TableName, _: Option<u64>) -> Result<Vec<TableFile>> {
        none()
    }

    async fn maintain(&self, _: &TableName, _: Maintenance) -> Result<MaintenanceReport> {
        none()
    }
}

/// A Python with pyarrow: that of the project's own tools, or the system's.
fn python() -> Option<String> {
    let home = std::env::var("HOME").unwrap_or_default();
    let candidates = [format!("{home}/.cache/affluent/venv/bin/python"), "python3".to_owned()];
    let has_pyarrow = |program: &String| {
        let output = Command::new(program).args(["-c", "import pyarrow"]).output();
        output.is_ok_and(|output| output.status.success())
    };
    let found = candidates.into_iter().find(has_pyarrow);
    if found.is_none() {
        println!("skipped: there is no Python with pyarrow");
    }
    found
}

fn context() -> Context {
    let folder = std::env::temp_dir();
    Context {
        project: folder.clone(),
        state: folder.join("affluent-python-test"),
        landing: folder.clone(),
        allowed_paths: Vec::new(),
        confined: false,
        workspace: Name::new("test").unwrap(),
        time_zone: "Europe/Paris".to_owned(),
        threads: 2,
        memory_bytes: 1 << 30,
        connections: Arc::default(),
        tables: Arc::new(Nothing),
    }
}

fn step(settings: Value) -> Box<dyn Operator> {
    Python::build(serde_json::from_value(settings).unwrap()).unwrap()
}

fn batches(text: &str) -> Batches {
    let batch = rows::read(text).unwrap();
    let half = batch.num_rows() / 2;
    let parts = [batch.slice(0, half), batch.slice(half, batch.num_rows() - half)];
    let partitions = parts.map(|part: RecordBatch| stream::iter([Ok(part)]).boxed());
    Batches::new(batch.schema(), partitions.into())
}

async fn run(settings: Value, inputs: &[(&str, &str)]) -> Result<String> {
    let inputs = inputs.iter().map(|(name, text)| ((*name).to_owned(), batches(text))).collect();
    let request = OperatorRequest { inputs, rejects: Arc::new(Nothing) };
    let result = step(settings).run(&context(), request).await?;
    rows::write(&result.collect().await?)
}

#[tokio::test]
async fn examples_give_what_they_promise() {
    let Some(python) = python() else { return };
    for example in Python::EXAMPLES {
        let mut settings: Value = serde_json::from_str(example.config).unwrap();
        settings["interpreter"] = json!(python);
        let result = run(settings, example.inputs).await.unwrap();
        let read = |text: &str| -> Vec<Value> {
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        assert_eq!(read(&result), read(example.outputs[0].1), "{}", example.title);
    }
}

#[tokio::test]
async fn several_tables_and_all_types_go_there_and_back() {
    let Some(python) = python() else { return };
    let code = "def transform(tables):\n    print('to stderr')\n    \
                b = tables['b'].sort_by('id')\n    a = tables['a'].sort_by('id')\n    \
                return a.append_column('l', b['l']).append_column('name', b['name'])\n";
    let columns = json!({"id": "integer", "d": "decimal(12,2)", "t": "timestamp",
                         "l": "list<string>", "name": "string"});
    let settings = json!({"code": code, "columns": columns, "interpreter": python});
    let a = "{\"#types\": {\"d\": \"decimal(12,2)\", \"t\": \"timestamp\"}}\n\
             {\"id\": 1, \"d\": \"10.50\", \"t\": \"2026-01-31T10:00:00Z\"}\n\
             {\"id\": 2, \"d\": null, \"t\": null}";
    let b = "{\"id\": 2, \"name\": \"two\", \"l\": [\"x\"]}\n\
             {\"id\": 1, \"name\": \"one\", \"l\": []}";
    let result = run(settings, &[("a", a), ("b", b)]).await.unwrap();
    assert_eq!(
        result,
        "{\"id\":1,\"d\":\"10.50\",\"t\":\"2026-01-31T10:00:00Z\",\"l\":[],\"name\":\"one\"}\n\
         {\"id\":2,\"d\":null,\"t\":null,\"l\":[\"x\"],\"name\":\"two\"}\n"
    );
}

#[tokio::test]
async fn rows_come_in_the_order_of_their_origin_or_batch_by_batch() {
    let Some(python) = python() else { return };
    let rows = "{\"_row\": 3, \"n\": 30}\n{\"_row\": 1, \"n\": 10}\n{\"_row\": 2, \"n\": 20}";
    let code = "def transform(table):\n    return [{'n': n} for n in table['n'].to_pylist()]\n";
    let columns = json!({"n": "integer"});
    let settings = json!({"code": code, "columns": columns, "interpreter": python});
    let result = run(settings, &[("rows", rows)]).await.unwrap();
    assert_eq!(result, "{\"n\":10}\n{\"n\":20}\n{\"n\":30}\n");
    let code = "calls = 0\ndef transform(table):\n    global calls\n    calls += 1\n    \
                return [{'n': calls} for _ in range(table.num_rows)]\n";
    let settings =
        json!({"code": code, "columns": columns, "interpreter": python, "calls": "batches"});
    let result = run(settings, &[("rows", rows)]).await.unwrap();
    assert_eq!(result, "{\"n\":1}\n{\"n\":2}\n{\"n\":2}\n");
}

#[tokio::test]
async fn failures_say_what_to_do() {
    let Some(python) = python() else { return };
    let failure = async |code: &str, more: Value| {
        let mut settings = json!({"code": code, "interpreter": python});
        for (name, value) in more.as_object().unwrap() {
            settings[name] = value.clone();
        }
        let problem = run(settings, &[("rows", "{\"n\": 1}")]).await.unwrap_err();
        assert!(problem.is(&codes::CHILD_FAILED), "{problem}");
        problem
    };
    let problem = failure("def transform(table):\n    return 1 / 0\n", json!({})).await;
    assert_eq!(
        problem.message(),
        "the Python function failed: ZeroDivisionError: division by zero"
    );
    let detail = problem.to_string();
    assert!(
        detail.contains("File \"code\", line 2") && detail.contains("return 1 / 0"),
        "{detail}"
    );
    assert!(!detail.contains("transform(argument)"), "{detail}");
    let problem = failure("transform = 1", json!({})).await;
    assert_eq!(problem.message(), "the Python function failed: there is no function `transform`");
    let problem = failure("def transform(t):\n    return t.drop_columns('n')\n", json!({})).await;
    assert_eq!(
        problem.message(),
        "the result of the Python function is wrong: the result has no column `n`"
    );
    let problem = failure("def transform(t):\n    return [{'n': 'x'}]\n", json!({})).await;
    assert!(problem.message().contains("the column `n` is not int64"), "{problem}");
    let hog = "def transform(t):\n    return bytearray(2 ** 31)\n";
    let problem = failure(hog, json!({"memory_mib": 1024})).await;
    assert_eq!(problem.message(), "the Python process needs more memory than 1024 MiB");
    let sleeper = "import time\ndef transform(t):\n    time.sleep(60)\n";
    let problem = failure(sleeper, json!({"timeout_seconds": 1})).await;
    assert_eq!(problem.message(), "the Python process did not end within 1 seconds");
}

#[tokio::test]
async fn a_problem_with_the_input_is_told_as_it_is() {
    let Some(python) = python() else { return };
    let good = batches("{\"n\": 1}");
    let problem = Problem::new(&codes::FILE_CORRUPT, "`a.csv` is damaged");
    let bad = stream::iter([Err(problem.clone())]).boxed();
    let inputs = vec![("rows".to_owned(), Batches::new(good.schema.clone(), vec![bad]))];
    let request = OperatorRequest { inputs, rejects: Arc::new(Nothing) };
    let settings = json!({"code": "def transform(t):\n    return t\n", "interpreter": python});
    let result = step(settings).run(&context(), request).await.unwrap().collect().await;
    assert_eq!(result.unwrap_err(), problem);
}

#[tokio::test]
async fn a_python_that_is_not_there_is_named() {
    let settings = json!({"code": "def transform(t): return t", "interpreter": "no-such-python"});
    let problem = run(settings, &[("rows", "{\"n\": 1}")]).await.unwrap_err();
    assert_eq!(problem.message(), "the program `no-such-python` does not run");
    let settings = json!({"code": "def transform(t): return t", "interpreter": "true"});
    let problem = run(settings, &[("rows", "{\"n\": 1}")]).await.unwrap_err();
    assert_eq!(problem.message(), "`true` is not a Python program");
}

#[test]
fn bad_settings_are_named() {
    let refused = |settings: Value| {
        let problem = Python::build(serde_json::from_value(settings).unwrap()).err().unwrap();
        format!("{}: {problem}", problem.context().setting.clone().unwrap_or_default())
    };
    assert_eq!(refused(json!({})), "/code: there is no Python code");
    assert_eq!(refused(json!({"code": "print(1)"})), "/code: the code has no function `transform`");
    assert_eq!(
        refused(json!({"code_file": "a.py", "requirements": ["--index-url=x"]})),
        "/requirements/0: `--index-url=x` is not a package"
    );
    let two = Inputs {
        list: vec![
            crate::testing::input("a", "n: integer"),
            crate::testing::input("b", "n: integer"),
        ],
        ..Inputs::default()
    };
    let problem = step(json!({"code_file": "a.py"})).schema(&two).unwrap_err();
    assert_eq!(problem.context().setting.as_deref(), Some("/columns"));
}
