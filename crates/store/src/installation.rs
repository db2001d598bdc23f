//! The installation as a whole: whether it has an owner, and how the first one comes to it.

use crate::entity::{installation, set_up_token, user, workspace};
use crate::failure::Attempt;
use crate::ids::TokenHash;
use crate::rows;
use crate::store::Store;
use crate::transactions::Tx;
use crate::users::{self, NewUser, User};
use crate::workspaces::{self, NewWorkspace};
use model::{Problem, Result, codes};
use sea_orm::ActiveValue::Set;
use sea_orm::prelude::*;

/// The id of the only row of its table.
const ONLY: &str = "only";

/// The installation.
#[derive(Debug, Clone)]
pub struct Installation {
    store: Store,
}

/// The first owner and the first workspace.
#[derive(Debug, Clone)]
pub struct FirstOwner {
    /// Who will own the installation.
    pub user: NewUser,
    /// What the person will own.
    pub workspace: NewWorkspace,
}

impl Installation {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Whether it has an owner.
    pub async fn is_set_up(&self) -> Result<bool> {
        Ok(is_set_up(self.store.read()).await?)
    }

    /// Gives the right to set it up to whoever knows the token; earlier tokens end.
    pub async fn create_set_up_token(
        &self,
        token: &TokenHash,
        expires_at_us: i64,
        now_us: i64,
    ) -> Result<()> {
        let row = set_up_token::Model {
            id: token.clone(),
            created_at_us: now_us,
            expires_at_us,
            used_at_us: None,
        };
        self.store.write(row, |tx, row| Box::pin(replace_token(tx, row))).await
    }

    /// Makes the first owner and the first workspace. However often and at once it is called, one
    /// call succeeds; the others are `set_up_done`, or `token_invalid`.
    pub async fn complete_set_up(
        &self,
        token: &TokenHash,
        first: FirstOwner,
        now_us: i64,
    ) -> Result<(User, workspace::Model)> {
        let input = (token.clone(), first, now_us);
        self.store
            .write(input, |tx, (token, first, now_us)| {
                Box::pin(complete(tx, token, first, *now_us))
            })
            .await
    }
}

async fn is_set_up(db: &impl ConnectionTrait) -> Attempt<bool> {
    Ok(installation::Entity::find_by_id(ONLY.to_owned()).one(db).await?.is_some())
}

async fn replace_token(tx: &Tx, row: &set_up_token::Model) -> Attempt<()> {
    refuse_second(tx).await?;
    set_up_token::Entity::delete_many().exec(tx).await?;
    rows::insert(tx, row.clone()).await
}

async fn refuse_second(tx: &Tx) -> Attempt<()> {
    match is_set_up(tx).await? {
        false => Ok(()),
        true => Err(Problem::new(&codes::SET_UP_DONE, "the installation has an owner already")
            .hint("sign in, or ask an owner for an invitation")
            .into()),
    }
}

async fn complete(
    tx: &Tx,
    token: &TokenHash,
    first: &FirstOwner,
    now_us: i64,
) -> Attempt<(User, workspace::Model)> {
    refuse_second(tx).await?;
    use_up(tx, token, now_us).await?;
    let mut user = users::add(tx, &first.user, now_us).await?;
    let owner = user::ActiveModel { is_owner_of_installation: Set(true), ..Default::default() };
    users::apply(tx, &user.id, owner).await?;
    user.is_owner_of_installation = true;
    let workspace = workspaces::add(tx, &first.workspace, &user.id, now_us).await?;
    let row = installation::Model {
        id: ONLY.to_owned(),
        owner_id: user.id.clone(),
        set_up_at_us: now_us,
    };
    rows::insert(tx, row).await?;
    Ok((user, workspace))
}

async fn use_up(tx: &Tx, token: &TokenHash, now_us: i64) -> Attempt<()> {
    let used = set_up_token::ActiveModel { used_at_us: Set(Some(now_us)), ..Default::default() };
    let changed = set_up_token::Entity::update_many()
        .set(used)
        .filter(set_up_token::Column::Id.eq(token.clone()))
        .filter(set_up_token::Column::UsedAtUs.is_null())
        .filter(set_up_token::Column::ExpiresAtUs.gt(now_us))
        .exec(tx)
        .await?;
    match changed.rows_affected {
        0 => Err(rows::token_invalid("set-up token").into()),
        _ => Ok(()),
    }
}
