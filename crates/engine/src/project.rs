//! A project folder, read: documents, connections, pipelines and models.

use model::connection::Connection;
use model::pipeline::Pipeline;
use model::project::{Environment, Project};
use model::yaml::Document;
use model::{Name, Problem, Result, codes};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The file that makes a folder a project.
pub const PROJECT_FILE: &str = "affluent.yaml";

/// Looks up `${env:NAME}` and `${secret:NAME}`; only the outermost crate can.
pub trait Variables {
    /// The value of an environment variable that documents may use.
    fn environment(&self, name: &str) -> Option<String>;
    /// The value of a secret.
    fn secret(&self, name: &str) -> Option<String>;
    /// The value of a secret for one connection. Where secrets belong to connections, another one
    /// gets nothing by its name.
    fn secret_of(&self, connection: &Name, name: &str) -> Option<String> {
        let _ = connection;
        self.secret(name)
    }
}

/// A project folder with its documents read.
pub struct ProjectFolder {
    /// The folder, absolute.
    pub dir: PathBuf,
    /// `affluent.yaml`.
    pub project: Project,
    /// Pipelines by name, models included.
    pub pipelines: BTreeMap<Name, PipelineFile>,
    /// Connections by name, variables and secrets filled in.
    pub connections: BTreeMap<Name, Connection>,
}

/// A pipeline with the text it was read from.
#[derive(Clone)]
pub struct PipelineFile {
    /// The pipeline.
    pub pipeline: Pipeline,
    /// Its document, for positions.
    pub document: Document,
    /// Hash of its text and of every file it refers to.
    pub hash: String,
}

/// Finds the project that `start` is in: the nearest folder above with an `affluent.yaml`.
pub fn find(start: &Path) -> Result<PathBuf> {
    let start = start.canonicalize().map_err(|error| unreadable(start, &error))?;
    let mut dir = start.as_path();
    loop {
        if dir.join(PROJECT_FILE).is_file() {
            return Ok(dir.to_owned());
        }
        match dir.parent() {
            Some(parent) => dir = parent,
            None => {
                let fact = format!("`{}` is not in a project", start.display());
                return Err(Problem::new(&codes::NOT_A_PROJECT, fact)
                    .hint("go into a project's folder, or make one with `affluent init DIR`"));
            }
        }
    }
}

impl ProjectFolder {
    /// Reads the project in `dir`. Every problem of every document is given.
    pub fn load(
        dir: &Path,
        environment: Option<&Name>,
        variables: &dyn Variables,
    ) -> Result<Self, Vec<Problem>> {
        let dir = dir.canonicalize().map_err(|error| vec![unreadable(dir, &error)])?;
        let document = read_document(&dir, Path::new(PROJECT_FILE)).map_err(|p| vec![p])?;
        let mut project: Project = document.read("").map_err(|problem| vec![problem])?;
        let chosen = choose_environment(&project, environment).map_err(|problem| vec![problem])?;
        let mut problems = Vec::new();
        let mut folder = Self {
            pipelines: BTreeMap::new(),
            connections: BTreeMap::new(),
            project: project.clone(),
            dir,
        };
        folder.load_connections(variables, &mut problems);
        folder.load_pipelines(&mut problems);
        folder.load_models(&mut problems);
        if let Some(environment) = chosen {
            project.workspace = environment.workspace.clone().or(project.workspace);
            project.lake = environment.lake.clone().unwrap_or(project.lake);
            folder.use_environment(&environment, &mut problems);
        }
        folder.project = project;
        if problems.is_empty() { Ok(folder) } else { Err(problems) }
    }

    /// The workspace that tables belong to.
    pub fn workspace(&self) -> Name {
        self.project.workspace.clone().unwrap_or_else(|| self.project.name.clone())
    }

    /// The pipeline `name`.
    pub fn pipeline(&self, name: &str) -> Result<&PipelineFile> {
        let found = self.pipelines.iter().find(|(known, _)| known.as_str() == name);
        found.map(|(_, file)| file).ok_or_else(|| {
            let known = self.pipelines.keys().map(Name::as_str);
            let hint = match stdx::text::nearest(name, known.clone()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("pipelines are {}", stdx::text::list(known)),
            };
            Problem::new(&codes::NAME_UNKNOWN, format!("there is no pipeline `{name}`"))
                .arg("pipeline", name)
                .hint(hint)
        })
    }

