//! SQL as a syntax tree. A module cannot paste text into a query.
//!
//! Queries are written as constant templates with `{}` for fragments; a fragment is a tree, a
//! quoted name or an escaped value. User text enters only as one parsed expression
//! ([`Expr::parse`]) or one parsed SELECT ([`Sql::parse`]).

use crate::brackets::check_brackets;
use crate::relational::NamedInput;
use model::{Problem, Result, TableName, codes};
use sqlparser::ast::{self, ObjectNamePart, Query, SetExpr, Statement, Visit, Visitor};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::{Parser, ParserError};
use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::ops::ControlFlow;

/// One SELECT (or VALUES, or UNION of them).
#[derive(Debug, Clone, PartialEq)]
pub struct Sql(Box<Query>);

/// One scalar expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr(Box<ast::Expr>);

/// Makes a [`Sql`] from a constant template: `sql!("SELECT * FROM {} LIMIT {}", input, 3u64)?`.
#[macro_export]
macro_rules! sql {
    ($template:literal $(, $fragment:expr)* $(,)?) => {
        $crate::sql::Sql::template($template, &[$($crate::sql::ToFragment::to_fragment(&$fragment)),*])
    };
}

/// Makes an [`Expr`] from a constant template: `expr!("{} > {}", Ident("n"), 3u64)?`.
#[macro_export]
macro_rules! expr {
    ($template:literal $(, $fragment:expr)* $(,)?) => {
        $crate::sql::Expr::template($template, &[$($crate::sql::ToFragment::to_fragment(&$fragment)),*])
    };
}

/// Makes a [`Fragment`] that is no expression by itself: `piece!("{} DESC NULLS LAST", column)`.
#[macro_export]
macro_rules! piece {
    ($template:literal $(, $fragment:expr)* $(,)?) => {
        $crate::sql::Fragment::template(
            $template,
            &[$($crate::sql::ToFragment::to_fragment(&$fragment)),*],
        )
    };
}

/// A piece of a template, already safe: rendered from a tree, quoted or escaped.
#[derive(Debug, Clone)]
pub struct Fragment(String);

/// A column, table or alias; always quoted.
#[derive(Debug, Clone, Copy)]
pub struct Ident<'a>(pub &'a str);

/// A text value; always escaped.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a>(pub &'a str);

/// Expressions or columns separated by commas.
#[derive(Debug, Clone)]
pub struct List<T>(pub Vec<T>);

/// Fragments with a constant text between them, such as `" UNION ALL "`.
#[derive(Debug, Clone)]
pub struct Joined<T>(pub Vec<T>, pub &'static str);

/// `expression AS "name"`.
#[derive(Debug, Clone)]
pub struct Aliased<'a>(pub Expr, pub &'a str);

fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// What can stand in for a `{}` of a template.
pub trait ToFragment {
    /// The safe text.
    fn to_fragment(&self) -> Fragment;
}

impl ToFragment for Ident<'_> {
    fn to_fragment(&self) -> Fragment {
        Fragment(quote(self.0))
    }
}

impl ToFragment for Text<'_> {
    fn to_fragment(&self) -> Fragment {
        Fragment(format!("'{}'", self.0.replace('\'', "''")))
    }
}

impl ToFragment for NamedInput {
    fn to_fragment(&self) -> Fragment {
        Fragment(quote(&self.name))
    }
}

impl ToFragment for TableName {
    fn to_fragment(&self) -> Fragment {
        Fragment(format!("{}.{}", quote(self.zone.as_str()), quote(self.table.as_str())))
    }
}

impl ToFragment for Expr {
    fn to_fragment(&self) -> Fragment {
        use ast::Expr as E;
        let is_closed = matches!(
            *self.0,
            E::Identifier(_)
                | E::CompoundIdentifier(_)
                | E::Value(_)
                | E::Function(_)
                | E::Nested(_)
                | E::Case { .. }
                | E::Cast { kind: ast::CastKind::Cast, .. }
        );
        Fragment(if is_closed { self.to_string() } else { format!("({self})") })
    }
}

impl ToFragment for Sql {
    fn to_fragment(&self) -> Fragment {
        Fragment(format!("({self})"))
    }
}

