//! Drives a server through its interface and says how long that took, as JSON.

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use reqwest::{Client, StatusCode, header};
use serde_json::{Value, json};
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A run that is looked at again after so long.
const LOOK_EVERY: Duration = Duration::from_millis(1);
const WITHIN: Duration = Duration::from_secs(300);

#[derive(Args)]
pub(crate) struct Drive {
    /// Address of the server, with the workspace: `http://127.0.0.1:7878/api/v1/workspaces/bench`.
    #[arg(long)]
    url: String,
    /// Cookie of a session.
    #[arg(long)]
    cookie: String,
    /// What is done.
    #[arg(value_enum)]
    workload: Workload,
    /// The pipeline.
    #[arg(long, default_value = "three")]
    pipeline: String,
    /// How often, or how many at once.
    #[arg(long, default_value_t = 100)]
    count: usize,
    /// How long, in seconds.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum Workload {
    /// One run after the other, each waited for.
    Single,
    /// All runs at once, waited for together.
    Burst,
    /// The list of runs, asked for again and again over many connections.
    List,
}

struct Server {
    client: Client,
    url: String,
    cookie: String,
}

impl Server {
    async fn get(&self, path: &str) -> Result<Value> {
        let request = self.client.get(format!("{}{path}", self.url));
        let answer = request.header(header::COOKIE, &self.cookie).send().await?;
        if answer.status() != StatusCode::OK {
            bail!("{path}: {} {}", answer.status(), answer.text().await?);
        }
        Ok(answer.json().await?)
    }

    async fn start(&self, pipeline: &str) -> Result<String> {
        let request = self.client.post(format!("{}/pipelines/{pipeline}/runs", self.url));
        let request = request
            .header(header::COOKIE, &self.cookie)
            .header("sec-fetch-site", "same-origin")
            .json(&json!({}));
        let answer = request.send().await?;
        if answer.status() != StatusCode::ACCEPTED {
            bail!("a run was not accepted: {} {}", answer.status(), answer.text().await?);
        }
        let run: Value = answer.json().await?;
        Ok(run["id"].as_str().context("a run has an id")?.to_owned())
    }

    async fn end(&self, run: &str) -> Result<Value> {
        let begin = Instant::now();
        loop {
            let found = self.get(&format!("/runs/{run}")).await?;
            match found["status"].as_str() {
                Some("succeeded") => return Ok(found),
                Some("queued" | "running") if begin.elapsed() < WITHIN => {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                _ => bail!("a run did not succeed: {found:#}"),
            }
        }
    }
}

pub(crate) fn drive(wanted: Drive) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let told = runtime.block_on(work(wanted))?;
    writeln!(std::io::stdout(), "{told}")?;
    Ok(())
}

async fn work(wanted: Drive) -> Result<Value> {
    let client = Client::builder().pool_max_idle_per_host(256).build()?;
    let server = Arc::new(Server { client, url: wanted.url, cookie: wanted.cookie });
    match wanted.workload {
        Workload::Single => single(&server, &wanted.pipeline, wanted.count).await,
        Workload::Burst => burst(&server, &wanted.pipeline, wanted.count).await,
        Workload::List => list(&server, wanted.count, wanted.seconds).await,
    }
}

/// Times in ms from the request to the moment in which the end is seen.
async fn single(server: &Server, pipeline: &str, count: usize) -> Result<Value> {
    server.end(&server.start(pipeline).await?).await?;
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let begin = Instant::now();
        server.end(&server.start(pipeline).await?).await?;
        times.push(begin.elapsed());
    }
    Ok(spread(times))
}

async fn burst(server: &Arc<Server>, pipeline: &str, count: usize) -> Result<Value> {
    let begin = Instant::now();
    let mut starting = tokio::task::JoinSet::new();
    for _ in 0..count {
        let (server, pipeline) = (Arc::clone(server), pipeline.to_owned());
        starting.spawn(async move { server.start(&pipeline).await });
    }
    let mut first = None;
    while let Some(started) = starting.join_next().await {
        let run = started??;
        first = Some(first.map_or(run.clone(), |first: String| first.min(run)));
    }
    let accepted = begin.elapsed();
    loop {
        let open = server.get("/runs?status=queued,running,stopping&limit=1").await?;
        if open["items"].as_array().is_some_and(Vec::is_empty) {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let ended = begin.elapsed();
    Ok(json!({
        "accepted_ms": milliseconds(accepted), "ended_ms": milliseconds(ended),
        "runs_per_second": count as f64 / ended.as_secs_f64(), "first": first,
    }))
}

async fn list(server: &Arc<Server>, connections: usize, seconds: u64) -> Result<Value> {
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..connections {
        let server = Arc::clone(server);
        asking.spawn(async move {
            let mut times = Vec::new();
            while Instant::now() < until {
                let begin = Instant::now();
                server.get("/runs?limit=20").await?;
                times.push(begin.elapsed());
            }
            anyhow::Ok(times)
        });
    }
    let mut times = Vec::new();
    while let Some(asked) = asking.join_next().await {
        times.extend(asked??);
    }
    let per_second = times.len() as f64 / seconds as f64;
    let mut told = spread(times);
    told["requests_per_second"] = json!(per_second);
    Ok(told)
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 100_000.0).round() / 100.0
}

fn spread(mut times: Vec<Duration>) -> Value {
    times.sort_unstable();
    let at = |part: f64| {
        let place = (times.len() as f64 * part) as usize;
        times.get(place.min(times.len().saturating_sub(1))).copied().map(milliseconds)
    };
    json!({"count": times.len(), "median_ms": at(0.5), "p95_ms": at(0.95), "p99_ms": at(0.99)})
}
