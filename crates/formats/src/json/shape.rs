//! What a sample of records looks like, and the columns that follow from it.

use super::number::{self, NumberFacts};
use super::parse::{Kind, Tape};
use model::DataType;
use std::collections::HashMap;

/// An object inside of a row with more keys than this uses them as data, and stays JSON text.
const KEYS_MAX: usize = 512;
/// Rows, and the properties of GeoJSON features, may be wider; far beyond what they can have as
/// columns there is no use in counting on.
const ROW_KEYS_MAX: usize = 16_384;
/// Where GeoJSON features have what others have in the row itself.
const PROPERTIES: &str = "properties";
const DECIMAL_DIGITS_MAX: usize = 38;

/// What has been seen at one place of the records.
#[derive(Debug, Default)]
pub(crate) struct Shape {
    booleans: bool,
    texts: bool,
    lists: bool,
    objects: bool,
    numbers: Numbers,
    item: Option<Box<Shape>>,
    keys: Vec<(String, Shape)>,
    positions: HashMap<String, usize>,
    is_map: bool,
}

#[derive(Debug, Default)]
struct Numbers {
    seen: bool,
    fractions: bool,
    exponents: bool,
    beyond_i64: bool,
    beyond_float: bool,
    integer_digits: usize,
    scale: usize,
}

impl Numbers {
    fn add(&mut self, facts: NumberFacts) {
        self.seen = true;
        self.fractions |= !facts.is_integer;
        self.exponents |= facts.has_exponent;
        self.beyond_i64 |= facts.is_integer && !facts.fits_i64;
        self.beyond_float |= !facts.float_keeps;
        self.integer_digits = self.integer_digits.max(facts.integer_digits);
        self.scale = self.scale.max(facts.scale);
    }

    /// The type that keeps every digit.
    fn data_type(&self) -> DataType {
        if !self.fractions && !self.beyond_i64 {
            return DataType::Integer;
        }
        if self.fractions && !self.beyond_float {
            return DataType::Float;
        }
        let fits = self.integer_digits + self.scale <= DECIMAL_DIGITS_MAX;
        match i8::try_from(self.scale) {
            Ok(scale) if fits && !self.exponents => DataType::Decimal(38, scale),
            _ => DataType::String,
        }
    }
}

impl Shape {
    /// Takes a row into account; objects in it are entered down to `depth` levels.
    pub(crate) fn add_row(&mut self, tape: Tape<'_>, row: u32, depth: usize) {
        self.add(tape, row, depth + 1, ROW_KEYS_MAX);
    }

    fn add(&mut self, tape: Tape<'_>, node: u32, depth: usize, keys_max: usize) {
        match tape.node(node).kind {
            Kind::Null => {}
            Kind::Boolean => self.booleans = true,
            Kind::Plain | Kind::Escaped => self.texts = true,
            Kind::Number => self.numbers.add(number::facts(tape.raw(node))),
            Kind::List => {
                self.lists = true;
                let item = self.item.get_or_insert_default();
                for element in tape.items(node) {
                    item.add(tape, element, 0, 0);
                }
            }
            Kind::Object => {
                self.objects = true;
                if depth > 0 && !self.is_map {
                    self.add_members(tape, node, depth, keys_max);
                }
            }
        }
    }

    fn add_members(&mut self, tape: Tape<'_>, node: u32, depth: usize, keys_max: usize) {
        let mut expected = 0;
        for (key, value) in tape.members(node) {
            let name = tape.text(key);
            let position = match self.keys.get(expected) {
                Some((known, _)) if *known == name => expected,
                _ => self.position(&name),
            };
            let is_wide = keys_max == ROW_KEYS_MAX && name == PROPERTIES;
            let inner_max = if is_wide { ROW_KEYS_MAX - 1 } else { KEYS_MAX };
            self.keys[position].1.add(tape, value, depth - 1, inner_max);
            expected = position + 1;
        }
        self.is_map = self.keys.len() > keys_max;
    }

    fn position(&mut self, name: &str) -> usize {
        if let Some(position) = self.positions.get(name) {
            return *position;
        }
        self.keys.push((name.to_owned(), Self::default()));
        self.positions.insert(name.to_owned(), self.keys.len() - 1);
        self.keys.len() - 1
    }

    /// The keys, when every value that is not null is an object that is to be taken apart.
    pub(crate) fn members(&self, is_root: bool) -> Option<&[(String, Shape)]> {
        let only_objects = !self.booleans && !self.texts && !self.lists && !self.numbers.seen;
        let flat = only_objects && self.objects && (is_root || !self.is_map);
        (flat && (is_root || !self.keys.is_empty())).then_some(&self.keys)
    }

    /// Whether nothing at all has been seen.
    pub(crate) fn is_empty(&self) -> bool {
        !self.objects && !self.has_values()
    }

    /// Whether something else than an object has been seen.
    pub(crate) fn has_values(&self) -> bool {
        self.booleans || self.texts || self.lists || self.numbers.seen
    }

    /// The type of a column with these values.
    pub(crate) fn data_type(&self) -> DataType {
        let scalars = [self.booleans, self.numbers.seen, self.texts];
        let scalar_kinds = scalars.into_iter().filter(|seen| *seen).count();
        if self.objects || (self.lists && scalar_kinds > 0) {
            return DataType::Json;
        }
        if self.lists {
            return self.list_type();
        }
        match scalar_kinds {
            1 if self.booleans => DataType::Boolean,
            1 if self.numbers.seen => self.numbers.data_type(),
            _ => DataType::String,
        }
    }

    fn list_type(&self) -> DataType {
        let Some(item) = &self.item else { return DataType::Json };
        let scalars = [item.booleans, item.numbers.seen, item.texts];
        let scalar_kinds = scalars.into_iter().filter(|seen| *seen).count();
        if item.objects || item.lists || scalar_kinds > 1 {
            return DataType::Json;
        }
        DataType::List(Box::new(item.data_type()))
    }
}
