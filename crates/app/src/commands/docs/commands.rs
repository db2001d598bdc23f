//! The page of commands, from the command line's own definition.

use super::settings;
use crate::cli::Cli;
use clap::builder::StyledStr;
use clap::{Arg, Command, CommandFactory};
use std::fmt::Write;

/// Every command that people see.
pub(super) fn page() -> String {
    let mut cli = Cli::command();
    cli.build();
    let mut text = String::from("# Commands\n\n");
    let after = cli.get_after_help().map(ToString::to_string).unwrap_or_default();
    let _ = write!(text, "{}\n\nOptions of every command:\n\n", paragraphs(&after));
    arguments(&mut text, cli.get_arguments().filter(|argument| argument.is_global_set()));
    for command in cli.get_subcommands().filter(|command| !command.is_hide_set()) {
        if command.get_name() != "help" {
            describe(&mut text, command);
        }
    }
    text
}

fn describe(text: &mut String, command: &Command) {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim().to_owned();
    let _ = write!(text, "\n## {}\n\n{about}.\n\n```text\n{usage}\n```\n", command.get_name());
    if let Some(examples) = command.get_after_help().map(StyledStr::to_string) {
        let lines: Vec<&str> = examples.lines().filter(|line| line.starts_with("  ")).collect();
        if !lines.is_empty() {
            let lines: Vec<&str> = lines.iter().map(|line| line.trim()).collect();
            let _ = write!(text, "\n```text\n{}\n```\n", lines.join("\n"));
        }
    }
    let own: Vec<&Arg> = command
        .get_arguments()
        .filter(|argument| !argument.is_global_set() && !argument.is_hide_set())
        .filter(|argument| !matches!(argument.get_id().as_str(), "help" | "version"))
        .collect();
    if !own.is_empty() {
        text.push('\n');
        arguments(text, own.into_iter());
    }
}

fn arguments<'a>(text: &mut String, list: impl Iterator<Item = &'a Arg>) {
    text.push_str("| Argument | Meaning | Default |\n| --- | --- | --- |\n");
    for argument in list.filter(|argument| !argument.is_hide_set()) {
        let value = argument
            .get_value_names()
            .filter(|_| argument.get_action().takes_values())
            .map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
        let short = argument.get_short().map(|short| format!("-{short}, ")).unwrap_or_default();
        let name = match (argument.get_long(), value) {
            (Some(long), Some(value)) => format!("{short}--{long} {value}"),
            (Some(long), None) => format!("{short}--{long}"),
            (None, value) => value.unwrap_or_default(),
        };
        let mut help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        let choices = argument.get_possible_values();
        let choices: Vec<String> = choices
            .iter()
            .filter(|choice| !matches!(choice.get_name(), "true" | "false"))
            .map(|choice| format!("`{}`", choice.get_name()))
            .collect();
        if !choices.is_empty() {
            help.push_str(&format!(": {}", choices.join(", ")));
        }
        let defaults: Vec<String> = argument
            .get_default_values()
            .iter()
            .map(|value| value.to_string_lossy().into_owned())
            .filter(|value| value != "false")
            .collect();
        let default =
            if defaults.is_empty() { String::new() } else { settings::code(&defaults.join(" ")) };
        let _ =
            writeln!(text, "| {} | {} | {default} |", settings::code(&name), settings::cell(&help));
    }
}

fn paragraphs(text: &str) -> String {
    text.split("\n\n")
        .map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|part| !part.starts_with("Start with"))
        .collect::<Vec<_>>()
        .join("\n\n")
}
