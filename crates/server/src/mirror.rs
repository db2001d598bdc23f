//! The folder of a workspace and its documents here, kept the same.
//!
//! The database is the truth, the folder a mirror of it that people and git may change. Both are
//! compared with what they were when they were last the same: who differs from that has changed.
//! What only one side has changed is taken by the other; what both have changed is a conflict,
//! which a person ends. From the folder all changes are taken or none, and only if the documents
//! are right together.

mod base;
mod compare;

use crate::app::App;
use crate::desk::{CheckQuestion, Documents, Question, problem_of};
use crate::documents::{self, FolderDocument, difference, read_folder};
use crate::refusal;
use api::definitions::{FolderConflict, FolderState, ResolveConflict, Side};
use base::Base;
use compare::{Comparison, Differs, Key, compare};
use model::problem::StoredProblem;
use model::{Name, Problem, Result, codes};
use notify::{RecursiveMode, Watcher};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stdx::durable::{self, Publish};
use store::{Definition, DefinitionChange, DefinitionKey, Definitions, NewVersion};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

/// Changes of files are looked at when nothing has happened for so long: editors and git write
/// several times.
const QUIET: Duration = Duration::from_millis(500);
/// News of files can get lost, and another server may have saved something.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Folders that have documents in them.
const WATCHED: &[&str] = &["connections", "pipelines", "models", "tests"];

/// Where the folder of a workspace is.
#[derive(Debug, Clone)]
pub struct Place {
    /// The workspace.
    pub workspace: Name,
    /// The project's folder.
    pub folder: PathBuf,
    /// Where is remembered what both sides were when they were last the same.
    pub memory: PathBuf,
}

/// The folder that the server mirrors, if it does.
#[derive(Debug, Default)]
pub(crate) struct Mirror {
    place: Option<Place>,
    wake: Arc<Notify>,
    state: Mutex<FolderState>,
    /// What people have decided since the last look.
    decided: Mutex<Vec<ResolveConflict>>,
}

impl Mirror {
    /// Of a folder; of none, nothing is ever done.
    pub(crate) fn new(place: Option<Place>) -> Self {
        Self { place, ..Self::default() }
    }

    /// Something may have changed.
    pub(crate) fn look(&self) {
        self.wake.notify_one();
    }

    /// How the two sides stand to each other.
    pub(crate) fn state(&self, workspace: &Name) -> FolderState {
        match self.is_of(workspace) {
            true => self.state.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            false => FolderState::default(),
        }
    }

    /// The folder of a workspace, if it has one here.
    pub(crate) fn folder(&self, workspace: &Name) -> Option<PathBuf> {
        self.place.as_ref().filter(|_| self.is_of(workspace)).map(|place| place.folder.clone())
    }

    fn is_of(&self, workspace: &Name) -> bool {
        self.place.as_ref().is_some_and(|place| place.workspace == *workspace)
    }

    /// Takes a person's decision down; it is done at the next look, which comes at once.
    pub(crate) fn resolve(&self, workspace: &Name, decision: ResolveConflict) -> Result<()> {
        let state = self.state(workspace);
        let is_one = |conflict: &FolderConflict| {
            conflict.kind == decision.kind && conflict.name == decision.name
        };
        if !state.conflicts.iter().any(is_one) {
            let fact = format!(
                "there is no conflict about {} `{}`",
                decision.kind.as_str(),
                decision.name
            );
            return Err(Problem::new(&codes::NOT_FOUND, fact)
                .hint("look at the state of the folder: it may be over already"));
        }
        self.decided.lock().unwrap_or_else(PoisonError::into_inner).push(decision);
        self.look();
        Ok(())
    }

