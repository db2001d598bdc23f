//! Settings that every source of files has, with the options of its format beside them.

use contracts::settings::OneOrMany;
use model::Name;
use schemars::{JsonSchema, SchemaGenerator};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

const BYTES_MAX_DEFAULT: u64 = 16 << 30;

/// Settings of a source of files whose format has the options `O`.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct FileConfig<O> {
    /// The file: a path that starts at the project folder, a pattern such as `data/orders-*.csv`,
    /// `s3://bucket/key*`, an `https://` URL, or a list of these. Files are read in the order of
    /// their names.
    #[schemars(extend("x-widget" = "path"))]
    pub path: OneOrMany,
    /// For `s3://` paths: the connection to use.
    #[schemars(default)]
    pub connection: Option<Name>,
    /// Which of the files a run reads.
    #[schemars(default)]
    pub read: ReadMode,
    /// Whether files are copied before they are read: `copy` for `s3://` and URLs, `reference`
    /// for local files when not given.
    #[schemars(default)]
    pub land: Option<Land>,
    /// The largest file that is copied, in bytes.
    #[schemars(default = "bytes_max_default")]
    pub bytes_max: u64,
    /// Options of the format.
    #[schemars(flatten)]
    pub options: O,
}

/// Which files a run reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReadMode {
    /// Those that no run has read, or that have changed since.
    #[default]
    New,
    /// All of them each time; there is something to do when one is new, changed or gone.
    All,
}

/// What a run keeps of its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Land {
    /// Nothing: files are read where they are, and must not change until the run has finished.
    Reference,
    /// A copy in the landing folder, made before anything is read.
    Copy,
}

fn bytes_max_default() -> u64 {
    BYTES_MAX_DEFAULT
}

const COMMON: &[&str] = &["path", "connection", "read", "land", "bytes_max"];

impl<'de, O: Deserialize<'de> + JsonSchema> Deserialize<'de> for FileConfig<O> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ConfigVisitor(PhantomData))
    }
}

struct ConfigVisitor<O>(PhantomData<O>);

impl<'de, O: Deserialize<'de> + JsonSchema> Visitor<'de> for ConfigVisitor<O> {
    type Value = FileConfig<O>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of settings")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let mut common = Common::default();
        // The format takes its options from the same map; what is common is kept back on the way.
        // (`serde(flatten)` would lose the place of a wrong value.)
        let split = Split { map, common: &mut common, options: option_names::<O>() };
        let options = O::deserialize(MapAccessDeserializer::new(split))?;
        Ok(FileConfig {
            path: common.path.ok_or_else(|| A::Error::missing_field("path"))?,
            connection: common.connection,
            read: common.read,
            land: common.land,
            bytes_max: common.bytes_max.unwrap_or(BYTES_MAX_DEFAULT),
            options,
        })
    }
}

#[derive(Default)]
struct Common {
    path: Option<OneOrMany>,
    connection: Option<Name>,
    read: ReadMode,
    land: Option<Land>,
    bytes_max: Option<u64>,
}

fn option_names<O: JsonSchema>() -> Vec<String> {
    let schema = SchemaGenerator::default().into_root_schema_for::<O>();
    let properties = schema.get("properties").and_then(serde_json::Value::as_object);
    properties.into_iter().flatten().map(|(name, _)| name.clone()).collect()
}

/// The entries of a map that are options of the format.
struct Split<'a, A> {
    map: A,
    common: &'a mut Common,
    options: Vec<String>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Split<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        while let Some(key) = self.map.next_key_seed(KnownKey { options: &self.options })? {
            match key.as_str() {
                "path" => self.common.path = Some(self.map.next_value()?),
                "connection" => self.common.connection = self.map.next_value()?,
                "read" => self.common.read = self.map.next_value()?,
                "land" => self.common.land = self.map.next_value()?,
                "bytes_max" => self.common.bytes_max = Some(self.map.next_value()?),
                _ => return seed.deserialize(key.into_deserializer()).map(Some),
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

/// A key that is common or an option of the format.
struct KnownKey<'a> {
    options: &'a [String],
}

impl<'de> DeserializeSeed<'de> for KnownKey<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        let key = String::deserialize(deserializer)?;
        if COMMON.contains(&key.as_str()) || self.options.contains(&key) {
            return Ok(key);
        }
        let options = self.options.iter().map(String::as_str);
        let known: Vec<String> =
            COMMON.iter().copied().chain(options).map(|name| format!("`{name}`")).collect();
        let known = known.join(", ");
        Err(D::Error::custom(format_args!("unknown field `{key}`, expected one of {known}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::yaml::read_value;
    use serde_json::json;

    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields, default)]
    struct Options {
        delimiter: Option<char>,
        skip: u64,
    }

    #[test]
    fn common_settings_and_options_stand_side_by_side() {
        let value = json!({"path": ["a", "b"], "skip": 2, "read": "all", "delimiter": ";"});
        let config: FileConfig<Options> = read_value(&value).unwrap();
        assert_eq!(config.path.as_slice(), ["a", "b"]);
        assert_eq!((config.options.delimiter, config.options.skip), (Some(';'), 2));
        assert_eq!(config.read, ReadMode::All);
    }

    #[test]
    fn a_wrong_setting_is_pointed_at() {
        let read = |value| read_value::<FileConfig<Options>>(&value).unwrap_err();
        let (path, problem) = read(json!({"path": "a", "delimeter": ";"}));
        assert_eq!(path, "/delimeter");
        assert_eq!(problem.hint_text(), Some("did you mean `delimiter`?"));
        let (_, problem) = read(json!({"pth": "a"}));
        assert_eq!(problem.hint_text(), Some("did you mean `path`?"));
        let (path, _) = read(json!({"path": "a", "skip": "two"}));
        assert_eq!(path, "/skip");
        let (path, _) = read(json!({"path": "a", "read": "some"}));
        assert_eq!(path, "/read");
        let (_, problem) = read(json!({"skip": 1}));
        assert_eq!(problem.message(), "the setting `path` is missing");
    }

    #[test]
    fn the_schema_has_all_settings() {
        let schema = SchemaGenerator::default().into_root_schema_for::<FileConfig<Options>>();
        let properties = schema.get("properties").unwrap().as_object().unwrap();
        for name in ["path", "connection", "read", "land", "bytes_max", "delimiter", "skip"] {
            assert!(properties.contains_key(name), "{name} is not in {properties:?}");
        }
        assert_eq!(schema.get("required").unwrap(), &json!(["path"]));
    }
}
