//! `notify`: people are told something.

use async_trait::async_trait;
use contracts::Example;
use contracts::action::{Action, ActionModule, Level, Message, Scope, Services, Step};
use model::{Name, Result};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

const TITLE_CHARS_MAX: usize = 200;
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// Settings of `notify`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// The channel; the workspace's usual one when none is named.
    #[serde(default)]
    channel: Option<Name>,
    /// What it is about, in a line.
    title: String,
    /// What happened, in Markdown.
    #[serde(default)]
    text: String,
    /// How much it matters.
    #[serde(default)]
    level: Level,
}

/// The module.
pub(crate) struct Notify;

impl ActionModule for Notify {
    type Config = Settings;
    const NAME: &'static str = "notify";
    const SUMMARY: &'static str = "Tells people something, by e-mail, chat or webhook.";
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "say how it went",
            config: r#"{"title": "Sales of {{ params.day }} are there",
                        "text": "{{ outputs.load.rows }} rows"}"#,
            inputs: &[
                ("params", r#"{"day": "2026-01-31"}"#),
                ("outputs", r#"{"load": {"rows": 7}}"#),
            ],
            outputs: &[("output", "{}")],
        },
        Example {
            title: "say what went wrong, after `when: failed`",
            config: r#"{"channel": "on_call", "level": "error",
                        "title": "{{ run.pipeline }} has failed",
                        "text": "{{ problems | map(attribute='message') | join('; ') }}"}"#,
            inputs: &[],
            outputs: &[("output", "{}")],
        },
    ];

    fn build(config: Settings) -> Result<Box<dyn Action>> {
        Ok(Box::new(config))
    }
}

#[async_trait]
impl Action for Settings {
    async fn decide(&self, _: &Scope, services: &dyn Services) -> Result<Step> {
        // What is too long is cut: a message that arrives is worth more than one that does not.
        let title: String = self.title.chars().take(TITLE_CHARS_MAX).collect();
        let message = Message {
            channel: self.channel.clone(),
            title: title.replace(['\r', '\n'], " "),
            text: stdx::text::truncate(&self.text, TEXT_BYTES_MAX).to_owned(),
            level: self.level,
        };
        services.notify(message).await?;
        Ok(Step::done(json!({})))
    }
}
