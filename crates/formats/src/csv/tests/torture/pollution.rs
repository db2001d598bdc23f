//! B-01: how much of 139 polluted files is read as a careful person would.
//!
//! The score of a file, at most 10, is: read at all, plus precision, recall and F1 of header
//! cells, of records and of cells, each compared as multisets of trimmed lower-case texts. What is
//! expected follows from the unpolluted file and from what was done to it: a row that lacks or
//! repeats a delimiter is still expected as it was before, an added quote is part of its value,
//! rows of names above one another are names of several words, a second table is expected too.
//!
//! The weighted score counts a kind of pollution as often as the survey of Pollock (Vitagliano
//! et al., 2023) has met it in real files.

use super::*;

/// The unpolluted table.
struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

fn score_of(expected: &[String], found: &[String]) -> f64 {
    if expected.is_empty() {
        return 3.0;
    }
    let mut counts: HashMap<&str, i64> = HashMap::new();
    expected.iter().for_each(|text| *counts.entry(text).or_default() += 1);
    let mut common = 0.0;
    for text in found {
        let count = counts.entry(text).or_default();
        if *count > 0 {
            *count -= 1;
            common += 1.0;
        }
    }
    if common == 0.0 {
        return 0.0;
    }
    let precision = common / found.len() as f64;
    let recall = common / expected.len() as f64;
    precision + recall + 2.0 * precision * recall / (precision + recall)
}

fn normal(text: &str) -> String {
    text.trim().to_lowercase()
}

fn score(expected: &Table, headers: &[String], outcome: &Outcome) -> f64 {
    let header = |names: &[String]| names.iter().map(|name| normal(name)).collect::<Vec<_>>();
    let record =
        |row: &Vec<String>| row.iter().map(|cell| normal(cell)).collect::<Vec<_>>().join("\u{1f}");
    let found: Vec<Vec<String>> = outcome
        .rows
        .iter()
        .map(|row| row.iter().map(|cell| cell.clone().unwrap_or_default()).collect())
        .collect();
    let records = |rows: &[Vec<String>]| rows.iter().map(record).collect::<Vec<_>>();
    let cells = |rows: &[Vec<String>]| rows.iter().flatten().map(|c| normal(c)).collect::<Vec<_>>();
    1.0 + score_of(&header(&expected.header), &header(headers))
        + score_of(&records(&expected.rows), &records(&found))
        + score_of(&cells(&expected.rows), &cells(&found))
}

/// Reads the unpolluted file in the plainest way.
fn source(folder: &Path) -> Table {
    let text = std::fs::read_to_string(folder.join("source.csv")).unwrap();
    let mut rows: Vec<Vec<String>> = text
        .lines()
        .map(|line| {
            let mut cells = vec![String::new()];
            let mut is_inside = false;
            for character in line.chars() {
                match character {
                    '"' => {
                        // The second of a pair.
                        if !is_inside && cells.last().is_some_and(|cell| !cell.is_empty()) {
                            cells.last_mut().unwrap().push('"');
                        }
                        is_inside = !is_inside;
                    }
                    ',' if !is_inside => cells.push(String::new()),
                    other => cells.last_mut().unwrap().push(other),
                }
            }
            cells
        })
        .collect();
    assert_eq!(rows.len(), 84);
    assert!(rows.iter().all(|row| row.len() == 9));
    assert_eq!(rows[1][6], "Soft, light, \"durable\" thing no 0");
    let header = rows.remove(0);
    Table { header, rows }
}

/// What a person would want from a polluted file.
fn expected(name: &str, source: &Table) -> Table {
    let mut header = source.header.clone();
    let mut rows = source.rows.clone();
    let place = |name: &str, word: &str| -> Option<usize> {
        let (_, rest) = name.split_once(word)?;
        rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
    };
    if name.starts_with("row_extra_quote_") {
        let (row, column) =
            (place(name, "row_extra_quote_row").unwrap(), place(name, "_col").unwrap());
        let cell = if row == 0 { &mut header[column] } else { &mut rows[row - 1][column] };
        if row > 0 {
            cell.insert(0, '"');
        }
    }
    match name.trim_end_matches(".csv") {
        "header_multirow_2" => {
            header = header.iter().enumerate().map(|(at, n)| format!("a{at} {n}")).collect();
        }
        "header_multirow_3" => {
            header = header.iter().enumerate().map(|(at, n)| format!("a{at} b{at} {n}")).collect();
        }
        "no_header" | "no_payload" => header.clear(),
        "one_data_row" => rows.truncate(1),
        "multitable_same" => {
            rows.push(header.clone());
            rows.extend(source.rows.clone());
        }
        "multitable_more" => {
            let wider =
                |row: &Vec<String>, last: &str| [row.clone(), vec![last.to_owned()]].concat();
            rows.push(wider(&header, "x"));
            rows.extend(source.rows.iter().map(|row| wider(row, "x")));
        }
        "multitable_less" => {
            rows.push(header[..5].to_vec());
            rows.extend(source.rows.iter().map(|row| row[..5].to_vec()));
        }
        _ => {}
    }
    if ["header_only.csv", "no_payload.csv"].contains(&name) {
        rows.clear();
    }
    Table { header, rows }
}

