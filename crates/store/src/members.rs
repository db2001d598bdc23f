//! Who belongs to a workspace, and what each may do there.

use crate::entity::{api_key, membership, user};
use crate::failure::Attempt;
use crate::ids::{UserId, WorkspaceId};
use crate::store::Store;
use crate::transactions::Tx;
use crate::users::{self, User};
use crate::values::RoleText;
use crate::{rows, workspaces};
use model::{Problem, Result, Role, codes};
use sea_orm::ActiveValue::Set;
use sea_orm::QueryOrder;
use sea_orm::prelude::*;
use std::collections::HashMap;

/// The members of one workspace.
#[derive(Debug, Clone)]
pub struct Members {
    store: Store,
    workspace: WorkspaceId,
}

/// A person who belongs to the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The person.
    pub user: User,
    /// What the person may do.
    pub role: Role,
    /// µs since the epoch.
    pub joined_at_us: i64,
}

impl Members {
    pub(crate) fn new(store: Store, workspace: WorkspaceId) -> Self {
        Self { store, workspace }
    }

    /// All of them by address.
    pub async fn list(&self) -> Result<Vec<Member>> {
        Ok(list(self.store.read(), &self.workspace).await?)
    }

    /// Adds a person. One who is a member already is `conflict`.
    pub async fn add(&self, user: &UserId, role: Role, now_us: i64) -> Result<()> {
        let input = (self.workspace.clone(), user.clone(), role, now_us);
        self.store
            .write(input, |tx, (workspace, user, role, now_us)| {
                Box::pin(add(tx, workspace, user, *role, *now_us))
            })
            .await
    }

    /// Gives a member another role. The last owner stays one: `last_owner`.
    pub async fn set_role(&self, user: &UserId, role: Role) -> Result<()> {
        let input = (self.workspace.clone(), user.clone(), role);
        self.store
            .write(input, |tx, (workspace, user, role)| {
                Box::pin(set_role(tx, workspace, user, *role))
            })
            .await
    }

    /// Removes a member and revokes the member's API keys of this workspace. Not the last owner:
    /// `last_owner`.
    pub async fn remove(&self, user: &UserId, now_us: i64) -> Result<()> {
        let input = (self.workspace.clone(), user.clone(), now_us);
        self.store
            .write(input, |tx, (workspace, user, now_us)| {
                Box::pin(remove(tx, workspace, user, *now_us))
            })
            .await
    }
}

async fn list(db: &impl ConnectionTrait, workspace: &WorkspaceId) -> Attempt<Vec<Member>> {
    let filter = membership::Column::WorkspaceId.eq(workspace.clone());
    let rows = membership::Entity::find().filter(filter).all(db).await?;
    let memberships: HashMap<UserId, membership::Model> =
        rows.into_iter().map(|row| (row.user_id.clone(), row)).collect();
    let users = user::Entity::find()
        .filter(user::Column::Id.is_in(memberships.keys().cloned()))
        .order_by_asc(user::Column::Email)
        .all(db)
        .await?;
    let member = |user: user::Model| {
        let row = memberships.get(&user.id)?;
        Some(Member { role: row.role.0, joined_at_us: row.joined_at_us, user: user.into() })
    };
    Ok(users.into_iter().filter_map(member).collect())
}

/// What a person may do in a workspace; none when the person does not belong to it.
pub(crate) async fn role_of(
    db: &impl ConnectionTrait,
    workspace: &WorkspaceId,
    user: &UserId,
) -> Attempt<Option<Role>> {
    let key = (workspace.clone(), user.clone());
    let row = membership::Entity::find_by_id(key).one(db).await?;
    Ok(row.map(|row| row.role.0))
}

async fn add(
    tx: &Tx,
    workspace: &WorkspaceId,
    user: &UserId,
    role: Role,
    now_us: i64,
) -> Attempt<()> {
    workspaces::find(tx, workspace).await?;
    let person = users::find(tx, user).await?;
    if role_of(tx, workspace, user).await?.is_some() {
        return Err(Problem::new(
            &codes::CONFLICT,
            format!("`{}` is a member already", person.email),
        )
        .arg("email", &person.email)
        .hint("change the role instead")
        .into());
    }
    insert(tx, workspace, user, role, now_us).await
}

/// Adds a person who is known not to be a member.
pub(crate) async fn insert(
    tx: &Tx,
    workspace: &WorkspaceId,
    user: &UserId,
    role: Role,
    now_us: i64,
) -> Attempt<()> {
    let row = membership::Model {
        workspace_id: workspace.clone(),
        user_id: user.clone(),
        role: RoleText(role),
        joined_at_us: now_us,
    };
    rows::insert(tx, row).await
}

/// Gives a member another role; the last owner stays one.
pub(crate) async fn set_role(
    tx: &Tx,
    workspace: &WorkspaceId,
    user: &UserId,
    role: Role,
) -> Attempt<()> {
    if role != Role::Owner {
        keep_an_owner(tx, workspace, user).await?;
    }
    let change = membership::ActiveModel { role: Set(RoleText(role)), ..Default::default() };
    let changed = membership::Entity::update_many()
        .set(change)
        .filter(membership::Column::WorkspaceId.eq(workspace.clone()))
        .filter(membership::Column::UserId.eq(user.clone()))
        .exec(tx)
        .await?;
    match changed.rows_affected {
        0 => Err(not_a_member(user).into()),
        _ => Ok(()),
    }
}

async fn remove(tx: &Tx, workspace: &WorkspaceId, user: &UserId, now_us: i64) -> Attempt<()> {
    keep_an_owner(tx, workspace, user).await?;
    let key = (workspace.clone(), user.clone());
    let removed = membership::Entity::delete_by_id(key).exec(tx).await?;
    if removed.rows_affected == 0 {
        return Err(not_a_member(user).into());
    }
    let revoked = api_key::ActiveModel { revoked_at_us: Set(Some(now_us)), ..Default::default() };
    api_key::Entity::update_many()
        .set(revoked)
        .filter(api_key::Column::WorkspaceId.eq(workspace.clone()))
        .filter(api_key::Column::UserId.eq(user.clone()))
        .filter(api_key::Column::RevokedAtUs.is_null())
        .exec(tx)
        .await?;
    Ok(())
}

/// Refuses when `user` is the only owner.
pub(crate) async fn keep_an_owner(tx: &Tx, workspace: &WorkspaceId, user: &UserId) -> Attempt<()> {
    if role_of(tx, workspace, user).await? != Some(Role::Owner) {
        return Ok(());
    }
    let others = membership::Entity::find()
        .filter(membership::Column::WorkspaceId.eq(workspace.clone()))
        .filter(membership::Column::Role.eq(RoleText(Role::Owner)))
        .filter(membership::Column::UserId.ne(user.clone()))
        .count(tx)
        .await?;
    match others {
        0 => Err(Problem::new(&codes::LAST_OWNER, "the workspace would have no owner any more")
            .hint("make somebody else owner first")
            .into()),
        _ => Ok(()),
    }
}

fn not_a_member(user: &UserId) -> Problem {
    Problem::new(&codes::NOT_FOUND, format!("the workspace has no member `{user}`"))
        .arg("id", user)
        .hint("look the person up in the list of members")
}