impl ToFragment for Aliased<'_> {
    fn to_fragment(&self) -> Fragment {
        Fragment(format!("{} AS {}", self.0, quote(self.1)))
    }
}

impl ToFragment for u64 {
    fn to_fragment(&self) -> Fragment {
        Fragment(self.to_string())
    }
}

impl ToFragment for i64 {
    fn to_fragment(&self) -> Fragment {
        Fragment(if *self < 0 { format!("({self})") } else { self.to_string() })
    }
}

impl ToFragment for f64 {
    fn to_fragment(&self) -> Fragment {
        Fragment(format!("CAST('{self:?}' AS DOUBLE)"))
    }
}

impl ToFragment for bool {
    fn to_fragment(&self) -> Fragment {
        Fragment(self.to_string())
    }
}

impl ToFragment for Fragment {
    fn to_fragment(&self) -> Fragment {
        self.clone()
    }
}

impl<T: ToFragment> ToFragment for List<T> {
    fn to_fragment(&self) -> Fragment {
        let items: Vec<String> = self.0.iter().map(|item| item.to_fragment().0).collect();
        Fragment(items.join(", "))
    }
}

impl<T: ToFragment> ToFragment for Joined<T> {
    fn to_fragment(&self) -> Fragment {
        let items: Vec<String> = self.0.iter().map(|item| item.to_fragment().0).collect();
        Fragment(items.join(self.1))
    }
}

impl<T: ToFragment + ?Sized> ToFragment for &T {
    fn to_fragment(&self) -> Fragment {
        (**self).to_fragment()
    }
}

fn fill(template: &'static str, fragments: &[Fragment]) -> String {
    let mut parts = template.split("{}");
    let mut text = parts.next().unwrap_or_default().to_owned();
    let mut fragments = fragments.iter();
    for part in parts {
        let fragment = fragments.next().expect("a template has a fragment for each {}");
        text.push_str(&fragment.0);
        text.push_str(part);
    }
    assert!(fragments.next().is_none(), "a template has a {{}} for each fragment");
    text
}

impl Fragment {
    /// Fills a constant template; see [`piece!`](crate::piece!). It is parsed with the query or
    /// expression that it becomes a part of.
    pub fn template(template: &'static str, fragments: &[Self]) -> Self {
        Self(fill(template, fragments))
    }

    /// No text: a clause that is left out.
    pub const fn none() -> Self {
        Self(String::new())
    }
}

impl Sql {
    /// Parses user text: exactly one SELECT.
    pub fn parse(text: &str) -> Result<Self> {
        let mut statements = parser(text)?.parse_statements().map_err(|e| syntax(text, &e))?;
        let several = statements.len() > 1;
        match statements.pop() {
            Some(Statement::Query(query)) if !several && is_select(&query.body) => {
                check_brackets(query.as_ref())?;
                Ok(Self(query))
            }
            Some(_) if several => Err(refused("there is more than one statement")),
            Some(Statement::Query(_)) => Err(refused("the query changes data")),
            Some(_) => Err(refused("the statement is not a SELECT")),
            None => Err(refused("the query is empty")),
        }
    }

    /// Fills a constant template; see [`sql!`](crate::sql!).
    pub fn template(template: &'static str, fragments: &[Fragment]) -> Result<Self> {
        let text = fill(template, fragments);
        Self::parse(&text).map_err(|problem| {
            Problem::new(&codes::INTERNAL, format!("a module made an invalid query: `{text}`"))
                .detail(problem)
        })
    }

    /// Names in FROM that are not CTEs of the query itself: (zone, table) or (none, name).
    pub fn relations(&self) -> BTreeSet<(Option<String>, String)> {
        let mut names = Names::default();
        let _ = self.0.visit(&mut names);
        names
            .relations
            .into_iter()
            .filter(|(zone, name)| zone.is_some() || !names.ctes.contains(name))
            .collect()
    }

    /// Lake tables that the query names.
    pub fn tables(&self) -> Vec<TableName> {
        self.relations()
            .into_iter()
            .filter_map(|(zone, name)| TableName::parse(&format!("{}.{name}", zone?)).ok())
            .collect()
    }

