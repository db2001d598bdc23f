//! Members of a workspace, and invitations to it.

use super::sessions::shown;
use crate::access::{Access, Anybody};
use crate::auditing::Author;
use crate::identity::password::check_strength;
use crate::identity::people::{checked_email, checked_name};
use crate::identity::token::{fingerprint, random};
use crate::input::{Body, InPath};
use crate::output::{Answer, Created, Done};
use crate::route::Route;
use api::people::{
    AcceptInvitation, Invitation, InvitationPath, Invite, Member, Members, OpenInvitation,
    OpenInvitations, SetRole, UserPath,
};
use api::permission::{MemberManage, MemberRead};
use api::workspaces::Workspace;
use axum::http::Method;
use model::{Problem, Result, Role, codes};
use serde_json::json;
use store::{InvitationId, NewInvitation, UserId};

const ALL: &str = "/api/v1/workspaces/{workspace}/members";
const ONE: &str = "/api/v1/workspaces/{workspace}/members/{user}";
const INVITATIONS: &str = "/api/v1/workspaces/{workspace}/invitations";
/// An invitation is good for so long.
const INVITATION_US: i64 = 7 * 24 * 60 * 60 * 1_000_000;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, ALL, "Who is a member.", list),
        Route::new(Method::PUT, ONE, "Give a member another role.", set_role)
            .audited("member.change"),
        Route::new(Method::DELETE, ONE, "Take a member out, with all their API keys.", remove)
            .audited("member.remove"),
        Route::new(Method::GET, INVITATIONS, "Invitations that can still be accepted.", invited),
        Route::new(
            Method::DELETE,
            "/api/v1/workspaces/{workspace}/invitations/{invitation}",
            "Take an invitation back.",
            withdraw,
        )
        .audited("invitation.withdraw"),
        Route::new(
            Method::POST,
            INVITATIONS,
            "Invite somebody. The token in the answer is shown once: send it to them.",
            invite,
        )
        .audited("invitation.create"),
        Route::new(
            Method::POST,
            "/api/v1/invitations/accept",
            "Accept an invitation, with the account there is or with a new one.",
            accept,
        )
        .audited("invitation.accept"),
    ]
}

async fn list(access: Access<MemberRead>, (): ()) -> Result<Answer<Members>> {
    let members = access.workspace.members().list().await?;
    let items = members.into_iter().map(|member| Member {
        user: member.user.id.to_string(),
        email: member.user.email,
        name: member.user.name,
        role: member.role,
    });
    Ok(Answer(Members { items: items.collect() }))
}

/// Nobody gives or takes more than they have themselves.
fn check_rank(own: Role, other: Role) -> Result<()> {
    if other <= own {
        return Ok(());
    }
    let fact = format!("the role `{other}` is above your own, `{own}`");
    Err(Problem::new(&codes::PERMISSION_MISSING, fact).hint("ask an owner of the workspace"))
}

async fn set_role(
    access: Access<MemberManage>,
    (InPath(path), Body(new)): (InPath<UserPath>, Body<SetRole>),
) -> Result<Done> {
    let (user, role) = member(&access, &path.user).await?;
    check_rank(access.role, new.role)?;
    access.workspace.members().set_role(&user, new.role).await?;
    access.trail.before(json!({"role": role}));
    access.trail.after(json!({"role": new.role}));
    Ok(Done)
}

async fn remove(access: Access<MemberManage>, InPath(path): InPath<UserPath>) -> Result<Done> {
    let (user, role) = member(&access, &path.user).await?;
    access.trail.before(json!({"role": role}));
    access.workspace.members().remove(&user, access.app.now_us()).await?;
    Ok(Done)
}

/// A member whom the caller may manage, and their role.
async fn member(access: &Access<MemberManage>, user: &str) -> Result<(UserId, Role)> {
    let user = UserId::parse(user)?;
    let role = access.workspace.role_of(&user).await?.ok_or_else(|| {
        Problem::new(&codes::NOT_FOUND, format!("`{user}` is no member of this workspace"))
    })?;
    check_rank(access.role, role)?;
    Ok((user, role))
}

async fn invite(
    access: Access<MemberManage>,
    Body(invite): Body<Invite>,
) -> Result<Created<Invitation>> {
    check_rank(access.role, invite.role)?;
    let now_us = access.app.now_us();
    let token = random("")?;
    let new = NewInvitation {
        token: fingerprint(&token),
        email: checked_email(&invite.email)?,
        role: invite.role,
        invited_by: Some(access.caller.user.id.clone()),
        expires_at_us: now_us + INVITATION_US,
    };
    let made = access.workspace.invitations().create(new, now_us).await?;
    access.trail.subject(&made.id);
    access.trail.after(json!({"role": made.role}));
    Ok(Created(Invitation {
        email: made.email,
        role: made.role,
        token: token.reveal().to_owned(),
        expires_at_us: made.expires_at_us,
    }))
}

async fn invited(access: Access<MemberManage>, (): ()) -> Result<Answer<OpenInvitations>> {
    let open = access.workspace.invitations().list(access.app.now_us()).await?;
    let items = open.into_iter().map(|invitation| OpenInvitation {
        id: invitation.id.to_string(),
        email: invitation.email,
        role: invitation.role,
        expires_at_us: invitation.expires_at_us,
    });
    Ok(Answer(OpenInvitations { items: items.collect() }))
}

async fn withdraw(
    access: Access<MemberManage>,
    InPath(path): InPath<InvitationPath>,
) -> Result<Done> {
    let id = InvitationId::parse(&path.invitation)?;
    access.workspace.invitations().withdraw(&id).await?;
    Ok(Done)
}

async fn accept(
    anybody: Anybody,
    Body(given): Body<AcceptInvitation>,
) -> Result<Answer<Workspace>> {
    let Anybody { app, origin, trail } = anybody;
    let now_us = app.now_us();
    app.throttle.begin("invitation", origin.ip, now_us)?;
    let guest = app.store.guest(&fingerprint(&given.token));
    let (invitation, workspace) = guest.look(now_us).await?;
    match app.store.users().credentials(&invitation.email).await? {
        Some((user, stored)) => {
            if !app.passwords.is_right(&given.password, stored.as_ref()).await? {
                return Err(Problem::new(
                    &codes::SIGN_IN_FAILED,
                    "the password is not that of the account this invitation is for",
                )
                .hint("the account exists already: give its own password"));
            }
            guest.accept(&user.id, now_us).await?;
            trail.author(Author::person(&user, Some(&workspace.id)));
        }
        None => {
            let name = checked_name(given.name.as_deref().unwrap_or_default(), "/name")?;
            check_strength(&given.password, &[&invitation.email, &name])?;
            let hash = app.passwords.hash(&given.password).await?;
            let (user, _) = guest.accept_as_new(&name, hash, now_us).await?;
            trail.author(Author::person(&user, Some(&workspace.id)));
        }
    }
    app.throttle.succeed("invitation", origin.ip);
    trail.subject(&invitation.id);
    trail.after(json!({"role": invitation.role}));
    Ok(Answer(shown(&workspace, invitation.role)))
}
