//! Values of columns: JSON as text, and texts that cannot be printed.

use model::run::RunId;
use model::{Role, Secret};
use sea_orm::sea_query::{ArrayType, Nullable, ValueType, ValueTypeErr};
use sea_orm::{ColIdx, ColumnType, DbErr, QueryResult, TryFromU64, TryGetError, TryGetable, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A value that is JSON in the database, in a column of texts.
///
/// PostgreSQL's own JSON types change what they are given: the order of keys, the writing of
/// numbers, and they refuse the character 0.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stored<T>(pub T);

/// What this crate can write as JSON.
pub(crate) trait Json: Serialize + DeserializeOwned {}
impl<T: Serialize + DeserializeOwned> Json for T {}

impl<T: Json> From<Stored<T>> for Value {
    fn from(stored: Stored<T>) -> Self {
        let text = serde_json::to_string(&stored.0);
        Self::from(text.expect("our own types have text keys, so they can be written as JSON"))
    }
}

impl<T: Json> TryGetable for Stored<T> {
    fn try_get_by<I: ColIdx>(row: &QueryResult, column: I) -> Result<Self, TryGetError> {
        let text = String::try_get_by(row, column)?;
        let read = serde_json::from_str(&text);
        read.map(Self).map_err(|error| TryGetError::DbErr(DbErr::Json(error.to_string())))
    }
}

impl<T: Json> ValueType for Stored<T> {
    fn try_from(value: Value) -> Result<Self, ValueTypeErr> {
        let text = <String as ValueType>::try_from(value)?;
        serde_json::from_str(&text).map(Self).map_err(|_| ValueTypeErr)
    }

    fn type_name() -> String {
        "Stored".to_owned()
    }

    fn array_type() -> ArrayType {
        ArrayType::String
    }

    fn column_type() -> ColumnType {
        ColumnType::Text
    }
}

impl<T: Json> Nullable for Stored<T> {
    fn null() -> Value {
        Value::String(None)
    }
}

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident($inner:ty), $read:expr, $write:expr, $what:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name(pub(crate) $inner);

        impl From<$name> for Value {
            fn from(text: $name) -> Self {
                let write: fn(&$inner) -> &str = $write;
                Self::from(write(&text.0))
            }
        }

        impl $name {
            fn read(text: &str) -> Option<Self> {
                let read: fn(&str) -> Option<$inner> = $read;
                read(text).map(Self)
            }
        }

        impl TryGetable for $name {
            fn try_get_by<I: ColIdx>(row: &QueryResult, column: I) -> Result<Self, TryGetError> {
                let unreadable = || TryGetError::DbErr(DbErr::Type($what.to_owned()));
                Self::read(&String::try_get_by(row, column)?).ok_or_else(unreadable)
            }
        }

        impl ValueType for $name {
            fn try_from(value: Value) -> Result<Self, ValueTypeErr> {
                Self::read(&<String as ValueType>::try_from(value)?).ok_or(ValueTypeErr)
            }

            fn type_name() -> String {
                stringify!($name).to_owned()
            }

            fn array_type() -> ArrayType {
                ArrayType::String
            }

            fn column_type() -> ColumnType {
                ColumnType::Text
            }
        }

        impl Nullable for $name {
            fn null() -> Value {
                Value::String(None)
            }
        }

        // Asked for by the library for keys that count upwards, which these do not.
        impl TryFromU64 for $name {
            fn try_from_u64(_: u64) -> Result<Self, DbErr> {
                Err(DbErr::ConvertFromU64(stringify!($name)))
            }
        }
    )*};
}

impl RunIdText {
    /// The id as a column holds it.
    pub fn new(id: RunId) -> Self {
        Self(id)
    }

    /// The id.
    pub fn run(&self) -> &RunId {
        &self.0
    }
}

texts! {
    /// A secret text: what only its owner's library may read, such as the hash of a password.
    Hidden(Secret), |text| Some(Secret::new(text)), Secret::reveal, "a secret";
    /// A role, as its word.
    RoleText(Role), Role::parse, |role| role.as_str(), "a role";
    /// A run's id.
    RunIdText(RunId), RunId::parse, RunId::as_str, "the id of a run";
}
