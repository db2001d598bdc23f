//! Commands of the shell that are no SQL: `\d`, `\df`, `\o` …

use super::Shell;
use super::complete::COMMON_FUNCTIONS;
use crate::ad_hoc;
use crate::commands::relation::relation;
use crate::output::{Output, table};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use contracts::Batches;
use contracts::arrow_types::from_field;
use contracts::table::TableStore;
use futures::{StreamExt, TryStreamExt, stream};
use model::{Problem, Result, codes};
use std::path::PathBuf;
use stdx::text::group_digits;

/// Rows that are shown one below the other at most.
const EXPANDED_ROWS_MAX: usize = 1000;

const HELP: &str = "\
  SELECT …;        rows of lake tables (zone.table, zone.table@v3) and files ('data/*.csv')
  \\d or \\dt        tables
  \\d NAME          columns of a table or file
  \\df [WORD]       functions, or those with WORD in them
  \\o FILE          write the next result to a file: csv, json, ndjson, parquet or xlsx by its name
  \\x               one value per line, on or off
  \\timing          say how long queries take, on or off
  \\q               leave
  Ctrl C           stops a running query, or forgets what was typed
";

impl Shell<'_> {
    /// Does what `\word argument` says.
    pub(super) async fn command(&mut self, line: &str) -> Result<()> {
        let line = line.trim_end_matches(';').trim();
        let (word, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let argument = argument.trim().trim_matches('\'');
        match (word, argument) {
            ("\\?" | "\\h", _) => self.output.raw_for_people(HELP),
            ("\\dt", _) | ("\\d", "") => self.tables().await?,
            ("\\d", name) => self.columns(name).await?,
            ("\\df", word) => self.functions(word),
            ("\\timing", _) => {
                self.timing = !self.timing;
                self.say("timing", self.timing);
            }
            ("\\x", _) => {
                self.expanded = !self.expanded;
                self.say("one value per line", self.expanded);
            }
            ("\\o", "") => self.out = None,
            ("\\o", file) => self.out = Some(PathBuf::from(file)),
            (other, _) => {
                return Err(Problem::new(
                    &codes::COMMAND_INVALID,
                    format!("there is no command `{other}`"),
                )
                .hint("`\\?` lists the commands"));
            }
        }
        Ok(())
    }

    fn say(&self, what: &str, is_on: bool) {
        self.output.line(format!("{what} is {}", if is_on { "on" } else { "off" }));
    }

    async fn tables(&self) -> Result<()> {
        let mut rows = Vec::new();
        for name in self.workbench.lake.list().await? {
            let Some(info) = self.workbench.lake.describe(&name, None).await? else { continue };
            let count = info.rows.map(group_digits).unwrap_or_default();
            rows.push(vec![name.to_string(), count, info.version.to_string()]);
        }
        if rows.is_empty() {
            self.output.line("there are no tables yet; `affluent run` makes them");
            return Ok(());
        }
        self.output.raw_for_people(&table(&["table", "rows", "version"], &rows));
        Ok(())
    }

    async fn columns(&self, name: &str) -> Result<()> {
        let relation = relation(self.workbench, name).await?;
        let sql = format!("SELECT * FROM {relation}");
        let schema = ad_hoc::prepare(self.workbench, &sql).await?.planned.schema();
        let row = |field: &arrow::datatypes::FieldRef| {
            vec![field.name().clone(), from_field(field).to_string()]
        };
        let rows: Vec<Vec<String>> = schema.fields().iter().map(row).collect();
        self.output.raw_for_people(&table(&["column", "type"], &rows));
        Ok(())
    }

    fn functions(&self, word: &str) {
        let word = word.to_lowercase();
        let fits =
            |name: &str, help: &str| name.contains(&word) || help.to_lowercase().contains(&word);
        let mut own: Vec<_> = functions::for_people();
        own.retain(|function| fits(function.name, function.summary));
        let rows: Vec<Vec<String>> = own
            .iter()
            .map(|function| vec![function.syntax.to_owned(), function.summary.to_owned()])
            .collect();
        if !rows.is_empty() {
            self.output.raw_for_people(&table(&["function", "what it gives"], &rows));
        }
        let common: Vec<&str> =
            COMMON_FUNCTIONS.iter().copied().filter(|name| fits(name, "")).collect();
        if !common.is_empty() {
            self.output.line(format!("and of SQL: {}", common.join(", ")));
        }
    }
}

/// Rows one below the other, a value per line.
pub(super) async fn expanded(batches: Batches, output: Output) -> Result<()> {
    let unshown = |error: arrow::error::ArrowError| {
        Problem::new(&codes::INTERNAL, "rows cannot be shown").detail(error)
    };
    let names: Vec<String> =
        batches.schema.fields().iter().map(|field| field.name().clone()).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let options = FormatOptions::default().with_display_error(true).with_null("");
    let mut shown = 0;
    let mut rows = stream::iter(batches.partitions).flatten();
    while let Some(batch) = rows.try_next().await? {
        let formatters = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options))
            .collect::<Result<Vec<_>, _>>()
            .map_err(unshown)?;
        for row in 0..batch.num_rows() {
            if shown == EXPANDED_ROWS_MAX {
                output.line("there are more rows; add a LIMIT or write them to a file with \\o");
                return Ok(());
            }
            shown += 1;
            let mut text = format!("── row {shown}\n");
            for (name, formatter) in names.iter().zip(&formatters) {
                let gap = " ".repeat(width - name.chars().count());
                text.push_str(&format!("{name}{gap} │ {}\n", formatter.value(row)));
            }
            output.raw(&text);
        }
    }
    output.line(if shown == 1 { "1 row".to_owned() } else { format!("{shown} rows") });
    Ok(())
}