/// How often real files are polluted like this; kinds of many files share the number.
const OCCURRENCES: &[(&str, f64)] = &[
    ("source", 1.0),
    ("no_payload", 15.0),
    ("no_trailing_newline", 184.0),
    ("double_trailing_newline", 5.0),
    ("no_header", 470.0),
    ("header_multirow_2", 47.0),
    ("header_multirow_3", 47.0),
    ("preamble", 282.0),
    ("multitable_", 188.0),
    ("header_only", 3.0),
    ("one_data_row", 4.0),
    ("eol_cr", 7.0),
    ("eol_lf", 1691.0),
    ("delim_tab", 4.0),
    ("delim_semicolon", 834.0),
    ("delim_space", 4.0),
    ("delim_comma_space", 101.0),
    ("quote_apos", 11.0),
    ("escape_backslash", 1.0),
    ("escape_none", 7.0),
    ("row_less_sep_", 247.1),
    ("row_more_sep_", 278.0),
    ("row_delim_space_", 12.0),
    ("row_extra_quote_", 7.0),
    // The survey has met none.
    ("delim_pipe", 0.0),
];

fn weighted(scores: &[(f64, String)]) -> f64 {
    let kind_of = |name: &str| {
        let stem = name.trim_end_matches(".csv");
        let is_kind = |kind: &str| stem == kind || (kind.ends_with('_') && stem.starts_with(kind));
        let kind = OCCURRENCES.iter().position(|(kind, _)| is_kind(kind));
        kind.unwrap_or_else(|| panic!("how often is {name}?"))
    };
    let mut kinds = vec![(0.0, 0.0); OCCURRENCES.len()];
    for (score, name) in scores {
        let (sum, files) = &mut kinds[kind_of(name)];
        *sum += score;
        *files += 1.0;
    }
    let of_kinds = kinds.iter().zip(OCCURRENCES).filter(|((_, files), _)| *files > 0.0);
    let (sum, weights) =
        of_kinds.fold((0.0, 0.0), |(sum, weights), ((score, files), (_, weight))| {
            (sum + weight * score / files, weights + weight)
        });
    sum / weights
}

#[test]
fn b_01_pollution_score() {
    let Some(folder) = data("torture/generated/pollution") else { return };
    let source = source(&folder);
    let mut scores: Vec<(f64, String)> = Vec::new();
    let mut lossless = 0;
    for file in files_of(&folder) {
        let expected = expected(&file.name, &source);
        let csv = CsvOptions::default();
        let (headers, outcome) = match read_path(&file.path) {
            Ok(outcome) => (detect(&file, &csv).unwrap().headers, outcome),
            Err(problem) => {
                // An empty file is said to be empty: that is all there is to say.
                assert!(problem.is(&codes::FILE_CORRUPT) && file.name == "no_payload.csv");
                (Vec::new(), Outcome::default())
            }
        };
        let headers = if expected.header.is_empty() { Vec::new() } else { headers };
        scores.push((score(&expected, &headers, &outcome), file.name.clone()));
        let records = outcome.rows.len() + outcome.rejects.len();
        let known = expected.rows.len() + usize::from(file.name == "preamble.csv");
        assert_eq!(records, known, "{} loses or invents records", file.name);
        lossless += 1;
    }
    let mean = scores.iter().map(|(score, _)| score).sum::<f64>() / scores.len() as f64;
    scores.sort_by(|left, right| left.0.total_cmp(&right.0));
    let weighted = weighted(&scores);
    let files = scores.len();
    println!("b_01: {mean:.4}, weighted {weighted:.4} of 10 over {files} files");
    println!("b_01: {lossless} files are read without loss");
    for (score, name) in scores.iter().take(15) {
        println!("  {score:.3} {name}");
    }
    assert!(mean >= 9.91, "{mean}");
    assert!(weighted >= 9.60, "{weighted}");
}
