//! The columns of a JSON source, and the way of each value from a record into its column.

use super::cells::{Cells, Reading};
use super::parse::{Kind, Tape};
use super::shape::Shape;
use super::{DuplicateKeys, GeometryForm, JsonOptions, NewKeys, Types};
use crate::batch::source_schema;
use arrow::datatypes::SchemaRef;
use contracts::rejects::RejectError;
use model::{DataType, Problem, Result, codes};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

const COLUMNS_MAX: usize = 8192;
/// The column of rows that are not objects.
const VALUE: &str = "value";

/// A column and how freely its values are read.
#[derive(Debug)]
struct Column {
    header: String,
    data_type: DataType,
    reading: Reading,
}

/// Where the value of a key goes.
#[derive(Debug)]
enum Target {
    Column(usize),
    Branch(Branch),
    Ignored,
}

/// An object that is taken apart.
#[derive(Debug, Default)]
struct Branch {
    entries: Vec<(String, Target)>,
    positions: HashMap<String, usize>,
    /// Columns at or below this object.
    columns: Range<usize>,
}

/// How records become rows.
#[derive(Debug)]
pub(crate) struct Plan {
    root: Branch,
    value: Option<usize>,
    columns: Vec<Column>,
    duplicate_keys: DuplicateKeys,
    new_keys: NewKeys,
    pub(crate) schema: SchemaRef,
}

impl Plan {
    /// The columns that follow from a sample and from the options.
    pub(crate) fn new(shape: &Shape, options: &JsonOptions, is_geojson: bool) -> Result<Self> {
        let mut builder =
            Builder { options, columns: Vec::new(), missing: options.columns.clone() };
        let members = shape.members(true).or_else(|| shape.is_empty().then_some(&[]));
        let mut root = match members {
            Some(members) if is_geojson => builder.features(members),
            Some(members) => builder.branch(members, ""),
            None => Branch::default(),
        };
        let value = (members.is_none()).then(|| builder.column(VALUE, shape.data_type()));
        for (header, data_type) in std::mem::take(&mut builder.missing) {
            builder.add_declared(&mut root, &header, data_type)?;
        }
        root.columns = 0..builder.columns.len();
        let columns = builder.columns;
        if columns.len() > COLUMNS_MAX {
            return Err(too_many_columns(columns.len()));
        }
        let schema = source_schema(columns.iter().map(|c| (c.header.as_str(), &c.data_type)));
        let Options { duplicate_keys, new_keys } = Options::of(options);
        Ok(Self { root, value, columns, duplicate_keys, new_keys, schema })
    }

    /// A builder for each column.
    pub(crate) fn cells(&self) -> Result<Vec<Cells>> {
        self.columns.iter().map(|column| Cells::new(&column.data_type)).collect()
    }

    /// Finds the value of each column in a row; 0 is none, else the node's number + 1.
    pub(crate) fn assign(
        &self,
        tape: Tape<'_>,
        row: u32,
        values: &mut Vec<u32>,
    ) -> Result<(), RejectError> {
        values.clear();
        values.resize(self.columns.len(), 0);
        match (tape.node(row).kind, self.value) {
            (_, Some(value)) => {
                values[value] = row + 1;
                Ok(())
            }
            (Kind::Object, None) => self.assign_members(&self.root, tape, row, values),
            // A null among the rows is a row in which everything is null.
            (Kind::Null, None) => Ok(()),
            (_, None) => Err(reject(VALUE, tape, row, "the row is not an object")),
        }
    }

    fn assign_members(
        &self,
        branch: &Branch,
        tape: Tape<'_>,
        object: u32,
        values: &mut [u32],
    ) -> Result<(), RejectError> {
        let mut expected = 0;
        for (key, value) in tape.members(object) {
            let name = tape.text(key);
            let position = match branch.entries.get(expected) {
                Some((known, _)) if *known == name => expected,
                _ => match branch.positions.get(&*name) {
                    Some(position) => *position,
                    None if self.new_keys == NewKeys::Ignore => continue,
                    None if tape.node(value).kind == Kind::Null => continue,
                    None => {
                        let reason = "the key is new: it did not occur in the sample";
                        return Err(reject(&name, tape, value, reason));
                    }
                },
            };
            expected = position + 1;
            self.assign_target(&branch.entries[position], tape, value, values)?;
        }
        Ok(())
    }

    fn assign_target(
        &self,
        entry: &(String, Target),
        tape: Tape<'_>,
        value: u32,
        values: &mut [u32],
    ) -> Result<(), RejectError> {
        let (name, target) = entry;
        let range = match target {
            Target::Column(column) => *column..*column + 1,
            Target::Branch(branch) => branch.columns.clone(),
            Target::Ignored => return Ok(()),
        };
        let is_repeated = values[range.clone()].iter().any(|node| *node != 0);
        if is_repeated && self.duplicate_keys == DuplicateKeys::Reject {
            return Err(reject(name, tape, value, "the key occurs twice"));
        }
        if is_repeated {
            values[range].fill(0);
        }
        match target {
            Target::Column(column) => values[*column] = value + 1,
            Target::Branch(branch) => match tape.node(value).kind {
                Kind::Object => return self.assign_members(branch, tape, value, values),
                Kind::Null => {}
                _ => return Err(reject(name, tape, value, "is not an object")),
            },
            Target::Ignored => {}
        }
        Ok(())
    }