    /// Names of `$parameters`.
    pub fn parameters(&self) -> BTreeSet<String> {
        let mut parameters = Parameters::default();
        let _ = self.0.visit(&mut parameters);
        parameters.names
    }

    /// The syntax tree.
    pub fn query(&self) -> &Query {
        &self.0
    }
}

impl Expr {
    /// Parses user text: exactly one expression.
    pub fn parse(text: &str) -> Result<Self> {
        let mut parser = parser(text)?;
        let expr = parser.parse_expr().map_err(|e| syntax(text, &e))?;
        if parser.peek_token().token != sqlparser::tokenizer::Token::EOF {
            let token = parser.peek_token();
            return Err(Problem::new(
                &codes::SQL_SYNTAX,
                format!("the expression `{text}` goes on after its end at `{token}`"),
            )
            .hint("write one expression; conditions are joined with AND and OR"));
        }
        check_brackets(&expr)?;
        Ok(Self(Box::new(expr)))
    }

    /// A column.
    pub fn column(name: &str) -> Self {
        Self(Box::new(ast::Expr::Identifier(ast::Ident::with_quote('"', name))))
    }

    /// Fills a constant template; see [`expr!`](crate::expr!).
    pub fn template(template: &'static str, fragments: &[Fragment]) -> Result<Self> {
        let text = fill(template, fragments);
        Self::parse(&text).map_err(|problem| {
            Problem::new(&codes::INTERNAL, format!("a module made an invalid expression: `{text}`"))
                .detail(problem)
        })
    }

    /// The columns that the expression names, unqualified, in no order.
    pub fn columns(&self) -> BTreeSet<String> {
        let mut columns = Columns::default();
        let _ = self.0.visit(&mut columns);
        columns.paths.iter().filter_map(|path| path.last().cloned()).collect()
    }

    /// Columns as the expression writes them: `["a"]`, `["orders", "a"]`, `["address", "city"]`.
    pub fn references(&self) -> BTreeSet<Vec<String>> {
        let mut columns = Columns::default();
        let _ = self.0.visit(&mut columns);
        columns.paths
    }

    /// Whether names in the expression need not be columns of the input: it has a subquery or
    /// a lambda.
    pub fn has_own_names(&self) -> bool {
        self.0.visit(&mut OwnNames).is_break()
    }

    /// The syntax tree.
    pub fn tree(&self) -> &ast::Expr {
        &self.0
    }
}

impl Display for Sql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn parser(text: &str) -> Result<Parser<'static>> {
    static DIALECT: PostgreSqlDialect = PostgreSqlDialect {};
    Parser::new(&DIALECT).try_with_sql(text).map_err(|e| syntax(text, &e))
}

fn is_select(body: &SetExpr) -> bool {
    match body {
        SetExpr::Select(select) => select.into.is_none(),
        SetExpr::Query(query) => is_select(&query.body),
        SetExpr::SetOperation { left, right, .. } => is_select(left) && is_select(right),
        SetExpr::Values(_) => true,
        _ => false,
    }
}

fn refused(fact: &str) -> Problem {
    Problem::new(&codes::SQL_SYNTAX, fact).hint("write one SELECT, without `;` and further text")
}

fn syntax(text: &str, error: &ParserError) -> Problem {
    let detail = match error {
        ParserError::TokenizerError(detail) | ParserError::ParserError(detail) => detail.as_str(),
        ParserError::RecursionLimitExceeded => "the query is nested too deeply",
    };
    let shown = stdx::text::truncate(text.trim(), 200);
    Problem::new(&codes::SQL_SYNTAX, format!("`{shown}` is not valid SQL")).detail(detail).hint(
        "look at the words before that place: is a FROM, a comma or a bracket missing? names \
             with capitals or spaces need double quotes, texts single ones",
    )
}

#[derive(Default)]
struct Names {
    relations: BTreeSet<(Option<String>, String)>,
    ctes: BTreeSet<String>,
}

fn normal(ident: &ast::Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}

