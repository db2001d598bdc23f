//! The first mistakes people make: each is made here, and the message they see is collected in
//! `docs/src/reference/mistakes.md`, to be read as text. `AFFLUENT_UPDATE=1` writes the page anew.

use crate::program::Project;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

const PIPELINE: &str = r#"affluent: 1
kind: pipeline
name: sales
params:
  since: {type: date, default: "2026-01-01"}
nodes:
  - {id: orders, use: csv, with: {path: data/orders.csv}}
  - id: typed
    use: cast
    from: orders
    with:
      columns:
        order_id: integer
        ordered_on: {type: date, format: "%d/%m/%Y"}
        amount: {type: "decimal(12,2)", decimal: ","}
  - {id: valid, use: validate, from: typed, with: {checks: [{not_null: [order_id]}]}}
  - {id: silver, use: write_table, from: valid, with: {table: silver.orders, mode: merge, key: [order_id]}}
  - {id: daily, use: sql, from: silver, with: {query: "select ordered_on, sum(amount) as revenue from silver where ordered_on >= $since group by ordered_on"}}
  - {id: gold, use: write_table, from: daily, with: {table: gold.daily, mode: overwrite}}
"#;

const PROJECT: &str = "affluent: 1\nname: shop\nenvironments:\n  test: {lake: lake_test}\n";
const DATA: &str =
    "order_id;ordered_on;amount;status\n1;31/01/2026;12,50;paid\n2;01/02/2026;7,00;sent\n";
const FILE: &str = "pipelines/sales.yaml";

/// Something a person does, and what they type then.
struct Mistake {
    title: &'static str,
    /// What was done, in the words of the page.
    done: Vec<String>,
    files: Vec<(&'static str, Vec<u8>)>,
    /// Commands that were right.
    before: Vec<&'static [&'static str]>,
    command: &'static [&'static str],
    /// Files changed after those commands.
    after: Vec<(&'static str, Vec<u8>)>,
    /// A file that somebody else holds a lock on.
    locked: Option<&'static str>,
    /// Whether the command is typed in a folder that is no project.
    outside: bool,
}

fn mistake(title: &'static str, command: &'static [&'static str]) -> Mistake {
    Mistake {
        title,
        done: Vec::new(),
        files: Vec::new(),
        before: Vec::new(),
        command,
        after: Vec::new(),
        locked: None,
        outside: false,
    }
}

impl Mistake {
    /// `right` is written as `wrong` in the pipeline.
    fn wrote(mut self, right: &str, wrong: &str) -> Self {
        assert!(PIPELINE.contains(right), "{}: the pipeline has no `{right}`", self.title);
        self.done.push(match (right.contains('\n'), wrong.is_empty()) {
            (true, _) => format!(
                "a part of the pipeline is\n\n```text\n{}\n```",
                wrong.trim_end().replace('\t', "→")
            ),
            (_, true) => format!("`{right}` was left out"),
            _ => format!("`{right}` was written as `{wrong}`"),
        });
        let text = match self.files.iter().position(|(path, _)| *path == FILE) {
            Some(at) => String::from_utf8(self.files.remove(at).1).unwrap(),
            None => PIPELINE.to_owned(),
        };
        self.files.push((FILE, text.replace(right, wrong).into_bytes()));
        self
    }

    /// A whole file.
    fn file(mut self, path: &'static str, content: impl AsRef<[u8]>) -> Self {
        let content = content.as_ref();
        if let Ok(text) = std::str::from_utf8(content)
            && content.len() < 400
            && !text.is_empty()
        {
            self.done.push(format!("`{path}` is\n\n```text\n{}\n```", text.trim_end()));
        }
        self.files.push((path, content.to_vec()));
        self
    }

    fn said(mut self, text: &str) -> Self {
        self.done.push(text.to_owned());
        self
    }

    fn first(mut self, command: &'static [&'static str]) -> Self {
        self.before.push(command);
        self
    }

    fn then(mut self, path: &'static str, content: impl AsRef<[u8]>) -> Self {
        let content = content.as_ref();
        let text = String::from_utf8_lossy(content);
        let first = if self.before.is_empty() { "" } else { "after a run, " };
        self.done.push(format!("{first}`{path}` is\n\n```text\n{}\n```", text.trim_end()));
        self.after.push((path, content.to_vec()));
        self
    }

    fn outside(mut self) -> Self {
        self.done.push("the folder is `/`".to_owned());
        self.outside = true;
        self
    }

    fn locked(mut self, path: &'static str) -> Self {
        self.locked = Some(path);
        self
    }

    /// Makes the mistake; gives what a person sees.
    fn make(&self) -> String {
        let project = Project::new(&[]);
        for (path, text) in
            [("affluent.yaml", PROJECT), (FILE, PIPELINE), ("data/orders.csv", DATA)]
        {
            project.write(path, text);
        }
        for (path, content) in &self.files {
            project.write(path, content);
        }
        for command in &self.before {
            let mut right = project.command(command);
            let output = right.current_dir(project.path()).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}: {said}", self.title);
        }
        for (path, content) in &self.after {
            project.write(path, content);
        }
        let lock = self.locked.map(|path| {
            let path = project.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let mut file = File::create(path).unwrap();
            file.write_all(b"4711").unwrap();
            file.lock().unwrap();
            file
        });
        let mut command = match self.outside {
            false => project.command(self.command),
            true => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_affluent"));
                command.args(["-C", "/"]).args(self.command);
                command
            }
        };
        command.current_dir(project.path()).env_remove("SHOP_PASSWORD");
        let output = command.output().unwrap();
        drop(lock);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let seen = format!("{}{}", text(&output.stdout), text(&output.stderr));
        timeless(&seen, project.path())
    }
}

