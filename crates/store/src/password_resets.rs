//! Forgotten passwords: tokens that let their person set a new one, once.

use crate::entity::password_reset;
use crate::failure::Attempt;
use crate::ids::{TokenHash, UserId};
use crate::rows;
use crate::store::Store;
use crate::transactions::Tx;
use crate::users::{self, User};
use model::{Result, Secret};
use sea_orm::ActiveValue::Set;
use sea_orm::prelude::*;

/// The tokens.
#[derive(Debug, Clone)]
pub struct PasswordResets {
    store: Store,
}

impl PasswordResets {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Gives a person the right to set a new password; earlier tokens of the person end.
    pub async fn create(
        &self,
        user: &UserId,
        token: &TokenHash,
        expires_at_us: i64,
        now_us: i64,
    ) -> Result<()> {
        let row = password_reset::Model {
            id: token.clone(),
            user_id: user.clone(),
            created_at_us: now_us,
            expires_at_us,
            used_at_us: None,
        };
        self.store.write(row, |tx, row| Box::pin(add(tx, row))).await
    }

    /// Sets the password of the token's person and ends all sessions. A token that is unknown,
    /// used or expired is `token_invalid`.
    pub async fn redeem(
        &self,
        token: &TokenHash,
        password_hash: Secret,
        now_us: i64,
    ) -> Result<User> {
        let input = (token.clone(), password_hash, now_us);
        self.store
            .write(input, |tx, (token, hash, now_us)| Box::pin(redeem(tx, token, hash, *now_us)))
            .await
    }
}

async fn add(tx: &Tx, row: &password_reset::Model) -> Attempt<()> {
    users::find(tx, &row.user_id).await?;
    let filter = password_reset::Column::UserId.eq(row.user_id.clone());
    password_reset::Entity::delete_many().filter(filter).exec(tx).await?;
    rows::insert(tx, row.clone()).await
}

async fn redeem(tx: &Tx, token: &TokenHash, hash: &Secret, now_us: i64) -> Attempt<User> {
    let found = password_reset::Entity::find_by_id(token.clone())
        .filter(password_reset::Column::UsedAtUs.is_null())
        .filter(password_reset::Column::ExpiresAtUs.gt(now_us))
        .one(tx)
        .await?;
    let reset = found.ok_or_else(|| rows::token_invalid("link"))?;
    let used = password_reset::ActiveModel { used_at_us: Set(Some(now_us)), ..Default::default() };
    let filter = password_reset::Column::Id.eq(reset.id);
    password_reset::Entity::update_many().set(used).filter(filter).exec(tx).await?;
    users::set_password(tx, &reset.user_id, hash, now_us).await?;
    Ok(users::find(tx, &reset.user_id).await?.into())
}
