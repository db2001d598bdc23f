//! Who has been asked to join a workspace.

use crate::entity::{invitation, workspace};
use crate::failure::Attempt;
use crate::ids::{InvitationId, TokenHash, UserId, WorkspaceId};
use crate::store::Store;
use crate::transactions::Tx;
use crate::users::{self, NewUser, User};
use crate::values::RoleText;
use crate::{members, rows, workspaces};
use model::{Result, Role, Secret};
use sea_orm::ActiveValue::Set;
use sea_orm::QueryOrder;
use sea_orm::prelude::*;

/// The invitations of one workspace.
#[derive(Debug, Clone)]
pub struct Invitations {
    store: Store,
    workspace: WorkspaceId,
}

/// An invitation to be made.
#[derive(Debug, Clone)]
pub struct NewInvitation {
    /// Hash of the token that goes to the guest.
    pub token: TokenHash,
    /// Who is invited.
    pub email: String,
    /// What the guest will be.
    pub role: Role,
    /// Who invites.
    pub invited_by: Option<UserId>,
    /// µs since the epoch.
    pub expires_at_us: i64,
}

/// The right to join a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// The invitation's id.
    pub id: InvitationId,
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// Who is invited, in lower case.
    pub email: String,
    /// What the guest will be.
    pub role: Role,
    /// Who invites.
    pub invited_by: Option<UserId>,
    /// µs since the epoch.
    pub created_at_us: i64,
    /// µs since the epoch.
    pub expires_at_us: i64,
}

impl From<invitation::Model> for Invitation {
    fn from(row: invitation::Model) -> Self {
        Self {
            id: row.id,
            workspace_id: row.workspace_id,
            email: row.email,
            role: row.role.0,
            invited_by: row.invited_by,
            created_at_us: row.created_at_us,
            expires_at_us: row.expires_at_us,
        }
    }
}

impl Invitations {
    pub(crate) fn new(store: Store, workspace: WorkspaceId) -> Self {
        Self { store, workspace }
    }

    /// Invites somebody; an earlier invitation of the same address that is still open ends.
    pub async fn create(&self, new: NewInvitation, now_us: i64) -> Result<Invitation> {
        let input = (self.workspace.clone(), new, now_us);
        self.store
            .write(input, |tx, (workspace, new, now_us)| Box::pin(add(tx, workspace, new, *now_us)))
            .await
    }

    /// Those that can still be accepted, the newest first.
    pub async fn list(&self, now_us: i64) -> Result<Vec<Invitation>> {
        Ok(list(self.store.read(), &self.workspace, now_us).await?)
    }

    /// Takes an invitation back, or `not_found`.
    pub async fn withdraw(&self, id: &InvitationId) -> Result<()> {
        let input = (self.workspace.clone(), id.clone());
        self.store.write(input, |tx, (workspace, id)| Box::pin(withdraw(tx, workspace, id))).await
    }
}

/// The invitation that belongs to a token, seen by the person who holds it. A token of no use is
/// `token_invalid`.
#[derive(Debug, Clone)]
pub struct Guest {
    store: Store,
    token: TokenHash,
}

impl Guest {
    pub(crate) fn new(store: Store, token: TokenHash) -> Self {
        Self { store, token }
    }

    /// The invitation and the workspace.
    pub async fn look(&self, now_us: i64) -> Result<(Invitation, workspace::Model)> {
        Ok(look(self.store.read(), &self.token, now_us).await?)
    }

    /// Lets a person who has an account join. Only the one who was invited can: by the address.
    pub async fn accept(&self, user: &UserId, now_us: i64) -> Result<workspace::Model> {
        let input = (self.token.clone(), user.clone(), now_us);
        self.store
            .write(input, |tx, (token, user, now_us)| Box::pin(accept(tx, token, user, *now_us)))
            .await
    }

    /// Makes an account for the address that was invited and lets it join. An address that has
    /// one is `conflict`.
    pub async fn accept_as_new(
        &self,
        name: &str,
        password_hash: Secret,
        now_us: i64,
    ) -> Result<(User, workspace::Model)> {
        let input = (self.token.clone(), name.to_owned(), password_hash, now_us);
        self.store
            .write(input, |tx, (token, name, password_hash, now_us)| {
                Box::pin(accept_as_new(tx, token, name, password_hash, *now_us))
            })
            .await
    }
}

