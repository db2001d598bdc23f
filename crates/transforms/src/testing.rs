//! Helpers of unit tests: settings as JSON, inputs as names and types.

use contracts::arrow_types::to_field;
use contracts::{Inputs, NamedInput, Relation, Relational};
use model::{DataType, Problem};
use serde_json::Value;
use std::sync::Arc;

/// An input: `a: integer, b: string`.
pub(crate) fn input(name: &str, columns: &str) -> NamedInput {
    let field = |column: &str| {
        let (name, data_type) = column.split_once(':').unwrap();
        to_field(name.trim(), &DataType::parse(data_type).unwrap())
    };
    let fields: Vec<_> = columns.split(';').map(field).collect();
    let schema = Arc::new(arrow::datatypes::Schema::new(fields));
    NamedInput { name: name.to_owned(), role: None, schema }
}

/// The only input of a module.
pub(crate) fn one(columns: &str) -> Inputs {
    Inputs { list: vec![input("rows", columns)], ..Inputs::default() }
}

/// Inputs by role; their names are those of the roles with `_rows`.
pub(crate) fn named(roles: &[(&str, &str)]) -> Inputs {
    let list = roles.iter().map(|(role, columns)| NamedInput {
        role: Some((*role).to_owned()),
        ..input(&format!("{role}_rows"), columns)
    });
    Inputs { list: list.collect(), ..Inputs::default() }
}

fn relation<M: Relational>(config: &str, inputs: &Inputs) -> Result<Relation, Problem> {
    let config: Value = serde_json::from_str(config).unwrap();
    let config = model::yaml::read_value(&config).map_err(|(path, p)| p.in_setting(path))?;
    M::query(&config, inputs)
}

/// The SQL that a module makes.
#[track_caller]
pub(crate) fn sql<M: Relational>(config: &str, inputs: &Inputs) -> String {
    relation::<M>(config, inputs).unwrap().sql.to_string()
}

/// The problem that a module answers with.
#[track_caller]
pub(crate) fn problem<M: Relational>(config: &str, inputs: &Inputs) -> Problem {
    relation::<M>(config, inputs).unwrap_err()
}

/// The setting and the message of a problem, for comparing.
#[track_caller]
pub(crate) fn refused<M: Relational>(config: &str, inputs: &Inputs) -> String {
    let problem = problem::<M>(config, inputs);
    assert!(!problem.is(&model::codes::INTERNAL), "{problem}");
    format!("{}: {problem}", problem.context().setting.clone().unwrap_or_default())
}
