//! From paths and patterns to the files that are there now.

use crate::storage::local::{describe, resolve};
use crate::storage::{FileStore, Scheme, StoredFile, blocking, io_problem};
use contracts::Context;
use glob::{MatchOptions, Pattern};
use model::{Problem, Result, codes};
use std::fs;
use std::io;
use std::path::Path;

const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

const NAMES_SHOWN_MAX: usize = 5;

/// Files that match `path`, sorted by name; none is an answer too.
pub(crate) async fn find(
    context: &Context,
    store: &dyn FileStore,
    path: &str,
) -> Result<Vec<StoredFile>> {
    let mut files = match Scheme::of(path)? {
        Scheme::Local => {
            let (context, path) = (context.clone(), path.to_owned());
            blocking(move || find_local(&context, &path)).await?
        }
        Scheme::S3 if is_pattern(path) => {
            let pattern = parse(path)?;
            let mut files = store.list(fixed_folder(path)).await?;
            files.retain(|file| pattern.matches_with(&file.path, OPTIONS));
            files
        }
        Scheme::S3 | Scheme::Http => store.head(path).await?.into_iter().collect(),
    };
    files.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(files)
}

/// Whether `path` says that `name` is one of its files.
pub(crate) fn covers(path: &str, name: &str) -> bool {
    let is_match = |pattern: Pattern| pattern.matches_with(name, OPTIONS);
    path == name || (is_pattern(path) && Pattern::new(path).is_ok_and(is_match))
}

/// Why nothing was found, with names that are near.
pub(crate) async fn not_found(context: &Context, store: &dyn FileStore, path: &str) -> Problem {
    let fact = match is_pattern(path) {
        true => format!("no file matches `{path}`"),
        false => format!("there is no file `{path}`"),
    };
    let problem = Problem::new(&codes::FILE_NOT_FOUND, fact).arg("path", path);
    let folder = fixed_folder(path).to_owned();
    let names = match Scheme::of(path) {
        Ok(Scheme::Local) => {
            let (context, folder) = (context.clone(), folder.clone());
            blocking(move || names_in(&context, &folder)).await
        }
        Ok(Scheme::S3) => store.list(&folder).await.map(|files| {
            let below = |file: &StoredFile| file.path.strip_prefix(&folder).map(str::to_owned);
            files.iter().filter_map(below).collect()
        }),
        Ok(Scheme::Http) | Err(_) => Ok(Vec::new()),
    };
    let shown = folder.trim_end_matches('/');
    match names {
        Err(_) => problem.hint(no_folder(context, shown)),
        Ok(names) => problem.hint(hint(path, shown, &names)),
    }
}

/// What to say when the folder itself is not there.
fn no_folder(context: &Context, folder: &str) -> String {
    let (above, name) = folder.rsplit_once('/').unwrap_or(("", folder));
    let names = names_in(context, above).unwrap_or_default();
    match stdx::text::nearest(name, names.iter().map(String::as_str)) {
        Some(near) if above.is_empty() => {
            format!("there is no folder `{folder}`; did you mean `{near}`?")
        }
        Some(near) => format!("there is no folder `{folder}`; did you mean `{above}/{near}`?"),
        None => format!("there is no folder `{folder}`; paths start at the project folder"),
    }
}

fn hint(path: &str, folder: &str, names: &[String]) -> String {
    let folder = if folder.is_empty() { "the project folder" } else { folder };
    let wanted = &path[fixed_folder(path).len()..];
    let near = stdx::text::nearest(wanted, names.iter().map(String::as_str));
    if let Some(near) = near {
        return format!("did you mean `{}{near}`?", fixed_folder(path));
    }
    let extension = |name: &str| name.rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase());
    let mut shown: Vec<&str> = names.iter().map(String::as_str).collect();
    shown.sort_by_key(|name| (extension(name) != extension(wanted), *name));
    match (shown.len(), folder) {
        (0, _) if folder.contains("://") => "check the URL".to_owned(),
        (0, _) => format!("`{folder}` has no files; paths start at the project folder"),
        (1..=NAMES_SHOWN_MAX, _) => {
            format!("`{folder}` has {}", stdx::text::list(shown.iter().copied()))
        }
        (count, _) => format!(
            "`{folder}` has {} and {} more",
            shown[..NAMES_SHOWN_MAX]
                .iter()
                .map(|n| format!("`{n}`"))
                .collect::<Vec<_>>()
                .join(", "),
            count - NAMES_SHOWN_MAX
        ),
    }
}

