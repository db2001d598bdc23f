//! The people who may sign in.

use crate::entity::{session, user};
use crate::failure::Attempt;
use crate::ids::UserId;
use crate::page::{self, Page};
use crate::rows;
use crate::store::Store;
use crate::transactions::Tx;
use crate::values::Hidden;
use model::{Problem, Result, Secret, codes};
use sea_orm::ActiveValue::Set;
use sea_orm::prelude::*;
use sea_orm::{QueryOrder, QuerySelect};

/// The people.
#[derive(Debug, Clone)]
pub struct Users {
    store: Store,
}

/// A person, without the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The person's id.
    pub id: UserId,
    /// In lower case; no two persons share one.
    pub email: String,
    /// As the person writes it.
    pub name: String,
    /// Whether the person may sign in.
    pub is_active: bool,
    /// Whether the person may change what concerns all workspaces.
    pub is_owner_of_installation: bool,
    /// µs since the epoch.
    pub created_at_us: i64,
    /// µs since the epoch.
    pub updated_at_us: i64,
    /// µs since the epoch; none as long as the person has not signed in.
    pub last_login_at_us: Option<i64>,
}

impl From<user::Model> for User {
    fn from(row: user::Model) -> Self {
        Self {
            id: row.id,
            email: row.email,
            name: row.name,
            is_active: row.is_active,
            is_owner_of_installation: row.is_owner_of_installation,
            created_at_us: row.created_at_us,
            updated_at_us: row.updated_at_us,
            last_login_at_us: row.last_login_at_us,
        }
    }
}

/// A person to be added.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// In any case; compared in lower case.
    pub email: String,
    /// As the person writes it.
    pub name: String,
    /// None when the person will set a password later.
    pub password_hash: Option<Secret>,
}

/// What of a person shall change; none leaves it.
#[derive(Debug, Clone, Default)]
pub struct UserChange {
    /// The address.
    pub email: Option<String>,
    /// The name.
    pub name: Option<String>,
    /// Whether the person may change what concerns all workspaces.
    pub is_owner_of_installation: Option<bool>,
}

impl Users {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Adds a person. An address that somebody has is `conflict`.
    pub async fn create(&self, new: NewUser, now_us: i64) -> Result<User> {
        self.store.write((new, now_us), |tx, (new, now_us)| Box::pin(add(tx, new, *now_us))).await
    }

    /// The person with this id, or `not_found`.
    pub async fn by_id(&self, id: &UserId) -> Result<User> {
        Ok(find(self.store.read(), id).await?.into())
    }

    /// The person with this address.
    pub async fn by_email(&self, email: &str) -> Result<Option<User>> {
        Ok(find_by_email(self.store.read(), email).await?.map(User::from))
    }

    /// The person with this address and the hash of the password, if there is one: for signing in.
    pub async fn credentials(&self, email: &str) -> Result<Option<(User, Option<Secret>)>> {
        let row = find_by_email(self.store.read(), email).await?;
        Ok(row.map(with_password))
    }

    /// The hash of a person's password, if there is one: for asking for it once more.
    pub async fn password_hash(&self, id: &UserId) -> Result<Option<Secret>> {
        Ok(with_password(find(self.store.read(), id).await?).1)
    }

    /// All people by address, `limit` at a time, beginning after the page that gave `after`.
    pub async fn list(&self, after: Option<&str>, limit: u64) -> Result<Page<User>> {
        let limit = page::limit(limit);
        Ok(list(self.store.read(), after, limit).await?)
    }

    /// Changes a person. The last active owner of the installation stays one: `last_owner`.
    pub async fn change(&self, id: &UserId, change: UserChange, now_us: i64) -> Result<User> {
        let input = (id.clone(), change, now_us);
        self.store
            .write(input, |tx, (id, new, now_us)| Box::pin(update(tx, id, new, *now_us)))
            .await
    }

    /// Sets a password and ends all sessions of the person.
    pub async fn set_password(&self, id: &UserId, hash: Secret, now_us: i64) -> Result<()> {
        let input = (id.clone(), hash, now_us);
        self.store
            .write(input, |tx, (id, hash, now_us)| Box::pin(set_password(tx, id, hash, *now_us)))
            .await
    }

    /// Lets a person sign in, or no more; then all sessions end. Not the last active owner of the
    /// installation: `last_owner`.
    pub async fn set_active(&self, id: &UserId, is_active: bool, now_us: i64) -> Result<User> {
        let input = (id.clone(), is_active, now_us);
        self.store
            .write(input, |tx, (id, is_active, now_us)| {
                Box::pin(set_active(tx, id, *is_active, *now_us))
            })
            .await
    }

    /// Notes that the person has signed in.
    pub async fn record_login(&self, id: &UserId, now_us: i64) -> Result<()> {
        self.store
            .write((id.clone(), now_us), |tx, (id, now_us)| {
                Box::pin(async move {
                    let login = user::ActiveModel {
                        last_login_at_us: Set(Some(*now_us)),
                        ..Default::default()
                    };
                    apply(tx, id, login).await
                })
            })
            .await
    }
}

fn with_password(row: user::Model) -> (User, Option<Secret>) {
    let hash = row.password_hash.clone().map(|hidden| hidden.0);
    (row.into(), hash)
}