async fn add(
    tx: &Tx,
    workspace: &WorkspaceId,
    new: &NewInvitation,
    now_us: i64,
) -> Attempt<Invitation> {
    workspaces::find(tx, workspace).await?;
    let email = rows::email(&new.email);
    invitation::Entity::delete_many()
        .filter(invitation::Column::WorkspaceId.eq(workspace.clone()))
        .filter(invitation::Column::Email.eq(email.as_str()))
        .filter(invitation::Column::UsedAtUs.is_null())
        .exec(tx)
        .await?;
    let row = invitation::Model {
        id: InvitationId::generate(now_us),
        workspace_id: workspace.clone(),
        hash: new.token.clone(),
        email,
        role: RoleText(new.role),
        invited_by: new.invited_by.clone(),
        created_at_us: now_us,
        expires_at_us: new.expires_at_us,
        used_at_us: None,
    };
    rows::insert(tx, row.clone()).await?;
    Ok(row.into())
}

async fn list(
    db: &impl ConnectionTrait,
    workspace: &WorkspaceId,
    now_us: i64,
) -> Attempt<Vec<Invitation>> {
    let rows = invitation::Entity::find()
        .filter(invitation::Column::WorkspaceId.eq(workspace.clone()))
        .filter(invitation::Column::UsedAtUs.is_null())
        .filter(invitation::Column::ExpiresAtUs.gt(now_us))
        .order_by_desc(invitation::Column::Id)
        .all(db)
        .await?;
    Ok(rows.into_iter().map(Invitation::from).collect())
}

async fn withdraw(tx: &Tx, workspace: &WorkspaceId, id: &InvitationId) -> Attempt<()> {
    let removed = invitation::Entity::delete_many()
        .filter(invitation::Column::WorkspaceId.eq(workspace.clone()))
        .filter(invitation::Column::Id.eq(id.clone()))
        .filter(invitation::Column::UsedAtUs.is_null())
        .exec(tx)
        .await?;
    match removed.rows_affected {
        0 => Err(InvitationId::not_found(id).into()),
        _ => Ok(()),
    }
}

async fn look(
    db: &impl ConnectionTrait,
    token: &TokenHash,
    now_us: i64,
) -> Attempt<(Invitation, workspace::Model)> {
    let found = invitation::Entity::find()
        .filter(invitation::Column::Hash.eq(token.clone()))
        .filter(invitation::Column::UsedAtUs.is_null())
        .filter(invitation::Column::ExpiresAtUs.gt(now_us))
        .one(db)
        .await?;
    let invitation = found.ok_or_else(|| rows::token_invalid("invitation"))?;
    let workspace = workspaces::find(db, &invitation.workspace_id).await?;
    Ok((invitation.into(), workspace))
}

async fn accept(
    tx: &Tx,
    token: &TokenHash,
    user: &UserId,
    now_us: i64,
) -> Attempt<workspace::Model> {
    let (invitation, workspace) = look(tx, token, now_us).await?;
    if users::find(tx, user).await?.email != invitation.email {
        return Err(rows::token_invalid("invitation").into());
    }
    match members::role_of(tx, &workspace.id, user).await? {
        None => members::insert(tx, &workspace.id, user, invitation.role, now_us).await?,
        // An invitation gives; it does not take away.
        Some(role) if role < invitation.role => {
            members::set_role(tx, &workspace.id, user, invitation.role).await?;
        }
        Some(_) => {}
    }
    use_up(tx, &invitation, now_us).await?;
    Ok(workspace)
}

async fn accept_as_new(
    tx: &Tx,
    token: &TokenHash,
    name: &str,
    password_hash: &Secret,
    now_us: i64,
) -> Attempt<(User, workspace::Model)> {
    let (invitation, _) = look(tx, token, now_us).await?;
    let new = NewUser {
        email: invitation.email,
        name: name.to_owned(),
        password_hash: Some(password_hash.clone()),
    };
    let user = users::add(tx, &new, now_us).await?;
    let workspace = accept(tx, token, &user.id, now_us).await?;
    Ok((user, workspace))
}

async fn use_up(tx: &Tx, invitation: &Invitation, now_us: i64) -> Attempt<()> {
    let change = invitation::ActiveModel { used_at_us: Set(Some(now_us)), ..Default::default() };
    let filter = invitation::Column::Id.eq(invitation.id.clone());
    invitation::Entity::update_many().set(change).filter(filter).exec(tx).await?;
    Ok(())
}
