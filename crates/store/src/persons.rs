//! What the database knows of a person: giving it out, and forgetting it.

use crate::entity::{
    api_key, audit_entry, invitation, membership, notification, password_reset, session, sign_in,
    user, workspace,
};
use crate::failure::Attempt;
use crate::ids::UserId;
use crate::store::Store;
use crate::transactions::Tx;
use crate::{members, users};
use model::{Result, Role};
use sea_orm::ActiveValue::Set;
use sea_orm::prelude::*;
use sea_orm::{QueryOrder, QuerySelect};

/// Of each kind of trace so many are given out, the newest first.
const TRACES_MAX: u64 = 10_000;

/// What the database knows of a person, but passwords and tokens.
#[derive(Debug, Clone)]
pub struct PersonRecord {
    /// The account.
    pub user: users::User,
    /// Names of workspaces, and what the person is there.
    pub memberships: Vec<(String, Role)>,
    /// Where the person is signed in.
    pub sessions: Vec<session::Model>,
    /// Who has tried to sign in as the person.
    pub sign_ins: Vec<sign_in::Model>,
    /// What the person has done.
    pub audit_entries: Vec<audit_entry::Model>,
}

/// How many traces of a person were removed or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasedPerson {
    /// What stands in the place of name and address.
    pub pseudonym: String,
    /// Entries of the audit that name the pseudonym now.
    pub audit_entries: u64,
    /// Attempts to sign in that name the pseudonym now.
    pub sign_ins: u64,
}

impl Store {
    /// What the database knows of a person, or `not_found`.
    pub async fn person(&self, id: &UserId) -> Result<PersonRecord> {
        Ok(record(self.read(), id).await?)
    }

    /// Forgets who a person was: name, address, sessions, keys, and where they came from. What
    /// they have done stays, under a pseudonym. Not the last owner of anything: `last_owner`.
    pub async fn erase_person(&self, id: &UserId, now_us: i64) -> Result<ErasedPerson> {
        self.write((id.clone(), now_us), |tx, (id, now_us)| Box::pin(erase(tx, id, *now_us))).await
    }
}

async fn record(db: &impl ConnectionTrait, id: &UserId) -> Attempt<PersonRecord> {
    let user = users::find(db, id).await?;
    let memberships = membership::Entity::find()
        .filter(membership::Column::UserId.eq(id.clone()))
        .all(db)
        .await?;
    let of = memberships.iter().map(|row| row.workspace_id.clone());
    let workspaces =
        workspace::Entity::find().filter(workspace::Column::Id.is_in(of)).all(db).await?;
    let slug = |row: &membership::Model| {
        let found = workspaces.iter().find(|workspace| workspace.id == row.workspace_id)?;
        Some((found.slug.clone(), row.role.0))
    };
    Ok(PersonRecord {
        memberships: memberships.iter().filter_map(slug).collect(),
        sessions: session::Entity::find()
            .filter(session::Column::UserId.eq(id.clone()))
            .order_by_desc(session::Column::CreatedAtUs)
            .limit(TRACES_MAX)
            .all(db)
            .await?,
        sign_ins: sign_in::Entity::find()
            .filter(is_theirs(id, &user.email))
            .order_by_desc(sign_in::Column::Id)
            .limit(TRACES_MAX)
            .all(db)
            .await?,
        audit_entries: audit_entry::Entity::find()
            .filter(audit_entry::Column::UserId.eq(id.clone()))
            .order_by_desc(audit_entry::Column::AtUs)
            .limit(TRACES_MAX)
            .all(db)
            .await?,
        user: user.into(),
    })
}

/// Attempts of the person, or under their address.
fn is_theirs(id: &UserId, email: &str) -> sea_orm::Condition {
    sea_orm::Condition::any()
        .add(sign_in::Column::UserId.eq(id.clone()))
        .add(sign_in::Column::Email.eq(email))
}

async fn erase(tx: &Tx, id: &UserId, now_us: i64) -> Attempt<ErasedPerson> {
    let user = users::find(tx, id).await?;
    users::keep_an_owner(tx, &user).await?;
    leave_workspaces(tx, id).await?;
    forget_ways_in(tx, id, &user.email).await?;
    let pseudonym = pseudonym(id);
    let erased = ErasedPerson {
        audit_entries: forget_in_audit(tx, id, &pseudonym).await?,
        sign_ins: forget_sign_ins(tx, id, &user.email, &pseudonym).await?,
        pseudonym,
    };
    let nobody = user::ActiveModel {
        email: Set(format!("{}@erased.invalid", erased.pseudonym)),
        name: Set(erased.pseudonym.clone()),
        password_hash: Set(None),
        is_active: Set(false),
        is_owner_of_installation: Set(false),
        updated_at_us: Set(now_us),
        last_login_at_us: Set(None),
        ..Default::default()
    };
    users::apply(tx, id, nobody).await?;
    Ok(erased)
}

/// A name that says nothing but that two traces are of one person.
fn pseudonym(id: &UserId) -> String {
    let text = id.as_str().to_lowercase();
    format!("erased-{}", &text[text.len() - 10..])
}

async fn leave_workspaces(tx: &Tx, id: &UserId) -> Attempt<()> {
    let of = membership::Column::UserId.eq(id.clone());
    for row in membership::Entity::find().filter(of.clone()).all(tx).await? {
        members::keep_an_owner(tx, &row.workspace_id, id).await?;
    }
    membership::Entity::delete_many().filter(of).exec(tx).await?;
    Ok(())
}

async fn forget_ways_in(tx: &Tx, id: &UserId, email: &str) -> Attempt<()> {
    let of = session::Column::UserId.eq(id.clone());
    session::Entity::delete_many().filter(of).exec(tx).await?;
    let of = api_key::Column::UserId.eq(id.clone());
    api_key::Entity::delete_many().filter(of).exec(tx).await?;
    let of = password_reset::Column::UserId.eq(id.clone());
    password_reset::Entity::delete_many().filter(of).exec(tx).await?;
    let of = notification::Column::UserId.eq(id.clone());
    notification::Entity::delete_many().filter(of).exec(tx).await?;
    let of = invitation::Column::Email.eq(email);
    invitation::Entity::delete_many().filter(of).exec(tx).await?;
    Ok(())
}

/// Without its salt, `person_hash` says nothing any more, and the chain is whole as before.
async fn forget_in_audit(tx: &Tx, id: &UserId, pseudonym: &str) -> Attempt<u64> {
    let forgotten = audit_entry::ActiveModel {
        user_id: Set(None),
        actor: Set(pseudonym.to_owned()),
        ip: Set(None),
        user_agent: Set(None),
        person_salt: Set(None),
        ..Default::default()
    };
    let of = audit_entry::Column::UserId.eq(id.clone());
    let changed = audit_entry::Entity::update_many().set(forgotten).filter(of).exec(tx).await?;
    Ok(changed.rows_affected)
}

async fn forget_sign_ins(tx: &Tx, id: &UserId, email: &str, pseudonym: &str) -> Attempt<u64> {
    let forgotten = sign_in::ActiveModel {
        user_id: Set(None),
        email: Set(pseudonym.to_owned()),
        ip: Set(None),
        ..Default::default()
    };
    let of = is_theirs(id, email);
    let changed = sign_in::Entity::update_many().set(forgotten).filter(of).exec(tx).await?;
    Ok(changed.rows_affected)
}
