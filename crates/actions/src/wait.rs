//! `wait`: for a time, holding no slot meanwhile.

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, NaiveTime};
use contracts::Example;
use contracts::action::{Action, ActionModule, Scope, Services, Step};
use model::{Problem, Result, Span, codes};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

/// Settings of `wait`. One of `for` and `until`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// A length of time such as `10m`, from when the node begins.
    #[serde(default, rename = "for")]
    span: Option<Span>,
    /// An instant such as `2026-01-31T06:00:00Z`, or a day, which begins at midnight UTC.
    #[serde(default)]
    until: Option<String>,
}

/// The module.
pub(crate) struct Wait;

impl ActionModule for Wait {
    type Config = Settings;
    const NAME: &'static str = "wait";
    const SUMMARY: &'static str = "Waits for a time, and holds no slot meanwhile.";
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "give others ten minutes",
            config: r#"{"for": "10m"}"#,
            inputs: &[],
            outputs: &[],
        },
        Example {
            title: "not before six in the morning",
            config: r#"{"until": "{{ params.day }}T06:00:00Z"}"#,
            inputs: &[("params", r#"{"day": "1970-01-01"}"#)],
            outputs: &[],
        },
    ];

    fn build(config: Settings) -> Result<Box<dyn Action>> {
        if config.span.is_some() == config.until.is_some() {
            let fact = "this does not say what one time to wait for";
            return Err(Problem::new(&codes::SETTING_INVALID, fact)
                .hint("write `for: 10m`, or `until: 2026-01-31T06:00:00Z`"));
        }
        // What is filled in later is looked at then.
        if let Some(until) = config.until.as_deref().filter(|text| !text.contains("{{")) {
            instant(until)?;
        }
        Ok(Box::new(config))
    }
}

/// An instant, in µs since the epoch.
fn instant(text: &str) -> Result<i64> {
    if let Ok(instant) = DateTime::parse_from_rfc3339(text.trim()) {
        return Ok(instant.timestamp_micros());
    }
    let day = text.trim().parse::<NaiveDate>().ok();
    let midnight = day.map(|day| day.and_time(NaiveTime::MIN).and_utc().timestamp_micros());
    midnight.ok_or_else(|| {
        Problem::new(&codes::SETTING_INVALID, format!("`{text}` is not an instant"))
            .arg("text", text)
            .in_setting("/until")
            .hint("write `2026-01-31T06:00:00Z`, or a day as `2026-01-31`")
    })
}

#[async_trait]
impl Action for Settings {
    async fn decide(&self, scope: &Scope, services: &dyn Services) -> Result<Step> {
        let end_us = match &self.until {
            Some(until) => instant(until)?,
            None => scope.started_us.saturating_add(self.span.map_or(0, Span::us)),
        };
        match end_us.saturating_sub(services.now_us()) {
            ..=0 => Ok(Step::done(json!({}))),
            after_us => Ok(Step::Again { after_us }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Fake, decide, scope};

    #[tokio::test]
    async fn it_is_over_when_the_time_has_come() {
        let (fake, mut scope) = (Fake::default(), scope());
        scope.started_us = 1_000_000;
        let cases = [
            (json!({"for": "10s"}), 1_000_000, Some(10_000_000)),
            (json!({"for": "10s"}), 10_999_999, Some(1)),
            (json!({"for": "10s"}), 11_000_000, None),
            (json!({"until": "1970-01-01T00:01:00+00:00"}), 0, Some(60_000_000)),
            (json!({"until": "1970-01-02"}), 86_400_000_000, None),
            (json!({"until": "1970-01-01T01:00:00+01:00"}), 0, None),
        ];
        for (config, now_us, again_us) in cases {
            fake.set_now(now_us);
            let step = decide("wait", config.clone(), &scope, &fake).await.unwrap();
            let expected = match again_us {
                Some(after_us) => Step::Again { after_us },
                None => Step::done(json!({})),
            };
            assert_eq!(step, expected, "{config} at {now_us}");
        }
    }

    #[tokio::test]
    async fn what_is_no_time_is_refused() {
        let wrong = [
            json!({}),
            json!({"for": "1s", "until": "2026-01-31"}),
            json!({"until": "tomorrow"}),
            json!({"until": "{{ run.pipeline }}"}),
        ];
        for config in wrong {
            let problem =
                decide("wait", config.clone(), &scope(), &Fake::default()).await.unwrap_err();
            assert!(problem.is(&codes::SETTING_INVALID), "{config}: {problem}");
            assert!(problem.hint_text().is_some());
        }
    }
}