    /// Adds a row to the columns, or nulls where a value does not fit, and says which.
    pub(crate) fn append(
        &self,
        tape: Tape<'_>,
        values: &[u32],
        cells: &mut [Cells],
    ) -> Vec<RejectError> {
        let mut errors = Vec::new();
        for (at, (cells, node)) in cells.iter_mut().zip(values).enumerate() {
            let Some(node) = node.checked_sub(1) else {
                cells.null();
                continue;
            };
            if let Err(reason) = cells.append(tape, node, self.columns[at].reading) {
                let name = self.schema.field(at).name();
                errors.push(reject(name, tape, node, &reason));
            }
        }
        errors
    }
}

fn reject(column: &str, tape: Tape<'_>, node: u32, reason: &str) -> RejectError {
    let value = Some(stdx::text::truncate(&tape.text(node), 1024).to_owned());
    RejectError { column: column.to_owned(), value, reason: reason.to_owned() }
}

fn too_many_columns(count: usize) -> Problem {
    Problem::new(&codes::FILE_TOO_LARGE, format!("the rows would have {count} columns"))
        .arg("columns", count)
        .hint(
            "if keys are data, `record_path: $[*]` makes a row of each; else lower `depth`, so \
             that inner objects stay JSON texts",
        )
}

struct Options {
    duplicate_keys: DuplicateKeys,
    new_keys: NewKeys,
}

impl Options {
    fn of(options: &JsonOptions) -> Self {
        Self { duplicate_keys: options.duplicate_keys, new_keys: options.new_keys }
    }
}

/// Makes columns in the order of the keys.
struct Builder<'a> {
    options: &'a JsonOptions,
    columns: Vec<Column>,
    /// Declared columns that have not been met.
    missing: BTreeMap<String, DataType>,
}

impl Builder<'_> {
    fn column(&mut self, header: &str, inferred: DataType) -> usize {
        let (data_type, reading) = match (self.missing.remove(header), self.options.types) {
            (Some(declared), _) => (declared, Reading::Declared),
            (None, Types::Text) => (DataType::String, Reading::Text),
            (None, Types::Infer) => (inferred, Reading::Inferred),
        };
        self.columns.push(Column { header: header.to_owned(), data_type, reading });
        self.columns.len() - 1
    }

    fn branch(&mut self, members: &[(String, Shape)], prefix: &str) -> Branch {
        let start = self.columns.len();
        let mut branch = Branch::default();
        for (key, shape) in members {
            let header = join(prefix, key);
            let target = self.target(shape, &header);
            branch.push(key, target);
        }
        branch.columns = start..self.columns.len();
        branch
    }

    fn target(&mut self, shape: &Shape, header: &str) -> Target {
        match shape.members(false) {
            Some(members) if !self.missing.contains_key(header) => {
                Target::Branch(self.branch(members, header))
            }
            _ => Target::Column(self.column(header, shape.data_type())),
        }
    }

    /// Features: id and geometry first, so that a property of the same name does not take their
    /// names; properties without their prefix.
    fn features(&mut self, members: &[(String, Shape)]) -> Branch {
        let rank = |key: &str| match key {
            "id" => 0,
            "geometry" => 1,
            "properties" => 2,
            _ => 3,
        };
        let mut members: Vec<&(String, Shape)> = members.iter().collect();
        members.sort_by_key(|(key, _)| rank(key));
        let mut branch = Branch::default();
        for (key, shape) in members {
            let target = match (key.as_str(), shape.members(false)) {
                ("type", _) => Target::Ignored,
                ("properties", Some(members)) => Target::Branch(self.branch(members, "")),
                ("properties", None) if shape.is_empty() => Target::Ignored,
                ("geometry", _) => {
                    let data_type = match self.options.geometry {
                        GeometryForm::Json => DataType::Json,
                        GeometryForm::Wkb => DataType::Geometry,
                    };
                    Target::Column(self.geometry(key, data_type))
                }
                _ => self.target(shape, key),
            };
            branch.push(key, target);
        }
        branch
    }

    fn geometry(&mut self, header: &str, data_type: DataType) -> usize {
        let data_type = self.missing.remove(header).unwrap_or(data_type);
        let reading = Reading::Declared;
        self.columns.push(Column { header: header.to_owned(), data_type, reading });
        self.columns.len() - 1
    }

    /// Adds a declared column that the sample did not have, below the object it belongs to.
    fn add_declared(&mut self, root: &mut Branch, header: &str, data_type: DataType) -> Result<()> {
        let column = self.columns.len();
        let reading = Reading::Declared;
        self.columns.push(Column { header: header.to_owned(), data_type, reading });
        let mut branch = root;
        let mut keys = header.split('.').peekable();
        while let Some(key) = keys.next() {
            let position = branch.positions.get(key).copied();
            if keys.peek().is_none() && position.is_none() {
                branch.push(key, Target::Column(column));
                return Ok(());
            }
            let position = position.unwrap_or_else(|| {
                branch.push(key, Target::Branch(Branch::default()));
                branch.entries.len() - 1
            });
            match &mut branch.entries[position].1 {
                Target::Branch(inner) => branch = inner,
                Target::Column(_) | Target::Ignored => break,
            }
        }
        Err(Problem::new(
            &codes::SETTING_INVALID,
            format!("there is no place for the declared column `{header}`"),
        )
        .arg("column", header)
        .hint("a column above it is not always an object; declare that one as `json`"))
    }
}

impl Branch {
    fn push(&mut self, key: &str, target: Target) {
        self.positions.insert(key.to_owned(), self.entries.len());
        self.entries.push((key.to_owned(), target));
    }
}

fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") }
}
