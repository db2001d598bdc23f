//! Who has tried to sign in: the history, and what locks are decided on.

use crate::entity::sign_in;
use crate::failure::Attempt;
use crate::ids::{SignInId, UserId};
use crate::page::{self, Page};
use crate::rows;
use crate::store::Store;
use crate::words::SignInOutcome;
use model::Result;
use sea_orm::prelude::*;
use sea_orm::{QueryOrder, QuerySelect, Select};

/// The attempts.
#[derive(Debug, Clone)]
pub struct SignIns {
    store: Store,
}

/// An attempt to be noted.
#[derive(Debug, Clone)]
pub struct NewSignIn {
    /// The person, if there is one.
    pub user: Option<UserId>,
    /// The address given.
    pub email: String,
    /// Where it came from.
    pub ip: Option<String>,
    /// How it ended.
    pub outcome: SignInOutcome,
}

/// Outcomes that count against an address.
const FAILURES: [SignInOutcome; 2] = [SignInOutcome::WrongPassword, SignInOutcome::UnknownUser];

impl SignIns {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Notes an attempt.
    pub async fn record(&self, new: NewSignIn, now_us: i64) -> Result<()> {
        let row = sign_in::Model {
            id: SignInId::generate(now_us),
            user_id: new.user,
            email: rows::email(&new.email),
            ip: new.ip,
            at_us: now_us,
            outcome: new.outcome,
        };
        self.store.write(row, |tx, row| Box::pin(rows::insert(tx, row.clone()))).await
    }

    /// Wrong passwords for an e-mail address since `since_us`, after the last success.
    pub async fn failures_by_email(&self, email: &str, since_us: i64) -> Result<u64> {
        let email = rows::email(email);
        let last_success = sign_in::Entity::find()
            .filter(sign_in::Column::Email.eq(email.as_str()))
            .filter(sign_in::Column::Outcome.eq(SignInOutcome::Succeeded))
            .filter(sign_in::Column::AtUs.gte(since_us))
            .order_by_desc(sign_in::Column::AtUs);
        let success = first(self.store.read(), last_success).await?;
        let mut failures = failures(since_us).filter(sign_in::Column::Email.eq(email));
        if let Some(success) = success {
            failures = failures.filter(sign_in::Column::AtUs.gt(success.at_us));
        }
        Ok(count(self.store.read(), failures).await?)
    }

    /// Wrong passwords from a network address since `since_us`. A success takes nothing back:
    /// whoever guesses has an account of his own.
    pub async fn failures_by_ip(&self, ip: &str, since_us: i64) -> Result<u64> {
        let failures = failures(since_us).filter(sign_in::Column::Ip.eq(ip));
        Ok(count(self.store.read(), failures).await?)
    }

    /// The history, the newest first, of one person or of all; `after` is a page's `next`.
    pub async fn history(
        &self,
        user: Option<&UserId>,
        after: Option<&str>,
        limit: u64,
    ) -> Result<Page<sign_in::Model>> {
        let limit = page::limit(limit);
        let after = after.map(SignInId::parse).transpose()?;
        let mut select =
            sign_in::Entity::find().order_by_desc(sign_in::Column::Id).limit(limit + 1);
        if let Some(user) = user {
            select = select.filter(sign_in::Column::UserId.eq(user.clone()));
        }
        if let Some(after) = after {
            select = select.filter(sign_in::Column::Id.lt(after));
        }
        let rows = all(self.store.read(), select).await?;
        Ok(Page::cut(rows, limit, |row| row.id.to_string()))
    }
}

fn failures(since_us: i64) -> Select<sign_in::Entity> {
    sign_in::Entity::find()
        .filter(sign_in::Column::AtUs.gte(since_us))
        .filter(sign_in::Column::Outcome.is_in(FAILURES))
}

async fn first(
    db: &impl ConnectionTrait,
    select: Select<sign_in::Entity>,
) -> Attempt<Option<sign_in::Model>> {
    Ok(select.one(db).await?)
}

async fn all(
    db: &impl ConnectionTrait,
    select: Select<sign_in::Entity>,
) -> Attempt<Vec<sign_in::Model>> {
    Ok(select.all(db).await?)
}

async fn count(db: &impl ConnectionTrait, select: Select<sign_in::Entity>) -> Attempt<u64> {
    Ok(select.count(db).await?)
}