impl Visitor for Names {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if let Some(with) = &query.with {
            self.ctes.extend(with.cte_tables.iter().map(|cte| normal(&cte.alias.name)));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ast::ObjectName) -> ControlFlow<()> {
        let parts: Vec<String> =
            relation.0.iter().filter_map(ObjectNamePart::as_ident).map(normal).collect();
        match parts.as_slice() {
            [name] => self.relations.insert((None, name.clone())),
            [.., zone, name] => self.relations.insert((Some(zone.clone()), name.clone())),
            [] => false,
        };
        ControlFlow::Continue(())
    }
}

#[derive(Default)]
struct Parameters {
    names: BTreeSet<String>,
}

impl Visitor for Parameters {
    type Break = ();

    fn pre_visit_value(&mut self, value: &ast::ValueWithSpan) -> ControlFlow<()> {
        if let ast::Value::Placeholder(name) = &value.value {
            self.names.insert(name.trim_start_matches('$').to_owned());
        }
        ControlFlow::Continue(())
    }
}

#[derive(Default)]
struct Columns {
    paths: BTreeSet<Vec<String>>,
    /// Fields of values, as in `items[1].price`: they look like columns.
    fields: Vec<*const ast::Expr>,
}

impl Visitor for Columns {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
        match expr {
            ast::Expr::CompoundFieldAccess { access_chain, .. } => {
                let fields = access_chain.iter().filter_map(|access| match access {
                    ast::AccessExpr::Dot(field) => Some(std::ptr::from_ref(field)),
                    ast::AccessExpr::Subscript(_) => None,
                });
                self.fields.extend(fields);
            }
            field if self.fields.contains(&std::ptr::from_ref(field)) => {}
            ast::Expr::Identifier(ident) => {
                self.paths.insert(vec![normal(ident)]);
            }
            ast::Expr::CompoundIdentifier(parts) => {
                self.paths.insert(parts.iter().map(normal).collect());
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

struct OwnNames;

impl Visitor for OwnNames {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        ControlFlow::Break(())
    }

    fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
        match expr {
            ast::Expr::Lambda(_) | ast::Expr::Named { .. } => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_leave_their_quotes() {
        let sql = sql!("SELECT {} FROM {}", Text("it's'; DROP TABLE x --"), Ident("a\"b")).unwrap();
        assert_eq!(sql.to_string(), r#"SELECT 'it''s''; DROP TABLE x --' FROM "a""b""#);
    }

    #[test]
    fn only_one_select_passes() {
        assert!(Sql::parse("select 1; select 2").is_err());
        assert!(Sql::parse("insert into a values (1)").is_err());
        assert!(
            Sql::parse("with x as (delete from a returning *) select * from x").is_err()
                || Sql::parse("delete from a").is_err()
        );
        assert!(Sql::parse("select 1 into t").is_err());
        assert!(Expr::parse("a, b").is_err());
        assert!(Expr::parse("a) or (1=1").is_err());
    }

    #[test]
    fn pieces_are_parsed_with_their_query() {
        let sort = piece!("{} DESC", Ident("a b"));
        let sql = sql!("SELECT 1 ORDER BY {}{}", List(vec![sort]), Fragment::none()).unwrap();
        assert_eq!(sql.to_string(), r#"SELECT 1 ORDER BY "a b" DESC"#);
        assert!(sql!("SELECT {}", piece!("FROM")).is_err());
    }

    #[test]
    fn references_keep_their_qualifiers() {
        let expr = Expr::parse("Orders.a + b * address.city").unwrap();
        assert_eq!(expr.columns().len(), 3);
        assert!(expr.references().contains(&vec!["orders".to_owned(), "a".to_owned()]));
        assert!(Expr::parse("a > (select max(a) from t)").unwrap().has_own_names());
        let expr = Expr::parse("items[n].price").unwrap();
        assert_eq!(expr.columns().into_iter().collect::<Vec<_>>(), ["items", "n"]);
    }

    #[test]
    fn tables_and_parameters_are_found() {
        let sql = Sql::parse(
            "with t as (select * from silver.orders) select * from t join days on true where d > $day",
        )
        .unwrap();
        assert_eq!(sql.tables(), [TableName::parse("silver.orders").unwrap()]);
        assert!(sql.relations().contains(&(None, "days".to_owned())));
        assert!(!sql.relations().contains(&(None, "t".to_owned())));
        assert!(sql.parameters().contains("day"));
    }
}