fn names_in(context: &Context, folder: &str) -> Result<Vec<String>> {
    let local = context.local_path(folder)?;
    let entries = fs::read_dir(local).map_err(|e| io_problem(folder, &e))?;
    let is_shown = |name: &String| !name.starts_with('.');
    let name = |entry: io::Result<fs::DirEntry>| Some(entry.ok()?.file_name().to_str()?.to_owned());
    Ok(entries.filter_map(name).filter(is_shown).take(10_000).collect())
}

fn find_local(context: &Context, path: &str) -> Result<Vec<StoredFile>> {
    let local = context.local_path(path)?;
    // A name with brackets in it is a file before it is a pattern.
    match fs::metadata(&local) {
        Ok(metadata) if metadata.is_file() => {
            resolve(context, path)?;
            return Ok(vec![describe(&shown(context, &local)?, &metadata)]);
        }
        Ok(_) => {
            let folder = path.trim_end_matches('/');
            return Err(Problem::new(&codes::FILE_UNREADABLE, format!("`{path}` is a folder"))
                .arg("path", path)
                .hint(format!("write `{folder}/*` for the files in it")));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(io_problem(path, &error)),
    }
    if !is_pattern(path) {
        return Ok(Vec::new());
    }
    let text = match local.strip_prefix(&context.project) {
        Ok(below) => format!(
            "{}/{}",
            Pattern::escape(&context.project.to_string_lossy()),
            below.to_string_lossy()
        ),
        Err(_) => local.to_string_lossy().into_owned(),
    };
    let matches = glob::glob_with(&text, OPTIONS).map_err(|error| bad_pattern(path, &error))?;
    let mut files = Vec::new();
    for found in matches {
        let found = found.map_err(|error| io_problem(error.path().display(), error.error()))?;
        let metadata = match fs::metadata(&found) {
            // Gone since it was listed, or a link to nowhere.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            metadata => metadata.map_err(|error| io_problem(found.display(), &error))?,
        };
        if metadata.is_file() {
            let name = shown(context, &found)?;
            resolve(context, &name)?;
            files.push(describe(&name, &metadata));
        }
    }
    Ok(files)
}

/// The path as people read it; it must be text, since it goes into `_file` and the run record.
fn shown(context: &Context, path: &Path) -> Result<String> {
    if path.to_str().is_none() {
        let lossy = path.display();
        return Err(Problem::new(
            &codes::FILE_UNREADABLE,
            format!("the name of `{lossy}` is not valid UTF-8"),
        )
        .arg("path", lossy)
        .hint("rename the file"));
    }
    Ok(context.display_path(path))
}

fn is_pattern(path: &str) -> bool {
    Scheme::of(path) != Ok(Scheme::Http) && path.contains(['*', '?', '['])
}

fn parse(path: &str) -> Result<Pattern> {
    Pattern::new(path).map_err(|error| bad_pattern(path, &error))
}

fn bad_pattern(path: &str, error: &glob::PatternError) -> Problem {
    Problem::new(&codes::SETTING_INVALID, format!("`{path}` is not a valid pattern"))
        .arg("path", path)
        .detail(error.msg)
        .hint("`*` stands for any part of a name, `**` for any folders, `[ab]` for one of a few")
}

/// The part of `path` up to the last `/` before anything that varies.
fn fixed_folder(path: &str) -> &str {
    let fixed = path.find(['*', '?', '[']).filter(|_| is_pattern(path)).unwrap_or(path.len());
    let end = path[..fixed].rfind('/').map_or(0, |at| at + 1);
    &path[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fixed_part_of_a_pattern_is_a_folder() {
        assert_eq!(fixed_folder("data/2026-*/orders.csv"), "data/");
        assert_eq!(fixed_folder("orders.csv"), "");
        assert_eq!(fixed_folder("s3://bucket/in/a*.csv"), "s3://bucket/in/");
        assert_eq!(fixed_folder("https://example.org/a?b=[c]"), "https://example.org/");
    }

    #[test]
    fn a_pattern_stays_in_its_folder() {
        assert!(covers("data/*.csv", "data/a.csv"));
        assert!(!covers("data/*.csv", "data/old/a.csv"));
        assert!(!covers("data/*", "data/.hidden"));
        assert!(covers("data/**/*.csv", "data/old/a.csv"));
        assert!(covers("data/[1].csv", "data/[1].csv"));
    }
}
