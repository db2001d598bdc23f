//! Shapes of settings that several modules share.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// One character, written as itself or by a name: `tab`, `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Character(Option<char>);

impl Character {
    /// The character, unless `none` was written.
    pub fn get(self) -> Option<char> {
        self.0
    }
}

impl<'de> Deserialize<'de> for Character {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut characters = text.chars();
        match (text.as_str(), characters.next(), characters.next()) {
            ("none" | "", ..) => Ok(Self(None)),
            ("tab" | "\\t", ..) => Ok(Self(Some('\t'))),
            ("space", ..) => Ok(Self(Some(' '))),
            (_, Some(only), None) => Ok(Self(Some(only))),
            _ => Err(D::Error::custom(format_args!(
                "`{text}` is more than one character; names are tab, space and none"
            ))),
        }
    }
}

impl JsonSchema for Character {
    fn schema_name() -> Cow<'static, str> {
        "Character".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "examples": [";", "tab", "none"]})
    }
}

/// A map that keeps the order of the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ordered<T>(Vec<(String, T)>);

impl<T> Default for Ordered<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Ordered<T> {
    /// The entries in the order of the document.
    pub fn entries(&self) -> &[(String, T)] {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&T> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Ordered<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OrderedVisitor(PhantomData))
    }
}

struct OrderedVisitor<T>(PhantomData<T>);

impl<'de, T: DeserializeOwned> Visitor<'de> for OrderedVisitor<T> {
    type Value = Ordered<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered<T>, A::Error> {
        let mut entries: Vec<(String, T)> = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if entries.iter().any(|(name, _)| *name == key) {
                return Err(A::Error::custom(format_args!("`{key}` stands there twice")));
            }
            entries.push((key, map.next_value()?));
        }
        Ok(Ordered(entries))
    }
}

impl<T: Serialize> Serialize for Ordered<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<T: JsonSchema> JsonSchema for Ordered<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("Map_of_{}", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<T>();
        json_schema!({"type": "object", "additionalProperties": value})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn characters_have_names() {
        let read =
            |text: &str| serde_json::from_value::<Character>(json!(text)).map(Character::get);
        assert_eq!(read(";").unwrap(), Some(';'));
        assert_eq!(read("tab").unwrap(), Some('\t'));
        assert_eq!(read("\t").unwrap(), Some('\t'));
        assert_eq!(read("none").unwrap(), None);
        assert!(read("||").unwrap_err().to_string().contains("more than one character"));
    }

    #[test]
    fn maps_keep_the_order_of_the_document() {
        let map: Ordered<u8> = serde_json::from_str("{\"z\": 1, \"a\": 2}").unwrap();
        assert_eq!(map.entries(), [("z".to_owned(), 1), ("a".to_owned(), 2)]);
        assert!(serde_json::from_str::<Ordered<u8>>("{\"z\": 1, \"z\": 2}").is_err());
    }
}
