//! A PostgreSQL server of one's own, on a free port, in a folder that goes away with it.

use crate::{binary, free_port, skip};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const FOLDERS: &[&str] = &[
    "/usr/lib/postgresql/15/bin",
    "/usr/lib/postgresql/17/bin",
    "/usr/lib/postgresql/16/bin",
    "/usr/lib/postgresql/14/bin",
];
const ATTEMPTS_MAX: u32 = 5;
const START_TIMEOUT: Duration = Duration::from_secs(120);
const SYSTEM_USER: &str = "postgres";

/// A running server. Dropped, it stops and its files go away; the same happens when the test
/// process dies.
#[derive(Debug)]
pub struct Postgres {
    server: Child,
    watchdog: Child,
    port: u16,
    folder: TempDir,
    binaries: PathBuf,
    options: Options,
}

/// How to run the server.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Sync to disk as a real server does; off is faster.
    pub fsync: bool,
    /// Offer TLS with a certificate that nobody has signed.
    pub tls: bool,
}

impl Postgres {
    /// The user: a superuser.
    pub const USER: &'static str = "affluent";
    /// The password, checked by SCRAM.
    pub const PASSWORD: &'static str = "open sesame";
    /// The database.
    pub const DATABASE: &'static str = "postgres";

    /// Starts a server that does not sync, or says that the test is skipped.
    pub fn start() -> Option<Self> {
        Self::start_with(Options::default())
    }

    /// Starts a server, or says that the test is skipped.
    ///
    /// # Panics
    ///
    /// When the binaries are there and the server does not start.
    #[allow(clippy::panic, reason = "a test helper fails by panicking")]
    pub fn start_with(options: Options) -> Option<Self> {
        let Some(postgres) = binary("postgres", FOLDERS) else {
            skip("PostgreSQL (Debian package `postgresql`)");
            return None;
        };
        let binaries = postgres.parent().expect("a binary lies in a folder");
        let mut log = String::new();
        for _ in 0..ATTEMPTS_MAX {
            match Self::start_on(free_port(), binaries, options) {
                Ok(server) => return Some(server),
                // Somebody took the port in between: once more with another one.
                Err(text) if text.contains("Address already in use") => log = text,
                Err(text) => panic!("PostgreSQL does not start:\n{text}"),
            }
        }
        panic!("PostgreSQL finds no free port:\n{log}");
    }

