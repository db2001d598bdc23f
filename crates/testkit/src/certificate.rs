//! A key and a certificate for `localhost` that nobody has signed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Key and certificate in files that go away with it.
#[derive(Debug)]
pub struct Certificate {
    folder: TempDir,
}

impl Certificate {
    /// Makes one, for `localhost` and 127.0.0.1.
    ///
    /// # Panics
    ///
    /// When `openssl` is missing or refuses.
    #[allow(clippy::panic, reason = "a test helper fails by panicking")]
    pub fn create() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let made = Self { folder };
        let output = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
            .arg(made.key())
            .arg("-out")
            .arg(made.file())
            .stdin(Stdio::null())
            .output()
            .expect("openssl is there");
        if !output.status.success() {
            panic!("openssl: {}", String::from_utf8_lossy(&output.stderr));
        }
        made
    }

    /// File of the certificate, PEM.
    pub fn file(&self) -> PathBuf {
        self.path("server.crt")
    }

    /// File of the key, PEM.
    pub fn key(&self) -> PathBuf {
        self.path("server.key")
    }

    /// The certificate, PEM.
    ///
    /// # Panics
    ///
    /// When its file is gone.
    pub fn text(&self) -> String {
        fs::read_to_string(self.file()).expect("the certificate was made")
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new(self.folder.path()).join(name)
    }
}
