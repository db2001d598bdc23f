//! `shell`: a program is run, where that is allowed.

use async_trait::async_trait;
use contracts::Example;
use contracts::action::{Action, ActionModule, Outside, Scope, Step};
use model::{Problem, Result, Span, codes};
use rustix::process::{Pid, Signal, kill_process_group};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout, timeout_at};

/// What is kept of each of the two outputs: its end.
const OUTPUT_BYTES_MAX: usize = 64 * 1024;
/// After the end of a program, what it has said is waited for so long.
const LAST_WORDS: Duration = Duration::from_secs(1);
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Settings of `shell`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// The program: a name that is found in `/usr/local/bin`, `/usr/bin` or `/bin`, or a path. It
    /// is not given to a shell; to have one, write `command: sh` and `args: ["-c", "…"]`.
    command: String,
    /// Its arguments, one by one. What is filled in stays one argument.
    #[serde(default)]
    args: Vec<String>,
    /// Environment variables. The program gets these, `PATH` and `LANG`, and no others.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// The folder that it runs in; relative paths start at the project.
    #[serde(default = "here")]
    dir: String,
    /// How long it may run.
    #[serde(default = "ten_minutes")]
    timeout: Span,
    /// Exit codes that mean success.
    #[serde(default = "zero")]
    success: Vec<i32>,
    /// Whether it prints one JSON value, which then is `json` in the output.
    #[serde(default)]
    json: bool,
}

fn here() -> String {
    ".".to_owned()
}

fn ten_minutes() -> Span {
    Span::from_us(600_000_000)
}

fn zero() -> Vec<i32> {
    vec![0]
}

/// The module.
pub(crate) struct Shell;

impl ActionModule for Shell {
    type Config = Settings;
    const NAME: &'static str = "shell";
    const SUMMARY: &'static str = "Runs a program, where the project and the server allow it.";
    const EXAMPLES: &'static [Example] = &[Example {
        title: "a script of the project",
        config: r#"{"command": "./scripts/publish", "args": ["--day", "{{ params.day }}"],
                    "timeout": "5m"}"#,
        inputs: &[],
        outputs: &[],
    }];

    fn build(config: Settings) -> Result<Box<dyn Action>> {
        let refuse = |setting: &str, fact: String, hint: &str| {
            let problem = Problem::new(&codes::SETTING_INVALID, fact);
            Err(problem.in_setting(setting).hint(hint.to_owned()))
        };
        if config.command.trim().is_empty() {
            return refuse("/command", "no program is named".to_owned(), "write `command: sh`");
        }
        let texts = config.args.iter().chain([&config.command]).chain(config.env.values());
        if texts.chain(config.env.keys()).any(|text| text.contains('\0')) {
            let fact = "a text for the program holds a zero byte".to_owned();
            return refuse("", fact, "take the zero byte out");
        }
        let is_name = |name: &&String| !name.is_empty() && !name.contains('=');
        if let Some(name) = config.env.keys().find(|name| !is_name(name)) {
            let fact = format!("`{name}` is no name of a variable");
            return refuse("/env", fact, "use letters, digits and `_`");
        }
        Ok(Box::new(config))
    }
}

/// A program that runs. Dropped, it is killed with all that it has started.
struct Running {
    child: Child,
    group: Option<Pid>,
}

