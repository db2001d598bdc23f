//! Rows of `sign_ins`.

use crate::ids::{SignInId, UserId};
use crate::words::SignInOutcome;
use sea_orm::prelude::*;

/// An attempt to sign in.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sign_ins")]
pub struct Model {
    /// The attempt's id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: SignInId,
    /// The person, if there is one.
    pub user_id: Option<UserId>,
    /// The address given, in lower case.
    pub email: String,
    /// Where it came from.
    pub ip: Option<String>,
    /// µs since the epoch.
    pub at_us: i64,
    /// How it ended.
    pub outcome: SignInOutcome,
}

without_relations!();
