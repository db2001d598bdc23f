//! Accounts: how they are made, and how one comes in.

use super::password::{Passwords, check_strength};
use super::token::{fingerprint, random};
use model::{Name, Problem, Result, Secret, codes};
use serde_json::{Value, json};
use store::{FirstOwner, NewUser, NewWorkspace, Store, User};

/// A set-up token is good for so long.
const SET_UP_US: i64 = 15 * 60 * 1_000_000;
/// The user of a server that one person has for themself. No mail can reach the address.
const LOCAL_EMAIL: &str = "owner@localhost";
const LIST_PAGE: u64 = 500;

/// What an account is made of.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// E-mail address to sign in with.
    pub email: String,
    /// Name to show.
    pub name: String,
    /// Its first password.
    pub password: Secret,
}

impl NewAccount {
    /// Checks address, name and password; hashes.
    pub(crate) async fn check(self, passwords: &Passwords) -> Result<NewUser> {
        let Self { email, name, password } = self;
        let email = checked_email(&email)?;
        let name = checked_name(&name, "/name")?;
        check_strength(&password, &[&email, &name])?;
        let password_hash = Some(passwords.hash(&password).await?);
        Ok(NewUser { email, name, password_hash })
    }
}

/// An address that mail could reach, as far as one can tell.
pub(crate) fn checked_email(text: &str) -> Result<String> {
    let text = text.trim();
    let parts = text.split_once('@');
    let is_plausible = parts.is_some_and(|(name, host)| {
        !name.is_empty() && !host.is_empty() && !host.contains('@') && !host.starts_with('.')
    });
    let is_printable = !text.chars().any(|char| char.is_whitespace() || char.is_control());
    if is_plausible && is_printable && text.len() <= 254 {
        return Ok(text.to_owned());
    }
    Err(Problem::new(&codes::REQUEST_INVALID, "the e-mail address cannot be one")
        .in_setting("/email")
        .hint("write `name@example.org`"))
}

/// A name of 1 to 100 printable characters.
pub(crate) fn checked_name(text: &str, setting: &str) -> Result<String> {
    let text = text.trim();
    let length = text.chars().count();
    if (1..=100).contains(&length) && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(Problem::new(&codes::REQUEST_INVALID, "the name has no character, or more than 100")
        .in_setting(setting))
}

/// Makes an account. With `workspace` it manages the installation and owns that workspace.
pub async fn create(
    store: &Store,
    account: &NewAccount,
    workspace: Option<Name>,
    now_us: i64,
) -> Result<User> {
    let user = account.clone().check(&Passwords::new()?).await?;
    let Some(slug) = workspace else {
        return store.users().create(user, now_us).await;
    };
    let token = random("")?;
    let installation = store.installation();
    installation.create_set_up_token(&fingerprint(&token), now_us + SET_UP_US, now_us).await?;
    let workspace = NewWorkspace { title: slug.to_string(), slug };
    let first = FirstOwner { user, workspace };
    let (user, _) = installation.complete_set_up(&fingerprint(&token), first, now_us).await?;
    Ok(user)
}

/// Sets the password of an account; all its sessions end.
pub async fn set_password(
    store: &Store,
    email: &str,
    password: &Secret,
    now_us: i64,
) -> Result<()> {
    let found = store.users().by_email(email).await?;
    let user = found.ok_or_else(|| {
        Problem::new(&codes::NOT_FOUND, format!("there is no account `{email}`"))
            .hint("`affluent user list` shows those that there are")
    })?;
    check_strength(password, &[&user.email, &user.name])?;
    let hash = Passwords::new()?.hash(password).await?;
    store.users().set_password(&user.id, hash, now_us).await
}

/// All accounts.
pub async fn list(store: &Store) -> Result<Vec<api::people::User>> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page = store.users().list(after.as_deref(), LIST_PAGE).await?;
        all.extend(page.items.iter().map(shown));
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(all),
        }
    }
}

/// A user as the interface shows it.
pub(crate) fn shown(user: &User) -> api::people::User {
    api::people::User {
        id: user.id.to_string(),
        email: user.email.clone(),
        name: user.name.clone(),
        active: user.is_active,
        manages_installation: user.is_owner_of_installation,
    }
}

/// How one comes in when the server has just started.
#[derive(Debug)]
pub enum Entry {
    /// One person, on the machine itself: by a link with this token.
    Link(Secret),
    /// Nobody has an account: whoever reads the console makes the owner's with this token.
    SetUp(Secret),
    /// With e-mail and password.
    SignIn,
}

impl Entry {
    /// The token of the link, if that is how one comes in.
    pub fn link_token(&self) -> Option<Secret> {
        match self {
            Self::Link(token) => Some(token.clone()),
            Self::SetUp(_) | Self::SignIn => None,
        }
    }

    /// For programs that start the server and have to come in.
    pub fn as_json(&self, url: &str) -> Value {
        match self {
            Self::Link(token) => json!({"open": format!("{url}/open?token={}", token.reveal())}),
            Self::SetUp(token) => json!({"set_up_token": token.reveal()}),
            Self::SignIn => json!({}),
        }
    }
}

/// Decides how one comes in. A private server that nobody has set up gets its owner, without a
/// password, and the workspace `workspace`.
pub async fn entry(
    store: &Store,
    workspace: &Name,
    is_private: bool,
    now_us: i64,
) -> Result<Entry> {
    let token = random("")?;
    let hash = fingerprint(&token);
    let installation = store.installation();
    if !installation.is_set_up().await? {
        installation.create_set_up_token(&hash, now_us + SET_UP_US, now_us).await?;
        if !is_private {
            return Ok(Entry::SetUp(token));
        }
        let user = NewUser {
            email: LOCAL_EMAIL.to_owned(),
            name: "Owner".to_owned(),
            password_hash: None,
        };
        let workspace = NewWorkspace { slug: workspace.clone(), title: workspace.to_string() };
        installation.complete_set_up(&hash, FirstOwner { user, workspace }, now_us).await?;
        return Ok(Entry::Link(token));
    }
    let is_one_persons = match local_user(store).await? {
        Some(user) => store.users().password_hash(&user.id).await?.is_none(),
        None => false,
    };
    match (is_one_persons, is_private) {
        (true, true) => Ok(Entry::Link(token)),
        (false, _) => Ok(Entry::SignIn),
        (true, false) => {
            let fact = "the owner of this server has no password yet";
            Err(Problem::new(&codes::COMMAND_INVALID, fact)
                .hint(format!("give one first: affluent user password {LOCAL_EMAIL}")))
        }
    }
}

/// The user of a server that one person has for themself.
pub(crate) async fn local_user(store: &Store) -> Result<Option<User>> {
    store.users().by_email(LOCAL_EMAIL).await
}
