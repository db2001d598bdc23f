//! A profile as text for people.

use super::{ColumnProfile, Count, Profile};
use crate::output::{Colour, Output};
use serde_json::Value;
use std::fmt::Write;
use stdx::text::group_digits;

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The whole page.
pub(crate) fn text(profile: &Profile, output: Output) -> String {
    let mut text = format!(
        "{}: {} rows, {} columns\n",
        output.paint(Colour::Bold, &profile.target),
        group_digits(profile.rows),
        profile.columns.len()
    );
    if profile.unread > 0 {
        let unread = group_digits(profile.unread);
        let _ = writeln!(text, "{unread} more could not be read; a pipeline says why");
    }
    for column in &profile.columns {
        text.push('\n');
        describe(&mut text, column, profile.rows, output);
    }
    if profile.columns.iter().any(|column| !column.patterns.is_empty()) {
        text.push_str("\nin patterns A and a are letters, 9 is one digit\n");
    }
    text
}

fn describe(text: &mut String, column: &ColumnProfile, rows: u64, output: Output) {
    let inferred = match &column.inferred {
        Some(inferred) => format!(", all of it reads as {inferred}"),
        None => String::new(),
    };
    let name = output.paint(Colour::Bold, &column.name);
    let _ = writeln!(text, "{name}  {}{inferred}", column.data_type);
    let mut line = |label: &str, value: String| {
        let _ = writeln!(text, "  {label:<10} {value}");
    };
    line("nulls", share(column.nulls, rows));
    if let Some(blank) = column.blank.filter(|blank| *blank > 0) {
        line("blank", share(blank, rows));
    }
    if let Some(distinct) = column.distinct {
        let about = if column.distinct_is_exact || distinct == 0 { "" } else { "about " };
        let present = rows - column.nulls;
        let unique = column.distinct_is_exact && distinct == present && present > 1;
        let unique = if unique { ", every one different" } else { "" };
        line("distinct", format!("{about}{}{unique}", group_digits(distinct)));
    }
    if let (Some(min), Some(max)) = (&column.min, &column.max) {
        line("min … max", format!("{min} … {max}"));
    }
    if let Some(mean) = column.mean {
        let deviation = column.deviation.map(|d| format!(" ± {}", short(d))).unwrap_or_default();
        line("mean", format!("{}{deviation}", short(mean)));
    }
    if !column.quantiles.is_empty() {
        let shown = |(name, value): (&String, &Value)| match value {
            Value::String(text) => format!("{name} {text}"),
            number => format!("{name} {}", short(number.as_f64().unwrap_or_default())),
        };
        let shown: Vec<String> = column.quantiles.iter().map(shown).collect();
        line("quantiles", shown.join("  "));
    }
    if let Some(lengths) = &column.lengths {
        let mean = short(lengths.mean);
        line("length", format!("{} … {}, {mean} on average", lengths.min, lengths.max));
    }
    if !column.histogram.is_empty() {
        line("histogram", bars(&column.histogram));
    }
    let present = rows - column.nulls;
    counts(text, "top", &column.top, present);
    counts(text, "patterns", &column.patterns, present);
}

fn counts(text: &mut String, label: &str, counts: &[Count], present: u64) {
    // A list of values that are there once each says nothing.
    if counts.iter().all(|count| count.rows <= 1) && counts.len() > 1 {
        return;
    }
    let width = counts.iter().map(|count| printable(&count.value).chars().count()).max();
    for (at, count) in counts.iter().enumerate() {
        let label = if at == 0 { label } else { "" };
        let value = printable(&count.value);
        let gap = " ".repeat(width.unwrap_or(0).saturating_sub(value.chars().count()));
        let _ = writeln!(text, "  {label:<10} {value}{gap}  {}", share(count.rows, present));
    }
}

/// Line feeds and the like would spoil the page.
fn printable(value: &str) -> String {
    if value.trim().is_empty() {
        return format!("{value:?}");
    }
    value.chars().map(|c| if c.is_control() { '␣' } else { c }).collect()
}

fn share(part: u64, whole: u64) -> String {
    if part == 0 || whole == 0 {
        return group_digits(part);
    }
    let percent = part as f64 * 100.0 / whole as f64;
    let percent = match percent {
        _ if part == whole => "100 %".to_owned(),
        p if p < 0.1 => "< 0.1 %".to_owned(),
        p if p > 99.9 => "> 99.9 %".to_owned(),
        p => format!("{p:.1} %"),
    };
    format!("{} ({percent})", group_digits(part))
}

fn bars(histogram: &[u64]) -> String {
    let highest = histogram.iter().copied().max().unwrap_or(0).max(1);
    histogram
        .iter()
        .map(|rows| match rows {
            0 => ' ',
            rows => BARS[((rows * 8).div_ceil(highest) as usize).clamp(1, 8) - 1],
        })
        .collect()
}

/// A number with as many digits as say something.
fn short(number: f64) -> String {
    if number == number.trunc() && number.abs() < 1e15 {
        return format!("{number:.0}");
    }
    match number.abs() {
        size if size >= 1000.0 => format!("{number:.1}"),
        size if size >= 1.0 => format!("{number:.2}"),
        _ => format!("{number:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_rise_with_the_number_of_rows() {
        assert_eq!(bars(&[0, 1, 4, 8]), " ▁▄█");
    }

    #[test]
    fn shares_never_claim_all_or_nothing_wrongly() {
        assert_eq!(share(1, 100_000), "1 (< 0.1 %)");
        assert_eq!(share(99_999, 100_000), "99 999 (> 99.9 %)");
        assert_eq!(share(5, 5), "5 (100 %)");
    }
}
