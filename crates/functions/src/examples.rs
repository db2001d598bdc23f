//! Every example of every function, evaluated by a tiny reader of calls and literals.

use crate::all;
use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, NullArray, StringViewArray};
use arrow::compute::cast;
use arrow::compute::kernels::cmp;
use arrow::datatypes::DataType;
use arrow::util::display::array_value_to_string;
use contracts::function::{Argument, ArgumentInfo};
use std::collections::HashSet;
use std::sync::Arc;

struct Value {
    array: ArrayRef,
    literal: Option<String>,
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.text[self.at..].trim_start()
    }

    fn skip(&mut self) {
        self.at = self.text.len() - self.rest().len();
    }

    fn eat(&mut self, token: &str) -> bool {
        self.skip();
        let there = self.rest().starts_with(token);
        self.at += if there { token.len() } else { 0 };
        there
    }

    fn comparison(&mut self) -> Value {
        let left = self.value();
        let is_less = self.eat("<");
        if !is_less && !self.eat("=") {
            return left;
        }
        let right = cast(&self.value().array, left.array.data_type()).unwrap();
        let compare = if is_less { cmp::lt } else { cmp::eq };
        let result: BooleanArray = compare(&left.array, &right).unwrap();
        Value { array: Arc::new(result), literal: None }
    }

    fn value(&mut self) -> Value {
        self.skip();
        if self.eat("'") {
            return self.quoted();
        }
        let word = |c: char| c.is_alphanumeric() || "_.-".contains(c);
        let end = self.rest().find(|c| !word(c)).unwrap_or(self.rest().len());
        let word = self.rest()[..end].to_owned();
        self.at += end;
        if self.eat("(") {
            return self.call(&word);
        }
        let array: ArrayRef = match word.as_str() {
            "NULL" => return Value { array: Arc::new(NullArray::new(1)), literal: None },
            "true" | "false" => Arc::new(BooleanArray::from(vec![word == "true"])),
            _ if word.contains('.') => {
                Arc::new(arrow::array::Float64Array::from(vec![word.parse::<f64>().unwrap()]))
            }
            _ => Arc::new(Int64Array::from(vec![word.parse::<i64>().unwrap()])),
        };
        Value { array, literal: Some(word) }
    }

    fn quoted(&mut self) -> Value {
        let mut text = String::new();
        loop {
            let end = self.text[self.at..].find('\'').expect("a quote is closed");
            text.push_str(&self.text[self.at..self.at + end]);
            self.at += end + 1;
            if !self.text[self.at..].starts_with('\'') {
                break;
            }
            text.push('\'');
            self.at += 1;
        }
        let array = Arc::new(StringViewArray::from_iter_values([text.as_str()]));
        Value { array, literal: Some(text) }
    }

    fn call(&mut self, name: &str) -> Value {
        let mut values = Vec::new();
        while !self.eat(")") {
            values.push(self.value());
            self.eat(",");
        }
        let function = all().into_iter().find(|function| function.name == name).expect(name);
        let types: Vec<DataType> =
            values.iter().map(|value| value.array.data_type().clone()).collect();
        let wanted = (function.coerce)(&types).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((function.coerce)(&wanted).unwrap(), wanted, "{name} coerces what is coerced");
        let info: Vec<ArgumentInfo> = values
            .iter()
            .zip(&wanted)
            .map(|(value, data_type)| ArgumentInfo {
                data_type: data_type.clone(),
                literal: value.literal.clone(),
            })
            .collect();
        let field = (function.returns)(&info).unwrap_or_else(|error| panic!("{name}: {error}"));
        let cast_to = |(value, wanted): (&Value, &DataType)| cast(&value.array, wanted).unwrap();
        let arrays: Vec<ArrayRef> = values.iter().zip(&wanted).map(cast_to).collect();
        let scalars: Vec<Argument> = arrays.iter().cloned().map(Argument::Scalar).collect();
        let array =
            (function.invoke)(&scalars, 1).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(array.data_type(), field.data_type(), "{name} gives another type than it says");
        check_shapes(&function, &arrays, &array);
        Value { array, literal: None }
    }
}

/// The same answer for columns as for scalars, for no rows, and all the types for nulls.
fn check_shapes(
    function: &contracts::function::ScalarFunction,
    arrays: &[ArrayRef],
    one: &ArrayRef,
) {
    let name = function.name;
    let repeated = |array: &ArrayRef| {
        let indices = arrow::array::UInt32Array::from_value(0, 3);
        arrow::compute::take(array, &indices, None).unwrap()
    };
    let columns: Vec<Argument> =
        arrays.iter().map(|array| Argument::Array(repeated(array))).collect();
    let three = (function.invoke)(&columns, 3).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(&three, &repeated(one), "{name} differs for columns");
    let scalars: Vec<Argument> = arrays.iter().cloned().map(Argument::Scalar).collect();
    let three = (function.invoke)(&scalars, 3).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(&three, &repeated(one), "{name} differs for repeated scalars");
    let mut empty = scalars.clone();
    if let Some(first) = empty.first_mut() {
        *first = Argument::Array(arrays[0].slice(0, 0));
        if name != "hash_text" {
            let none =
                (function.invoke)(&empty, 0).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(none.len(), 0, "{name} of no rows");
        }
    }
}

#[test]
fn examples_hold() {
    for function in all() {
        for (sql, expected) in function.examples {
            let value = Reader { text: sql, at: 0 }.comparison();
            let printed = match value.array.is_null(0) {
                true => "NULL".to_owned(),
                false => array_value_to_string(&value.array, 0).unwrap(),
            };
            assert_eq!(printed, *expected, "{sql}");
        }
    }
}

#[test]
fn functions_are_described() {
    let mut names = HashSet::new();
    for function in all() {
        let name = function.name;
        assert!(names.insert(name), "two functions are called `{name}`");
        assert!(model::Name::new(name).is_ok(), "{name}");
        assert!(function.summary.ends_with('.'), "{name}: the summary is not a sentence");
        assert!(function.syntax.starts_with(&format!("{name}(")), "{name}: {}", function.syntax);
        assert!(!function.examples.is_empty(), "{name} has no example");
    }
}

#[test]
fn wrong_calls_are_problems_not_panics() {
    let types = [DataType::Null, DataType::Boolean, DataType::Int64, DataType::Utf8View];
    for function in all() {
        for count in 0..8 {
            for data_type in &types {
                let given = vec![data_type.clone(); count];
                if let Ok(wanted) = (function.coerce)(&given) {
                    assert_eq!(wanted.len(), count, "{}", function.name);
                }
            }
        }
    }
}
