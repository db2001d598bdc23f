//! The metadata database of a server and its master key: where they are.

use crate::variables::variable;
use crate::workbench::Workbench;
use model::{Problem, Result, Secret, codes};
use server::MasterKey;
use std::path::PathBuf;
use store::{Address, Store};

/// The database of `affluent up`, unless [`DATABASE`] names another.
const FILE: &str = "metadata.db";
/// URL of a PostgreSQL database to keep the metadata in.
pub(crate) const DATABASE: &str = "AFFLUENT_DATABASE";
/// The master key itself, for systems that keep secrets elsewhere.
pub(crate) const MASTER_KEY: &str = "AFFLUENT_MASTER_KEY";
/// A command that prints the master key.
pub(crate) const MASTER_KEY_COMMAND: &str = "AFFLUENT_MASTER_KEY_COMMAND";
/// What only the server itself may know, and none of the processes that it starts.
pub(crate) const WITHHELD: &[&str] = &[DATABASE, MASTER_KEY, MASTER_KEY_COMMAND];

/// Opens the metadata of a project; made when it is not there.
pub(crate) async fn open(workbench: &Workbench) -> Result<Store> {
    Store::open(&address(workbench)).await
}

/// Where the metadata of a project are.
pub(crate) fn address(workbench: &Workbench) -> Address {
    match variable(DATABASE) {
        Some(url) => Address::Postgres(Secret::new(url)),
        None => Address::Sqlite(workbench.context.state.join(FILE)),
    }
}

/// The master key: from the environment, from a command, or from a file of the user's own outside
/// of all projects.
pub(crate) fn master_key() -> Result<MasterKey> {
    match (variable(MASTER_KEY), variable(MASTER_KEY_COMMAND)) {
        (Some(text), _) => MasterKey::parse(&Secret::new(text)),
        (None, Some(command)) => MasterKey::parse(&said_by(&command)?),
        (None, None) => MasterKey::open(&key_file_of_user()?),
    }
}

/// The file of the master key, for who changes it; none when the key comes from elsewhere.
pub(crate) fn key_file() -> Result<PathBuf> {
    if variable(MASTER_KEY).is_some() || variable(MASTER_KEY_COMMAND).is_some() {
        return Err(Problem::new(&codes::KEY_INVALID, "the master key is not in a file").hint(
            "put the new key before the old one where the key is kept, separated by a space, \
             start the servers anew, then run `affluent secret rotate --forget`",
        ));
    }
    key_file_of_user()
}

/// What a command prints, such as that of a password manager.
fn said_by(command: &str) -> Result<Secret> {
    let failed = |why: &dyn std::fmt::Display| {
        let fact = format!("the command in `{MASTER_KEY_COMMAND}` gives no key");
        Problem::new(&codes::KEY_INVALID, fact).detail(why)
    };
    let said = std::process::Command::new("sh").arg("-c").arg(command).output();
    let said = said.map_err(|error| failed(&error))?;
    if !said.status.success() {
        return Err(failed(&said.status));
    }
    let text = String::from_utf8(said.stdout).map_err(|_| failed(&"it prints no text"))?;
    Ok(Secret::new(text.trim()))
}

fn key_file_of_user() -> Result<PathBuf> {
    let folder = match (variable("XDG_CONFIG_HOME"), variable("HOME")) {
        (Some(folder), _) => PathBuf::from(folder),
        (None, Some(home)) => PathBuf::from(home).join(".config"),
        (None, None) => {
            let fact = "there is no home folder to keep the master key in";
            return Err(Problem::new(&codes::KEY_INVALID, fact)
                .hint(format!("set `HOME`, or give the key in `{MASTER_KEY}`")));
        }
    };
    Ok(folder.join("affluent").join("master.key"))
}
