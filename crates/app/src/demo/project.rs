//! The sample project of `examples/boutique`, carried inside of the program.

use model::{Problem, Result, codes};
use std::fs;
use std::path::Path;

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../../../examples/boutique/", $path)))),*]
    };
}

/// Path below the project, and content.
pub const FILES: &[(&str, &str)] = files![
    ".gitignore",
    "README.md",
    "affluent.yaml",
    "connections/stock_api.yaml",
    "connections/till.yaml",
    "models/gold/customer_lifetime_value.sql",
    "models/gold/reorder_list.sql",
    "models/gold/return_rate.sql",
    "models/gold/rfm_segments.sql",
    "models/gold/top_products.sql",
    "pipelines/ingest.yaml",
    "pipelines/load.yaml",
    "pipelines/transform.yaml",
    "tests/daily_figures.yaml",
    "tests/french_orders.yaml",
];

const STOCK_CONNECTION: &str = "connections/stock_api.yaml";

/// Writes the files that are not there yet; what a person has changed stays as it is.
pub fn write(dir: &Path) -> Result<()> {
    for (path, text) in FILES {
        let path = dir.join(path);
        if path.exists() {
            continue;
        }
        let parent = path.parent().unwrap_or(dir);
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, text))
            .map_err(|error| not_written(&path, &error))?;
    }
    Ok(())
}

/// Points the project at the stock service, which may have found another port than the usual one.
pub fn set_stock_url(dir: &Path, url: &str) -> Result<()> {
    let path = dir.join(STOCK_CONNECTION);
    let text = fs::read_to_string(&path).map_err(|error| {
        Problem::new(&codes::FILE_UNREADABLE, format!("`{}` cannot be read", path.display()))
            .arg("path", path.display())
            .detail(error)
    })?;
    let lines = text.lines().map(|line| match line.starts_with("url:") {
        true => format!("url: {url}\n"),
        false => format!("{line}\n"),
    });
    let changed: String = lines.collect();
    if changed == text {
        return Ok(());
    }
    fs::write(&path, changed).map_err(|error| not_written(&path, &error))
}

fn not_written(path: &Path, error: &std::io::Error) -> Problem {
    Problem::new(&codes::STORAGE_FAILED, format!("`{}` cannot be written", path.display()))
        .arg("path", path.display())
        .detail(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files below `dir`, without those that runs and the generator make.
    fn listed(dir: &Path, prefix: &str, found: &mut Vec<String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                let made = ["data", "lake", "out", ".affluent"].contains(&path.as_str());
                if !made {
                    listed(&entry.path(), &format!("{path}/"), found);
                }
            } else {
                found.push(path);
            }
        }
    }

    #[test]
    fn every_file_of_the_example_is_carried() {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/boutique");
        let mut found = Vec::new();
        listed(&example, "", &mut found);
        found.sort();
        let carried: Vec<&str> = FILES.iter().map(|(path, _)| *path).collect();
        assert_eq!(found, carried);
    }

    #[test]
    fn writing_again_keeps_what_a_person_changed() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path()).unwrap();
        let pipeline = dir.path().join("pipelines/load.yaml");
        fs::write(&pipeline, "mine").unwrap();
        write(dir.path()).unwrap();
        assert_eq!(fs::read_to_string(&pipeline).unwrap(), "mine");
    }

    #[test]
    fn the_stock_connection_follows_the_port() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path()).unwrap();
        set_stock_url(dir.path(), "http://127.0.0.1:4711").unwrap();
        let text = fs::read_to_string(dir.path().join(STOCK_CONNECTION)).unwrap();
        assert!(text.contains("\nurl: http://127.0.0.1:4711\n"), "{text}");
        assert!(text.contains("type: http"), "{text}");
    }
}