/// The text without what differs from run to run: folders, run ids, durations.
fn timeless(text: &str, project: &Path) -> String {
    let mut told = String::new();
    let real = project.canonicalize().unwrap();
    let text = text.replace(&*real.to_string_lossy(), "/shop");
    let text = text.replace(&*project.to_string_lossy(), "/shop");
    for line in text.lines() {
        // How fast it went is told when it took long.
        let line = match line.strip_suffix(" rows/s") {
            Some(rest) => rest.trim_end_matches(|c: char| !c.is_alphabetic()),
            None => line,
        };
        let words: Vec<&str> = line.split(' ').collect();
        let mut kept: Vec<String> = Vec::with_capacity(words.len());
        for (at, word) in words.iter().enumerate() {
            let unit = word.trim_end_matches([',', ';', ')', '.']);
            let is_figure = |word: &str| {
                !word.is_empty() && word.chars().all(|c| c.is_ascii_digit() || c == '.' || c == ',')
            };
            let next = words.get(at + 1).map(|word| word.trim_end_matches([',', ';', ')', '.']));
            let before = at.checked_sub(1).map(|before| words[before]);
            let is_ulid = unit.trim_matches('`').len() == 26
                && unit.trim_matches('`').starts_with("01")
                && unit.trim_matches('`').bytes().all(|b| b.is_ascii_alphanumeric());
            if is_ulid {
                kept.push(word.replace(unit.trim_matches('`'), "01K…"));
            } else if is_figure(word.trim_start_matches('(')) && matches!(next, Some("ms" | "s")) {
                kept.push(word.replace(word.trim_start_matches('('), "…"));
            } else if matches!(unit, "ms" | "s")
                && before.is_some_and(|b| is_figure(b.trim_start_matches('(')))
            {
                kept.push(word.replace("ms", "s"));
            } else {
                kept.push((*word).to_owned());
            }
        }
        told.push_str(kept.join(" ").trim_end());
        told.push('\n');
    }
    told.trim_end().to_owned()
}

