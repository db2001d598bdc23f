//! Who is signed in: browsers with a cookie, programs with refresh tokens.

use crate::entity::session;
use crate::failure::Attempt;
use crate::ids::{TokenHash, UserId};
use crate::rows;
use crate::store::Store;
use crate::transactions::Tx;
use crate::users::{self, User};
use crate::words::SessionKind;
use model::{Problem, Result, codes};
use sea_orm::ActiveValue::Set;
use sea_orm::QueryOrder;
use sea_orm::prelude::*;

/// How old the note of a session's last use may become: a write for every request would be one
/// sync for every request.
pub(crate) const TOUCH_AFTER_US: i64 = 60_000_000;

/// The sessions.
#[derive(Debug, Clone)]
pub struct Sessions {
    store: Store,
}

/// A session to begin.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// Hash of the token.
    pub token: TokenHash,
    /// The person.
    pub user: UserId,
    /// How it is carried.
    pub kind: SessionKind,
    /// µs since the epoch.
    pub expires_at_us: i64,
    /// Where the person signs in from.
    pub ip: Option<String>,
    /// What the browser calls itself.
    pub user_agent: Option<String>,
}

/// What became of a refresh token that was handed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// The new token stands for this session from now on.
    Rotated(Box<session::Model>),
    /// The token had been used before: it was stolen, or this is the thief. All tokens of its
    /// family are ended.
    Reused(UserId),
    /// There is no such token, or it is expired, or its person is switched off.
    Unknown,
}

impl Sessions {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Begins a session; a refresh token begins a family. A person who is switched off is
    /// `not_found`.
    pub async fn begin(&self, new: NewSession, now_us: i64) -> Result<session::Model> {
        self.store.write((new, now_us), |tx, (new, now_us)| Box::pin(begin(tx, new, *now_us))).await
    }

    /// The session that a browser's token stands for, and its person; none when it has ended,
    /// expired, or its person is switched off. Notes that it was used.
    pub async fn find(
        &self,
        token: &TokenHash,
        now_us: i64,
    ) -> Result<Option<(session::Model, User)>> {
        let found = find(self.store.read(), token, SessionKind::Browser, now_us).await?;
        if let Some((session, _)) = &found
            && now_us - session.seen_at_us >= TOUCH_AFTER_US
        {
            let input = (token.clone(), now_us);
            self.store
                .write(input, |tx, (token, now_us)| Box::pin(touch(tx, token, *now_us)))
                .await?;
        }
        Ok(found)
    }

    /// The newest session of a family of refresh tokens, and its person; none when the family has
    /// ended or expired, or its person is switched off.
    pub async fn find_family(
        &self,
        family: &str,
        now_us: i64,
    ) -> Result<Option<(session::Model, User)>> {
        Ok(find_family(self.store.read(), family, now_us).await?)
    }

    /// Replaces a refresh token, which can be used once, by `next`.
    pub async fn rotate(
        &self,
        token: &TokenHash,
        next: &TokenHash,
        expires_at_us: i64,
        now_us: i64,
    ) -> Result<Rotation> {
        let input = (token.clone(), next.clone(), expires_at_us, now_us);
        self.store
            .write(input, |tx, (token, next, expires_at_us, now_us)| {
                Box::pin(rotate(tx, token, next, *expires_at_us, *now_us))
            })
            .await
    }

    /// A person's sessions that go on, the one used last first.
    pub async fn list(&self, user: &UserId, now_us: i64) -> Result<Vec<session::Model>> {
        Ok(list(self.store.read(), user, now_us).await?)
    }

    /// Ends one session of a person, and with a refresh token its family; else `not_found`.
    pub async fn end(&self, user: &UserId, token: &TokenHash) -> Result<()> {
        let input = (user.clone(), token.clone());
        self.store.write(input, |tx, (user, token)| Box::pin(end(tx, user, token))).await
    }

    /// Ends all sessions of a person, but for one if it is given, and says how many.
    pub async fn end_all(&self, user: &UserId, except: Option<&TokenHash>) -> Result<u64> {
        let input = (user.clone(), except.cloned());
        self.store
            .write(input, |tx, (user, except)| Box::pin(end_all(tx, user, except.as_ref())))
            .await
    }
}

async fn begin(tx: &Tx, new: &NewSession, now_us: i64) -> Attempt<session::Model> {
    if !users::find(tx, &new.user).await?.is_active {
        return Err(UserId::not_found(&new.user).into());
    }
    let family = match new.kind {
        SessionKind::Browser => None,
        // The first of a family gives it its name.
        SessionKind::Refresh => Some(new.token.as_str().to_owned()),
    };
    let row = session::Model {
        id: new.token.clone(),
        user_id: new.user.clone(),
        kind: new.kind,
        family,
        created_at_us: now_us,
        seen_at_us: now_us,
        expires_at_us: new.expires_at_us,
        used_at_us: None,
        ip: new.ip.clone(),
        user_agent: new.user_agent.clone(),
    };
    rows::insert(tx, row.clone()).await?;
    Ok(row)
}

