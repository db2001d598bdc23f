//! Actions: what a pipeline does besides moving rows.
//!
//! Templates are filled in here, for the actions of all crates; see [`decide`] and [`perform`].

mod approve;
mod check;
mod children;
mod condition;
mod foreach;
mod notify;
mod run_pipeline;
mod set_output;
mod shell;
mod switch;
mod template;
#[cfg(test)]
mod testing;
mod wait;

pub use approve::check_answer;
pub use check::{Misfit, check};

use contracts::action::{Action, OUTPUT_BYTES_MAX, Outside, Scope, Services, Step, Unfilled};
use contracts::{Build, Entry};
use model::{Problem, Result, codes};
use serde_json::{Map, Value};
use template::Words;

/// The actions of this crate: all that the server decides, and `shell`. Those that talk to
/// databases and services are in `connectors`, and are done by runners.
pub const ALL: &[Entry] = &[
    Entry::action::<approve::Approve>(),
    Entry::action::<condition::If>(),
    Entry::action::<foreach::Foreach>(),
    Entry::action::<notify::Notify>(),
    Entry::action::<run_pipeline::RunPipeline>(),
    Entry::action::<set_output::SetOutput>(),
    Entry::action::<shell::Shell>(),
    Entry::action::<switch::Switch>(),
    Entry::action::<wait::Wait>(),
];

/// Asks an action of the server what comes next. `with` are its settings as they were written.
pub async fn decide(
    entry: &Entry,
    with: &Map<String, Value>,
    scope: &Scope,
    services: &dyn Services,
) -> Result<Step> {
    let placed = |problem| in_place(problem, scope);
    let action = prepare(entry, with, scope).map_err(placed)?;
    let step = action.decide(scope, services).await.map_err(placed)?;
    checked(step, action.as_ref()).map_err(placed)
}

/// Lets an action do its work, in a runner. `with` are its settings as they were written.
pub async fn perform(
    entry: &Entry,
    with: &Map<String, Value>,
    scope: &Scope,
    outside: &Outside<'_>,
) -> Result<Step> {
    let placed = |problem| in_place(problem, scope);
    let action = prepare(entry, with, scope).map_err(placed)?;
    let step = action.perform(scope, outside).await.map_err(placed)?;
    checked(step, action.as_ref()).map_err(placed)
}

/// Fills in the templates of the settings and builds the action.
fn prepare(entry: &Entry, with: &Map<String, Value>, scope: &Scope) -> Result<Box<dyn Action>> {
    let Build::Action(build, unfilled) = entry.build else {
        return Err(Problem::new(&codes::INTERNAL, format!("`{}` is no action", entry.name)));
    };
    let names: Vec<&str> = unfilled.iter().map(|(name, _)| *name).collect();
    let in_setting = |(path, problem): (String, Problem)| problem.in_setting(path);
    let with = template::fill_settings(with, &names, &Words::of(scope)).map_err(in_setting)?;
    build(&Value::Object(with)).map_err(in_setting)
}

fn in_place(problem: Problem, scope: &Scope) -> Problem {
    problem.in_node(&scope.task).in_pipeline(&scope.pipeline)
}

/// What leaves an action is not too large, and goes where it can.
fn checked(step: Step, action: &dyn Action) -> Result<Step> {
    let Step::Done { output, taken } = &step else { return Ok(step) };
    let branches = action.branches();
    let is_known = match taken {
        Some(taken) => taken.iter().all(|branch| branches.contains(branch)),
        None => branches.is_empty(),
    };
    if !is_known {
        return Err(Problem::new(&codes::INTERNAL, "an action takes a branch that it has not"));
    }
    let bytes = output.to_string().len();
    if bytes > OUTPUT_BYTES_MAX {
        let fact = format!("the output has {bytes} bytes, more than {OUTPUT_BYTES_MAX}");
        return Err(Problem::new(&codes::SETTING_INVALID, fact)
            .hint("pass on less; large data belongs into tables or files"));
    }
    Ok(step)
}

/// The settings of an entry that are not filled in beforehand.
fn unfilled(entry: &Entry) -> &'static [(&'static str, Unfilled)] {
    match entry.build {
        Build::Action(_, unfilled) => unfilled,
        _ => &[],
    }
}

#[cfg(test)]
mod tests;
