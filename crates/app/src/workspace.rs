//! Workspaces of a server: documents that its members may change, and what these cannot change.
//!
//! Whatever documents say, the lake, the limits and the folders that may be read are those of the
//! server's own project, and each workspace has its own tables alone.

use crate::variables::ProjectVariables;
use crate::workbench::Settings;
use engine::project::{PROJECT_FILE, ProjectFolder, Variables};
use model::connection::Connection;
use model::project::{Limits, Project};
use model::yaml::Document;
use model::{Name, Problem, Result, codes};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Which documents of a workspace are opened.
pub(crate) enum Documents {
    /// None: its tables are enough.
    None,
    /// Those of the folder that the server was started in.
    OfFolder,
    /// These: texts by path.
    These(BTreeMap<String, String>),
}

/// Folders of a project with documents; files elsewhere are what documents read.
const OF_DOCUMENTS: &[&str] =
    &[PROJECT_FILE, "connections", "pipelines", "models", "tests", ".affluent", ".git"];
/// Names of the folders that documents are written to.
static CHECKOUTS: AtomicU64 = AtomicU64::new(0);

/// What the project of a server fixes for all of its workspaces.
struct Home {
    dir: PathBuf,
    project: Project,
    /// Opens a lake that is no folder.
    lake: Option<Connection>,
}

/// A workspace's folder for a workbench.
pub(crate) fn folder(
    settings: &Settings,
    workspace: &Name,
    documents: &Documents,
) -> Result<ProjectFolder, Vec<Problem>> {
    let home = Home::open(settings)?;
    let environment = settings.environment.as_ref();
    let mut folder = match documents {
        Documents::None => home.without_documents(),
        Documents::OfFolder if home.is_of(workspace) => {
            ProjectFolder::load(&home.dir, environment, &ProjectVariables::plain(&home.dir))?
        }
        Documents::OfFolder => home.without_documents(),
        Documents::These(texts) => {
            let one = |problem| vec![problem];
            let checkout = Checkout::write(&home, workspace, texts).map_err(one)?;
            match home.is_of(workspace) {
                true => {
                    let variables = ProjectVariables::plain(&home.dir);
                    ProjectFolder::load(&checkout.dir, environment, &variables)?
                }
                false => ProjectFolder::load(&checkout.dir, None, &NoVariables)?,
            }
        }
    };
    home.settle(&mut folder, workspace);
    Ok(folder)
}

/// The limits of a server's project.
pub(crate) fn limits(settings: &Settings) -> Result<Limits> {
    match Home::open(settings) {
        Ok(home) => Ok(home.project.limits),
        Err(problems) => Err(problems.into_iter().next().unwrap_or_else(|| {
            Problem::new(&codes::INTERNAL, "a project cannot be opened, and nothing says why")
        })),
    }
}

/// Variables and secrets of the server's own project are not those of other workspaces.
struct NoVariables;

impl Variables for NoVariables {
    fn environment(&self, _: &str) -> Option<String> {
        None
    }

    fn secret(&self, _: &str) -> Option<String> {
        None
    }
}

impl Home {
    fn open(settings: &Settings) -> Result<Self, Vec<Problem>> {
        let one = |problem: Problem| vec![problem];
        let dir = engine::project::find(&settings.project).map_err(one)?;
        let text = fs::read_to_string(dir.join(PROJECT_FILE)).map_err(|error| {
            let fact = format!("`{PROJECT_FILE}` cannot be read");
            one(Problem::new(&codes::FILE_UNREADABLE, fact).detail(error))
        })?;
        let document = Document::parse(PROJECT_FILE, &text).map_err(one)?;
        let mut project: Project = document.read("").map_err(one)?;
        let environment = settings.environment.as_ref();
        if let Some(chosen) = environment.and_then(|name| project.environments.get(name)).cloned() {
            project.workspace = chosen.workspace.or(project.workspace);
            project.lake = chosen.lake.unwrap_or(project.lake);
        }
        if !project.lake.contains("://") {
            return Ok(Self { dir, project, lake: None });
        }
        let folder = ProjectFolder::load(&dir, environment, &ProjectVariables::plain(&dir))?;
        let mut connections = folder.connections.into_iter();
        let lake = connections.find(|(name, _)| name.as_str() == "lake");
        Ok(Self { dir, project, lake: lake.map(|(_, connection)| connection) })
    }

