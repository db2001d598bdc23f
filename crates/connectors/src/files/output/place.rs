//! Where `write_file` puts its files: placeholders, names of parts, the place of the manifest.

use crate::storage::Scheme;
use contracts::Context;
use model::run::CommitKey;
use model::{Problem, Result, codes};

const PLACEHOLDERS: &[&str] = &["run", "date"];

/// What a path asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One file, in place of the one before.
    Fixed,
    /// One file per run.
    PerRun,
    /// A folder to which each run adds its files.
    Folder,
}

/// Where the files of one commit go.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// What the path asks for.
    pub(crate) shape: Shape,
    /// The file, or the folder with a final `/`.
    pub(crate) path: String,
    /// The folder whose `_affluent` holds the manifest; empty or with a final `/`.
    root: String,
    /// Begins the names of all files in a folder: pipeline, node, run.
    stem: String,
    /// Begins the names of all files of this node, whatever the run.
    node_stem: String,
    /// Ending of file names, without the dot.
    extension: String,
    /// Where the manifest is, when not below `root`.
    manifest: Option<String>,
}

impl Shape {
    /// What `path` asks for, when files are `split` or not.
    pub(crate) fn of(path: &str, split: bool) -> Self {
        if split || path.ends_with('/') {
            Self::Folder
        } else if path.contains("{run}") {
            Self::PerRun
        } else {
            Self::Fixed
        }
    }
}

