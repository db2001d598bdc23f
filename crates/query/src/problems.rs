//! What `DataFusion` says, as problems that tell a person what to do.

use datafusion::common::{DataFusionError, SchemaError};
use model::{Code, Problem, codes};
use std::io;

/// Turns an error into a problem. A problem of ours that travelled inside comes out as it was.
pub(crate) fn problem(error: DataFusionError) -> Problem {
    if let Some(problem) = carried(&error) {
        return problem;
    }
    match root(&error) {
        DataFusionError::SchemaError(schema, _) => schema_problem(schema),
        DataFusionError::ResourcesExhausted(detail) => memory(detail),
        DataFusionError::IoError(io) => io_problem(io),
        DataFusionError::SQL(parser, _) => {
            Problem::new(&codes::SQL_SYNTAX, "the query is not valid SQL").detail(parser)
        }
        DataFusionError::Plan(detail) => plan_problem(detail),
        DataFusionError::NotImplemented(detail) => {
            invalid("the query uses something that is not supported").detail(detail)
        }
        DataFusionError::ArrowError(arrow, _) => arrow_problem(&arrow.to_string()),
        DataFusionError::Execution(detail) => {
            Problem::new(&codes::QUERY_FAILED, "the query failed").detail(first_line(detail))
        }
        DataFusionError::ParquetError(parquet) => {
            Problem::new(&codes::TABLE_CORRUPT, "a data file cannot be read").detail(parquet)
        }
        DataFusionError::ObjectStore(store) => {
            Problem::new(&codes::STORAGE_FAILED, "the storage reports an error").detail(store)
        }
        other => Problem::new(&codes::QUERY_FAILED, "the query failed")
            .detail(first_line(&other.to_string())),
    }
}

fn root(error: &DataFusionError) -> &DataFusionError {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => root(inner),
        DataFusionError::Shared(inner) => root(inner),
        DataFusionError::Collection(errors) => errors.first().map_or(error, root),
        other => other,
    }
}

fn carried(error: &DataFusionError) -> Option<Problem> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(problem) = error.downcast_ref::<Problem>() {
            return Some(problem.clone());
        }
        if let Some(DataFusionError::External(inner)) = error.downcast_ref::<DataFusionError>()
            && let Some(problem) = inner.downcast_ref::<Problem>()
        {
            return Some(problem.clone());
        }
        if let Some(DataFusionError::Shared(inner)) = error.downcast_ref::<DataFusionError>() {
            return carried(inner);
        }
        cause = error.source();
    }
    None
}

fn schema_problem(error: &SchemaError) -> Problem {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let known: Vec<&str> = valid_fields.iter().map(|column| column.name.as_str()).collect();
            let hint = match stdx::text::nearest(&field.name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("columns are {}; texts stand in single quotes", known.join(", ")),
            };
            Problem::new(&codes::COLUMN_UNKNOWN, format!("there is no column `{}`", field.name))
                .arg("column", &field.name)
                .hint(hint)
        }
        SchemaError::AmbiguousReference { field } => {
            invalid(&format!("`{}` could be a column of more than one table", field.name))
                .hint(format!("write the table before it, as in `orders.{}`", field.name))
        }
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => {
            invalid(&format!("two columns of the result are called `{name}`"))
                .hint(format!("give one another name, as in `{name} AS {name}_2`"))
        }
    }
}

fn plan_problem(detail: &str) -> Problem {
    let quoted: Vec<&str> = detail.split('\'').collect();
    if detail.starts_with("table '") {
        let full = quoted.get(1).copied().unwrap_or_default();
        let name = full.trim_start_matches("affluent.").trim_start_matches("local.");
        return Problem::new(
            &codes::TABLE_NOT_FOUND,
            format!("there is no table or input `{name}`"),
        )
        .arg("table", name)
        .hint("read a node named in `from`, or a lake table as `zone.table`");
    }
    if let Some(rest) = detail.strip_prefix("Invalid function '") {
        let name = rest.split('\'').next().unwrap_or_default();
        let problem = invalid(&format!("there is no function `{name}`"));
        return match quoted.get(3) {
            Some(near) => problem.hint(format!("did you mean `{near}`?")),
            None => problem,
        };
    }
    if detail.contains("must appear in the GROUP BY clause") {
        let column = detail.split('"').nth(1).unwrap_or_default();
        let column = column.rsplit('.').next().unwrap_or(column);
        return invalid(&format!("`{column}` is neither grouped by nor put together"))
            .arg("column", column)
            .hint(format!("add `{column}` to GROUP BY, or write min({column}), max({column}) …"));
    }
    invalid("the query cannot be planned").detail(first_line(detail))
}

fn arrow_problem(detail: &str) -> Problem {
    let problem = Problem::new(&codes::QUERY_FAILED, "an expression failed on a row")
        .detail(first_line(detail));
    if detail.to_lowercase().contains("divide by zero") {
        return problem.hint("guard the divisor, as in `a / nullif(b, 0)`");
    }
    problem.hint("use try_cast or the try_… functions, which give null instead")
}

fn memory(detail: &str) -> Problem {
    Problem::new(&codes::MEMORY_EXCEEDED, "the query needs more memory than its limit")
        .detail(first_line(detail))
        .hint("raise `limits: {memory_mib: …}` in affluent.yaml, or `--memory`")
}

fn io_problem(error: &io::Error) -> Problem {
    let code: &Code = match error.kind() {
        io::ErrorKind::StorageFull => &codes::STORAGE_FULL,
        io::ErrorKind::PermissionDenied => &codes::PERMISSION_DENIED,
        _ => &codes::STORAGE_FAILED,
    };
    Problem::new(code, "a file of the engine cannot be read or written").detail(error)
}

fn invalid(fact: &str) -> Problem {
    Problem::new(&codes::SQL_INVALID, fact)
}

/// Plans and backtraces after the first line help nobody who reads a message.
fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