    fn start_on(port: u16, binaries: &Path, options: Options) -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("affluent-postgres-").tempdir();
        let folder = folder.map_err(|error| error.to_string())?;
        create_cluster(binaries, folder.path())?;
        if options.tls {
            create_certificate(folder.path())?;
        }
        let server = spawn_server(binaries, folder.path(), port, options)?;
        let watchdog = spawn_watchdog(server.id(), folder.path())?;
        let mut started =
            Self { server, watchdog, port, folder, binaries: binaries.to_owned(), options };
        started.wait_until_ready()?;
        Ok(started)
    }

    fn wait_until_ready(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let refusal = match self.try_psql("select 1") {
                Ok(_) => return Ok(()),
                Err(refusal) => refusal,
            };
            let ended = self.server.try_wait().is_ok_and(|status| status.is_some());
            if ended || Instant::now() > deadline {
                let log = fs::read_to_string(self.folder.path().join("log"));
                return Err(format!("{refusal}\n{}", log.unwrap_or_default()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Kills the server in the middle of its work and starts it again on the same files.
    ///
    /// # Panics
    ///
    /// When it does not come back.
    #[allow(clippy::panic, reason = "a test helper fails by panicking")]
    pub fn kill_and_start_again(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let deadline = Instant::now() + START_TIMEOUT;
        // Processes of the old server may hold its memory for a moment.
        while Instant::now() < deadline {
            let (folder, options) = (self.folder.path(), self.options);
            let started = spawn_server(&self.binaries, folder, self.port, options);
            let Ok(server) = started else { continue };
            let _ = self.watchdog.kill();
            let _ = self.watchdog.wait();
            if let Ok(watchdog) = spawn_watchdog(server.id(), folder) {
                self.watchdog = watchdog;
            }
            self.server = server;
            if self.wait_until_ready().is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("PostgreSQL does not come back");
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address as a URL, for clients that take one.
    pub fn url(&self) -> String {
        let (user, database, port) = (Self::USER, Self::DATABASE, self.port);
        let password = Self::PASSWORD.replace(' ', "%20");
        format!("postgres://{user}:{password}@127.0.0.1:{port}/{database}")
    }

    /// Runs SQL and gives what it prints: one line per row, columns separated by `|`.
    ///
    /// # Panics
    ///
    /// When the server refuses.
    #[allow(clippy::panic, reason = "a test helper fails by panicking")]
    pub fn psql(&self, sql: &str) -> String {
        self.try_psql(sql).unwrap_or_else(|refusal| panic!("{sql}: {refusal}"))
    }

    /// Runs SQL and gives what it prints, or what the server says against it.
    pub fn try_psql(&self, sql: &str) -> Result<String, String> {
        let mut command = self.psql_command();
        run(command.args(["-c", sql])).map(|text| text.trim_end().to_owned())
    }

    /// `psql` with address and password filled in.
    pub fn psql_command(&self) -> Command {
        let mut command = Command::new(self.binaries.join("psql"));
        command
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1"])
            .args(["-p", &self.port.to_string(), "-U", Self::USER, "-d", Self::DATABASE])
            .env("PGPASSWORD", Self::PASSWORD)
            .env("PGTZ", "UTC");
        command
    }

    fn stop(&mut self) {
        let _ = signal("QUIT", self.server.id());
        let deadline = Instant::now() + Duration::from_secs(10);
        while matches!(self.server.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = self.watchdog.kill();
        let _ = self.watchdog.wait();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

fn signal(name: &str, process: u32) -> Result<String, String> {
    run(Command::new("kill").args([&format!("-{name}"), &process.to_string()]))
}

/// The server refuses to run as root: then it runs as the user that Debian's package made.
fn system_user() -> Result<Option<(u32, u32)>, String> {
    let number = |flags: &[&str]| -> Result<u32, String> {
        let text = run(Command::new("id").args(flags))?;
        text.trim().parse().map_err(|_| format!("`id` said `{text}`"))
    };
    if number(&["-u"])? != 0 {
        return Ok(None);
    }
    Ok(Some((number(&["-u", SYSTEM_USER])?, number(&["-g", SYSTEM_USER])?)))
}

fn server_command(program: &Path) -> Result<Command, String> {
    let mut command = match system_user()? {
        None => Command::new(program),
        Some((user, group)) => {
            let mut command = Command::new("setpriv");
            command
                .args([&format!("--reuid={user}"), &format!("--regid={group}")])
                .args(["--clear-groups", "--"])
                .arg(program);
            command
        }
    };
    command.current_dir("/").env_remove("PGDATA").env("LC_ALL", "C");
    Ok(command)
}

fn create_cluster(binaries: &Path, folder: &Path) -> Result<(), String> {
    let password = folder.join("password");
    fs::write(&password, Postgres::PASSWORD).map_err(|error| error.to_string())?;
    give_away(folder)?;
    give_away(&password)?;
    run(server_command(&binaries.join("initdb"))?
        .args(["--no-sync", "--no-locale", "--encoding=UTF8", "--auth=scram-sha-256"])
        .args(["--username", Postgres::USER])
        .arg("--pwfile")
        .arg(&password)
        .arg(folder.join("data")))
    .map(drop)
}

/// A key and a certificate that nobody has signed.
fn create_certificate(folder: &Path) -> Result<(), String> {
    let (key, certificate) = (folder.join("server.key"), folder.join("server.crt"));
    run(Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate))?;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600))
        .map_err(|error| error.to_string())?;
    give_away(&key)?;
    give_away(&certificate)
}

fn give_away(path: &Path) -> Result<(), String> {
    match system_user()? {
        None => Ok(()),
        Some((user, group)) => {
            chown(path, Some(user), Some(group)).map_err(|error| error.to_string())
        }
    }
}

fn spawn_server(
    binaries: &Path,
    folder: &Path,
    port: u16,
    options: Options,
) -> Result<Child, String> {
    let on = |yes: bool| if yes { "on" } else { "off" };
    let log = fs::File::create(folder.join("log")).map_err(|error| error.to_string())?;
    let mut settings = vec![
        format!("port={port}"),
        "listen_addresses=127.0.0.1".to_owned(),
        format!("unix_socket_directories={}", folder.display()),
        format!("fsync={}", on(options.fsync)),
        format!("synchronous_commit={}", on(options.fsync)),
        format!("full_page_writes={}", on(options.fsync)),
        "max_connections=40".to_owned(),
        "shared_buffers=128MB".to_owned(),
        "max_wal_size=4GB".to_owned(),
        "timezone=UTC".to_owned(),
    ];
    if options.tls {
        settings.push("ssl=on".to_owned());
        settings.push(format!("ssl_cert_file={}", folder.join("server.crt").display()));
        settings.push(format!("ssl_key_file={}", folder.join("server.key").display()));
    }
    let mut command = server_command(&binaries.join("postgres"))?;
    command.arg("-D").arg(folder.join("data"));
    for setting in settings {
        command.args(["-c", &setting]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
    command.spawn().map_err(|error| error.to_string())
}

/// Waits for the end of its input, which comes when this process dies, and cleans up.
fn spawn_watchdog(server: u32, folder: &Path) -> Result<Child, String> {
    let script = "read -r _; kill -QUIT \"$1\" 2>/dev/null; sleep 2; \
                  kill -KILL \"$1\" 2>/dev/null; rm -rf \"$2\"";
    Command::new("sh")
        .args(["-c", script, "sh", &server.to_string()])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_answers_and_leaves_nothing() {
        let Some(postgres) = Postgres::start() else { return };
        assert_eq!(postgres.psql("select 1 + 1, 'a'"), "2|a");
        assert!(postgres.try_psql("select nothing").unwrap_err().contains("nothing"));
        let folder = postgres.folder.path().to_owned();
        drop(postgres);
        assert!(!folder.exists());
    }
}