    fn load_connections(&mut self, variables: &dyn Variables, problems: &mut Vec<Problem>) {
        for path in files(&self.dir, "connections", &["yaml", "yml"], problems) {
            let read = read_document(&self.dir, &path).and_then(|document| {
                let mut connection: Connection = document.read("")?;
                let settings = Value::Object(std::mem::take(&mut connection.settings));
                let filled = fill(&settings, variables, &connection.name)
                    .map_err(|(pointer, problem)| document.locate(problem, &pointer))?;
                connection.settings = filled.as_object().cloned().unwrap_or_default();
                Ok(connection)
            });
            match read {
                Ok(connection) => {
                    if let Some(other) =
                        self.connections.insert(connection.name.clone(), connection)
                    {
                        problems.push(taken("connection", &other.name, &path));
                    }
                }
                Err(problem) => problems.push(problem),
            }
        }
    }

    fn load_pipelines(&mut self, problems: &mut Vec<Problem>) {
        for path in files(&self.dir, "pipelines", &["yaml", "yml"], problems) {
            if path.to_string_lossy().contains(".layout.") {
                continue;
            }
            match self.load_pipeline(&path) {
                Ok(file) => self.add_pipeline(file, &path, problems),
                Err(problem) => problems.push(problem),
            }
        }
    }

    fn add_pipeline(&mut self, file: PipelineFile, path: &Path, problems: &mut Vec<Problem>) {
        let name = file.pipeline.name.clone();
        if self.pipelines.insert(name.clone(), file).is_some() {
            problems.push(taken("pipeline", &name, path));
        }
    }

    fn load_pipeline(&self, path: &Path) -> Result<PipelineFile> {
        let document = read_document(&self.dir, path)?;
        let mut pipeline: Pipeline = document.read("")?;
        let mut hash = Sha256::new();
        for (at, node) in pipeline.nodes.iter_mut().enumerate() {
            // The text of a query that has a file of its own takes the place of the reference.
            let Some(Value::String(file)) = node.with.remove("query_file") else { continue };
            let text = fs::read_to_string(self.dir.join(&file)).map_err(|error| {
                let pointer = format!("/nodes/{at}/with/query_file");
                document.locate(unreadable(Path::new(&file), &error), &pointer)
            })?;
            node.with.insert("query".to_owned(), Value::String(text));
        }
        hash.update(serde_json::to_vec(&pipeline).unwrap_or_default());
        let hash = hex(&hash.finalize());
        Ok(PipelineFile { pipeline, document, hash })
    }

    /// `models/**/*.sql`: `-- table:`, `-- mode:`, `-- key:` … and one SELECT.
    fn load_models(&mut self, problems: &mut Vec<Problem>) {
        for path in files(&self.dir, "models", &["sql"], problems) {
            match self.load_model(&path) {
                Ok(file) => self.add_pipeline(file, &path, problems),
                Err(problem) => problems.push(problem.in_file(path.display())),
            }
        }
    }

    fn load_model(&self, path: &Path) -> Result<PipelineFile> {
        let full = self.dir.join(path);
        let text = fs::read_to_string(&full).map_err(|error| unreadable(path, &error))?;
        let document = model_document(path, &text)?;
        let text = serde_json::to_string_pretty(&document).unwrap_or_default();
        let document = Document::parse(&path.to_string_lossy(), &text)?;
        let pipeline: Pipeline = document.read("")?;
        let hash = hex(&Sha256::digest(text.as_bytes()));
        Ok(PipelineFile { pipeline, document, hash })
    }

    fn use_environment(&mut self, environment: &Environment, problems: &mut Vec<Problem>) {
        for (name, other) in &environment.connections {
            match self.connections.get(other).cloned() {
                Some(connection) => {
                    self.connections
                        .insert(name.clone(), Connection { name: name.clone(), ..connection });
                }
                None => problems.push(
                    Problem::new(&codes::NAME_UNKNOWN, format!("there is no connection `{other}`"))
                        .in_file(PROJECT_FILE),
                ),
            }
        }
    }
}

fn choose_environment(project: &Project, name: Option<&Name>) -> Result<Option<Environment>> {
    let Some(name) = name else { return Ok(None) };
    project.environments.get(name).cloned().map(Some).ok_or_else(|| {
        let known = project.environments.keys().map(Name::as_str);
        Problem::new(&codes::NAME_UNKNOWN, format!("there is no environment `{name}`"))
            .in_file(PROJECT_FILE)
            .hint(format!("environments are {}", stdx::text::list(known)))
    })
}

