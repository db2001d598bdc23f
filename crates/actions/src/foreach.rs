//! `foreach`: a pipeline is run once for each item of a list.

use crate::children::{self, Child, Latest};
use crate::template::{self, Words};
use async_trait::async_trait;
use contracts::Example;
use contracts::action::{Action, ActionModule, ChildEnd, Scope, Services, Step, Unfilled};
use futures::future::try_join_all;
use model::{Name, Problem, Result, codes};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Nobody starts more runs from one node.
const ITEMS_MAX: usize = 10_000;
const AT_ONCE_MAX: u32 = 1_000;

/// Settings of `foreach`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// A list, or a template that gives one, such as `{{ outputs.found.files }}`.
    items: Value,
    /// The pipeline that is run for each item.
    pipeline: Name,
    /// Values for its parameters: templates that also know `item`, and `index` from 0.
    #[serde(default)]
    params: Map<String, Value>,
    /// Runs at the same time. A pipeline with data nodes runs once at a time whatever stands here.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    at_once: u32,
    /// Whether no further run is started when one has failed. Either way it fails in the end.
    #[serde(default)]
    stop_on_failure: bool,
}

fn one() -> u32 {
    1
}

/// The module.
pub(crate) struct Foreach;

impl ActionModule for Foreach {
    type Config = Settings;
    const NAME: &'static str = "foreach";
    const SUMMARY: &'static str = "Runs a pipeline once for each item of a list.";
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "one run per country, three at a time",
            config: r#"{"items": ["FR", "DE", "IT", "ES"], "pipeline": "country",
                        "params": {"country": "{{ item }}"}, "at_once": 3}"#,
            inputs: &[],
            outputs: &[],
        },
        Example {
            title: "the list that an earlier node has given",
            config: r#"{"items": "{{ outputs.ask.rows }}", "pipeline": "shop",
                        "params": {"id": "{{ item.id }}", "number": "{{ index + 1 }}"},
                        "stop_on_failure": true}"#,
            inputs: &[("outputs", r#"{"ask": {"rows": []}}"#)],
            outputs: &[("output", r#"{"count": 0, "succeeded": 0, "failed": 0, "runs": []}"#)],
        },
    ];
    const UNFILLED: &'static [(&'static str, Unfilled)] = &[("params", Unfilled::EachItem)];

    fn build(config: Settings) -> Result<Box<dyn Action>> {
        let refuse = |setting: &str, fact: String, hint: String| {
            let problem = Problem::new(&codes::SETTING_INVALID, fact);
            Err(problem.in_setting(setting).hint(hint))
        };
        if !(1..=AT_ONCE_MAX).contains(&config.at_once) {
            let fact = format!("{} runs at the same time are not possible", config.at_once);
            return refuse("/at_once", fact, format!("write 1 to {AT_ONCE_MAX}"));
        }
        match &config.items {
            Value::Array(items) if items.len() > ITEMS_MAX => {
                let fact = format!("{} items are too many", items.len());
                let hint = format!("give {ITEMS_MAX} at most, or put several into one run");
                return refuse("/items", fact, hint);
            }
            Value::Array(_) => {}
            // It is filled in when the action is done.
            Value::String(text) if text.contains("{{") => {}
            _ => {
                let hint = "write `[a, b]`, or `\"{{ outputs.node.list }}\"` and nothing else";
                return refuse("/items", "this is not a list".to_owned(), hint.to_owned());
            }
        }
        Ok(Box::new(config))
    }
}

/// How far the runs are.
#[derive(Default)]
struct Tally {
    to_start: Vec<usize>,
    running: u32,
    failed: u32,
    ended: Vec<Value>,
}

impl Settings {
    fn tally(&self, runs: &[contracts::action::ChildRun], count: usize, attempt: u32) -> Tally {
        let mut tally = Tally::default();
        let latest = Latest::of(runs);
        for index in 0..count {
            match latest.find(&index.to_string(), attempt) {
                Child::ToStart => tally.to_start.push(index),
                Child::Running => tally.running += 1,
                Child::Ended(child, end) => {
                    tally.failed += u32::from(end != ChildEnd::Succeeded);
                    tally.ended.push(json!({"run": child.run, "end": end}));
                }
            }
        }
        tally
    }

    async fn start(
        &self,
        items: &[Value],
        index: usize,
        scope: &Scope,
        services: &dyn Services,
    ) -> Result<()> {
        let words = Words::of(scope).with_item(&items[index], index);
        let params = Value::Object(self.params.clone());
        let params = template::fill(&params, &words)
            .map_err(|(path, problem)| problem.in_setting(format!("/params{path}")))?;
        let params = params.as_object().cloned().unwrap_or_default();
        let key = children::key(&index.to_string(), scope.attempt);
        services.start_run(&self.pipeline, params, &key).await?;
        Ok(())
    }
}

#[async_trait]
impl Action for Settings {
    fn pipelines(&self) -> Vec<Name> {
        vec![self.pipeline.clone()]
    }