fn documents() -> Vec<Mistake> {
    vec![
        mistake("No project here", &["run"]).outside(),
        mistake("A tab in YAML", &["check"]).wrote("  - id: typed\n", "\t- id: typed\n"),
        mistake("Wrong indentation", &["check"]).wrote("    use: cast\n", "   use: cast\n"),
        mistake("The same setting twice", &["check"])
            .wrote("    use: cast\n", "    use: cast\n    use: select\n"),
        mistake("A `%` or `:` without quotes", &["check"])
            .wrote("format: \"%d/%m/%Y\"", "format: %d/%m/%Y"),
        mistake("A misspelt setting", &["check"]).wrote("{path: data", "{pth: data"),
        mistake("A misspelt setting of a node", &["check"])
            .wrote("    from: orders\n", "    form: orders\n"),
        mistake("A setting that is missing", &["check"]).wrote(
            "{id: orders, use: csv, with: {path: data/orders.csv}}",
            "{id: orders, use: csv}",
        ),
        mistake("A setting of the wrong type", &["check"])
            .wrote("{path: data/orders.csv}", "{path: data/orders.csv, skip: many}"),
        mistake("A choice that does not exist", &["check"]).wrote("mode: merge", "mode: upsert"),
        mistake("A type of another system", &["check"])
            .wrote("order_id: integer", "order_id: varchar(20)"),
        mistake("A name with capitals", &["check"]).wrote("name: sales", "name: Daily Sales"),
        mistake("A table without a zone", &["check"]).wrote("table: gold.daily", "table: daily"),
        mistake("A misspelt module", &["check"]).wrote("use: validate", "use: validat"),
        mistake("Two nodes with the same id", &["check"]).wrote("{id: valid", "{id: typed"),
        mistake("A misspelt node", &["check"]).wrote("from: typed", "from: type"),
        mistake("A node without input", &["check"])
            .wrote("use: validate, from: typed", "use: validate"),
        mistake("A port that does not exist", &["check"])
            .wrote("from: valid,", "from: valid.rejected,"),
        mistake("Nodes in a circle", &["check"]).wrote("    from: orders\n", "    from: valid\n"),
        mistake("A merge without a key", &["check"])
            .wrote("mode: merge, key: [order_id]", "mode: merge"),
        mistake("A misspelt key", &["run"]).wrote("key: [order_id]", "key: [orderid]"),
        mistake("A pipeline that is there twice", &["check"])
            .said("`pipelines/copy.yaml` is a copy of `pipelines/sales.yaml`")
            .then_silently("pipelines/copy.yaml", PIPELINE),
        mistake("A newer document format", &["check"]).wrote("affluent: 1", "affluent: 2"),
        mistake("A regular expression that is none", &["check"])
            .wrote("{not_null: [order_id]}", "{regex: {status: \"(paid|sent\"}}"),
        mistake("A time zone that does not exist", &["check"]).wrote(
            "ordered_on: {type: date, format: \"%d/%m/%Y\"}",
            "ordered_on: {type: timestamp, zone: Paris}",
        ),
    ]
}

impl Mistake {
    fn then_silently(mut self, path: &'static str, content: &str) -> Self {
        self.files.push((path, content.as_bytes().to_vec()));
        self
    }
}

fn commands() -> Vec<Mistake> {
    vec![
        mistake("A misspelt command", &["rnu"]),
        mistake("A misspelt pipeline", &["run", "sale"]),
        mistake("A parameter that does not exist", &["run", "sales", "--param", "from=2026-01-31"]),
        mistake("A parameter of the wrong type", &["run", "sales", "--param", "since=yesterday"]),
        mistake("A parameter without a value", &["run", "sales", "--param", "since"]),
        mistake("An environment that does not exist", &["run", "--env", "prod"]),
        mistake("A preview of a pipeline", &["preview", "sales"]),
        mistake("A preview of a misspelt node", &["preview", "sales.typd"]),
        mistake("A run that does not exist", &["logs", "01ARZ3NDEKTSV4RRFFQ69G5FAV"]),
        mistake("A run while another one is going on", &["run", "sales"])
            .said("another run of the pipeline holds its lock")
            .locked(".affluent/runs/sales.lock"),
        mistake("A folder that is a project already", &["init", "."]),
        mistake("A module that does not exist", &["modules", "show", "cvs"]),
    ]
}

