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

/// Opens the metadata of a project; made when it is not there.
pub(crate) async fn open(workbench: &Workbench) -> Result<Store> {
    let address = match variable(DATABASE) {
        Some(url) => Address::Postgres(Secret::new(url)),
        None => Address::Sqlite(workbench.context.state.join(FILE)),
    };
    Store::open(&address).await
}

/// The master key: from the environment, or from a file of the user's own outside of all projects.
pub(crate) fn master_key() -> Result<MasterKey> {
    match variable(MASTER_KEY) {
        Some(text) => MasterKey::parse(&Secret::new(text)),
        None => MasterKey::open(&key_file()?),
    }
}

fn key_file() -> Result<PathBuf> {
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