    async fn decide(&self, scope: &Scope, services: &dyn Services) -> Result<Step> {
        let items = self.items.as_array().map(Vec::as_slice).unwrap_or_default();
        let runs = services.runs().await?;
        let mut tally = self.tally(&runs, items.len(), scope.attempt);
        if tally.failed > 0 && self.stop_on_failure {
            tally.to_start.clear();
        }
        let room = self.at_once.saturating_sub(tally.running);
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        // Together: what is asked for at the same time is written at the same time.
        let starting = tally.to_start.iter().take(room);
        let starting = starting.map(|index| self.start(items, *index, scope, services));
        let started = try_join_all(starting).await?;
        tally.running += u32::try_from(started.len()).unwrap_or(u32::MAX);
        if tally.running > 0 {
            return Ok(Step::Runs);
        }
        let (count, failed) = (items.len(), tally.failed);
        if failed > 0 {
            let fact = match tally.ended.len() == count {
                true => format!("{failed} of {count} runs have not succeeded"),
                false => format!("a run has not succeeded, {} of {count} ran", tally.ended.len()),
            };
            return Err(children::failed(fact).arg("pipeline", &self.pipeline));
        }
        Ok(Step::done(json!({
            "count": count, "succeeded": tally.ended.len(), "failed": failed, "runs": tally.ended,
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Fake, decide, scope};
    use proptest::prelude::*;

    #[tokio::test]
    async fn runs_are_started_as_others_end() {
        let (fake, scope) = (Fake::default(), scope());
        let config = json!({"items": ["a", "b", "c"], "pipeline": "p", "at_once": 2,
                            "params": {"x": "{{ item }}", "n": "{{ index + 1 }}"}});
        let ask = || decide("foreach", config.clone(), &scope, &fake);
        assert_eq!(ask().await.unwrap(), Step::Runs);
        assert_eq!(ask().await.unwrap(), Step::Runs);
        assert_eq!(fake.started().len(), 2);
        fake.end(1, ChildEnd::Succeeded, json!({}));
        assert_eq!(ask().await.unwrap(), Step::Runs);
        assert_eq!(fake.started()[2], ("p".to_owned(), json!({"x": "c", "n": 3})));
        fake.end(0, ChildEnd::Succeeded, json!({}));
        fake.end(2, ChildEnd::Succeeded, json!({}));
        let Step::Done { output, .. } = ask().await.unwrap() else { panic!("not done") };
        assert_eq!((&output["count"], &output["succeeded"]), (&json!(3), &json!(3)));
    }

    #[tokio::test]
    async fn a_failure_stops_it_or_not() {
        for (stop, started) in [(true, 1), (false, 3)] {
            let (fake, scope) = (Fake::default(), scope());
            let config = json!({"items": [1, 2, 3], "pipeline": "p", "stop_on_failure": stop});
            let mut step = decide("foreach", config.clone(), &scope, &fake).await;
            for run in 0..3 {
                if step.is_err() {
                    break;
                }
                let end = if run == 0 { ChildEnd::Failed } else { ChildEnd::Succeeded };
                fake.end(run, end, json!({}));
                step = decide("foreach", config.clone(), &scope, &fake).await;
            }
            assert!(step.unwrap_err().is(&codes::STARTED_RUN_FAILED));
            assert_eq!(fake.started().len(), started);
        }
    }

    #[tokio::test]
    async fn what_is_no_list_is_refused() {
        let (fake, mut scope) = (Fake::default(), scope());
        scope.params.insert("one".to_owned(), json!("a"));
        let config = json!({"items": "{{ params.one }}", "pipeline": "p"});
        let problem = decide("foreach", config, &scope, &fake).await.unwrap_err();
        assert_eq!(problem.message(), "this is not a list");
    }

    proptest! {
        #[test]
        fn each_item_succeeds_once_whatever_happens(
            count in 0..12_usize,
            at_once in 1..5_u32,
            ends in prop::collection::vec(any::<(u8, bool)>(), 60),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let (fake, mut scope) = (Fake::default(), scope());
                let items: Vec<usize> = (0..count).collect();
                let config = json!({"items": items, "pipeline": "p", "at_once": at_once,
                                    "params": {"x": "{{ item }}"}});
                let mut ends = ends.into_iter();
                let mut done = None;
                for _ in 0..1_000 {
                    match decide("foreach", config.clone(), &scope, &fake).await {
                        Ok(Step::Done { .. }) => done = Some(true),
                        Ok(step) => prop_assert_eq!(step, Step::Runs),
                        Err(_) if ends.len() == 0 => done = Some(false),
                        Err(_) => {
                            scope.attempt += 1;
                            continue;
                        }
                    }
                    if done.is_some() {
                        break;
                    }
                    let running = fake.running();
                    prop_assert!(!running.is_empty() && running.len() <= at_once as usize);
                    let (which, good) = ends.next().unwrap_or((0, true));
                    let run = running[usize::from(which) % running.len()];
                    let end = if good { ChildEnd::Succeeded } else { ChildEnd::Cancelled };
                    fake.end(run, end, json!({}));
                }
                let done = done.expect("it comes to an end");
                let mut succeeded = fake.succeeded();
                succeeded.sort_by_key(|params| params["x"].as_u64());
                let all: Vec<Value> = (0..count).map(|item| json!({"x": item})).collect();
                prop_assert!(!done || succeeded == all);
                Ok(())
            })?;
        }
    }
}
