//! What a person calls a table or file on the command line, as a name in SQL.

use crate::workbench::Workbench;
use contracts::table::TableStore;
use model::{Problem, Result, TableName, codes};
use std::path::Path;

/// The target as a name in SQL.
pub(crate) async fn relation(workbench: &Workbench, target: &str) -> Result<String> {
    let here = Path::new(target);
    if here.is_dir() {
        let fact = format!("`{target}` is a folder");
        return Err(Problem::new(&codes::COMMAND_INVALID, fact)
            .hint(format!("name a file, or all of them, as in `'{target}/*.csv'`")));
    }
    if here.exists() || target.contains(['/', '*']) {
        return Ok(format!("\"{}\"", target.replace('"', "\"\"")));
    }
    let (name, version) = match target.split_once("@v") {
        Some((name, version)) => (name, version.parse::<u64>().ok()),
        None => (target, None),
    };
    let Ok(table) = TableName::parse(name) else { return Err(no_target(target)) };
    if workbench.lake.describe(&table, version).await?.is_some() {
        return Ok(match version {
            Some(version) => format!("at('{table}', version => {version})"),
            None => format!("\"{}\".\"{}\"", table.zone, table.table),
        });
    }
    let known = workbench.lake.list().await?;
    let known: Vec<String> = known.iter().map(ToString::to_string).collect();
    let problem = Problem::new(
        &codes::TABLE_NOT_FOUND,
        format!("there is neither a table nor a file `{target}`"),
    )
    .arg("table", target);
    Err(match stdx::text::nearest(name, known.iter().map(String::as_str)) {
        Some(near) => problem.hint(format!("did you mean `{near}`?")),
        None => problem.hint("`affluent tables` lists the tables; paths start where you are"),
    })
}

fn no_target(target: &str) -> Problem {
    Problem::new(
        &codes::TABLE_NOT_FOUND,
        format!("`{target}` is neither a file nor the name of a table"),
    )
    .arg("table", target)
    .hint("tables are `zone.table`, as in `silver.orders`; paths start where you are")
}
