//! `run_pipeline`: another pipeline is run.

use crate::children::{self, Child, Latest};
use async_trait::async_trait;
use contracts::Example;
use contracts::action::{Action, ActionModule, ChildEnd, Scope, Services, Step};
use model::{Name, Result};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// What the run is called among those of its task.
const NAME: &str = "run";

/// Settings of `run_pipeline`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// The pipeline.
    pipeline: Name,
    /// Values for its parameters. They may be templates.
    #[serde(default)]
    params: Map<String, Value>,
    /// Whether to wait for the end of the run, and to fail if it fails.
    #[serde(default = "yes")]
    wait: bool,
}

fn yes() -> bool {
    true
}

/// The module.
pub(crate) struct RunPipeline;

impl ActionModule for RunPipeline {
    type Config = Settings;
    const NAME: &'static str = "run_pipeline";
    const SUMMARY: &'static str =
        "Runs another pipeline, waits for its end, and reads what its `set_output` gave.";
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "run a pipeline with a parameter",
            config: r#"{"pipeline": "sales", "params": {"day": "{{ params.day }}"}}"#,
            inputs: &[],
            outputs: &[],
        },
        Example {
            title: "start a pipeline and go on",
            config: r#"{"pipeline": "exports", "wait": false}"#,
            inputs: &[],
            outputs: &[],
        },
    ];

    fn build(config: Settings) -> Result<Box<dyn Action>> {
        Ok(Box::new(config))
    }
}

#[async_trait]
impl Action for Settings {
    fn pipelines(&self) -> Vec<Name> {
        vec![self.pipeline.clone()]
    }

    async fn decide(&self, scope: &Scope, services: &dyn Services) -> Result<Step> {
        let runs = services.runs().await?;
        match Latest::of(&runs).find(NAME, scope.attempt) {
            Child::ToStart => {
                let key = children::key(NAME, scope.attempt);
                let run = services.start_run(&self.pipeline, self.params.clone(), &key).await?;
                match self.wait {
                    true => Ok(Step::Runs),
                    false => Ok(Step::done(json!({"run": run}))),
                }
            }
            Child::Running if self.wait => Ok(Step::Runs),
            Child::Running => Ok(Step::done(json!({"run": runs.last().map(|run| &run.run)}))),
            Child::Ended(child, end) if end == ChildEnd::Succeeded || !self.wait => {
                Ok(Step::done(json!({"run": child.run, "end": end, "output": child.output})))
            }
            Child::Ended(child, end) => {
                let fact = format!("pipeline `{}` has not succeeded", self.pipeline);
                Err(children::failed(fact)
                    .arg("pipeline", &self.pipeline)
                    .arg("run", &child.run)
                    .arg("end", json!(end).as_str().unwrap_or_default()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Fake, decide, scope};
    use model::codes;

    fn config() -> Value {
        json!({"pipeline": "sales", "params": {"run": "{{ run.id }}"}})
    }

    #[tokio::test]
    async fn it_waits_for_the_run_and_passes_on_its_output() {
        let (fake, scope) = (Fake::default(), scope());
        assert_eq!(decide("run_pipeline", config(), &scope, &fake).await.unwrap(), Step::Runs);
        // Asked again, it starts no second run.
        assert_eq!(decide("run_pipeline", config(), &scope, &fake).await.unwrap(), Step::Runs);
        assert_eq!(fake.started(), [("sales".to_owned(), json!({"run": scope.run}))]);
        fake.end(0, ChildEnd::Succeeded, json!({"rows": 7}));
        let step = decide("run_pipeline", config(), &scope, &fake).await.unwrap();
        let Step::Done { output, taken: None } = step else { panic!("{step:?}") };
        assert_eq!(output["output"], json!({"rows": 7}));
    }

    #[tokio::test]
    async fn a_later_attempt_starts_anew_what_has_failed_and_only_that() {
        let (fake, mut scope) = (Fake::default(), scope());
        decide("run_pipeline", config(), &scope, &fake).await.unwrap();
        fake.end(0, ChildEnd::Failed, json!({}));
        let problem = decide("run_pipeline", config(), &scope, &fake).await.unwrap_err();
        assert!(problem.is(&codes::STARTED_RUN_FAILED));
        assert_eq!(problem.context().node.as_deref(), Some("task"));
        scope.attempt = 2;
        assert_eq!(decide("run_pipeline", config(), &scope, &fake).await.unwrap(), Step::Runs);
        assert_eq!(fake.started().len(), 2);
        // Lost, and given to a third attempt while the second run goes on.
        scope.attempt = 3;
        assert_eq!(decide("run_pipeline", config(), &scope, &fake).await.unwrap(), Step::Runs);
        assert_eq!(fake.started().len(), 2);
    }

    #[tokio::test]
    async fn it_does_not_wait_when_told_so() {
        let (fake, scope) = (Fake::default(), scope());
        let config = json!({"pipeline": "sales", "wait": false});
        for _ in 0..2 {
            let step = decide("run_pipeline", config.clone(), &scope, &fake).await.unwrap();
            assert!(matches!(step, Step::Done { .. }), "{step:?}");
        }
        assert_eq!(fake.started().len(), 1);
    }
}
