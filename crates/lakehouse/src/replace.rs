//! Which files an earlier append has added, so that a later commit can take them out again.

use crate::table::{DataFile, Table};
use deltalake::kernel::Add;
use model::run::CommitKey;
use model::{Problem, Result, codes};
use std::collections::HashMap;

/// The files that the commit with this key has added; a problem when they are not all there.
///
/// A file that was written anew since also holds rows of others, or lacks some of its own.
pub(crate) async fn appended_files(table: &Table, key: &CommitKey) -> Result<Vec<DataFile>> {
    let name = table.name();
    let Some(commit) = table.place.log.find(&key.to_string()).await? else {
        let fact = format!("the log of `{name}` has no commit of run {} any more", key.run);
        return Err(refused(table, key, fact));
    };
    let present = table.files()?.into_iter();
    let mut present: HashMap<String, DataFile> =
        present.map(|file| (file.add.path.clone(), file)).collect();
    let mut files = Vec::new();
    let mut gone = 0;
    let added = commit.actions.iter().filter_map(|action| action.get("add"));
    for add in added {
        // Read as the library does, which knows how paths are written down.
        let add: Add = serde_json::from_value(add.clone()).map_err(|error| {
            Problem::new(&codes::TABLE_CORRUPT, format!("the log of `{name}` cannot be read"))
                .arg("table", name)
                .detail(error)
        })?;
        match present.remove(&add.path) {
            Some(file) => files.push(file),
            None => gone += 1,
        }
    }
    match gone {
        0 => Ok(files),
        _ => {
            let all = files.len() + gone;
            let fact = format!(
                "{gone} of {all} files that run {} added to `{name}` were written anew or removed \
                 since",
                key.run
            );
            Err(refused(table, key, fact))
        }
    }
}

fn refused(table: &Table, key: &CommitKey, fact: String) -> Problem {
    Problem::new(&codes::RUN_REFUSED, fact).arg("table", table.name()).arg("run", &key.run).hint(
        "its rows cannot be told from others now, and nothing was changed; `--full-refresh` \
             writes everything again",
    )
}
