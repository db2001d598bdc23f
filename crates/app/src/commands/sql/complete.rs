//! Completion in the shell: keywords, tables, columns, functions, commands and files.

use crate::workbench::Workbench;
use contracts::table::TableStore;
use model::Result;
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};
use std::collections::BTreeSet;

/// Tables whose columns are offered; a lake can have thousands.
const TABLES_MAX: usize = 200;

const KEYWORDS: &[&str] = &[
    "and",
    "as",
    "asc",
    "between",
    "by",
    "case",
    "cast",
    "cross",
    "desc",
    "distinct",
    "else",
    "end",
    "except",
    "exists",
    "false",
    "filter",
    "from",
    "full",
    "group",
    "having",
    "in",
    "inner",
    "intersect",
    "interval",
    "is",
    "join",
    "left",
    "like",
    "limit",
    "not",
    "null",
    "nulls",
    "offset",
    "on",
    "or",
    "order",
    "outer",
    "over",
    "partition",
    "right",
    "select",
    "then",
    "true",
    "union",
    "using",
    "values",
    "when",
    "where",
    "with",
];

/// Functions of the engine that people use most; ours are added.
pub(crate) const COMMON_FUNCTIONS: &[&str] = &[
    "abs",
    "approx_distinct",
    "approx_percentile_cont",
    "array_agg",
    "avg",
    "ceil",
    "character_length",
    "coalesce",
    "concat",
    "corr",
    "count",
    "current_date",
    "date_bin",
    "date_part",
    "date_trunc",
    "dense_rank",
    "exp",
    "first_value",
    "floor",
    "greatest",
    "lag",
    "last_value",
    "lead",
    "least",
    "left",
    "ln",
    "lower",
    "ltrim",
    "max",
    "md5",
    "median",
    "min",
    "now",
    "nullif",
    "position",
    "power",
    "rank",
    "regexp_like",
    "regexp_replace",
    "replace",
    "right",
    "round",
    "row_number",
    "rtrim",
    "sha256",
    "split_part",
    "sqrt",
    "starts_with",
    "stddev",
    "string_agg",
    "substr",
    "sum",
    "to_char",
    "trim",
    "trunc",
    "upper",
];

const COMMANDS: &[&str] = &["\\?", "\\d", "\\df", "\\dt", "\\o", "\\q", "\\timing", "\\x"];

/// What can be completed.
pub(crate) struct Completion {
    words: BTreeSet<String>,
    files: FilenameCompleter,
}

impl Completion {
    /// Names of the project's tables and columns, and of everything SQL has.
    pub(crate) async fn new(workbench: &Workbench) -> Result<Self> {
        let mut words: BTreeSet<String> = KEYWORDS.iter().map(ToString::to_string).collect();
        words.extend(COMMON_FUNCTIONS.iter().map(|name| format!("{name}(")));
        words.extend(functions::for_people().iter().map(|function| format!("{}(", function.name)));
        let tables = workbench.lake.list().await?;
        for table in tables.iter().take(TABLES_MAX) {
            words.insert(table.to_string());
            // A table that cannot be opened is simply not offered.
            if let Ok(Some(info)) = workbench.lake.describe(table, None).await {
                words.extend(info.schema.fields().iter().map(|field| field.name().clone()));
            }
        }
        Ok(Self { words, files: FilenameCompleter::new() })
    }

    /// Where the word before the cursor begins, and what it could become.
    fn words(&self, before: &str) -> (usize, Vec<Pair>) {
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '\\' | '?');
        let start = before
            .rfind(|c| !is_word(c))
            .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
        let word = &before[start..];
        let pair = |text: &str| Pair { display: text.to_owned(), replacement: text.to_owned() };
        if word.starts_with('\\') {
            let found = COMMANDS.iter().filter(|command| command.starts_with(word));
            return (start, found.map(|command| pair(command)).collect());
        }
        let lower = word.to_lowercase();
        let in_capitals = !word.is_empty() && word == word.to_uppercase() && word != lower;
        let found = self.words.iter().filter(|known| known.starts_with(&lower)).map(|known| {
            let is_keyword = KEYWORDS.contains(&known.as_str());
            if in_capitals && is_keyword { pair(&known.to_uppercase()) } else { pair(known) }
        });
        (start, if word.is_empty() { Vec::new() } else { found.collect() })
    }
}

impl Completer for Completion {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        ctx: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let before = &line[..pos];
        // Inside of quotes a file is meant.
        if before.matches('\'').count() % 2 == 1 {
            return self.files.complete(line, pos, ctx);
        }
        Ok(self.words(before))
    }
}

impl Hinter for Completion {
    type Hint = String;
}

impl Highlighter for Completion {}

impl Validator for Completion {}

impl Helper for Completion {}