    /// Whether the folder feeds this workspace.
    fn is_of(&self, workspace: &Name) -> bool {
        self.project.workspace.as_ref().unwrap_or(&self.project.name) == workspace
    }

    fn without_documents(&self) -> ProjectFolder {
        ProjectFolder {
            project: self.project.clone(),
            pipelines: BTreeMap::new(),
            connections: BTreeMap::new(),
            dir: self.dir.clone(),
        }
    }

    /// Puts back what documents cannot change.
    fn settle(&self, folder: &mut ProjectFolder, workspace: &Name) {
        let project = &mut folder.project;
        project.workspace = Some(workspace.clone());
        project.limits = self.project.limits.clone();
        project.lake = match self.project.lake.contains("://") {
            true => self.project.lake.clone(),
            false => self.dir.join(&self.project.lake).to_string_lossy().into_owned(),
        };
        if let Some(lake) = &self.lake {
            folder.connections.insert(lake.name.clone(), lake.clone());
        }
        if self.is_of(workspace) {
            project.allowed_paths = self.project.allowed_paths.clone();
            folder.dir = self.dir.clone();
        } else {
            project.allowed_paths = Vec::new();
            folder.dir = self.dir.join(".affluent").join("workspaces").join(workspace.as_str());
        }
    }
}

/// Documents as files, as long as they are read.
struct Checkout {
    dir: PathBuf,
}

