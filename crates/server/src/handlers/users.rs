//! The accounts of the installation.

use crate::access::Installation;
use crate::identity::people::{NewAccount, shown};
use crate::input::{Body, InPath, InQuery};
use crate::output::{Answer, Created};
use crate::route::Route;
use api::page::PageQuery;
use api::people::{ChangeUser, CreateUser, User, UserPage, UserPath};
use axum::http::Method;
use model::{Problem, Result, codes};
use serde_json::json;
use store::UserId;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/api/v1/users", "The accounts, by e-mail address.", list),
        Route::new(Method::POST, "/api/v1/users", "Make an account.", create)
            .audited("user.create"),
        Route::new(Method::PATCH, "/api/v1/users/{user}", "Switch an account off or on.", change)
            .audited("user.change"),
    ]
}

async fn list(owner: Installation, InQuery(page): InQuery<PageQuery>) -> Result<Answer<UserPage>> {
    let users = owner.app.store.users();
    let found = users.list(page.after.as_deref(), page.items_max()).await?;
    Ok(Answer(UserPage { items: found.items.iter().map(shown).collect(), next: found.next }))
}

async fn create(owner: Installation, Body(new): Body<CreateUser>) -> Result<Created<User>> {
    let app = &owner.app;
    let CreateUser { email, name, password } = new;
    let account = NewAccount { email, name, password }.check(&app.passwords).await?;
    let user = app.store.users().create(account, app.now_us()).await?;
    owner.trail.subject(&user.id);
    Ok(Created(shown(&user)))
}

async fn change(
    owner: Installation,
    (InPath(path), Body(change)): (InPath<UserPath>, Body<ChangeUser>),
) -> Result<Answer<User>> {
    let id = UserId::parse(&path.user)?;
    if !change.active && id == owner.caller.user.id {
        return Err(Problem::new(&codes::REQUEST_INVALID, "you cannot switch yourself off")
            .hint("somebody else who manages the installation can"));
    }
    let users = owner.app.store.users();
    owner.trail.before(json!({"active": users.by_id(&id).await?.is_active}));
    let user = users.set_active(&id, change.active, owner.app.now_us()).await?;
    owner.trail.after(json!({"active": user.is_active}));
    Ok(Answer(shown(&user)))
}