    fn tell(&self, state: FolderState) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    fn decisions(&self) -> Vec<ResolveConflict> {
        std::mem::take(&mut *self.decided.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Keeps the two sides the same until `stop` says so.
pub async fn mirror(app: App, mut stop: watch::Receiver<bool>) {
    let Some(place) = app.folder.place.clone() else { return };
    // Without news of files the folder is looked at every few seconds.
    let watcher = watcher(&place.folder, Arc::clone(&app.folder.wake));
    if let Err(error) = &watcher {
        tracing::warn!(%error, "changes of the folder are noticed late");
    }
    loop {
        let state = match look(&app, &place).await {
            Ok(state) => state,
            Err(problem) => {
                tracing::warn!(%problem, "the folder cannot be compared with the server");
                FolderState {
                    has_folder: true,
                    problems: vec![refusal::body(&problem)],
                    ..app.folder.state(&place.workspace)
                }
            }
        };
        app.folder.tell(state);
        tokio::select! {
            () = stopped(&mut stop) => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = app.folder.wake.notified() => {
                while timeout(QUIET, app.folder.wake.notified()).await.is_ok() {}
            }
        }
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Wakes the mirror when something happens to a document.
fn watcher(folder: &Path, wake: Arc<Notify>) -> notify::Result<notify::RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading, which the mirror does itself, is no change.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            wake.notify_one();
        }
    })?;
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    for name in WATCHED {
        let below = folder.join(name);
        if below.is_dir() {
            watcher.watch(&below, RecursiveMode::Recursive)?;
        }
    }
    Ok(watcher)
}

/// Both sides, and what they were when they were last the same.
struct Sides {
    folder: Vec<FolderDocument>,
    server: Vec<Definition>,
    base: Base,
}

/// Compares the two sides once, and does what follows from it.
async fn look(app: &App, place: &Place) -> Result<FolderState> {
    let found = app.store.workspaces().by_slug(&place.workspace).await;
    if found.as_ref().is_err_and(|problem| problem.is(&codes::NOT_FOUND)) {
        // Nobody has made the workspace yet.
        return Ok(FolderState::default());
    }
    let workspace = found?;
    let definitions = app.store.workspace(&workspace.id).definitions();
    let mut state = FolderState { has_folder: true, ..FolderState::default() };
    state.in_step_at_us = app.folder.state(&place.workspace).in_step_at_us;
    let dir = place.folder.clone();
    let folder = tokio::task::spawn_blocking(move || read_folder(&dir)).await;
    let folder = match folder.map_err(|error| internal(&error))? {
        Ok(folder) => folder,
        Err(problems) => {
            state.problems = problems.iter().map(refusal::body).collect();
            return Ok(state);
        }
    };
    let mut sides =
        Sides { folder, server: definitions.at(i64::MAX).await?, base: Base::read(&place.memory)? };
    let differs = sides.compare();
    for decision in app.folder.decisions() {
        sides.decide(&decision, &differs);
    }
    let Comparison { conflicts, from_folder, to_folder } = Comparison::of(sides.compare());
    if !conflicts.is_empty() {
        state.conflicts = conflicts.iter().map(|differs| sides.conflict(differs)).collect();
        return Ok(state);
    }
    if !from_folder.is_empty() {
        let problems = sides.check(app, place, &from_folder).await?;
        if !problems.is_empty() {
            state.problems = problems.iter().map(refusal::body).collect();
            return Ok(state);
        }
        take(&definitions, &sides, &from_folder, app.now_us()).await?;
        app.documents_changed(&workspace.id);
        tracing::info!(documents = from_folder.len(), "changes of the folder were taken");
    }
    for differs in &to_folder {
        sides.write(&place.folder, differs)?;
    }
    let base = sides.base_after(&from_folder);
    base.write(&place.memory)?;
    state.in_step_at_us = Some(app.now_us());
    Ok(state)
}

fn internal(error: &dyn std::fmt::Display) -> Problem {
    Problem::new(&codes::INTERNAL, "the folder was not read").detail(error)
}

impl Sides {
    fn in_folder(&self, key: &Key) -> Option<&FolderDocument> {
        self.folder.iter().find(|document| (document.kind, document.name.as_str()) == key.parts())
    }

    fn on_server(&self, key: &Key) -> Option<&Definition> {
        self.server.iter().find(|definition| {
            documents::kind(definition.kind) == Some(key.kind) && definition.name == key.name
        })
    }

    fn compare(&self) -> Vec<Differs> {
        let folder = self.folder.iter().map(|document| {
            (Key::new(document.kind, document.name.as_str()), documents::hash(&document.text))
        });
        let server = self.server.iter().filter_map(|definition| {
            let kind = documents::kind(definition.kind)?;
            Some((Key::new(kind, &definition.name), documents::hash(&definition.version.text)))
        });
        compare(&folder.collect(), &server.collect(), &self.base.hashes)
    }

    /// Makes the side that does not hold look as if it had not changed.
    fn decide(&mut self, decision: &ResolveConflict, differs: &[Differs]) {
        let key = Key::new(decision.kind, &decision.name);
        let Some(differs) = differs.iter().find(|differs| differs.key == key) else { return };
        let unchanged = match decision.keep {
            Side::Folder => differs.server.clone(),
            Side::Server => differs.folder.clone(),
        };
        match unchanged {
            Some(hash) => drop(self.base.hashes.insert(key, hash)),
            None => drop(self.base.hashes.remove(&key)),
        }
    }

