//! Repository chores: `cargo xtask tidy` checks what compilers do not, `cargo xtask codegen`
//! writes everything that is generated from the program itself.

mod codegen;
mod repository;
mod tidy;

use anyhow::{Result, bail};
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask tidy [--shrink] | codegen [--check]";

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            print_line(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = repository::root();
    match words.as_slice() {
        ["tidy"] => Ok(report(&tidy::check(&root)?)),
        ["tidy", "--shrink"] => {
            tidy::shrink_ratchet(&root)?;
            Ok(report(&tidy::check(&root)?))
        }
        ["codegen"] => codegen::write(&root).map(|()| ExitCode::SUCCESS),
        ["codegen", "--check"] => Ok(report(&codegen::check(&root)?)),
        _ => bail!(USAGE),
    }
}

fn report(findings: &[tidy::Finding]) -> ExitCode {
    for finding in findings {
        print_line(&finding.to_string());
    }
    if findings.is_empty() {
        print_line("tidy: nothing to complain about");
        return ExitCode::SUCCESS;
    }
    print_line(&format!("tidy: {} to put right", findings.len()));
    ExitCode::FAILURE
}

#[allow(clippy::print_stdout, reason = "a chore talks to the person who started it")]
fn print_line(text: &str) {
    println!("{text}");
}
