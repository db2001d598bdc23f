//! Ids: one type per kind of thing, each a ULID or a hash as text.

use model::{Problem, Result, codes};
use sea_orm::{DbErr, DeriveValueType, TryFromU64};
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $words:literal;)*) => {$(
        $(#[$doc])*
        #[derive(
            Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
            DeriveValueType,
        )]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// A new id for a thing that is made at `now_us` (µs since the epoch): ids sort by
            /// time, to the millisecond.
            pub fn generate(now_us: i64) -> Self {
                let millis = u64::try_from(now_us / 1000).unwrap_or(0);
                let random = ulid::Ulid::new().random();
                Self(ulid::Ulid::from_parts(millis, random).to_string())
            }

            /// Reads an id. What is not a ULID is the id of nothing: `not_found`.
            pub fn parse(text: &str) -> Result<Self> {
                match ulid::Ulid::from_string(text) {
                    Ok(id) => Ok(Self(id.to_string())),
                    Err(_) => Err(Self::not_found(text)),
                }
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The problem that nothing has this id.
            pub(crate) fn not_found(id: impl Display) -> Problem {
                Problem::new(&codes::NOT_FOUND, format!("there is no {} `{id}`", $words))
                    .arg("id", id)
                    .hint("look it up in the list; it may have been deleted")
            }
        }

        impl Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Problem;

            fn try_from(text: String) -> Result<Self> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        // Asked for by the library for keys that count upwards, which these do not.
        impl TryFromU64 for $name {
            fn try_from_u64(_: u64) -> std::result::Result<Self, DbErr> {
                Err(DbErr::ConvertFromU64(stringify!($name)))
            }
        }
    )*};
}

ids! {
    /// A person.
    UserId = "user";
    /// A tenant.
    WorkspaceId = "workspace";
    /// An API key.
    ApiKeyId = "API key";
    /// An invitation to a workspace.
    InvitationId = "invitation";
    /// An attempt to sign in.
    SignInId = "sign-in";
    /// A document of a workspace.
    DefinitionId = "definition";
    /// An uploaded file.
    UploadId = "upload";
    /// A module template.
    TemplateId = "module template";
    /// A notification.
    NotificationId = "notification";
    /// When a pipeline is started by itself.
    ScheduleId = "schedule";
    /// What starts a pipeline from outside.
    TriggerId = "trigger";
    /// A way in which people are told of something.
    AlertChannelId = "channel";
    /// What is told through which channels.
    AlertRuleId = "alert rule";
    /// News to be looked at, or a message to be sent.
    AlertId = "alert";
    /// Runs for many intervals.
    BackfillId = "back-fill";
}

/// SHA-256 of a token, 64 hexadecimal digits in lower case: the token itself is never stored.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, DeriveValueType)]
pub struct TokenHash(String);

impl TokenHash {
    /// The hash whose bytes are `digest`.
    pub fn new(digest: [u8; 32]) -> Self {
        use std::fmt::Write;
        let mut text = String::with_capacity(64);
        for byte in digest {
            // Writing to a `String` cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }

    /// Reads 64 hexadecimal digits, such as a session's id from a list; else `not_found`.
    pub fn parse(text: &str) -> Result<Self> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == 64 && text.bytes().all(is_digit) {
            return Ok(Self(text.to_owned()));
        }
        Err(Problem::new(&codes::NOT_FOUND, "there is no session with this id")
            .hint("look it up in the list; it may have ended"))
    }

    /// The 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFromU64 for TokenHash {
    fn try_from_u64(_: u64) -> std::result::Result<Self, DbErr> {
        Err(DbErr::ConvertFromU64("TokenHash"))
    }
}
