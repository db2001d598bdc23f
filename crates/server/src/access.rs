//! Guards: who may call a handler is the type of its first argument.

use crate::app::App;
use crate::auditing::{Author, Trail};
use crate::identity::caller::Caller;
use crate::route::{Guard, Rule};
use api::permission::Permit;
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use model::{Name, Problem, Result, Role, codes};
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use store::{InWorkspace, TokenHash, User, Workspace};

/// Where a request comes from.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// The address.
    pub(crate) ip: IpAddr,
    /// What the program calls itself, at most 200 characters.
    pub(crate) user_agent: String,
}

impl Origin {
    pub(crate) fn of(parts: &Parts, app: &App) -> Self {
        let peer = parts.extensions.get::<SocketAddr>().map(SocketAddr::ip);
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        // The last entry is what our own proxy has seen; those before can be made up.
        let forwarded = header("x-forwarded-for")
            .filter(|_| app.behind_proxy)
            .and_then(|list| list.rsplit(',').next()?.trim().parse().ok());
        let user_agent = header("user-agent").unwrap_or_default().chars().take(200).collect();
        let ip = forwarded.or(peer).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        Self { ip, user_agent }
    }
}

/// Where the handler of a request tells the audit trail more.
fn trail(parts: &Parts) -> Trail {
    parts.extensions.get::<Trail>().cloned().unwrap_or_default()
}

/// Lets everybody pass.
pub(crate) struct Anybody {
    pub(crate) app: App,
    pub(crate) origin: Origin,
    pub(crate) trail: Trail,
}

impl Guard for Anybody {
    fn rule() -> Rule {
        Rule::Anonymous
    }

    async fn pass(parts: &mut Parts, app: &App) -> Result<Self> {
        Ok(Self { app: app.clone(), origin: Origin::of(parts, app), trail: trail(parts) })
    }

    fn author(&self) -> Author {
        Author::default()
    }
}

/// Lets whoever is signed in pass.
pub(crate) struct SignedIn {
    pub(crate) app: App,
    pub(crate) caller: Caller,
}

impl Guard for SignedIn {
    fn rule() -> Rule {
        Rule::SignedIn
    }

    async fn pass(parts: &mut Parts, app: &App) -> Result<Self> {
        Ok(Self { app: app.clone(), caller: Caller::of(parts, app).await? })
    }

    fn author(&self) -> Author {
        Author::of(&self.caller, None)
    }
}

/// Lets whoever is signed in pass, but not their API keys: for what is about the account itself.
pub(crate) struct InPerson {
    pub(crate) app: App,
    pub(crate) user: User,
    pub(crate) session: TokenHash,
    pub(crate) origin: Origin,
}

impl Guard for InPerson {
    fn rule() -> Rule {
        Rule::SignedIn
    }

    async fn pass(parts: &mut Parts, app: &App) -> Result<Self> {
        let Caller { user, session, .. } = Caller::of(parts, app).await?;
        let session = session.ok_or_else(|| {
            Problem::new(&codes::PERMISSION_MISSING, "an API key may not do this")
                .hint("sign in yourself")
        })?;
        Ok(Self { app: app.clone(), user, session, origin: Origin::of(parts, app) })
    }

    fn author(&self) -> Author {
        Author::person(&self.user, None)
    }
}

/// Lets whoever manages the installation pass, with a session of their own.
pub(crate) struct Installation {
    pub(crate) app: App,
    pub(crate) caller: Caller,
    pub(crate) trail: Trail,
}

impl Guard for Installation {
    fn rule() -> Rule {
        Rule::Installation
    }

    async fn pass(parts: &mut Parts, app: &App) -> Result<Self> {
        let caller = Caller::of(parts, app).await?;
        // An API key belongs to a workspace, so it manages no installation.
        if caller.user.is_owner_of_installation && caller.key.is_none() {
            return Ok(Self { app: app.clone(), caller, trail: trail(parts) });
        }
        Err(Problem::new(&codes::PERMISSION_MISSING, "you do not manage the installation")
            .hint("ask the owner of the installation"))
    }

    fn author(&self) -> Author {
        Author::of(&self.caller, None)
    }
}

/// Lets members of the workspace in the path pass whose role has the permission `P`.
pub(crate) struct Access<P> {
    pub(crate) app: App,
    pub(crate) caller: Caller,
    /// The role in this workspace; that of an API key if it is less.
    pub(crate) role: Role,
    /// The workspace.
    pub(crate) about: Workspace,
    /// All that belongs to it, and nothing else.
    pub(crate) workspace: InWorkspace,
    pub(crate) trail: Trail,
    permit: PhantomData<fn() -> P>,
}

impl<P: Permit> Guard for Access<P> {
    fn rule() -> Rule {
        Rule::Workspace(P::PERMISSION)
    }

    async fn pass(parts: &mut Parts, app: &App) -> Result<Self> {
        let caller = Caller::of(parts, app).await?;
        let name = workspace_name(parts, app).await?;
        let unknown = || {
            Problem::new(&codes::NOT_FOUND, format!("there is no workspace `{name}` for you"))
                .arg("workspace", &name)
        };
        let slug = Name::new(&name).map_err(|_| unknown())?;
        let about =
            app.store.workspaces().by_slug(&slug).await.map_err(|problem| {
                if problem.is(&codes::NOT_FOUND) { unknown() } else { problem }
            })?;
        let workspace = app.store.workspace(&about.id);
        let role = workspace.role_of(&caller.user.id).await?.ok_or_else(unknown)?;
        let role = caller.role_within(&about.id, role).ok_or_else(unknown)?;
        if role < P::PERMISSION.least {
            return Err(missing(P::PERMISSION.id, P::PERMISSION.least, role));
        }
        let (app, trail) = (app.clone(), trail(parts));
        Ok(Self { app, caller, role, about, workspace, trail, permit: PhantomData })
    }

    fn author(&self) -> Author {
        Author::of(&self.caller, Some(&self.about.id))
    }
}

fn missing(permission: &str, least: Role, role: Role) -> Problem {
    Problem::new(
        &codes::PERMISSION_MISSING,
        format!("this needs `{permission}`, which your role `{role}` does not have"),
    )
    .arg("permission", permission)
    .arg("role", role)
    .hint(format!("ask an admin of the workspace for the role `{least}`"))
}

async fn workspace_name(parts: &mut Parts, app: &App) -> Result<String> {
    let params = RawPathParams::from_request_parts(parts, app).await.map_err(|error| {
        Problem::new(&codes::REQUEST_INVALID, "the path cannot be read").detail(error)
    })?;
    let workspace = params.iter().find(|(name, _)| *name == "workspace");
    Ok(workspace.map(|(_, value)| value.to_owned()).unwrap_or_default())
}