/// The row of a person, or `not_found`.
pub(crate) async fn find(db: &impl ConnectionTrait, id: &UserId) -> Attempt<user::Model> {
    let row = user::Entity::find_by_id(id.clone()).one(db).await?;
    row.ok_or_else(|| UserId::not_found(id).into())
}

/// The row of the person with this address.
pub(crate) async fn find_by_email(
    db: &impl ConnectionTrait,
    email: &str,
) -> Attempt<Option<user::Model>> {
    let filter = user::Column::Email.eq(rows::email(email));
    Ok(user::Entity::find().filter(filter).one(db).await?)
}

async fn list(db: &impl ConnectionTrait, after: Option<&str>, limit: u64) -> Attempt<Page<User>> {
    let mut select = user::Entity::find().order_by_asc(user::Column::Email).limit(limit + 1);
    if let Some(after) = after {
        select = select.filter(user::Column::Email.gt(after));
    }
    let users = select.all(db).await?.into_iter().map(User::from).collect();
    Ok(Page::cut(users, limit, |user: &User| user.email.clone()))
}

/// Adds a person who owns nothing.
pub(crate) async fn add(tx: &Tx, new: &NewUser, now_us: i64) -> Attempt<User> {
    let email = rows::email(&new.email);
    refuse_taken(tx, &email).await?;
    let row = user::Model {
        id: UserId::generate(now_us),
        email,
        name: new.name.clone(),
        password_hash: new.password_hash.clone().map(Hidden),
        is_active: true,
        is_owner_of_installation: false,
        created_at_us: now_us,
        updated_at_us: now_us,
        last_login_at_us: None,
    };
    rows::insert(tx, row.clone()).await?;
    Ok(row.into())
}

async fn refuse_taken(tx: &Tx, email: &str) -> Attempt<()> {
    match find_by_email(tx, email).await? {
        None => Ok(()),
        Some(_) => Err(Problem::new(&codes::CONFLICT, format!("`{email}` is taken"))
            .arg("email", email)
            .hint("choose another address, or invite the person who has it")
            .into()),
    }
}

/// Changes columns of one person, or `not_found`.
pub(crate) async fn apply(tx: &Tx, id: &UserId, change: user::ActiveModel) -> Attempt<()> {
    let filter = user::Column::Id.eq(id.clone());
    let changed = user::Entity::update_many().set(change).filter(filter).exec(tx).await?;
    match changed.rows_affected {
        0 => Err(UserId::not_found(id).into()),
        _ => Ok(()),
    }
}

async fn update(tx: &Tx, id: &UserId, new: &UserChange, now_us: i64) -> Attempt<User> {
    let mut row = find(tx, id).await?;
    if let Some(email) = &new.email {
        let email = rows::email(email);
        if email != row.email {
            refuse_taken(tx, &email).await?;
            row.email = email;
        }
    }
    if let Some(name) = &new.name {
        row.name.clone_from(name);
    }
    if let Some(is_owner) = new.is_owner_of_installation {
        if !is_owner {
            keep_an_owner(tx, &row).await?;
        }
        row.is_owner_of_installation = is_owner;
    }
    row.updated_at_us = now_us;
    let change = user::ActiveModel {
        email: Set(row.email.clone()),
        name: Set(row.name.clone()),
        is_owner_of_installation: Set(row.is_owner_of_installation),
        updated_at_us: Set(now_us),
        ..Default::default()
    };
    apply(tx, id, change).await?;
    Ok(row.into())
}

/// Refuses when no other active person owns the installation.
pub(crate) async fn keep_an_owner(tx: &Tx, row: &user::Model) -> Attempt<()> {
    if !row.is_owner_of_installation || !row.is_active {
        return Ok(());
    }
    let others = user::Entity::find()
        .filter(user::Column::IsOwnerOfInstallation.eq(true))
        .filter(user::Column::IsActive.eq(true))
        .filter(user::Column::Id.ne(row.id.clone()))
        .count(tx)
        .await?;
    match others {
        0 => Err(Problem::new(
            &codes::LAST_OWNER,
            format!("`{}` is the last owner of the installation", row.email),
        )
        .hint("make somebody else owner first")
        .into()),
        _ => Ok(()),
    }
}

/// Sets a password and ends the sessions that began with the old one.
pub(crate) async fn set_password(tx: &Tx, id: &UserId, hash: &Secret, now_us: i64) -> Attempt<()> {
    let change = user::ActiveModel {
        password_hash: Set(Some(Hidden(hash.clone()))),
        updated_at_us: Set(now_us),
        ..Default::default()
    };
    apply(tx, id, change).await?;
    end_sessions(tx, id).await
}

async fn set_active(tx: &Tx, id: &UserId, is_active: bool, now_us: i64) -> Attempt<User> {
    let mut row = find(tx, id).await?;
    if !is_active {
        keep_an_owner(tx, &row).await?;
        end_sessions(tx, id).await?;
    }
    let change = user::ActiveModel {
        is_active: Set(is_active),
        updated_at_us: Set(now_us),
        ..Default::default()
    };
    apply(tx, id, change).await?;
    row.is_active = is_active;
    row.updated_at_us = now_us;
    Ok(row.into())
}

async fn end_sessions(tx: &Tx, id: &UserId) -> Attempt<()> {
    let filter = session::Column::UserId.eq(id.clone());
    session::Entity::delete_many().filter(filter).exec(tx).await?;
    Ok(())
}