fn connections() -> Vec<Mistake> {
    const SOURCE: &str = "{id: orders, use: csv, with: {path: data/orders.csv}}";
    let postgres = "affluent: 1\nkind: connection\nname: erp\ntype: postgres\nhost: localhost\n\
                    database: erp\nuser: shop\npassword: ${secret:erp_password}\n";
    let sqlite = "affluent: 1\nkind: connection\nname: till\ntype: sqlite\npath: data/till.db\n";
    vec![
        mistake("A secret that is not set", &["check"]).file("connections/erp.yaml", postgres),
        mistake("A variable that is not set", &["check"]).file(
            "connections/erp.yaml",
            postgres.replace("${secret:erp_password}", "${env:SHOP_PASSWORD}"),
        ),
        mistake("A connection that does not exist", &["run"])
            .file("connections/till.yaml", sqlite)
            .wrote(SOURCE, "{id: orders, use: sqlite, with: {connection: tills, table: orders}}"),
        mistake("A connection of another type", &["run"])
            .file("connections/till.yaml", sqlite)
            .wrote(SOURCE, "{id: orders, use: postgres, with: {connection: till, table: orders}}"),
        mistake("A database file that is not there", &["run"])
            .file("connections/till.yaml", sqlite)
            .wrote(SOURCE, "{id: orders, use: sqlite, with: {connection: till, table: orders}}"),
        mistake("A server that does not answer", &["run"])
            .file(
                "connections/erp.yaml",
                postgres
                    .replace("${secret:erp_password}", "x")
                    .replace("localhost", "127.0.0.1\nport: 1"),
            )
            .wrote(SOURCE, "{id: orders, use: postgres, with: {connection: erp, table: orders}}"),
    ]
}

fn files() -> Vec<Mistake> {
    vec![
        mistake("A file that is not there", &["run"]).wrote("data/orders.csv", "data/order.csv"),
        mistake("A pattern that matches no file", &["run"]).wrote("data/orders.csv", "data/*.tsv"),
        mistake("A folder instead of a file", &["run"]).wrote("data/orders.csv", "data"),
        mistake("The wrong delimiter", &["run"])
            .wrote("{path: data/orders.csv}", "{path: data/orders.csv, delimiter: \",\"}"),
        mistake("No header in the file", &["run"])
            .file("data/orders.csv", "1;31/01/2026;12,50;paid\n2;01/02/2026;7,00;sent\n"),
        mistake("An empty file", &["run"])
            .file("data/orders.csv", "")
            .said("`data/orders.csv` is empty"),
        mistake("The wrong encoding", &["run"])
            .wrote("{path: data/orders.csv}", "{path: data/orders.csv, encoding: utf-8}")
            .said("a customer in `data/orders.csv` is `Zoé` in Latin-1")
            .then_bytes(
                "data/orders.csv",
                b"order_id;ordered_on;amount;customer\n1;31/01/2026;12,50;Zo\xe9\n",
            ),
        mistake("An encoding that does not exist", &["check"])
            .wrote("{path: data/orders.csv}", "{path: data/orders.csv, encoding: latin9000}"),
        mistake("The wrong date format", &["run"]).wrote("%d/%m/%Y", "%Y-%m-%d"),
        mistake("Decimal commas without the option", &["run"]).wrote(", decimal: \",\"", ""),
        mistake("A column that the file does not have", &["run"])
            .wrote("order_id: integer", "orderid: integer"),
        mistake("A Parquet file that is a CSV file", &["run"]).wrote(
            "use: csv, with: {path: data/orders.csv}",
            "use: parquet, with: {path: data/orders.csv}",
        ),
        mistake("A workbook that is a CSV file", &["run"]).wrote(
            "use: csv, with: {path: data/orders.csv}",
            "use: excel, with: {path: data/orders.csv}",
        ),
        mistake("A sheet that does not exist", &["run"])
            .first(&[
                "query",
                "select 1 as order_id",
                "--format",
                "xlsx",
                "--out",
                "data/orders.xlsx",
            ])
            .wrote(
                "use: csv, with: {path: data/orders.csv}",
                "use: excel, with: {path: data/orders.xlsx, sheet: January}",
            ),
        mistake("JSON that is cut off", &["run"])
            .file("data/orders.json", "[{\"order_id\": 1}, {\"order_id\":")
            .wrote(
                "use: csv, with: {path: data/orders.csv}",
                "use: json, with: {path: data/orders.json}",
            ),
        mistake("Two rows with the same merge key", &["run"]).file(
            "data/orders.csv",
            "order_id;ordered_on;amount;status\n1;31/01/2026;12,50;paid\n1;31/01/2026;13,50\n",
        ),
        mistake("A new column in a frozen table", &["run"])
            .wrote("mode: merge,", "mode: merge, schema: freeze,")
            .first(&["run"])
            .then(
                "data/orders.csv",
                "order_id;ordered_on;amount;status;shop\n3;02/02/2026;1,00;paid;Lyon\n",
            ),
    ]
}

impl Mistake {
    fn then_bytes(mut self, path: &'static str, content: &[u8]) -> Self {
        self.files.push((path, content.to_vec()));
        self
    }
}

