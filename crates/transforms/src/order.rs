//! `order_by`: SQL has no order, so modules that need one say which.

use crate::settings::{ShortOr, invalid};
use contracts::NamedInput;
use contracts::arrow_types::{FILE, ROW};
use contracts::piece;
use contracts::sql::{Fragment, Ident, ToFragment};
use model::Result;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// Columns that put rows in order: `day`, `day desc`, or `{column: day, descending: true}`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OrderBy(Vec<SortColumn>);

/// A column to sort by.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SortColumn {
    /// The column.
    column: String,
    /// Whether great values come first.
    #[serde(default)]
    descending: bool,
    /// Where rows without a value come.
    #[serde(default)]
    nulls: Option<Nulls>,
}

/// Where rows without a value come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Nulls {
    /// Before all others.
    First,
    /// After all others.
    Last,
}

/// One item of an ORDER BY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sort {
    column: String,
    descending: bool,
    nulls_first: bool,
    nulls_given: bool,
}

impl Sort {
    fn ascending(column: &str) -> Self {
        Self {
            column: column.to_owned(),
            descending: false,
            nulls_first: false,
            nulls_given: false,
        }
    }

    /// The opposite direction. Rows without a value stay last, unless it was said otherwise.
    pub(crate) fn reversed(mut self) -> Self {
        self.descending = !self.descending;
        self.nulls_first = self.nulls_given && !self.nulls_first;
        self
    }
}

impl ToFragment for Sort {
    fn to_fragment(&self) -> Fragment {
        let column = Ident(&self.column);
        match (self.descending, self.nulls_first) {
            (false, false) => piece!("{} NULLS LAST", column),
            (false, true) => piece!("{} NULLS FIRST", column),
            (true, false) => piece!("{} DESC NULLS LAST", column),
            (true, true) => piece!("{} DESC NULLS FIRST", column),
        }
    }
}

impl OrderBy {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The order as it was given.
    pub(crate) fn given(&self, input: &NamedInput, setting: &str) -> Result<Vec<Sort>> {
        let mut sorts = Vec::with_capacity(self.0.len());
        for (at, sort) in self.0.iter().enumerate() {
            input.column(&sort.column, &format!("{setting}/{at}"))?;
            sorts.push(Sort {
                column: sort.column.clone(),
                descending: sort.descending,
                nulls_first: sort.nulls == Some(Nulls::First),
                nulls_given: sort.nulls.is_some(),
            });
        }
        Ok(sorts)
    }

    /// The order as it was given, then the origin of the rows where they have one.
    pub(crate) fn with_origin(&self, input: &NamedInput, setting: &str) -> Result<Vec<Sort>> {
        let mut sorts = self.given(input, setting)?;
        for name in [FILE, ROW] {
            if input.has(name) && sorts.iter().all(|sort| sort.column != name) {
                sorts.push(Sort::ascending(name));
            }
        }
        Ok(sorts)
    }

    /// Like [`OrderBy::with_origin`], for modules that cannot do without an order.
    pub(crate) fn needed(&self, input: &NamedInput, setting: &str) -> Result<Vec<Sort>> {
        let sorts = self.with_origin(input, setting)?;
        if self.is_empty() && !input.has(ROW) {
            return Err(invalid(setting, format!("the rows of `{}` have no order", input.name))
                .arg("input", &input.name)
                .hint("add `order_by:` with the columns that put the rows in order"));
        }
        Ok(sorts)
    }
}

fn parse(text: &str) -> SortColumn {
    let (column, descending) = match text.trim().rsplit_once(char::is_whitespace) {
        Some((column, word)) if word.eq_ignore_ascii_case("desc") => (column, true),
        Some((column, word)) if word.eq_ignore_ascii_case("asc") => (column, false),
        _ => (text, false),
    };
    SortColumn { column: column.trim().to_owned(), descending, nulls: None }
}

impl<'de> Deserialize<'de> for OrderBy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OrderByVisitor)
    }
}

struct OrderByVisitor;

impl<'de> Visitor<'de> for OrderByVisitor {
    type Value = OrderBy;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a column or a list of columns to sort by")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<OrderBy, E> {
        Ok(OrderBy(vec![parse(text)]))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OrderBy, A::Error> {
        let map = serde::de::value::MapAccessDeserializer::new(map);
        Ok(OrderBy(vec![SortColumn::deserialize(map)?]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<OrderBy, A::Error> {
        let mut columns = Vec::new();
        while let Some(column) = sequence.next_element::<ShortOr<SortColumn>>()? {
            columns.push(match column {
                ShortOr::Short(text) => parse(&text),
                ShortOr::Long(column) => column,
            });
        }
        Ok(OrderBy(columns))
    }
}

impl JsonSchema for OrderBy {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "OrderBy".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let column = generator.subschema_for::<ShortOr<SortColumn>>();
        json_schema!({
            "anyOf": [{"type": "array", "items": column}, {"type": "string"}],
            "x-widget": "order_by"
        })
    }
}
