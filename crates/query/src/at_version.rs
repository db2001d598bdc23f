//! `at('gold.sales', version => 12)`: a lake table as it was.
//!
//! The call is rewritten to a table name that carries the version before planning, because a
//! table has to be opened asynchronously and table functions cannot wait.

use contracts::Sql;
use model::{Problem, Result, TableName, codes};
use sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Ident, ObjectName, ObjectNamePart, Query, TableFactor,
    Value, VisitMut, VisitorMut,
};
use std::ops::ControlFlow;

const MARK: &str = "@v";

/// The table's name and the version it asks for.
pub(crate) fn split(name: &str) -> (&str, Option<u64>) {
    match name.split_once(MARK) {
        Some((table, version)) => (table, version.parse().ok()),
        None => (name, None),
    }
}

/// The query with every `at(…)` replaced.
pub(crate) fn rewrite(sql: &Sql) -> Result<Query> {
    let mut query = sql.query().clone();
    let mut rewriter = Rewriter;
    match query.visit(&mut rewriter) {
        ControlFlow::Continue(()) => Ok(query),
        ControlFlow::Break(problem) => Err(problem),
    }
}

struct Rewriter;

impl VisitorMut for Rewriter {
    type Break = Problem;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Problem> {
        let TableFactor::Table { name, args, .. } = factor else {
            return ControlFlow::Continue(());
        };
        let Some(arguments) = args.as_ref().filter(|_| name.to_string().eq_ignore_ascii_case("at"))
        else {
            return ControlFlow::Continue(());
        };
        match target(&arguments.args) {
            Some((table, version)) => {
                let quoted =
                    |text: String| ObjectNamePart::Identifier(Ident::with_quote('"', text));
                let versioned = format!("{}{MARK}{version}", table.table);
                *name = ObjectName(vec![quoted(table.zone.to_string()), quoted(versioned)]);
                *args = None;
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(
                Problem::new(&codes::SQL_INVALID, "`at` needs a table and a version")
                    .hint("write `at('gold.sales', version => 12)`"),
            ),
        }
    }
}

fn target(arguments: &[FunctionArg]) -> Option<(TableName, u64)> {
    let [table, version] = arguments else { return None };
    let table = match literal(table)? {
        Value::SingleQuotedString(text) => TableName::parse(text).ok()?,
        _ => return None,
    };
    let version = match literal(version)? {
        Value::Number(number, _) => number.parse().ok()?,
        _ => return None,
    };
    Some((table, version))
}

fn literal(argument: &FunctionArg) -> Option<&Value> {
    let (FunctionArg::Named { arg, .. }
    | FunctionArg::ExprNamed { arg, .. }
    | FunctionArg::Unnamed(arg)) = argument;
    match arg {
        FunctionArgExpr::Expr(Expr::Value(value)) => Some(&value.value),
        _ => None,
    }
}