/// Refuses paths with unknown placeholders and the like.
pub(crate) fn check(path: &str) -> Result<()> {
    if path.trim().is_empty() {
        return Err(invalid(path, "`path` is empty".to_owned())
            .hint("write where the file goes: `path: out/report.csv`"));
    }
    if Scheme::of(path)? == Scheme::Http {
        return Err(invalid(path, "nothing can be written to a URL with this module".to_owned())
            .hint("write to a local path or to `s3://`, or use `write_http`"));
    }
    let mut rest = path;
    while let Some((_, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else {
            return Err(invalid(path, format!("a bracket in `{path}` is never closed"))
                .hint("placeholders are `{run}` and `{date}`"));
        };
        if !PLACEHOLDERS.contains(&name) {
            return Err(invalid(path, format!("`{{{name}}}` is not a placeholder"))
                .hint("placeholders are `{run}` and `{date}`"));
        }
        rest = after;
    }
    Ok(())
}

fn invalid(path: &str, fact: String) -> Problem {
    Problem::new(&codes::SETTING_INVALID, fact).arg("path", path)
}

impl Place {
    /// The place of one commit.
    pub(crate) fn new(
        context: &Context,
        pattern: &str,
        split: bool,
        extension: &str,
        key: &CommitKey,
    ) -> Result<Self> {
        let shape = Shape::of(pattern, split);
        let fixed = pattern.find('{').unwrap_or(pattern.len());
        let is_folder = shape == Shape::Folder;
        let root = match (is_folder && fixed == pattern.len(), pattern[..fixed].rfind('/')) {
            (true, _) => with_slash(pattern),
            (false, Some(at)) => pattern[..=at].to_owned(),
            (false, None) => String::new(),
        };
        let date = date(context, key)?;
        let filled = pattern.replace("{run}", key.run.as_str()).replace("{date}", &date);
        let path = if is_folder { with_slash(&filled) } else { filled };
        let is_local = Scheme::of(pattern)? == Scheme::Local;
        let manifest = (shape == Shape::Fixed && is_local).then(|| {
            let folder = context.state.join("outputs").join(key.pipeline.as_str());
            let file = folder.join(key.node.as_str()).join(format!("{}.json", key.run));
            file.to_string_lossy().into_owned()
        });
        let node_stem = format!("{}-{}-", key.pipeline, key.node);
        let stem = format!("{node_stem}{}-", key.run);
        let extension = extension.to_owned();
        Ok(Self { shape, path, root, stem, node_stem, extension, manifest })
    }

    /// Where the manifest of this commit is.
    pub(crate) fn manifest(&self) -> String {
        match &self.manifest {
            Some(path) => path.clone(),
            None => format!("{}{}.json", self.manifests(), self.stem.trim_end_matches('-')),
        }
    }

    /// The folder with the manifests of all commits to this place.
    pub(crate) fn manifests(&self) -> String {
        match self.manifest.as_ref().and_then(|path| path.rfind('/').map(|at| &path[..=at])) {
            Some(folder) => folder.to_owned(),
            None => format!("{}_affluent/", self.root),
        }
    }

    /// Whether `name` is a manifest of this node.
    pub(crate) fn is_manifest(&self, name: &str) -> bool {
        let file = name.rsplit('/').next().unwrap_or(name);
        file.ends_with(".json") && (self.manifest.is_some() || file.starts_with(&self.node_stem))
    }

    /// The name of one file in a folder.
    pub(crate) fn part(&self, folders: &str, partition: usize, number: usize) -> String {
        let Self { path, stem, extension, .. } = self;
        format!("{path}{folders}{stem}{partition}-{number}.{extension}")
    }

    /// Whether a file in the folder was put there by an attempt of this run.
    pub(crate) fn is_of_this_run(&self, name: &str) -> bool {
        let file = name.rsplit('/').next().unwrap_or(name);
        self.shape == Shape::Folder && file.starts_with(&self.stem)
    }

    /// Begins the temporary names of whatever attempts of this node left behind.
    pub(crate) fn temporary_prefix(&self) -> String {
        match self.shape {
            Shape::Folder => format!(".{}", self.node_stem),
            Shape::Fixed | Shape::PerRun => {
                format!(".{}.", self.path.rsplit('/').next().unwrap_or(&self.path))
            }
        }
    }

    /// Begins the names of files that are put together in the spill folder.
    pub(crate) fn stem(&self) -> &str {
        &self.stem
    }
}

fn with_slash(path: &str) -> String {
    format!("{}/", path.trim_end_matches('/'))
}

/// The day on which the run began, in the project's time zone.
fn date(context: &Context, key: &CommitKey) -> Result<String> {
    let zone: chrono_tz::Tz = context.time_zone.parse().map_err(|_| {
        Problem::new(&codes::SETTING_INVALID, format!("`{}` is not a time zone", context.time_zone))
            .hint("write a name such as `Europe/Paris` in `affluent.yaml`")
    })?;
    let began = chrono::DateTime::from_timestamp_micros(key.run.time_us()).unwrap_or_default();
    Ok(began.with_timezone(&zone).format("%Y-%m-%d").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Project, commit_key};

    fn place(pattern: &str, split: bool) -> Place {
        let project = Project::new();
        Place::new(&project.context, pattern, split, "csv", &commit_key()).unwrap()
    }

    #[test]
    fn the_name_says_whether_files_are_replaced_or_added() {
        let run = commit_key().run;
        let fixed = place("out/report-{date}.csv", false);
        assert_eq!((fixed.shape, fixed.path.as_str()), (Shape::Fixed, "out/report-2026-02-01.csv"));
        assert!(fixed.manifest().ends_with(&format!(".affluent/outputs/sales/export/{run}.json")));

        let per_run = place("out/{run}.csv", false);
        assert_eq!(per_run.shape, Shape::PerRun);
        assert_eq!(per_run.path, format!("out/{run}.csv"));
        assert_eq!(per_run.manifest(), format!("out/_affluent/sales-export-{run}.json"));

        let folder = place("out/orders", true);
        assert_eq!(folder.shape, Shape::Folder);
        let part = folder.part("day=1/", 0, 2);
        assert_eq!(part, format!("out/orders/day=1/sales-export-{run}-0-2.csv"));
        assert!(folder.is_of_this_run(&part));
        assert_eq!(folder.manifest(), format!("out/orders/_affluent/sales-export-{run}.json"));

        let bucket = place("s3://bucket/report.csv", false);
        assert_eq!(bucket.manifest(), format!("s3://bucket/_affluent/sales-export-{run}.json"));
        let dated = place("out/{date}/", false);
        assert_eq!(dated.path, "out/2026-02-01/");
        assert_eq!(dated.manifest(), format!("out/_affluent/sales-export-{run}.json"));
    }

    #[test]
    fn unknown_placeholders_are_refused() {
        assert!(check("out/{run}-{date}.csv").is_ok());
        let problem = check("out/{day}.csv").unwrap_err();
        assert_eq!(problem.message(), "`{day}` is not a placeholder");
        assert!(check("out/{run.csv").is_err());
        assert!(check("https://example.org/a.csv").is_err());
    }
}