impl Running {
    fn kill(&mut self) {
        if let Some(group) = self.group.take() {
            // It may have ended by itself.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Settings {
    fn start(&self, outside: &Outside<'_>) -> Result<Running> {
        let dir = outside.context.local_path(&self.dir).map_err(|p| p.in_setting("/dir"))?;
        // A path is meant from the folder that the program runs in, not from the runner's.
        let program = match self.command.contains('/') {
            true => dir.join(&self.command),
            false => self.command.clone().into(),
        };
        let mut command = Command::new(program);
        command.args(&self.args).env_clear().env("PATH", PATH).env("LANG", "C.UTF-8");
        command.envs(&self.env).current_dir(&dir).process_group(0).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|error| self.unstartable(&error))?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok(Running { child, group })
    }

    fn unstartable(&self, error: &io::Error) -> Problem {
        let hint = match error.kind() {
            io::ErrorKind::NotFound => "check `command` and `dir`",
            io::ErrorKind::PermissionDenied => "make the file executable: `chmod +x`",
            _ => "check that it is a program for this machine",
        };
        Problem::new(&codes::CHILD_FAILED, format!("`{}` does not start", self.command))
            .arg("command", &self.command)
            .detail(error)
            .hint(hint)
    }

    fn output(&self, status: ExitStatus, out: &Said, err: &Said) -> Result<Value> {
        let Some(code) = status.code().filter(|code| self.success.contains(code)) else {
            let said = if err.bytes.is_empty() { out } else { err };
            let fact = format!("`{}` ended with {status}", self.command);
            return Err(Problem::new(&codes::CHILD_FAILED, fact)
                .arg("command", &self.command)
                .detail(last_lines(&said.text()))
                .hint("see what it says; if this is no failure, add the code to `success`"));
        };
        let mut output = json!({"code": code, "stdout": out.text(), "stderr": err.text()});
        if self.json {
            let unreadable = |detail: String| {
                let fact = format!("`{}` did not print one JSON value", self.command);
                Problem::new(&codes::CHILD_FAILED, fact).detail(detail).hint(format!(
                    "print JSON and nothing else, {} KiB at most; or leave `json` out",
                    OUTPUT_BYTES_MAX >> 10
                ))
            };
            if out.is_cut {
                return Err(unreadable("it printed too much".to_owned()));
            }
            let value = serde_json::from_str(&out.text());
            output["json"] =
                value.map_err(|error: serde_json::Error| unreadable(error.to_string()))?;
        }
        Ok(output)
    }
}

/// The end of what a program says.
#[derive(Default)]
struct Said {
    bytes: VecDeque<u8>,
    is_cut: bool,
}

impl Said {
    fn text(&self) -> String {
        let bytes: Vec<u8> = self.bytes.iter().copied().collect();
        String::from_utf8_lossy(&bytes).trim_end().to_owned()
    }

    async fn listen(&mut self, stream: Option<impl AsyncRead + Unpin>) {
        let Some(mut stream) = stream else { return };
        let mut buffer = vec![0; 8 * 1024];
        // A pipe that cannot be read any more is one that has ended.
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            self.bytes.extend(&buffer[..count]);
            let more = self.bytes.len().saturating_sub(OUTPUT_BYTES_MAX);
            self.is_cut |= more > 0;
            self.bytes.drain(..more);
        }
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

#[async_trait]
impl Action for Settings {
    fn outside(&self) -> bool {
        true
    }

    async fn perform(&self, _: &Scope, outside: &Outside<'_>) -> Result<Step> {
        if !outside.allowed.shell {
            return Err(Problem::new(&codes::ACTION_REFUSED, "programs may not be run here").hint(
                "the project needs `allow_shell: true`, and the server `AFFLUENT_ALLOW_SHELL=1`",
            ));
        }
        let mut running = self.start(outside)?;
        let (mut out, mut err) = (Said::default(), Said::default());
        let (stdout, stderr) = (running.child.stdout.take(), running.child.stderr.take());
        let limit = Duration::from_micros(u64::try_from(self.timeout.us()).unwrap_or(0));
        let ended = {
            let listening = async { tokio::join!(out.listen(stdout), err.listen(stderr)) };
            tokio::pin!(listening);
            let mut is_silent = false;
            let deadline = Instant::now() + limit;
            let ended = loop {
                tokio::select! {
                    _ = &mut listening, if !is_silent => is_silent = true,
                    ended = timeout_at(deadline, running.child.wait()) => break ended,
                }
            };
            running.kill();
            if !is_silent {
                // What it has started may have held its pipes open; now it is dead.
                let _ = timeout(LAST_WORDS, &mut listening).await;
            }
            ended
        };
        let status = match ended {
            Ok(status) => status.map_err(|error| self.unstartable(&error))?,
            Err(_) => {
                let fact = format!("`{}` has not ended within {}", self.command, self.timeout);
                return Err(Problem::new(&codes::CHILD_FAILED, fact)
                    .arg("command", &self.command)
                    .detail(last_lines(&err.text()))
                    .hint("raise `timeout`, or let it do less"));
            }
        };
        Ok(Step::done(self.output(status, &out, &err)?))
    }
}

#[cfg(test)]
mod tests;
