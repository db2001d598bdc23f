//! The audit trail: reading and verifying it; giving out and erasing what is known of a person.

use crate::access::{Access, Installation};
use crate::auditing::{AuditState, verify};
use crate::identity::people::shown as shown_user;
use crate::input::{InPath, InQuery};
use crate::output::Answer;
use crate::route::Route;
use api::audit::{
    AuditEntry, AuditPage, AuditQuery, AuditVerdict, PersonData, PersonErased, PersonMembership,
    PersonSession,
};
use api::auth::SignInAttempt;
use api::page::PageQuery;
use api::people::UserPath;
use api::permission::AuditRead;
use axum::http::Method;
use model::{Problem, Result, codes};
use store::{Audit, AuditFilter, PersonRecord, SignInOutcome, UserId};

pub(super) fn routes() -> Vec<Route> {
    let get = Method::GET;
    vec![
        Route::new(
            get.clone(),
            "/api/v1/workspaces/{workspace}/audit",
            "Who has changed what in the workspace, the newest first.",
            list,
        ),
        Route::new(
            get.clone(),
            "/api/v1/workspaces/{workspace}/audit/verify",
            "Whether the audit trail of the workspace is what was written.",
            verify_workspace,
        ),
        Route::new(
            get.clone(),
            "/api/v1/audit",
            "Who has changed what outside of workspaces, the newest first.",
            list_installation,
        ),
        Route::new(
            get.clone(),
            "/api/v1/audit/verify",
            "Whether the audit trail outside of workspaces is what was written.",
            verify_installation,
        ),
        Route::new(
            get,
            "/api/v1/users/{user}/data",
            "All that is known of a person, but password and tokens.",
            person,
        ),
        Route::new(
            Method::DELETE,
            "/api/v1/users/{user}",
            "Forget who a person was. What they have done stays, under a pseudonym.",
            erase,
        )
        .audited("user.erase"),
    ]
}

async fn list(
    access: Access<AuditRead>,
    InQuery(query): InQuery<AuditQuery>,
) -> Result<Answer<AuditPage>> {
    page(&access.workspace.audit(), query).await
}

async fn list_installation(
    owner: Installation,
    InQuery(query): InQuery<AuditQuery>,
) -> Result<Answer<AuditPage>> {
    page(&owner.app.store.audit(), query).await
}

async fn page(audit: &Audit, query: AuditQuery) -> Result<Answer<AuditPage>> {
    let filter = AuditFilter {
        user: query.user.as_deref().map(UserId::parse).transpose()?,
        resource_kind: query.kind,
        resource_id: query.resource,
        action: query.action,
        from_us: query.from_us,
        until_us: query.until_us,
        text: query.text,
    };
    let page = PageQuery { limit: query.limit, after: query.after };
    let found = audit.list(&filter, page.after.as_deref(), page.items_max()).await?;
    Ok(Answer(AuditPage { items: found.items.into_iter().map(shown).collect(), next: found.next }))
}

fn shown(entry: store::AuditEntry) -> AuditEntry {
    AuditEntry {
        number: entry.seq,
        at_us: entry.at_us,
        actor: entry.actor,
        user: entry.user_id.map(String::from),
        action: entry.action,
        resource: entry.resource_id,
        ip: entry.ip,
        user_agent: entry.user_agent,
        changes: entry.changes.0,
        hash: entry.hash,
    }
}

async fn verify_workspace(access: Access<AuditRead>, (): ()) -> Result<Answer<AuditVerdict>> {
    let app = &access.app;
    let state = verify(&access.workspace.audit(), None, &app.master_key, app.now_us()).await?;
    Ok(Answer(verdict(state)))
}

async fn verify_installation(owner: Installation, (): ()) -> Result<Answer<AuditVerdict>> {
    let app = &owner.app;
    let state = verify(&app.store.audit(), None, &app.master_key, app.now_us()).await?;
    Ok(Answer(verdict(state)))
}

fn verdict(state: AuditState) -> AuditVerdict {
    let AuditState { entries, segments, head, broken, .. } = state;
    AuditVerdict { entries, segments, head, broken }
}

async fn person(owner: Installation, InPath(path): InPath<UserPath>) -> Result<Answer<PersonData>> {
    let record = owner.app.store.person(&UserId::parse(&path.user)?).await?;
    let PersonRecord { user, memberships, sessions, sign_ins, audit_entries } = record;
    let memberships =
        memberships.into_iter().map(|(workspace, role)| PersonMembership { workspace, role });
    let sessions = sessions.into_iter().map(|session| PersonSession {
        created_at_us: session.created_at_us,
        seen_at_us: session.seen_at_us,
        ip: session.ip,
        user_agent: session.user_agent,
    });
    let sign_ins = sign_ins.into_iter().map(|attempt| SignInAttempt {
        at_us: attempt.at_us,
        ip: attempt.ip.unwrap_or_default(),
        succeeded: attempt.outcome == SignInOutcome::Succeeded,
    });
    Ok(Answer(PersonData {
        created_at_us: user.created_at_us,
        last_login_at_us: user.last_login_at_us,
        user: shown_user(&user),
        memberships: memberships.collect(),
        sessions: sessions.collect(),
        sign_ins: sign_ins.collect(),
        audit: audit_entries.into_iter().map(shown).collect(),
    }))
}

async fn erase(
    owner: Installation,
    InPath(path): InPath<UserPath>,
) -> Result<Answer<PersonErased>> {
    let id = UserId::parse(&path.user)?;
    if id == owner.caller.user.id {
        return Err(Problem::new(&codes::REQUEST_INVALID, "you cannot erase yourself")
            .hint("somebody else who manages the installation can"));
    }
    let erased = owner.app.store.erase_person(&id, owner.app.now_us()).await?;
    Ok(Answer(PersonErased {
        pseudonym: erased.pseudonym,
        audit_entries: erased.audit_entries,
        sign_ins: erased.sign_ins,
    }))
}
