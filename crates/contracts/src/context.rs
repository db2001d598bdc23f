//! What sources, sinks and operators may use of the world around them.

use crate::table::TableStore;
use model::connection::Connection;
use model::{Name, Problem, Result, codes};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// The surroundings of a run: folders, connections, tables, limits.
#[derive(Clone)]
pub struct Context {
    /// The project folder, absolute.
    pub project: PathBuf,
    /// `.affluent`: run records, locks, spill.
    pub state: PathBuf,
    /// Where received files and pages are copied to.
    pub landing: PathBuf,
    /// Folders outside the project that may be read, absolute.
    pub allowed_paths: Vec<PathBuf>,
    /// Whether local paths outside the project are refused (servers) or fine (command line).
    pub confined: bool,
    /// The workspace.
    pub workspace: Name,
    /// Time zone for dates and times that carry none.
    pub time_zone: String,
    /// Partitions to aim for: the number of cores.
    pub threads: usize,
    /// Memory that one run may use, in bytes.
    pub memory_bytes: usize,
    /// Connections by name, their secrets filled in.
    pub connections: Arc<BTreeMap<Name, Connection>>,
    /// The lake.
    pub tables: Arc<dyn TableStore>,
}

impl Context {
    /// The connection `name`, which must be of one of the types in `types`.
    pub fn connection(&self, name: &Name, types: &[&str]) -> Result<&Connection> {
        let Some(connection) = self.connections.get(name) else {
            let known = self.connections.keys().map(Name::as_str);
            let hint = match stdx::text::nearest(name.as_str(), known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("add `connections/{name}.yaml`"),
            };
            return Err(Problem::new(
                &codes::NAME_UNKNOWN,
                format!("there is no connection `{name}`"),
            )
            .arg("connection", name)
            .hint(hint));
        };
        if types.contains(&connection.connection_type.as_str()) {
            return Ok(connection);
        }
        Err(Problem::new(
            &codes::SETTING_INVALID,
            format!("connection `{name}` is of type `{}`", connection.connection_type),
        )
        .arg("connection", name)
        .hint(format!(
            "this module needs a connection of type {}",
            stdx::text::list(types.iter().copied())
        )))
    }

    /// The settings of a connection as a typed struct.
    pub fn settings<T: serde::de::DeserializeOwned>(connection: &Connection) -> Result<T> {
        let settings: &Map<String, Value> = &connection.settings;
        model::yaml::read_value(&Value::Object(settings.clone())).map_err(|(path, problem)| {
            problem.in_file(format!("connections/{}.yaml", connection.name)).in_setting(path)
        })
    }

    /// The absolute form of a path that a document names. Relative paths start at the project.
    pub fn local_path(&self, path: &str) -> Result<PathBuf> {
        let absolute = normalize(&self.project.join(path));
        let inside = absolute.starts_with(&self.project)
            || self.allowed_paths.iter().any(|allowed| absolute.starts_with(allowed));
        if inside || !self.confined {
            return Ok(absolute);
        }
        Err(Problem::new(&codes::PATH_REFUSED, format!("`{path}` is outside of the project"))
            .arg("path", path)
            .hint("move the file into the project, or list its folder in `allowed_paths`"))
    }

    /// The form of an absolute path that people read: relative to the project when inside it.
    pub fn display_path(&self, path: &Path) -> String {
        path.strip_prefix(&self.project).unwrap_or(path).to_string_lossy().into_owned()
    }
}

/// Resolves `.` and `..` by text alone, before anything is opened.
fn normalize(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("project", &self.project).finish_non_exhaustive()
    }
}
