//! How much a workspace may have: seen by its members, set by whoever manages the installation.

use crate::access::{Access, Installation};
use crate::input::{Body, InPath};
use crate::output::{Answer, Done};
use crate::route::Route;
use api::permission::WorkspaceRead;
use api::uploads::{QuotaKind, QuotaPath, QuotaState, QuotaStates, SetQuota};
use axum::http::Method;
use model::{Name, Problem, Result, codes};
use serde_json::json;
use store::Quota;

/// Each kind as it travels and as it is stored.
const KINDS: &[(QuotaKind, Quota)] = &[
    (QuotaKind::RunsAtOnce, Quota::RunsAtOnce),
    (QuotaKind::RunsPerDay, Quota::RunsPerDay),
    (QuotaKind::LakeBytes, Quota::LakeBytes),
    (QuotaKind::UploadBytes, Quota::UploadBytes),
    (QuotaKind::Members, Quota::Members),
];

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/api/v1/workspaces/{workspace}/quotas",
            "How much the workspace may have.",
            list,
        ),
        Route::new(
            Method::PUT,
            "/api/v1/workspaces/{workspace}/quotas/{quota}",
            "Set how much a workspace may have.",
            set,
        )
        .audited("quota.set"),
    ]
}

async fn list(access: Access<WorkspaceRead>, (): ()) -> Result<Answer<QuotaStates>> {
    let set = access.workspace.quotas().list().await?;
    let items = KINDS.iter().map(|(quota, stored)| QuotaState {
        quota: *quota,
        maximum: set.iter().find(|(kind, _)| kind == stored).map(|(_, maximum)| *maximum),
    });
    Ok(Answer(QuotaStates { items: items.collect() }))
}

async fn set(
    owner: Installation,
    (InPath(path), Body(new)): (InPath<QuotaPath>, Body<SetQuota>),
) -> Result<Done> {
    if new.maximum.is_some_and(|maximum| maximum < 0) {
        return Err(Problem::new(&codes::REQUEST_INVALID, "a quota is not negative")
            .in_setting("/maximum")
            .hint("write 0 for nothing, null for as much as wanted"));
    }
    let workspace = owner.app.store.workspaces().by_slug(&Name::new(&path.workspace)?).await?;
    let stored = KINDS.iter().find(|(kind, _)| *kind == path.quota).map(|(_, stored)| *stored);
    let quota = stored.ok_or_else(|| {
        Problem::new(&codes::INTERNAL, "a kind of quota is missing in the list of kinds")
    })?;
    let quotas = owner.app.store.workspace(&workspace.id).quotas();
    owner.trail.subject(format!("{}/{:?}", path.workspace, path.quota));
    owner.trail.before(json!({"maximum": quotas.get(quota).await?}));
    quotas.set(quota, new.maximum).await?;
    owner.trail.after(json!({"maximum": new.maximum}));
    Ok(Done)
}