/// The pipeline that a model's short form stands for.
fn model_document(path: &Path, text: &str) -> Result<Value> {
    let mut settings: Map<String, Value> = Map::new();
    let mut description = String::new();
    for line in text.lines().map_while(|line| line.trim().strip_prefix("--")) {
        let Some((key, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        match key.trim() {
            "table" | "mode" | "schema" => {
                settings.insert(key.trim().to_owned(), json!(value));
            }
            "key" | "partition_by" | "cluster_by" => {
                let columns: Vec<&str> = value.split(',').map(str::trim).collect();
                settings.insert(key.trim().to_owned(), json!(columns));
            }
            "description" => description = value.to_owned(),
            _ => {}
        }
    }
    let Some(table) = settings.get("table").and_then(Value::as_str).map(str::to_owned) else {
        return Err(Problem::new(&codes::DOCUMENT_INVALID, "the model names no table")
            .hint("begin the file with `-- table: gold.daily`"));
    };
    settings.entry("mode").or_insert(json!("overwrite"));
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = Name::new(stem.as_ref()).or_else(|_| Name::new(table.replace('.', "_")))?;
    Ok(json!({
        "affluent": 1, "kind": "pipeline", "name": name, "description": description,
        "tags": ["model"],
        "nodes": [
            {"id": "query", "use": "sql", "with": {"query": text}},
            {"id": "write", "use": "write_table", "from": "query", "with": settings},
        ],
    }))
}

/// Replaces `${env:…}` and `${secret:…}` in the texts of a connection.
fn fill(
    value: &Value,
    variables: &dyn Variables,
    connection: &Name,
) -> Result<Value, (String, Problem)> {
    match value {
        Value::String(text) => fill_text(text, variables, connection)
            .map(Value::String)
            .map_err(|p| (String::new(), p)),
        Value::Array(items) => {
            let filled = items.iter().enumerate().map(|(at, item)| {
                fill(item, variables, connection).map_err(|(path, p)| (format!("/{at}{path}"), p))
            });
            Ok(Value::Array(filled.collect::<Result<_, _>>()?))
        }
        Value::Object(map) => {
            let filled = map.iter().map(|(key, item)| {
                let item = fill(item, variables, connection)
                    .map_err(|(path, problem)| (format!("/{key}{path}"), problem))?;
                Ok((key.clone(), item))
            });
            Ok(Value::Object(filled.collect::<Result<_, _>>()?))
        }
        other => Ok(other.clone()),
    }
}

fn fill_text(text: &str, variables: &dyn Variables, connection: &Name) -> Result<String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let Some(length) = rest[start..].find('}') else { break };
        let reference = &rest[start + 2..start + length];
        let value = match reference.split_once(':') {
            Some(("env", name)) => variables.environment(name),
            Some(("secret", name)) => variables.secret_of(connection, name),
            _ => None,
        };
        let Some(value) = value else {
            let fact = format!("`${{{reference}}}` has no value");
            let hint = match reference.split_once(':') {
                Some(("env", name)) => format!("set the environment variable `{name}`"),
                Some(("secret", name)) => format!(
                    "write it into the file `.affluent/secrets/{name}`, or set the environment \
                     variable `AFFLUENT_SECRET_{}`",
                    name.to_uppercase()
                ),
                _ => "write `${secret:NAME}` in a connection, or `${env:NAME}`".to_owned(),
            };
            return Err(Problem::new(&codes::SECRET_MISSING, fact)
                .arg("reference", reference)
                .hint(hint));
        };
        filled.push_str(&rest[..start]);
        filled.push_str(&value);
        rest = &rest[start + length + 1..];
    }
    filled.push_str(rest);
    Ok(filled)
}

/// Files below `dir/folder` with one of the extensions, sorted; paths relative to `dir`.
fn files(
    dir: &Path,
    folder: &str,
    extensions: &[&str],
    problems: &mut Vec<Problem>,
) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(dir.join(&folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                problems.push(unreadable(&folder, &error));
                continue;
            }
        };
        for entry in entries.flatten() {
            let path = folder.join(entry.file_name());
            let extension = path.extension().unwrap_or_default().to_string_lossy().into_owned();
            if entry.path().is_dir() {
                folders.push(path);
            } else if extensions.contains(&extension.as_str()) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn read_document(dir: &Path, path: &Path) -> Result<Document> {
    let text = fs::read_to_string(dir.join(path)).map_err(|error| unreadable(path, &error))?;
    Document::parse(&path.to_string_lossy(), &text)
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    let (code, fact) = match error.kind() {
        io::ErrorKind::NotFound => (&codes::FILE_NOT_FOUND, "does not exist"),
        io::ErrorKind::PermissionDenied => (&codes::PERMISSION_DENIED, "may not be read"),
        _ => (&codes::FILE_UNREADABLE, "cannot be read"),
    };
    let problem = Problem::new(code, format!("`{}` {fact}", path.display()))
        .arg("path", path.display())
        .in_file(path.display());
    match error.kind() {
        io::ErrorKind::NotFound => {
            problem.hint("check the path; it starts at the project's folder")
        }
        _ => problem.detail(error),
    }
}

fn taken(kind: &str, name: &Name, path: &Path) -> Problem {
    Problem::new(&codes::NAME_TAKEN, format!("two documents make a {kind} `{name}`"))
        .arg("name", name)
        .in_file(path.display())
        .hint("give one of them another name")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
