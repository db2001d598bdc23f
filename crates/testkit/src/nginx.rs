//! An nginx of one's own, in a folder that goes away with it.

use crate::{binary, skip};
use std::fs;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const TIMEOUT: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_millis(20);

/// A running server; dropped, it stops.
#[derive(Debug)]
pub struct Nginx {
    process: Child,
    _folder: TempDir,
}

impl Nginx {
    /// Starts a server with what stands in its http block, once it listens on `port`; or says that
    /// the test is skipped.
    ///
    /// # Panics
    ///
    /// When nginx refuses the configuration or does not start.
    #[allow(clippy::panic, reason = "a test helper fails by panicking")]
    pub fn start(http: &str, port: u16) -> Option<Self> {
        let Some(program) = binary("nginx", &["/usr/sbin"]) else {
            skip("nginx (Debian package `nginx`)");
            return None;
        };
        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = folder.path().display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|name| format!("{name}_temp_path {path}/{name};\n"))
            .collect();
        let config = format!(
            "daemon off;\nmaster_process off;\npid {path}/pid;\nerror_log {path}/log;\n\
             events {{}}\nhttp {{\naccess_log off;\n{temporary}{http}\n}}\n"
        );
        let file = folder.path().join("nginx.conf");
        fs::write(&file, config).expect("a file can be written");
        // It goes when the test does.
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(["-e", &format!("{path}/log"), "-p", &path.to_string(), "-c"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx starts");
        let mut started = Self { process, _folder: folder };
        if !started.listens_in_time(port) {
            let log = fs::read_to_string(started._folder.path().join("log"));
            panic!("nginx does not start:\n{}", log.unwrap_or_default());
        }
        Some(started)
    }

    fn listens_in_time(&mut self, port: u16) -> bool {
        let deadline = Instant::now() + TIMEOUT;
        while Instant::now() < deadline && matches!(self.process.try_wait(), Ok(None)) {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return true;
            }
            thread::sleep(TICK);
        }
        false
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