/// A session that goes on, of a person who is active.
async fn find(
    db: &impl ConnectionTrait,
    token: &TokenHash,
    kind: SessionKind,
    now_us: i64,
) -> Attempt<Option<(session::Model, User)>> {
    let Some(session) = session::Entity::find_by_id(token.clone()).one(db).await? else {
        return Ok(None);
    };
    if session.kind != kind || session.expires_at_us <= now_us {
        return Ok(None);
    }
    let user = users::find(db, &session.user_id).await?;
    Ok(user.is_active.then(|| (session, user.into())))
}

async fn find_family(
    db: &impl ConnectionTrait,
    family: &str,
    now_us: i64,
) -> Attempt<Option<(session::Model, User)>> {
    let newest = session::Entity::find()
        .filter(session::Column::Family.eq(family))
        .filter(session::Column::UsedAtUs.is_null())
        .filter(session::Column::ExpiresAtUs.gt(now_us))
        .one(db)
        .await?;
    let Some(session) = newest else { return Ok(None) };
    let user = users::find(db, &session.user_id).await?;
    Ok(user.is_active.then(|| (session, user.into())))
}

async fn touch(tx: &Tx, token: &TokenHash, now_us: i64) -> Attempt<()> {
    let change = session::ActiveModel { seen_at_us: Set(now_us), ..Default::default() };
    // A session that has ended in between stays so.
    let filter = session::Column::Id.eq(token.clone());
    session::Entity::update_many().set(change).filter(filter).exec(tx).await?;
    Ok(())
}

async fn rotate(
    tx: &Tx,
    token: &TokenHash,
    next: &TokenHash,
    expires_at_us: i64,
    now_us: i64,
) -> Attempt<Rotation> {
    let Some((old, _)) = find(tx, token, SessionKind::Refresh, now_us).await? else {
        return Ok(Rotation::Unknown);
    };
    if old.used_at_us.is_some() {
        end_family(tx, &old).await?;
        return Ok(Rotation::Reused(old.user_id));
    }
    let used = session::ActiveModel { used_at_us: Set(Some(now_us)), ..Default::default() };
    let filter = session::Column::Id.eq(token.clone());
    session::Entity::update_many().set(used).filter(filter).exec(tx).await?;
    let new = session::Model {
        id: next.clone(),
        seen_at_us: now_us,
        expires_at_us,
        used_at_us: None,
        ..old
    };
    rows::insert(tx, new.clone()).await?;
    Ok(Rotation::Rotated(Box::new(new)))
}

async fn list(
    db: &impl ConnectionTrait,
    user: &UserId,
    now_us: i64,
) -> Attempt<Vec<session::Model>> {
    Ok(session::Entity::find()
        .filter(session::Column::UserId.eq(user.clone()))
        .filter(session::Column::ExpiresAtUs.gt(now_us))
        .filter(session::Column::UsedAtUs.is_null())
        .order_by_desc(session::Column::SeenAtUs)
        .order_by_asc(session::Column::Id)
        .all(db)
        .await?)
}

async fn end(tx: &Tx, user: &UserId, token: &TokenHash) -> Attempt<()> {
    let filter = session::Column::UserId.eq(user.clone());
    let found = session::Entity::find_by_id(token.clone()).filter(filter).one(tx).await?;
    let Some(session) = found else {
        return Err(Problem::new(&codes::NOT_FOUND, "there is no session with this id")
            .hint("look it up in the list; it may have ended")
            .into());
    };
    end_family(tx, &session).await
}

/// Ends a session and those that share its family.
async fn end_family(tx: &Tx, session: &session::Model) -> Attempt<()> {
    let filter = match &session.family {
        Some(family) => session::Column::Family.eq(family.as_str()),
        None => session::Column::Id.eq(session.id.clone()),
    };
    session::Entity::delete_many().filter(filter).exec(tx).await?;
    Ok(())
}

async fn end_all(tx: &Tx, user: &UserId, except: Option<&TokenHash>) -> Attempt<u64> {
    let mut delete =
        session::Entity::delete_many().filter(session::Column::UserId.eq(user.clone()));
    if let Some(kept) = except {
        delete = delete.filter(session::Column::Id.ne(kept.clone()));
    }
    Ok(delete.exec(tx).await?.rows_affected)
}