    fn conflict(&self, differs: &Differs) -> FolderConflict {
        let Key { kind, name } = differs.key.clone();
        let server = self.on_server(&differs.key).map_or("", |found| found.version.text.as_str());
        let folder = self.in_folder(&differs.key).map_or("", |found| found.text.as_str());
        FolderConflict {
            kind,
            name,
            difference: difference(("server", server), ("folder", folder)),
        }
    }

    /// What is wrong with the documents as they would be.
    async fn check(&self, app: &App, place: &Place, taken: &[Differs]) -> Result<Vec<Problem>> {
        let mut documents = Documents::new();
        for definition in &self.server {
            let Some(kind) = documents::kind(definition.kind) else { continue };
            if !taken.iter().any(|differs| differs.key == Key::new(kind, &definition.name)) {
                let text = &definition.version.text;
                documents.insert(documents::path(kind, &definition.name, text), text.clone());
            }
        }
        for document in taken.iter().filter_map(|differs| self.in_folder(&differs.key)) {
            // Places are those of the folder, so that problems name the file that people know.
            documents.insert(document.path.to_string_lossy().into_owned(), document.text.clone());
        }
        let question = Question::Check(CheckQuestion { documents: Some(documents) });
        let found: Vec<StoredProblem> = app.desk.ask(&place.workspace, question).await?.read()?;
        Ok(found.into_iter().map(problem_of).collect())
    }

    /// Writes what the server has into the folder, unless the file has changed this very moment.
    fn write(&self, folder: &Path, differs: &Differs) -> Result<()> {
        let there = self.in_folder(&differs.key);
        let server = self.on_server(&differs.key);
        let path = match (there, server) {
            (Some(document), _) => folder.join(&document.path),
            (None, Some(definition)) => folder.join(documents::path(
                differs.key.kind,
                &definition.name,
                &definition.version.text,
            )),
            (None, None) => return Ok(()),
        };
        let failed = |error: io::Error| {
            let fact = format!("`{}` cannot be written", path.display());
            Problem::new(&codes::STORAGE_FAILED, fact)
                .detail(error)
                .hint("the folder of the project must be writable for the server")
        };
        let now = match fs::read_to_string(&path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        if now.as_deref() != there.map(|document| document.text.as_str()) {
            let fact = format!("`{}` is being changed", path.display());
            return Err(
                Problem::new(&codes::CONFLICT, fact).hint("nothing to do: it is looked at again")
            );
        }
        match server {
            Some(definition) => {
                if let Some(parent) = path.parent() {
                    durable::create_dir_all(parent).map_err(failed)?;
                }
                let text = definition.version.text.as_bytes();
                durable::write(&path, text, Publish::Replace).map_err(failed)
            }
            None => fs::remove_file(&path).map_err(failed),
        }
    }

    /// What both sides are now that all is done.
    fn base_after(&self, taken: &[Differs]) -> Base {
        let mut base = Base::default();
        for definition in &self.server {
            let Some(kind) = documents::kind(definition.kind) else { continue };
            let key = Key::new(kind, &definition.name);
            base.hashes.insert(key, documents::hash(&definition.version.text));
        }
        for differs in taken {
            match &differs.folder {
                Some(hash) => drop(base.hashes.insert(differs.key.clone(), hash.clone())),
                None => drop(base.hashes.remove(&differs.key)),
            }
        }
        base
    }
}

/// Saves what the folder has, all or none.
async fn take(
    definitions: &Definitions,
    sides: &Sides,
    taken: &[Differs],
    now_us: i64,
) -> Result<()> {
    let changes = taken.iter().map(|differs| {
        let new = sides.in_folder(&differs.key).map(|document| NewVersion {
            text: document.text.clone(),
            sha256: documents::hash(&document.text),
            author: None,
            message: "from the folder".to_owned(),
        });
        let expected = sides.on_server(&differs.key).map(|found| found.version.number);
        let kind = documents::stored_kind(differs.key.kind);
        let key = DefinitionKey { kind, name: Name::new(differs.key.name.as_str())? };
        Ok(DefinitionChange { key, new, expected })
    });
    definitions.change(changes.collect::<Result<_>>()?, now_us).await
}