impl Drop for Checkout {
    fn drop(&mut self) {
        // What is left is removed when the next server starts.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Where documents are written to, below the state of a project.
pub(crate) fn checkouts(project: &Path) -> PathBuf {
    project.join(".affluent").join("desks")
}

impl Checkout {
    fn write(home: &Home, workspace: &Name, texts: &BTreeMap<String, String>) -> Result<Self> {
        let number = CHECKOUTS.fetch_add(1, Ordering::Relaxed);
        let dir = checkouts(&home.dir).join(format!("{}-{number}", std::process::id()));
        let failed = |error: std::io::Error| {
            let fact = format!("documents cannot be written to `{}`", dir.display());
            Problem::new(&codes::STORAGE_FAILED, fact)
                .detail(error)
                .hint("the state folder of the project must be writable")
        };
        let make = |dir: &Path| fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        make(&dir).map_err(failed)?;
        let checkout = Self { dir: dir.clone() };
        if !texts.contains_key(PROJECT_FILE) {
            let text = format!("affluent: 1\nname: {workspace}\n");
            fs::write(dir.join(PROJECT_FILE), text).map_err(failed)?;
        }
        for (path, text) in texts {
            let path = Path::new(path);
            if !path.components().all(|part| matches!(part, Component::Normal(_))) {
                let fact = format!("`{}` is no place for a document", path.display());
                return Err(Problem::new(&codes::PATH_REFUSED, fact));
            }
            let full = dir.join(path);
            if let Some(parent) = full.parent() {
                make(parent).map_err(failed)?;
            }
            fs::write(full, text).map_err(failed)?;
        }
        check_query_files(texts)?;
        // A query that has a file of its own is read where the project has it.
        if home.is_of(workspace) && texts.values().any(|text| text.contains("query_file")) {
            for entry in fs::read_dir(&home.dir).map_err(failed)? {
                let name = entry.map_err(failed)?.file_name();
                if !OF_DOCUMENTS.iter().any(|own| name == *own) {
                    symlink(home.dir.join(&name), dir.join(&name)).map_err(failed)?;
                }
            }
        }
        Ok(checkout)
    }
}

/// Members of a workspace may name files of the project, and no others.
fn check_query_files(texts: &BTreeMap<String, String>) -> Result<()> {
    for (path, text) in texts.iter().filter(|(_, text)| text.contains("query_file")) {
        // What cannot be read is told when it is loaded.
        let Ok(document) = Document::parse(path, text) else { continue };
        let nodes = document.value().get("nodes").and_then(Value::as_array);
        for (at, node) in nodes.into_iter().flatten().enumerate() {
            let Some(file) = node.pointer("/with/query_file").and_then(Value::as_str) else {
                continue;
            };
            if !Path::new(file).components().all(|part| matches!(part, Component::Normal(_))) {
                let fact = format!("`{file}` is not below the project");
                let problem = Problem::new(&codes::PATH_REFUSED, fact)
                    .hint("name a file of the project, as in `sql/days.sql`");
                return Err(document.locate(problem, &format!("/nodes/{at}/with/query_file")));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> (tempfile::TempDir, Settings) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(PROJECT_FILE), text).unwrap();
        let settings = Settings { project: dir.path().to_owned(), ..Settings::default() };
        (dir, settings)
    }

    fn these(documents: &[(&str, &str)]) -> Documents {
        let texts = documents.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        Documents::These(texts.collect())
    }

    #[test]
    fn documents_cannot_change_what_belongs_to_the_server() {
        let (dir, settings) = settings("affluent: 1\nname: shop\nlimits: {memory_mib: 300}\n");
        let daring = these(&[(
            PROJECT_FILE,
            "affluent: 1\nname: shop\nworkspace: other\nlake: /etc\nallowed_paths: [/]\n\
             limits: {memory_mib: 999999}\ntime_zone: Europe/Paris\n",
        )]);
        let dir = dir.path().canonicalize().unwrap();
        for name in ["shop", "elsewhere"] {
            let workspace = Name::new(name).unwrap();
            let folder = folder(&settings, &workspace, &daring).unwrap();
            assert_eq!(folder.workspace(), workspace);
            assert_eq!(Path::new(&folder.project.lake), dir.join("lake"));
            assert!(folder.project.allowed_paths.is_empty());
            assert_eq!(folder.project.limits.memory_mib, 300);
            assert_eq!(folder.project.time_zone, "Europe/Paris", "this it may");
            assert_eq!(folder.dir == dir, name == "shop", "{}", folder.dir.display());
        }
        assert_eq!(fs::read_dir(checkouts(&dir)).unwrap().count(), 0, "nothing stays");
    }

    #[test]
    fn secrets_of_the_server_are_not_those_of_other_workspaces() {
        let (dir, settings) = settings("affluent: 1\nname: shop\n");
        let secrets = dir.path().join(".affluent/secrets");
        fs::create_dir_all(&secrets).unwrap();
        fs::write(secrets.join("password"), "1234\n").unwrap();
        let documents = these(&[(
            "connections/erp.yaml",
            "affluent: 1\nkind: connection\nname: erp\ntype: postgres\n\
             password: ${secret:password}\n",
        )]);
        let open = |name: &str| folder(&settings, &Name::new(name).unwrap(), &documents);
        let own = open("shop").unwrap();
        let connection = own.connections.values().next().unwrap();
        assert_eq!(connection.settings["password"], "1234");
        let problems = open("elsewhere").err().unwrap();
        assert!(problems[0].is(&codes::SECRET_MISSING), "{problems:?}");
    }

    #[test]
    fn a_document_has_its_place_inside() {
        let (_dir, settings) = settings("affluent: 1\nname: shop\n");
        let outside = these(&[("../outside.yaml", "x")]);
        let problems = folder(&settings, &Name::new("shop").unwrap(), &outside).err().unwrap();
        assert!(problems[0].is(&codes::PATH_REFUSED), "{problems:?}");
    }

    #[test]
    fn files_of_queries_are_those_of_the_project() {
        let (dir, settings) = settings("affluent: 1\nname: shop\n");
        fs::create_dir(dir.path().join("sql")).unwrap();
        fs::write(dir.path().join("sql/days.sql"), "select 1").unwrap();
        let documents = these(&[(
            "pipelines/days.yaml",
            "affluent: 1\nkind: pipeline\nname: days\nnodes:\n\
             \x20 - {id: days, use: sql, with: {query_file: sql/days.sql}}\n",
        )]);
        let shop = Name::new("shop").unwrap();
        let folder = folder(&settings, &shop, &documents).unwrap();
        let pipeline = folder.pipelines.values().next().unwrap();
        assert_eq!(pipeline.pipeline.nodes[0].with["query"], "select 1");
        for outside in ["/etc/passwd", "../../etc/passwd"] {
            let Documents::These(mut texts) = these(&[]) else { unreachable!() };
            let text =
                format!("nodes:\n  - {{id: d, use: sql, with: {{query_file: {outside}}}}}\n");
            texts.insert("pipelines/days.yaml".to_owned(), text);
            let problems = super::folder(&settings, &shop, &Documents::These(texts)).err().unwrap();
            assert!(problems[0].is(&codes::PATH_REFUSED), "{problems:?}");
        }
    }
}