fn queries() -> Vec<Mistake> {
    let asked = |title, command: &'static [&'static str]| mistake(title, command).first(&["run"]);
    vec![
        asked("A table that does not exist", &["query", "select * from silver.order"]),
        asked("A table without its zone", &["query", "select * from orders"]),
        asked("A version that does not exist", &["query", "select * from silver.orders@v99"]),
        asked("A misspelt column in SQL", &["query", "select amout from silver.orders"]),
        asked("A misspelt function", &["query", "select uper('a')"]),
        asked(
            "A column of two tables",
            &[
                "query",
                "select order_id from silver.orders a join silver.orders b on a.order_id = b.order_id",
            ],
        ),
        asked(
            "A column that is neither grouped nor summed",
            &["query", "select ordered_on, sum(amount) from silver.orders"],
        ),
        asked(
            "A text where a number belongs",
            &["query", "select * from silver.orders where order_id = 'one'"],
        ),
        asked("Two statements", &["query", "select 1; select 2"]),
        asked("A statement that changes data", &["query", "delete from silver.orders"]),
        asked("A word forgotten", &["query", "select * silver.orders"]),
        asked(
            "Double quotes around a text",
            &["query", "select * from silver.orders where amount = \"twelve\""],
        ),
        asked("A division by zero", &["query", "select 1 / (order_id - 1) from silver.orders"]),
        asked("A folder in a query", &["query", "select * from 'data/'"]),
        asked("A file in a query that is not there", &["query", "select * from 'data/order.csv'"]),
        asked("A profile of a misspelt table", &["profile", "silver.order"]),
        asked("A profile of a misspelt column", &["profile", "silver.orders", "--column", "amout"]),
        asked("The schema of a misspelt table", &["tables", "silver.order"]),
        asked("A Parquet result for the terminal", &["query", "select 1", "--format", "parquet"]),
    ]
}

fn page() -> String {
    let mut page = String::from(
        "# First mistakes\n\n\
         The mistakes people make first, and what the program answers. This page is made by a test \
         that makes every one of them: `AFFLUENT_UPDATE=1 cargo nextest run -p app -p pins \
         -E 'test(mistakes)'`.\n\nThe project is a small shop; its pipeline, when all is right:\n\n",
    );
    let _ = write!(page, "```yaml\n{PIPELINE}```\n");
    let parts = [
        ("Documents", documents()),
        ("Commands", commands()),
        ("Connections", connections()),
        ("Files and their rows", files()),
        ("Queries", queries()),
    ];
    let mut titles = Vec::new();
    for (part, mistakes) in parts {
        let _ = write!(page, "\n## {part}\n");
        for mistake in mistakes {
            assert!(!titles.contains(&mistake.title), "`{}` is there twice", mistake.title);
            titles.push(mistake.title);
            let seen = mistake.make();
            assert!(!seen.is_empty(), "`{}` is answered with nothing", mistake.title);
            assert!(!seen.contains("panicked"), "`{}`: {seen}", mistake.title);
            let _ = write!(page, "\n### {}\n\n", mistake.title);
            for done in &mistake.done {
                let mut letters = done.chars();
                let first = letters.next().map(|c| c.to_uppercase().to_string());
                let end = if done.ends_with("```") { "" } else { "." };
                let _ = write!(page, "{}{}{end}\n\n", first.unwrap_or_default(), letters.as_str());
            }
            let command: Vec<String> = mistake
                .command
                .iter()
                .map(|word| {
                    if word.contains([' ', '\'']) {
                        format!("\"{word}\"")
                    } else {
                        (*word).to_owned()
                    }
                })
                .collect();
            let _ = write!(page, "```text\n$ affluent {}\n{seen}\n```\n", command.join(" "));
        }
    }
    assert!(titles.len() >= 40, "{} mistakes", titles.len());
    page
}

#[test]
fn mistakes_are_answered_with_what_to_do() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/reference/mistakes.md");
    let page = page();
    if std::env::var("AFFLUENT_UPDATE").is_ok_and(|value| value == "1") {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &page).unwrap();
        return;
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let differs = page.lines().zip(committed.lines()).find(|(new, old)| new != old);
    assert!(
        page == committed,
        "docs/src/reference/mistakes.md is stale; write it with AFFLUENT_UPDATE=1\n{differs:?}"
    );
}
