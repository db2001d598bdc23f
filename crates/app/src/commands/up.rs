//! `affluent up`: serves a project to people and programs.

use super::{Outcome, Session};
use crate::metadata;
use crate::output::{Colour, ExitCode};
use crate::runner::{Desks, Host, Looker};
use crate::variables::variable;
use crate::workbench::{self, Workbench};
use clap::Args;
use model::{Problem, Result, Secret, codes};
use serde_json::json;
use server::{AlertSettings, App, Entry, Place, Port, PrivateTargets, Settings};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use stdx::clock::{Clock, SystemClock};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

const EXAMPLES: &str = "\
Examples:\n\
\x20 affluent up                            for oneself: prints a link that opens it\n\
\x20 affluent up --team                     people sign in; the first makes the owner's account\n\
\x20 affluent up --listen 0.0.0.0:443 --host data.example.org \\\n\
\x20     --tls-certificate cert.pem --tls-key key.pem\n\
\x20 affluent up --listen 10.0.0.5:7878 --host data.example.org --behind-proxy";

const PORT: u16 = 7878;
/// Opens `/metrics` to a program that sends it as a bearer token.
const METRICS_TOKEN: &str = "AFFLUENT_METRICS_TOKEN";

/// Arguments of `affluent up`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Address and port to listen on
    #[arg(long, value_name = "ADDRESS:PORT", default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)))]
    pub listen: SocketAddr,
    /// Name by which it is reached, with the port unless it is the usual one; can be repeated
    #[arg(long = "host", value_name = "NAME")]
    pub hosts: Vec<String>,
    /// People sign in with e-mail and password, also on this machine
    #[arg(long)]
    pub team: bool,
    /// A proxy in front speaks TLS and says in `X-Forwarded-For` who asks
    #[arg(long)]
    pub behind_proxy: bool,
    /// Runs at work at the same time
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub runs_at_once: usize,
    /// Processes that answer questions about data and documents, 2 or more
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub desks: usize,
    /// Alerts may go to this machine and to private networks, also without encryption
    #[arg(long)]
    pub private_targets: bool,
    /// PEM file with the certificate and its chain
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_certificate: Option<PathBuf>,
    /// PEM file with the private key
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub tls_key: Option<PathBuf>,
}

pub(crate) async fn execute(session: &Session, arguments: Arguments) -> Outcome {
    let workbench = session.open_without_secrets()?;
    serve(session, &workbench, arguments).await.map_err(|problem| vec![problem])?;
    Ok(ExitCode::Done)
}

async fn serve(session: &Session, workbench: &Workbench, arguments: Arguments) -> Result<()> {
    let tls = match (&arguments.tls_certificate, &arguments.tls_key) {
        (Some(certificate), Some(key)) => Some(server::read_tls(certificate, key)?),
        _ => None,
    };
    check_exposure(&arguments)?;
    let store = metadata::open(workbench).await?;
    let clock = Arc::new(SystemClock);
    let is_private = arguments.listen.ip().is_loopback() && !arguments.team;
    let workspace = workbench.folder.workspace();
    let entry = server::entry(&store, &workspace, is_private, clock.now_us()).await?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let port = Port::bind(arguments.listen, tls).await?;
    let address = port.address()?;
    let project = workbench.folder.dir.clone();
    let state = workbench.context.state.clone();
    let place = Place {
        workspace: workspace.clone(),
        folder: project.clone(),
        memory: state.join("mirror.json"),
    };
    let runners = workbench::Settings { project, ..session.settings.clone() };
    let connector = Arc::new(Looker::new(runners.clone()));
    let desks = Desks::new(runners.clone(), &workbench.folder.dir, arguments.desks);
    let host = Host { settings: runners, workspace: workspace.clone() };
    let shown = arguments.hosts.first().cloned().unwrap_or_else(|| address.to_string());
    let alerts = AlertSettings {
        base_url: format!("{scheme}://{shown}"),
        private_targets: match arguments.private_targets {
            true => PrivateTargets::Allowed,
            false => PrivateTargets::Refused,
        },
    };
    let app = App::new(
        store,
        clock,
        Settings {
            hosts: hosts(&arguments.hosts, address),
            behind_proxy: arguments.behind_proxy,
            master_key: metadata::master_key()?,
            link_token: entry.link_token(),
            project: workbench.folder.dir.clone(),
            connector,
            runner: Arc::new(host),
            alerts,
            metrics_token: variable(METRICS_TOKEN).map(Secret::new),
            runs_at_once: arguments.runs_at_once,
            desk: Arc::new(desks),
            results: state.join("results"),
            place: Some(place),
        },
    )?;
    // Before anybody can know that the server is there.
    let stopped = stop_signal()?;
    let shown = arguments.hosts.first().cloned().unwrap_or_else(|| address.to_string());
    announce(session, workspace.as_str(), &format!("{scheme}://{shown}"), &entry);
    tokio::spawn(server::keep_house(app.clone(), stopped.clone()));
    tokio::spawn(server::mirror(app.clone(), stopped.clone()));
    tokio::spawn(server::publish_documents(app.clone(), stopped.clone()));
    tokio::spawn(server::deliver_alerts(app.clone(), stopped.clone()));
    let orchestrating = tokio::spawn(server::orchestrate(app.clone(), stopped.clone()));
    server::serve(app, port, stopped).await;
    let _ = orchestrating.await;
    session.output.line("stopped");
    Ok(())
}

/// Other machines reach the server only through TLS: its own, or that of a proxy.
fn check_exposure(arguments: &Arguments) -> Result<()> {
    let is_safe = arguments.tls_certificate.is_some() || arguments.behind_proxy;
    if arguments.listen.ip().is_loopback() || is_safe {
        return Ok(());
    }
    let fact = format!("`{}` would be open to the network without TLS", arguments.listen);
    Err(Problem::new(&codes::COMMAND_INVALID, fact).hint(
        "give `--tls-certificate` and `--tls-key`, or `--behind-proxy` if a proxy speaks TLS, \
         or leave `--listen` out: then only this machine reaches it",
    ))
}

/// The hosts that requests may name: those that were given, and the machine itself.
fn hosts(given: &[String], address: SocketAddr) -> Vec<String> {
    let mut hosts = given.to_vec();
    hosts.push(address.to_string());
    if address.ip().is_loopback() {
        let names = ["localhost", "127.0.0.1", "[::1]"];
        hosts.extend(names.map(|name| format!("{name}:{}", address.port())));
    }
    hosts
}

fn announce(session: &Session, workspace: &str, url: &str, entry: &Entry) {
    let output = session.output;
    let name = output.paint(Colour::Bold, workspace);
    output.value(&json!({"url": url, "workspace": workspace, "entry": entry.as_json(url)}));
    output.line(format!("Affluent serves {name} at {url}"));
    match entry {
        Entry::Link(token) => {
            output.line(format!("open it:  {url}/open?token={}", token.reveal()));
        }
        Entry::SetUp(token) => {
            output.line("nobody has an account yet; within 15 minutes, the owner's is made with");
            output.line(format!("{url}/set-up  and the token  {}", token.reveal()));
        }
        Entry::SignIn => output.line("people sign in with e-mail and password"),
    }
    output.line("Ctrl-C stops it");
}

/// Becomes true with Ctrl-C, or with what a service manager sends.
fn stop_signal() -> Result<watch::Receiver<bool>> {
    let failed = |error: std::io::Error| {
        Problem::new(&codes::INTERNAL, "signals cannot be received").detail(error)
    };
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        let _ = stop.send(true);
    });
    Ok(stopped)
}
