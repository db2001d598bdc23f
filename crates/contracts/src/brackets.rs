//! Comparisons of SQL that the parser would read as nobody means them.

use model::{Problem, Result, codes};
use sqlparser::ast::{self, Visit, Visitor};
use std::ops::ControlFlow;

/// The parser takes what follows `a IS DISTINCT FROM b AND` for a part of the right side: better
/// refused than computed as nobody means it.
pub(crate) fn check_brackets(tree: &impl Visit) -> Result<()> {
    match tree.visit(&mut LooseDistinct) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(text) => {
            let shown = stdx::text::truncate(&text, 200);
            let fact = format!("`{shown}` needs brackets to be understood");
            Err(Problem::new(&codes::SQL_SYNTAX, fact).hint(
                "put the comparison into brackets: `(a IS DISTINCT FROM b) AND c`, and so with \
                 IS NOT DISTINCT FROM",
            ))
        }
    }
}

struct LooseDistinct;

impl Visitor for LooseDistinct {
    type Break = String;

    fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<String> {
        use ast::BinaryOperator as B;
        let right = match expr {
            ast::Expr::IsDistinctFrom(_, right) | ast::Expr::IsNotDistinctFrom(_, right) => right,
            _ => return ControlFlow::Continue(()),
        };
        match right.as_ref() {
            ast::Expr::BinaryOp { op: B::And | B::Or | B::Xor, .. } => {
                ControlFlow::Break(expr.to_string())
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::expr;
    use crate::sql::{Expr, Ident, Joined, Sql};

    #[test]
    fn a_comparison_that_would_swallow_a_condition_needs_brackets() {
        for text in ["a is distinct from b and c", "x and (y or a is not distinct from b or c)"] {
            let problem = Expr::parse(text).unwrap_err();
            assert!(problem.message().ends_with("needs brackets to be understood"), "{problem}");
        }
        assert!(Sql::parse("select 1 from t where a is distinct from b and c").is_err());
        assert!(Expr::parse("(a is distinct from b) and c").is_ok());
        assert!(Expr::parse("c and a is distinct from b").is_ok());
        // What modules put together has brackets of its own.
        let loose = Expr::parse("a is not distinct from b").unwrap();
        let both = expr!("{} AND {}", loose, Ident("c")).unwrap();
        assert_eq!(both.to_string(), "(a IS NOT DISTINCT FROM b) AND \"c\"");
        assert!(expr!("{}", Joined(vec![loose.clone(), loose], " OR ")).is_ok());
    }
}
