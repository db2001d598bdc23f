//! `http_call`: a service is asked to do something.

use crate::http::{Call, send};
use async_trait::async_trait;
use contracts::Example;
use contracts::action::{Action, ActionModule, Outside, Scope, Step};
use model::{Problem, Result, codes};
use serde_json::{Value, json};

const SAID_BYTES_MAX: usize = 500;

/// The module.
pub(crate) struct HttpCall;

impl ActionModule for HttpCall {
    type Config = Call;
    const NAME: &'static str = "http_call";
    const SUMMARY: &'static str =
        "Calls an HTTP service, at least once, with the same `Idempotency-Key` in every attempt.";
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "start something elsewhere",
            config: r#"{"connection": "crm", "url": "imports", "method": "post",
                        "body": {"day": "{{ params.day }}", "rows": "{{ outputs.load.rows }}"},
                        "expect": [202]}"#,
            inputs: &[],
            outputs: &[],
        },
        Example {
            title: "ask for something, for later nodes",
            config: r#"{"url": "https://api.example.org/rates", "query": {"base": "EUR"}}"#,
            inputs: &[],
            outputs: &[],
        },
    ];

    fn build(config: Call) -> Result<Box<dyn Action>> {
        config.check()?;
        Ok(Box::new(HttpAction { call: config }))
    }
}

struct HttpAction {
    call: Call,
}

#[async_trait]
impl Action for HttpAction {
    fn outside(&self) -> bool {
        true
    }

    async fn perform(&self, scope: &Scope, outside: &Outside<'_>) -> Result<Step> {
        // The same for every attempt: a service that knows such keys does the work once.
        let key = format!("{}/{}", scope.run, scope.task);
        let (url, reply) = send(&self.call, outside, &[("idempotency-key", &key)]).await?;
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        if !self.call.is_expected(reply.status) {
            return Err(unexpected(url.host_str().unwrap_or_default(), reply.status, &text));
        }
        let json_type = |value: &Value| value.as_str().is_some_and(|kind| kind.contains("json"));
        let is_json = reply.headers.get("content-type").is_some_and(json_type);
        let mut output = json!({"status": reply.status, "headers": reply.headers});
        match serde_json::from_str::<Value>(&text) {
            Ok(value) if is_json => output["json"] = value,
            _ => output["text"] = Value::String(text),
        }
        Ok(Step::done(output))
    }
}

fn unexpected(host: &str, status: u16, said: &str) -> Problem {
    let (code, hint) = match status {
        429 | 500.. => {
            (&codes::CONNECTION_FAILED, "try again later, or ask whoever runs the service")
        }
        401 | 403 => (&codes::CONNECTION_REFUSED, "check `auth` of the connection, and its rights"),
        300..=399 => (
            &codes::CONNECTION_REFUSED,
            "it points to another place; write that address if you trust it",
        ),
        _ => (
            &codes::CONNECTION_REFUSED,
            "check what is sent; if this is no failure, add the status to `expect`",
        ),
    };
    let problem = Problem::new(code, format!("`{host}` answers {status}"))
        .arg("host", host)
        .arg("status", status)
        .hint(hint);
    match said.trim() {
        "" => problem,
        said => problem.detail(stdx::text::truncate(said, SAID_BYTES_MAX)),
    }
}
